//! What a document may ask for.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::types::{ExecutableDocument, FragmentDefinition, OperationDefinition, Selection, SelectionSet},
};
use dfuse_query::{ApiError, ApiResult, ErrorCode, shorten};

/// Limits of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest document in bytes.
    pub document_bytes: usize,
    /// Deepest nesting of fields.
    pub depth: usize,
    /// Most fields and fragments, those of fragments counted wherever they are spread.
    pub fields: usize,
    /// Most bytes of values in one answer.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes: 128 << 10, depth: 24, fields: 2000, answer_bytes: 64 << 20 }
    }
}

impl Limits {
    /// Whether an operation keeps to them. Fragments that spread themselves end at one of the limits.
    ///
    /// # Errors
    /// `graphql_too_complex_error`.
    pub(crate) fn check(&self, document: &ExecutableDocument, operation: &OperationDefinition) -> ApiResult<()> {
        let mut walk = Walk { limits: self, fragments: &document.fragments, fields: 0, schemas: 0, lists: 0 };
        walk.selections(&operation.selection_set.node, 0, 0)
    }
}

/// On its way through the selections of an operation.
struct Walk<'a> {
    limits: &'a Limits,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    fields: usize,
    /// How often the schema itself is asked for.
    schemas: usize,
    /// How many of [`LISTS`] are around, within the schema.
    lists: usize,
}

/// Most times that a document asks for the schema, which is long.
const MAX_SCHEMAS: usize = 4;
/// Lists of the schema that lead to types, which have lists.
const LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];
/// Most of those within each other. What tools ask for has one.
const MAX_LISTS: usize = 2;

impl Walk<'_> {
    /// Whether a field of the schema itself leads to too much, and whether it is one of [`LISTS`].
    fn enter(&mut self, name: &str) -> ApiResult<bool> {
        if ["__schema", "__type"].contains(&name) {
            self.schemas += 1;
            if self.schemas > MAX_SCHEMAS {
                return Err(too_complex("The document asks for the schema too often", MAX_SCHEMAS));
            }
        }
        let is_list = self.schemas > 0 && LISTS.contains(&name);
        if is_list && self.lists == MAX_LISTS {
            return Err(too_complex("The document nests the lists of the schema too deeply", MAX_LISTS));
        }
        Ok(is_list)
    }

    /// `depth` fields are around these selections, and `nesting` selections of any kind.
    fn selections(&mut self, selections: &SelectionSet, depth: usize, nesting: usize) -> ApiResult<()> {
        for selection in &selections.items {
            self.fields += 1;
            if self.fields > self.limits.fields {
                return Err(too_complex("The document asks for too many fields", self.limits.fields));
            }
            // Fragments take room on the stack, too.
            if nesting > 2 * self.limits.depth {
                return Err(too_complex("The document nests its fragments too deeply", 2 * self.limits.depth));
            }
            match &selection.node {
                Selection::Field(field) => {
                    if depth >= self.limits.depth {
                        let (name, limit) = (shorten(&field.node.name.node), self.limits.depth);
                        let message =
                            format!("Field \"{name}\" has depth {} that exceeds max depth {limit}", depth + 1);
                        return Err(ApiError::new(ErrorCode::GraphqlTooComplex, message).detail("limit", limit));
                    }
                    let is_list = self.enter(&field.node.name.node)?;
                    self.lists += usize::from(is_list);
                    self.selections(&field.node.selection_set.node, depth + 1, nesting + 1)?;
                    self.lists -= usize::from(is_list);
                }
                Selection::InlineFragment(fragment) => {
                    self.selections(&fragment.node.selection_set.node, depth, nesting + 1)?;
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node) {
                        self.selections(&fragment.node.selection_set.node, depth, nesting + 1)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn too_complex(what: &str, limit: usize) -> ApiError {
    ApiError::new(ErrorCode::GraphqlTooComplex, format!("{what}: at most {limit}.")).detail("limit", limit)
}
