//! `/openapi.json` and `/docs` say what the table of endpoints says.

use dfuse_http::{AnswerForm, BodyForm, COMMON_ERRORS, Methods, Place};
use serde_json::Value;

use crate::support::TestChain;

/// All references of a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn openapi_has_every_endpoint() {
    let chain = TestChain::small().await;
    let document = chain.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for endpoint in chain.server.endpoints() {
        let item = &document["paths"][endpoint.path.replace("{*", "{")];
        let methods: &[&str] = match endpoint.methods {
            Methods::Get => &["get"],
            Methods::Post => &["post"],
            Methods::GetOrPost | Methods::Any => &["get", "post"],
        };
        for method in methods {
            let operation = &item[method];
            let what = format!("{method} {}: {operation}", endpoint.path);
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{what}");
            for parameter in endpoint.parameters {
                let in_form = *method == "post" && endpoint.body == BodyForm::Form;
                let (pointer, is_field) = match parameter.place {
                    Place::Json => ("application~1json", true),
                    Place::Query if in_form => ("application~1x-www-form-urlencoded", true),
                    Place::Path | Place::Query => ("", false),
                };
                let is_there = if is_field {
                    let properties = format!("/requestBody/content/{pointer}/schema/properties");
                    operation.pointer(&properties).and_then(|it| it.get(parameter.name)).is_some()
                } else {
                    let all = operation["parameters"].as_array().unwrap();
                    all.iter().any(|it| it["name"] == parameter.name && it["required"] == parameter.required)
                };
                assert!(is_there, "{} of {what}", parameter.name);
            }
            if endpoint.form == AnswerForm::PassedOn {
                assert!(operation["responses"]["default"].is_object(), "{what}");
                continue;
            }
            for code in endpoint.errors.iter().chain(COMMON_ERRORS) {
                let row = code.row();
                let response = &operation["responses"][row.status.as_str()];
                let codes = response.pointer("/content/application~1json/schema/allOf/1/properties/code/enum").unwrap();
                assert!(codes.as_array().unwrap().contains(&row.code.into()), "{} of {what}", row.code);
            }
            if let AnswerForm::Json(_) = endpoint.form {
                let schema = operation.pointer("/responses/200/content/application~1json/schema");
                assert!(schema.is_some_and(Value::is_object), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_has_every_endpoint_and_needs_no_other_server() {
    let chain = TestChain::small().await;
    let page = chain.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'self';"));
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(!text.contains("://") && !text.contains("<script"), "{text}");
    for endpoint in chain.server.endpoints() {
        assert!(text.contains(&endpoint.path.replace("{*", "{")), "{}", endpoint.path);
        for parameter in endpoint.parameters {
            assert!(text.contains(&format!("<td>{}</td>", parameter.name)), "{}", parameter.name);
        }
    }
    assert_eq!(chain.get("/docs/style.css").await.header("content-type"), "text/css; charset=utf-8");
}
