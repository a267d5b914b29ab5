//! Why a message is refused, and what is said.

use dfuse_query::ErrorCode;
use serde_json::{Value, json};

use super::{KEPT, kinds::Kind};

/// How many blocks below the head callers may begin.
pub(super) const HISTORY: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// It is no JSON, or no object.
    NotJson,
    /// What every message has is of another type.
    OddEnvelope,
    UnknownType,
    /// Another field is of another type.
    OddField,
    OddData,
    Incomplete,
    /// A text cannot be.
    OddText,
    /// It is asked in a way that the type does not offer.
    OddWay,
    /// No chain has such a block.
    NoSuchBlock,
    TooFarBack,
    Ahead,
    Missing,
    /// A stream of that name is open.
    Taken,
    TooManyStreams,
    TooManyStreamsOfCaller,
    TooManyRequests,
    /// The operator does not want it.
    NotOffered,
    NotReady,
    StoreAway,
    /// The answer has more bytes than may wait.
    TooLarge,
    Revoked,
    Maintenance,
}

/// Those that messages themselves give, to whoever may ask.
pub(super) const OF_MESSAGES: [Reason; 12] = [
    Reason::NotJson,
    Reason::OddEnvelope,
    Reason::UnknownType,
    Reason::OddField,
    Reason::OddData,
    Reason::Incomplete,
    Reason::OddText,
    Reason::OddWay,
    Reason::NoSuchBlock,
    Reason::TooFarBack,
    Reason::Ahead,
    Reason::Missing,
];

/// A message that is refused.
pub(super) struct Refused {
    pub(super) text: String,
    /// Under which name.
    pub(super) req_id: String,
    pub(super) code: ErrorCode,
    pub(super) details: Value,
}

fn refused(request: &Value, code: ErrorCode, details: Value) -> Refused {
    let req_id = request["req_id"].as_str().unwrap_or_default().to_owned();
    Refused { text: request.to_string(), req_id, code, details }
}

fn invalid(request: &Value, reason: &str) -> Refused {
    refused(request, ErrorCode::WsMessageDataValidation, json!({"reason": reason}))
}

/// One of which even the name is not known.
fn nameless(text: String, reason: &str) -> Refused {
    Refused { text, req_id: String::new(), code: ErrorCode::WsInvalidJsonMessage, details: json!({"reason": reason}) }
}

impl Reason {
    pub(super) const ALL: [Self; 22] = [
        Self::NotJson,
        Self::OddEnvelope,
        Self::UnknownType,
        Self::OddField,
        Self::OddData,
        Self::Incomplete,
        Self::OddText,
        Self::OddWay,
        Self::NoSuchBlock,
        Self::TooFarBack,
        Self::Ahead,
        Self::Missing,
        Self::Taken,
        Self::TooManyStreams,
        Self::TooManyStreamsOfCaller,
        Self::TooManyRequests,
        Self::NotOffered,
        Self::NotReady,
        Self::StoreAway,
        Self::TooLarge,
        Self::Revoked,
        Self::Maintenance,
    ];

    /// Whether a message of the type can be refused for it.
    pub(super) fn is_of(self, kind: &Kind) -> bool {
        match self {
            Self::NotJson | Self::OddEnvelope | Self::UnknownType | Self::OddField | Self::NotOffered => true,
            Self::OddData => !kind.texts.is_empty(),
            Self::OddText => !kind.odd.is_empty(),
            Self::OddWay => kind.name != "unlisten",
            Self::TooManyRequests | Self::Incomplete => true,
            Self::NoSuchBlock | Self::TooFarBack => kind.starts,
            Self::Ahead | Self::TooLarge => kind.name == "get_table_rows",
            Self::Missing => {
                ["get_account", "get_transaction", "get_transaction_lifecycle", "unlisten"].contains(&kind.name)
            }
            Self::Taken | Self::TooManyStreams | Self::TooManyStreamsOfCaller | Self::Revoked | Self::Maintenance => {
                kind.listened
            }
            Self::NotReady => kind.fetched,
            // The head is in memory, and there are no prices.
            Self::StoreAway => kind.fetched && !["get_head_info", "get_price"].contains(&kind.name),
        }
    }

    /// Messages of the type that are refused for it.
    pub(super) fn messages(self, kind: &Kind) -> Vec<Refused> {
        if !self.is_of(kind) {
            return Vec::new();
        }
        let listening = || kind.request(&[("listen", json!(true))]);
        match self {
            Self::NotJson => not_json(kind),
            Self::OddEnvelope => odd_envelope(kind),
            Self::UnknownType => unknown_type(kind),
            Self::OddField => odd_field(kind),
            Self::OddData => odd_data(kind),
            Self::Incomplete => incomplete(kind),
            Self::OddText => {
                let odd = kind.odd.iter();
                odd.map(|(field, text, reason)| invalid(&kind.with_data(field, json!(text)), reason)).collect()
            }
            Self::OddWay => odd_way(kind),
            Self::NoSuchBlock => {
                let details = json!({"errors": {"start_block": ["must be below 4294967296"]}});
                let request = kind.request(&[("start_block", json!(1_u64 << 32))]);
                vec![refused(&request, ErrorCode::RequestValidation, details)]
            }
            Self::TooFarBack => {
                let starts = [json!(2), json!(-i64::from(HISTORY) - 1)];
                let request = |start| kind.request(&[("start_block", start)]);
                starts.map(|start| refused(&request(start), ErrorCode::StreamStartNotAllowed, Value::Null)).into()
            }
            Self::Ahead => {
                let ahead = kind.request(&[("start_block", json!(1000))]);
                let unconfirmed = kind.request(&[("start_block", json!(26)), ("confirmations", json!(1))]);
                let details = |block: u32| json!({"start_block": block});
                [(ahead, 1000), (unconfirmed, 26)]
                    .map(|(request, block)| refused(&request, ErrorCode::TableRowsInFuture, details(block)))
                    .into()
            }
            Self::Missing => missing(kind),
            Self::Taken => {
                let request = kind.request(&[("listen", json!(true)), ("req_id", json!(KEPT))]);
                vec![refused(&request, ErrorCode::WsStreamAlreadyExists, json!({"request_id": KEPT}))]
            }
            Self::TooManyStreams => {
                let details = json!({"actual_listener_count": 2, "maximum_listener_count": 2});
                vec![refused(&listening(), ErrorCode::WsTooManyStreams, details)]
            }
            Self::TooManyStreamsOfCaller => {
                let details = json!({"kind": "streams", "limit": 0});
                vec![refused(&listening(), ErrorCode::TooManyOpen, details)]
            }
            Self::TooManyRequests => {
                let details = json!({"limit": 1, "remaining": 0, "reset": null});
                // Whatever else is wrong with them.
                let mut messages = not_json(kind);
                messages.extend(unknown_type(kind));
                messages.extend(incomplete(kind));
                messages.push(refused(&kind.request(&[]), ErrorCode::RateLimited, Value::Null));
                let limited = |it| Refused { code: ErrorCode::RateLimited, details: details.clone(), ..it };
                messages.into_iter().map(limited).collect()
            }
            Self::NotOffered => {
                vec![refused(&kind.request(&[]), ErrorCode::WsUnavailableMessage, json!({"type": kind.name}))]
            }
            Self::NotReady => vec![refused(&kind.request(&[]), unready(kind), Value::Null)],
            Self::StoreAway => vec![refused(&kind.request(&[]), ErrorCode::ServiceUnavailable, Value::Null)],
            Self::TooLarge => {
                let data = json!({"code": "eosio.token", "scope": "SYS", "table": "stat"});
                let request = kind.request(&[("data", data)]);
                vec![refused(&request, ErrorCode::TableSnapshotTooLarge, json!({"limit": 40}))]
            }
            // These come by themselves.
            Self::Revoked | Self::Maintenance => Vec::new(),
        }
    }
}

fn not_json(kind: &Kind) -> Vec<Refused> {
    let cut = format!("{{\"type\":\"{}\"", kind.name);
    let end = format!("EOF while parsing an object at line 1 column {}", cut.len());
    let list = json!([kind.request(&[])]).to_string();
    vec![nameless(cut, &end), nameless(list, "a message must be an object, not an array")]
}

fn odd_envelope(kind: &Kind) -> Vec<Refused> {
    [
        ("type", json!([kind.name]), "'type' must be a string, not an array"),
        ("req_id", json!(7), "'req_id' must be a string, not a number"),
        ("listen", json!(1), "'listen' must be a boolean, not a number"),
    ]
    .map(|(field, value, reason)| nameless(kind.request(&[(field, value)]).to_string(), reason))
    .into()
}

fn unknown_type(kind: &Kind) -> Vec<Refused> {
    let misspelt = format!("{}x", kind.name);
    let long = kind.name.repeat(100);
    let cut = format!("{}...", &long[..64]);
    // Whether it is known comes before what is in it.
    let of = |name: &str, told: &str| {
        let request = kind.request(&[("type", json!(name)), ("fetch", json!(5))]);
        refused(&request, ErrorCode::WsUnknownMessage, json!({"type": told}))
    };
    vec![of(&misspelt, &misspelt), of(&long, &cut), of("ping", "ping"), of("", "")]
}

fn odd_field(kind: &Kind) -> Vec<Refused> {
    let fields = [
        ("fetch", json!("yes"), "'fetch' must be a boolean, not a string"),
        ("irreversible_only", json!(1), "'irreversible_only' must be a boolean, not a number"),
        ("start_block", json!("5"), "'start_block' must be an integer, not a string"),
        ("start_block", json!(5.5), "'start_block' must be an integer, not a number with a fraction or out of range"),
        ("with_progress", json!([]), "'with_progress' must be an integer, not an array"),
        ("confirmations", json!({}), "'confirmations' must be an integer, not an object"),
        ("data", json!(true), "'data' must be an object, not a boolean"),
    ];
    let of_field = |(field, value, reason)| {
        let details = json!({"reason": reason});
        refused(&kind.request(&[(field, value)]), ErrorCode::WsInvalidJsonMessageData, details)
    };
    let negative = kind.request(&[("confirmations", json!(-1))]);
    let negative = invalid(&negative, "'confirmations' must be from 0 to 4294967295, not -1");
    fields.into_iter().map(of_field).chain([negative]).collect()
}

fn odd_data(kind: &Kind) -> Vec<Refused> {
    let texts = kind.texts.iter().map(|field| (field, json!(7), "a string, not a number"));
    let flags = kind.flags.iter().map(|field| (field, json!("yes"), "a boolean, not a string"));
    let of_field = |(field, value, wanted): (&&str, Value, &str)| {
        let details = json!({"reason": format!("'{field}' must be {wanted}")});
        refused(&kind.with_data(field, value), ErrorCode::WsInvalidJsonMessageData, details)
    };
    texts.chain(flags).map(of_field).collect()
}

const NEITHER: &str = "one of 'listen' or 'fetch' required (both supported)";

fn incomplete(kind: &Kind) -> Vec<Refused> {
    let fields = kind.required.iter();
    let mut messages: Vec<_> =
        fields.map(|(field, reason)| invalid(&kind.with_data(field, Value::Null), reason)).collect();
    if let Some((_, reason)) = kind.required.first() {
        messages.push(invalid(&kind.request(&[("data", Value::Null)]), reason));
    }
    let way = match (kind.fetched, kind.listened) {
        (true, true) => NEITHER,
        (true, false) => "'fetch' is required",
        (false, true) => "'listen' required",
        (false, false) => return messages,
    };
    let neither = [("fetch", json!(false)), ("listen", json!(false))];
    messages.push(invalid(&kind.request(&neither), way));
    messages
}

fn odd_way(kind: &Kind) -> Vec<Refused> {
    let both = kind.request(&[("fetch", json!(true)), ("listen", json!(true))]);
    let mut messages = Vec::new();
    match (kind.fetched, kind.listened) {
        (false, _) => messages.push(invalid(&both, "'fetch' not supported")),
        (_, false) => messages.push(invalid(&both, "'listen' is not supported")),
        (true, true) => {}
    }
    if !kind.irreversible {
        let request = kind.request(&[("irreversible_only", json!(true))]);
        messages.push(invalid(&request, "'irreversible_only' is not supported"));
    }
    if !kind.confirmed {
        messages.push(invalid(&kind.request(&[("confirmations", json!(1))]), "'confirmations' is not supported"));
    }
    if kind.texts == ["id"] {
        let data = json!({"id": "abcdefab"});
        let request = kind.request(&[("data", data), ("listen", json!(true))]);
        messages.push(invalid(&request, "'listen' requires a whole transaction id of 64 characters"));
    }
    messages
}

fn missing(kind: &Kind) -> Vec<Refused> {
    let (code, details) = match kind.name {
        "get_account" => (ErrorCode::AccountNotFound, json!({"account": kind.data["name"]})),
        "unlisten" => (ErrorCode::WsStreamNotFound, json!({"request_id": kind.data["req_id"]})),
        _ => (ErrorCode::TransactionNotFound, json!({"trx_id": kind.data["id"]})),
    };
    vec![refused(&kind.request(&[]), code, details)]
}

/// What is said where a value is not known yet.
fn unready(kind: &Kind) -> ErrorCode {
    match kind.name {
        "get_head_info" => ErrorCode::HeadInfoNotReady,
        "get_price" => ErrorCode::PriceNotReady,
        "get_vote_tally" => ErrorCode::VoteTallyNotReady,
        _ => ErrorCode::NotReady,
    }
}
