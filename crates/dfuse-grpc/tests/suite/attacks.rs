//! Clients that only want to be in the way.

use dfuse_grpc::Options;
use dfuse_proto::dfuse::graphql::v1::{Request, graph_ql_client::GraphQlClient};
use prost_types::{Struct, Value, value::Kind};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::TestChain;

/// Streams with far more to say than fits on the way, of which nothing is read.
#[tokio::test]
async fn whoever_reads_nothing_holds_up_nobody() {
    let chain = TestChain::with(Options::default()).await;
    let address = format!("http://{}", chain.address);
    let fields = [("count".to_owned(), Value { kind: Some(Kind::NumberValue(1e9)) })].into();
    let endless = Request {
        query: format!("subscription {{ {} }}", "x".repeat(10_000)),
        variables: Some(Struct { fields }),
        ..Request::default()
    };
    let mut unread = Vec::new();
    for _ in 0..40 {
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        let mut answers = GraphQlClient::new(channel).execute(endless.clone()).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap();
        unread.push(answers);
    }
    for _ in 0..20 {
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
        let query = Request { query: "{ x }".to_owned(), ..Request::default() };
        let answer = GraphQlClient::new(channel).execute(query).await.unwrap().into_inner().message().await;
        answer.unwrap().unwrap();
    }
    drop(unread);
}
