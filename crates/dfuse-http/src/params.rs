//! Parameters of requests, and one validator for them that names everything that is wrong at once.
//!
//! ```
//! # use dfuse_http::{Params, params::rules};
//! # use dfuse_query::ApiResult;
//! # use dfuse_antelope::Name;
//! fn read(mut params: Params) -> ApiResult<(Name, Option<u128>)> {
//!     let account = params.required("account", rules::name);
//!     let block = params.optional("block_num", rules::block_num);
//!     params.finish((account, block))
//! }
//! # assert!(read(Params::from_query("account=eosio&block_num=5")).is_ok());
//! ```

pub mod body;
pub mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    RequestExt,
    extract::{FromRequest, RawPathParams, Request},
    http::{Extensions, Method},
};
use dfuse_query::{ApiError, ApiResult, ErrorCode, nearest, shorten};
use percent_encoding::percent_decode_str;
use rules::{Field, Problems};
use serde_json::json;

use crate::{Api, answer::HttpError, bodies::Room, endpoint::Declared, parameter::Parameter, peer};

/// Most different parameters of a request.
const MAX_PARAMETERS: usize = 1000;

/// The parameters of a request: those of its path, its query and, for `POST`, its form. Of two values of one name that of
/// the form counts, of two in one place the first. Unknown parameters are ignored. Values are trimmed.
#[derive(Debug, Default)]
pub struct Params {
    given: BTreeMap<String, Result<String, String>>,
    asked: BTreeSet<&'static str>,
    /// What the table of endpoints says that there are; absent in release builds, and where parameters are those of no endpoint.
    declared: Option<&'static [Parameter]>,
    missing: Vec<&'static str>,
    /// Why parameters in the body were not read.
    unread_body: Option<ApiError>,
    errors: BTreeMap<&'static str, Vec<String>>,
    /// That of the form.
    room: Room,
}

/// The value of a parameter, which [`Params::finish`] gives out if all are right.
#[derive(Debug)]
#[must_use = "hand it to `Params::finish`"]
pub struct Checked<T>(Option<T>);

impl<T> Checked<T> {
    /// The value if it is right, for rules of other parameters.
    pub fn peek(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

/// What [`Params::finish`] gives out values of: one [`Checked`], or a tuple of such.
pub trait Finish {
    /// The values.
    type Values;

    /// All of them, or none.
    fn values(self) -> Option<Self::Values>;
}

impl<T> Finish for Checked<T> {
    type Values = T;

    fn values(self) -> Option<T> {
        self.0
    }
}

impl Finish for () {
    type Values = ();

    fn values(self) -> Option<()> {
        Some(())
    }
}

macro_rules! finish_tuples {
    ($(($($name:ident)+))+) => {$(
        impl<$($name: Finish),+> Finish for ($($name,)+) {
            type Values = ($($name::Values,)+);

            #[allow(non_snake_case, reason = "one name for type and value")]
            fn values(self) -> Option<Self::Values> {
                let ($($name,)+) = self;
                Some(($($name.values()?,)+))
            }
        }
    )+};
}

finish_tuples!((A)(A B)(A B C)(A B C D)(A B C D E)(A B C D E F)(A B C D E F G)(A B C D E F G H));

impl Params {
    /// Of a query or a form, for tests and for surfaces that have their parameters elsewhere.
    pub fn from_query(query: &str) -> Self {
        let mut params = Self::default();
        params.add_pairs(query);
        params
    }

    /// None yet, of an endpoint.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let declared = extensions.get::<Declared>().filter(|_| cfg!(debug_assertions)).map(|it| it.0);
        Self { declared, ..Self::default() }
    }

    /// The table must not lie: whoever reads a parameter has declared it.
    fn assert_declared(&self, name: &str, is_required: Option<bool>) {
        let Some(declared) = self.declared else { return };
        let found = declared.iter().find(|parameter| parameter.name == name);
        debug_assert!(found.is_some(), "the table has no parameter {name}");
        let is_as_declared = found.is_none_or(|it| is_required.is_none_or(|required| it.required == required));
        debug_assert!(is_as_declared, "whether {name} must be there is not as the table says");
    }

    fn assert_default<T>(&self, name: &str, rule: &impl Fn(&Field<'_>) -> Result<T, Problems>) {
        let declared = self.declared.unwrap_or_default().iter().find(|parameter| parameter.name == name);
        let is_right = || declared.and_then(|it| it.default).is_none_or(|text| rule(&Field { name, text }).is_ok());
        debug_assert!(is_right(), "the table has a default of {name} that breaks its rule");
    }

    /// Adds a parameter that came elsewhere, such as in a JSON body, trimmed.
    pub fn insert(&mut self, name: &str, value: &str) {
        self.add(name.to_owned(), Ok(value.trim().to_owned()));
    }

    /// Checks a parameter that must be there and not be empty.
    pub fn required<T>(&mut self, name: &'static str, rule: impl Fn(&Field<'_>) -> Result<T, Problems>) -> Checked<T> {
        self.assert_declared(name, Some(true));
        if self.given(name).is_some_and(|value| value.as_ref().is_ok_and(String::is_empty))
            || !self.given.contains_key(name)
        {
            self.missing.push(name);
            // A value that is empty breaks further rules, perhaps: all are named.
            let further = rule(&Field { name, text: "" }).err().unwrap_or_default();
            let problems = std::iter::once("is required".to_owned()).chain(further);
            self.errors.entry(name).or_default().extend(problems);
            return Checked(None);
        }
        self.check(name, rule).there()
    }

    /// Checks a parameter that must be there and may be empty.
    pub fn present<T>(&mut self, name: &'static str, rule: impl Fn(&Field<'_>) -> Result<T, Problems>) -> Checked<T> {
        self.assert_declared(name, Some(true));
        if self.given(name).is_some() { self.check(name, rule).there() } else { self.required(name, rule) }
    }

    /// Checks a parameter that may be absent. One that is there must follow the rule, also if it is empty.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        rule: impl Fn(&Field<'_>) -> Result<T, Problems>,
    ) -> Checked<Option<T>> {
        self.assert_declared(name, Some(false));
        self.check(name, rule)
    }

    fn check<T>(&mut self, name: &'static str, rule: impl Fn(&Field<'_>) -> Result<T, Problems>) -> Checked<Option<T>> {
        let checked = match self.given(name) {
            None => return Checked(Some(None)),
            Some(Ok(text)) => rule(&Field { name, text }),
            Some(Err(problem)) => Err(vec![problem.clone()]),
        };
        self.custom(name, checked).some()
    }

    /// Like [`Params::optional`], with a value for the absent one.
    pub fn optional_or<T>(
        &mut self,
        name: &'static str,
        default: T,
        rule: impl Fn(&Field<'_>) -> Result<T, Problems>,
    ) -> Checked<T> {
        self.assert_default(name, &rule);
        match self.optional(name, rule) {
            Checked(Some(value)) => Checked(Some(value.unwrap_or(default))),
            Checked(None) => Checked(None),
        }
    }

    /// Takes what was checked elsewhere, such as a field of a JSON body.
    pub fn custom<T>(&mut self, name: &'static str, checked: Result<T, Problems>) -> Checked<T> {
        self.assert_declared(name, None);
        self.asked.insert(name);
        match checked {
            Ok(value) => Checked(Some(value)),
            Err(problems) => {
                self.errors.entry(name).or_default().extend(problems);
                Checked(None)
            }
        }
    }

    /// The values, if every parameter that was checked is right.
    ///
    /// # Errors
    /// `request_validation_error` with all that is wrong.
    pub fn finish<C: Finish>(mut self, checked: C) -> ApiResult<C::Values> {
        if let Some(error) = self.unread_body.take_if(|_| !self.missing.is_empty()) {
            return Err(error);
        }
        self.suggest_names();
        if self.errors.is_empty() {
            return checked.values().ok_or_else(|| ApiError::unexpected("a value that other parameters have checked"));
        }
        let names: Vec<_> = self.errors.keys().copied().collect();
        let message = format!("These parameters are not valid: {}.", names.join(", "));
        Err(ApiError::new(ErrorCode::RequestValidation, message).detail("errors", json!(self.errors)))
    }

    /// A name that nobody asked for may be meant for one that is missing.
    fn suggest_names(&mut self) {
        for name in &self.missing {
            let unknown = self.given.keys().map(String::as_str).filter(|given| !self.asked.contains(given));
            if let Some(near) = nearest(name, unknown) {
                let problems = self.errors.entry(name).or_default();
                problems[0] = format!("is required; did you mean it by \"{}\"?", shorten(near));
            }
        }
    }

    fn given(&mut self, name: &'static str) -> Option<&Result<String, String>> {
        self.asked.insert(name);
        self.given.get(name)
    }

    /// Adds parameters `a=1&b=2` whose names are not there yet.
    fn add_pairs(&mut self, pairs: &str) {
        for pair in pairs.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Ok(name) = decode(name) {
                self.add(name, decode(value));
            }
        }
    }

    fn add(&mut self, name: String, value: Result<String, String>) {
        if self.given.len() == MAX_PARAMETERS {
            self.errors.entry("parameters").or_insert_with(|| vec![format!("must be at most {MAX_PARAMETERS}")]);
            return;
        }
        self.given.entry(name).or_insert(value);
    }
}

impl<T> Checked<T> {
    /// The value, for rules of other parameters that depend on it.
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    fn some(self) -> Checked<Option<T>> {
        Checked(self.0.map(Some))
    }
}

impl<T> Checked<Option<T>> {
    fn there(self) -> Checked<T> {
        Checked(self.0.flatten())
    }
}

impl FromRequest<Api> for Params {
    type Rejection = HttpError;

    async fn from_request(mut request: Request, api: &Api) -> Result<Self, HttpError> {
        let mut params = Self::of(request.extensions());
        let path = request.extract_parts::<RawPathParams>().await;
        // The frame has made sure that paths are UTF-8.
        let path = path.map_err(|rejection| ApiError::unexpected(rejection.body_text()))?;
        for (name, value) in &path {
            params.add(name.to_owned(), Ok(value.trim().to_owned()));
        }
        let query = request.uri().query().map(str::to_owned);
        if *request.method() == Method::POST {
            let api = api.charged_to(peer::client(request.extensions()));
            match body::form(request, &api).await? {
                Ok((form, room)) => {
                    params.room = room;
                    let form_bytes = form.len();
                    let add = move || {
                        // Bytes that are not UTF-8 must be percent-encoded: as U+FFFD they break every rule.
                        params.add_pairs(&String::from_utf8_lossy(&form));
                        Ok(params)
                    };
                    params = api.parse(form_bytes, add).await?;
                }
                Err(error) => params.unread_body = Some(error),
            }
        }
        params.add_pairs(query.as_deref().unwrap_or_default());
        Ok(params)
    }
}

/// A name or value of a query or form, trimmed. The error is the problem with it.
fn decode(text: &str) -> Result<String, String> {
    if let Some(problem) = percent_encoding_problem(text) {
        return Err(problem.to_owned());
    }
    let text = text.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8().map_err(|_| "must be UTF-8, percent-encoded".to_owned())?;
    Ok(text.trim().to_owned())
}

/// What is wrong with the percent-encoding of a text.
pub fn percent_encoding_problem(text: &str) -> Option<&'static str> {
    let is_right = |rest: &str| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    let wrong = text.split('%').skip(1).any(|rest| !is_right(rest));
    wrong.then_some("must be percent-encoded: two hex digits follow each %")
}
