//! The messages of both protocols. They have the same form, `{"id"?, "payload"?, "type"}`, and other types.

use axum::extract::ws::Utf8Bytes;
use dfuse_query::{GraphqlError, GraphqlRequest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer;

/// Close codes of `graphql-transport-ws`.
pub(super) const BAD_REQUEST: u16 = 4400;
pub(super) const UNAUTHORIZED: u16 = 4401;
pub(super) const FORBIDDEN: u16 = 4403;
pub(super) const INIT_TIMEOUT: u16 = 4408;
pub(super) const ID_TAKEN: u16 = 4409;
pub(super) const TOO_MANY_INITS: u16 = 4429;

/// A protocol over WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// `graphql-ws`, of Apollo's `subscriptions-transport-ws`, which the client of dfuse speaks.
    Legacy,
    /// `graphql-transport-ws`, of the library `graphql-ws`.
    Transport,
}

/// A message of a client.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) payload: Option<Value>,
}

impl Protocol {
    /// As `Sec-WebSocket-Protocol` has them; of several the first is taken.
    pub(super) const NAMES: [&str; 2] = ["graphql-transport-ws", "graphql-ws"];

    pub(super) fn named(name: &[u8]) -> Option<Self> {
        [Self::Transport, Self::Legacy].into_iter().find(|protocol| protocol.name().as_bytes() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Transport => Self::NAMES[0],
            Self::Legacy => Self::NAMES[1],
        }
    }

    /// What is sent now and then.
    pub(super) fn keep_alive(self) -> Utf8Bytes {
        match self {
            Self::Legacy => message(None, "ka", None),
            Self::Transport => message(None, "ping", None),
        }
    }

    /// An answer: the JSON object with its errors and data.
    pub(super) fn answer(self, id: &str, body: &[u8]) -> Utf8Bytes {
        let kind = match self {
            Self::Legacy => "data",
            Self::Transport => "next",
        };
        message(Some(id), kind, Some(body))
    }

    /// The errors that end an operation.
    pub(super) fn error(self, id: &str, errors: &[GraphqlError]) -> Utf8Bytes {
        match self {
            Self::Legacy => {
                let payload = errors.iter().find(|error| error.is_terminal()).or(errors.first()).map(legacy_error);
                message(Some(id), "error", payload.map(|payload| payload.to_string().into_bytes()).as_deref())
            }
            Self::Transport => message(Some(id), "error", Some(&answer::errors(errors))),
        }
    }
}

fn legacy_error(error: &GraphqlError) -> Value {
    json!({"message": format!("graphql: {}", error.message), "extensions": error.extensions})
}

/// What follows when a client is admitted.
pub(super) fn acknowledgement(protocol: Protocol) -> Vec<Utf8Bytes> {
    let acknowledged = message(None, "connection_ack", None);
    match protocol {
        Protocol::Legacy => vec![acknowledged, protocol.keep_alive()],
        Protocol::Transport => vec![acknowledged],
    }
}

/// What tells that an operation has ended.
pub(super) fn complete(id: &str) -> Utf8Bytes {
    message(Some(id), "complete", None)
}

/// What `graphql-ws` says of a message that it does not take: a text that clients know, and the rest of an error.
pub(super) fn refused(id: Option<&str>, kind: &str, text: &str, error: &GraphqlError) -> Utf8Bytes {
    let payload = json!({"message": text, "extensions": error.extensions});
    message(id, kind, Some(payload.to_string().as_bytes()))
}

/// The answer to a ping of the client.
pub(super) fn pong(payload: Option<&Value>) -> Utf8Bytes {
    message(None, "pong", payload.map(|payload| payload.to_string().into_bytes()).as_deref())
}

/// A message; `payload` is JSON text.
fn message(id: Option<&str>, kind: &str, payload: Option<&[u8]>) -> Utf8Bytes {
    let mut text = Vec::with_capacity(payload.map_or(0, <[u8]>::len) + 96);
    text.push(b'{');
    if let Some(id) = id {
        text.extend_from_slice(format!("\"id\":{},", Value::from(id)).as_bytes());
    }
    if let Some(payload) = payload {
        for piece in [b"\"payload\":", payload, b","] {
            text.extend_from_slice(piece);
        }
    }
    text.extend_from_slice(format!("\"type\":\"{kind}\"}}").as_bytes());
    Utf8Bytes::try_from(text).unwrap_or_else(|error| unreachable!("JSON text is UTF-8: {error}"))
}

impl Envelope {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| dfuse_query::shorten_to(&error.to_string(), 100))
    }

    /// The document that it asks to execute, if its payload is such.
    pub(super) fn request(&mut self) -> Option<GraphqlRequest> {
        let Some(Value::Object(mut payload)) = self.payload.take() else { return None };
        let Some(Value::String(query)) = payload.remove("query") else { return None };
        let operation_name = match payload.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return None,
        };
        let variables = match payload.remove("variables") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => return None,
        };
        Some(GraphqlRequest { query, operation_name, variables })
    }
}

/// The token in the payload of `connection_init`, if there is one.
///
/// # Errors
/// `graphql-ws` tells the client so.
pub(super) fn token(payload: &Map<String, Value>) -> Result<Option<String>, &'static str> {
    let Some(authorization) = payload.get("Authorization").or_else(|| payload.get("authorization")) else {
        return Ok(None);
    };
    let text = authorization.as_str().ok_or("expected 'Authorization' to be of string type")?.trim();
    let bearer = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let token = bearer.map_or(text, |(_, token)| token.trim());
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_token_is() {
        for (payload, found) in [
            (json!({}), Ok(None)),
            (json!({"Authorization": "abc"}), Ok(Some("abc"))),
            (json!({"Authorization": "Bearer abc"}), Ok(Some("abc"))),
            (json!({"authorization": " bearer  abc "}), Ok(Some("abc"))),
            (json!({"Authorization": ""}), Ok(None)),
            (json!({"Authorization": 7}), Err("expected 'Authorization' to be of string type")),
        ] {
            let read = token(payload.as_object().unwrap());
            assert_eq!(read.as_ref().map(Option::as_deref).map_err(|error| *error), found, "{payload}");
        }
    }

    #[test]
    fn documents_of_messages() {
        let request = |payload: Value| {
            let text = json!({"id": "1", "type": "start", "payload": payload}).to_string();
            Envelope::parse(&text).unwrap().request()
        };
        let all = request(json!({"query": "{a}", "operationName": "b", "variables": {"c": 1}, "d": 2})).unwrap();
        assert_eq!((all.query.as_str(), all.operation_name.as_deref()), ("{a}", Some("b")));
        assert_eq!(all.variables["c"], 1);
        let nulls = request(json!({"query": "", "operationName": null, "variables": null})).unwrap();
        assert_eq!(nulls, GraphqlRequest::default());
        for wrong in [
            json!(null),
            json!([]),
            json!({}),
            json!({"query": 1}),
            json!({"query": "", "variables": []}),
            json!({"query": "", "operationName": {}}),
        ] {
            assert_eq!(request(wrong.clone()), None, "{wrong}");
        }
    }
}
