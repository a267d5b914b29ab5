use std::fmt;

use axum::{
    extract::{Request, State},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{Api, ApiError};

/// Decides who may ask.
pub trait Access: fmt::Debug + Send + Sync {
    /// Says who asks and what they may do, or why they may not: from the header, the query and, as
    /// [`axum::extract::ConnectInfo`] among the extensions, the address of the peer. Not called for what is open to all,
    /// such as `/healthz`, and never for `OPTIONS`.
    fn check(&self, request: &Parts) -> Result<Credentials, ApiError>;
}

/// Who asks. Handlers find it among the request's extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// How far back streams may begin: at this block if above 0, otherwise as many blocks below the head. Without
    /// it, anywhere.
    pub start_block: Option<i64>,
}

impl Credentials {
    /// The first block that a stream may begin at.
    pub fn first_block(&self, head: u32) -> u32 {
        let first = match self.start_block {
            None => 0,
            Some(block) if block > 0 => block,
            Some(below) => i64::from(head).saturating_add(below),
        };
        u32::try_from(first.max(0)).unwrap_or(u32::MAX)
    }
}

/// Everybody may ask everything; whatever token they send is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenAccess;

impl Access for OpenAccess {
    fn check(&self, _: &Parts) -> Result<Credentials, ApiError> {
        Ok(Credentials::default())
    }
}

/// Stands before every route that is not open to all.
pub(crate) async fn check(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match api.access().check(&parts) {
        Ok(credentials) => {
            parts.extensions.insert(credentials);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_streams_may_begin() {
        for (start_block, head, first) in
            [(None, 10_000, 0), (Some(-1000), 10_000, 9000), (Some(9000), 10_000, 9000), (Some(-1000), 10, 0)]
        {
            assert_eq!(Credentials { start_block }.first_block(head), first);
        }
        assert_eq!(Credentials { start_block: Some(i64::MAX) }.first_block(1), u32::MAX);
        assert_eq!(Credentials { start_block: Some(i64::MIN) }.first_block(1), 0);
    }
}
