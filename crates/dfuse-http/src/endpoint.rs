//! The table of endpoints: what each takes, answers and may fail with, beside what answers it. Routes come from it, and
//! documents may.

use std::{future::Future, sync::Arc};

use axum::{
    Extension, Router,
    extract::FromRequest,
    response::{IntoResponse, Response},
    routing::{self, MethodFilter, MethodRouter},
};
use dfuse_query::{ApiResult, ErrorCode, Surface};
use futures::future::BoxFuture;

use crate::{
    Api,
    answer::HttpError,
    charge::{Charge, Tariff},
    parameter::Parameter,
    schema::AnswerForm,
    sender::{admitted, for_operators},
};

/// Errors that every endpoint may answer with: those of parameters, of bodies, of access, of a server that is
/// busy or not ready, and faults.
pub const COMMON_ERRORS: &[ErrorCode] = &[
    ErrorCode::RequestValidation,
    ErrorCode::RequestMalformed,
    ErrorCode::RequestTimeout,
    ErrorCode::RequestBodyTooLarge,
    ErrorCode::MediaTypeUnsupported,
    ErrorCode::Unexpected,
    ErrorCode::ServiceUnavailable,
    ErrorCode::NotReady,
    ErrorCode::Maintenance,
    ErrorCode::TokenMissing,
    ErrorCode::TokenInvalid,
    ErrorCode::ApiKeyInvalid,
    ErrorCode::ApiKeyRevoked,
    ErrorCode::OriginNotAllowed,
    ErrorCode::TierNotAllowed,
    ErrorCode::HistoryNotAllowed,
    ErrorCode::NotKept,
    ErrorCode::RateLimited,
];

/// Further errors of those that take a JSON body.
pub(crate) const JSON_ERRORS: &[ErrorCode] = &[ErrorCode::MissingBody, ErrorCode::InvalidJson];

/// An endpoint. One path may have several, of different methods.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// As routes and counts name it; parameters of the path stand in braces.
    pub path: &'static str,
    /// With which methods it is asked.
    pub methods: Methods,
    /// What is in the body of a request.
    pub body: BodyForm,
    /// What its requests cost.
    pub charge: Charge,
    /// What it takes, in the order in which documents should have it.
    pub parameters: &'static [Parameter],
    /// What it answers, in a sentence.
    pub answer: &'static str,
    /// The form of its good answers.
    pub form: AnswerForm,
    /// What it may fail with, beside [`COMMON_ERRORS`].
    pub errors: &'static [ErrorCode],
    /// Whether it answers under maintenance, too.
    pub under_maintenance: bool,
    /// Whether only operators may ask.
    pub is_for_operators: bool,
    route: MethodRouter<Api>,
}

/// Methods of an endpoint. `OPTIONS` is everywhere, and answered by the request frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Methods {
    /// `GET`, and `HEAD`, which has no body in its answer.
    Get,
    /// `POST`.
    Post,
    /// Both: parameters are in the query, or in the form that is posted.
    GetOrPost,
    /// Whatever comes: who answers decides.
    Any,
}

/// What is in the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Nothing that is looked at.
    None,
    /// With `POST`, a form with parameters.
    Form,
    /// A JSON object.
    Json,
}

/// What the table says of an endpoint to those who read its parameters. Among the extensions of its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared(pub(crate) &'static [Parameter]);

impl Methods {
    /// The names that the header `Allow` has, without `OPTIONS`. Empty for any.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::GetOrPost => &["GET", "HEAD", "POST"],
            Self::Any => &[],
        }
    }

    fn filter(self) -> Option<MethodFilter> {
        match self {
            Self::Get => Some(MethodFilter::GET),
            Self::Post => Some(MethodFilter::POST),
            Self::GetOrPost => Some(MethodFilter::GET.or(MethodFilter::POST)),
            Self::Any => None,
        }
    }
}

/// Answers what an endpoint is asked: a function of the [`Api`] and of what it takes from a request.
pub trait Handler<A, R>: Clone + Send + Sync + 'static {
    /// Answers.
    fn answer(&self, api: Api, asked: A) -> impl Future<Output = ApiResult<R>> + Send + use<Self, A, R>;
}

impl<A, R, F, W> Handler<A, R> for F
where
    F: Fn(Api, A) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = ApiResult<R>> + Send + 'static,
{
    fn answer(&self, api: Api, asked: A) -> impl Future<Output = ApiResult<R>> + Send + use<F, A, R, W> {
        self(api, asked)
    }
}

impl Endpoint {
    /// What is asked with `GET`, or with `POST` and a form.
    pub fn new<A, R>(path: &'static str, charge: Charge, handler: impl Handler<A, R>) -> Self
    where
        A: FromRequest<Api> + Send + 'static,
        R: IntoResponse + 'static,
    {
        Self::with_methods(Methods::GetOrPost, BodyForm::Form, path, charge, handler)
    }

    /// What is asked with `GET` alone.
    pub fn get<A, R>(path: &'static str, charge: Charge, handler: impl Handler<A, R>) -> Self
    where
        A: FromRequest<Api> + Send + 'static,
        R: IntoResponse + 'static,
    {
        Self::with_methods(Methods::Get, BodyForm::None, path, charge, handler)
    }

    /// What is asked with a JSON object that is posted.
    pub fn post_json<A, R>(path: &'static str, charge: Charge, handler: impl Handler<A, R>) -> Self
    where
        A: FromRequest<Api> + Send + 'static,
        R: IntoResponse + 'static,
    {
        Self::with_methods(Methods::Post, BodyForm::Json, path, charge, handler)
    }

    /// What takes a request as it is, and charges its reads itself.
    pub fn raw(path: &'static str, methods: Methods, charge: Charge, route: MethodRouter<Api>) -> Self {
        Self {
            path,
            methods,
            body: BodyForm::None,
            charge,
            parameters: &[],
            answer: "",
            form: AnswerForm::Unsaid,
            errors: &[],
            under_maintenance: false,
            is_for_operators: false,
            route,
        }
    }

    fn with_methods<A, R>(
        methods: Methods,
        body: BodyForm,
        path: &'static str,
        charge: Charge,
        handler: impl Handler<A, R>,
    ) -> Self
    where
        A: FromRequest<Api> + Send + 'static,
        R: IntoResponse + 'static,
    {
        let answers = Arc::new(move |api: Api, asked: A| -> BoxFuture<'static, Result<Response, HttpError>> {
            let answer = handler.answer(api, asked);
            Box::pin(async move { answer.await.map(R::into_response).map_err(HttpError) })
        });
        Self { body, ..Self::raw(path, methods, charge, route(methods, answers)) }
    }

    /// What it takes.
    #[must_use]
    pub fn takes(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    /// What it answers: a sentence, and the form.
    #[must_use]
    pub fn answers(self, answer: &'static str, form: AnswerForm) -> Self {
        Self { answer, form, ..self }
    }

    /// What it may fail with, beside [`COMMON_ERRORS`].
    #[must_use]
    pub fn fails(self, errors: &'static [ErrorCode]) -> Self {
        Self { errors, ..self }
    }

    /// It answers under maintenance, too. Its path has no parameters.
    #[must_use]
    pub fn under_maintenance(self) -> Self {
        Self { under_maintenance: true, ..self }
    }

    /// It answers nobody but operators. None of its requests is counted or limited.
    #[must_use]
    pub fn for_operators(self) -> Self {
        Self { is_for_operators: true, ..self }
    }

    /// Whether it may fail so.
    pub fn may_fail_with(&self, code: ErrorCode) -> bool {
        let of_json = JSON_ERRORS.contains(&code) && self.body == BodyForm::Json;
        of_json || COMMON_ERRORS.contains(&code) || self.errors.contains(&code)
    }
}

/// A handler whose own type does not matter any more.
type Answers<A> = Arc<dyn Fn(Api, A) -> BoxFuture<'static, Result<Response, HttpError>> + Send + Sync>;

/// The route of a handler. Taking apart requests is compiled once for what handlers take of them, and not for every handler.
fn route<A: FromRequest<Api> + Send + 'static>(methods: Methods, answers: Answers<A>) -> MethodRouter<Api> {
    let answer = move |api: Api, asked: A| answers(api, asked);
    match methods.filter() {
        Some(filter) => routing::on(filter, answer),
        None => routing::any(answer),
    }
}

/// The routes of a table. Who asks is admitted where the table says that requests are limited.
pub(crate) fn router(endpoints: &[Endpoint], api: &Api, surface: Surface) -> Router<Api> {
    endpoints.iter().fold(Router::new(), |router, endpoint| {
        let mut route = endpoint.route.clone();
        let Charge { reads, route: class, is_taken_first, counts } = endpoint.charge;
        // What takes every method has no routes that could be laid around, and needs none of this.
        if endpoint.methods != Methods::Any {
            route = route.route_layer(Extension(reads)).route_layer(Extension(Declared(endpoint.parameters)));
            route = checked(endpoint, route);
            if class.is_some() {
                let class = class.filter(|_| is_taken_first);
                route = admitted(route, api, Tariff { surface, class, counts });
            }
            if endpoint.is_for_operators {
                route = for_operators(route, api);
            }
        }
        router.route(endpoint.path, route)
    })
}

/// Panics where an endpoint fails with an error that its table does not name, so that tests see it.
#[cfg(debug_assertions)]
fn checked(endpoint: &Endpoint, route: MethodRouter<Api>) -> MethodRouter<Api> {
    use axum::{middleware::map_response, response::Response};
    use dfuse_query::ApiError;

    let endpoint = endpoint.clone();
    route.route_layer(map_response(move |response: Response| {
        let code = response.extensions().get::<ApiError>().map(ApiError::code);
        let undeclared = code.filter(|code| !endpoint.may_fail_with(*code));
        let path = endpoint.path;
        async move {
            assert!(undeclared.is_none(), "the table says nothing of {undeclared:?} at {path}");
            response
        }
    }))
}

#[cfg(not(debug_assertions))]
fn checked(_: &Endpoint, route: MethodRouter<Api>) -> MethodRouter<Api> {
    route
}
