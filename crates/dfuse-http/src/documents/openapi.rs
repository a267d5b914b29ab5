//! The table of endpoints as an OpenAPI document.

use std::collections::BTreeMap;

use dfuse_query::{ErrorCode, RouteClass};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr,
    Required, ResponseBuilder, ResponsesBuilder,
    header::HeaderBuilder,
    path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::{Object, ObjectBuilder, Schema as JsonSchema, Type},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use super::{
    texts::{JSON, access, errors, path, sentence},
    values,
};
use crate::{AnswerForm, BodyForm, Endpoint, Methods, Parameter, Place};

const BEARER: &str = "bearer";
const TOKEN: &str = "token";
const ERROR: &str = "Error";
/// Parts of the chain's own API have the errors of the node.
const NODE_ERROR: &str = "NodeError";

/// Writes it as JSON.
pub(super) fn write(endpoints: &[Endpoint]) -> String {
    let mut named = values::Named::new();
    let mut items: BTreeMap<String, PathItem> = BTreeMap::new();
    for endpoint in endpoints {
        for method in methods(endpoint.methods) {
            let item = PathItem::new(method.clone(), operation(endpoint, &method, &mut named));
            items.entry(path(endpoint)).or_default().merge_operations(item);
        }
    }
    let paths = items.into_iter().fold(PathsBuilder::new(), |paths, (path, item)| paths.path(path, item));
    let components = named.into_iter().fold(ComponentsBuilder::new(), |all, (name, schema)| all.schema(name, schema));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let bearer = bearer.description(Some("A token of /v1/auth/issue."));
    let components = components
        .schema(ERROR, error_schema())
        .schema(NODE_ERROR, node_error_schema())
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(TOKEN, SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new(TOKEN))));
    let info = InfoBuilder::new()
        .title("dfuse")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("What has happened on an Antelope chain, and what happens now."));
    let document = OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build();
    document.to_json().unwrap_or_default()
}

fn methods(methods: Methods) -> Vec<HttpMethod> {
    match methods {
        Methods::Get => vec![HttpMethod::Get],
        Methods::Post => vec![HttpMethod::Post],
        Methods::GetOrPost | Methods::Any => vec![HttpMethod::Get, HttpMethod::Post],
    }
}

fn operation(endpoint: &Endpoint, method: &HttpMethod, named: &mut values::Named) -> Operation {
    let is_post = matches!(method, HttpMethod::Post);
    let method_name = if is_post { "post" } else { "get" };
    let words = endpoint.path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let id = std::iter::once(method_name).chain(words).collect::<Vec<_>>().join("_");
    let in_form = is_post && endpoint.body == BodyForm::Form;
    let mut builder = OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(sentence(endpoint.answer)))
        .description(Some(access(endpoint)));
    for parameter in endpoint.parameters {
        let place = match parameter.place {
            Place::Path => ParameterIn::Path,
            Place::Query if !in_form => ParameterIn::Query,
            Place::Query | Place::Json => continue,
        };
        builder = builder.parameter(
            ParameterBuilder::new()
                .name(parameter.name)
                .parameter_in(place)
                .required(required(parameter.required))
                .description(Some(sentence(parameter.description)))
                .schema(Some(values::value(parameter))),
        );
    }
    if endpoint.path.contains("{*path}") {
        let any = ParameterBuilder::new().name("path").parameter_in(ParameterIn::Path).required(Required::True);
        builder = builder.parameter(any.schema(Some(Object::with_type(Type::String))));
    }
    if is_post {
        builder = builder.request_body(body(endpoint));
    }
    if takes_token(endpoint) {
        for name in [BEARER, TOKEN] {
            builder = builder.security(SecurityRequirement::new(name, [""; 0]));
        }
        // A server may let everybody in.
        builder = builder.security(SecurityRequirement::default());
    }
    if let Some(tag) = tag(endpoint) {
        builder = builder.tag(tag);
    }
    builder.responses(responses(endpoint, named)).build()
}

/// Whether a token says who asks. What is passed on to nodes may want one.
fn takes_token(endpoint: &Endpoint) -> bool {
    endpoint.charge.route.is_some() || endpoint.is_for_operators || endpoint.form == AnswerForm::PassedOn
}

/// What is allowed and limited together stands together.
fn tag(endpoint: &Endpoint) -> Option<&'static str> {
    if endpoint.is_for_operators { Some("operators") } else { endpoint.charge.route.map(RouteClass::name) }
}

fn required(is_required: bool) -> Required {
    if is_required { Required::True } else { Required::False }
}

fn body(endpoint: &Endpoint) -> Option<RequestBody> {
    let (media_type, place) = match endpoint.body {
        BodyForm::Form => ("application/x-www-form-urlencoded", Place::Query),
        BodyForm::Json => (JSON, Place::Json),
        BodyForm::None if endpoint.form == AnswerForm::PassedOn => {
            let content = ContentBuilder::new().schema(Some(ObjectBuilder::new().build())).build();
            return Some(RequestBodyBuilder::new().content(JSON, content).build());
        }
        BodyForm::None => return None,
    };
    let parameters: Vec<&Parameter> = endpoint.parameters.iter().filter(|it| it.place == place).collect();
    if parameters.is_empty() && endpoint.body == BodyForm::Form {
        return None;
    }
    let object = parameters.iter().fold(ObjectBuilder::new(), |object, parameter| {
        let object = object.property(parameter.name, values::value(parameter));
        if parameter.required { object.required(parameter.name) } else { object }
    });
    let is_required = endpoint.body == BodyForm::Json || parameters.iter().any(|parameter| parameter.required);
    let content = ContentBuilder::new().schema(Some(object.build())).build();
    Some(RequestBodyBuilder::new().content(media_type, content).required(Some(required(is_required))).build())
}

fn responses(endpoint: &Endpoint, named: &mut values::Named) -> ResponsesBuilder {
    let (status, media_type, schema) = match &endpoint.form {
        AnswerForm::Json(schema) => ("200", JSON, Some(values::answer(schema, named))),
        AnswerForm::Text(media_type) => ("200", *media_type, Some(Object::with_type(Type::String).into())),
        AnswerForm::Upgrade => ("101", "", None),
        AnswerForm::Redirect => ("302", "", None),
        AnswerForm::PassedOn => ("default", JSON, Some(RefOr::Ref(Ref::from_schema_name(NODE_ERROR)))),
        AnswerForm::Unsaid => ("200", "", None),
    };
    let mut good = ResponseBuilder::new().description(sentence(endpoint.answer)).header("X-Trace-ID", trace_id());
    if endpoint.form == AnswerForm::PassedOn {
        // Whatever the node says passes through.
        good = good.content(JSON, ContentBuilder::new().schema(Some(ObjectBuilder::new().build())).build());
    } else if schema.is_some() {
        good = good.content(media_type, ContentBuilder::new().schema(schema).build());
    }
    let mut all = ResponsesBuilder::new().response(status, good.build());
    if endpoint.form == AnswerForm::PassedOn {
        return all;
    }
    let codes = errors(endpoint);
    for group in codes.chunk_by(|a, b| a.row().status == b.row().status) {
        all = all.response(group[0].row().status.as_str(), error_response(group, &endpoint.form).build());
    }
    all
}

fn error_response(codes: &[ErrorCode], form: &AnswerForm) -> ResponseBuilder {
    let lines = codes.iter().map(|code| format!("`{}`: {}", code.row().code, code.row().when));
    let names = codes.iter().map(|code| code.row().code);
    let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    let of_these = ObjectBuilder::new().property("code", code);
    let schema = utoipa::openapi::schema::AllOfBuilder::new().item(Ref::from_schema_name(ERROR)).item(of_these);
    let response = ResponseBuilder::new()
        .description(lines.collect::<Vec<_>>().join("\n\n"))
        .header("X-Trace-ID", trace_id())
        .content(JSON, ContentBuilder::new().schema(Some(schema)).build());
    match form {
        // Pages tell people what was wrong.
        AnswerForm::Text(media_type) if media_type.starts_with("text/html") => {
            let text = ContentBuilder::new().schema(Some(Object::with_type(Type::String))).build();
            response.content(*media_type, text)
        }
        _ => response,
    }
}

fn trace_id() -> utoipa::openapi::header::Header {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-f]{32}$"));
    HeaderBuilder::new().schema(Some(schema)).description(Some("Names this request.")).build()
}

/// The one form of errors: these keys and no other.
fn error_schema() -> JsonSchema {
    let text = |description: &'static str| {
        ObjectBuilder::new().schema_type(Type::String).description(Some(description)).build()
    };
    let object = ObjectBuilder::new()
        .property("code", text("Names this kind of error; stable for ever."))
        .property("trace_id", text("Names the request."))
        .property("message", text("For people; may change."))
        .property("details", ObjectBuilder::new().description(Some("For programs; its keys follow from the code.")));
    ["code", "trace_id", "message"].into_iter().fold(object, ObjectBuilder::required).build().into()
}

fn node_error_schema() -> JsonSchema {
    let error = ObjectBuilder::new()
        .property("code", Object::with_type(Type::Integer))
        .property("message", Object::with_type(Type::String))
        .property("error", Object::with_type(Type::Object))
        .property("trace_id", Object::with_type(Type::String));
    ["code", "message", "error"].into_iter().fold(error, ObjectBuilder::required).build().into()
}
