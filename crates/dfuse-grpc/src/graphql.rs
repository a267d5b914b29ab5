//! GraphQL documents. What executes them is handed in.

use std::sync::Arc;

use dfuse_proto::dfuse::graphql::v1::{Error, Request, Response, SourceLocation};
use dfuse_query::{GraphqlError, GraphqlExecutor, GraphqlOperation, GraphqlRequest, GraphqlResponse, Place};
use futures::{FutureExt, StreamExt, stream};
use tonic::Status;

use crate::{
    call::{Call, Messages},
    value::{object_of, to_list, to_struct},
};

/// The service, under each of its names.
#[derive(Debug, Clone)]
pub(crate) struct GraphQl(pub(crate) Arc<dyn GraphqlExecutor>);

impl GraphQl {
    async fn answer(&self, request: tonic::Request<Request>) -> Result<tonic::Response<Messages<Response>>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let Request { query, variables, operation_name } = message.clone();
        let document = GraphqlRequest {
            query,
            operation_name: Some(operation_name).filter(|name| !name.is_empty()),
            variables: variables.map(object_of).unwrap_or_default(),
        };
        // What is wrong with it is in the answer.
        let is_subscription = matches!(self.0.operation(&document), Ok(GraphqlOperation::Subscription));
        let place =
            if is_subscription { call.caller().stream().map_err(|error| call.fail(error))? } else { Place::default() };
        let answers = self.0.execute(document, call.caller().clone(), call.trace_id());
        let answers = call.stream(&message, place, answers.map(|answer| Ok((to_message(&answer), answer.documents))));
        // The metadata that goes before the answers says where the caller stands: after a query, or with the subscription begun.
        let mut answers = answers.into_inner();
        let first = match is_subscription {
            true => answers.next().now_or_never(),
            false => Some(answers.next().await),
        };
        Ok(tonic::Response::new(match first {
            Some(first) => stream::iter(first).chain(answers).boxed(),
            None => answers,
        }))
    }
}

fn to_message(response: &GraphqlResponse) -> Response {
    Response { data: response.data.clone().unwrap_or_default(), errors: response.errors.iter().map(to_error).collect() }
}

fn to_error(error: &GraphqlError) -> Error {
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let locations = error.locations.iter();
    Error {
        message: error.message.clone(),
        locations: locations.map(|at| SourceLocation { line: whole(at.line), column: whole(at.column) }).collect(),
        path: (!error.path.is_empty()).then(|| to_list(error.path.clone())),
        extensions: (!error.extensions.is_empty()).then(|| to_struct(error.extensions.clone())),
    }
}

/// The service under one of its names.
macro_rules! named {
    ($($service:path),+) => {
        $(
            #[async_trait::async_trait]
            impl $service for GraphQl {
                type ExecuteStream = Messages<Response>;

                async fn execute(
                    &self,
                    request: tonic::Request<Request>,
                ) -> Result<tonic::Response<Self::ExecuteStream>, Status> {
                    self.answer(request).await
                }
            }
        )+
    };
}

named!(
    dfuse_proto::dfuse::graphql::v1::graph_ql_server::GraphQl,
    dfuse_proto::dfuse::eosio::v1::graph_ql_server::GraphQl,
    dfuse_proto::sf::graphql::v1::graph_ql_server::GraphQl
);
