//! JSON as `google.protobuf.Struct` has it, where all numbers are doubles.

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Number, Value};

/// Whole numbers up to here are the same as doubles.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// An object from a message. Whole numbers are whole, others that no JSON has are null.
pub(crate) fn object_of(message: Struct) -> Map<String, Value> {
    message.fields.into_iter().map(|(key, value)| (key, value_of(value))).collect()
}

fn value_of(message: ProtoValue) -> Value {
    match message.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::NumberValue(number)) => number_of(number),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(is_true)) => is_true.into(),
        Some(Kind::StructValue(message)) => object_of(message).into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_of).collect(),
    }
}

fn number_of(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_WHOLE {
        // Within the range, and without a fraction.
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// A message from an object.
pub(crate) fn to_struct(object: Map<String, Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(key, value)| (key, to_value(value))).collect() }
}

/// A message from a list.
pub(crate) fn to_list(values: Vec<Value>) -> ListValue {
    ListValue { values: values.into_iter().map(to_value).collect() }
}

fn to_value(value: Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(is_true) => Kind::BoolValue(is_true),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(to_list(values)),
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    ProtoValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_comes_back() {
        let object = json!({
            "a": [1, -2, 1.5, null, true, "x", {"b": {}}], "big": 9_007_199_254_740_992_i64, "huge": 1e300
        });
        let Value::Object(object) = object else { unreachable!() };
        assert_eq!(object_of(to_struct(object.clone())), object);
    }

    #[test]
    fn numbers_that_are_none_are_null() {
        assert_eq!(number_of(f64::NAN), Value::Null);
        assert_eq!(number_of(f64::INFINITY), Value::Null);
        assert_eq!(number_of(-0.0), json!(0));
    }
}
