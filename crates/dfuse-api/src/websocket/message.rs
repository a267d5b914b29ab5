//! Messages of clients.

use dfuse_query::{ApiError, ApiResult, ErrorCode};
use serde_json::{Map, Value};

/// A JSON object of a client. Keys are found whatever their case; of several, that in lower case counts, otherwise the last in
/// byte order. `null` is as good as absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, key: &str) -> Option<&Value> {
        let in_any_case = || self.0.iter().rfind(|(other, value)| other.eq_ignore_ascii_case(key) && !value.is_null());
        let exact = self.0.get(key).filter(|value| !value.is_null());
        exact.or_else(|| in_any_case().map(|(_, value)| value))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || format!("'{key}' must be {wanted}, not {}", kind(value));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// Text, if it is there.
    pub(super) fn text_if_any(&self, key: &str) -> ApiResult<Option<&str>> {
        self.typed(key, "a string", Value::as_str).map_err(invalid_data)
    }

    /// Text; empty if absent.
    pub(super) fn text(&self, key: &str) -> ApiResult<&str> {
        Ok(self.text_if_any(key)?.unwrap_or_default())
    }

    /// `true`, `false`, 1 or 0; `false` if absent.
    pub(super) fn flag(&self, key: &str) -> ApiResult<bool> {
        let read = |value: &Value| match value.as_u64() {
            Some(number @ 0..=1) => Some(number == 1),
            _ => value.as_bool(),
        };
        Ok(self.typed(key, "a boolean", read).map_err(invalid_data)?.unwrap_or_default())
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction or out of range",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A message as far as every type has it.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) kind: String,
    pub(super) req_id: String,
    listen: bool,
    fields: Fields,
}

impl Envelope {
    /// Reads JSON text with no more than 128 levels.
    ///
    /// # Errors
    /// `ws_invalid_json_message_error`
    pub(super) fn parse(text: &str) -> ApiResult<Self> {
        let value: Value = serde_json::from_str(text).map_err(|error| invalid_json(error.to_string()))?;
        let fields = match value {
            Value::Null => Fields::default(),
            Value::Object(map) => Fields(map),
            other => return Err(invalid_json(format!("a message must be an object, not {}", kind(&other)))),
        };
        let text = |key| fields.typed(key, "a string", Value::as_str).map_err(invalid_json);
        let kind = text("type")?.unwrap_or_default().to_owned();
        let req_id = text("req_id")?.unwrap_or_default().to_owned();
        let listen = fields.typed("listen", "a boolean", Value::as_bool).map_err(invalid_json)?.unwrap_or_default();
        Ok(Self { kind, req_id, listen, fields })
    }
}

/// A request of a client.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) fetch: bool,
    pub(super) listen: bool,
    pub(super) irreversible_only: bool,
    /// Blocks that must stand on top of what is told; 0 if absent.
    pub(super) confirmations: u32,
    /// 0 if absent.
    pub(super) start_block: i64,
    /// 0 if absent.
    pub(super) with_progress: i64,
    pub(super) data: Fields,
}

impl Message {
    /// # Errors
    /// `ws_invalid_json_message_data_error`, and `ws_message_data_validation_error` for a number that cannot be.
    pub(super) fn read(envelope: &Envelope) -> ApiResult<Self> {
        let Envelope { fields, listen, .. } = envelope;
        let flag = |key| fields.typed(key, "a boolean", Value::as_bool).map_err(invalid_data);
        let integer = |key| fields.typed(key, "an integer", Value::as_i64).map_err(invalid_data);
        let data = fields.typed("data", "an object", Value::as_object).map_err(invalid_data)?;
        let confirmations = integer("confirmations")?.unwrap_or_default();
        let too_many = || invalid(format!("'confirmations' must be from 0 to {}, not {confirmations}", u32::MAX));
        Ok(Self {
            fetch: flag("fetch")?.unwrap_or_default(),
            listen: *listen,
            confirmations: u32::try_from(confirmations).map_err(|_| too_many())?,
            irreversible_only: flag("irreversible_only")?.unwrap_or_default(),
            start_block: integer("start_block")?.unwrap_or_default(),
            with_progress: integer("with_progress")?.unwrap_or_default(),
            data: Fields(data.cloned().unwrap_or_default()),
        })
    }

    /// # Errors
    /// It asks for neither an answer nor a stream.
    pub(super) fn wants_something(&self) -> ApiResult<()> {
        check(self.fetch || self.listen, "one of 'listen' or 'fetch' required (both supported)")
    }

    /// # Errors
    /// It asks for irreversible data only.
    pub(super) fn takes_reversible(&self) -> ApiResult<()> {
        check(!self.irreversible_only, "'irreversible_only' is not supported")
    }

    /// # Errors
    /// It asks for what has confirmations.
    pub(super) fn takes_newest(&self) -> ApiResult<()> {
        check(self.confirmations == 0, "'confirmations' is not supported")
    }
}

/// `ws_message_data_validation_error` unless it holds.
pub(super) fn check(holds: bool, reason: &str) -> ApiResult<()> {
    if holds { Ok(()) } else { Err(invalid(reason)) }
}

pub(super) fn invalid(reason: impl Into<String>) -> ApiError {
    with_reason(ErrorCode::WsMessageDataValidation, "The message is not valid.", reason.into())
}

fn invalid_json(reason: String) -> ApiError {
    with_reason(ErrorCode::WsInvalidJsonMessage, "The message is not understood.", reason)
}

fn invalid_data(reason: String) -> ApiError {
    with_reason(ErrorCode::WsInvalidJsonMessageData, "A field of the message has a wrong type.", reason)
}

fn with_reason(code: ErrorCode, message: &'static str, reason: String) -> ApiError {
    ApiError::new(code, message).detail("reason", reason)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> ApiResult<(Envelope, Message)> {
        let envelope = Envelope::parse(text)?;
        let message = Message::read(&envelope)?;
        Ok((envelope, message))
    }

    #[test]
    fn keys_have_any_case_and_null_is_absent() {
        let text = r#"{"Type":"get_account","REQ_ID":"a","req_id":null,"listen":null,"FETCH":true,"unknown":[1],
            "start_block":-5,"With_Progress":9223372036854775807,"data":{"NAME":"x","json":1,"Flag":false,"other":null}}"#;
        let (envelope, message) = read(text).unwrap();
        assert_eq!((envelope.kind.as_str(), envelope.req_id.as_str()), ("get_account", "a"));
        assert!(message.fetch && !message.listen && !message.irreversible_only);
        assert_eq!((message.start_block, message.with_progress), (-5, i64::MAX));
        assert_eq!(message.data.text("name").unwrap(), "x");
        assert_eq!(
            ["json", "flag", "other", "absent"].map(|key| message.data.flag(key).unwrap()),
            [true, false, false, false]
        );
        let (envelope, message) = read("null").unwrap();
        assert!(envelope.kind.is_empty() && !message.fetch);
        assert_eq!(read(r#"{"TYPE":"b","type":"a","Type":"c"}"#).unwrap().0.kind, "a");
    }

    #[test]
    fn wrong_types_are_told() {
        let (json, data) = (ErrorCode::WsInvalidJsonMessage, ErrorCode::WsInvalidJsonMessageData);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for (text, code, reason) in [
            ("", json, "EOF while parsing a value at line 1 column 0"),
            ("{}{}", json, "trailing characters at line 1 column 3"),
            ("[]", json, "a message must be an object, not an array"),
            ("5", json, "a message must be an object, not a number"),
            (&deep, json, "recursion limit exceeded at line 1 column 132"),
            (r#"{"type":5}"#, json, "'type' must be a string, not a number"),
            (r#"{"req_id":{}}"#, json, "'req_id' must be a string, not an object"),
            (r#"{"LISTEN":1}"#, json, "'listen' must be a boolean, not a number"),
            (r#"{"fetch":1}"#, data, "'fetch' must be a boolean, not a number"),
            (r#"{"start_block":"5"}"#, data, "'start_block' must be an integer, not a string"),
            (
                r#"{"start_block":5.5}"#,
                data,
                "'start_block' must be an integer, not a number with a fraction or out of range",
            ),
            (r#"{"with_progress":9223372036854775808}"#, data, "'with_progress' must be an integer, not a number"),
            (r#"{"irreversible_only":"yes"}"#, data, "'irreversible_only' must be a boolean, not a string"),
            (r#"{"data":[]}"#, data, "'data' must be an object, not an array"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.code(), error.details()["reason"].as_str().unwrap()), (code, reason), "{text}");
        }
        let (_, message) = read(r#"{"data":{"id":5,"json":2}}"#).unwrap();
        assert_eq!(message.data.text("id").unwrap_err().details()["reason"], "'id' must be a string, not a number");
        assert_eq!(message.data.flag("json").unwrap_err().code(), data);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,100}") {
            let _ = read(&text);
        }

        #[test]
        fn any_json_is_read_or_refused(key in "(?i)(type|req_id|listen|fetch|start_block|data)", value in "(null|true|-?[0-9]{1,22}(\\.[0-9])?|\"[a-z]*\"|\\[\\]|\\{\\})") {
            let _ = read(&format!("{{\"{key}\":{value}}}"));
        }
    }
}
