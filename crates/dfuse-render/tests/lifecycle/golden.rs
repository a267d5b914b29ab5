//! One lifecycle of each status, as text: the order of keys counts, too.

use dfuse_antelope::Checksum256;

use crate::{chain::Chain, pretty};

fn lifecycle(chain: &Chain, id: Checksum256) -> String {
    let found = chain.lifecycles(&[id]).pop().flatten().unwrap();
    pretty(&chain.render(|renderer| renderer.lifecycle(&found)))
}

#[test]
fn of_every_status() {
    let Some(chain) = Chain::whole("small") else { return };
    for (name, id) in [
        ("executed", "44b70a9716c8460677085205b7db37996e212f3490a182b247fbf7a9597fd493"),
        ("executed_and_deferred", "d92b81c3f7a1406c13cd8b99bb468e4005267d508f245c8cdf96664abc8831c7"),
        ("soft_fail", "b5bf4ca77fd1c6059903c5d363deb6706ea7ed2cebb281b63d2713bf49fafb3e"),
        ("hard_fail", "febc987bb93cfeff96c1794c401210805a366c1532f55f191791f8f8d8f6c4e1"),
        ("delayed", "ab2820d2d1ca0ce6e5f2fa0f4b0d6473c446b576cee822fcb01e85a841d3e6ef"),
        ("expired", "47104ed961b4897d94d59dddb0371f4003d4ea0a8abca4ae81b11654c2c793e1"),
        ("canceled", "d4c24d41412451ac53c613d8b489208464ad639c1072e695a609e3e6d9795a64"),
    ] {
        insta::assert_snapshot!(name, lifecycle(&chain, id.parse().unwrap()));
    }
    // The handler of an error has the trace of what failed in its own.
    let is_handler = |trace: &&dfuse_antelope::model::TransactionTrace| trace.failed_dtrx_trace.is_some();
    let handler = chain.best.iter().flat_map(|block| block.transaction_traces()).find(is_handler).unwrap();
    insta::assert_snapshot!("handler", lifecycle(&chain, handler.id));
}

#[test]
fn of_one_that_was_forked_out() {
    // Between the first switch and the second.
    let Some(chain) = Chain::until("fork", |block| block.number == 123) else { return };
    let lost = chain.lost_receipts().into_iter().min().unwrap();
    insta::assert_snapshot!("pending", lifecycle(&chain, lost));
}
