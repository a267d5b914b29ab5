//! What an ABI costs per action and per table row, and to compile.

#![allow(clippy::unwrap_used)]

use dfuse_antelope::{
    Name,
    abi::{Abi, AbiSerializer, FieldDef, Rendering, StructDef, TableDef},
};
use divan::{Bencher, black_box};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

const LIMIT: usize = 1 << 20;
const RENDERINGS: [Rendering; 2] = [Rendering::Nodeos, Rendering::Plain];

fn serializer(fields: &[(String, &str)]) -> AbiSerializer {
    let fields =
        fields.iter().map(|(name, type_name)| FieldDef { name: name.clone(), type_name: (*type_name).to_owned() });
    let structs = vec![StructDef { name: "row".to_owned(), base: String::new(), fields: fields.collect() }];
    let tables = vec![TableDef { name: Name::literal("rows"), type_name: "row".to_owned(), ..TableDef::default() }];
    AbiSerializer::new(&Abi { structs, tables, ..Abi::default() })
}

fn transfer() -> (AbiSerializer, Value) {
    let fields = [("from", "name"), ("to", "name"), ("quantity", "asset"), ("memo", "string")];
    let value = json!({"from": "alice", "to": "bob", "quantity": "1.0000 EOS", "memo": "for the coffee of yesterday"});
    (serializer(&fields.map(|(name, type_name)| (name.to_owned(), type_name))), value)
}

/// Sixty columns of the types that tables are made of.
fn wide_row() -> (AbiSerializer, Value) {
    let columns = [
        ("name", json!("eosio.token")),
        ("uint64", json!(1_234_567)),
        ("asset", json!("1234.5678 EOS")),
        ("uint32", json!(7)),
        ("float64", json!("0.25")),
        ("time_point", json!("2018-11-01T15:13:07.001")),
        ("string", json!("a few words of text")),
        ("bool", json!(1)),
        ("checksum256", json!("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")),
        ("uint8[]", json!([1, 2, 3, 4])),
    ];
    let columns: Vec<_> = (0..60).map(|i| (format!("column_{i}"), columns[i % columns.len()].clone())).collect();
    let fields: Vec<_> = columns.iter().map(|(name, (type_name, _))| (name.clone(), *type_name)).collect();
    let value = columns.into_iter().map(|(name, (_, value))| (name, value)).collect();
    (serializer(&fields), Value::Object(value))
}

fn decode(bencher: Bencher<'_, '_>, (serializer, value): (AbiSerializer, Value), rendering: Rendering) {
    let rows = serializer.table(Name::literal("rows")).unwrap();
    let data = rows.encode(&value, LIMIT).unwrap();
    let mut out = Vec::with_capacity(LIMIT);
    bencher.counter(divan::counter::BytesCount::new(data.len())).bench_local(|| {
        out.clear();
        rows.decode(black_box(&data), rendering, LIMIT, &mut out)
    });
}

#[divan::bench(args = RENDERINGS)]
fn decode_transfer(bencher: Bencher<'_, '_>, rendering: Rendering) {
    decode(bencher, transfer(), rendering);
}

#[divan::bench(args = RENDERINGS)]
fn decode_row_of_60_columns(bencher: Bencher<'_, '_>, rendering: Rendering) {
    decode(bencher, wide_row(), rendering);
}

#[divan::bench]
fn encode_transfer(bencher: Bencher<'_, '_>) {
    let (serializer, value) = transfer();
    let rows = serializer.table(Name::literal("rows")).unwrap();
    bencher.bench_local(|| rows.encode(black_box(&value), LIMIT));
}

#[divan::bench]
fn find_table(bencher: Bencher<'_, '_>) {
    let (serializer, _) = transfer();
    bencher.bench_local(|| serializer.table(black_box(Name::literal("rows"))).is_ok());
}

/// An ABI of a hundred structs of five fields.
#[divan::bench]
fn read_and_compile(bencher: Bencher<'_, '_>) {
    let structs = (0..100).map(|i| {
        let fields = ["name", "asset", "uint64[]", "string?", "bytes$"];
        let fields = fields.iter().enumerate();
        let fields = fields.map(|(at, name)| FieldDef { name: format!("field{at}"), type_name: (*name).to_owned() });
        StructDef { name: format!("struct{i}"), base: String::new(), fields: fields.collect() }
    });
    let packed = Abi { structs: structs.collect(), ..Abi::default() }.to_bytes();
    bencher.bench_local(|| AbiSerializer::new(&Abi::from_bytes(black_box(&packed)).unwrap()));
}
