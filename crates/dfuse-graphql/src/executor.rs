//! Executes documents.

use std::sync::Arc;

use async_graphql::{
    Variables,
    parser::{
        parse_query,
        types::{ExecutableDocument, OperationType},
    },
};
use dfuse_query::{
    ApiError, ApiResult, Awaited, Caller, Class, ErrorCode, GraphqlExecutor, GraphqlOperation, GraphqlRequest,
    GraphqlResponse, OwnedRead, Service, TraceId,
};
use futures::{
    StreamExt,
    executor::block_on,
    stream::{self, BoxStream},
};

use crate::{
    Limits,
    document::{check_variables, defaults, operation_of, to_one_field},
    error, feed,
    nulls::Asked,
    read::Request,
    schema::{self, DfuseSchema},
};

/// Executes documents with the schema of this server. Cloning is cheap.
#[derive(Clone)]
pub struct Executor {
    service: Service,
    schema: DfuseSchema,
    limits: Limits,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Executor {
    /// Answers from that service within limits.
    pub fn new(service: Service, limits: Limits) -> Self {
        Self { service, schema: schema::new(), limits }
    }

    /// The schema, in the language of schemas.
    pub fn sdl(&self) -> String {
        self.schema.sdl()
    }

    fn parse(&self, request: &GraphqlRequest) -> ApiResult<ExecutableDocument> {
        let limit = self.limits.document_bytes;
        if request.query.len() > limit {
            let message = format!("The document has {} bytes; at most {limit} are allowed.", request.query.len());
            return Err(ApiError::new(ErrorCode::GraphqlTooComplex, message).detail("limit", limit));
        }
        parse_query(&request.query).map_err(|error| error::of_parser(&error))
    }

    /// Answers a query in one read: its resolvers never wait.
    async fn query(self, request: GraphqlRequest, document: ExecutableDocument, trace_id: TraceId) -> GraphqlResponse {
        // Only one of several machines can be asked for what another one had before.
        let again = (!self.service.options().ahead_wait.is_zero()).then(|| (request.clone(), document.clone()));
        let (response, awaited) = self.execute_once(request, document, trace_id, true).await;
        match (awaited, again) {
            (Some(awaited), Some((request, document))) if self.service.comes_to(awaited).await => {
                self.execute_once(request, document, trace_id, false).await.0
            }
            _ => response,
        }
    }

    /// The answer, and the block that it awaits. A request is counted the first time that it is answered.
    async fn execute_once(
        &self,
        request: GraphqlRequest,
        document: ExecutableDocument,
        trace_id: TraceId,
        is_first: bool,
    ) -> (GraphqlResponse, Option<Awaited>) {
        let (schema, limits) = (self.schema.clone(), self.limits);
        let work = move |read: OwnedRead| {
            let reading = Arc::new(Request::new(read, limits.answer_bytes, is_first));
            let asked = Asked::of(&request);
            let prepared = prepared(request, document).data(reading.clone());
            let mut response = block_on(schema.execute(prepared));
            asked.complete(&mut response);
            let awaited = error::awaited(&response);
            Ok((error::respond(&response, reading.documents(), trace_id, false), awaited))
        };
        let answered = self.service.query_owned(work).await;
        answered.unwrap_or_else(|error| (error::refusal(error, trace_id, false), None))
    }
}

impl GraphqlExecutor for Executor {
    fn operation(&self, request: &GraphqlRequest) -> ApiResult<GraphqlOperation> {
        let document = self.parse(request)?;
        match operation_of(&document, request.operation_name.as_deref())?.ty {
            OperationType::Query => Ok(GraphqlOperation::Query),
            OperationType::Subscription => Ok(GraphqlOperation::Subscription),
            OperationType::Mutation => Err(no_mutations()),
        }
    }

    fn execute(
        &self,
        request: GraphqlRequest,
        caller: Caller,
        trace_id: TraceId,
    ) -> BoxStream<'static, GraphqlResponse> {
        let service = self.service.on_behalf_of(caller).reading(Class::Search);
        let executor = Self { service, ..self.clone() };
        let parsed = self.parse(&request).and_then(|mut document| {
            let name = request.operation_name.as_deref();
            let operation = operation_of(&document, name)?;
            self.limits.check(&document, operation)?;
            check_variables(operation, &request)?;
            let operation = operation.ty;
            if operation == OperationType::Subscription {
                to_one_field(&mut document, name)?;
            }
            Ok((document, operation))
        });
        match parsed {
            Ok((document, OperationType::Subscription)) => {
                let Self { service, schema, limits } = executor;
                let asked = Asked::of(&request);
                feed::subscribe(service, schema, limits, prepared(request, document), asked, trace_id)
            }
            Ok((_, OperationType::Mutation)) => stream::iter([error::refusal(no_mutations(), trace_id, false)]).boxed(),
            Ok((document, OperationType::Query)) => stream::once(executor.query(request, document, trace_id)).boxed(),
            Err(error) => stream::iter([error::refusal(error, trace_id, false)]).boxed(),
        }
    }
}

fn no_mutations() -> ApiError {
    ApiError::new(ErrorCode::GraphqlInvalid, "no mutations are offered by the schema")
}

fn prepared(request: GraphqlRequest, document: ExecutableDocument) -> async_graphql::Request {
    let name = request.operation_name.filter(|name| !name.is_empty());
    let mut variables = Variables::from_json(serde_json::Value::Object(request.variables));
    // The library looks for them where arguments have variables, and not where directives do.
    for (name, value) in defaults(&document, name.as_deref()) {
        variables.entry(name).or_insert(value);
    }
    let mut prepared = async_graphql::Request::new(request.query).variables(variables);
    prepared.operation_name = name;
    prepared.set_parsed_query(document);
    prepared
}
