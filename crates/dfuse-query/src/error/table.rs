//! The one table of error codes, for every surface. `docs/errors.md` is generated from it.

use http::StatusCode;

/// The name of a gRPC status; its number is that of the gRPC specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the gRPC specification says what they mean")]
pub enum GrpcStatus {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl GrpcStatus {
    /// The name, as GraphQL shows it in `extensions.status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "InvalidArgument",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::NotFound => "NotFound",
            Self::PermissionDenied => "PermissionDenied",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::FailedPrecondition => "FailedPrecondition",
            Self::OutOfRange => "OutOfRange",
            Self::Unimplemented => "Unimplemented",
            Self::Internal => "Internal",
            Self::Unavailable => "Unavailable",
            Self::Unauthenticated => "Unauthenticated",
        }
    }
}

/// Whether the same request can succeed when it is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: change the request.
    No,
    /// Yes, after a pause: that of `Retry-After` if the answer has it.
    Later,
}

/// JSON type of a detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetailType {
    /// A string.
    Text,
    /// A number.
    Number,
    /// A list of strings.
    Texts,
    /// An object.
    Object,
}

/// A key of `details`.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    /// The key.
    pub key: &'static str,
    /// Type of its value.
    pub kind: DetailType,
    /// Whether it may be absent.
    pub optional: bool,
    /// What it says.
    pub meaning: &'static str,
}

/// What is fixed for a code.
#[derive(Debug)]
pub struct Row {
    /// As clients see it; stable for ever.
    pub code: &'static str,
    /// HTTP status. Where a code is sent in WebSocket messages only, what it would be.
    pub status: StatusCode,
    /// gRPC status.
    pub grpc: GrpcStatus,
    /// Whether retrying helps.
    pub retry: Retry,
    /// When it is raised.
    pub when: &'static str,
    /// All keys that `details` may have.
    pub details: &'static [Detail],
}

const fn text(key: &'static str, meaning: &'static str) -> Detail {
    Detail { key, kind: DetailType::Text, optional: false, meaning }
}

const fn number(key: &'static str, meaning: &'static str) -> Detail {
    Detail { key, kind: DetailType::Number, optional: false, meaning }
}

const fn texts(key: &'static str, meaning: &'static str) -> Detail {
    Detail { key, kind: DetailType::Texts, optional: false, meaning }
}

const fn object(key: &'static str, meaning: &'static str) -> Detail {
    Detail { key, kind: DetailType::Object, optional: false, meaning }
}

const fn optional(detail: Detail) -> Detail {
    Detail { optional: true, ..detail }
}

impl ErrorCode {
    /// Whether only messages over WebSocket have it. They have no HTTP status: that of the row is what it would be.
    pub fn is_of_messages(self) -> bool {
        let is_of_stream = matches!(
            self,
            Self::HeadInfoNotReady
                | Self::TableRowsInFuture
                | Self::TableSnapshotTooLarge
                | Self::PriceNotReady
                | Self::VoteTallyNotReady
        );
        is_of_stream || self != Self::WsUpgradeFailed && self.row().code.starts_with("ws_")
    }
}

macro_rules! error_codes {
    ($($variant:ident: $code:literal, $status:ident, $grpc:ident, $retry:ident, [$($detail:expr),*], $when:literal;)+) => {
        /// A code of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode {
            $(#[doc = $when] $variant,)+
        }

        impl ErrorCode {
            /// Every code, by HTTP status.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its row.
            pub fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => const {
                        &Row {
                            code: $code,
                            status: StatusCode::$status,
                            grpc: GrpcStatus::$grpc,
                            retry: Retry::$retry,
                            when: $when,
                            details: &[$($detail),*],
                        }
                    },)+
                }
            }
        }
    };
}

error_codes! {
    RequestValidation: "request_validation_error", BAD_REQUEST, InvalidArgument, No,
        [
            optional(object("errors", "for each invalid parameter, a list of its problems")),
            optional(object("position", "where the query is wrong: `offset` in bytes, counted from 0; `line` and `column`, counted from 1"))
        ],
        "A parameter is missing or its value is not allowed.";
    InvalidJson: "invalid_json_error", BAD_REQUEST, InvalidArgument, No,
        [object("errors", "`source`: the message of the parser")],
        "The body is not JSON, or a value in it has the wrong type.";
    MissingBody: "missing_body_error", BAD_REQUEST, InvalidArgument, No, [],
        "The request has no body, but needs one.";
    RequestMalformed: "request_malformed_error", BAD_REQUEST, InvalidArgument, No, [],
        "The request is not valid HTTP/1.1, or ended before it was complete.";
    BlockNumAboveHead: "app_block_num_higher_than_head_block_error", BAD_REQUEST, OutOfRange, Later,
        [
            number("request_block_num", "the requested block number"),
            number("head_block_num", "the number of the head block"),
            number("last_written_block_num", "the number of the last irreversible block")
        ],
        "The chain has not reached this block number yet.";
    BlockNumAboveLib: "app_block_num_higher_than_lib_error", BAD_REQUEST, OutOfRange, Later,
        [
            number("request_block_num", "the requested block number"),
            number("last_written_block_num", "the number of the last irreversible block")
        ],
        "The request asks for irreversible data only, and this block is not irreversible yet.";
    TableRowNotDecoded: "data_decoding_table_row_error", BAD_REQUEST, InvalidArgument, No,
        [text("data", "the row as given in the request")],
        "The ABI cannot decode these bytes as a row of the table.";
    AbiMalformed: "data_abi_malformed_error", BAD_REQUEST, FailedPrecondition, No,
        [text("account", "the account"), number("block_num", "the number of the block in which the ABI was set")],
        "The account set an ABI that cannot be decoded, so its rows cannot be decoded either.";
    CursorTooOld: "cursor_too_old_error", BAD_REQUEST, FailedPrecondition, No, [],
        "The cursor points to a fork that was abandoned too long ago to be kept. Start without a cursor.";
    WsUpgradeFailed: "ws_upgrade_failed_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what the request is missing")],
        "The request is not a valid WebSocket upgrade.";
    WsBinaryMessageUnsupported: "ws_binary_message_unsupported_error", BAD_REQUEST, InvalidArgument, No, [],
        "A WebSocket message is binary. Send text instead.";
    WsInvalidJsonMessage: "ws_invalid_json_message_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what is wrong")],
        "A WebSocket message is not a JSON object, or its `type`, `req_id` or `listen` has the wrong JSON type.";
    WsInvalidJsonMessageData: "ws_invalid_json_message_data_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what is wrong")],
        "A field of a WebSocket message, or of its `data`, has the wrong JSON type.";
    WsMessageDataValidation: "ws_message_data_validation_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what is wrong")],
        "A WebSocket message asks for something that is not allowed or not possible.";
    WsUnknownMessage: "ws_unknown_message_error", BAD_REQUEST, Unimplemented, No,
        [text("type", "the type in the message, shortened")],
        "The type of a WebSocket message does not exist.";
    WsUnavailableMessage: "ws_unavailable_message_error", BAD_REQUEST, Unimplemented, No,
        [text("type", "the type")],
        "This server does not offer the type of a WebSocket message.";
    StreamStartNotAllowed: "auth_invalid_streaming_start_block_error", FORBIDDEN, PermissionDenied, No, [],
        "The stream would begin before the first block that the caller may read.";
    TokenMissing: "auth_token_missing_error", UNAUTHORIZED, Unauthenticated, No, [],
        "The server requires a token, but the request has none.";
    TokenInvalid: "auth_invalid_token_error", UNAUTHORIZED, Unauthenticated, No,
        [text("token", "always empty, because tokens are never repeated"), text("reason", "what is wrong with the token")],
        "The token is malformed, has expired, or was not signed by a trusted issuer.";
    ApiKeyInvalid: "auth_invalid_api_key_error", UNAUTHORIZED, Unauthenticated, No, [],
        "The API key does not exist, has expired, or was revoked.";
    ApiKeyRevoked: "auth_api_key_revoked_error", UNAUTHORIZED, Unauthenticated, No, [],
        "The API key of the token was revoked. Open streams end with this error, too.";
    OriginNotAllowed: "auth_invalid_origin_error", FORBIDDEN, PermissionDenied, No,
        [text("origin", "the `Origin` of the request, shortened")],
        "Web pages from this origin may not use the API key.";
    TierNotAllowed: "auth_invalid_tier_error", FORBIDDEN, PermissionDenied, No,
        [text("tier", "the caller's tier"), text("required_tier", "a tier that includes the route")],
        "The caller's tier does not include this route.";
    HistoryNotAllowed: "auth_invalid_history_error", FORBIDDEN, PermissionDenied, No,
        [
            number("request_block_num", "the requested block number"),
            number("first_block_num", "the first block that the caller may read")
        ],
        "The request reaches back beyond the first block that the caller may read.";
    QueryTooBroad: "query_too_broad_error", BAD_REQUEST, InvalidArgument, No,
        [text("field", "the field"), text("prefix", "the text before the `*`"), number("limit", "the maximum number of values")],
        "A value that ends in `*` matches too many values. Write more of it before the `*`.";
    GraphqlSyntax: "graphql_syntax_error", BAD_REQUEST, InvalidArgument, No,
        [object("position", "where the document is wrong: `line` and `column`, counted from 1")],
        "The document is not valid GraphQL.";
    GraphqlInvalid: "graphql_validation_error", BAD_REQUEST, InvalidArgument, No, [],
        "The GraphQL document or its variables do not match the schema, or the requested operation does not exist.";
    GraphqlNeedsWebSocket: "graphql_subscription_transport_error", BAD_REQUEST, Unimplemented, No, [],
        "A GraphQL subscription was sent over HTTP. Use WebSocket at the same address, or gRPC.";
    GraphqlTooComplex: "graphql_too_complex_error", BAD_REQUEST, InvalidArgument, No,
        [number("limit", "the limit that the message names")],
        "The GraphQL document is too long, too deeply nested, or asks for too many fields.";
    GraphqlAnswerTooLarge: "graphql_answer_too_large_error", BAD_REQUEST, ResourceExhausted, No,
        [number("limit", "the maximum size of the values in an answer, in bytes")],
        "The answer to the GraphQL document would be too large. Ask for fewer results, or for fewer fields.";
    CorsHeaderNotAllowed: "cors_header_not_allowed_error", FORBIDDEN, PermissionDenied, No,
        [text("header", "the header that is not allowed"), texts("allowed", "the headers that are allowed")],
        "A browser's preflight request asks for a header that pages from other origins may not send.";
    RouteNotFound: "route_not_found_error", NOT_FOUND, Unimplemented, No,
        [text("path", "the path, shortened")],
        "This path does not exist.";
    GrpcServiceNotFound: "grpc_service_not_found_error", NOT_FOUND, NotFound, No, [],
        "A health check names a gRPC service that this server does not have.";
    FirehoseTransformUnsupported: "firehose_transform_unsupported_error", NOT_IMPLEMENTED, Unimplemented, No,
        [text("type_url", "the type URL of the transform, shortened")],
        "A request for blocks uses a transform that this server does not support.";
    BlockNotFound: "data_block_not_found_error", NOT_FOUND, NotFound, Later,
        [text("block", "the id of the block, or its number as decimal text")],
        "The block is unknown: it does not exist, has not arrived yet, or was on a fork that is no longer kept.";
    TransactionNotFound: "data_trx_not_found_error", NOT_FOUND, NotFound, Later,
        [
            text("trx_id", "the id of the transaction"),
            optional(texts("forked_out", "the ids of undone blocks that contain it, newest first")),
            optional(number("lowest_block_num", "the first block whose transactions are kept, unless all are"))
        ],
        "The transaction is unknown: it does not exist, has not arrived yet, or was only in blocks that were undone, and has \
         expired.";
    TransactionLeftOut: "data_trx_left_out_error", NOT_FOUND, NotFound, No,
        [
            text("trx_id", "the id of the transaction"),
            number("block_num", "the block that contains it"),
            text("status", "its status, for instance `executed`"),
            object("filter", "the filter of that block: `include`, `exclude` and `system`, as far as they are set")
        ],
        "The transaction is on the chain, but this server keeps a filtered chain, and its filter left the transaction out. Ask a \
         server without the filter.";
    AbiNotFound: "data_abi_not_found_error", NOT_FOUND, NotFound, No,
        [
            text("account", "the account"),
            number("block_num", "the block number at which the ABI was looked up; the head if the request names none")
        ],
        "The account has no ABI at this block.";
    TableNotFound: "data_table_not_found_error", NOT_FOUND, NotFound, No,
        [text("account", "the contract"), text("table", "the table")],
        "The contract's ABI does not define the table or, in a request for scopes, the table never had a row.";
    RowNotFound: "data_row_not_found_error", NOT_FOUND, NotFound, No,
        [
            text("account", "the contract"),
            text("scope", "the scope as given in the request"),
            text("table", "the table"),
            text("primary_key", "the primary key as given in the request")
        ],
        "The table has no row with this primary key at this block.";
    StateUnavailable: "app_state_unavailable_error", NOT_FOUND, NotFound, No,
        [
            number("first_block_num", "the first block with known state; with `filtered_blocks`, the first one without"),
            text("reason", "why state is unknown: `mid_chain_start`, the indexes begin in the middle of the chain, and the request is \
                  about an earlier block; or `filtered_blocks`, blocks came filtered by another program, without their changes"),
            optional(object("filter", "the filter that those blocks came with: `include`, `exclude` and `system`"))
        ],
        "This server does not know the chain from its beginning, and the requested state or block is older than the first block \
         it knows, or may be. Or its blocks come filtered, and lack changes of the state.";
    AccountNotFound: "data_account_not_found_error", NOT_FOUND, NotFound, No,
        [text("account", "the account")],
        "There is no account with this name.";
    PublicKeyNotFound: "data_public_key_not_found_error", NOT_FOUND, NotFound, No,
        [text("public_key", "the key")],
        "The key was never part of a permission of any account.";
    TokenNotFound: "data_token_not_found_error", NOT_FOUND, NotFound, No,
        [text("contract", "the contract"), text("symbol", "the symbol code")],
        "The account is not a token contract, or has no token with this symbol.";
    BlockTimeNotFound: "block_time_not_found", NOT_FOUND, NotFound, Later, [],
        "There is no block at this time, or on the requested side of it.";
    SimpleSearchNotFound: "simple_search_not_found", NOT_FOUND, NotFound, Later, [],
        "The text is not a known block, transaction, account or time.";
    MethodNotAllowed: "method_not_allowed_error", METHOD_NOT_ALLOWED, Unimplemented, No,
        [text("method", "the request's method, shortened"), texts("allowed", "the allowed methods")],
        "The resource does not support this method. The header `Allow` lists the methods that it supports.";
    EncodingNotAcceptable: "encoding_not_acceptable_error", NOT_ACCEPTABLE, InvalidArgument, No, [],
        "`Accept-Encoding` rules out every supported encoding: identity, gzip and deflate.";
    WsStreamAlreadyExists: "ws_stream_already_exist_error", CONFLICT, FailedPrecondition, No,
        [text("request_id", "the `req_id`")],
        "A stream with this `req_id` is already open on this WebSocket connection.";
    WsStreamNotFound: "ws_stream_not_found_error", CONFLICT, FailedPrecondition, No,
        [text("request_id", "the `req_id`")],
        "No stream with this `req_id` is open on this WebSocket connection. It was never opened, or has ended.";
    NotKept: "data_not_kept_error", GONE, OutOfRange, No,
        [
            text("part", "what is kept for a time of its own: `state`, `search`, `transactions` or `block_files`"),
            number("lowest_block_num", "the lowest block that the server keeps for such a request"),
            optional(number("request_block_num", "the requested block number"))
        ],
        "The request is about a block that this server no longer keeps, because its operator limits how much of the chain it keeps. \
         Ask about a later block, or ask another server.";
    RequestTimeout: "request_timeout_error", REQUEST_TIMEOUT, DeadlineExceeded, Later, [],
        "The header or the body of the request did not arrive in time.";
    RequestBodyTooLarge: "request_body_too_large_error", PAYLOAD_TOO_LARGE, ResourceExhausted, No,
        [number("limit", "the maximum size, in bytes")],
        "The body of the request is too large.";
    TableSnapshotTooLarge: "app_table_rows_too_large_error", PAYLOAD_TOO_LARGE, ResourceExhausted, No,
        [number("limit", "the maximum size of a snapshot, in bytes")],
        "The table has too many rows for one WebSocket message. Read them page by page with `/v0/state/table`, then listen from \
         the block after the one that was read.";
    RequestUriTooLong: "request_uri_too_long_error", URI_TOO_LONG, ResourceExhausted, No, [],
        "Path and query are longer than 65,534 bytes. Send the parameters in the body of a POST request.";
    MediaTypeUnsupported: "media_type_unsupported_error", UNSUPPORTED_MEDIA_TYPE, InvalidArgument, No,
        [text("media_type", "the request's media type, shortened"), texts("supported", "the supported media types")],
        "The media type of the body is not supported.";
    RequestHeadersTooLarge: "request_headers_too_large_error", REQUEST_HEADER_FIELDS_TOO_LARGE, ResourceExhausted, No, [],
        "The header of the request is too large.";
    WsTooManyStreams: "ws_too_much_stream_error", TOO_MANY_REQUESTS, ResourceExhausted, No,
        [
            number("actual_listener_count", "the number of open streams"),
            number("maximum_listener_count", "the maximum number of open streams")
        ],
        "Too many streams are open on this WebSocket connection. End one, or open another connection.";
    RateLimited: "rate_limit_exceeded_error", TOO_MANY_REQUESTS, ResourceExhausted, Later,
        [
            number("limit", "how many requests may be sent at once"),
            number("remaining", "how many more may be sent now: 0"),
            number("reset", "seconds until the next request is accepted, as in `Retry-After`")
        ],
        "The caller sent too many requests, or caused too much work, in too little time.";
    TooManyOpen: "auth_too_many_open_error", TOO_MANY_REQUESTS, ResourceExhausted, Later,
        [text("kind", "`connections` or `streams`"), number("limit", "the maximum number")],
        "The caller has too many connections or streams open.";
    Unexpected: "unexpected_error", INTERNAL_SERVER_ERROR, Internal, Later, [],
        "The server failed. The cause is in its log, under the trace id.";
    TransferCodingUnsupported: "request_transfer_coding_unsupported_error", NOT_IMPLEMENTED, Unimplemented, No,
        [
            optional(text("coding", "the unsupported transfer coding, shortened")),
            texts("supported", "the supported transfer codings")
        ],
        "The body of the request uses a transfer coding other than `chunked`.";
    ServiceUnavailable: "service_unavailable_error", SERVICE_UNAVAILABLE, Unavailable, Later,
        [
            optional(object("conditions", "the readiness conditions that are not met, each with the reason")),
            optional(object("readiness", "for each of feed, index, store, schema and keys, whether it is ready, with its numbers"))
        ],
        "The server cannot answer at the moment: it is starting, catching up or overloaded, or its storage or node does not answer.";
    Maintenance: "service_maintenance_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "The server is under maintenance. Open streams end with this error, too.";
    NotReady: "app_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "The server has not indexed any block yet.";
    HeadInfoNotReady: "app_head_info_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "The head block is not known yet.";
    TableRowsInFuture: "app_table_rows_cannot_fetch_in_future_error", SERVICE_UNAVAILABLE, Unavailable, Later,
        [number("start_block", "the requested block number")],
        "The request asks for rows at a block that has not arrived yet.";
    PriceNotReady: "app_price_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "No price is known, because this server has no source of prices.";
    VoteTallyNotReady: "app_vote_tally_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "No votes are known: there is no block yet, or the chain has no system contract whose tables contain votes.";
    TransactionAppearanceTimeout: "data_trx_appearance_timeout_error", SERVICE_UNAVAILABLE, Unavailable, Later,
        [text("trx_id", "the id of the transaction"), text("last_seen_block_id", "the id of the block that is not indexed yet")],
        "A block changed the transaction, but was not indexed in time.";
}
