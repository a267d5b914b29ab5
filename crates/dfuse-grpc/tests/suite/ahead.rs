//! Blocks that another machine had before: they are waited for.

use std::time::Duration;

use dfuse_proto::sf::firehose::v2::{
    SingleBlockRequest,
    fetch_client::FetchClient,
    single_block_request::{BlockHashAndNumber, BlockNumber, Reference},
};
use dfuse_query::Options;
use tokio::{task::yield_now, time::timeout};
use tonic::Code;

use crate::support::TestChain;

/// When the test gives up.
const GIVE_UP: Duration = Duration::from_secs(60);
const BLOCKS: u32 = 30;

/// With indexes and without, as machines have that only take blocks.
#[tokio::test]
async fn single_blocks_are_waited_for() {
    for has_indexes in [true, false] {
        let options = Options { ahead_wait: Duration::from_secs(3600), has_indexes, ..Options::default() };
        let mut chain = TestChain::machine(BLOCKS, options).await;
        chain.grow(BLOCKS as usize - 3).await;
        chain.served().await;
        let mut all = TestChain::machine(BLOCKS, Options::default()).await;
        all.grow(usize::MAX).await;
        let head = all.blocks.last().unwrap();
        let (num, hash) = (u64::from(head.number), head.id.to_string());
        let single = |reference| SingleBlockRequest { reference: Some(reference), transforms: Vec::new() };
        let asked = [
            Reference::BlockNumber(BlockNumber { num }),
            Reference::BlockHashAndNumber(BlockHashAndNumber { num, hash: hash.clone() }),
        ];
        let fetching: Vec<_> = asked
            .map(|reference| {
                let mut client = FetchClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
                tokio::spawn(async move { client.block(single(reference)).await })
            })
            .into();
        let waiting = async {
            while !chain.service.metrics().render().contains("dfuse_requests_awaiting_block 2\n") {
                yield_now().await;
            }
        };
        timeout(GIVE_UP, waiting).await.expect("both wait");
        chain.grow(usize::MAX).await;
        for fetched in fetching {
            let block = fetched.await.unwrap().unwrap().into_inner();
            assert_eq!(block.metadata.unwrap().id, hash);
        }
        // What no machine can have is told at once.
        let mut client = FetchClient::new(chain.channel.clone());
        let far = single(Reference::BlockNumber(BlockNumber { num: num + 1000 }));
        assert_eq!(client.block(far).await.unwrap_err().code(), Code::NotFound);
    }
}
