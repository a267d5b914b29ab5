//! What documents may be like: where a subscription has its field, and what directives leave out.

use dfuse_testkit::recorded;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::{TestChain, request, written};

async fn chain() -> Option<TestChain> {
    let mut chain = TestChain::new(Box::new(recorded::open("small/small.dmlog.zst")?)).await;
    assert_eq!(chain.grow(3).await, 3);
    Some(chain)
}

/// The first answer of a subscription.
async fn first(chain: &TestChain, document: &str) -> Value {
    written(chain.execute(request(document, json!({}))).next().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_its_field_in_fragments_too() {
    let Some(chain) = chain().await else { return };
    let head = json!({"data": {"head": {"block": {"num": 4}}}});
    for document in [
        "subscription{head{block{num}}}",
        "subscription{...F} fragment F on Subscription{head{block{num}}}",
        "subscription{...{head{block{num}}}}",
        "subscription{... on Subscription{...F}} fragment F on Subscription{...G} fragment G on Subscription{head{...H}} \
         fragment H on HeadResponse{block{num}}",
        // In pieces, and twice the same.
        "subscription{head{block{num}} ...F} fragment F on Subscription{head{block{num}}}",
    ] {
        assert_eq!(first(&chain, document).await, head, "{document}");
    }
    let pieces = "subscription{own: head{block{num}} ...{own: head{__typename}}}";
    assert_eq!(
        first(&chain, pieces).await["data"],
        json!({"own": {"block": {"num": 4}, "__typename": "HeadResponse"}})
    );
    // A fragment stays that another operation spreads.
    let other = "subscription A{...F} query B{__typename ...G} fragment F on Subscription{head{block{num}}} \
        fragment G on Query{block(num: 3){num}}";
    let named = |name: &str| {
        let request =
            dfuse_query::GraphqlRequest { operation_name: Some(name.to_owned()), ..request(other, json!({})) };
        chain.execute(request)
    };
    assert_eq!(written(named("A").next().await.unwrap()), head);
    assert_eq!(written(named("B").next().await.unwrap())["data"]["block"]["num"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_asks_for_one_field() {
    let Some(chain) = chain().await else { return };
    for (document, message) in [
        ("subscription{a: head{block{num}} b: head{block{num}}}", "at most one subscription"),
        ("subscription{__typename head{block{num}}}", "at most one subscription"),
        ("subscription{head{block{num}} ...F} fragment F on Subscription{other: head{block{num}}}", "at most one"),
        ("subscription{head{block{num}} head(confirmations: 1){block{num}}}", "at most one subscription"),
        ("subscription{head @skip(if: true){block{num}}}", "takes no @skip"),
        ("subscription($no: Boolean = false){... @include(if: $no){head{block{num}}}}", "takes no @skip"),
        ("subscription{...F} fragment F on Query{block(num: 3){num}}", "A fragment on \"Query\""),
        ("subscription{...F}", "Unknown fragment: \"F\""),
        ("subscription{...F} fragment F on Subscription{...F}", "at most 48"),
        ("subscription{head{block{num}}} fragment F on Subscription{head{block{num}}}", "never used"),
        ("subscription{nothing}", "Unknown field"),
    ] {
        let answer = first(&chain, document).await;
        let error = &answer["errors"][0];
        assert!(error["message"].as_str().unwrap().contains(message), "{document}: {answer}");
        let code = if message == "at most 48" { "graphql_too_complex_error" } else { "graphql_validation_error" };
        assert_eq!((&error["extensions"]["code"], answer.get("data")), (&json!(code), None), "{document}");
    }
}

/// Also by a variable's default, and by a value in its place.
#[tokio::test(flavor = "multi_thread")]
async fn directives_leave_out_fields() {
    let Some(chain) = chain().await else { return };
    let document = "query($no: Boolean = false, $yes: Boolean! = true){a: block(num: 2) @include(if: $no){num} \
        b: block(num: 3) @skip(if: $yes){num} c: block(num: 4) @skip(if: $no){num} ...F @include(if: $yes)} \
        fragment F on Query{block(num: 3){num id @skip(if: $yes)}}";
    let block = |number: u32| json!({"num": number});
    for (variables, expected) in [
        (json!({}), json!({"c": block(4), "block": block(3)})),
        (json!({"no": true}), json!({"a": block(2), "block": block(3)})),
        (json!({"no": true, "yes": false}), json!({"a": block(2), "b": block(3)})),
    ] {
        let answer = chain.answer(request(document, variables.clone())).await;
        assert_eq!(answer["data"], expected, "{variables}: {answer}");
    }
    let stream = "subscription($no: Boolean = false){head{block{num id @include(if: $no)}}}";
    assert_eq!(first(&chain, stream).await["data"], json!({"head": {"block": {"num": 4}}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_has_to_have_a_value_takes_with_it_what_is_around() {
    let Some(chain) = chain().await else { return };
    let document = "{a: block(num: 3){num} b: block(num: 99){num}}";
    let answer = chain.answer(request(document, json!({}))).await;
    assert_eq!(answer["data"], json!({"a": {"num": 3}, "b": null}), "{answer}");
    let answer = chain.answer(request("{a: block(num: 3){num} b: blockIDByTime(time: 0){num}}", json!({}))).await;
    assert_eq!((&answer["data"], &answer["errors"][0]["path"]), (&Value::Null, &json!(["b"])), "{answer}");
}
