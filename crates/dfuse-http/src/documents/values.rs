//! Parameters and answers as JSON Schemas.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::{
    RefOr,
    schema::{
        AdditionalProperties, AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, Ref, Schema as JsonSchema, SchemaType,
        Type,
    },
};

use super::texts::sentence;
use crate::{Kind, Parameter, Schema};

/// Schemas that are described once, by their names.
pub(super) type Named = BTreeMap<&'static str, RefOr<JsonSchema>>;

const NAME: &str = "[.a-z1-5]{0,12}[.a-j1-5]?";
const SYMBOL: &str = "([0-9]{1,2},)?[A-Z]{1,7}";

/// The schema of an answer. What has a name is added to the others.
pub(super) fn answer(schema: &Schema, named: &mut Named) -> RefOr<JsonSchema> {
    match schema {
        Schema::Anything => typed(SchemaType::AnyValue).into(),
        Schema::Text => typed(Type::String).into(),
        Schema::Choice(values) => typed(Type::String).enum_values(Some(values.iter().copied())).into(),
        Schema::Integer => typed(Type::Integer).into(),
        Schema::Number => typed(Type::Number).into(),
        Schema::Flag => typed(Type::Boolean).into(),
        Schema::List(item) => ArrayBuilder::new().items(answer(item, named)).into(),
        Schema::Map(Schema::Anything) => {
            typed(Type::Object).additional_properties(Some(AdditionalProperties::FreeForm(true))).into()
        }
        Schema::Map(value) => typed(Type::Object).additional_properties(Some(answer(value, named))).into(),
        Schema::Object(groups) => {
            let fields = groups.iter().flat_map(|fields| fields.iter());
            let object = fields.fold(typed(Type::Object), |object, field| {
                let object = object.property(field.name, answer(&field.schema, named));
                if field.required { object.required(field.name) } else { object }
            });
            object.into()
        }
        Schema::Nullable(schema) => {
            AnyOfBuilder::new().item(answer(schema, named)).item(Object::with_type(Type::Null)).into()
        }
        Schema::Either(schemas) => {
            let either = schemas.iter().fold(AnyOfBuilder::new(), |either, it| either.item(answer(it, named)));
            either.into()
        }
        Schema::Named(name, schema) => {
            if !named.contains_key(name) {
                let described = answer(schema, named);
                named.insert(name, described);
            }
            Ref::from_schema_name(*name).into()
        }
    }
}

fn typed(kind: impl Into<SchemaType>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

/// The schema of the values of a parameter.
pub(super) fn value(parameter: &Parameter) -> JsonSchema {
    let text = || typed(Type::String);
    let pattern = |pattern: String| text().pattern(Some(format!("^{pattern}$")));
    let builder = match parameter.kind {
        Kind::Text | Kind::PublicKey | Kind::Time | Kind::PrimaryKey | Kind::SearchQuery | Kind::Cursor => text(),
        Kind::Name => pattern(NAME.to_owned()),
        Kind::ExtendedName => pattern(format!("({NAME}|{SYMBOL})")),
        Kind::Names => pattern(format!(r"{NAME}(\|{NAME})*")),
        Kind::ExtendedNames => pattern(format!(r"({NAME}|{SYMBOL})(\|({NAME}|{SYMBOL}))*")),
        Kind::SymbolCode => pattern("[A-Z]{1,7}".to_owned()),
        Kind::Id => pattern("[0-9a-fA-F]{64}".to_owned()),
        Kind::IdPrefix => pattern("[0-9a-fA-F]{1,64}".to_owned()),
        Kind::Flag => typed(Type::Boolean),
        Kind::BlockNumber => typed(Type::Integer).minimum(Some(0_usize)),
        Kind::Integer(least, most) => {
            let number = |it: u64| usize::try_from(it).unwrap_or(usize::MAX);
            typed(Type::Integer).minimum(Some(number(least))).maximum(Some(number(most)))
        }
        Kind::Choice(values) => text().enum_values(Some(values.iter().copied())),
        Kind::Texts => {
            let texts = ArrayBuilder::new().items(text().build()).min_items(Some(1));
            return texts.description(Some(sentence(parameter.description))).into();
        }
    };
    let builder = match (parameter.default, parameter.kind) {
        (None, _) => builder,
        (Some(default), Kind::Flag | Kind::BlockNumber | Kind::Integer(..)) => {
            builder.default(serde_json::from_str(default).ok())
        }
        (Some(default), _) => builder.default(Some(Value::from(default))),
    };
    builder.description(Some(sentence(parameter.description))).into()
}
