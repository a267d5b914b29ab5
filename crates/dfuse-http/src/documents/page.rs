//! The table of endpoints as a page.

use super::texts::{access, errors, path, sentence};
use crate::{AnswerForm, BodyForm, Endpoint, Kind, Methods, Parameter, Place, Schema};

/// Writes it as HTML.
pub(super) fn write(endpoints: &[Endpoint]) -> String {
    let names = endpoints.iter().map(|endpoint| (endpoint, format!("{} {}", methods(endpoint), path(endpoint))));
    let names: Vec<_> = names.enumerate().collect();
    let contents = PARTS.iter().map(|part| {
        let of_part = names.iter().filter(|(_, (endpoint, _))| part_of(endpoint) == *part);
        let items = of_part.map(|(at, (_, name))| format!("<li><a href=\"#e{at}\">{}</a></li>\n", escaped(name)));
        format!("<h2>{part}</h2>\n<ul>\n{}</ul>\n", items.collect::<String>())
    });
    let sections = names.iter().map(|(at, (endpoint, name))| section(*at, endpoint, name));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>dfuse API</title>\n\
         <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
         <p><a href=\"/\">Explorer</a> · <a href=\"/dashboard\">Dashboard</a> · <a href=\"/graphiql/\">GraphQL editor</a> · \
         <a href=\"/guide\">Guide</a></p>\n<h1>dfuse API</h1>\n\
         <p>Version {}. Programs read the same in <a href=\"/openapi.json\">/openapi.json</a>.</p>\n\
         <nav>\n{}</nav>\n{}</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        contents.collect::<String>(),
        sections.collect::<String>(),
    )
}

/// What the contents are divided into.
const PARTS: [&str; 4] = ["API", "Pages", "For operators", "Files of the pages"];

fn part_of(endpoint: &Endpoint) -> &'static str {
    let [api, pages, operators, files] = PARTS;
    match endpoint.form {
        _ if endpoint.is_for_operators => operators,
        AnswerForm::Text(media_type) if media_type.starts_with("text/html") => pages,
        AnswerForm::Text(_) => files,
        _ => api,
    }
}

fn methods(endpoint: &Endpoint) -> &'static str {
    match endpoint.methods {
        Methods::Get => "GET",
        Methods::Post => "POST",
        Methods::GetOrPost => "GET or POST",
        Methods::Any => "any method",
    }
}

fn section(at: usize, endpoint: &Endpoint, name: &str) -> String {
    let body = match endpoint.body {
        BodyForm::None => "",
        BodyForm::Form => "<p>With POST, parameters are in a form or in the query.</p>\n",
        BodyForm::Json => "<p>Parameters are fields of a JSON object in the body.</p>\n",
    };
    format!(
        "<section id=\"e{at}\">\n<h2><code>{}</code></h2>\n<p>{} {}</p>\n{body}{}<p>Answer: <code>{}</code></p>\n{}\
         </section>\n",
        escaped(name),
        escaped(&sentence(endpoint.answer)),
        escaped(access(endpoint)),
        parameters(endpoint.parameters),
        escaped(&form(endpoint.form)),
        failures(endpoint),
    )
}

fn parameters(parameters: &[Parameter]) -> String {
    if parameters.is_empty() {
        return String::new();
    }
    let rows = parameters.iter().map(|parameter| {
        let place = match parameter.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Json => "body",
        };
        let presence = match (parameter.required, parameter.default) {
            (true, _) => "required".to_owned(),
            (false, None) => "optional".to_owned(),
            (false, Some(default)) => format!("default: {default}"),
        };
        let cells = [parameter.name, place, &kind(parameter.kind), &presence, &sentence(parameter.description)];
        format!("<tr>{}</tr>\n", cells.map(|cell| format!("<td>{}</td>", escaped(cell))).concat())
    });
    format!(
        "<table>\n<tr><th>Parameter</th><th>In</th><th>Value</th><th></th><th>Meaning</th></tr>\n{}</table>\n",
        rows.collect::<String>()
    )
}

fn failures(endpoint: &Endpoint) -> String {
    if endpoint.form == AnswerForm::PassedOn {
        return "<p>Errors have the structure of the node.</p>\n".to_owned();
    }
    let rows = errors(endpoint).into_iter().map(|code| {
        let row = code.row();
        format!(
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
            row.status.as_u16(),
            row.code,
            escaped(row.when)
        )
    });
    let rows: String = rows.collect();
    format!("<details><summary>Errors</summary>\n<table>\n{rows}</table>\n</details>\n")
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::ExtendedName => "name, symbol or symbol code".to_owned(),
        Kind::Names => "names between |".to_owned(),
        Kind::ExtendedNames => "names, symbols or symbol codes between |".to_owned(),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::BlockNumber => "block number".to_owned(),
        Kind::Integer(least, most) => format!("whole number from {least} to {most}"),
        Kind::Id => "64 hex digits".to_owned(),
        Kind::IdPrefix => "up to 64 hex digits".to_owned(),
        Kind::Choice(values) => values.join(", "),
        Kind::PublicKey => "public key".to_owned(),
        Kind::Time => "time".to_owned(),
        Kind::SymbolCode => "symbol code".to_owned(),
        Kind::PrimaryKey => "primary key".to_owned(),
        Kind::SearchQuery => "search query".to_owned(),
        Kind::Cursor => "cursor".to_owned(),
    }
}

fn form(form: AnswerForm) -> String {
    match form {
        AnswerForm::Json(schema) => shape(&schema),
        AnswerForm::Text(media_type) => media_type.to_owned(),
        AnswerForm::Upgrade => "WebSocket".to_owned(),
        AnswerForm::Redirect => "redirection".to_owned(),
        AnswerForm::PassedOn | AnswerForm::Unsaid => "of the node".to_owned(),
    }
}

/// As short as it can be read.
fn shape(schema: &Schema) -> String {
    match schema {
        Schema::Anything => "any".to_owned(),
        Schema::Text => "string".to_owned(),
        Schema::Choice(values) => values.iter().map(|value| format!("\"{value}\"")).collect::<Vec<_>>().join(" | "),
        Schema::Integer => "integer".to_owned(),
        Schema::Number => "number".to_owned(),
        Schema::Flag => "boolean".to_owned(),
        Schema::List(item) => format!("[{}]", shape(item)),
        Schema::Map(value) => format!("{{*: {}}}", shape(value)),
        Schema::Object(groups) => {
            let fields = groups.iter().flat_map(|group| group.iter()).map(|field| {
                let mark = if field.required { "" } else { "?" };
                format!("{}{mark}: {}", field.name, shape(&field.schema))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Schema::Nullable(schema) => format!("{} | null", shape(schema)),
        Schema::Either(schemas) => schemas.iter().map(shape).collect::<Vec<_>>().join(" | "),
        Schema::Named(_, schema) => shape(schema),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
