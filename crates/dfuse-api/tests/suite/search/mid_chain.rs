//! Searches of indexes that begin in the middle of a chain: data that could not be decoded is not denied.

use bytes::Bytes;
use dfuse_antelope::{AbiDump, abi::Abi, raw::Writer};
use dfuse_testkit::Random;
use serde_json::{Value, json};

use super::{Scanner, encode};
use crate::{
    state::made::{Maker, name},
    support::TestChain,
};

const FIRST: u32 = 250;

/// The ABI of a contract with the action `do`, which has a name `to`.
fn abi() -> Bytes {
    let abi: Abi = serde_json::from_value(json!({
        "version": "eosio::abi/1.1",
        "structs": [{"name": "do", "base": "", "fields": [{"name": "to", "type": "name"}]}],
        "actions": [{"name": "do", "type": "do"}],
    }))
    .unwrap();
    abi.to_bytes().into()
}

fn act(maker: &mut Maker, contract: &str) {
    let mut data = Writer::new();
    data.name(name("bob"));
    maker.action_of(contract, "do", data);
}

fn create(maker: &mut Maker, account: &str) {
    let mut data = Writer::new();
    ["eosio", account].into_iter().for_each(|it| data.name(name(it)));
    maker.action("newaccount", data);
}

/// Blocks 250 to 252, all but the last irreversible: `old` was there before, `set` got its ABI in block 251, `made` was
/// created in block 250.
async fn late_chain(dump: Option<AbiDump>) -> TestChain {
    let mut chain = TestChain::made_from(FIRST).await;
    let mut maker = Maker::after(FIRST - 1);
    if let Some(dump) = dump {
        chain.tell_abis(dump);
    }
    create(&mut maker, "made");
    maker.abi("made", &abi());
    ["old", "set", "made"].into_iter().for_each(|contract| act(&mut maker, contract));
    chain.push(maker.block(0xaa, FIRST - 1)).await;
    maker.abi("set", &abi());
    chain.push(maker.block(0xaa, FIRST)).await;
    ["old", "set", "made"].into_iter().for_each(|contract| act(&mut maker, contract));
    chain.push(maker.block(0xaa, FIRST + 1)).await;
    chain
}

async fn both(chain: &TestChain, query: &str, more: &str) -> [Value; 2] {
    let query = format!("q={}&with_reversible=true{more}", encode(query));
    let count = chain.get(&format!("/v0/search/count?{query}")).await.json();
    [count, chain.get(&format!("/v0/search/transactions?{query}")).await.json()]
}

/// What an answer says of its coverage.
fn coverage(answer: &Value) -> (Option<u64>, Option<bool>) {
    (answer["state_from_block"].as_u64(), answer["complete"].as_bool())
}

#[tokio::test]
async fn data_of_older_contracts_may_be_missing() {
    let chain = late_chain(None).await;
    for (query, actions) in [
        ("data.to:bob", 3),
        ("action:do -data.to:bob", 3),
        ("account:old data.to:bob", 0),
        ("account:set data.to:bob", 1),
        ("account:[set, made] data.to:bob", 3),
        ("account:old OR data.to:*", 5),
    ] {
        let [count, page] = both(&chain, query, "").await;
        assert_eq!(coverage(&count), (Some(FIRST.into()), Some(false)), "{query}: {count}");
        assert_eq!(coverage(&page), (Some(FIRST.into()), Some(false)), "{query}: {page}");
        assert_eq!(count["actions"], actions, "{query}");
        // All blocks were searched.
        assert_eq!([&count["range"]["complete"], &page["range"]["complete"]], [true, true], "{query}");
    }
    // Nothing decoded, a contract that came since, and an ABI that was set before the first block that is searched.
    for (query, more, actions) in [
        ("action:do", "", 6),
        ("account:old action:do", "", 2),
        ("account:made data.to:bob", "", 2),
        ("account:set data.to:bob", "&start_block=252", 1),
        ("account:[set, made] -data.to:bob", "&start_block=252", 0),
    ] {
        let [count, page] = both(&chain, query, more).await;
        assert_eq!(coverage(&count), (None, Some(true)), "{query}: {count}");
        assert_eq!(coverage(&page), (None, None), "{query}: {page}");
        assert_eq!(count["actions"], actions, "{query}");
    }
}

/// A node that tells the ABIs of all contracts when it starts leaves nothing unknown.
#[tokio::test]
async fn abis_that_the_node_told_are_known() {
    let abis = ["eosio", "old"].map(|account| (name(account), abi())).into_iter().collect();
    let chain = late_chain(Some(AbiDump { block_num: FIRST - 1, abis, ..AbiDump::default() })).await;
    for (query, actions) in [("data.to:bob", 5), ("account:old data.to:bob", 2)] {
        let [count, page] = both(&chain, query, "").await;
        assert_eq!((coverage(&count), coverage(&page)), ((None, Some(true)), (None, None)), "{query}");
        assert_eq!(count["actions"], actions, "{query}");
    }
}

/// Compares what a chain finds whose log begins with that block with what the whole one finds there.
async fn compare(log: &str, first: u32) -> Option<()> {
    let (whole, late) = (TestChain::recorded(log).await?, TestChain::recorded_from(log, first).await?);
    let mut scanner = Scanner::default();
    scanner.follow(&whole);
    let (vocabulary, mut random) = (scanner.vocabulary(), Random::new(5));
    let (mut complete, mut short) = (0, 0);
    for _ in 0..300 {
        let query = vocabulary.query(&mut random, 2).text();
        let path = format!("/v0/search/count?q={}&start_block={first}&with_reversible=true", encode(&query));
        let answer = whole.get(&path).await;
        if answer.status != 200 {
            continue;
        }
        let (expected, found) = (answer.json(), late.get(&path).await.json());
        assert_eq!(coverage(&expected), (None, Some(true)), "{query}");
        match coverage(&found) {
            (None, Some(true)) => {
                assert_eq!(found["actions"], expected["actions"], "{query}");
                complete += 1;
            }
            said => {
                assert_eq!(said, (Some(first.into()), Some(false)), "{query}");
                short += u32::from(found["actions"] != expected["actions"]);
            }
        }
    }
    assert!(complete > 20 && short > 20, "{log}: {complete} complete, {short} short");
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_chains_from_their_middle_on() {
    for (log, first) in [("small/small.dmlog.zst", 70), ("fork/fork.dmlog.zst", 50)] {
        if compare(log, first).await.is_none() {
            return;
        }
    }
}
