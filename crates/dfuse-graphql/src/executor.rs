//! Executes documents.

use std::sync::Arc;

use async_graphql::{
    Positioned, Variables,
    parser::{
        parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType},
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
    Limits, error, feed,
    read::Request,
    schema::{self, DfuseSchema},
};

/// Longest message about a variable.
const MAX_MESSAGE: usize = 300;

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
            let prepared = prepared(request, document).data(reading.clone());
            let response = block_on(schema.execute(prepared));
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
        let parsed = self.parse(&request).and_then(|document| {
            let operation = operation_of(&document, request.operation_name.as_deref())?;
            self.limits.check(&document, operation)?;
            check_variables(operation, &request)?;
            let operation = operation.ty;
            Ok((document, operation))
        });
        match parsed {
            Ok((document, OperationType::Subscription)) => {
                let Self { service, schema, limits } = executor;
                feed::subscribe(service, schema, limits, prepared(request, document), trace_id)
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

/// The operation that is asked for, or the only one that there is.
fn operation_of<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> ApiResult<&'a OperationDefinition> {
    let found = match (&document.operations, name.filter(|name| !name.is_empty())) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.values();
            operations.next().filter(|_| operations.next().is_none())
        }
    };
    found.map(|operation| &operation.node).ok_or_else(|| {
        let message = match name {
            Some(name) => format!("The document has no operation \"{}\".", dfuse_query::shorten(name)),
            None => "The document has several operations: name the one to execute.".to_owned(),
        };
        ApiError::new(ErrorCode::GraphqlInvalid, message)
    })
}

/// Whether each variable has a value that must have one. The library finds that out only where one is used, in the middle of an answer.
fn check_variables(operation: &OperationDefinition, request: &GraphqlRequest) -> ApiResult<()> {
    for Positioned { node, .. } in &operation.variable_definitions {
        let is_lacking = match request.variables.get(node.name.node.as_str()) {
            Some(value) => value.is_null(),
            None => node.default_value.is_none(),
        };
        if is_lacking && !node.var_type.node.nullable {
            let message = format!("The variable ${} of type {} has no value.", node.name.node, node.var_type.node);
            return Err(ApiError::new(ErrorCode::GraphqlInvalid, dfuse_query::shorten_to(&message, MAX_MESSAGE)));
        }
    }
    Ok(())
}

fn prepared(request: GraphqlRequest, document: ExecutableDocument) -> async_graphql::Request {
    let mut prepared = async_graphql::Request::new(request.query)
        .variables(Variables::from_json(serde_json::Value::Object(request.variables)));
    prepared.operation_name = request.operation_name.filter(|name| !name.is_empty());
    prepared.set_parsed_query(document);
    prepared
}
