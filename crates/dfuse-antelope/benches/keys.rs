//! Text of keys, signatures, times and assets: what a log reader spends per transaction and a decoder per row.

use dfuse_antelope::base58;
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
    bencher.bench_local(|| bs58::encode(black_box(&bytes)).onto(&mut out[..]).unwrap());
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
