use std::{collections::BTreeSet, sync::Arc};

use dfuse_query::OpenAccess;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{
    v1::{self, server_reflection_response::MessageResponse},
    v1alpha,
};

use crate::support::{TestChain, code};

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn health_follows_readiness() {
    let mut chain = TestChain::synthetic(3, Arc::new(OpenAccess)).await;
    let mut client = HealthClient::new(chain.channel.clone());
    assert_eq!(client.check(check("")).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    let mut watch = client.watch(check("dfuse.graphql.v1.GraphQL")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    chain.grow(usize::MAX).await;
    chain.served().await;
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(client.check(check("")).await.unwrap().into_inner().status(), ServingStatus::Serving);

    let unknown = client.check(check("nothing")).await.unwrap_err();
    assert_eq!((unknown.code(), &*code(&unknown)), (Code::NotFound, "grpc_service_not_found_error"));
    let mut watch = client.watch(check("nothing")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn health_is_told_over_plain_http_too() {
    let mut chain = TestChain::synthetic(3, Arc::new(OpenAccess)).await;
    for (is_ready, status) in [(false, 503), (true, 200)] {
        if is_ready {
            chain.grow(usize::MAX).await;
            chain.served().await;
        }
        for path in ["/", "/healthz"] {
            let mut stream = TcpStream::connect(chain.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
            assert!(answer.ends_with(&format!("{{\"is_ready\":{is_ready}}}")), "{answer}");
        }
    }
}

#[tokio::test]
async fn both_versions_of_reflection_name_all_services() {
    let chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    let message_request = Some(v1::server_reflection_request::MessageRequest::ListServices(String::new()));
    let asked = v1::ServerReflectionRequest { host: String::new(), message_request };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(chain.channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream_of(asked)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for name in ["dfuse.graphql.v1.GraphQL", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    // None is named that is not served.
    let of_chain: Vec<_> = names.iter().filter(|name| !name.starts_with("grpc.")).copied().collect();
    let served = [
        "dfuse.blocks.v1.AbiDumps",
        "dfuse.blocks.v1.LostBlocks",
        "dfuse.eosio.v1.GraphQL",
        "dfuse.graphql.v1.GraphQL",
        "sf.bstream.v1.BlockStream",
        "sf.firehose.v1.Stream",
        "sf.firehose.v2.EndpointInfo",
        "sf.firehose.v2.Fetch",
        "sf.firehose.v2.Stream",
        "sf.graphql.v1.GraphQL",
        "sf.headinfo.v1.HeadInfo",
    ];
    assert_eq!(BTreeSet::from_iter(of_chain), BTreeSet::from(served));
    // Blocks, and what is in the details of errors.
    for symbol in ["sf.antelope.type.v1.Block", "google.rpc.ErrorInfo", "google.rpc.RetryInfo"] {
        let symbol = symbol.to_owned();
        let message_request = Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol));
        let asked = v1alpha::ServerReflectionRequest { host: String::new(), message_request };
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(chain.channel.clone());
        let mut answers = client.server_reflection_info(tokio_stream_of(asked)).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap().message_response;
        use v1alpha::server_reflection_response::MessageResponse as Old;
        assert!(matches!(answer, Some(Old::FileDescriptorResponse(_))), "{answer:?}");
    }
}

fn tokio_stream_of<T: Send + 'static>(message: T) -> futures::stream::Iter<std::array::IntoIter<T, 1>> {
    futures::stream::iter([message])
}

#[tokio::test]
async fn methods_that_do_not_exist_have_a_code() {
    let chain = TestChain::synthetic(1, Arc::new(OpenAccess)).await;
    for path in ["/nothing.Here/Call", "/dfuse.graphql.v1.GraphQL/Nothing", "/sf"] {
        let mut client = Grpc::new(chain.channel.clone());
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
        let path: PathAndQuery = path.parse().unwrap();
        let status = client.unary(Request::new(check("")), path, codec).await.unwrap_err();
        assert_eq!((status.code(), &*code(&status)), (Code::Unimplemented, "route_not_found_error"));
    }
}
