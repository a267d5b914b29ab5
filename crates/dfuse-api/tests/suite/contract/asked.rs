//! Requests that an endpoint's table describes: good ones, and those with one thing wrong.

use axum::http::Method;
use dfuse_http::{BodyForm, Endpoint, Kind, Parameter, Place};
use serde_json::{Value, json};

use super::Form;

/// The parameter without which nobody is asked for.
const KEY: &str = "public_key";
/// The one without which a page of results has none.
const QUERY: &str = "q";
const GRAPHQL: &str = "/graphql";
/// A document that reads the indexes.
const DOCUMENT: &str = "{tokens(limit: 1){edges{cursor}}}";

/// A request without its method.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) uri: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What stands for a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Good,
    /// As good, but there is no such thing.
    Absent,
    /// Nothing of its kind.
    Malformed,
}

/// An endpoint, with a method and a form of its answers.
#[derive(Debug, Clone)]
pub(super) struct Case<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) method: Method,
    pub(super) form: Form,
}

impl Case<'_> {
    /// Each method and form of some endpoints.
    pub(super) fn all(endpoints: &[Endpoint]) -> Vec<Case<'_>> {
        let mut all = Vec::new();
        for endpoint in endpoints {
            let names = endpoint.methods.names();
            for name in if names.is_empty() { &["GET", "POST"] } else { names } {
                let method: Method = name.parse().unwrap();
                let forms = Form::of(endpoint).iter().copied();
                // Pages are for browsers that look at them.
                let forms = forms.filter(|form| matches!(form, Form::Json | Form::Node) || method != Method::HEAD);
                all.extend(forms.map(|form| Case { endpoint, method: method.clone(), form }));
            }
        }
        all
    }

    fn parameters(&self, place: Place) -> impl Iterator<Item = &'static Parameter> + use<'_> {
        self.endpoint.parameters.iter().filter(move |it| it.place == place)
    }

    pub(super) fn in_query(&self) -> Vec<&'static Parameter> {
        self.parameters(Place::Query).collect()
    }

    pub(super) fn in_path(&self) -> bool {
        self.parameters(Place::Path).next().is_some()
    }

    /// A request with those values for what it needs.
    pub(super) fn asked(&self, values: Values) -> Asked {
        let path = path(self.endpoint, values);
        let is_post = self.method == Method::POST;
        if self.endpoint.path == GRAPHQL {
            let document = percent_encoding::utf8_percent_encode(DOCUMENT, percent_encoding::NON_ALPHANUMERIC);
            return match is_post {
                true => Asked { uri: path, body: json!({"query": DOCUMENT}).to_string(), ..Asked::default() },
                false => Asked { uri: format!("{path}?query={document}"), ..Asked::default() },
            };
        }
        let needed = |place| {
            let is_needed = |it: &&Parameter| it.required || [KEY, QUERY].contains(&it.name);
            self.parameters(place).filter(is_needed)
        };
        if self.endpoint.body == BodyForm::Json {
            let field = |it: &Parameter| {
                let value = if it.kind == Kind::Texts { json!(["00"]) } else { json!(value(it, values)) };
                (it.name.to_owned(), value)
            };
            let body = Value::Object(needed(Place::Json).map(field).collect()).to_string();
            return Asked { uri: path, body, ..Asked::default() }.with("content-type", "application/json");
        }
        // What is decoded has to be there.
        let json = self.parameters(Place::Query).filter(|it| it.name == "json" && values == Values::Absent);
        let json = json.map(|_| "json=true".to_owned());
        let pairs: Vec<_> =
            needed(Place::Query).map(|it| format!("{}={}", it.name, value(it, values))).chain(json).collect();
        let pairs = pairs.join("&");
        if is_post {
            let asked = Asked { uri: path, body: pairs, ..Asked::default() };
            return asked.with("content-type", "application/x-www-form-urlencoded");
        }
        Asked { uri: format!("{path}?{pairs}"), ..Asked::default() }
    }
}

/// The path of an endpoint with values in the place of its parameters.
pub(crate) fn path(endpoint: &Endpoint, values: Values) -> String {
    let path = endpoint.path.replace("{*path}", "get_info");
    endpoint.parameters.iter().filter(|it| it.place == Place::Path).fold(path, |path, parameter| {
        let value = if values == Values::Malformed { "a!".to_owned() } else { value(parameter, values) };
        path.replace(&format!("{{{}}}", parameter.name), &value)
    })
}

fn value(parameter: &Parameter, values: Values) -> String {
    let is_absent = values == Values::Absent;
    let text = match parameter.kind {
        _ if parameter.name == KEY => "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
        Kind::PublicKey => "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
        // After the last block, so that nothing is at or after it.
        Kind::Time if is_absent => "2100-01-01T00:00:00Z",
        Kind::Time => "2019-01-01T00:00:00Z",
        Kind::Integer(least, _) => return least.to_string(),
        Kind::BlockNumber => "1",
        Kind::Choice(values) if is_absent => values.iter().find(|it| **it == "gte").unwrap_or(&values[0]),
        Kind::Choice(values) => values[0],
        Kind::SearchQuery => "receiver:eosio",
        Kind::SymbolCode if is_absent => "NONE",
        Kind::SymbolCode => "EOS",
        Kind::Id | Kind::IdPrefix if is_absent => "00000002ffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        Kind::Id => "0000000200000000000000000000000000000000000000000000000000000000",
        // A number is text, too.
        Kind::Text if is_absent && parameter.name == "id" => "4000000000",
        Kind::Text if parameter.name == "id" => "2",
        _ if is_absent => "nobody",
        _ => "eosio",
    };
    text.to_owned()
}
