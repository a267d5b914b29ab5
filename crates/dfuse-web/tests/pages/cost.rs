//! A page reads no more than the requests whose answers it shows.

use std::{slice::from_ref, sync::atomic::Ordering};

use crate::{
    support::TestChain,
    walk::{SMALL, text},
};

/// Beyond what the requests read: the account of a name, the head's block, what a link is made of.
const MORE: u64 = 60;

async fn reads(chain: &TestChain, requests: &[String]) -> u64 {
    chain.reads.store(0, Ordering::Relaxed);
    for request in requests {
        let accept = if request.starts_with("/v0") { "application/json" } else { "text/html" };
        let answer = chain.request(request, accept).await;
        assert!(answer.status.is_success() || request.contains("row?"), "{request}: {}", answer.text);
    }
    chain.reads.load(Ordering::Relaxed)
}

#[tokio::test]
async fn pages_read_what_the_api_reads() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let block = chain.json("/v0/blocks?limit=1&skip=200").await;
    let block = text(&block[0], "/id");
    let found = chain.json("/v0/search/transactions?q=action:transfer+data.to:alice&limit=1").await;
    let transaction = text(&found, "/transactions/0/lifecycle/id");
    let rows = "account=eosio.token&table=accounts&scope=alice&block_num=200";
    let kept = |table: &str, scope: &str| {
        format!("/v0/state/table/row?account=eosio&table={table}&scope={scope}&primary_key=alice&json=true")
    };
    let account = [
        "/v0/simple_search?q=alice".to_owned(),
        "/v0/accounts/alice/balances?with_staked=true".to_owned(),
        "/v0/accounts/alice/actions?limit=20".to_owned(),
        "/v0/state/permission_links?account=alice".to_owned(),
        kept("userres", "alice"),
        kept("delband", "alice"),
        kept("refunds", "alice"),
        kept("voters", "eosio"),
    ];
    let search = "/v0/search/transactions?q=action:transfer&limit=25&sort=desc&with_reversible=true";
    for (page, requests) in [
        (
            "/".to_owned(),
            ["/v0/blocks?limit=100", "/v0/blocks?limit=20", "/v0/transactions?limit=15"].map(str::to_owned).to_vec(),
        ),
        (
            format!("/block/{block}"),
            vec![format!("/v0/blocks/{block}"), format!("/v0/blocks/{block}/transactions?limit=25")],
        ),
        (format!("/tx/{transaction}"), vec![format!("/v0/transactions/{transaction}")]),
        ("/account/alice".to_owned(), account.to_vec()),
        (format!("/table?{rows}"), vec![format!("/v0/state/table?{rows}&json=true&limit=25")]),
        ("/contract/eosio.token".to_owned(), vec!["/v0/state/abi?account=eosio.token&json=true".to_owned()]),
        ("/search?q=action:transfer".to_owned(), vec![search.to_owned()]),
        ("/tokens".to_owned(), vec!["/v0/tokens?limit=50".to_owned()]),
    ] {
        // ABIs are parsed once.
        reads(&chain, &[&requests[..], from_ref(&page)].concat()).await;
        let (of_page, of_requests) = (reads(&chain, from_ref(&page)).await, reads(&chain, &requests).await);
        println!("{page}: {of_page} reads, {of_requests} of its requests");
        assert!(
            of_page > 0 && of_page <= of_requests + MORE,
            "{page}: {of_page} reads, and {of_requests} of {requests:?}"
        );
    }
}
