//! Text of keys, signatures, times and assets: what a log reader spends per transaction and a decoder per row.

use dfuse_antelope::{
    Asset, BlockTimestamp, Checksum, PrivateKey, PublicKey, Signature, Symbol, base58,
    raw::{Reader, Writer},
};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// A public key and a signature, each with its checksum.
const SIZES: [usize; 2] = [37, 69];

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| 255 - i as u8 * 3).collect()
}

#[divan::bench(args = SIZES)]
fn base58_encode(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = bytes(size);
    let mut out = Vec::with_capacity(128);
    bencher.bench_local(|| {
        out.clear();
        base58::encode_to(black_box(&bytes), &mut out);
        out.len()
    });
}

#[divan::bench(args = SIZES)]
fn base58_encode_bs58(bencher: Bencher<'_, '_>, size: usize) {
    let bytes = bytes(size);
    let mut out = [0; 128];
    bencher.bench_local(|| bs58::encode(black_box(&bytes)).onto(&mut out[..]));
}

#[divan::bench(args = SIZES)]
fn base58_decode(bencher: Bencher<'_, '_>, size: usize) {
    let text = bs58::encode(bytes(size)).into_vec();
    bencher.bench_local(|| base58::decode(black_box(&text)));
}

#[divan::bench(args = SIZES)]
fn base58_decode_bs58(bencher: Bencher<'_, '_>, size: usize) {
    let text = bs58::encode(bytes(size)).into_vec();
    bencher.bench_local(|| bs58::decode(black_box(&text)).into_vec());
}

/// Runs `write` again and again on the same buffer.
fn bench_text(bencher: Bencher<'_, '_>, write: impl Fn(&mut Vec<u8>)) {
    let mut out = Vec::with_capacity(128);
    bencher.bench_local(|| {
        out.clear();
        write(&mut out);
        out.len()
    });
}

fn digest() -> Checksum<32> {
    Checksum([42; 32])
}

fn private_key(kind: &str) -> PrivateKey {
    let secret = [7; 32];
    if kind == "K1" { PrivateKey::k1(&secret) } else { PrivateKey::r1(&secret) }.expect("a number of the curve")
}

const KINDS: [&str; 2] = ["K1", "R1"];

#[divan::bench(args = KINDS)]
fn signature_bytes_to_text(bencher: Bencher<'_, '_>, kind: &str) {
    let mut bytes = Writer::new();
    private_key(kind).sign(&digest()).write(&mut bytes);
    bench_text(bencher, |out| {
        let signature = Signature::read(&mut Reader::new(black_box(&bytes.bytes)));
        signature.expect("written above").write_to(out);
    });
}

#[divan::bench(args = KINDS)]
fn signature_from_text(bencher: Bencher<'_, '_>, kind: &str) {
    let text = private_key(kind).sign(&digest()).to_string();
    bencher.bench_local(|| black_box(&text).parse::<Signature>());
}

#[divan::bench(args = KINDS)]
fn signature_recover(bencher: Bencher<'_, '_>, kind: &str) {
    let signature = private_key(kind).sign(&digest());
    bencher.bench_local(|| black_box(&signature).recover(&digest()));
}

#[divan::bench(args = KINDS)]
fn sign(bencher: Bencher<'_, '_>, kind: &str) {
    let key = private_key(kind);
    bencher.bench_local(|| key.sign(black_box(&digest())));
}

#[divan::bench(args = KINDS)]
fn public_key_to_text(bencher: Bencher<'_, '_>, kind: &str) {
    let key = private_key(kind).public_key();
    bench_text(bencher, |out| black_box(&key).write_to(out));
}

#[divan::bench(args = KINDS)]
fn public_key_from_text(bencher: Bencher<'_, '_>, kind: &str) {
    let text = private_key(kind).public_key().to_string();
    bencher.bench_local(|| black_box(&text).parse::<PublicKey>());
}

#[divan::bench]
fn block_time_to_text(bencher: Bencher<'_, '_>) {
    bench_text(bencher, |out| black_box(BlockTimestamp(1_369_569_506)).write_to(out));
}

#[divan::bench]
fn block_time_from_text(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| black_box("2021-09-13T00:59:13.000").parse::<BlockTimestamp>());
}

#[divan::bench]
fn asset_to_text(bencher: Bencher<'_, '_>) {
    let asset = Asset { amount: 123_456_789_012, symbol: Symbol(1_397_703_940) };
    bench_text(bencher, |out| black_box(asset).write_to(out));
}

#[divan::bench]
fn asset_from_text(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| black_box("12345678.9012 EOS").parse::<Asset>());
}
