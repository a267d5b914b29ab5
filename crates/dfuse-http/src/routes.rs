use axum::{Router, response::Response};
use dfuse_query::{ApiError, Surface, TraceId};

use crate::{Api, Endpoint, endpoint, shaped::Shape};

/// What a surface serves.
#[derive(Debug, Default)]
pub struct Routes {
    pub(crate) router: Router<Api>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) shapes: Vec<(&'static str, Shape)>,
    pub(crate) addresses: Vec<&'static str>,
    pub(crate) home: Option<&'static str>,
    pub(crate) error_page: Option<ErrorPage>,
}

/// Makes a page of an error, for a browser.
pub type ErrorPage = fn(ApiError, TraceId) -> Response;

/// Marks answers whose body is not ours to change, among the extensions of a response.
#[derive(Debug, Clone, Copy)]
pub struct Untouched;

impl Routes {
    /// Those endpoints of a surface, with something around all of them.
    #[must_use]
    pub fn with(
        mut self,
        (api, surface): (&Api, Surface),
        endpoints: Vec<Endpoint>,
        around: impl FnOnce(Router<Api>) -> Router<Api>,
    ) -> Self {
        self.router = self.router.merge(around(endpoint::router(&endpoints, api, surface)));
        self.endpoints.extend(endpoints);
        self
    }

    /// Below that path, errors have another structure; also those that the server itself answers with.
    #[must_use]
    pub fn with_errors(mut self, path: &'static str, shape: Shape) -> Self {
        self.shapes.push((path, shape));
        self
    }

    /// Where browsers are answered that ask for `/`: those who name `text/html` in `Accept`.
    #[must_use]
    pub fn with_home(mut self, path: &'static str) -> Self {
        self.home = Some(path);
        self
    }

    /// What browsers get instead of an error's JSON, but for addresses of the API.
    #[must_use]
    pub fn with_error_page(mut self, page: ErrorPage) -> Self {
        self.error_page = Some(page);
        self
    }

    /// Where the routes begin: `GET /` names it.
    #[must_use]
    pub fn at(mut self, address: &'static str) -> Self {
        self.addresses.push(address);
        self
    }
}
