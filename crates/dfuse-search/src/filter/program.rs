//! What a filter says, with the types of everything checked.

use std::sync::Arc;

use regex_lite::Regex;

use super::variable::Variable;

/// An expression that is true or false for an action.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) root: Expr,
    /// Variables of macros that are in use at one time, at most.
    pub(super) locals: usize,
    /// Whether it looks at decoded data.
    pub(super) reads_data: bool,
}

/// What is computed.
#[derive(Debug)]
pub(super) enum Expr {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    List(Vec<Expr>),
    Variable(Variable),
    /// The variable of a macro, by how many are around it.
    Local(usize),
    Field(Box<Expr>, Arc<str>),
    Has(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    If(Box<[Expr; 3]>),
    Operation(Operator, Box<[Expr; 2]>),
    Call(Function, Vec<Expr>),
    Matches(Box<Expr>, Regex),
    /// A list, what is said of each item, and what for.
    Each(Macro, usize, Box<[Expr; 2]>),
}

/// An operator with two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A function of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Int,
    Uint,
    Double,
    String,
}

/// What is asked of the items of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Macro {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}
