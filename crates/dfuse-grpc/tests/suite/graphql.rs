use std::sync::Arc;

use dfuse_proto::{dfuse, sf};
use dfuse_query::OpenAccess;
use prost_types::{Struct, Value, value::Kind};
use serde_json::{Value as Json, json};
use tonic::{Code, codec::CompressionEncoding};

use crate::support::{TestChain, code};
use dfuse_proto::dfuse::graphql::v1::{Request, graph_ql_client::GraphQlClient};

fn request(query: &str, variables: &[(&str, Kind)]) -> Request {
    let fields =
        variables.iter().map(|(name, kind)| ((*name).to_owned(), Value { kind: Some(kind.clone()) })).collect();
    Request { query: query.to_owned(), variables: Some(Struct { fields }), operation_name: "named".to_owned() }
}

#[tokio::test]
async fn documents_are_executed_under_each_name_of_the_service() {
    let chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    let asked = request("{ head }", &[("a", Kind::NumberValue(7.0)), ("b", Kind::BoolValue(true))]);
    let mut answers = Vec::new();
    macro_rules! ask {
        ($($client:path),+) => {
            $({
                let mut client = <$client>::new(chain.channel.clone())
                    .accept_compressed(CompressionEncoding::Zstd)
                    .accept_compressed(CompressionEncoding::Gzip);
                let mut stream = client.execute(asked.clone()).await.unwrap().into_inner();
                answers.push(stream.message().await.unwrap().unwrap());
                assert!(stream.message().await.unwrap().is_none());
            })+
        };
    }
    ask!(
        dfuse::graphql::v1::graph_ql_client::GraphQlClient<_>,
        dfuse::eosio::v1::graph_ql_client::GraphQlClient<_>,
        sf::graphql::v1::graph_ql_client::GraphQlClient<_>
    );
    for answer in answers {
        assert_eq!(answer.errors, []);
        let data: Json = serde_json::from_str(&answer.data).unwrap();
        let expected = json!({"query": "{ head }", "name": "named", "variables": {"a": 7, "b": true}, "number": 0});
        assert_eq!(data, expected);
    }
}

#[tokio::test]
async fn subscriptions_end_when_they_end_and_errors_come_whole() {
    let chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    let mut client = GraphQlClient::new(chain.channel.clone());
    let asked = request("subscription { x }", &[("count", Kind::NumberValue(5.0))]);
    let mut stream = client.execute(asked).await.unwrap().into_inner();
    for number in 1..=5 {
        let answer = stream.message().await.unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Json>(&answer.data).unwrap()["number"], number);
    }
    assert!(stream.message().await.unwrap().is_none());

    let answer = client.execute(request("fail", &[])).await.unwrap();
    let trace_id = answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned();
    let answer = answer.into_inner().message().await.unwrap().unwrap();
    let [error] = &answer.errors[..] else { panic!("{answer:?}") };
    assert_eq!((&*answer.data, &*error.message), ("", &*format!("no (trace_id: {trace_id})")));
    assert_eq!((error.locations[0].line, error.locations[0].column), (1, 2));
    assert_eq!(error.path.as_ref().unwrap().values[1].kind, Some(Kind::NumberValue(3.0)));
    let extensions = &error.extensions.as_ref().unwrap().fields;
    assert_eq!(extensions["trace_id"].kind, Some(Kind::StringValue(trace_id)));
}

#[tokio::test]
async fn a_server_that_stops_tells_its_streams() {
    let mut chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    let mut client = GraphQlClient::new(chain.channel.clone());
    let asked = request("subscription { x }", &[("count", Kind::NumberValue(0.0))]);
    let mut stream = client.execute(asked).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let (_, end) = tokio::join!(chain.stop(), stream.message());
    let status = end.unwrap_err();
    assert_eq!((status.code(), &*code(&status)), (Code::Unavailable, "service_unavailable_error"));
}

#[tokio::test]
async fn requests_that_are_too_large_are_refused_with_a_code() {
    let chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    let mut client = GraphQlClient::new(chain.channel.clone());
    let status = client.execute(request(&"x".repeat(2 << 20), &[])).await.unwrap_err();
    assert_eq!((status.code(), &*code(&status)), (Code::ResourceExhausted, "request_body_too_large_error"));
}
