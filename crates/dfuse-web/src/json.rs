//! dfuse JSON that keeps the order of its keys: fields are shown as ABIs list them.

use std::fmt;

use dfuse_query::{ApiError, ApiResult};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As its text has it.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads what `dfuse-render` wrote.
    pub(crate) fn parse(text: &[u8]) -> ApiResult<Self> {
        serde_json::from_slice(text)
            .map_err(|error| ApiError::unexpected(format!("a page of what is not JSON: {error}")))
    }

    /// The value of a key; null where there is none.
    pub(crate) fn get(&self, key: &str) -> &Self {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map_or(&Self::Null, |(_, value)| value),
            _ => &Self::Null,
        }
    }

    /// The value at the end of a path of keys.
    pub(crate) fn at<const N: usize>(&self, path: [&str; N]) -> &Self {
        path.iter().fold(self, |value, key| value.get(key))
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The text of a text or a number; empty for anything else.
    pub(crate) fn text(&self) -> &str {
        if let Self::Text(text) | Self::Number(text) = self { text } else { "" }
    }

    /// The value of a whole number; 0 for anything else.
    pub(crate) fn number(&self) -> i64 {
        self.text().parse().unwrap_or_default()
    }

    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    pub(crate) fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        let number = serde_json::Number::from_f64(value);
        Ok(number.map_or(Json::Null, |number| Json::Number(number.to_string())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(field) = fields.next_entry()? {
            object.push(field);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order() {
        let json = Json::parse(br#"{"to":"a","from":[1,-2,0.5,null,true],"memo":{"x":"y"}}"#).unwrap();
        let Json::Object(fields) = &json else { panic!("{json:?}") };
        assert_eq!(fields.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["to", "from", "memo"]);
        assert_eq!(json.get("from").items()[1].number(), -2);
        assert_eq!(json.at(["memo", "x"]).text(), "y");
        assert!(json.at(["memo", "z"]).is_null() && json.get("from").items()[4].is_true());
    }
}
