//! The blocks of a place, by number, on the one chain that it has.

use std::{collections::VecDeque, ops::RangeInclusive, pin::pin};

use anyhow::anyhow;
use dfuse_blocks::{BlockStore, EncodedBlock, OneBlockName, bundle::BUNDLE_BLOCKS};
use dfuse_node::firehose::{self, Failure, FirehoseClient, FirehoseOptions, ForkStep, Received, Wanted};
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use tracing::warn;

use crate::{
    failure::usage,
    input::{self, Input},
    tools::{firehose_client::endpoint, open_store},
};

/// Blocks by number.
pub(super) type Blocks = BoxStream<'static, anyhow::Result<EncodedBlock>>;

/// Opens a block store or a Firehose endpoint.
pub(super) async fn blocks_of(
    place: &str,
    range: RangeInclusive<u32>,
    options: &FirehoseOptions,
) -> anyhow::Result<Blocks> {
    if place.starts_with("firehose:") || place.starts_with("firehoses:") {
        return of_endpoint(place, range, options).await;
    }
    match input::open(place)? {
        Input::Store(place) => of_store(open_store(&place).await?, range).await,
        _ => Err(usage(format!("{place} is not a block store; name its directory or URL, or a Firehose endpoint"))),
    }
}

async fn of_store(store: BlockStore, range: RangeInclusive<u32>) -> anyhow::Result<Blocks> {
    let mut names = store.one_blocks().await?;
    let bases = store.bundles().await?;
    let next = bases.last().map_or(0, |base| base.saturating_add(BUNDLE_BLOCKS));
    names.retain(|name| name.number >= next);
    let names = best_chain(names).into_iter().filter(|name| range.contains(&name.number)).collect();
    let last_of = |base: u32| base.saturating_add(BUNDLE_BLOCKS - 1);
    let bases: Vec<_> =
        bases.into_iter().filter(|base| *base <= *range.end() && last_of(*base) >= *range.start()).collect();
    let singles = store.read_one_blocks(names);
    let bundles = stream::iter(bases).map(move |base| store.read_bundle_blocks(base, range.clone())).flatten();
    Ok(bundles.chain(singles).map_err(anyhow::Error::from).boxed())
}

/// The names of the highest block and of those before it, ascending. They may be of several branches.
fn best_chain(names: Vec<OneBlockName>) -> VecDeque<OneBlockName> {
    let mut chain = VecDeque::new();
    let mut wanted: Option<(u32, String)> = None;
    for name in names.into_iter().rev() {
        let is_next = wanted.as_ref().is_none_or(|(number, id)| name.number == *number && name.id == *id);
        if is_next {
            wanted = name.number.checked_sub(1).map(|number| (number, name.previous.clone()));
            chain.push_front(name);
        }
    }
    chain
}

/// What an endpoint has, up to the block that is the head now. Of two endpoints one may be that of a provider, and the other one's own
/// without TLS: the token or key is not for that.
async fn of_endpoint(place: &str, range: RangeInclusive<u32>, options: &FirehoseOptions) -> anyhow::Result<Blocks> {
    let endpoints = endpoint(place)?;
    let endpoint = &endpoints.all()[0];
    let mut options = options.clone();
    if firehose::check(&endpoints, &options).is_err() {
        warn!("{endpoint} is asked without the token or API key, which would be sent without encryption");
        options.credential = None;
    }
    let name = endpoint.to_string();
    let failed = move |failure: Failure| anyhow!("{name}: {failure}");
    let client = FirehoseClient::connect(endpoint, &options).await.map_err(&failed)?;
    let head = client.head().await.map_err(&failed)?;
    let (start, stop) = (*range.start(), head.min(*range.end()));
    if stop < start {
        return Ok(stream::empty().boxed());
    }
    let wanted = Wanted { start: start.into(), stop: Some(stop), ..Wanted::default() };
    let received = client.received(&wanted).await.map_err(&failed)?;
    Ok(settled(received.map_err(failed)).boxed())
}

/// The blocks of a stream once they can no longer be undone, and at its end the others.
fn settled(
    received: impl Stream<Item = anyhow::Result<Received>> + Send + 'static,
) -> impl Stream<Item = anyhow::Result<EncodedBlock>> + Send {
    let state = (Box::pin(received), VecDeque::<EncodedBlock>::new(), false);
    stream::try_unfold(state, async |(mut received, mut waiting, mut ended)| {
        loop {
            let lib = waiting.back().map_or(0, EncodedBlock::lib_number);
            if let Some(block) = waiting.pop_front_if(|block| ended || block.number() <= lib) {
                return Ok(Some((block, (received, waiting, ended))));
            }
            if ended {
                return Ok(None);
            }
            match pin!(received.next()).await.transpose()? {
                Some(Received { step: ForkStep::StepUndo, .. }) => drop(waiting.pop_back()),
                Some(Received { encoded, .. }) => waiting.push_back(encoded),
                None => ended = true,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_chain_is_found_by_names() {
        let name = |number: u32, id: &str, previous: &str| OneBlockName {
            number,
            id: id.to_owned(),
            previous: previous.to_owned(),
            lib_number: 1,
            suffix: "a".to_owned(),
        };
        // Twice, and a branch that ends earlier.
        let names = vec![
            name(5, "a5", "a4"),
            name(5, "b5", "b4"),
            name(6, "a6", "a5"),
            name(6, "a6", "a5"),
            name(6, "b6", "b5"),
            name(7, "a7", "a6"),
        ];
        let chain: Vec<_> = best_chain(names).into_iter().map(|name| name.id).collect();
        assert_eq!(chain, ["a5", "a6", "a7"]);
    }
}
