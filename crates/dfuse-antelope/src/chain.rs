//! The chain's own binary form of headers, blocks and transactions, read into and written from the block model.
//!
//! Field orders are those of `FC_REFLECT` in nodeos. What is hashed for an id is what [`BlockHeader::pack`] and
//! [`Transaction::pack`] write.

use std::{borrow::Cow, io::Read};

use bytes::Bytes;
use flate2::read::ZlibDecoder;

use crate::{
    BlockTimestamp, Checksum, Checksum256, Error, PrivateKey, PublicKey, Result, Signature, TimePointSec,
    model::{
        AccountRamDelta, Action, ActionReceipt, AuthSequence, BlockHeader, BlockSigningAuthority,
        BlockSigningAuthorityV0, Extension, KeyWeight, PackedTransaction, PermissionLevel, ProducerAuthority,
        ProducerAuthoritySchedule, ProducerKey, ProducerSchedule, SignedTransaction, Transaction, TransactionHeader,
        TransactionReceipt, TransactionStatus,
    },
    raw::{Reader, Writer},
};

/// Largest transaction after decompression; nodeos itself stops at 1 MiB.
const MAX_TRANSACTION: usize = 10 * 1024 * 1024;

/// A header extension that activates protocol features: a list of digests.
pub const PROTOCOL_FEATURE_ACTIVATION: u32 = 0;

/// `signed_block`: a header, the producer's signature, receipts and extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignedBlock {
    /// The header.
    pub header: BlockHeader,
    /// Signature of the header's digest, as text.
    pub producer_signature: String,
    /// Receipts in block order.
    pub transactions: Vec<TransactionReceipt>,
    /// Block extensions, raw.
    pub block_extensions: Vec<Extension>,
}

impl SignedBlock {
    /// Reads a block as Leap, Spring and EOSIO 2.0 write it. `index` and `id` of the receipts are filled in.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        let header = BlockHeader::unpack(reader)?;
        let producer_signature = Signature::read(reader)?.to_string();
        let transactions = unpack_receipts(reader, TransactionReceipt::unpack)?;
        Ok(Self { header, producer_signature, transactions, block_extensions: unpack_extensions(reader)? })
    }

    /// Writes what [`SignedBlock::unpack`] reads.
    pub fn pack(&self, writer: &mut Writer) -> Result<()> {
        self.header.pack(writer)?;
        self.producer_signature.parse::<Signature>()?.write(writer);
        writer.count(self.transactions.len());
        for receipt in &self.transactions {
            receipt.pack(writer)?;
        }
        pack_extensions(&self.block_extensions, writer);
        Ok(())
    }
}

/// Reads the list of receipts of a block, each by `receipt`, and numbers them.
pub fn unpack_receipts<'a>(
    reader: &mut Reader<'a>,
    mut receipt: impl FnMut(&mut Reader<'a>) -> Result<TransactionReceipt>,
) -> Result<Vec<TransactionReceipt>> {
    let mut receipts = reader.list(7, "transaction receipts", &mut receipt)?;
    for (index, receipt) in receipts.iter_mut().enumerate() {
        receipt.index = index as u64;
    }
    Ok(receipts)
}

/// Reads a list of extensions.
pub fn unpack_extensions(reader: &mut Reader<'_>) -> Result<Vec<Extension>> {
    reader.list(3, "extensions", |r| Ok(Extension { r#type: r.u16()?.into(), data: r.bytes("extension")? }))
}

fn pack_extensions(extensions: &[Extension], writer: &mut Writer) {
    writer.list(extensions, |w, extension| {
        w.u16(extension.r#type as u16);
        w.blob(&extension.data);
    });
}

impl BlockHeader {
    /// Reads `block_header`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            timestamp: BlockTimestamp(reader.u32()?),
            producer: reader.name()?,
            confirmed: reader.u16()?.into(),
            previous: reader.checksum256()?,
            transaction_mroot: reader.array("transaction_mroot")?,
            action_mroot: reader.array("action_mroot")?,
            schedule_version: reader.u32()?,
            new_producers_v1: reader.option(ProducerSchedule::unpack)?,
            header_extensions: unpack_extensions(reader)?,
        })
    }

    /// Writes `block_header`. Fails when a producer's key is not one.
    pub fn pack(&self, writer: &mut Writer) -> Result<()> {
        writer.u32(self.timestamp.0);
        writer.name(self.producer);
        writer.u16(self.confirmed as u16);
        writer.checksum256(&self.previous);
        writer.take(&self.transaction_mroot);
        writer.take(&self.action_mroot);
        writer.u32(self.schedule_version);
        writer.bool(self.new_producers_v1.is_some());
        if let Some(schedule) = &self.new_producers_v1 {
            schedule.pack(writer)?;
        }
        pack_extensions(&self.header_extensions, writer);
        Ok(())
    }

    /// The number of the block: one more than that of the block before it.
    pub fn block_num(&self) -> u32 {
        self.previous.block_num().wrapping_add(1)
    }

    /// The block's id: SHA-256 of the packed header, its first four bytes replaced by the block number.
    pub fn id(&self) -> Result<Checksum256> {
        let mut writer = Writer::new();
        self.pack(&mut writer)?;
        let mut id = Checksum256::sha256(&writer.bytes);
        id.0[..4].copy_from_slice(&self.block_num().to_be_bytes());
        Ok(id)
    }

    /// Digests of the protocol features that this header activates.
    pub fn activated_features(&self) -> Result<Vec<[u8; 32]>> {
        let mut digests = vec![];
        for extension in self.header_extensions.iter().filter(|e| e.r#type == PROTOCOL_FEATURE_ACTIVATION) {
            digests.extend(Reader::new(&extension.data).list(32, "protocol features", |r| r.array("digest"))?);
        }
        Ok(digests)
    }
}

impl ProducerSchedule {
    /// Reads the legacy `producer_schedule`: one key a producer.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            version: reader.u32()?,
            producers: reader.list(42, "producer schedule", |r| {
                Ok(ProducerKey { account_name: r.name()?, block_signing_key: PublicKey::read(r)?.to_string() })
            })?,
        })
    }

    fn pack(&self, writer: &mut Writer) -> Result<()> {
        writer.u32(self.version);
        writer.count(self.producers.len());
        for producer in &self.producers {
            writer.name(producer.account_name);
            producer.block_signing_key.parse::<PublicKey>()?.write(writer);
        }
        Ok(())
    }
}

impl ProducerAuthoritySchedule {
    /// Reads `producer_authority_schedule`; `key` reads a public key as text.
    pub fn unpack<'a>(
        reader: &mut Reader<'a>,
        key: &mut impl FnMut(&mut Reader<'a>) -> Result<String>,
    ) -> Result<Self> {
        Ok(Self {
            version: reader.u32()?,
            producers: reader.list(14, "producer schedule", |r| {
                Ok(ProducerAuthority {
                    account_name: r.name()?,
                    block_signing_authority: BlockSigningAuthority::unpack(r, key)?,
                })
            })?,
        })
    }
}

impl BlockSigningAuthority {
    /// Reads `block_signing_authority`; `key` reads a public key as text. An unknown variant is an error.
    pub fn unpack<'a>(
        reader: &mut Reader<'a>,
        key: &mut impl FnMut(&mut Reader<'a>) -> Result<String>,
    ) -> Result<Self> {
        match reader.varuint32()? {
            0 => Ok(Self {
                v0: Some(BlockSigningAuthorityV0 {
                    threshold: reader.u32()?,
                    keys: reader.list(36, "block signing authority", |r| {
                        Ok(KeyWeight { public_key: key(r)?, weight: r.u16()?.into() })
                    })?,
                }),
            }),
            other => Err(Error::invalid("block signing authority", format!("unknown variant {other}"))),
        }
    }
}

impl TransactionStatus {
    /// From the number that the chain writes, which is one less than the model's.
    pub fn from_chain(status: u8) -> Self {
        match status {
            0 => Self::Executed,
            1 => Self::SoftFail,
            2 => Self::HardFail,
            3 => Self::Delayed,
            4 => Self::Expired,
            _ => Self::Unknown,
        }
    }

    fn to_chain(self) -> Result<u8> {
        match self {
            Self::Executed => Ok(0),
            Self::SoftFail => Ok(1),
            Self::HardFail => Ok(2),
            Self::Delayed => Ok(3),
            Self::Expired => Ok(4),
            other => Err(Error::invalid("transaction status", format!("{} has no binary form", other.as_str()))),
        }
    }
}

impl TransactionReceipt {
    /// Reads `transaction_receipt`; the id of a packed transaction is computed.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Self::unpack_with(reader, PackedTransaction::unpack)
    }

    /// As [`TransactionReceipt::unpack`], for a chain whose packed transactions `packed` reads.
    pub fn unpack_with<'a>(
        reader: &mut Reader<'a>,
        packed: impl FnOnce(&mut Reader<'a>) -> Result<PackedTransaction>,
    ) -> Result<Self> {
        let mut receipt = Self {
            status: TransactionStatus::from_chain(reader.u8()?),
            cpu_usage_micro_seconds: reader.u32()?,
            net_usage_words: reader.varuint32()?,
            ..Self::default()
        };
        match reader.varuint32()? {
            0 => receipt.id = reader.checksum256()?,
            1 => {
                let packed = packed(reader)?;
                receipt.id = packed.id()?;
                receipt.packed_transaction = Some(packed);
            }
            other => return Err(Error::invalid("transaction receipt", format!("unknown variant {other}"))),
        }
        Ok(receipt)
    }

    fn pack(&self, writer: &mut Writer) -> Result<()> {
        writer.u8(self.status.to_chain()?);
        writer.u32(self.cpu_usage_micro_seconds);
        writer.varuint32(self.net_usage_words);
        match &self.packed_transaction {
            None => {
                writer.varuint32(0);
                writer.checksum256(&self.id);
            }
            Some(packed) => {
                writer.varuint32(1);
                packed.pack(writer)?;
            }
        }
        Ok(())
    }

    /// SHA-256 of the packed receipt: a leaf of the header's `transaction_mroot`.
    pub fn digest(&self) -> Result<Checksum256> {
        let mut writer = Writer::new();
        writer.u8(self.status.to_chain()?);
        writer.u32(self.cpu_usage_micro_seconds);
        writer.varuint32(self.net_usage_words);
        match &self.packed_transaction {
            None => writer.checksum256(&self.id),
            Some(packed) => writer.checksum256(&packed.digest()?),
        }
        Ok(Checksum256::sha256(&writer.bytes))
    }
}

impl PackedTransaction {
    /// Reads `packed_transaction`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            signatures: unpack_signatures(reader)?,
            compression: reader.u8()?.into(),
            packed_context_free_data: reader.bytes("packed_context_free_data")?,
            packed_transaction: reader.bytes("packed_trx")?,
        })
    }

    fn pack(&self, writer: &mut Writer) -> Result<()> {
        pack_signatures(&self.signatures, writer)?;
        writer.u8(self.compression as u8);
        writer.blob(&self.packed_context_free_data);
        writer.blob(&self.packed_transaction);
        Ok(())
    }

    fn inflate<'a>(&self, data: &'a [u8], what: &'static str) -> Result<Cow<'a, [u8]>> {
        match self.compression {
            0 => Ok(Cow::Borrowed(data)),
            1 if data.is_empty() => Ok(Cow::Borrowed(data)),
            1 => {
                let mut inflated = Vec::new();
                ZlibDecoder::new(data)
                    .take(MAX_TRANSACTION as u64 + 1)
                    .read_to_end(&mut inflated)
                    .map_err(|e| Error::invalid(what, format!("zlib: {e}")))?;
                if inflated.len() > MAX_TRANSACTION {
                    return Err(Error::Limit { what, limit: MAX_TRANSACTION });
                }
                Ok(Cow::Owned(inflated))
            }
            other => Err(Error::invalid(what, format!("unknown compression {other}"))),
        }
    }

    /// The transaction's id: SHA-256 of the decompressed transaction, signatures and context-free data left out.
    pub fn id(&self) -> Result<Checksum256> {
        Ok(Checksum256::sha256(&self.inflate(&self.packed_transaction, "packed transaction")?))
    }

    /// The transaction with its signatures and context-free data.
    pub fn signed_transaction(&self) -> Result<SignedTransaction> {
        let transaction = self.inflate(&self.packed_transaction, "packed transaction")?;
        let context_free_data = self.inflate(&self.packed_context_free_data, "packed context-free data")?;
        Ok(SignedTransaction {
            transaction: Transaction::unpack(&mut Reader::new(&transaction))?,
            signatures: self.signatures.clone(),
            context_free_data: match context_free_data.is_empty() {
                true => vec![],
                false => unpack_blobs(&mut Reader::new(&context_free_data))?,
            },
        })
    }

    /// `packed_digest` of nodeos: what a receipt's digest covers.
    fn digest(&self) -> Result<Checksum256> {
        let mut prunable = Writer::new();
        pack_signatures(&self.signatures, &mut prunable)?;
        prunable.blob(&self.packed_context_free_data);
        let mut writer = Writer::new();
        writer.u8(self.compression as u8);
        writer.blob(&self.packed_transaction);
        writer.checksum256(&Checksum256::sha256(&prunable.bytes));
        Ok(Checksum256::sha256(&writer.bytes))
    }
}

/// Reads a list of signatures as text.
pub fn unpack_signatures(reader: &mut Reader<'_>) -> Result<Vec<String>> {
    reader.list(66, "signatures", |r| Ok(Signature::read(r)?.to_string()))
}

fn pack_signatures(signatures: &[String], writer: &mut Writer) -> Result<()> {
    writer.count(signatures.len());
    for signature in signatures {
        signature.parse::<Signature>()?.write(writer);
    }
    Ok(())
}

fn unpack_blobs(reader: &mut Reader<'_>) -> Result<Vec<Bytes>> {
    reader.list(1, "context-free data", |r| r.bytes("context-free data"))
}

impl SignedTransaction {
    /// Reads `signed_transaction`: a transaction, its signatures and context-free data, nothing compressed.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            transaction: Transaction::unpack(reader)?,
            signatures: unpack_signatures(reader)?,
            context_free_data: unpack_blobs(reader)?,
        })
    }

    /// The keys that signed for `chain_id`, in the order of the signatures.
    pub fn recover_keys(&self, chain_id: &Checksum256) -> Result<Vec<PublicKey>> {
        let digest = self.transaction.signing_digest(chain_id, &self.context_free_data);
        self.signatures.iter().map(|signature| signature.parse::<Signature>()?.recover(&digest)).collect()
    }
}

impl TransactionHeader {
    /// Reads `transaction_header`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            expiration: TimePointSec(reader.u32()?),
            ref_block_num: reader.u16()?.into(),
            ref_block_prefix: reader.u32()?,
            max_net_usage_words: reader.varuint32()?,
            max_cpu_usage_ms: reader.u8()?.into(),
            delay_sec: reader.varuint32()?,
        })
    }
}

impl Transaction {
    /// Reads `transaction`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            header: TransactionHeader::unpack(reader)?,
            context_free_actions: reader.list(18, "context-free actions", Action::unpack)?,
            actions: reader.list(18, "actions", Action::unpack)?,
            extensions: unpack_extensions(reader)?,
        })
    }

    /// Writes `transaction`.
    pub fn pack(&self, writer: &mut Writer) {
        writer.u32(self.header.expiration.0);
        writer.u16(self.header.ref_block_num as u16);
        writer.u32(self.header.ref_block_prefix);
        writer.varuint32(self.header.max_net_usage_words);
        writer.u8(self.header.max_cpu_usage_ms as u8);
        writer.varuint32(self.header.delay_sec);
        writer.list(&self.context_free_actions, |w, action| action.pack(w));
        writer.list(&self.actions, |w, action| action.pack(w));
        pack_extensions(&self.extensions, writer);
    }

    /// What is signed: SHA-256 of the chain's id, the packed transaction and the digest of its context-free data, which is zero
    /// without any.
    pub fn signing_digest(&self, chain_id: &Checksum256, context_free_data: &[Bytes]) -> Checksum256 {
        let mut writer = Writer::new();
        writer.checksum256(chain_id);
        self.pack(&mut writer);
        let context_free_digest = match context_free_data {
            [] => Checksum::default(),
            blobs => {
                let mut data = Writer::new();
                data.list(blobs, |w, blob| w.blob(blob));
                Checksum256::sha256(&data.bytes)
            }
        };
        writer.checksum256(&context_free_digest);
        Checksum256::sha256(&writer.bytes)
    }

    /// Signs for a chain and packs: what nodes are sent. Without context-free data.
    pub fn sign<'a>(
        &self,
        chain_id: &Checksum256,
        keys: impl IntoIterator<Item = &'a PrivateKey>,
    ) -> PackedTransaction {
        let digest = self.signing_digest(chain_id, &[]);
        let mut writer = Writer::new();
        self.pack(&mut writer);
        PackedTransaction {
            signatures: keys.into_iter().map(|key| key.sign(&digest).to_string()).collect(),
            packed_transaction: writer.bytes.into(),
            ..PackedTransaction::default()
        }
    }

    /// The transaction's id: SHA-256 of its packed form.
    pub fn id(&self) -> Checksum256 {
        let mut writer = Writer::new();
        self.pack(&mut writer);
        Checksum256::sha256(&writer.bytes)
    }
}

impl ActionReceipt {
    /// Reads `action_receipt`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            receiver: reader.name()?,
            digest: reader.checksum256()?,
            global_sequence: reader.u64()?,
            recv_sequence: reader.u64()?,
            auth_sequence: reader
                .list(16, "auth sequence", |r| Ok(AuthSequence { account_name: r.name()?, sequence: r.u64()? }))?,
            code_sequence: reader.varuint32()?.into(),
            abi_sequence: reader.varuint32()?.into(),
        })
    }
}

impl AccountRamDelta {
    /// Reads `account_delta`.
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self { account: reader.name()?, delta: reader.i64()? })
    }
}

impl Action {
    /// Reads `action`.
    #[inline]
    pub fn unpack(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(Self {
            account: reader.name()?,
            name: reader.name()?,
            authorization: reader
                .list(16, "authorization", |r| Ok(PermissionLevel { actor: r.name()?, permission: r.name()? }))?,
            json_data: String::new(),
            raw_data: reader.bytes("action data")?,
        })
    }

    /// Writes `action`.
    pub fn pack(&self, writer: &mut Writer) {
        writer.name(self.account);
        writer.name(self.name);
        writer.list(&self.authorization, |w, level| {
            w.name(level.actor);
            w.name(level.permission);
        });
        writer.blob(&self.raw_data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signed_is_recovered() {
        let keys = [[1; 32], [2; 32]].map(|secret| PrivateKey::k1(&secret).unwrap());
        let action = Action { account: crate::Name(1), raw_data: Bytes::from_static(b"data"), ..Action::default() };
        let transaction = Transaction { actions: vec![action], ..Transaction::default() };
        let chain_id = Checksum256::sha256(b"a chain");
        let packed = transaction.sign(&chain_id, &keys);
        assert_eq!(packed.id().unwrap(), transaction.id());
        let signed = packed.signed_transaction().unwrap();
        assert_eq!(signed.recover_keys(&chain_id).unwrap(), keys.each_ref().map(PrivateKey::public_key));
        let other = Checksum256::sha256(b"another");
        assert_ne!(signed.recover_keys(&other).unwrap(), keys.each_ref().map(PrivateKey::public_key));
    }
}
