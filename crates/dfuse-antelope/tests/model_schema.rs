//! The block model against its schema: random messages of every type, made and encoded by an independent protobuf
//! library from `proto/`, must decode, encode to the same bytes, and print the same canonical JSON.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use dfuse_antelope::{
    BlockTimestamp, Checksum256, Name,
    model::{self, Message},
};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng},
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions, Value,
    prost::Message as _,
};

fn schema() -> DescriptorPool {
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["sf/antelope/type/v1/type.proto", "sf/bstream/v1/bstream.proto"], [proto]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

/// What the schema calls a string but the model keeps as a name or an id, by the field's name.
fn text(field: &FieldDescriptor, rng: &mut TestRng) -> String {
    match (field.parent_message().name(), field.name()) {
        (
            _,
            "id"
            | "parent_id"
            | "previous"
            | "transaction_id"
            | "block_id"
            | "source_transaction_id"
            | "digest"
            | "feature_digest"
            | "description_digest"
            | "dependencies"
            | "producer_block_id",
        ) => Checksum256::sha256(&rng.next_u64().to_le_bytes()).to_string(),
        (
            _,
            "producer" | "account_name" | "receiver" | "account" | "actor" | "permission" | "code" | "scope"
            | "table_name" | "primary_key" | "old_payer" | "new_payer" | "payer" | "owner" | "sender" | "creator"
            | "parent",
        )
        | (
            "Action"
            | "PermissionObject"
            | "Permission"
            | "ProducerToLastProduced"
            | "ProducerToLastImpliedIRB"
            | "TrxOp",
            "name",
        ) => Name(rng.next_u64()).to_string(),
        _ => ["", "plain", "quote \" back \\ tab \t", "ünïcödé 🦀 \u{7f}\u{2028}"][rng.random_below(4)].to_owned(),
    }
}

trait RandomBelow {
    fn random_below(&mut self, bound: usize) -> usize;
}

impl RandomBelow for TestRng {
    fn random_below(&mut self, bound: usize) -> usize {
        self.next_u64() as usize % bound
    }
}

fn number(rng: &mut TestRng) -> u64 {
    let shift = rng.random_below(65);
    rng.next_u64().checked_shr(shift as u32).unwrap_or(0)
}

fn timestamp(message: MessageDescriptor, rng: &mut TestRng) -> DynamicMessage {
    // Whole seconds are valid for every time type of the model; half seconds are tested beside it.
    let seconds = BlockTimestamp(number(rng) as u32 & !1).to_unix_ms() / 1000;
    let mut value = DynamicMessage::new(message);
    value.set_field_by_number(1, Value::I64(seconds));
    value
}

fn value(field: &FieldDescriptor, rng: &mut TestRng, depth: usize) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(rng.random_below(2) == 1),
        Kind::Int32 => Value::I32(number(rng) as i32),
        Kind::Int64 => Value::I64(number(rng) as i64),
        Kind::Uint32 => Value::U32(number(rng) as u32),
        Kind::Uint64 => Value::U64(number(rng)),
        Kind::String => Value::String(text(field, rng)),
        Kind::Enum(kind) => {
            let values: Vec<_> = kind.values().collect();
            Value::EnumNumber(values[rng.random_below(values.len())].number())
        }
        Kind::Bytes => {
            let fixed =
                ["transaction_mroot", "action_mroot", "schedule_hash", "active_nodes", "protocol_features", "hashes"];
            let digest = field.parent_message().name() != "BlockRef" && fixed.contains(&field.name());
            let length = if digest { 32 } else { rng.random_below(50) };
            Value::Bytes((0..length).map(|_| rng.next_u64() as u8).collect())
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            Value::Message(timestamp(message, rng))
        }
        Kind::Message(message) => Value::Message(random(&message, rng, depth + 1)),
        other => panic!("{other:?} is not in the schema"),
    }
}

fn random(descriptor: &MessageDescriptor, rng: &mut TestRng, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let same_type = matches!(field.kind(), Kind::Message(m) if m == *descriptor);
        if field.is_list() {
            let count = if depth > 3 { 0 } else { rng.random_below(3) };
            message.set_field(&field, Value::List((0..count).map(|_| value(&field, rng, depth)).collect()));
        } else if field.containing_oneof().is_some_and(|o| rng.random_below(o.fields().len()) > 0)
            || same_type && depth > 2
        {
            // Of a oneof, the last one set stays.
        } else {
            message.set_field(&field, value(&field, rng, depth));
        }
    }
    message
}

/// Numbers in JSON must not depend on the order of keys.
fn canonical_json(message: &DynamicMessage) -> serde_json::Value {
    message
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new().skip_default_fields(true))
        .unwrap()
}

fn check<M: Message>(pool: &DescriptorPool, name: &str, rng: &mut TestRng) {
    let descriptor = pool.get_message_by_name(name).expect(name);
    for _ in 0..20 {
        let wanted = random(&descriptor, rng, 0);
        let bytes = Bytes::from(wanted.encode_to_vec());
        let message = M::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        // The library's own Debug form of a message with this schema never ends: compare the JSON first.
        let found = DynamicMessage::decode(descriptor.clone(), message.to_bytes()).unwrap();
        assert_eq!(canonical_json(&found), canonical_json(&wanted), "{name}");
        assert_eq!(message.to_bytes(), bytes, "{name}: bytes");
        assert_eq!(serde_json::to_value(&message).unwrap(), canonical_json(&wanted), "{name}: JSON");
        // Every cut is an error or a shorter message, never a panic.
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 50) {
            let _ = M::decode(&bytes.slice(..end));
        }
    }
}

macro_rules! check_all {
    ($pool:expr, $rng:expr; $($type:ident = $name:literal),* $(,)?) => {{
        $( check::<model::$type>($pool, &format!("sf.antelope.type.v1.{}", $name), $rng); )*
        vec![$($name),*]
    }};
}

#[test]
fn every_message_agrees_with_the_schema() {
    let pool = schema();
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let checked = check_all!(&pool, &mut rng;
        Block = "Block", BlockHeader = "BlockHeader", Extension = "Extension", HeaderOnlyBlock = "HeaderOnlyBlock",
        BlockRef = "BlockRef", BlockWithRefs = "BlockWithRefs", TransactionRefs = "TransactionRefs",
        ActivatedProtocolFeatures = "ActivatedProtocolFeatures", PendingProducerSchedule = "PendingProducerSchedule",
        ProducerSchedule = "ProducerSchedule", ProducerKey = "ProducerKey",
        ProducerAuthoritySchedule = "ProducerAuthoritySchedule", ProducerAuthority = "ProducerAuthority",
        BlockSigningAuthority = "BlockSigningAuthority", BlockSigningAuthorityV0 = "BlockSigningAuthorityV0",
        BlockRootMerkle = "BlockRootMerkle", ProducerToLastProduced = "ProducerToLastProduced",
        ProducerToLastImpliedIrb = "ProducerToLastImpliedIRB", TransactionReceipt = "TransactionReceipt",
        PackedTransaction = "PackedTransaction", SignedTransaction = "SignedTransaction", Transaction = "Transaction",
        TransactionHeader = "TransactionHeader", Action = "Action", PermissionLevel = "PermissionLevel",
        TransactionTrace = "TransactionTrace", TransactionReceiptHeader = "TransactionReceiptHeader",
        ActionTrace = "ActionTrace", ActionReceipt = "ActionReceipt", AuthSequence = "AuthSequence",
        AccountRamDelta = "AccountRAMDelta", AccountDelta = "AccountDelta", CreationFlatNode = "CreationFlatNode",
        Exception = "Exception", ExceptionLogMessage = "Exception.LogMessage",
        ExceptionLogContext = "Exception.LogContext", TransactionTraces = "TransactionTraces",
        ActionTraces = "ActionTraces", TransactionTraceWithBlockRef = "TransactionTraceWithBlockRef",
        TrxOp = "TrxOp", DbOp = "DBOp", DbOps = "DBOps", RamOp = "RAMOp", RamCorrectionOp = "RAMCorrectionOp",
        TableOp = "TableOp", DtrxOp = "DTrxOp", ExtDtrxOp = "ExtDTrxOp", FeatureOp = "FeatureOp", Feature = "Feature",
        SubjectiveRestrictions = "SubjectiveRestrictions", Specification = "Specification", PermOp = "PermOp",
        PermissionObject = "PermissionObject", Permission = "Permission", Authority = "Authority",
        KeyWeight = "KeyWeight", PermissionLevelWeight = "PermissionLevelWeight", WaitWeight = "WaitWeight",
        RlimitOp = "RlimitOp", RlimitState = "RlimitState", RlimitConfig = "RlimitConfig",
        RlimitAccountLimits = "RlimitAccountLimits", RlimitAccountUsage = "RlimitAccountUsage",
        UsageAccumulator = "UsageAccumulator", ElasticLimitParameters = "ElasticLimitParameters", Ratio = "Ratio",
        TransactionEvent = "TransactionEvent", TransactionEventAddedInternally = "TransactionEvent.AddedInternally",
        TransactionEventAdded = "TransactionEvent.Added", TransactionEventExecuted = "TransactionEvent.Executed",
        TransactionEventDtrxScheduled = "TransactionEvent.DtrxScheduled",
        TransactionEventDtrxCanceled = "TransactionEvent.DtrxCanceled", PublicKeys = "PublicKeys",
        TransactionLifecycle = "TransactionLifecycle", AccountCreationRef = "AccountCreationRef",
    );
    let all = pool.all_messages().filter(|m| m.package_name() == "sf.antelope.type.v1").count();
    assert_eq!(checked.len(), all, "a message of the schema is not checked");
}

#[test]
fn envelopes_agree_with_the_schema() {
    let pool = schema();
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    check::<model::bstream::BlockMeta>(&pool, "sf.bstream.v1.BlockMeta", &mut rng);
    // The canonical JSON of `Any` shows the message inside, which a random one does not have: bytes only.
    let descriptor = pool.get_message_by_name("sf.bstream.v1.Block").unwrap();
    for _ in 0..20 {
        let bytes = Bytes::from(random(&descriptor, &mut rng, 0).encode_to_vec());
        assert_eq!(model::bstream::Envelope::decode(&bytes).unwrap().to_bytes(), bytes);
    }
}

#[test]
fn times_keep_their_fractions_in_json() {
    let half = model::BlockHeader { timestamp: BlockTimestamp(1), ..Default::default() };
    assert_eq!(serde_json::to_value(&half).unwrap()["timestamp"], "2000-01-01T00:00:00.500Z");
    assert_eq!(model::BlockHeader::decode(&half.to_bytes()).unwrap(), half);
    let odd = Bytes::from_static(&[0x1a, 0x02, 0x10, 0x01]);
    assert_eq!(
        model::BlockHeader::decode(&odd).unwrap_err().to_string(),
        "invalid timestamp: 0 s 1 ns is not a BlockTimestamp"
    );
}

#[test]
fn deep_nesting_is_refused() {
    let mut bytes = vec![];
    for _ in 0..40 {
        let mut outer = vec![0x52];
        prost_reflect::prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    let error = model::TransactionTrace::decode(&bytes.into()).unwrap_err();
    assert_eq!(error.to_string(), "nesting of protobuf messages is over the limit of 32");
}

#[test]
fn what_only_the_dfuse_schema_has_is_passed_over() {
    // `validated` (18) of a block, and NAMESPACE_KV (10) of a RAM operation.
    let block = model::Block::decode(&Bytes::from_static(&[0x90, 0x01, 0x01, 0x10, 0x07])).unwrap();
    assert_eq!(block.number, 7);
    let op = model::RamOp::decode(&Bytes::from_static(&[0x30, 0x0a])).unwrap();
    assert_eq!(op.namespace, model::RamNamespace::Unknown);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        let _ = model::Block::decode(&bytes.clone().into());
        let _ = model::TransactionTrace::decode(&bytes.into());
    }
}
