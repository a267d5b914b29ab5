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
            optional(object("errors", "for each wrong parameter the list of what is wrong with it")),
            optional(object("position", "where a query is wrong: `offset` in bytes from 0, `line` and `column` from 1"))
        ],
        "A parameter is missing or has a value that is not allowed.";
    InvalidJson: "invalid_json_error", BAD_REQUEST, InvalidArgument, No,
        [object("errors", "`source`: what the parser says")],
        "The body is not JSON, or its JSON does not have the types that are wanted.";
    MissingBody: "missing_body_error", BAD_REQUEST, InvalidArgument, No, [],
        "The request needs a body and has none.";
    RequestMalformed: "request_malformed_error", BAD_REQUEST, InvalidArgument, No, [],
        "What came is not HTTP/1.1, or ended before it was complete.";
    BlockNumAboveHead: "app_block_num_higher_than_head_block_error", BAD_REQUEST, OutOfRange, Later,
        [
            number("request_block_num", "the block number of the request"),
            number("head_block_num", "number of the newest block"),
            number("last_written_block_num", "number of the last irreversible block")
        ],
        "The block of that number is not there yet.";
    BlockNumAboveLib: "app_block_num_higher_than_lib_error", BAD_REQUEST, OutOfRange, Later,
        [
            number("request_block_num", "the block number of the request"),
            number("last_written_block_num", "number of the last irreversible block")
        ],
        "The block of that number is not irreversible yet, and the request wants only what is.";
    TableRowNotDecoded: "data_decoding_table_row_error", BAD_REQUEST, InvalidArgument, No,
        [text("data", "the row, as the request has it")],
        "The bytes are no row of the table by its ABI.";
    AbiMalformed: "data_abi_malformed_error", BAD_REQUEST, FailedPrecondition, No,
        [text("account", "the account"), number("block_num", "the block that set the ABI")],
        "The account has set bytes that are no ABI, so that there is no JSON of it, and no row decodes by it.";
    CursorTooOld: "cursor_too_old_error", BAD_REQUEST, FailedPrecondition, No, [],
        "The cursor is on a fork that was given up so long ago that its blocks are not kept: start without it.";
    WsUpgradeFailed: "ws_upgrade_failed_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what the request lacks")],
        "The request for a WebSocket connection is not one.";
    WsBinaryMessageUnsupported: "ws_binary_message_unsupported_error", BAD_REQUEST, InvalidArgument, No, [],
        "A WebSocket message is binary: send text.";
    WsInvalidJsonMessage: "ws_invalid_json_message_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what is wrong")],
        "A WebSocket message is not a JSON object, or its `type`, `req_id` or `listen` have a wrong JSON type.";
    WsInvalidJsonMessageData: "ws_invalid_json_message_data_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what is wrong")],
        "A field of a WebSocket message or of its `data` has a wrong JSON type.";
    WsMessageDataValidation: "ws_message_data_validation_error", BAD_REQUEST, InvalidArgument, No,
        [text("reason", "what is wrong")],
        "A WebSocket message asks for what is not allowed or not possible.";
    WsUnknownMessage: "ws_unknown_message_error", BAD_REQUEST, Unimplemented, No,
        [text("type", "what came, shortened")],
        "A WebSocket message has a type that does not exist.";
    WsUnavailableMessage: "ws_unavailable_message_error", BAD_REQUEST, Unimplemented, No,
        [text("type", "the type")],
        "A WebSocket message has a type that this server does not offer.";
    StreamStartNotAllowed: "auth_invalid_streaming_start_block_error", FORBIDDEN, PermissionDenied, No, [],
        "The stream begins further back than the caller may go.";
    TokenMissing: "auth_token_missing_error", UNAUTHORIZED, Unauthenticated, No, [],
        "The server asks for a token and the request has none.";
    TokenInvalid: "auth_invalid_token_error", UNAUTHORIZED, Unauthenticated, No,
        [text("token", "always empty: tokens are not repeated"), text("reason", "what is wrong with it")],
        "The token is not one, has expired, or was signed by somebody else.";
    ApiKeyInvalid: "auth_invalid_api_key_error", UNAUTHORIZED, Unauthenticated, No, [],
        "The API key does not exist, has expired, or was revoked.";
    ApiKeyRevoked: "auth_api_key_revoked_error", UNAUTHORIZED, Unauthenticated, No, [],
        "The API key of the token was revoked. Streams that are open end with this, too.";
    OriginNotAllowed: "auth_invalid_origin_error", FORBIDDEN, PermissionDenied, No,
        [text("origin", "the `Origin` of the request, shortened")],
        "Web pages of this origin may not use the API key.";
    TierNotAllowed: "auth_invalid_tier_error", FORBIDDEN, PermissionDenied, No,
        [text("tier", "the tier of the caller"), text("required_tier", "a tier that includes it")],
        "The tier of the caller does not include this route.";
    HistoryNotAllowed: "auth_invalid_history_error", FORBIDDEN, PermissionDenied, No,
        [
            number("request_block_num", "the block that was asked for"),
            number("first_block_num", "the first block that the caller may read")
        ],
        "The request reaches further back than the caller may go.";
    QueryTooBroad: "query_too_broad_error", BAD_REQUEST, InvalidArgument, No,
        [text("field", "the field"), text("prefix", "what is before the star"), number("limit", "most values")],
        "A value that ends in `*` stands for too many values: give more of it.";
    GraphqlSyntax: "graphql_syntax_error", BAD_REQUEST, InvalidArgument, No,
        [object("position", "where the document is wrong: `line` and `column` from 1")],
        "The text is not a GraphQL document.";
    GraphqlInvalid: "graphql_validation_error", BAD_REQUEST, InvalidArgument, No, [],
        "The GraphQL document or its variables do not fit the schema, or the operation that is asked for does not exist.";
    GraphqlNeedsWebSocket: "graphql_subscription_transport_error", BAD_REQUEST, Unimplemented, No, [],
        "A GraphQL subscription came over HTTP: open a WebSocket connection at the same address, or use gRPC.";
    GraphqlTooComplex: "graphql_too_complex_error", BAD_REQUEST, InvalidArgument, No,
        [number("limit", "the most that is allowed of what the message names")],
        "The GraphQL document is too long, is nested too deeply, or asks for too many fields.";
    GraphqlAnswerTooLarge: "graphql_answer_too_large_error", BAD_REQUEST, ResourceExhausted, No,
        [number("limit", "most bytes that the values of an answer may have")],
        "What the GraphQL document asks for is too much for one answer: ask for fewer results, or fewer fields of them.";
    CorsHeaderNotAllowed: "cors_header_not_allowed_error", FORBIDDEN, PermissionDenied, No,
        [text("header", "the header that is not allowed"), texts("allowed", "those that are")],
        "A browser asks whether a page of another origin may send a header that it may not send.";
    RouteNotFound: "route_not_found_error", NOT_FOUND, Unimplemented, No,
        [text("path", "the path, shortened")],
        "There is nothing at this path.";
    GrpcServiceNotFound: "grpc_service_not_found_error", NOT_FOUND, NotFound, No, [],
        "The health of a gRPC service is asked for that this server does not have.";
    FirehoseTransformUnsupported: "firehose_transform_unsupported_error", NOT_IMPLEMENTED, Unimplemented, No,
        [text("type_url", "the type of the transform, shortened")],
        "A stream of blocks is asked for with a transform that this server does not have.";
    BlockNotFound: "data_block_not_found_error", NOT_FOUND, NotFound, Later,
        [text("block", "id or number of the block, as decimal text")],
        "The block is unknown: it does not exist, was not seen yet, or was on a fork that is not kept any more.";
    TransactionNotFound: "data_trx_not_found_error", NOT_FOUND, NotFound, Later,
        [
            text("trx_id", "id of the transaction"),
            optional(texts("forked_out", "ids of the blocks that have it and were undone, newest first"))
        ],
        "The transaction is unknown: it does not exist, was not seen yet, or was in no block but such as were undone, and has \
         expired.";
    AbiNotFound: "data_abi_not_found_error", NOT_FOUND, NotFound, No,
        [
            text("account", "the account"),
            number("block_num", "the height that was read: the head where the request names none")
        ],
        "The account has no ABI at that height.";
    TableNotFound: "data_table_not_found_error", NOT_FOUND, NotFound, No,
        [text("account", "the contract"), text("table", "the table")],
        "The contract's ABI does not have the table or, where scopes are asked for, the table never had a row.";
    RowNotFound: "data_row_not_found_error", NOT_FOUND, NotFound, No,
        [
            text("account", "the contract"),
            text("scope", "the scope, as the request has it"),
            text("table", "the table"),
            text("primary_key", "the primary key, as the request has it")
        ],
        "The table has no row of that primary key at that height.";
    StateUnavailable: "app_state_unavailable_error", NOT_FOUND, NotFound, No,
        [
            number("first_block_num", "the first block from which on state is known"),
            text("reason", "why nothing earlier is known: `mid_chain_start`, the indexes begin in the middle of the chain")
        ],
        "The state or the block is of before the first block from which on this server knows the chain, or what is asked for was \
         not written since that block and may have been written before.";
    AccountNotFound: "data_account_not_found_error", NOT_FOUND, NotFound, No,
        [text("account", "the account")],
        "There is no account of this name.";
    PublicKeyNotFound: "data_public_key_not_found_error", NOT_FOUND, NotFound, No,
        [text("public_key", "the key")],
        "The key never stood in a permission of any account.";
    TokenNotFound: "data_token_not_found_error", NOT_FOUND, NotFound, No,
        [text("contract", "the contract"), text("symbol", "the symbol code")],
        "The account is no token contract, or has no token of that symbol.";
    BlockTimeNotFound: "block_time_not_found", NOT_FOUND, NotFound, Later, [],
        "No block is at the time, or on the asked side of it.";
    SimpleSearchNotFound: "simple_search_not_found", NOT_FOUND, NotFound, Later, [],
        "The text is no block, transaction, account or time that is known.";
    MethodNotAllowed: "method_not_allowed_error", METHOD_NOT_ALLOWED, Unimplemented, No,
        [text("method", "the method of the request, shortened"), texts("allowed", "the methods that are allowed")],
        "The resource does not have this method; the header `Allow` names those that it has.";
    EncodingNotAcceptable: "encoding_not_acceptable_error", NOT_ACCEPTABLE, InvalidArgument, No, [],
        "`Accept-Encoding` forbids every encoding that there is: identity, gzip and deflate.";
    WsStreamAlreadyExists: "ws_stream_already_exist_error", CONFLICT, FailedPrecondition, No,
        [text("request_id", "the `req_id`")],
        "A stream of this `req_id` is open on this WebSocket connection.";
    WsStreamNotFound: "ws_stream_not_found_error", CONFLICT, FailedPrecondition, No,
        [text("request_id", "the `req_id`")],
        "No stream of this `req_id` is open on this WebSocket connection: it was not opened, or has ended.";
    RequestTimeout: "request_timeout_error", REQUEST_TIMEOUT, DeadlineExceeded, Later, [],
        "The header or the body of the request did not arrive in time.";
    RequestBodyTooLarge: "request_body_too_large_error", PAYLOAD_TOO_LARGE, ResourceExhausted, No,
        [number("limit", "most bytes that are accepted")],
        "The body of the request is too large.";
    TableSnapshotTooLarge: "app_table_rows_too_large_error", PAYLOAD_TOO_LARGE, ResourceExhausted, No,
        [number("limit", "most bytes of a snapshot")],
        "The rows of the table are too many for one WebSocket message: read them page by page with `/v0/state/table`, and \
         listen from the block after the one that they are of.";
    RequestUriTooLong: "request_uri_too_long_error", URI_TOO_LONG, ResourceExhausted, No, [],
        "Path and query are longer than 65,534 bytes: send the parameters in the body, with POST.";
    MediaTypeUnsupported: "media_type_unsupported_error", UNSUPPORTED_MEDIA_TYPE, InvalidArgument, No,
        [text("media_type", "what came, shortened"), texts("supported", "what is accepted")],
        "The parameters in the body have a form that is not understood.";
    RequestHeadersTooLarge: "request_headers_too_large_error", REQUEST_HEADER_FIELDS_TOO_LARGE, ResourceExhausted, No, [],
        "The header of the request is too large.";
    WsTooManyStreams: "ws_too_much_stream_error", TOO_MANY_REQUESTS, ResourceExhausted, No,
        [
            number("actual_listener_count", "open streams"),
            number("maximum_listener_count", "most streams that may be open")
        ],
        "Too many streams are open on this WebSocket connection: end one, or open another connection.";
    RateLimited: "rate_limit_exceeded_error", TOO_MANY_REQUESTS, ResourceExhausted, Later,
        [
            number("limit", "requests that may come at once"),
            number("remaining", "how many more may come now: 0"),
            number("reset", "seconds until the next may come, as in `Retry-After`")
        ],
        "Too many requests, or too much work, in too little time.";
    TooManyOpen: "auth_too_many_open_error", TOO_MANY_REQUESTS, ResourceExhausted, Later,
        [text("kind", "`connections` or `streams`"), number("limit", "how many may be open")],
        "Too many connections or streams are open with this access.";
    Unexpected: "unexpected_error", INTERNAL_SERVER_ERROR, Internal, Later, [],
        "A fault of the server. Its cause is in the server's log under the trace id.";
    TransferCodingUnsupported: "request_transfer_coding_unsupported_error", NOT_IMPLEMENTED, Unimplemented, No,
        [
            optional(text("coding", "the transfer coding that is not understood, shortened")),
            texts("supported", "those that are")
        ],
        "The body of the request has a transfer coding other than `chunked`.";
    ServiceUnavailable: "service_unavailable_error", SERVICE_UNAVAILABLE, Unavailable, Later,
        [optional(object("conditions", "for each condition of readiness that does not hold, why"))],
        "The server cannot answer for the moment: it starts, catches up, has too much to do, or its store is away.";
    Maintenance: "service_maintenance_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "The server is under maintenance. Streams that are open end with this, too.";
    NotReady: "app_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "No block is indexed yet.";
    HeadInfoNotReady: "app_head_info_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "No block is known yet.";
    TableRowsInFuture: "app_table_rows_cannot_fetch_in_future_error", SERVICE_UNAVAILABLE, Unavailable, Later,
        [number("start_block", "the block that is asked for")],
        "Rows are asked for at a block that is not there yet.";
    PriceNotReady: "app_price_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "No price is known: this server has no source of prices.";
    VoteTallyNotReady: "app_vote_tally_not_ready_error", SERVICE_UNAVAILABLE, Unavailable, Later, [],
        "No votes are known: the chain has no system contract, or none whose tables have what votes are made of.";
    TransactionAppearanceTimeout: "data_trx_appearance_timeout_error", SERVICE_UNAVAILABLE, Unavailable, Later,
        [text("trx_id", "id of the transaction"), text("last_seen_block_id", "the block that is not indexed")],
        "A block concerns the transaction, but the indexes did not come to it in time.";
}
