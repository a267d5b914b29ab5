use std::{fmt::Write, fs, path::Path};

use dfuse_antelope::Checksum;
use dfuse_index::BlockRef;
use serde_json::json;

use super::*;

/// `docs/errors.md`.
fn page() -> String {
    let mut page = include_str!("page.md").to_owned();
    for known in ErrorCode::ALL {
        let Row { code, status, grpc, retry, when, details } = known.row();
        let retry = match retry {
            Retry::No => "no",
            Retry::Later => "later",
        };
        let _ = write!(page, "\n## `{code}`\n\n{when}\n\n");
        let status = match known.is_of_messages() {
            // No answer ever has the one of the row.
            true => "Only in messages over WebSocket, which have no HTTP status".to_owned(),
            false => format!("HTTP {}", status.as_u16()),
        };
        let _ = writeln!(page, "{status}; gRPC `{}`; try again: {retry}.", grpc.name());
        if !details.is_empty() {
            page.push_str("\n| detail | type | |\n|---|---|---|\n");
        }
        for Detail { key, kind, optional, meaning } in *details {
            let kind = match kind {
                DetailType::Text => "text",
                DetailType::Number => "number",
                DetailType::Texts => "list of texts",
                DetailType::Object => "object",
            };
            let _ = writeln!(page, "| `{key}` | {kind}{} | {meaning} |", if *optional { ", optional" } else { "" });
        }
    }
    page
}

#[test]
fn the_public_page_is_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    if std::env::var_os("DFUSE_UPDATE_DOCS").is_some() {
        fs::write(&file, page()).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page(), "docs/errors.md is not of this table: DFUSE_UPDATE_DOCS=1 cargo test -p dfuse-query");
}

/// All sources below a folder but the table and tests.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, text);
        } else if entry.extension().is_some_and(|extension| extension == "rs")
            && !entry.ends_with("tests.rs")
            && !entry.ends_with("error/table.rs")
        {
            let source = fs::read_to_string(&entry).unwrap();
            text.push_str(source.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
}

#[test]
fn every_code_is_raised_somewhere() {
    let mut text = String::new();
    for room in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
        sources(&room.unwrap().path().join("src"), &mut text);
    }
    for code in ErrorCode::ALL {
        let raised = text
            .match_indices(&format!("ErrorCode::{code:?}"))
            .any(|(at, name)| !text[at + name.len()..].starts_with(|next: char| next.is_alphanumeric()));
        assert!(raised, "{code:?} is in the table but nobody raises it");
    }
}

#[test]
fn codes_are_well_formed_and_unique() {
    let mut codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.row().code).collect();
    for code in &codes {
        assert!(code.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()), "{code}");
        // The two without the suffix are old.
        assert!(
            code.ends_with("_error") || ["block_time_not_found", "simple_search_not_found"].contains(code),
            "{code}"
        );
    }
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        let Row { status, grpc, .. } = code.row();
        let name = code.row().code;
        assert!(status.is_client_error() || status.is_server_error(), "{name}");
        assert!(!name.starts_with("data_") || !name.ends_with("not_found_error") || status.as_u16() == 404, "{name}");
        assert_eq!(status.as_u16() == 503, *grpc == GrpcStatus::Unavailable, "{name}");
    }
}

#[test]
fn the_body_has_four_keys_at_most() {
    let trace_id = TraceId([0xab; 16]);
    let error = ApiError::new(ErrorCode::BlockNotFound, "No <such> block.").detail("block", "7").with_cause("hidden");
    let body = error.into_body(trace_id).to_bytes();
    let expected = "{\"code\":\"data_block_not_found_error\",\"trace_id\":\"abababababababababababababababab\",\
                    \"message\":\"No <such> block.\",\"details\":{\"block\":\"7\"}}\n";
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let body = serde_json::to_value(ApiError::unexpected("a secret").into_body(trace_id)).unwrap();
    assert_eq!(
        body,
        json!({"code": "unexpected_error", "trace_id": "ab".repeat(16), "message": "An unexpected error occurred."})
    );
}

#[test]
#[should_panic(expected = "has no detail")]
fn a_detail_must_be_in_the_table() {
    let _ = ApiError::new(ErrorCode::BlockNotFound, "").detail("block", 7);
}

#[test]
fn errors_below_tell_what_can_be_done() {
    let block = BlockRef { number: 7, id: Checksum([7; 32]) };
    let not_found = || dfuse_blocks::Error::NotFound("x".to_owned());
    for (error, code) in [
        (ApiError::from(dfuse_index::Error::NotBuilt { index: "transactions" }), ErrorCode::ServiceUnavailable),
        (dfuse_index::Error::Stalled("disk full".to_owned()).into(), ErrorCode::ServiceUnavailable),
        (dfuse_index::Error::Store(dfuse_kv::Error::Closed).into(), ErrorCode::ServiceUnavailable),
        (
            dfuse_index::Error::Store(dfuse_kv::Error::Unavailable { why: "disk full".to_owned() }).into(),
            ErrorCode::ServiceUnavailable,
        ),
        (dfuse_index::Error::Store(dfuse_kv::Error::Invalid(String::new())).into(), ErrorCode::Unexpected),
        (dfuse_blocks::Error::CursorMalformed.into(), ErrorCode::RequestValidation),
        (dfuse_blocks::Error::CursorTooOld(block).into(), ErrorCode::CursorTooOld),
        (dfuse_blocks::Error::CursorAhead { cursor: block, head: 3 }.into(), ErrorCode::ServiceUnavailable),
        (not_found().into(), ErrorCode::Unexpected),
        (dfuse_trx::Error::AmbiguousPrefix { prefix: "ab".to_owned() }.into(), ErrorCode::RequestValidation),
        (dfuse_trx::Error::Source { block, source: not_found().into() }.into(), ErrorCode::Unexpected),
        (
            dfuse_trx::Error::Source { block, source: dfuse_blocks::Error::Closed.into() }.into(),
            ErrorCode::ServiceUnavailable,
        ),
    ] {
        assert_eq!(error.code(), code, "{error:?}");
        assert!(!error.message().contains("disk full"));
        assert_eq!(error.retry_after_seconds().is_some(), code == ErrorCode::ServiceUnavailable, "{error:?}");
    }
}
