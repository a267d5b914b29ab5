//! What nodeos demands of an ABI before it uses it.

use std::{collections::HashSet, fmt, hash::Hash};

use super::{
    builtin::Builtin,
    definition::Abi,
    resolve::{AbiSerializer, Compiler, MAX_DEPTH, Node, NodeId, Suffix, split_extension, split_suffix},
};
use crate::{Error, Result, error::shorten};

impl Abi {
    /// Checks what nodeos checks when it loads an ABI (`abi_serializer::set_abi`): the version, that no name is defined twice,
    /// that every type is known and has at most one suffix (more need an alias), and that neither aliases nor bases run
    /// in circles.
    ///
    /// Chains hold ABIs that fail this, since `setabi` checks nothing; [`AbiSerializer`] takes them.
    pub fn validate(&self) -> Result<()> {
        if !self.version.starts_with("eosio::abi/1.") {
            return refuse(format_args!("version \"{}\" is not eosio::abi/1.x", shorten(&self.version)));
        }
        unique("type", self.types.iter().map(|alias| &alias.new_type_name))?;
        unique("struct", self.structs.iter().map(|definition| &definition.name))?;
        unique("action", self.actions.iter().map(|action| action.name))?;
        unique("table", self.tables.iter().map(|table| table.name))?;
        unique("error message", self.error_messages.iter().map(|message| message.error_code))?;
        unique("variant", self.variants.iter().map(|variant| &variant.name))?;
        unique("action result", self.action_results.iter().map(|result| result.name))?;

        let mut compiler = Compiler::new(self);
        for alias in &self.types {
            let (name, suffix) = split_suffix(&alias.new_type_name);
            let is_alias = suffix != Suffix::None && compiler.aliases.contains_key(name);
            if is_alias || Builtin::from_name(name).is_some() || compiler.structs.contains_key(name) {
                return refuse(format_args!("type \"{}\" exists already", shorten(&alias.new_type_name)));
            }
        }
        let targets: Vec<_> = self.types.iter().map(|alias| compiler.intern(&alias.type_name)).collect();
        let types = compiler.compile(self);

        for (alias, target) in self.types.iter().zip(targets) {
            let place = || format!("type \"{}\"", shorten(&alias.new_type_name));
            known(&types, &alias.type_name, target, place)?;
        }
        check_bases(&types)?;
        for (definition, compiled) in self.structs.iter().zip(&types.structs) {
            for (field, compiled) in definition.fields.iter().zip(&compiled.fields) {
                let (expression, _) = split_extension(&field.type_name);
                known(&types, expression, compiled.node, || {
                    format!("field \"{}\" of struct \"{}\"", shorten(&field.name), shorten(&definition.name))
                })?;
            }
        }
        for variant in &types.variants {
            for alternative in &variant.alternatives {
                let place = || format!("variant \"{}\"", shorten(&variant.name));
                known(&types, &alternative.name, alternative.node, place)?;
            }
        }
        for action in &self.actions {
            let node = types.action(action.name)?.node;
            known(&types, &action.type_name, node, || format!("action \"{}\"", action.name))?;
        }
        for table in &self.tables {
            let node = types.table(table.name)?.node;
            known(&types, &table.type_name, node, || format!("table \"{}\"", table.name))?;
        }
        for result in &self.action_results {
            let node = types.action_result(result.name)?.node;
            known(&types, &result.result_type, node, || format!("result of action \"{}\"", result.name))?;
        }
        Ok(())
    }
}

/// Bases must be structs and must not run in circles. Each struct is visited once, however long the chains are.
fn check_bases(types: &AbiSerializer) -> Result<()> {
    let mut visited = vec![0; types.structs.len()];
    for start in 0..types.structs.len() {
        let mut current = start;
        while visited[current] == 0 {
            visited[current] = start + 1;
            let definition = &types.structs[current];
            current = match definition.base.map(|base| types.node(base)) {
                None => break,
                Some(Node::Struct(base)) => base as usize,
                Some(_) => {
                    return refuse(format_args!("base of struct \"{}\" is not a struct", shorten(&definition.name)));
                }
            };
            if visited[current] == start + 1 {
                return refuse(format_args!("struct \"{}\" is its own base", shorten(&types.structs[current].name)));
            }
        }
    }
    Ok(())
}

fn refuse(why: fmt::Arguments<'_>) -> Result<()> {
    Err(Error::invalid("ABI", why.to_string()))
}

fn unique<T: Eq + Hash + fmt::Display>(kind: &str, names: impl ExactSizeIterator<Item = T>) -> Result<()> {
    let mut seen = HashSet::with_capacity(names.len());
    for name in names {
        if let Some(twice) = seen.replace(name) {
            return refuse(format_args!("{kind} \"{}\" is defined twice", shorten(&twice.to_string())));
        }
    }
    Ok(())
}

/// Fails unless `expression`, resolved to `id`, has at most one suffix and ends at a type that is known.
fn known(types: &AbiSerializer, expression: &str, mut id: NodeId, place: impl FnOnce() -> String) -> Result<()> {
    let (item, suffix) = split_suffix(expression);
    if suffix != Suffix::None && split_suffix(item).1 != Suffix::None {
        return refuse(format_args!("{}: \"{}\" has more than one suffix", place(), shorten(expression)));
    }
    for _ in 0..MAX_DEPTH {
        id = match types.node(id) {
            Node::Builtin(_) | Node::Struct(_) | Node::Variant(_) => return Ok(()),
            Node::Array(item) | Node::FixedArray(item, _) | Node::Optional(item) => item,
            Node::Fault(index) => return refuse(format_args!("{}: {}", place(), types.fault(index))),
        };
    }
    refuse(format_args!("{}: \"{}\" is circular or too many aliases deep", place(), shorten(expression)))
}
