use std::sync::Arc;

use dfuse_antelope::{Name, model::Block};
use dfuse_query::OpenAccess;

use crate::support::TestChain;

const MARKUP: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{202e}\u{0}\u{1b}[31m\u{200b}";

/// The bytes of a transfer with that memo in place of its own.
fn with_memo(data: &[u8], memo: &str) -> Vec<u8> {
    let mut changed = data[..32].to_vec();
    let mut length = memo.len();
    while length >= 0x80 {
        changed.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    changed.push(length as u8);
    changed.extend_from_slice(memo.as_bytes());
    changed
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

#[tokio::test]
async fn markup_and_control_characters_are_text() {
    let Some(pages) = pages_with(MARKUP).await else { return };
    for page in pages {
        assert!(!page.contains("<script>alert") && !page.contains("<img"));
        assert!(!page.chars().any(|it| matches!(it, '\u{202e}' | '\0' | '\u{1b}' | '\u{200b}')));
        for part in ["&lt;script&gt;alert(1)&lt;/script&gt;", "U+202E", "U+0000", "U+001B", "U+200B"] {
            assert!(page.contains(part), "the page lacks {part}");
        }
    }
}

#[tokio::test]
async fn a_huge_memo_is_cut_with_a_link_to_the_whole() {
    let memo: &'static str = "é".repeat(50_000).leak();
    let Some(pages) = pages_with(memo).await else { return };
    assert!(pages[0].contains("all 100000 bytes") && pages[0].contains("class=\"rest\" href=\"/v0/transactions/"));
}
