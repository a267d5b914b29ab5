//! A query as set algebra over lists of actions.

use std::ops::RangeInclusive;

use roaring::RoaringBitmap;

use crate::{
    Result,
    field::{Field, FieldKind, parse_numbers},
    query::{Expr, Query, Value},
};

/// What is looked for, as sets of actions.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    pub(crate) leaves: Vec<Leaf>,
}

#[derive(Debug)]
pub(crate) enum Node {
    /// No action.
    Nothing,
    /// Every action that is indexed.
    All,
    /// Position among the leaves.
    Leaf(usize),
    Or(Vec<Node>),
    /// In all of the first, of which there is one at least, and in none of the second.
    And(Vec<Node>, Vec<Node>),
}

/// A set that is read rather than computed.
#[derive(Debug)]
pub(crate) enum Leaf {
    /// Actions with the term of this key.
    Term(Box<[u8]>),
    /// Actions with any term whose key begins so.
    Prefix { start: Box<[u8]>, field: Box<str>, prefix: Box<str> },
    /// Actions of these blocks.
    Blocks(RangeInclusive<u32>),
    /// Actions of the transactions at these positions of their blocks.
    Transactions(RangeInclusive<u32>),
}

impl Plan {
    pub(crate) fn new(query: &Query) -> Self {
        let mut plan = Self { root: Node::Nothing, leaves: Vec::new() };
        plan.root = plan.node(query.expr());
        plan
    }

    fn node(&mut self, expr: &Expr) -> Node {
        match expr {
            Expr::Match { field: name, values } => {
                // A query was checked when it was parsed.
                let Some(field) = Field::parse(name) else { return Node::Nothing };
                Node::Or(values.iter().map(|value| self.value(name, &field, value)).collect())
            }
            Expr::Or(operands) => Node::Or(operands.iter().map(|operand| self.node(operand)).collect()),
            Expr::Not(operand) => Node::And(vec![Node::All], vec![self.node(operand)]),
            Expr::And(operands) => {
                let (mut with, mut without) = (Vec::new(), Vec::new());
                for operand in operands {
                    match operand {
                        Expr::Not(operand) => without.push(self.node(operand)),
                        operand => with.push(self.node(operand)),
                    }
                }
                if with.is_empty() {
                    with.push(Node::All);
                }
                Node::And(with, without)
            }
        }
    }

    fn value(&mut self, name: &str, field: &Field, value: &Value) -> Node {
        match (field.kind(), value) {
            (FieldKind::Number, Value::Text(text)) => match (parse_numbers(text), field) {
                (None, _) => Node::Nothing,
                (Some(numbers), Field::BlockNum) => self.leaf(Leaf::Blocks(numbers)),
                (Some(numbers), _) => self.leaf(Leaf::Transactions(numbers)),
            },
            (FieldKind::Number, _) => Node::Nothing,
            (FieldKind::Flag, value) => {
                let flag = match value {
                    Value::Bool(flag) => Some(*flag),
                    Value::Text(text) => match &**text {
                        "T" | "true" => Some(true),
                        "F" | "false" => Some(false),
                        _ => None,
                    },
                    Value::Prefix(prefix) => return if prefix.is_empty() { Node::All } else { Node::Nothing },
                };
                match flag {
                    Some(true) => self.term(field.term(b"")),
                    Some(false) => Node::And(vec![Node::All], vec![self.term(field.term(b""))]),
                    None => Node::Nothing,
                }
            }
            (_, Value::Text(text)) => self.term(field.term(text.as_bytes())),
            (_, Value::Bool(flag)) => {
                let text = if *flag { "true" } else { "false" };
                let mut node = self.term(field.term(text.as_bytes()));
                if let Field::Data(_) = field {
                    // The chain's booleans are bytes, and decoded as numbers.
                    let number = if *flag { "1" } else { "0" };
                    node = Node::Or(vec![node, self.term(field.term(number.as_bytes()))]);
                }
                node
            }
            (FieldKind::Always, Value::Prefix(prefix)) if prefix.is_empty() => Node::All,
            (FieldKind::Text, Value::Prefix(prefix)) if prefix.is_empty() => self.term(field.presence()),
            (_, Value::Prefix(prefix)) => match field.terms_with_prefix(prefix.as_bytes()) {
                Some(start) => {
                    self.leaf(Leaf::Prefix { start: start.into(), field: name.into(), prefix: prefix.clone() })
                }
                None => Node::Nothing,
            },
        }
    }

    fn term(&mut self, key: Vec<u8>) -> Node {
        self.leaf(Leaf::Term(key.into()))
    }

    fn leaf(&mut self, leaf: Leaf) -> Node {
        self.leaves.push(leaf);
        Node::Leaf(self.leaves.len() - 1)
    }
}

/// Where the sets of some actions come from.
pub(crate) trait Sets {
    /// Every indexed action.
    fn all(&mut self) -> Result<RoaringBitmap>;

    /// The set of a leaf; where `within` is given, nothing outside of it need be told.
    fn leaf(&mut self, leaf: usize, within: Option<&RoaringBitmap>) -> Result<RoaringBitmap>;

    /// How much work the set of a leaf is, beside others.
    fn cost(&self, leaf: usize) -> usize;
}

/// The actions that a node stands for, those within a set if one is given.
pub(crate) fn evaluate(node: &Node, sets: &mut impl Sets, within: Option<&RoaringBitmap>) -> Result<RoaringBitmap> {
    match node {
        Node::Nothing => Ok(RoaringBitmap::new()),
        Node::All => within.map_or_else(|| sets.all(), |within| Ok(within.clone())),
        Node::Leaf(leaf) => {
            let mut set = sets.leaf(*leaf, within)?;
            if let Some(within) = within {
                set &= within;
            }
            Ok(set)
        }
        Node::Or(operands) => {
            let mut set = RoaringBitmap::new();
            for operand in operands {
                set |= evaluate(operand, sets, within)?;
            }
            Ok(set)
        }
        Node::And(with, without) => {
            let mut order: Vec<_> = with.iter().map(|operand| (cost(operand, sets), operand)).collect();
            order.sort_by_key(|(cost, _)| *cost);
            let mut set = within.cloned();
            for (_, operand) in order {
                let narrowed = evaluate(operand, sets, set.as_ref())?;
                if narrowed.is_empty() {
                    return Ok(narrowed);
                }
                set = Some(narrowed);
            }
            let mut set = set.unwrap_or_default();
            for operand in without {
                set -= evaluate(operand, sets, Some(&set))?;
            }
            Ok(set)
        }
    }
}

fn cost(node: &Node, sets: &impl Sets) -> usize {
    match node {
        Node::Nothing => 0,
        Node::All => usize::MAX,
        Node::Leaf(leaf) => sets.cost(*leaf),
        Node::Or(operands) => operands.iter().fold(0, |sum, operand| sum.saturating_add(cost(operand, sets))),
        Node::And(with, _) => with.iter().map(|operand| cost(operand, sets)).min().unwrap_or_default(),
    }
}
