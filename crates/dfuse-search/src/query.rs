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

mod decoding;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::fmt;

pub use decoding::DecodedContracts;
pub use parser::ParseError;

use crate::{
    Error, Result,
    field::{Field, FieldKind, MAX_PREFIX_BYTES, parse_numbers},
    terms::TermOptions,
};

/// Longest text of a query in bytes.
pub const MAX_QUERY_BYTES: usize = 16 << 10;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    /// A value of a field is one of these.
    Match { field: Box<str>, values: Vec<Value> },
    /// All of these.
    And(Vec<Expr>),
    /// Any of these.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// The same text.
    Text(Box<str>),
    /// Every text that begins so.
    Prefix(Box<str>),
    /// An unquoted `true` or `false`.
    Bool(bool),
}

impl Value {
    fn unquoted(text: &str) -> Self {
        match (text, text.strip_suffix('*')) {
            ("true", _) => Self::Bool(true),
            ("false", _) => Self::Bool(false),
            (_, Some(prefix)) => Self::Prefix(prefix.into()),
            (_, None) => Self::Text(text.into()),
        }
    }
}

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

impl Expr {
    fn visit(&self, see: &mut impl FnMut(&str, &[Value])) {
        match self {
            Self::Match { field, values } => see(field, values),
            Self::And(operands) | Self::Or(operands) => operands.iter().for_each(|operand| operand.visit(see)),
            Self::Not(operand) => operand.visit(see),
        }
    }

    fn canonical(self) -> Self {
        match self {
            Self::Match { field, mut values } => {
                values.sort_unstable();
                values.dedup();
                Self::Match { field, values }
            }
            Self::Not(operand) => match operand.canonical() {
                Self::Not(inner) => *inner,
                operand => Self::Not(Box::new(operand)),
            },
            Self::And(operands) => {
                let inner = |operand| match operand {
                    Self::And(inner) => inner,
                    other => vec![other],
                };
                sorted(operands.into_iter().map(Self::canonical).flat_map(inner), Self::And)
            }
            Self::Or(operands) => {
                let inner = |operand| match operand {
                    Self::Or(inner) => inner,
                    other => vec![other],
                };
                sorted(operands.into_iter().map(Self::canonical).flat_map(inner), Self::Or)
            }
        }
    }
}

/// By their texts, each once.
fn sorted(operands: impl Iterator<Item = Expr>, several: fn(Vec<Expr>) -> Expr) -> Expr {
    let mut operands: Vec<_> = operands.map(|operand| (Printed(&operand).to_string(), operand)).collect();
    operands.sort_unstable_by(|(text, _), (other, _)| text.cmp(other));
    operands.dedup_by(|(text, _), (other, _)| text == other);
    let mut operands: Vec<_> = operands.into_iter().map(|(_, operand)| operand).collect();
    if operands.len() == 1 { operands.remove(0) } else { several(operands) }
}

/// Prints something as the parser reads it.
struct Printed<'a, T>(&'a T);

impl fmt::Display for Printed<'_, Expr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Match { field, values } => match &values[..] {
                [value] => write!(f, "{field}:{}", Printed(value)),
                values => {
                    write!(f, "{field}:[")?;
                    for (at, value) in values.iter().enumerate() {
                        write!(f, "{}{}", if at == 0 { "" } else { "," }, Printed(value))?;
                    }
                    f.write_str("]")
                }
            },
            Expr::And(operands) => {
                for (at, operand) in operands.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { " " })?;
                    match operand {
                        Expr::Or(_) => write!(f, "({})", Printed(operand))?,
                        _ => Printed(operand).fmt(f)?,
                    }
                }
                Ok(())
            }
            Expr::Or(operands) => {
                for (at, operand) in operands.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { " OR " }, Printed(operand))?;
                }
                Ok(())
            }
            Expr::Not(operand) => match **operand {
                Expr::Match { .. } => write!(f, "-{}", Printed(&**operand)),
                _ => write!(f, "-({})", Printed(&**operand)),
            },
        }
    }
}

impl fmt::Display for Printed<'_, Value> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Prefix(prefix) => write!(f, "{prefix}*"),
            Value::Text(text) => {
                let plain = lexer::is_name(text) && matches!(Value::unquoted(text), Value::Text(_));
                if plain { f.write_str(text) } else { write!(f, "\"{text}\"") }
            }
        }
    }
}
