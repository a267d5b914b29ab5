//! What a field takes with it that has to have a value and has none: by the specification, what is around it is null then, up to where
//! a value may be absent. The library only leaves the field out.

use std::{collections::HashMap, sync::LazyLock};

use async_graphql::{
    PathSegment, Response, Value,
    parser::{
        parse_query, parse_schema,
        types::{
            BaseType, ExecutableDocument, Field, OperationType, Selection, SelectionSet, Type, TypeKind,
            TypeSystemDefinition,
        },
    },
};

use dfuse_query::GraphqlRequest;

use crate::{document::operation_of, schema};

/// The types of the schema's fields, by type and field.
static FIELDS: LazyLock<HashMap<String, HashMap<String, Type>>> = LazyLock::new(|| {
    let definitions = parse_schema(schema::new().sdl()).map(|document| document.definitions).unwrap_or_default();
    let types = definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => Some(definition.node),
        _ => None,
    });
    let fields = types.filter_map(|definition| match definition.kind {
        TypeKind::Object(object) => {
            let fields = object.fields.into_iter().map(|field| (field.node.name.node.to_string(), field.node.ty.node));
            Some((definition.name.node.to_string(), fields.collect()))
        }
        _ => None,
    });
    fields.collect()
});

/// An operation, as it was asked for: what says where its answers may have nothing.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    query: String,
    operation_name: Option<String>,
}

impl Asked {
    /// By a request.
    pub(crate) fn of(request: &GraphqlRequest) -> Self {
        Self { query: request.query.clone(), operation_name: request.operation_name.clone() }
    }

    /// Puts null where fields are left out of an answer that have to have a value.
    pub(crate) fn complete(&self, response: &mut Response) {
        if response.errors.iter().all(|error| error.path.is_empty()) {
            return;
        }
        let Ok(document) = parse_query(&self.query) else { return };
        for error in &response.errors {
            if let Some(nullable) = self.nullable(&document, &error.path) {
                complete(&mut response.data, &error.path, &nullable);
            }
        }
    }

    /// Whether there may be nothing at each step of a path. Absent if the document has no such path.
    fn nullable(&self, document: &ExecutableDocument, path: &[PathSegment]) -> Option<Vec<bool>> {
        let operation = operation_of(document, self.operation_name.as_deref()).ok()?;
        let mut kind = match operation.ty {
            OperationType::Subscription => "Subscription",
            _ => "Query",
        };
        let mut selections = vec![&operation.selection_set.node];
        let mut value: Option<&Type> = None;
        let mut nullable = Vec::new();
        for segment in path {
            let next = match segment {
                PathSegment::Field(key) => {
                    if let Some(value) = value {
                        let BaseType::Named(name) = &value.base else { return None };
                        kind = name.as_str();
                    }
                    let mut fields = Vec::new();
                    selections.iter().for_each(|selections| fields_of(selections, document, key, &mut fields));
                    let next = FIELDS.get(kind)?.get(fields.first()?.name.node.as_str())?;
                    selections = fields.into_iter().map(|field| &field.selection_set.node).collect();
                    next
                }
                PathSegment::Index(_) => match &value?.base {
                    BaseType::List(item) => item,
                    BaseType::Named(_) => return None,
                },
            };
            nullable.push(next.nullable);
            value = Some(next);
        }
        Some(nullable)
    }
}

/// The fields that come under that name, in fragments, too. The document is within limits, so that its fragments end.
fn fields_of<'a>(
    selections: &'a SelectionSet,
    document: &'a ExecutableDocument,
    key: &str,
    found: &mut Vec<&'a Field>,
) {
    for selection in &selections.items {
        match &selection.node {
            Selection::Field(field) => found.extend(Some(&field.node).filter(|it| it.response_key().node == key)),
            Selection::InlineFragment(fragment) => {
                fields_of(&fragment.node.selection_set.node, document, key, found);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    fields_of(&fragment.node.selection_set.node, document, key, found);
                }
            }
        }
    }
}

/// Puts null at the innermost place of a path that may have it, if the path does not lead to a value, or to null where that may be.
fn complete(data: &mut Value, path: &[PathSegment], nullable: &[bool]) {
    let (mut value, mut depth) = (&*data, 0);
    while let Some(next) = path.get(depth).and_then(|segment| step(value, segment)) {
        if *next == Value::Null {
            if nullable[depth] {
                return;
            }
            break;
        }
        (value, depth) = (next, depth + 1);
    }
    if depth == path.len() {
        return;
    }
    let steps = nullable[..depth].iter().rposition(|nullable| *nullable).map_or(0, |at| at + 1);
    let mut place = data;
    for segment in &path[..steps] {
        place = match (place, segment) {
            (Value::Object(fields), PathSegment::Field(key)) => match fields.get_mut(key.as_str()) {
                Some(field) => field,
                None => return,
            },
            (Value::List(items), PathSegment::Index(at)) => match items.get_mut(*at) {
                Some(item) => item,
                None => return,
            },
            _ => return,
        };
    }
    *place = Value::Null;
}

fn step<'a>(value: &'a Value, segment: &PathSegment) -> Option<&'a Value> {
    match (value, segment) {
        (Value::Object(fields), PathSegment::Field(key)) => fields.get(key.as_str()),
        (Value::List(items), PathSegment::Index(at)) => items.get(*at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Pos, ServerError};
    use serde_json::json;

    use super::*;

    /// What becomes of an answer if there is an error at a path.
    #[allow(clippy::needless_pass_by_value, reason = "paths are written where they are passed")]
    fn completed(query: &str, data: serde_json::Value, path: serde_json::Value) -> serde_json::Value {
        let path = path.as_array().unwrap().iter().map(|segment| match segment.as_str() {
            Some(key) => PathSegment::Field(key.to_owned()),
            None => PathSegment::Index(segment.as_u64().unwrap() as usize),
        });
        let error = ServerError::new("as tested", Some(Pos::default())).with_path(path.collect());
        let mut response = Response::new(Value::from_json(data).unwrap());
        response.errors = vec![error];
        Asked { query: query.to_owned(), operation_name: None }.complete(&mut response);
        response.data.into_json().unwrap()
    }

    #[test]
    fn what_has_to_have_a_value_takes_with_it_what_is_around() {
        let blocks = "{a: blockIDByTime(time: 1){num} b: block(num: 2){num}}";
        assert_eq!(completed(blocks, json!({"b": {"num": 2}}), json!(["a"])), json!(null));
        // What may be absent stays alone.
        let one = json!({"a": {"num": 1}, "b": null});
        assert_eq!(completed(blocks, one.clone(), json!(["b"])), one);
        // The library makes null of what has no field left, also where that may not be.
        assert_eq!(completed(blocks, json!({"a": null, "b": null}), json!(["a", "num"])), json!(null));
        let header = "{block(num: 2){...B}} fragment B on Block{id own: header{id producer} ...{own: header{num}}}";
        let found = json!({"block": {"id": "2", "own": {"id": "2", "num": 2}}});
        assert_eq!(completed(header, found.clone(), json!(["block", "own", "producer"])), json!({"block": null}));
        assert_eq!(completed(header, found, json!(["block", "own", "num"]))["block"]["own"]["num"], 2);
        // Through lists: of items that may be null, and of others.
        let edges = "{tokens{edges{cursor node{symbol holders}} blockRef{id}}}";
        let token = |symbol: &str| json!({"cursor": symbol, "node": {"symbol": symbol, "holders": "1"}});
        let mut answer = json!({"tokens": {"edges": [token("A"), token("B")], "blockRef": {"id": "2"}}});
        answer["tokens"]["edges"][1]["node"].as_object_mut().unwrap().remove("holders");
        let mut expected = answer.clone();
        expected["tokens"]["edges"][1] = json!(null);
        assert_eq!(completed(edges, answer, json!(["tokens", "edges", 1, "node", "holders"])), expected);
        let results =
            "subscription{searchTransactionsForward(query: \"a:b\"){cursor trace{executedActions{name console}}}}";
        let answer =
            json!({"searchTransactionsForward": {"cursor": "c", "trace": {"executedActions": [{"name": "n"}]}}});
        let path = json!(["searchTransactionsForward", "trace", "executedActions", 0, "console"]);
        let expected = json!({"searchTransactionsForward": {"cursor": "c", "trace": null}});
        assert_eq!(completed(results, answer, path), expected);
    }

    #[test]
    fn what_is_no_path_changes_nothing() {
        let answer = json!({"block": {"num": 2}});
        for path in [json!([]), json!(["nothing"]), json!(["block", 0]), json!(["block", "num"]), json!([0])] {
            assert_eq!(completed("{block(num: 2){num}}", answer.clone(), path), answer);
        }
        let schema = json!({"__schema": {"types": []}});
        assert_eq!(
            completed("{__schema{types{name}}}", schema.clone(), json!(["__schema", "types", 0, "name"])),
            schema
        );
        assert_eq!(completed("{", answer.clone(), json!(["block", "id"])), answer);
    }
}
