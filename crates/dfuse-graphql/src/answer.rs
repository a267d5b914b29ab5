//! Answers as JSON.

use dfuse_query::{GraphqlError, GraphqlResponse};
use serde_json::{Map, Value, json};

/// The object that every transport sends: `errors`, then `data`, each left out where there is none.
pub(crate) fn body(response: &GraphqlResponse) -> Vec<u8> {
    let mut text = vec![b'{'];
    if !response.errors.is_empty() {
        text.extend_from_slice(b"\"errors\":");
        text.extend_from_slice(&errors(&response.errors));
    }
    if let Some(data) = &response.data {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(b"\"data\":");
        text.extend_from_slice(data.as_bytes());
    }
    text.push(b'}');
    text
}

/// A list of errors.
pub(crate) fn errors(errors: &[GraphqlError]) -> Vec<u8> {
    Value::Array(errors.iter().map(error).collect()).to_string().into_bytes()
}

fn error(error: &GraphqlError) -> Value {
    let mut object = Map::new();
    object.insert("message".to_owned(), error.message.clone().into());
    if !error.locations.is_empty() {
        let locations = error.locations.iter().map(|at| json!({"line": at.line, "column": at.column}));
        object.insert("locations".to_owned(), locations.collect());
    }
    if !error.path.is_empty() {
        object.insert("path".to_owned(), error.path.clone().into());
    }
    if !error.extensions.is_empty() {
        object.insert("extensions".to_owned(), error.extensions.clone().into());
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use dfuse_query::GraphqlLocation;

    use super::*;

    #[test]
    fn what_is_absent_is_left_out() {
        let data = |data: &str| GraphqlResponse { data: Some(data.to_owned()), ..GraphqlResponse::default() };
        assert_eq!(body(&data("{\"a\":1}")), b"{\"data\":{\"a\":1}}");
        let error = GraphqlError { message: "no".to_owned(), ..GraphqlError::default() };
        let failed = GraphqlResponse { errors: vec![error.clone()], ..data("null") };
        assert_eq!(body(&failed), b"{\"errors\":[{\"message\":\"no\"}],\"data\":null}");
        let locations = vec![GraphqlLocation { line: 1, column: 2 }];
        let placed = GraphqlError { locations, path: vec![json!("a"), json!(0)], ..error };
        let refused = GraphqlResponse { data: None, ..GraphqlResponse { errors: vec![placed], ..failed } };
        let text = String::from_utf8(body(&refused)).unwrap();
        let expected =
            json!({"errors": [{"message": "no", "locations": [{"line": 1, "column": 2}], "path": ["a", 0]}]});
        assert_eq!(text.parse::<Value>().unwrap(), expected);
    }
}
