//! Documents that ask for too much, or for nothing that there is.

use serde_json::{Value, json};

use crate::support::{TestChain, request};

/// The first error of an answer: its code and message.
fn error(answer: &Value) -> (String, String) {
    let error = &answer["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(error["extensions"]["trace_id"].as_str().map(str::len), Some(32), "{answer}");
    (text(&error["extensions"]["code"]), text(&error["message"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused() {
    let chain = TestChain::new(Box::new(std::io::empty())).await;
    let nested = |depth: usize| {
        let (open, close) = ("creatorAction{".repeat(depth), "}".repeat(depth));
        format!(
            "{{searchTransactionsForward(query:\"a:b\"){{results{{trace{{matchingActions{{{open}name{close}}}}}}}}}}}"
        )
    };
    // Four fields are around them, one is within.
    let (code, message) = error(&chain.answer(request(&nested(20), json!({}))).await);
    assert_eq!(code, "graphql_too_complex_error");
    assert!(message.starts_with("Field \"name\" has depth 25 that exceeds max depth 24 (trace_id: "), "{message}");
    assert_ne!(error(&chain.answer(request(&nested(19), json!({}))).await).0, "graphql_too_complex_error");

    let bomb: String = (0..40).map(|at| format!("fragment f{at} on Query{{...f{0} ...f{0}}} ", at + 1)).collect();
    let bomb = format!("{{...f0}} {bomb} fragment f40 on Query{{__typename}}");
    let itself = "{...a} fragment a on Query{...a}".to_owned();
    let schemas = format!("{{{}}}", (0..5).map(|at| format!("a{at}: __schema{{types{{name}}}} ")).collect::<String>());
    let types = "fields{type{ofType{".repeat(3) + "name" + &"}}}".repeat(3);
    let types = format!("{{__schema{{types{{{types}}}}}}}");
    let many = format!("{{{}}}", (0..2001).map(|at| format!("a{at}:__typename ")).collect::<String>());
    let long = format!("{{__typename}} #{}", "x".repeat(128 << 10));
    for document in [bomb, itself, many, long, schemas, types] {
        assert_eq!(error(&chain.answer(request(&document, json!({}))).await).0, "graphql_too_complex_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_a_code_and_a_place() {
    let chain = TestChain::new(Box::new(std::io::empty())).await;
    let asked = async |document: &str| error(&chain.answer(request(document, json!({}))).await).0;
    assert_eq!(asked("{").await, "graphql_syntax_error");
    assert_eq!(asked("").await, "graphql_syntax_error");
    // A long line is not told again.
    let nested = format!("{{tokens(tokenSymbols: {}", "[".repeat(60_000));
    let (code, message) = error(&chain.answer(request(&nested, json!({}))).await);
    assert!(code == "graphql_syntax_error" && message.len() < 1200, "{}", message.len());
    // Lists of names are not without end.
    let symbols = json!({"s": vec!["EOS"; 1001]});
    let listed = "query($s: [String!]){tokens(tokenSymbols: $s){edges{cursor}}}";
    assert_eq!(error(&chain.answer(request(listed, symbols)).await).0, "request_validation_error");
    for document in
        ["{nosuch}", "mutation{x}", "query A{__typename} query B{__typename}", "{block(num:4294967296){num}}"]
    {
        assert_eq!(asked(document).await, "graphql_validation_error", "{document}");
    }
    // Without a block, nothing is known to be absent.
    assert_eq!(asked("{blockIDByTime(time:\"2020-01-01T00:00:00Z\"){id}}").await, "app_not_ready_error");
    // A variable that must have a value has one before anything is answered.
    let declared = "query($n: Uint32!){__typename block(num: $n){num}}";
    for variables in [json!({}), json!({"n": null}), json!({"m": 5})] {
        let answer = chain.answer(request(declared, variables)).await;
        let (code, message) = error(&answer);
        assert!(code == "graphql_validation_error" && message.contains("$n of type Uint32!"), "{answer}");
        assert!(answer.get("data").is_none(), "{answer}");
    }
    let with_default = declared.replace("Uint32!", "Uint32! = 5");
    assert_ne!(asked(&with_default).await, "graphql_validation_error");
    // A variable that the document does not declare is passed over.
    let answer = chain.answer(request("{__typename}", json!({"cursor": ""}))).await;
    assert_eq!(answer["data"]["__typename"], "Query", "{answer}");
}
