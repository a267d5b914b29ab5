//! What the routes are worth: how they are limited, and how answers are counted.

use axum::http::StatusCode;
use dfuse_http::limited::Tariff;
use dfuse_query::{RouteClass, Surface};

/// That of a surface.
pub(crate) fn tariff(surface: Surface) -> Tariff {
    Tariff { surface, class, worth }
}

fn class(route: &str) -> RouteClass {
    match route {
        "/v1/stream" => RouteClass::Stream,
        "/v0/search/transactions" | "/v0/search/count" | "/v0/accounts/{account}/actions" => RouteClass::Search,
        "/v0/blocks"
        | "/v0/blocks/{id}"
        | "/v0/blocks/{id}/transactions"
        | "/v0/transactions"
        | "/v0/simple_search"
        | "/v0/search/completion" => RouteClass::Explorer,
        "/v0/transactions/{id}" | "/v0/block_id/by_time" | "/v0/state/abi" | "/v0/state/table/row" => {
            RouteClass::LookUp
        }
        _ => RouteClass::List,
    }
}

fn worth(route: &str, status: StatusCode, documents: u64) -> (u64, u64) {
    match route {
        "/v0/search/completion" => (0, 0),
        "/v0/block_id/by_time" => (1, 1),
        "/v0/search/transactions" if status.is_success() => (1, documents),
        "/v0/search/transactions" => (0, 0),
        "/v0/transactions/{id}" if status == StatusCode::NOT_FOUND => (0, 0),
        _ if status.is_server_error() => (0, 0),
        _ => (1, documents.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_are_worth() {
        for (route, status, documents, expected) in [
            ("/v0/search/transactions", 200, 0, (1, 0)),
            ("/v0/search/transactions", 200, 7, (1, 7)),
            ("/v0/search/transactions", 400, 1, (0, 0)),
            ("/v0/search/completion", 200, 1, (0, 0)),
            ("/v0/transactions/{id}", 200, 1, (1, 1)),
            ("/v0/transactions/{id}", 400, 1, (1, 1)),
            ("/v0/transactions/{id}", 404, 1, (0, 0)),
            ("/v0/block_id/by_time", 404, 1, (1, 1)),
            ("/v0/state/table", 404, 1, (1, 1)),
            ("/v0/state/table", 503, 1, (0, 0)),
            ("/v0/blocks", 200, 20, (1, 20)),
            ("/v0/blocks", 200, 0, (1, 1)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(worth(route, status, documents), expected, "{route} {status}");
        }
    }
}
