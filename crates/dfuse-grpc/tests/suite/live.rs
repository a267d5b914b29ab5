//! The live feed, from wherever it begins.

use std::collections::BTreeMap;

use dfuse_antelope::model::Message as _;
use dfuse_proto::sf::{
    bstream::v1::{Block as LiveBlock, BlockRequest, block_stream_client::BlockStreamClient},
    headinfo::v1::{HeadInfoRequest, head_info_client::HeadInfoClient},
};

use crate::support::{FORKS, TestChain};

#[tokio::test]
async fn the_live_feed_has_every_block_after_its_parent() {
    let Some(mut chain) = TestChain::recorded(FORKS).await else { return };
    chain.grow(20).await;
    let handle = chain.feed.handle();
    let (head, lib) = (handle.head().unwrap(), handle.lib().unwrap());
    let mut client = BlockStreamClient::new(chain.channel.clone()).max_decoding_message_size(usize::MAX);
    let mut streams = Vec::new();
    let lowest = u64::from(chain.blocks[0].number);
    for (burst, first) in [
        (0, u64::from(head.number)),
        (5, u64::from(head.number) - 5),
        (100_000, lowest),
        (-1, u64::from(lib.number).max(lowest)),
        (-7, 7),
        (i64::MIN, u64::MAX),
    ] {
        let asked = BlockRequest { burst, requester: "test".to_owned(), ..BlockRequest::default() };
        streams.push((first, client.blocks(asked).await.unwrap().into_inner()));
    }
    chain.grow(usize::MAX).await;
    let chain = &chain;
    // All are read at once: what one leaves unread would take the room of the others on their connection.
    let read = streams.iter_mut().map(async |(first, stream)| {
        // The side of a fork that came before the stream began is among them.
        let expected: BTreeMap<_, _> =
            chain.blocks.iter().filter(|it| u64::from(it.number) >= *first).map(|it| (it.id.to_string(), it)).collect();
        let mut seen: BTreeMap<String, LiveBlock> = BTreeMap::new();
        while seen.len() < expected.len() {
            let block = stream.message().await.unwrap().unwrap();
            assert!(
                block.number == *first || seen.contains_key(&block.parent_id),
                "{} before its parent",
                block.number
            );
            let (id, known) = (block.id.clone(), expected[&block.id]);
            assert_eq!(block.payload.as_ref().unwrap().value, known.to_bytes());
            assert_eq!((block.number, block.parent_num + 1), (known.number.into(), known.number.into()));
            assert_eq!(block.lib_num, u64::from(known.dpos_irreversible_blocknum));
            assert!(seen.insert(id, block).is_none(), "a block came twice");
        }
    });
    futures::future::join_all(read).await;
    let head = chain.feed.handle().head().unwrap();
    let info = HeadInfoClient::new(chain.channel.clone()).get_head_info(HeadInfoRequest::default()).await.unwrap();
    assert_eq!((info.get_ref().head_num, &*info.get_ref().head_id), (head.number.into(), &*head.id.to_string()));
}
