//! Pages ask for keys like everything else does.

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{StatusCode, header};
use dfuse_query::{Access, ApiError, ApiResult, Asking, Caller, ErrorCode};

use crate::support::{TestChain, assert_promises};

/// Lets nobody in without this token. Without one, those who need none are let in.
#[derive(Debug)]
struct Closed {
    is_required: bool,
}

#[async_trait]
impl Access for Closed {
    async fn admit(&self, asking: &Asking<'_>) -> ApiResult<Caller> {
        match asking.token {
            Some("good") => Ok(Caller::default()),
            None if !self.is_required => Ok(Caller::default()),
            _ => Err(ApiError::new(ErrorCode::TokenMissing, "A token is needed.")),
        }
    }

    fn is_open(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn who_has_no_key_is_asked_for_one() {
    let access = Arc::new(Closed { is_required: true });
    let Some(chain) = TestChain::of("small/small.dmlog.zst", access, |_| ()).await else { return };
    for uri in ["/", "/block/100", "/account/eosio", "/search?q=action:transfer", "/tokens", "/dashboard"] {
        let answer = chain.request(uri, "text/html").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{uri}");
        assert_promises(uri, &answer.headers, &answer.text);
        assert!(
            answer.text.contains("form class=\"key filter\"") && answer.text.contains("type=\"password\""),
            "{uri}"
        );
    }
    assert_eq!(chain.request("/assets/dfuse.js", "*/*").await.status, StatusCode::OK);
    for (cookie, status) in [("dfuse_token=good", StatusCode::OK), ("dfuse_token=bad", StatusCode::UNAUTHORIZED)] {
        let answer = chain.request_with("/block/100", "text/html", (header::COOKIE, cookie)).await;
        assert_eq!(answer.status, status, "{cookie}");
        // No other page can make a browser ask the API.
        let answer = chain.request_with("/v0/blocks", "application/json", (header::COOKIE, cookie)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{cookie}");
    }
}

#[tokio::test]
async fn the_dashboard_is_for_those_with_a_key() {
    let access = Arc::new(Closed { is_required: false });
    let Some(chain) = TestChain::of("small/small.dmlog.zst", access, |_| ()).await else { return };
    chain.page("/block/100").await;
    assert_eq!(chain.request("/dashboard", "text/html").await.status, StatusCode::UNAUTHORIZED);
}
