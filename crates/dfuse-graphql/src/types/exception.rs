//! Why something failed, as JSON.

use async_graphql::{Name, Value, indexmap::IndexMap};
use dfuse_antelope::model;
use dfuse_query::ApiResult;

use super::Json;
use crate::read::Request;

/// About what a message of an exception takes beside its texts.
const MESSAGE_BYTES: usize = 256;

/// An object without its empty members.
struct Members(IndexMap<Name, Value>);

impl Members {
    fn new() -> Self {
        Self(IndexMap::new())
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        let is_empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            Value::List(items) => items.is_empty(),
            _ => false,
        };
        if !is_empty {
            self.0.insert(Name::new(key), value);
        }
        self
    }

    fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// `{code, name, message, stack: [{context, format, data}]}`; what is empty is left out.
pub(super) fn exception_json(request: &Request, exception: &model::Exception) -> ApiResult<Json> {
    let texts = exception.stack.iter().map(|message| message.format.len() + message.data.len());
    request.take_room(exception.message.len() + texts.map(|bytes| bytes + MESSAGE_BYTES).sum::<usize>())?;
    let value = Members::new()
        .with("code", exception.code.into())
        .with("name", exception.name.as_str().into())
        .with("message", exception.message.as_str().into())
        .with("stack", Value::List(exception.stack.iter().map(message).collect()));
    Ok(Json(value.into_value()))
}

fn message(message: &model::ExceptionLogMessage) -> Value {
    // The node logs the values of the message as JSON.
    let data = match serde_json::from_slice(&message.data) {
        Ok(data) => data,
        Err(_) => String::from_utf8_lossy(&message.data).into_owned().into(),
    };
    Members::new()
        .with("context", message.context.as_ref().map_or(Value::Null, context))
        .with("format", message.format.as_str().into())
        .with("data", data)
        .into_value()
}

fn context(context: &model::ExceptionLogContext) -> Value {
    let (seconds, micros) = (context.timestamp.0.div_euclid(1_000_000), context.timestamp.0.rem_euclid(1_000_000));
    let timestamp = Members::new().with("seconds", seconds.into()).with("nanos", (micros * 1000).into());
    let outer = context.context.as_deref().map(self::context);
    Members::new()
        .with("level", context.level.as_str().into())
        .with("file", context.file.as_str().into())
        .with("line", context.line.into())
        .with("method", context.method.as_str().into())
        .with("hostname", context.hostname.as_str().into())
        .with("thread_name", context.thread_name.as_str().into())
        .with("timestamp", timestamp.into_value())
        .with("context", outer.unwrap_or_default())
        .into_value()
}
