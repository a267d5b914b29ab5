use std::collections::BTreeMap;

use axum::http::{StatusCode, header};
use serde_json::Value;

use crate::support::{TestChain, assert_promises};

pub(crate) const SMALL: &str = "small/small.dmlog.zst";

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} of {value}"))
}

/// Every text of a JSON value is in the page, escaped as HTML is.
#[track_caller]
pub(crate) fn assert_shows(page: &str, value: &Value) {
    match value {
        Value::String(text) => {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            assert!(page.contains(&escaped), "the page lacks {text}");
        }
        Value::Array(items) => items.iter().for_each(|item| assert_shows(page, item)),
        Value::Object(fields) => fields.values().for_each(|field| assert_shows(page, field)),
        Value::Number(number) => assert!(page.contains(&number.to_string()), "the page lacks {number}"),
        Value::Bool(_) | Value::Null => {}
    }
}

#[tokio::test]
async fn browsers_get_a_page_at_the_root_and_others_what_they_always_got() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let page = chain.page("/").await;
    let blocks = chain.json("/v0/blocks?limit=12").await;
    for block in blocks.as_array().unwrap() {
        assert!(page.contains(&format!("/block/{}", text(block, "/id"))));
    }
    let transactions = chain.json("/v0/transactions?limit=15").await;
    for transaction in transactions["transactions"].as_array().unwrap() {
        assert!(page.contains(&format!("/tx/{}", text(transaction, "/id"))));
    }
    for accept in ["*/*", "application/json"] {
        let answer = chain.request("/", accept).await;
        assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap()["name"], "dfuse");
    }
}

#[tokio::test]
async fn a_block_is_shown_by_number_and_id() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let list = chain.json("/v0/blocks?limit=5&skip=300").await;
    let id = text(&list[0], "/id");
    let block = chain.json(&format!("/v0/blocks/{id}")).await;
    for page in [chain.page("/block/300").await, chain.page(&format!("/block/{id}")).await] {
        assert_shows(&page, &block["header"]["producer"]);
        assert_shows(&page, &block["header"]["previous"]);
        for sibling in block["sibling_blocks"].as_array().unwrap() {
            assert_shows(&page, &sibling["id"]);
        }
        assert!(page.contains("Irreversible"));
    }
}

#[tokio::test]
async fn a_lost_block_is_shown_as_such() {
    let Some(chain) = TestChain::recorded("fork/fork.dmlog.zst").await else { return };
    let mut lost = None;
    let head = chain.json("/v0/blocks?limit=1").await[0]["block_num"].as_u64().unwrap();
    for number in (2..head).step_by(5) {
        let best = chain.json(&format!("/v0/blocks?limit=1&skip={number}")).await;
        let near = chain.json(&format!("/v0/blocks/{}", text(&best[0], "/id"))).await;
        let all = near["sibling_blocks"].as_array().unwrap();
        lost = all
            .iter()
            .find(|it| all.iter().any(|other| other["block_num"] == it["block_num"] && other != *it))
            .cloned();
        if lost.is_some() {
            break;
        }
    }
    let number = lost.expect("the chain has forks")["block_num"].as_u64().unwrap();
    let best = chain.page(&format!("/block/{number}")).await;
    assert!(best.contains("Others of this height"));
    let other = best.split("Others of this height").nth(1).unwrap();
    let other = other.split("/block/").nth(1).unwrap().get(..64).unwrap().to_owned();
    let page = chain.page(&format!("/block/{other}")).await;
    assert!(page.contains("Forked out") && page.contains("Others of this height"));
}

#[tokio::test]
async fn a_transaction_shows_its_actions_and_changes() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let found = chain.json("/v0/search/transactions?q=receiver:eosio.token+action:transfer&limit=5").await;
    for item in found["transactions"].as_array().unwrap() {
        let id = text(item, "/lifecycle/id");
        let lifecycle = chain.json(&format!("/v0/transactions/{id}")).await;
        let page = chain.page(&format!("/tx/{id}")).await;
        for action in lifecycle["execution_trace"]["action_traces"].as_array().unwrap() {
            assert_shows(&page, &action["act"]["data"]);
            assert_shows(&page, &action["act"]["account"]);
        }
        assert_shows(&page, &lifecycle["pub_keys"]);
        assert!(page.contains("Irreversible") && page.contains("Rows that changed") && page.contains("changed"));
        assert!(!page.contains("data-live"), "a final transaction is not followed");
    }
    let unknown = "ab".repeat(32);
    let page = chain.page(&format!("/tx/{unknown}")).await;
    assert!(page.contains("data-live") && page.contains("get_transaction_lifecycle"));
}

/// Where the first link leads that begins and goes on so.
fn link(page: &str, beginning: &str, part: &str) -> String {
    let link = page
        .split("href=\"")
        .skip(1)
        .find(|it| it.starts_with(beginning) && it.split('"').next().unwrap().contains(part));
    link.unwrap_or_else(|| panic!("no link to {beginning}")).split('"').next().unwrap().replace("&amp;", "&")
}

/// Finds an account with a balance of a token: contract, symbol code, account, balance.
async fn a_holder(chain: &TestChain) -> [String; 4] {
    let tokens = chain.json("/v0/tokens").await;
    let token = &tokens["tokens"][0];
    let (contract, symbol) = (text(token, "/contract"), text(token, "/symbol"));
    let holders = chain.json(&format!("/v0/tokens/{contract}/{symbol}/holders")).await;
    let (account, balance) = (text(&holders, "/accounts/0/account"), text(&holders, "/accounts/0/balance"));
    [contract, symbol, account, balance].map(str::to_owned)
}

#[tokio::test]
async fn an_account_shows_what_it_has_now_and_had_earlier() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let [contract, symbol, account, balance] = a_holder(&chain).await;
    let page = chain.page(&format!("/account/{account}")).await;
    let balances = chain.json(&format!("/v0/accounts/{account}/balances")).await;
    for held in balances["balances"].as_array().unwrap() {
        assert_shows(&page, &held["balance"]);
    }
    assert!(page.contains(&balance) && page.contains("owner") && page.contains("active"));
    let history = chain.json(&format!("/v0/accounts/{account}/actions?limit=20")).await;
    for item in history["transactions"].as_array().unwrap() {
        assert_shows(&page, &item["lifecycle"]["id"]);
    }
    // As a reader would: the link to a hundred blocks ago, and there to the rows.
    let earlier = chain.page(&link(&page, "/account/", "block_num=")).await;
    let at = link(&earlier, "/table?", "table=accounts");
    let query = at.split_once('?').unwrap().1;
    let rows = chain.json(&format!("/v0/state/table?{query}&json=true")).await;
    for row in rows["rows"].as_array().unwrap() {
        assert_shows(&earlier, &row["json"]["balance"]);
    }
    let earlier = chain.page(&at).await;
    assert!(!rows["rows"].as_array().unwrap().is_empty());
    for row in rows["rows"].as_array().unwrap() {
        assert_shows(&earlier, &row["json"]);
        assert_shows(&earlier, &row["key"]);
    }
    let of_row = format!("account={contract}&table=accounts&scope={account}&key_type=symbol_code&primary_key={symbol}");
    let page = chain.page(&format!("/table/row?{of_row}")).await;
    let changes = chain.json(&format!("/v0/state/table/row/history?{of_row}&json=true")).await;
    for change in changes["changes"].as_array().unwrap() {
        assert_shows(&page, &change["new"]["json"]);
        assert_shows(&page, &change["trx_ids"]);
    }
}

#[tokio::test]
async fn a_table_shows_its_scopes_and_how_it_changed() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let [contract, _, account, _] = a_holder(&chain).await;
    let page = chain.page(&format!("/table?account={contract}&table=accounts")).await;
    let scopes = chain.json(&format!("/v0/state/table_scopes?account={contract}&table=accounts")).await;
    assert_shows(&page, &scopes["scopes"]);
    let query = format!("account={contract}&table=accounts&scope={account}&from_block=2");
    let page = chain.page(&format!("/table/difference?{query}")).await;
    let difference = chain.json(&format!("/v0/state/table/diff?{query}&json=true")).await;
    assert!(!difference["rows"].as_array().unwrap().is_empty());
    assert_shows(&page, &difference["rows"][0]["new"]["json"]);
}

#[tokio::test]
async fn an_abi_is_documentation() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let page = chain.page("/contract/eosio.token").await;
    let abi = chain.json("/v0/state/abi?account=eosio.token&json=true").await;
    for action in abi["abi"]["actions"].as_array().unwrap() {
        assert_shows(&page, &action["name"]);
    }
    for table in abi["abi"]["tables"].as_array().unwrap() {
        assert_shows(&page, &table["name"]);
    }
}

#[tokio::test]
async fn tokens_and_their_holders_are_listed() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let [contract, symbol, ..] = a_holder(&chain).await;
    let page = chain.page("/tokens").await;
    let tokens = chain.json("/v0/tokens?limit=50").await;
    assert_shows(&page, &tokens["tokens"]);
    let page = chain.page(&format!("/token/{contract}/{symbol}")).await;
    let holders = chain.json(&format!("/v0/tokens/{contract}/{symbol}/holders?limit=50")).await;
    assert_shows(&page, &holders["accounts"]);
    assert!(chain.page(&format!("/tokens?symbol={symbol}")).await.contains(&symbol));
}

#[tokio::test]
async fn the_search_box_understands_what_is_typed() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let [_, symbol, account, _] = a_holder(&chain).await;
    let block = chain.json("/v0/blocks?limit=1&skip=200").await;
    let (block_id, time) = (text(&block[0], "/id"), text(&block[0], "/header/timestamp"));
    let found = chain.json("/v0/search/transactions?q=account:eosio.token+action:transfer&limit=1").await;
    let id = text(&found, "/transactions/0/lifecycle/id");
    let key = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV";
    for (typed, leads) in [
        ("200", format!("/block/{block_id}")),
        (block_id, format!("/block/{block_id}")),
        (time, format!("/block/{block_id}")),
        (id, format!("/tx/{id}")),
        (&id[..20], format!("/tx/{id}")),
        (&account, format!("/account/{account}")),
        (key, format!("/key/{key}")),
        (&symbol, format!("/tokens?symbol={symbol}")),
        (&format!("4,{symbol}"), format!("/tokens?symbol={symbol}")),
    ] {
        let answer = chain.request(&format!("/search?q={typed}"), "text/html").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{typed}: {}", answer.text);
        assert_eq!(answer.headers[header::LOCATION], leads, "{typed}");
        chain.page(&leads).await;
    }
}

#[tokio::test]
async fn a_search_goes_on_with_its_cursor_and_finds_all() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let query = "q=action:transfer&sort=asc&with_reversible=true";
    let mut expected = Vec::new();
    let mut cursor = String::new();
    loop {
        let found = chain.json(&format!("/v0/search/transactions?{query}&limit=100&cursor={cursor}")).await;
        let items = found["transactions"].as_array().unwrap();
        expected.extend(items.iter().map(|item| text(item, "/lifecycle/id").to_owned()));
        cursor = text(&found, "/cursor").to_owned();
        if found["range"]["complete"] == true || expected.len() > 200 {
            break;
        }
    }
    let mut shown = Vec::new();
    let mut next = Some(format!("/search?{query}"));
    while let Some(address) = next.filter(|_| shown.len() < expected.len()) {
        let page = chain.page(&address).await;
        let rows = page.split("<tbody>").nth(1).unwrap_or_default();
        shown.extend(rows.split("href=\"/tx/").skip(1).map(|it| it[..64].to_owned()));
        next =
            page.split("class=\"more\" href=\"").nth(1).map(|it| it.split('"').next().unwrap().replace("&amp;", "&"));
    }
    assert!(!expected.is_empty());
    assert_eq!(shown[..expected.len()], expected[..]);
    let help = chain.page("/search?q=nonsense").await;
    assert!(help.contains("not a query") || help.contains("names nothing"));
}

#[tokio::test]
async fn errors_are_pages_with_their_code() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    for (uri, status, code) in [
        ("/block/999999", StatusCode::NOT_FOUND, "data_block_not_found_error"),
        ("/block/x", StatusCode::BAD_REQUEST, "request_validation_error"),
        ("/account/nobody.here", StatusCode::NOT_FOUND, "data_account_not_found_error"),
        ("/contract/nobody.here", StatusCode::NOT_FOUND, "data_abi_not_found_error"),
        ("/token/eosio.token/NONE", StatusCode::NOT_FOUND, "data_token_not_found_error"),
        ("/table?account=eosio.token&table=none&scope=", StatusCode::NOT_FOUND, "data_table_not_found_error"),
        ("/tx/zz", StatusCode::BAD_REQUEST, "request_validation_error"),
        ("/search?q=action:transfer&cursor=zz", StatusCode::BAD_REQUEST, "request_validation_error"),
    ] {
        let answer = chain.request(uri, "text/html").await;
        assert_eq!(answer.status, status, "{uri}: {}", answer.text);
        assert_promises(uri, &answer.headers, &answer.text);
        assert!(answer.text.contains(code), "{uri}: {}", answer.text);
        assert!(answer.text.contains("As API"), "{uri}");
        // Programs get what they get everywhere.
        let answer = chain.request(uri, "*/*").await;
        assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap()["code"], code, "{uri}");
    }
    // Where there is nothing at all: a page for browsers, but not below addresses of the API.
    for (uri, accept, is_page) in [
        ("/nowhere", "text/html", true),
        ("/nowhere", "application/json", false),
        ("/v0/nowhere", "text/html", false),
        ("/guide/nowhere", "application/json", false),
    ] {
        let answer = chain.request(uri, accept).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{uri}");
        assert!(answer.text.contains("route_not_found_error"), "{uri}: {}", answer.text);
        assert_eq!(answer.text.contains("<!DOCTYPE html>"), is_page, "{uri} {accept}");
    }
}

#[tokio::test]
async fn the_guide_is_there() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let contents = chain.request("/guide", "text/html").await.text;
    let links: Vec<_> = contents.split("href=\"/guide/").skip(1).filter_map(|it| it.split('"').next()).collect();
    assert!(links.len() > 20);
    for name in links {
        let page = chain.request(&format!("/guide/{name}"), "text/html").await;
        assert_eq!(page.status, StatusCode::OK, "{name}");
        assert!(page.text.len() < 100_000 && page.text.matches("<script").count() == 1, "{name}: {}", page.text.len());
    }
    let errors = chain.request("/guide/errors", "text/html").await.text;
    assert!(errors.contains("id=\"data_block_not_found_error\""));
}

#[tokio::test]
async fn an_accounts_history_is_filtered() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let ids = |page: &str| {
        let rows = page.split("id=\"history\"").nth(1).unwrap().split("href=\"/tx/").skip(1);
        rows.map(|it| it[..64].to_owned()).collect::<Vec<_>>()
    };
    for (filter, query) in [
        ("way=to", "data.to:alice notif:false"),
        ("way=from&with=bob", "data.from:alice data.to:bob notif:false"),
        ("way=any&contract=eosio&with=", "(receiver:alice OR auth:alice) account:eosio"),
        ("action=transfer&contract=eosio.token", "(receiver:alice OR auth:alice) account:eosio.token action:transfer"),
        ("way=auth&block_num=200", "auth:alice block_num:1-200"),
    ] {
        let page = chain.page(&format!("/account/alice?{filter}")).await;
        let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let api = format!("/v0/search/transactions?q={query}&sort=desc&with_reversible=true&limit=20");
        let found = chain.json(&api).await;
        let expected = found["transactions"].as_array().unwrap().iter().map(|it| text(it, "/lifecycle/id").to_owned());
        let expected: Vec<_> = expected.collect();
        assert!(!expected.is_empty(), "{filter}");
        assert_eq!(ids(&page), expected, "{filter}");
    }
}

#[tokio::test]
async fn a_search_is_of_a_range_of_blocks() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    for (form, api) in [
        ("sort=desc&start_block=200&block_count=50", "sort=desc&start_block=200&block_count=50"),
        ("sort=asc&start_block=100&block_count=", "sort=asc&start_block=100"),
        ("sort=desc&start_block=&block_count=&with_reversible=false", "sort=desc&with_reversible=false"),
    ] {
        let page = chain.page(&format!("/search?q=action:transfer&{form}")).await;
        let with = if api.contains("reversible") { "" } else { "&with_reversible=true" };
        let found = chain.json(&format!("/v0/search/transactions?q=action:transfer&limit=25&{api}{with}")).await;
        let expected: Vec<_> =
            found["transactions"].as_array().unwrap().iter().map(|it| text(it, "/lifecycle/id")).collect();
        let shown: Vec<_> = page.split("href=\"/tx/").skip(1).map(|it| &it[..64]).collect();
        assert!(!expected.is_empty());
        assert_eq!(shown, expected, "{form}");
        let range = &found["range"];
        assert!(page.contains(&format!("Searched blocks {} to {}", range["from_block"], range["to_block"])), "{form}");
    }
    // The form of an action's field becomes a query.
    let answer =
        chain.request("/search?q=account:eosio.token+action:transfer&field=data.to&value=alice", "text/html").await;
    let leads = answer.headers[header::LOCATION].to_str().unwrap();
    let page = chain.page(leads).await;
    assert!(
        page.contains("account:eosio.token action:transfer data.to:&quot;alice&quot;") && page.contains("href=\"/tx/")
    );
    let contract = chain.page("/contract/eosio.token").await;
    assert!(contract.contains("<option value=\"data.to\">"));
}

#[tokio::test]
async fn the_dashboard_shows_the_state_of_the_server() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let wrong = chain.request("/v0/blocks/00", "application/json").await;
    let trace_id = wrong.headers["x-trace-id"].to_str().unwrap();
    let missing = chain.request("/block/999999", "text/html").await;
    chain.json("/v0/search/transactions?q=action:transfer+data.to:alice&limit=3").await;
    let page = chain.page("/dashboard").await;
    let slow = page.split("id=\"searches\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(slow.contains("action:transfer data.to:alice") && slow.contains("<td class=\"right\">3</td>"), "{slow}");
    let codes = page.split("id=\"codes\"").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(codes.contains("href=\"/guide/errors#data_block_not_found_error\""), "{codes}");
    let health = chain.json("/healthz").await;
    assert_shows(&page, &health["lib"]["num"]);
    assert_shows(&page, &health["head"]["num"]);
    assert_shows(&page, &health["conditions"]);
    for shown in [trace_id, missing.headers["x-trace-id"].to_str().unwrap(), "data_block_not_found_error"] {
        assert!(page.contains(shown), "the dashboard lacks {shown}");
    }
    assert!(page.contains("data-every") && page.contains("data-series=\"Blocks a second\""));
}

#[tokio::test]
async fn who_sent_most_is_summed() {
    let Some(chain) = TestChain::recorded(SMALL).await else { return };
    let query =
        "/v0/search/transactions?q=action:transfer+notif:false+data.to:alice&sort=desc&with_reversible=true&limit=100";
    let found = chain.json(query).await;
    let mut sums = BTreeMap::<(String, String), f64>::new();
    for item in found["transactions"].as_array().unwrap() {
        let mut traces: Vec<_> =
            item["lifecycle"]["execution_trace"]["action_traces"].as_array().unwrap().iter().collect();
        while let Some(trace) = traces.pop() {
            traces.extend(trace["inline_traces"].as_array().into_iter().flatten());
            let (act, data) = (&trace["act"], &trace["act"]["data"]);
            if act["name"] == "transfer" && act["account"] == trace["receiver"] && data["to"] == "alice" {
                let (amount, symbol) = text(data, "/quantity").split_once(' ').unwrap();
                *sums.entry((text(data, "/from").to_owned(), symbol.to_owned())).or_default() +=
                    amount.parse::<f64>().unwrap();
            }
        }
    }
    let page = chain.page("/account/alice/transfers").await;
    assert!(!sums.is_empty());
    for ((from, symbol), sum) in sums {
        let row = page
            .split("<tr>")
            .find(|row| row.contains(&format!(">{from}</a>")) && row.contains(&format!(" {symbol}<")));
        let row = row.unwrap_or_else(|| panic!("no row of {from} and {symbol}"));
        let shown = row.split(&format!(" {symbol}<")).next().unwrap().rsplit('>').next().unwrap();
        assert!((shown.parse::<f64>().unwrap() - sum).abs() < 1e-6, "{from} {symbol}: {shown}, not {sum}");
    }
    let page = chain.page("/account/alice").await;
    assert!(page.contains("/account/alice/transfers"));
    chain.page("/account/alice/transfers?way=from").await;
}
