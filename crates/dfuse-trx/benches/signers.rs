//! Who signed a transaction: recovered, and kept from the last time.
#![allow(clippy::unwrap_used)]

use dfuse_antelope::{
    Checksum256, PrivateKey,
    model::{SignedTransaction, Transaction},
};
use dfuse_trx::Signers;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

fn signed() -> (Signers, SignedTransaction) {
    let chain_id = Checksum256::sha256(b"a chain");
    let key = PrivateKey::k1(&[1; 32]).unwrap();
    let transaction = Transaction::default().sign(&chain_id, &[key]).signed_transaction().unwrap();
    (Signers::new(chain_id), transaction)
}

#[divan::bench]
fn recovered(bencher: Bencher<'_, '_>) {
    let (_, transaction) = signed();
    let chain_id = Checksum256::sha256(b"a chain");
    bencher.bench_local(|| black_box(&transaction).recover_keys(&chain_id).unwrap());
}

#[divan::bench]
fn kept(bencher: Bencher<'_, '_>) {
    let (signers, transaction) = signed();
    bencher.bench_local(|| signers.of(black_box(&transaction)));
}
