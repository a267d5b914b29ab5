//! Type expressions resolved once, so that decoding follows indices instead of text.

use std::collections::HashMap;

use super::{
    builtin::Builtin,
    definition::{Abi, FieldDef, StructDef, VariantDef},
};
use crate::{Error, Name, Result, error::shorten, json};

/// Nesting that nodeos refuses to reach, in values and in type definitions (`max_recursion_depth`).
pub(super) const MAX_DEPTH: usize = 32;

/// Index into [`AbiSerializer::nodes`].
pub(super) type NodeId = u32;

/// A type expression, resolved.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    Builtin(Builtin),
    Array(NodeId),
    FixedArray(NodeId, u32),
    Optional(NodeId),
    /// Index into [`AbiSerializer::structs`].
    Struct(u32),
    /// Index into [`AbiSerializer::variants`].
    Variant(u32),
    /// Index into [`AbiSerializer::faults`]: why this type cannot be used.
    Fault(u32),
}

#[derive(Debug)]
pub(super) struct Struct {
    pub(super) name: Box<str>,
    pub(super) base: Option<NodeId>,
    pub(super) fields: Box<[Field]>,
    /// Index of the last field that is not an extension.
    pub(super) last_required: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Box<str>,
    /// The JSON text `,"name":`.
    pub(super) key: Box<[u8]>,
    pub(super) node: NodeId,
    /// Whether the value may be missing at the end of the data (`$`).
    pub(super) extension: bool,
}

#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: Box<str>,
    pub(super) alternatives: Box<[Alternative]>,
    /// Indices of the alternatives, sorted by name.
    by_name: Box<[usize]>,
}

impl Variant {
    /// The first alternative of this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let at = self.by_name.partition_point(|tag| *self.alternatives[*tag].name < *name);
        self.by_name.get(at).copied().filter(|tag| *self.alternatives[*tag].name == *name)
    }
}

#[derive(Debug)]
pub(super) struct Alternative {
    /// As the ABI has it.
    pub(super) name: Box<str>,
    pub(super) node: NodeId,
}

/// An ABI compiled for use: decodes and encodes the data of its actions, tables and action results.
///
/// Compiling never fails. A type that is unknown, or an alias that leads nowhere, is an error only where it is used, since
/// chains hold such ABIs and everything else in them is sound. Of definitions with the same name the first counts; names
/// mean, in this order: alias, built-in, variant, struct.
#[derive(Debug)]
pub struct AbiSerializer {
    pub(super) nodes: Vec<Node>,
    pub(super) structs: Vec<Struct>,
    pub(super) variants: Vec<Variant>,
    faults: Vec<Error>,
    actions: Index,
    tables: Index,
    action_results: Index,
}

/// A type of an ABI, ready to decode and encode its values.
#[derive(Debug, Clone, Copy)]
pub struct AbiType<'a> {
    pub(super) abi: &'a AbiSerializer,
    pub(super) node: NodeId,
}

impl AbiSerializer {
    /// Compiles `abi`. Takes time and memory in proportion to its size.
    pub fn new(abi: &Abi) -> Self {
        Compiler::new(abi).compile(abi)
    }

    /// The type of an action's data, or [`Error::Unknown`].
    pub fn action(&self, name: Name) -> Result<AbiType<'_>> {
        self.find(&self.actions, "action", name)
    }

    /// The type of a table's rows, or [`Error::Unknown`].
    pub fn table(&self, name: Name) -> Result<AbiType<'_>> {
        self.find(&self.tables, "table", name)
    }

    /// The type of an action's return value, or [`Error::Unknown`].
    pub fn action_result(&self, name: Name) -> Result<AbiType<'_>> {
        self.find(&self.action_results, "action result", name)
    }

    fn find(&self, index: &Index, kind: &'static str, name: Name) -> Result<AbiType<'_>> {
        match index.get(name) {
            Some(node) => Ok(AbiType { abi: self, node }),
            None => Err(Error::Unknown { kind, name: name.to_string() }),
        }
    }

    pub(super) fn node(&self, id: NodeId) -> Node {
        self.nodes[id as usize]
    }

    pub(super) fn fault(&self, index: u32) -> Error {
        self.faults[index as usize].clone()
    }

    /// The struct that `id` is, for use as a base.
    pub(super) fn base(&self, id: NodeId) -> Result<&Struct> {
        match self.node(id) {
            Node::Struct(index) => Ok(&self.structs[index as usize]),
            Node::Fault(index) => Err(self.fault(index)),
            _ => Err(Error::invalid("ABI", format!("base \"{}\" is not a struct", shorten(&self.describe(id))))),
        }
    }

    /// The type expression of a node, with aliases resolved.
    pub(super) fn describe(&self, mut id: NodeId) -> String {
        let mut suffixes = Vec::new();
        let name = loop {
            match self.node(id) {
                Node::Builtin(builtin) => break builtin.name(),
                Node::Struct(index) => break &self.structs[index as usize].name,
                Node::Variant(index) => break &self.variants[index as usize].name,
                Node::Fault(_) => break "unknown",
                // An alias can be an array of itself.
                _ if suffixes.len() == MAX_DEPTH => break "...",
                Node::Array(item) => (id, _) = (item, suffixes.push("[]".to_owned())),
                Node::FixedArray(item, count) => (id, _) = (item, suffixes.push(format!("[{count}]"))),
                Node::Optional(item) => (id, _) = (item, suffixes.push("?".to_owned())),
            }
        };
        suffixes.iter().rev().fold(name.to_owned(), |text, suffix| text + suffix)
    }
}

impl AbiType<'_> {
    /// The type expression, with aliases resolved.
    pub fn name(&self) -> String {
        self.abi.describe(self.node)
    }
}

/// Names and their types, sorted by name.
#[derive(Debug)]
struct Index(Box<[(Name, NodeId)]>);

impl Index {
    fn new(entries: impl Iterator<Item = (Name, NodeId)>) -> Self {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(name, _)| *name);
        entries.dedup_by_key(|(name, _)| *name);
        Self(entries.into())
    }

    fn get(&self, name: Name) -> Option<NodeId> {
        self.0.binary_search_by_key(&name, |(name, _)| *name).ok().map(|at| self.0[at].1)
    }
}

fn first_of<'a, T>(definitions: impl Iterator<Item = (&'a str, T)>) -> HashMap<&'a str, T> {
    let mut map = HashMap::with_capacity(definitions.size_hint().0);
    for (name, value) in definitions {
        map.entry(name).or_insert(value);
    }
    map
}

/// What the last suffix of a type expression says about the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffix {
    None,
    Array,
    FixedArray(u32),
    Optional,
}

/// Takes the last suffix from a type expression.
pub(super) fn split_suffix(expression: &str) -> (&str, Suffix) {
    if let Some(item) = expression.strip_suffix("[]") {
        return (item, Suffix::Array);
    }
    if let Some(item) = expression.strip_suffix('?') {
        return (item, Suffix::Optional);
    }
    if let Some((item, count)) = expression.strip_suffix(']').and_then(|rest| rest.rsplit_once('['))
        && count.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(count) = count.parse()
    {
        return (item, Suffix::FixedArray(count));
    }
    (expression, Suffix::None)
}

/// Takes the binary extension mark from a field's type expression.
pub(super) fn split_extension(expression: &str) -> (&str, bool) {
    match expression.strip_suffix('$') {
        Some(rest) => (rest, true),
        None => (expression, false),
    }
}

/// Resolves type expressions. Each is looked up once, by text, and followed by number from then on: names can be as long
/// as the ABI and aliases can all lead to the same one.
pub(super) struct Compiler<'a> {
    pub(super) aliases: HashMap<&'a str, &'a str>,
    pub(super) structs: HashMap<&'a str, u32>,
    variants: HashMap<&'a str, u32>,
    ids: HashMap<&'a str, NodeId>,
    /// Every type expression met so far, by its id.
    expressions: Vec<&'a str>,
}

enum Step {
    Done(Node),
    Alias(NodeId),
}

impl<'a> Compiler<'a> {
    pub(super) fn new(abi: &'a Abi) -> Self {
        Self {
            aliases: first_of(abi.types.iter().map(|alias| (alias.new_type_name.as_str(), alias.type_name.as_str()))),
            structs: first_of((0..).zip(&abi.structs).map(|(index, definition)| (definition.name.as_str(), index))),
            variants: first_of((0..).zip(&abi.variants).map(|(index, definition)| (definition.name.as_str(), index))),
            ids: HashMap::new(),
            expressions: Vec::new(),
        }
    }

    /// Compiles the ABI that it was made for, and whatever was interned besides.
    pub(super) fn compile(mut self, abi: &'a Abi) -> AbiSerializer {
        let structs = abi.structs.iter().map(|definition| self.structure(definition)).collect();
        let variants = abi.variants.iter().map(|definition| self.variant(definition)).collect();
        let actions = Index::new(abi.actions.iter().map(|action| (action.name, self.intern(&action.type_name))));
        let tables = Index::new(abi.tables.iter().map(|table| (table.name, self.intern(&table.type_name))));
        let results = abi.action_results.iter();
        let action_results = Index::new(results.map(|result| (result.name, self.intern(&result.result_type))));
        let (nodes, faults) = self.resolve();
        AbiSerializer { nodes, structs, variants, faults, actions, tables, action_results }
    }

    pub(super) fn intern(&mut self, expression: &'a str) -> NodeId {
        let next = self.expressions.len() as NodeId;
        *self.ids.entry(expression).or_insert_with(|| {
            self.expressions.push(expression);
            next
        })
    }

    fn structure(&mut self, definition: &'a StructDef) -> Struct {
        let fields: Box<[_]> = definition.fields.iter().map(|field| self.field(field)).collect();
        Struct {
            name: definition.name.as_str().into(),
            base: (!definition.base.is_empty()).then(|| self.intern(&definition.base)),
            last_required: fields.iter().rposition(|field| !field.extension),
            fields,
        }
    }

    fn field(&mut self, definition: &'a FieldDef) -> Field {
        let (expression, extension) = split_extension(&definition.type_name);
        let mut key = b",".to_vec();
        json::write_string(&mut key, definition.name.as_bytes(), "");
        key.push(b':');
        Field { name: definition.name.as_str().into(), key: key.into(), node: self.intern(expression), extension }
    }

    fn variant(&mut self, definition: &'a VariantDef) -> Variant {
        let alternatives = definition.types.iter();
        let alternatives = alternatives.map(|name| Alternative { name: name.as_str().into(), node: self.intern(name) });
        let mut by_name: Box<[_]> = (0..definition.types.len()).collect();
        by_name.sort_by_key(|tag| &definition.types[*tag]);
        Variant { name: definition.name.as_str().into(), alternatives: alternatives.collect(), by_name }
    }

    /// Resolves all expressions, including those met on the way: a list of work instead of recursion, because types can
    /// be defined by themselves.
    fn resolve(mut self) -> (Vec<Node>, Vec<Error>) {
        let mut steps = Vec::with_capacity(self.expressions.len());
        let mut faults = Vec::new();
        let mut fault = |error| {
            faults.push(error);
            Node::Fault(faults.len() as u32 - 1)
        };
        while let Some(expression) = self.expressions.get(steps.len()) {
            let step = self.step(expression);
            steps.push(step.unwrap_or_else(|error| Step::Done(fault(error))));
        }
        let end_of = |mut id: usize| {
            (0..MAX_DEPTH).find_map(|_| match steps[id] {
                Step::Done(node) => Some(node),
                Step::Alias(target) => {
                    id = target as usize;
                    None
                }
            })
        };
        let nodes = (0..steps.len()).map(|id| {
            end_of(id).unwrap_or_else(|| {
                let alias = shorten(self.expressions[id]);
                fault(Error::invalid("alias", format!("\"{alias}\" is circular or more than {MAX_DEPTH} deep")))
            })
        });
        (nodes.collect(), faults)
    }

    fn step(&mut self, expression: &'a str) -> Result<Step> {
        if let Some(target) = self.aliases.get(expression) {
            return Ok(Step::Alias(self.intern(target)));
        }
        let (item, suffix) = split_suffix(expression);
        if suffix != Suffix::None && suffixes(expression) >= MAX_DEPTH {
            return Err(Error::Limit { what: "ABI type suffixes", limit: MAX_DEPTH });
        }
        let node = match suffix {
            Suffix::Array => Node::Array(self.intern(item)),
            Suffix::FixedArray(count) => Node::FixedArray(self.intern(item), count),
            Suffix::Optional => Node::Optional(self.intern(item)),
            Suffix::None => {
                if let Some(builtin) = Builtin::from_name(expression) {
                    Node::Builtin(builtin)
                } else if let Some(index) = self.variants.get(expression) {
                    Node::Variant(*index)
                } else if let Some(index) = self.structs.get(expression) {
                    Node::Struct(*index)
                } else {
                    return Err(Error::Unknown { kind: "type", name: shorten(expression) });
                }
            }
        };
        Ok(Step::Done(node))
    }
}

/// How many suffixes an expression has, counted up to the limit: without one, `t[][][]...` costs the square of its length.
fn suffixes(mut expression: &str) -> usize {
    let mut count = 0;
    while count < MAX_DEPTH {
        match split_suffix(expression) {
            (_, Suffix::None) => break,
            (item, _) => expression = item,
        }
        count += 1;
    }
    count
}
