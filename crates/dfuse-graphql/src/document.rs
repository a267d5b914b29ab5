//! What a document asks for: which of its operations, with which variables, and of a subscription which field.

use std::{borrow::Cow, collections::HashSet};

use async_graphql::{
    Name, Positioned, Value,
    parser::types::{
        DocumentOperations, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet, TypeCondition,
        VariableDefinition,
    },
};
use dfuse_query::{ApiError, ApiResult, ErrorCode, GraphqlRequest};

/// Longest message about a variable.
const MAX_MESSAGE: usize = 300;
/// The type whose fields subscriptions ask for.
const SUBSCRIPTION: &str = "Subscription";

fn invalid(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::GraphqlInvalid, message)
}

/// The operation that is asked for, or the only one that there is.
///
/// # Errors
/// `graphql_validation_error`.
pub(crate) fn operation_of<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> ApiResult<&'a OperationDefinition> {
    let found = match (&document.operations, name.filter(|name| !name.is_empty())) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.values();
            operations.next().filter(|_| operations.next().is_none())
        }
    };
    found.map(|operation| &operation.node).ok_or_else(|| {
        let message = match name {
            Some(name) => format!("The document has no operation \"{}\".", dfuse_query::shorten(name)),
            None => "The document has several operations: name the one to execute.".to_owned(),
        };
        invalid(message)
    })
}

/// Checks that each variable has a value that must have one. The library finds that out only where one is used, in the middle of an answer.
///
/// # Errors
/// `graphql_validation_error`.
pub(crate) fn check_variables(operation: &OperationDefinition, request: &GraphqlRequest) -> ApiResult<()> {
    for Positioned { node, .. } in &operation.variable_definitions {
        let is_lacking = match request.variables.get(node.name.node.as_str()) {
            Some(value) => value.is_null(),
            None => node.default_value.is_none(),
        };
        if is_lacking && !node.var_type.node.nullable {
            let message = format!("The variable ${} of type {} has no value.", node.name.node, node.var_type.node);
            return Err(invalid(dfuse_query::shorten_to(&message, MAX_MESSAGE)));
        }
    }
    Ok(())
}

/// The defaults of an operation's variables. Empty if there is no such operation.
pub(crate) fn defaults(document: &ExecutableDocument, name: Option<&str>) -> Vec<(Name, Value)> {
    let variables = operation_of(document, name).map(|operation| operation.variable_definitions.as_slice());
    let default = |definition: &Positioned<VariableDefinition>| {
        let VariableDefinition { name, default_value, .. } = &definition.node;
        Some((name.node.clone(), default_value.as_ref()?.node.clone()))
    };
    variables.unwrap_or_default().iter().filter_map(default).collect()
}

/// Has a subscription ask for its field at its root. The library looks for it only there, and not in fragments; of several fields it
/// would begin a stream each.
///
/// The document is within limits, so that its fragments end.
///
/// # Errors
/// `graphql_validation_error` unless it asks for one field, in any case.
pub(crate) fn to_one_field(document: &mut ExecutableDocument, name: Option<&str>) -> ApiResult<()> {
    let mut found = Found::default();
    found.collect(&operation_of(document, name)?.selection_set.node, document)?;
    let Found { field, fragments } = found;
    let Some(field) = field else { return Err(invalid("A subscription asks for a field.")) };
    let operation = match &mut document.operations {
        DocumentOperations::Single(operation) => Some(operation),
        DocumentOperations::Multiple(operations) => match name.filter(|name| !name.is_empty()) {
            Some(name) => operations.get_mut(name),
            None => operations.values_mut().next(),
        },
    };
    if let Some(operation) = operation {
        let pos = field.pos;
        operation.node.selection_set.node.items = vec![Positioned::new(Selection::Field(field), pos)];
    }
    // A fragment that nothing spreads any more would not be valid.
    let mut spread = HashSet::new();
    for (_, operation) in document.operations.iter() {
        collect_spread(&operation.node.selection_set.node, document, &mut spread);
    }
    document.fragments.retain(|name, _| spread.contains(name) || !fragments.contains(name));
    Ok(())
}

/// What a subscription asks for.
#[derive(Default)]
struct Found {
    field: Option<Positioned<Field>>,
    /// The fragments around it.
    fragments: HashSet<Name>,
}

impl Found {
    fn collect(&mut self, selections: &SelectionSet, document: &ExecutableDocument) -> ApiResult<()> {
        for selection in &selections.items {
            let mut directives = selection.node.directives().iter().map(|it| it.node.name.node.as_str());
            if directives.any(|name| ["skip", "include"].contains(&name)) {
                return Err(invalid("A subscription cannot leave out its field: it takes no @skip and no @include."));
            }
            match &selection.node {
                Selection::Field(field) => self.add(field)?,
                Selection::InlineFragment(fragment) => {
                    must_be_on_subscription(fragment.node.type_condition.as_ref())?;
                    self.collect(&fragment.node.selection_set.node, document)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    let fragment = document.fragments.get(name);
                    let fragment = fragment
                        .ok_or_else(|| invalid(format!("Unknown fragment: \"{}\"", dfuse_query::shorten(name))))?;
                    must_be_on_subscription(Some(&fragment.node.type_condition))?;
                    self.fragments.insert(name.clone());
                    self.collect(&fragment.node.selection_set.node, document)?;
                }
            }
        }
        Ok(())
    }

    /// The same field may be asked for in pieces.
    fn add(&mut self, field: &Positioned<Field>) -> ApiResult<()> {
        let Some(known) = &mut self.field else {
            self.field = Some(field.clone());
            return Ok(());
        };
        let (own, other) = (&mut known.node, &field.node);
        if own.response_key() != other.response_key() || own.name != other.name || own.arguments != other.arguments {
            return Err(invalid("can subscribe to at most one subscription at a time"));
        }
        own.selection_set.node.items.extend(other.selection_set.node.items.iter().cloned());
        Ok(())
    }
}

fn must_be_on_subscription(condition: Option<&Positioned<TypeCondition>>) -> ApiResult<()> {
    match condition.map(|condition| condition.node.on.node.as_str()).filter(|name| *name != SUBSCRIPTION) {
        None => Ok(()),
        Some(other) => Err(invalid(format!(
            "A fragment on \"{}\" cannot be spread where fields of \"{SUBSCRIPTION}\" are asked for.",
            dfuse_query::shorten(other)
        ))),
    }
}

/// The fragments that selections spread, and those that these spread.
fn collect_spread(selections: &SelectionSet, document: &ExecutableDocument, found: &mut HashSet<Name>) {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => collect_spread(&field.node.selection_set.node, document, found),
            Selection::InlineFragment(fragment) => {
                collect_spread(&fragment.node.selection_set.node, document, found);
            }
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                if found.insert(name.clone())
                    && let Some(fragment) = document.fragments.get(name)
                {
                    collect_spread(&fragment.node.selection_set.node, document, found);
                }
            }
        }
    }
}
