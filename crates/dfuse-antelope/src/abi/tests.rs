use proptest::prelude::*;
use serde_json::{Value, json};

use super::{builtin::Builtin, *};
use crate::{Error, Name, Result};

const LIMIT: usize = 1 << 16;

/// An ABI whose action `test` has the type `root`.
fn abi(root: &str, definitions: Value) -> Abi {
    let mut abi: Abi = serde_json::from_value(definitions).unwrap();
    abi.version = "eosio::abi/1.2".to_owned();
    abi.action_results.push(ActionResultDef { name: Name::literal("test"), result_type: root.to_owned() });
    abi
}

fn decode_by(abi: &Abi, data: &[u8], rendering: Rendering) -> Result<String> {
    let mut out = Vec::new();
    AbiSerializer::new(abi).action_result(Name::literal("test"))?.decode(data, rendering, LIMIT, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn encode_by(abi: &Abi, value: &Value) -> Result<Vec<u8>> {
    AbiSerializer::new(abi).action_result(Name::literal("test"))?.encode(value, LIMIT)
}

fn decode(root: &str, definitions: Value, hex: &str) -> [String; 3] {
    let (abi, data) = (abi(root, definitions), const_hex::decode(hex).unwrap());
    [Rendering::Nodeos, Rendering::Fit, Rendering::Plain]
        .map(|rendering| decode_by(&abi, &data, rendering).unwrap_or_else(|error| error.to_string()))
}

/// Type, bytes, and JSON as `Nodeos`, `Fit` and `Plain` render it.
const SAMPLES: &[(&str, &str, [&str; 3])] = &[
    ("bool", "01", ["1", "1", "true"]),
    ("bool", "00", ["0", "0", "false"]),
    ("bool", "07", ["7", "7", "true"]),
    ("int8", "80", ["-128"; 3]),
    ("uint8", "ff", ["255"; 3]),
    ("int16", "0080", ["-32768"; 3]),
    ("uint16", "ffff", ["65535"; 3]),
    ("int32", "00000080", ["-2147483648"; 3]),
    ("uint32", "ffffffff", ["4294967295"; 3]),
    ("int64", "01000000ffffffff", ["-4294967295"; 3]),
    ("int64", "00000000ffffffff", ["\"-4294967296\""; 3]),
    ("int64", "0000000000000080", ["\"-9223372036854775808\""; 3]),
    ("uint64", "ffffffff00000000", ["4294967295"; 3]),
    ("uint64", "0000000001000000", ["\"4294967296\""; 3]),
    (
        "int128",
        "9d030000000000007d00000000000000",
        ["\"2305843009213693952925\"", "\"2305843009213693952925\"", "\"0x9d030000000000007d00000000000000\""],
    ),
    ("int128", "ffffffffffffffffffffffffffffffff", ["\"-1\"", "\"-1\"", "\"0xffffffffffffffffffffffffffffffff\""]),
    (
        "uint128",
        "ffffffffffffffffffffffffffffffff",
        [
            "\"340282366920938463463374607431768211455\"",
            "\"340282366920938463463374607431768211455\"",
            "\"0xffffffffffffffffffffffffffffffff\"",
        ],
    ),
    ("varint32", "ffffffff0f", ["-2147483648"; 3]),
    ("varint32", "02", ["1"; 3]),
    ("varuint32", "ffffffff0f", ["4294967295"; 3]),
    ("float32", "db0f4940", ["\"3.14159274101257324\"", "\"3.14159274101257324\"", "3.1415927410125732"]),
    (
        "float32",
        "ffff7f7f",
        [
            "\"340282346638528859811704183484516925440.00000000000000000\"",
            "\"340282346638528859811704183484516925440.00000000000000000\"",
            "340282346638528860000000000000000000000",
        ],
    ),
    ("float32", "0000807f", ["\"inf\"", "\"+Inf\"", "\"inf\""]),
    ("float32", "000080ff", ["\"-inf\"", "\"-Inf\"", "\"-inf\""]),
    ("float32", "0000c07f", ["\"nan\"", "\"NaN\"", "\"nan\""]),
    ("float64", "000000000000f03f", ["\"1.00000000000000000\"", "\"1.00000000000000000\"", "1"]),
    ("float64", "0000000000000080", ["\"-0.00000000000000000\"", "\"-0.00000000000000000\"", "-0"]),
    // Exactly between two texts of 17 decimals: the even one.
    ("float64", "000000000000d03e", ["\"0.00000381469726562\"", "\"0.00000381469726562\"", "0.000003814697265625"]),
    ("float64", "000000000000f07f", ["\"inf\""; 3]),
    ("float64", "000000000000f0ff", ["\"-inf\""; 3]),
    ("float64", "000000000000f87f", ["\"nan\""; 3]),
    ("float64", "000000000000f8ff", ["\"-nan\"", "\"nan\"", "\"nan\""]),
    ("float128", "00000000000000000000000000000040", ["\"0x00000000000000000000000000000040\""; 3]),
    ("time_point", "a9ca23db9b790500", ["\"2018-11-01T15:13:07.001\""; 3]),
    (
        "time_point",
        "0000000000000000",
        ["\"1970-01-01T00:00:00.000\"", "\"1970-01-01T00:00:00.000\"", "\"1970-01-01T00:00:00\""],
    ),
    (
        "time_point",
        "20a1070000000000",
        ["\"1970-01-01T00:00:00.500\"", "\"1970-01-01T00:00:00.500\"", "\"1970-01-01T00:00:00.5\""],
    ),
    ("time_point_sec", "39313964", ["\"2023-04-14T10:55:53\""; 3]),
    ("block_timestamp_type", "01000000", ["\"2000-01-01T00:00:00.500\""; 3]),
    (
        "block_timestamp_type",
        "02000000",
        ["\"2000-01-01T00:00:01.000\"", "\"2000-01-01T00:00:01\"", "\"2000-01-01T00:00:01\""],
    ),
    ("name", "00a6823403ea3055", ["\"eosio.token\""; 3]),
    ("name", "0000000000000000", ["\"\""; 3]),
    ("bytes", "00", ["\"\""; 3]),
    ("bytes", "03c0ffee", ["\"c0ffee\""; 3]),
    ("string", "00", ["\"\""; 3]),
    ("string", "05613c220ac3", ["\"a<\\\"\\n\"", "\"a<\\\"\\n\u{fffd}\"", "\"a<\\\"\\n\u{fffd}\""]),
    ("string", "04f09f9880", ["\"😀\""; 3]),
    ("checksum160", "2ace3333398864e8cb17229321b831f9f13d2886", ["\"2ace3333398864e8cb17229321b831f9f13d2886\""; 3]),
    (
        "checksum256",
        "0000000000000000000000000000000000000000000000000000000000000001",
        ["\"0000000000000000000000000000000000000000000000000000000000000001\""; 3],
    ),
    (
        "checksum512",
        concat!(
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
        ),
        [concat!(
            "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\""
        ); 3],
    ),
    (
        "public_key",
        "00000000000000000000000000000000000000000000000000000000000000000000",
        ["\"EOS1111111111111111111111111111111114T1Anm\""; 3],
    ),
    ("symbol", "04454f5300000000", ["\"4,EOS\""; 3]),
    ("symbol_code", "424e544441505000", ["\"BNTDAPP\""; 3]),
    ("asset", "0a0000000000000004454f5300000000", ["\"0.0010 EOS\""; 3]),
    ("asset", "fbffffffffffffff0041000000000000", ["\"-5 A\""; 3]),
    ("asset", "00000000000000000000000000000000", ["\"0 \""; 3]),
    ("asset", "ffffffffffffff3f1241424344454647", ["\"4.611686018427387903 ABCDEFG\""; 3]),
    ("symbol", "0400000000000000", ["\"4,\""; 3]),
    ("symbol_code", "0000000000000000", ["\"\""; 3]),
    (
        "extended_asset",
        "102700000000000004454f530000000000a6823403ea3055",
        ["{\"quantity\":\"1.0000 EOS\",\"contract\":\"eosio.token\"}"; 3],
    ),
];

/// Samples whose JSON, as nodeos renders it, stands for exactly their bytes.
fn lossless() -> Vec<(&'static str, &'static str, &'static str)> {
    let lossy = |json: &str| {
        json.contains("0.0000038")
            || json.contains("nan")
            || json.contains("a<")
            || json == "\"2018-11-01T15:13:07.001\""
    };
    // Text of a symbol without letters is read by nobody.
    let no_letters = |json: &str| matches!(json, "\"0 \"" | "\"4,\"" | "\"\"");
    let unreadable =
        move |name: &str, json: &str| matches!(name, "asset" | "symbol" | "symbol_code") && no_letters(json);
    let samples = SAMPLES.iter().map(|(name, bytes, [nodeos, ..])| (*name, *bytes, *nodeos));
    samples.filter(|(name, _, json)| !lossy(json) && !unreadable(name, json)).collect()
}

#[test]
fn built_in_types() {
    for (name, bytes, expected) in SAMPLES {
        assert_eq!(&decode(name, json!({}), bytes), expected, "{name} {bytes}");
    }
    for (name, bytes, json) in lossless() {
        let encoded = encode_by(&abi(name, json!({})), &serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(const_hex::encode(encoded), bytes, "{name} {json}");
    }
    for builtin in Builtin::ALL {
        assert_eq!(Builtin::from_name(builtin.name()), Some(*builtin));
        let sampled = SAMPLES.iter().any(|(name, ..)| *name == builtin.name());
        assert!(sampled || *builtin == Builtin::Signature, "{builtin:?}");
    }
}

#[test]
fn signature_round_trips() {
    let abi = abi("signature", json!({}));
    let json =
        "\"SIG_K1_KcpRp8y5vkDRSx6PvYfV2RDQ9aFSJAeVezoGYod2GKnKqceBo6GnUWumxhR2iRnU37hirhm2VvmBVNQwoMzHqCHEUDa6id\"";
    let bytes = encode_by(&abi, &serde_json::from_str(json).unwrap()).unwrap();
    assert_eq!(decode_by(&abi, &bytes, Rendering::Plain).unwrap(), json);
}

fn nested() -> Value {
    json!({
        "types": [
            {"new_type_name": "account_name", "type": "name"},
            {"new_type_name": "maybe", "type": "uint8?"},
            {"new_type_name": "numbers", "type": "uint8[]"},
            {"new_type_name": "point_t", "type": "point"},
        ],
        "structs": [
            {"name": "point", "base": "", "fields": [{"name": "x", "type": "uint8"}, {"name": "y", "type": "maybe"}]},
            {"name": "box", "base": "point_t", "fields": [
                {"name": "either", "type": "either[]"},
                {"name": "extra", "type": "numbers?$"},
                {"name": "more", "type": "uint8[]$"},
            ]},
            {"name": "middle", "base": "", "fields": [
                {"name": "a", "type": "uint8$"},
                {"name": "b", "type": "uint8"},
            ]},
            {"name": "empty", "base": "", "fields": []},
            {"name": "row", "base": "", "fields": [{"name": "empty", "type": "empty"}]},
        ],
        "variants": [{"name": "either", "types": ["account_name", "point_t", "numbers", "either", "uint8[2]"]}],
    })
}

#[test]
fn structs_variants_and_optionals() {
    // x 1, y absent; either: name "a", point {2, 3}, [4, 5], either(name ""); extra absent as a value; more [9].
    let bytes = "0100 05 000000000000000030 01020103 02020405 03000000000000000000 040607 00 0109".replace(' ', "");
    assert_eq!(
        decode("box", nested(), &bytes),
        [
            "{\"x\":1,\"y\":null,\"either\":[[\"account_name\",\"a\"],[\"point_t\",{\"x\":2,\"y\":3}],[\"numbers\",[4,5]],\
             [\"either\",[\"account_name\",\"\"]],[\"uint8[2]\",[6,7]]],\"extra\":null,\"more\":[9]}",
            "{\"x\":1,\"y\":null,\"either\":[[\"account_name\",\"a\"],[\"point_t\",{\"x\":2,\"y\":3}],[\"numbers\",[4,5]],\
             [\"either\",[\"account_name\",\"\"]],[\"uint8[2]\",[6,7]]],\"extra\":null,\"more\":[9]}",
            "{\"x\":1,\"either\":[[\"account_name\",\"a\"],[\"point_t\",{\"x\":2,\"y\":3}],[\"numbers\",[4,5]],\
             [\"either\",[\"account_name\",\"\"]],[\"uint8[2]\",[6,7]]],\"more\":[9]}",
        ]
    );
    let [nodeos, ..] = decode("box", nested(), &bytes);
    let encoded = encode_by(&abi("box", nested()), &serde_json::from_str(&nodeos).unwrap()).unwrap();
    assert_eq!(const_hex::encode(encoded), bytes);
}

#[test]
fn binary_extensions() {
    assert_eq!(
        decode("box", nested(), "010000"),
        ["{\"x\":1,\"y\":null,\"either\":[]}", "{\"x\":1,\"y\":null,\"either\":[]}", "{\"x\":1,\"either\":[]}"]
    );
    assert_eq!(decode("middle", nested(), "0102"), ["{\"a\":1,\"b\":2}"; 3]);
    let missing = "middle: invalid ABI: field \"b\" follows an absent binary extension but is not one";
    assert_eq!(decode("middle", nested(), ""), [missing; 3]);

    let abi = abi("box", nested());
    assert_eq!(encode_by(&abi, &json!({"x": 1, "either": [], "unknown": 7})).unwrap(), [1, 0, 0]);
    assert_eq!(encode_by(&abi, &json!({"x": 1, "either": [], "extra": [2]})).unwrap(), [1, 0, 0, 1, 1, 2]);
    for (value, error) in [
        (json!({"x": 1, "either": [], "more": []}), "box.more: invalid field: an extension before it is absent"),
        (json!({"x": 1}), "box.either: invalid field: missing"),
        (json!([1, null, []]), "box: invalid struct: an array cannot stand for a struct with a base"),
    ] {
        assert_eq!(encode_by(&abi, &value).unwrap_err().to_string(), error);
    }
    // Only at the very end: not in the items of an array.
    let abi = self::abi("box[]", nested());
    let error = encode_by(&abi, &json!([{"x": 1, "either": []}])).unwrap_err();
    assert_eq!(error.to_string(), "box[][0].extra: invalid field: missing");
}

#[test]
fn empty_structs_and_arrays_of_optionals() {
    assert_eq!(
        decode("empty", nested(), ""),
        ["empty: invalid struct: no field of it has a value, which nodeos refuses", "{}", "{}"]
    );
    assert_eq!(decode("row", nested(), "")[1], "{\"empty\":{}}");
    assert_eq!(decode("maybe[]", nested(), "0300010500"), ["[null,5,null]"; 3]);
    assert_eq!(decode("maybe", nested(), "00"), ["null"; 3]);
    assert_eq!(decode("uint8[][]", json!({}), "0201020103"), ["[[2],[3]]"; 3]);
    assert_eq!(decode("uint8?[2]", json!({}), "010200"), ["[2,null]"; 3]);
    assert_eq!(decode("uint8[]?", json!({}), "010102"), ["[2]"; 3]);
    assert_eq!(decode("maybe?[]", nested(), "03000100010107"), ["[null,null,7]"; 3]);
}

#[test]
fn every_alternative_has_the_name_that_the_abi_gives_it() {
    let definitions = json!({
        "types": [
            {"new_type_name": "chain_alias", "type": "uint8"},
            {"new_type_name": "chain_id", "type": "checksum256"},
            {"new_type_name": "either", "type": "plain"},
            {"new_type_name": "maybe", "type": "account_v0?"},
        ],
        "structs": [
            {"name": "account_v0", "base": "", "fields": [{"name": "owner", "type": "name"}]},
            {"name": "row", "base": "", "fields": [{"name": "a", "type": "either"}, {"name": "b", "type": "either?"}]},
        ],
        "variants": [{"name": "plain", "types": [
            "chain_alias", "chain_id", "string[]", "account_v0[]", "bool", "account_v0", "maybe", "plain", "uint8?[]",
        ]}],
    });
    let id = "ab".repeat(32);
    for (bytes, expected) in [
        ("0001", "[\"chain_alias\",1]".to_owned()),
        (&*format!("01{id}"), format!("[\"chain_id\",\"{id}\"]")),
        ("020201610162", "[\"string[]\",[\"a\",\"b\"]]".to_owned()),
        ("03010000000000855c34", "[\"account_v0[]\",[{\"owner\":\"alice\"}]]".to_owned()),
        ("050000000000855c34", "[\"account_v0\",{\"owner\":\"alice\"}]".to_owned()),
        ("0600", "[\"maybe\",null]".to_owned()),
        ("060100000000 00855c34", "[\"maybe\",{\"owner\":\"alice\"}]".to_owned()),
        ("070001", "[\"plain\",[\"chain_alias\",1]]".to_owned()),
        ("0802000107", "[\"uint8?[]\",[null,7]]".to_owned()),
    ] {
        let bytes = bytes.replace(' ', "");
        assert_eq!(decode("plain", definitions.clone(), &bytes), [&*expected; 3], "{bytes}");
        // As a field, behind an alias, and as an optional one.
        let row = decode("row", definitions.clone(), &format!("{bytes}01{bytes}"));
        assert_eq!(row, [&*format!("{{\"a\":{expected},\"b\":{expected}}}"); 3], "{bytes}");
        let encoded = encode_by(&abi("plain", definitions.clone()), &serde_json::from_str(&expected).unwrap());
        assert_eq!(const_hex::encode(encoded.unwrap()), bytes);
    }
    let [_, _, plain] = decode("row", definitions.clone(), "000100");
    assert_eq!(plain, "{\"a\":[\"chain_alias\",1]}");
    assert_eq!(decode("plain", definitions, "0901"), ["plain: invalid variant: alternative 9 of 9"; 3]);
}

#[test]
fn assets_and_symbols_out_of_range_are_errors() {
    // What a node (Leap 4.1) says of the same bytes.
    for (kind, bytes) in [
        ("symbol", "04654f5300000000"),
        ("symbol", "13454f5300000000"),
        ("symbol", "0041004100000000"),
        ("symbol", "ff454f5300000000"),
        ("symbol_code", "4100410000000000"),
        ("symbol_code", "6500000000000000"),
        ("asset", "010000000000000013454f5300000000"),
        ("asset", "01000000000000000022005c01000000"),
        ("asset", "000000000000004004454f5300000000"),
        ("asset", "00000000000000c004454f5300000000"),
        ("asset", "010000000000008004454f5300000000"),
        ("extended_asset", "010000000000000004654f530000000000a6823403ea3055"),
    ] {
        for text in decode(kind, json!({}), bytes) {
            assert!(text.starts_with(&format!("{kind}: invalid ")), "{kind} {bytes}: {text}");
        }
    }
    // The node reads seven letters of eight; as a row this would be bytes that are lost.
    let [nodeos, fit, plain] = decode("symbol_code", json!({}), "4142434445464748");
    assert_eq!((&*nodeos, fit.starts_with('"'), plain.starts_with('"')), ("\"ABCDEFG\"", false, false));
    let list = decode("asset[]", json!({}), "02010000000000000004454f5300000000010000000000000004654f5300000000");
    assert!(list[2].starts_with("asset[][1]: invalid symbol code: the bytes 654f530000000000 are not"), "{}", list[2]);
}

#[test]
fn bytes_read_are_reported_and_output_is_kept_on_error() {
    let abi = abi("uint16", json!({}));
    let serializer = AbiSerializer::new(&abi);
    let root = serializer.action_result(Name::literal("test")).unwrap();
    let mut out = b"before ".to_vec();
    assert_eq!(root.decode(&[1, 0, 9, 9], Rendering::Plain, LIMIT, &mut out), Ok(2));
    assert_eq!(out, b"before 1");
    let error = root.decode(&[1], Rendering::Plain, LIMIT, &mut out).unwrap_err();
    assert!(matches!(error.cause(), Error::Truncated { .. }), "{error}");
    assert_eq!(out, b"before 1");
}

#[test]
fn unknown_names_and_types_are_errors_where_they_are_used() {
    let definitions = json!({
        "types": [{"new_type_name": "a", "type": "b"}, {"new_type_name": "b", "type": "a"}],
        "structs": [
            {"name": "good", "base": "", "fields": [{"name": "x", "type": "uint8"}]},
            {"name": "bad", "base": "", "fields": [{"name": "x", "type": "uint8"}, {"name": "list", "type": "nothing[]"}]},
            {"name": "alias_circle", "base": "", "fields": [{"name": "x", "type": "a"}]},
            {"name": "base_circle", "base": "base_circle", "fields": []},
            {"name": "no_base", "base": "uint8", "fields": []},
        ],
    });
    let tried = |root: &str, hex: &str| decode(root, definitions.clone(), hex)[0].clone();
    assert_eq!(tried("good", "01"), "{\"x\":1}");
    assert_eq!(tried("bad", "0100"), "{\"x\":1,\"list\":[]}");
    assert_eq!(tried("bad", "0101"), "bad.list[0]: unknown ABI type \"nothing\"");
    assert!(tried("alias_circle", "01").contains("alias_circle.x: invalid alias: \"a\" is circular"));
    assert_eq!(tried("base_circle", "01"), "base_circle: ABI nesting is over the limit of 32");
    assert_eq!(tried("no_base", "01"), "no_base: invalid ABI: base \"uint8\" is not a struct");

    let abi = abi("good", definitions);
    let serializer = AbiSerializer::new(&abi);
    for error in [serializer.action(Name(0)), serializer.table(Name(0)), serializer.action_result(Name(0))] {
        assert!(matches!(error.unwrap_err(), Error::Unknown { .. }));
    }
}

#[test]
fn nesting_counts_as_in_nodeos() {
    let definitions = json!({
        "types": [{"new_type_name": "deep", "type": "deep?"}],
        "structs": [{"name": "tree", "base": "", "fields": [{"name": "t", "type": "tree[]"}]}],
    });
    // Each tree takes three levels: itself, its fields, the array.
    for (levels, fits) in [(8, true), (9, false)] {
        let tree = "01".repeat(levels) + "00";
        assert_eq!(decode("tree", definitions.clone(), &tree)[0].contains("limit of 32"), !fits, "{levels}");
    }
    assert!(decode("deep", definitions, &"01".repeat(100))[0].contains("limit of 32"));
}

#[test]
fn small_inputs_do_not_explode() {
    let mut types = vec![json!({"new_type_name": "t0", "type": "empty[1000]"})];
    types.extend((1..20).map(|i| json!({"new_type_name": format!("t{i}"), "type": format!("t{}[1000]", i - 1)})));
    let definitions = json!({
        "types": types,
        "structs": [
            {"name": "empty", "base": "", "fields": []},
            {"name": "wide", "base": "", "fields": [{"name": "x".repeat(10_000), "type": "uint8"}]},
        ],
    });
    for (root, hex) in [("t19", ""), ("empty[]", "808040"), ("wide[]", &("ff7f".to_owned() + &"00".repeat(20_000)))] {
        for (text, rendering) in decode(root, definitions.clone(), hex).iter().zip(["Nodeos", "Fit", "Plain"]) {
            let refused = text.contains("JSON text is over the limit of 65536") || text.contains("nodeos refuses");
            assert!(refused, "{root} {rendering}: {text}");
        }
    }
    assert!(decode("uint8[4294967295]", json!({}), "")[0].contains("array is over the limit of 1048576"));
    assert!(decode("uint8[4294967296]", json!({}), "")[0].contains("unknown ABI type"));

    let optionals: Vec<_> = (0..1000).map(|i| json!({"name": i.to_string(), "type": "uint8?"})).collect();
    let abi = abi("s[]", json!({"structs": [{"name": "s", "base": "", "fields": optionals}]}));
    let error = encode_by(&abi, &Value::Array(vec![json!({}); 100])).unwrap_err();
    assert_eq!(error.cause(), &Error::Limit { what: "ABI value", limit: LIMIT });
}

/// Each of these takes minutes where something takes the square of its size.
#[test]
fn large_hostile_abis_take_linear_time() {
    const COUNT: usize = 50_000;
    let mut hostile = Abi { version: "eosio::abi/1.1".to_owned(), ..Abi::default() };
    for i in 0..COUNT {
        let (name, next) = (format!("t{i}"), format!("t{}", i + 1));
        hostile.types.push(TypeDef { new_type_name: name.clone(), type_name: next.clone() });
        hostile.types.push(TypeDef { new_type_name: format!("array_{name}"), type_name: format!("array_{next}[]") });
        hostile.structs.push(StructDef {
            name: format!("struct_{name}"),
            base: format!("struct_{next}"),
            fields: vec![FieldDef { name: "x".to_owned(), type_name: format!("{name}?$") }],
        });
        hostile.tables.push(TableDef { type_name: "array_t0".to_owned(), ..TableDef::default() });
    }
    hostile.structs.push(StructDef { name: format!("struct_t{COUNT}"), ..StructDef::default() });
    // Many short aliases that share a way over long names.
    let long = |i: usize| if i == 0 { "short".to_owned() } else { format!("{}{i}", "x".repeat(20_000)) };
    let way = (0..30).map(|i| TypeDef { new_type_name: long(i), type_name: long(i + 1) });
    hostile.types.extend(way);
    let many = (0..COUNT).map(|i| TypeDef { new_type_name: format!("short{i}"), type_name: "short".to_owned() });
    hostile.types.extend(many);
    hostile.variants.push(VariantDef { name: "v".to_owned(), types: vec!["v".repeat(100); COUNT] });
    hostile.actions.push(ActionDef { type_name: "uint8".to_owned() + &"[]".repeat(COUNT), ..ActionDef::default() });

    let packed = hostile.to_bytes();
    let hostile = Abi::from_bytes(&packed).unwrap();
    let serializer = AbiSerializer::new(&hostile);
    let mut out = Vec::new();
    for (abi_type, data) in [(serializer.table(Name(0)), vec![1; 100]), (serializer.action(Name(0)), vec![0])] {
        let error = abi_type.unwrap().decode(&data, Rendering::Fit, LIMIT, &mut out).unwrap_err();
        assert!(matches!(error.cause(), Error::Limit { .. }), "{error}");
    }
    hostile.validate().unwrap_err();
    let structs =
        hostile.structs.into_iter().map(|definition| StructDef { fields: Vec::new(), ..definition }).collect();
    Abi { version: hostile.version, structs, ..Abi::default() }.validate().unwrap();
}

#[test]
fn encoding_errors_name_the_field() {
    let definitions = json!({"structs": [
        {"name": "transfer", "base": "", "fields": [
            {"name": "from", "type": "name"},
            {"name": "quantity", "type": "asset"},
            {"name": "list", "type": "pair[]"},
            {"name": "two", "type": "int8[2]"},
        ]},
        {"name": "pair", "base": "", "fields": [{"name": "key", "type": "uint8"}]},
    ], "variants": [{"name": "v", "types": ["uint8"]}]});
    let abi = abi("transfer", definitions.clone());
    let good = json!({"from": "a", "quantity": "1.0 A", "list": [{"key": "1"}, [2]], "two": [-1, "-128"]});
    assert_eq!(
        const_hex::encode(encode_by(&abi, &good).unwrap()),
        "00000000000000300a000000000000000141000000000000020102ff80"
    );
    for (field, value, expected) in [
        ("quantity", json!("1.0"), "transfer.quantity: invalid asset: \"1.0\": "),
        ("from", json!("A"), "transfer.from: invalid name: \"A\": "),
        ("from", json!(1), "transfer.from: invalid name: a string wanted, not 1"),
        (
            "list",
            json!([[1], {"key": 256}]),
            "transfer.list[1].key: invalid uint8: an integer in its range wanted, not 256",
        ),
        ("list", json!([[]]), "transfer.list[0].key: invalid field: missing"),
        ("list", json!({}), "transfer.list: invalid array: an array wanted, not an object"),
        ("two", json!([1]), "transfer.two: invalid array: 2 items wanted, not 1"),
        ("two", json!([1, 1.5]), "transfer.two[1]: invalid int8: an integer in its range wanted, not 1.5"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let error = encode_by(&abi, &bad).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let abi = self::abi("v", definitions);
    for value in [json!(1), json!(["uint8"]), json!([1, 1]), json!({"uint8": 1})] {
        assert!(encode_by(&abi, &value).unwrap_err().to_string().contains("[\"type\", value] wanted"), "{value}");
    }
    let error = encode_by(&abi, &json!(["int8", 1])).unwrap_err();
    assert_eq!(error.to_string(), "v: invalid variant: \"int8\" is none of its types");
}

#[test]
fn validation_names_what_is_wrong() {
    let valid = json!({
        "version": "eosio::abi/1.1",
        "types": [{"new_type_name": "list", "type": "s[]"}],
        "structs": [{"name": "s", "base": "", "fields": [{"name": "x", "type": "list?$"}]}],
        "actions": [{"name": "act", "type": "s"}],
        "tables": [{"name": "tab", "type": "v"}],
        "variants": [{"name": "v", "types": ["s", "uint8[]"]}],
        "action_results": [{"name": "act", "result_type": "list"}],
    });
    let check = |key: &str, value: Value| {
        let mut abi = valid.clone();
        match (&mut abi[key], value) {
            (Value::Array(list), Value::Array(more)) => list.extend(more),
            (slot, value) => *slot = value,
        }
        serde_json::from_value::<Abi>(abi).unwrap().validate().map_err(|error| error.to_string())
    };
    assert_eq!(check("version", json!("eosio::abi/1.0")), Ok(()));
    for (key, value, expected) in [
        ("version", json!("eosio::abi/2.0"), "version \"eosio::abi/2.0\" is not eosio::abi/1.x"),
        ("types", json!([{"new_type_name": "list", "type": "s"}]), "type \"list\" is defined twice"),
        ("types", json!([{"new_type_name": "s", "type": "uint8"}]), "type \"s\" exists already"),
        ("types", json!([{"new_type_name": "name", "type": "uint8"}]), "type \"name\" exists already"),
        ("types", json!([{"new_type_name": "a", "type": "a"}]), "type \"a\": invalid alias: \"a\" is circular"),
        ("types", json!([{"new_type_name": "a", "type": "zzz"}]), "type \"a\": unknown ABI type \"zzz\""),
        (
            "types",
            json!([{"new_type_name": "a", "type": "a[]"}]),
            "type \"a\": \"a[]\" is circular or too many aliases deep",
        ),
        ("structs", json!([{"name": "s"}]), "struct \"s\" is defined twice"),
        ("structs", json!([{"name": "b", "base": "v"}]), "base of struct \"b\" is not a struct"),
        ("structs", json!([{"name": "b", "base": "c"}, {"name": "c", "base": "b"}]), "struct \"b\" is its own base"),
        (
            "structs",
            json!([{"name": "b", "fields": [{"name": "f", "type": "uint8[][]"}]}]),
            "field \"f\" of struct \"b\": \"uint8[][]\" has more than one suffix",
        ),
        ("variants", json!([{"name": "v"}]), "variant \"v\" is defined twice"),
        ("variants", json!([{"name": "w", "types": ["uint8$"]}]), "variant \"w\": unknown ABI type \"uint8$\""),
        ("actions", json!([{"name": "act", "type": "s"}]), "action \"act\" is defined twice"),
        ("actions", json!([{"name": "b", "type": "zzz"}]), "action \"b\": unknown ABI type \"zzz\""),
        ("tables", json!([{"name": "b", "type": ""}]), "table \"b\": unknown ABI type \"\""),
        (
            "action_results",
            json!([{"name": "b", "result_type": "t"}]),
            "result of action \"b\": unknown ABI type \"t\"",
        ),
        (
            "error_messages",
            json!([{"error_code": 1, "error_msg": ""}, {"error_code": "1", "error_msg": ""}]),
            "error message \"1\" is defined twice",
        ),
    ] {
        let error = check(key, value).unwrap_err();
        assert!(error.starts_with(&format!("invalid ABI: {expected}")), "{error}");
    }
}

#[test]
fn later_lists_are_read_while_bytes_remain() {
    // The version says nothing about them.
    let bare = const_hex::decode("0e656f73696f3a3a6162692f312e3000000000000000").unwrap();
    assert_eq!(Abi::from_bytes(&bare).unwrap(), Abi { version: "eosio::abi/1.0".to_owned(), ..Abi::default() });
    for tail in [&[0][..], &[0, 0], &[0, 0, 0]] {
        assert_eq!(Abi::from_bytes(&[&bare, tail].concat()).unwrap(), Abi::from_bytes(&bare).unwrap());
    }
    // What follows is not key-value tables: nodeos and eos-go ignore it.
    assert_eq!(Abi::from_bytes(&[&bare, &[0, 0, 7, 1][..]].concat()).unwrap(), Abi::from_bytes(&bare).unwrap());
    assert!(Abi::from_bytes(&[&bare, &[1][..]].concat()).is_err());
    assert!(Abi::from_bytes(&bare[..bare.len() - 1]).is_err());
    assert!(Abi::from_bytes(&[]).is_err());
}

#[test]
fn known_abi_of_a_state_answer() {
    let hex = "0e656f73696f3a3a6162692f312e3000010576616c7565000102746f0675696e743634000100000000008139bd0000000576616c756500000000";
    let abi = Abi::from_bytes(&const_hex::decode(hex).unwrap()).unwrap();
    assert_eq!(
        serde_json::to_string(&abi).unwrap(),
        "{\"version\":\"eosio::abi/1.0\",\"structs\":[{\"name\":\"value\",\"base\":\"\",\"fields\":\
         [{\"name\":\"to\",\"type\":\"uint64\"}]}],\"tables\":[{\"name\":\"rows2\",\"index_type\":\"\",\"type\":\"value\"}]}"
    );
}

#[test]
fn every_list_round_trips() {
    let json = json!({
        "version": "eosio::abi/1.2",
        "types": [{"new_type_name": "t", "type": "uint8"}],
        "structs": [{"name": "s", "base": "b", "fields": [{"name": "f", "type": "t$"}]}],
        "actions": [{"name": "act", "type": "s", "ricardian_contract": "text"}],
        "tables": [{"name": "tab", "index_type": "i64", "key_names": ["k"], "key_types": ["uint64"], "type": "s"}],
        "ricardian_clauses": [{"id": "i", "body": "text"}],
        "error_messages": [{"error_code": 1, "error_msg": "a"}, {"error_code": "18446744073709551615", "error_msg": "b"}],
        "abi_extensions": [[7, "c0ffee"]],
        "variants": [{"name": "v", "types": ["t", "s"]}],
        "action_results": [{"name": "act", "result_type": "t[]"}],
        "kv_tables": {"kv": {
            "type": "s",
            "primary_index": {"name": "pk", "type": "name"},
            "secondary_indices": {"a": {"type": "uint64"}, "b": {"type": "string"}},
        }},
    });
    let abi: Abi = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&abi).unwrap(), json);
    assert_eq!(Abi::from_bytes(&abi.to_bytes()).unwrap(), abi);
    assert_eq!(serde_json::from_str::<Abi>("{}").unwrap(), Abi::default());
}

#[test]
fn names_that_are_not_utf8_do_not_hide_the_rest() {
    let mut packed =
        abi("s", json!({"structs": [{"name": "s", "fields": [{"name": "??\"", "type": "uint8"}]}]})).to_bytes();
    let at = packed.windows(3).position(|bytes| bytes == b"??\"").unwrap();
    packed[at] = 0xff;
    let abi = Abi::from_bytes(&packed).unwrap();
    assert_eq!(decode_by(&abi, &[1], Rendering::Plain).unwrap(), "{\"\u{fffd}?\\\"\":1}");
}

/// Makes random definitions, and a value of them, out of a stream of random numbers.
struct Maker<'a> {
    numbers: std::iter::Cycle<std::slice::Iter<'a, u16>>,
    names: usize,
    abi: Abi,
}

impl Maker<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("t{}", self.names)
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::from(*self.numbers.next().unwrap()) % count
    }

    /// A type expression and the JSON of one of its values.
    fn value(&mut self, depth: usize) -> (String, Value) {
        let samples = lossless();
        let kind = if depth < 5 { self.pick(8) } else { 0 };
        let name = self.name();
        match kind {
            1 => {
                let (item, value) = self.value(depth + 1);
                let count = self.pick(3);
                (item + "[]", Value::Array(vec![value; count]))
            }
            2 => {
                let (item, value) = self.value(depth + 1);
                let count = self.pick(3);
                (format!("{item}[{count}]"), Value::Array(vec![value; count]))
            }
            3 => {
                let (item, value) = self.value(depth + 1);
                // An optional value of null says nothing of its inner value.
                let present = !value.is_null() && self.pick(3) > 0;
                (item + "?", if present { value } else { Value::Null })
            }
            4 => {
                let (type_name, value) = self.value(depth + 1);
                self.abi.types.push(TypeDef { new_type_name: name.clone(), type_name });
                (name, value)
            }
            5 => {
                let others: Vec<_> = (0..self.pick(3)).map(|_| self.value(5).0).collect();
                let (chosen, value) = self.value(depth + 1);
                // The first alternative of a name is the one that counts.
                let others = others.into_iter().filter(|other| *other != chosen);
                let types: Vec<_> = others.chain([chosen.clone()]).collect();
                self.abi.variants.push(VariantDef { name: name.clone(), types });
                (name, json!([chosen, value]))
            }
            6 | 7 => {
                let mut object = serde_json::Map::new();
                let mut base = String::new();
                if self.pick(3) == 0
                    && let (base_name, Value::Object(base_object)) = self.structure(format!("{name}_base"), depth + 2)
                {
                    (base, object) = (base_name, base_object);
                }
                let (name, value) = self.structure(name, depth);
                object.extend(value.as_object().unwrap().clone());
                self.abi.structs.last_mut().unwrap().base = base;
                (name, Value::Object(object))
            }
            _ => {
                let (name, _, json) = samples[self.pick(samples.len())];
                (name.to_owned(), serde_json::from_str(json).unwrap())
            }
        }
    }

    fn structure(&mut self, name: String, depth: usize) -> (String, Value) {
        let mut object = serde_json::Map::new();
        let mut fields = Vec::new();
        for i in 0..=self.pick(4) {
            let (type_name, value) = self.value(depth + 1);
            let field = format!("{name}.{i}\t");
            object.insert(field.clone(), value);
            fields.push(FieldDef { name: field, type_name });
        }
        self.abi.structs.push(StructDef { name: name.clone(), base: String::new(), fields });
        (name, Value::Object(object))
    }
}

fn hostile_abi() -> impl Strategy<Value = Abi> {
    let name = "[abc]";
    let expression = "([abcd]|uint8|string|asset|public_key|float32)(\\[\\]|\\?|\\[[0-3]\\]|\\$){0,3}";
    let alias = (name, expression).prop_map(|(new_type_name, type_name)| TypeDef { new_type_name, type_name });
    let field = (name, expression).prop_map(|(name, type_name)| FieldDef { name, type_name });
    let structure = (name, "[abcd]?", prop::collection::vec(field, 0..4));
    let structure = structure.prop_map(|(name, base, fields)| StructDef { name, base, fields });
    let variant = (name, prop::collection::vec(expression, 0..3)).prop_map(|(name, types)| VariantDef { name, types });
    let lists = (
        prop::collection::vec(alias, 0..3),
        prop::collection::vec(structure, 0..4),
        prop::collection::vec(variant, 0..3),
        expression,
    );
    lists.prop_map(|(types, structs, variants, root)| Abi { types, structs, variants, ..abi(&root, json!({})) })
}

proptest! {
    #[test]
    fn any_value_of_any_type_round_trips(numbers in prop::collection::vec(any::<u16>(), 20..200)) {
        let mut maker = Maker { numbers: numbers.iter().cycle(), names: 0, abi: Abi::default() };
        let (root, value) = maker.value(0);
        let definitions = serde_json::to_value(&maker.abi).unwrap();
        let abi = abi(&root, definitions);
        prop_assert_eq!(&Abi::from_bytes(&abi.to_bytes()).unwrap(), &abi);

        let bytes = encode_by(&abi, &value).unwrap();
        let json = decode_by(&abi, &bytes, Rendering::Nodeos).unwrap();
        prop_assert_eq!(&json, &value.to_string());
        for rendering in [Rendering::Fit, Rendering::Plain] {
            serde_json::from_str::<Value>(&decode_by(&abi, &bytes, rendering).unwrap()).unwrap();
        }
        for end in 0..bytes.len() {
            let _ = decode_by(&abi, &bytes[..end], Rendering::Plain);
        }
    }

    #[test]
    fn any_bytes_by_any_abi(abi in hostile_abi(), data in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..200)) {
        let _ = abi.validate();
        prop_assert_eq!(&Abi::from_bytes(&abi.to_bytes()).unwrap(), &abi);
        for rendering in [Rendering::Nodeos, Rendering::Fit, Rendering::Plain] {
            if let Ok(json) = decode_by(&abi, &data, rendering) {
                prop_assert!(json.len() <= LIMIT);
                let value = serde_json::from_str::<Value>(&json);
                prop_assert!(value.is_ok(), "{}", json);
                let _ = encode_by(&abi, &value.unwrap());
            }
        }
    }

    #[test]
    fn any_bytes_as_an_abi(abi in hostile_abi(), at in any::<prop::sample::Index>(), byte: u8, data: Vec<u8>) {
        let _ = Abi::from_bytes(&data);
        let mut packed = abi.to_bytes();
        let at = at.index(packed.len());
        packed[at] = byte;
        if let Ok(abi) = Abi::from_bytes(&packed) {
            let _ = abi.validate();
            let _ = decode_by(&abi, &data, Rendering::Fit);
        }
    }
}
