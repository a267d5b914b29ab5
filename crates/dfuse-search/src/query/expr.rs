//! What a query says.

use std::fmt;

use super::lexer;

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
    pub(crate) fn unquoted(text: &str) -> Self {
        match (text, text.strip_suffix('*')) {
            ("true", _) => Self::Bool(true),
            ("false", _) => Self::Bool(false),
            (_, Some(prefix)) => Self::Prefix(prefix.into()),
            (_, None) => Self::Text(text.into()),
        }
    }
}

impl Expr {
    pub(crate) fn visit(&self, see: &mut impl FnMut(&str, &[Value])) {
        match self {
            Self::Match { field, values } => see(field, values),
            Self::And(operands) | Self::Or(operands) => operands.iter().for_each(|operand| operand.visit(see)),
            Self::Not(operand) => operand.visit(see),
        }
    }

    pub(crate) fn canonical(self) -> Self {
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
pub(super) struct Printed<'a, T>(pub(super) &'a T);

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
