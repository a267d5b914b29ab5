//! Rendering of lifecycles, of a recorded chain with a thousand transfers a minute. Needs `DFUSE_TEST_DATA`.
#![allow(clippy::unwrap_used)]

#[path = "../tests/lifecycle/chain.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod chain;

use chain::Chain;
use dfuse_antelope::model::TransactionLifecycle;
use divan::{Bencher, counter::ItemsCount};

fn main() {
    divan::main();
}

fn chain() -> Option<(Chain, Vec<TransactionLifecycle>)> {
    let chain = Chain::until("busy", |block| block.number == 150)?;
    let blocks = chain.best.iter().rev().take(20);
    let ids: Vec<_> = blocks.flat_map(|block| block.transactions()).map(|receipt| receipt.id).collect();
    let lifecycles = chain.lifecycles(&ids).into_iter().flatten().collect();
    Some((chain, lifecycles))
}

/// Of transactions that are in memory, with the ABIs of one request.
#[divan::bench]
fn render(bencher: Bencher<'_, '_>) {
    let Some((chain, lifecycles)) = chain() else { return };
    bencher.counter(ItemsCount::new(lifecycles.len())).bench_local(|| {
        let text = chain.render(|renderer| {
            renderer.json().begin_array();
            lifecycles.iter().try_for_each(|lifecycle| renderer.lifecycle(lifecycle))?;
            renderer.json().end_array();
            Ok(())
        });
        text.len()
    });
}

/// With the lookup in the indexes and the blocks at hand decoded.
#[divan::bench]
fn look_up_and_render(bencher: Bencher<'_, '_>) {
    let Some((chain, lifecycles)) = chain() else { return };
    let ids: Vec<_> = lifecycles.iter().map(|lifecycle| lifecycle.id).collect();
    bencher.counter(ItemsCount::new(ids.len())).bench_local(|| {
        let lifecycles = chain.lifecycles(&ids);
        chain
            .render(|renderer| lifecycles.iter().flatten().try_for_each(|lifecycle| renderer.lifecycle(lifecycle)))
            .len()
    });
}
