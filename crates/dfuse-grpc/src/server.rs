//! The server: its services, and its life.

use std::{future::Future, sync::Arc};

use dfuse_proto::{
    DESCRIPTORS,
    dfuse::{blocks, eosio, graphql},
    sf,
};
use dfuse_query::{GraphqlExecutor, Service};
use futures::future::BoxFuture;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    codec::CompressionEncoding,
    server::NamedService,
    service::Routes,
    transport::{Error, Server},
};
use tonic_health::pb::health_server::HealthServer;

use crate::{
    Options, connection::accepted, firehose::Firehose, frame::Frame, graphql::GraphQl, health::OwnHealth,
    metrics::describe,
};

/// The gRPC server.
pub struct GrpcServer {
    frame: Frame,
    stopping: CancellationToken,
    options: Options,
}

impl std::fmt::Debug for GrpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcServer").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A service with the limits and the compressions of all.
macro_rules! with_limits {
    ($server:path, $service:expr, $options:expr) => {
        <$server>::new($service)
            .max_decoding_message_size($options.max_request_bytes)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
    };
}

impl GrpcServer {
    /// Answers what is asked of that service; documents are executed by that executor, and without one there is no GraphQL.
    pub fn new(service: Service, graphql: Option<Arc<dyn GraphqlExecutor>>, options: Options) -> Self {
        service.metrics().record(describe);
        let stopping = CancellationToken::new();
        let firehose = Firehose { json: options.firehose_json };
        let mut names = Vec::new();
        let mut routes = Routes::default();
        macro_rules! add {
            ($($server:path, $service:expr;)+) => {
                $(
                    names.push(<$server as NamedService>::NAME);
                    routes = routes.add_service(with_limits!($server, $service, options));
                )+
            };
        }
        if let Some(documents) = graphql.map(GraphQl) {
            add! {
                graphql::v1::graph_ql_server::GraphQlServer<GraphQl>, documents.clone();
                eosio::v1::graph_ql_server::GraphQlServer<GraphQl>, documents.clone();
                sf::graphql::v1::graph_ql_server::GraphQlServer<GraphQl>, documents;
            }
        }
        add! {
            sf::firehose::v1::stream_server::StreamServer<Firehose>, firehose;
            sf::firehose::v2::stream_server::StreamServer<Firehose>, firehose;
            sf::firehose::v2::fetch_server::FetchServer<Firehose>, firehose;
            sf::firehose::v2::endpoint_info_server::EndpointInfoServer<Firehose>, firehose;
            sf::bstream::v1::block_stream_server::BlockStreamServer<Firehose>, firehose;
            sf::headinfo::v1::head_info_server::HeadInfoServer<Firehose>, firehose;
            blocks::v1::abi_dumps_server::AbiDumpsServer<Firehose>, firehose;
            blocks::v1::lost_blocks_server::LostBlocksServer<Firehose>, firehose;
        }
        let health = HealthServer::new(OwnHealth::new(names, stopping.clone()));
        let routes = with_reflection(routes.add_service(health));
        let frame = Frame::new(service, routes, stopping.clone(), &options);
        Self { frame, stopping, options }
    }

    /// Serves until `shutdown` is done. Then no call begins any more, streams end with an error that says to come back, and what
    /// has not ended after [`Options::shutdown_grace`] is given up.
    ///
    /// # Errors
    /// Those of the transport, which are faults.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let (stopping, grace) = (self.stopping.clone(), self.options.shutdown_grace);
        let mut serving = self.serve_until_stopping(listener);
        tokio::select! {
            ended = &mut serving => return ended,
            () = shutdown => stopping.cancel(),
        }
        timeout(grace, serving).await.unwrap_or_else(|_| {
            tracing::warn!("gRPC clients did not leave in time");
            Ok(())
        })
    }

    /// Boxed here, so that whoever serves need not compile all that answers calls.
    fn serve_until_stopping(self, listener: TcpListener) -> BoxFuture<'static, Result<(), Error>> {
        let Self { frame, stopping, options } = self;
        let server = Server::builder()
            .accept_http1(true)
            .http2_keepalive_interval(Some(options.keepalive))
            .http2_keepalive_timeout(Some(options.keepalive_timeout))
            .http2_max_header_list_size(16 << 10)
            .max_concurrent_streams(options.max_calls)
            .concurrency_limit_per_connection(options.max_calls as usize);
        let incoming = accepted(listener, &options);
        Box::pin(server.serve_with_incoming_shutdown(frame, incoming, stopping.cancelled_owned()))
    }
}

/// What clients need to find services and messages by themselves, those in the details of errors among them, in both versions of
/// reflection.
fn with_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let valid = "the descriptors are made by a test that reads them";
    let (v1, v1alpha) = (builder().build_v1().expect(valid), builder().build_v1alpha().expect(valid));
    routes.add_service(v1).add_service(v1alpha)
}
