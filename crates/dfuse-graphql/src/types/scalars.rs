//! Scalars. Numbers of 64 bits are text in answers, and text or numbers in documents.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, InputType, InputValueError, InputValueResult, Number, OutputType, Positioned, Scalar,
    ScalarType, ServerResult, Value, parser::types::Field, registry,
};
use dfuse_antelope::{BlockTimestamp, TimePoint, TimePointSec};
use dfuse_query::blocks::parse_time;

/// A number of a document, or the text of one. What is behind its point is cut off.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            // A cast keeps to what the type can have; such numbers are out of every range here.
            exact.or_else(|| number.as_f64().filter(|float| float.is_finite()).map(|float| float.trunc() as i128))
        }
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A scalar for whole numbers: `$shown` makes the value of an answer.
macro_rules! integers {
    ($($(#[$meta:meta])* $name:ident($number:ty), $shown:expr, $description:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $number);

        impl From<$number> for $name {
            fn from(number: $number) -> Self {
                Self(number)
            }
        }

        impl $name {
            fn register(registry: &mut registry::Registry) -> String {
                registry.create_input_type::<Self, _>(registry::MetaTypeId::Scalar, |_| registry::MetaType::Scalar {
                    name: stringify!($name).to_owned(),
                    description: Some($description.to_owned()),
                    is_valid: Some(std::sync::Arc::new(|value| {
                        integer(value).is_some_and(|number| <$number>::try_from(number).is_ok())
                    })),
                    visible: None,
                    inaccessible: false,
                    tags: Vec::new(),
                    specified_by_url: None,
                    directive_invocations: Vec::new(),
                    requires_scopes: Vec::new(),
                })
            }
        }

        impl InputType for $name {
            type RawValueType = Self;

            fn type_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn create_type_info(registry: &mut registry::Registry) -> String {
                Self::register(registry)
            }

            fn parse(value: Option<Value>) -> InputValueResult<Self> {
                let value = value.unwrap_or_default();
                let number = integer(&value).ok_or_else(|| InputValueError::expected_type(value))?;
                let out_of_range =
                    |_| InputValueError::custom(format!("must be from {} to {}", <$number>::MIN, <$number>::MAX));
                <$number>::try_from(number).map(Self).map_err(out_of_range)
            }

            fn to_value(&self) -> Value {
                Value::Number(Number::from(self.0))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }
        }

        impl OutputType for $name {
            fn type_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn create_type_info(registry: &mut registry::Registry) -> String {
                Self::register(registry)
            }

            async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<Value> {
                let shown: fn($number) -> Value = $shown;
                Ok(shown(self.0))
            }
        }
    )*};
}

integers! {
    /// `Int64`
    Int64(i64), |number| Value::String(number.to_string()),
        "A whole number of 64 bits with a sign: text in answers, a number or text in documents.";
    /// `Uint64`
    Uint64(u64), |number| Value::String(number.to_string()),
        "A whole number of 64 bits without a sign: text in answers, a number or text in documents.";
    /// `Uint32`
    Uint32(u32), |number| Value::Number(Number::from(number)),
        "A whole number of 32 bits without a sign.";
}

/// A moment in UTC as RFC 3339 has it, such as `2019-03-04T10:36:14.5Z`. Documents may give it in seconds since 1970, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) TimePoint);

#[Scalar]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        let read = match &value {
            // With a zone: whoever leaves it out may mean another one.
            Value::String(text) if has_zone(text) => parse_time(text),
            Value::Number(_) => {
                integer(&value).and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1_000_000)).map(TimePoint)
            }
            _ => None,
        };
        read.map(Self).ok_or_else(|| InputValueError::custom("expected a time such as \"2019-03-04T10:36:14.5Z\""))
    }

    fn to_value(&self) -> Value {
        let text = self.0.to_string();
        Value::String(format!("{}Z", text.strip_suffix(".000").unwrap_or_else(|| text.trim_end_matches('0'))))
    }
}

impl Time {
    /// A time as blocks have it: without a zone, in UTC. Absent if it is none.
    pub(crate) fn parse_utc(text: &str) -> Option<Self> {
        parse_time(text).map(Self)
    }
}

fn has_zone(text: &str) -> bool {
    text.get(10..).is_some_and(|time| time.contains(['T', 't', 'Z', 'z', '+', '-', ':']) && time.ends_with(['Z', 'z']))
        || text.get(19..).is_some_and(|rest| rest.contains(['+', '-']))
}

impl From<BlockTimestamp> for Time {
    fn from(time: BlockTimestamp) -> Self {
        Self(TimePoint(time.to_unix_ms() * 1000))
    }
}

impl From<TimePointSec> for Time {
    fn from(time: TimePointSec) -> Self {
        Self(TimePoint(i64::from(time.0) * 1_000_000))
    }
}

/// Any JSON value, as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Json(pub(crate) Value);

#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(value))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}
