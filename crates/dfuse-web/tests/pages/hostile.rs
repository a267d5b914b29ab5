use std::sync::Arc;

use dfuse_antelope::{Name, abi::Abi, model::Block};
use dfuse_query::OpenAccess;

use crate::support::TestChain;

const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}\u{0}\u{1b}[31m\u{200b}";

/// Bytes with those that tell their length behind others.
fn with_length(mut before: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    while length >= 0x80 {
        before.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    before.push(length as u8);
    before.extend_from_slice(bytes);
    before
}

/// The bytes of a transfer with that memo in place of its own.
fn with_memo(data: &[u8], memo: &str) -> Vec<u8> {
    with_length(data[..32].to_vec(), memo.as_bytes())
}

/// Gives the token contract an ABI whose names mean harm, one of them very long.
fn change_abi(block: &mut Block) {
    let traces = block.unfiltered_transaction_traces.iter_mut().flat_map(|trace| &mut trace.action_traces);
    for trace in traces.filter(|trace| trace.action.name == Name::literal("setabi")) {
        let data = trace.action.raw_data.to_vec();
        if data[..8] != Name::literal("eosio.token").0.to_le_bytes() {
            continue;
        }
        let length = data[8..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let mut abi = Abi::from_bytes(&data[8 + length..]).unwrap();
        let hostile = |name: &mut String| *name = format!("{MARKUP}{name}");
        for of in &mut abi.structs {
            hostile(&mut of.name);
            of.fields.iter_mut().for_each(|field| hostile(&mut field.name));
        }
        abi.structs.iter_mut().find(|it| it.name.ends_with("retire")).unwrap().fields[0].name = "<b>".repeat(40_000);
        abi.actions.iter_mut().for_each(|action| {
            hostile(&mut action.type_name);
            hostile(&mut action.ricardian_contract);
        });
        abi.tables.iter_mut().for_each(|table| hostile(&mut table.type_name));
        trace.action.raw_data = with_length(data[..8].to_vec(), &abi.to_bytes()).into();
    }
}

fn change(block: &mut Block, memo: &str) {
    let traces = block.unfiltered_transaction_traces.iter_mut().flat_map(|trace| &mut trace.action_traces);
    for trace in traces.filter(|trace| trace.action.name == Name::literal("transfer")) {
        if trace.action.account == Name::literal("eosio.token") && trace.action.raw_data.len() > 32 {
            trace.action.raw_data = with_memo(&trace.action.raw_data, memo).into();
            trace.console = memo.to_owned();
        }
    }
}

/// Pages with a memo: the transaction, and lists that it is in.
async fn pages_with(memo: &'static str) -> Option<Vec<String>> {
    let chain = TestChain::of("small/small.dmlog.zst", Arc::new(OpenAccess), move |block| change(block, memo)).await?;
    let query = "/v0/search/transactions?q=receiver:eosio.token+action:transfer&limit=1&sort=desc&with_reversible=true";
    let found = chain.json(query).await;
    let id = found["transactions"][0]["lifecycle"]["id"].as_str().unwrap().to_owned();
    let list = chain.page("/search?q=receiver:eosio.token+action:transfer").await;
    Some(vec![chain.page(&format!("/tx/{id}")).await, list])
}

/// What means harm is there, as text.
#[track_caller]
fn assert_harmless(page: &str) {
    assert!(!page.contains("<script>alert") && !page.contains("<img") && !page.contains("<b>"));
    assert!(!page.chars().any(|it| matches!(it, '\u{202e}' | '\0' | '\u{1b}' | '\u{200b}')));
    for part in ["&lt;script&gt;alert(1)&lt;/script&gt;", "U+202E", "U+0000", "U+001B", "U+200B"] {
        assert!(page.contains(part), "the page lacks {part}");
    }
}

#[tokio::test]
async fn markup_and_control_characters_are_text() {
    let Some(pages) = pages_with(MARKUP).await else { return };
    pages.iter().for_each(|page| assert_harmless(page));
}

#[tokio::test]
async fn names_of_an_abi_are_text() {
    let Some(chain) = TestChain::of("small/small.dmlog.zst", Arc::new(OpenAccess), change_abi).await else { return };
    let found = chain.json("/v0/search/transactions?q=account:eosio.token+action:transfer&limit=1&sort=desc").await;
    let id = found["transactions"][0]["lifecycle"]["id"].as_str().unwrap();
    let rows = "account=eosio.token&table=accounts&scope=alice";
    for uri in [
        "/contract/eosio.token",
        &format!("/tx/{id}"),
        &format!("/table?{rows}"),
        &format!("/table/difference?{rows}&from_block=100"),
        &format!("/table/row?{rows}&key_type=symbol_code&primary_key=SYS"),
        "/search?q=account:eosio.token+action:transfer",
    ] {
        assert_harmless(&chain.page(uri).await);
    }
    let page = chain.page("/contract/eosio.token").await;
    assert!(page.contains(&"&lt;b&gt;".repeat(30)) && !page.contains(&"&lt;b&gt;".repeat(200)), "a long name is cut");
}

#[tokio::test]
async fn what_is_asked_is_text() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let typed: String = form_urlencoded::byte_serialize(format!("data.memo:'{MARKUP}").as_bytes()).collect();
    for uri in [format!("/search?q={typed}"), format!("/search?q=action:transfer&field={typed}&value={typed}")] {
        let answer = chain.request(&uri, "text/html").await;
        assert!(!answer.text.contains("<script>alert") && !answer.text.contains("<img"), "{uri}");
    }
    let long = "x".repeat(5000);
    for uri in [format!("/search?q={long}"), format!("/account/{long}"), format!("/tx/{long}"), format!("/{long}")] {
        let answer = chain.request(&uri, "text/html").await;
        assert!(answer.status.is_client_error() && answer.text.len() < 20_000, "{}", answer.text.len());
    }
}

#[tokio::test]
async fn a_huge_memo_is_cut_with_a_link_to_the_whole() {
    let memo: &'static str = "é".repeat(50_000).leak();
    let Some(pages) = pages_with(memo).await else { return };
    assert!(pages[0].contains("all 100000 bytes") && pages[0].contains("class=\"rest\" href=\"/v0/transactions/"));
}
