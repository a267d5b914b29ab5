//! The forms that answers come in, each with its one form of errors.

use axum::http::Method;
use dfuse_http::{AnswerForm, Endpoint};
use dfuse_query::ErrorCode;

use crate::{chain_api::node_shaped, support::Answer};

const GRAPHQL: &str = "application/graphql-response+json";
/// The number of errors that are not of the node.
const UNHANDLED: i64 = 3_990_001;

/// A form that a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Page,
    Graphql,
    Node,
}

impl Form {
    /// Those that an endpoint answers in.
    pub(super) fn of(endpoint: &Endpoint) -> &'static [Self] {
        match endpoint.form {
            AnswerForm::PassedOn => &[Self::Node],
            AnswerForm::Text(media_type) if media_type.starts_with("text/html") => &[Self::Json, Self::Page],
            _ if endpoint.path == "/graphql" => &[Self::Json, Self::Graphql],
            _ => &[Self::Json],
        }
    }

    pub(super) fn accept(self) -> &'static str {
        match self {
            Self::Json | Self::Node => "*/*",
            Self::Page => "text/html,application/xhtml+xml,*/*;q=0.8",
            Self::Graphql => GRAPHQL,
        }
    }

    /// Asserts that the answer is an error of that code in this form.
    #[track_caller]
    pub(super) fn holds(self, method: &Method, answer: &Answer, expected: ErrorCode) {
        let row = expected.row();
        assert_eq!(answer.status, row.status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let trace_id = answer.trace_id();
        if *method == Method::HEAD {
            assert!(answer.body.is_empty() && answer.header("content-type") == "application/json", "{answer:?}");
            return;
        }
        let length = answer.header("content-length");
        assert!(length.is_empty() || length == answer.body.len().to_string(), "{answer:?}");
        match self {
            Self::Json => assert_eq!(answer.error().0, expected, "{answer:?}"),
            Self::Node => _ = node_shaped(answer, row.status.as_u16(), UNHANDLED),
            Self::Page => {
                let text = std::str::from_utf8(&answer.body).unwrap();
                assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
                assert!(
                    text.starts_with("<!DOCTYPE html>") && text.contains(trace_id) && text.contains(row.code),
                    "{text}"
                );
            }
            Self::Graphql => {
                assert!(answer.header("content-type").starts_with(GRAPHQL), "{answer:?}");
                let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                let error = &body["errors"][0];
                let extensions = &error["extensions"];
                assert!(body.get("data").is_none() && body["errors"].as_array().unwrap().len() == 1, "{body}");
                assert_eq!(
                    (&extensions["code"], &extensions["trace_id"]),
                    (&row.code.into(), &trace_id.into()),
                    "{body}"
                );
                assert!(extensions["terminal"].is_boolean() && extensions["status"].is_string(), "{body}");
                assert!(error["message"].as_str().unwrap().ends_with(&format!(" (trace_id: {trace_id})")), "{body}");
            }
        }
    }
}
