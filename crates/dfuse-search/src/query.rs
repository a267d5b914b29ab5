//! The query language: text to an expression, and the expression's canonical text.
//!
//! ```text
//! query   := ws expr ws EOF
//! expr    := all { ws OR ws all }
//! all     := unary { ws [AND] ws unary }
//! unary   := '-' ws unary | '(' ws expr ws ')' | term
//! term    := Name ws ':' ws value
//! value   := Name | string | list
//! string  := Quoting any-tokens-verbatim Quoting
//! list    := '[' ws [ item { ws ',' ws item } [ ws ',' ] ] ws ']'
//! item    := Name | string
//! ```
//!
//! The language is that of dfuse, errors and their positions included, with one addition: an unquoted value that ends in
//! `*` finds every value that begins with what is before it; `field:*` finds whatever has a value in that field. (In
//! dfuse it finds values that end in a star, of which chains have none worth looking for; those are found by
//! `field:"x*"`.)

pub(crate) mod decoding;
mod expr;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use expr::Printed;
pub(crate) use expr::{Expr, Value};

use crate::{
    Error, ParseError, Result,
    field::{Field, FieldKind, MAX_PREFIX_BYTES, parse_numbers},
    terms::options::TermOptions,
};

/// Longest text of a query in bytes.
pub const MAX_QUERY_BYTES: usize = 16 << 10;

/// A query, in its canonical form: operands sorted, none twice, nothing nested without need. Two queries are equal if their
/// canonical texts are, and find the same then.
#[derive(Debug, Clone)]
pub struct Query {
    expr: Expr,
    canonical: Box<str>,
}

impl PartialEq for Query {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Query {}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Error::InvalidQuery`] where the text is not one; then [`Error::UnknownFields`] with all the fields that `options`
    /// do not index, then [`Error::InvalidQuery`] for a value that its field cannot have.
    pub fn parse(text: &str, options: &TermOptions) -> Result<Self> {
        let invalid = |error: ParseError| Error::InvalidQuery { error, query: text.to_owned() };
        let (expr, values_at) = Self::read(text).map_err(invalid)?;
        let mut unknown = Vec::new();
        let mut wrong = None;
        let mut values_at = values_at.into_iter();
        expr.visit(&mut |field, values| {
            let at = values_at.next().unwrap_or_default();
            match Field::parse(field).filter(|known| options.has_field(known)) {
                None => unknown.push(field.to_owned()),
                Some(known) => {
                    let value = values.iter().find(|value| !is_possible(&known, value));
                    wrong = wrong.take().or(value.map(|value| (at, field.to_owned(), value.clone())));
                }
            }
        });
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            return Err(Error::UnknownFields(unknown));
        }
        if let Some((at, field, value)) = wrong {
            let value = Printed(&value);
            let message = match value.0 {
                Value::Prefix(prefix) if prefix.len() > MAX_PREFIX_BYTES => {
                    format!("the beginning of a value has at most {MAX_PREFIX_BYTES} bytes, got {value}")
                }
                Value::Prefix(_) => format!("field {field} has no values that begin with something, got {value}"),
                _ => format!("field {field} takes a number or a range like 5-9 or 5-, got {value}"),
            };
            return Err(invalid(ParseError::at(text, at, message)));
        }
        Ok(Self::canonical_of(expr))
    }

    /// Reads a query without a look at its fields.
    pub fn parse_syntax(text: &str) -> std::result::Result<Self, ParseError> {
        Self::read(text).map(|(expr, _)| Self::canonical_of(expr))
    }

    fn canonical_of(expr: Expr) -> Self {
        let expr = expr.canonical();
        let canonical = Printed(&expr).to_string().into();
        Self { expr, canonical }
    }

    /// The expression as it is written, and where its values are.
    fn read(text: &str) -> std::result::Result<(Expr, Vec<usize>), ParseError> {
        if text.len() > MAX_QUERY_BYTES {
            let at = (0..=MAX_QUERY_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let message = format!("query is too long: {} bytes, at most {MAX_QUERY_BYTES}", text.len());
            return Err(ParseError::at(text, at, message));
        }
        parser::parse(text)
    }

    /// The same query for everybody who means it; can be read again.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Every field that is asked for with the values that it may have, as the language writes them.
    pub fn conditions(&self) -> Vec<(String, Vec<String>)> {
        let mut conditions = Vec::new();
        self.expr.visit(&mut |field, values| {
            conditions.push((field.to_owned(), values.iter().map(|value| Printed(value).to_string()).collect()));
        });
        conditions
    }

    /// The fields that are asked for of what actions did to rows and RAM, which not every source of blocks tells in full.
    pub fn fields_of_operations(&self) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        self.expr.visit(&mut |field, _| {
            if Field::parse(field).is_some_and(|field| field.is_of_operations()) {
                fields.insert(field.to_owned());
            }
        });
        fields
    }

    pub(crate) fn expr(&self) -> &Expr {
        &self.expr
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

fn is_possible(field: &Field, value: &Value) -> bool {
    match (field.kind(), value) {
        (FieldKind::Number, Value::Text(text)) => parse_numbers(text).is_some(),
        (FieldKind::Number, _) => false,
        (FieldKind::Flag, Value::Prefix(prefix)) => prefix.is_empty(),
        (_, Value::Prefix(prefix)) => prefix.len() <= MAX_PREFIX_BYTES,
        _ => true,
    }
}
