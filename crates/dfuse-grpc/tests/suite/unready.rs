//! Before the first block: what would be looked up says that it is not ready, and what follows the chain waits.

use std::sync::Arc;

use dfuse_proto::sf::{
    bstream::v1::{BlockRequest, block_stream_client::BlockStreamClient},
    firehose::v2::{
        InfoRequest, Request, SingleBlockRequest,
        endpoint_info_client::EndpointInfoClient,
        fetch_client::FetchClient,
        single_block_request::{BlockHashAndNumber, BlockNumber, Reference},
        stream_client::StreamClient,
    },
    headinfo::v1::{HeadInfoRequest, head_info_client::HeadInfoClient},
};
use dfuse_query::OpenAccess;
use tonic::{Code, Status};

use crate::support::{TestChain, code};

#[track_caller]
fn is_unready<T>(answer: Result<T, Status>) {
    let status = answer.err().unwrap();
    assert_eq!((status.code(), &*code(&status)), (Code::Unavailable, "app_not_ready_error"));
}

#[tokio::test]
async fn before_the_first_block() {
    let mut chain = TestChain::synthetic(3, Arc::new(OpenAccess)).await;
    let channel = || chain.channel.clone();
    is_unready(EndpointInfoClient::new(channel()).info(InfoRequest {}).await);
    is_unready(HeadInfoClient::new(channel()).get_head_info(HeadInfoRequest::default()).await);
    let hash = "00".repeat(32);
    for reference in [
        Reference::BlockNumber(BlockNumber { num: 2 }),
        Reference::BlockHashAndNumber(BlockHashAndNumber { num: 0, hash }),
    ] {
        let request = SingleBlockRequest { reference: Some(reference), ..Default::default() };
        is_unready(FetchClient::new(channel()).block(request).await);
    }
    is_unready(BlockStreamClient::new(channel()).blocks(BlockRequest::default()).await);
    let mut client = StreamClient::new(channel());
    is_unready(client.blocks(Request { start_block_num: -1, ..Request::default() }).await);
    // It has the first block when that is there.
    let mut blocks = client.blocks(Request::default()).await.unwrap().into_inner();
    chain.grow(1).await;
    assert!(blocks.message().await.unwrap().unwrap().block.is_some());
}
