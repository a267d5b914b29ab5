//! What the original streamed on the same chains.

use std::{collections::BTreeMap, iter};

use dfuse_blocks::BlockRef;
use dfuse_testkit::recorded;
use futures::{StreamExt, stream::BoxStream};
use serde_json::Value;

use crate::{
    replay::{Cursors, differences, reason},
    support::{TestChain, request, written},
};

/// Frames of a recording that carry something.
fn answers(frames: &Value) -> Vec<&Value> {
    let frames = frames.as_array().unwrap().iter();
    frames.filter(|frame| matches!(frame["type"].as_str(), Some("data" | "error"))).map(|it| &it["payload"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_streams() {
    let Some(chain) = TestChain::recorded("small/small.dmlog.zst").await else { return };
    let Some(lines) = recorded::lines("small/graphql/streams.jsonl.gz") else { return };
    let (mut all, mut wrong) = (0, Vec::new());
    for line in lines {
        let line: Value = serde_json::from_slice(&line).unwrap();
        let label = line["label"].as_str().unwrap();
        let query = line["request"]["query"].as_str().unwrap();
        let variables = line["request"]["variables"].clone();
        let mut stream = chain.execute(request(query, variables.clone()));
        all += 1;
        if label == "forward, bad cursor" {
            // F13: the original takes it as none.
            let refused = stream.next().await.unwrap();
            assert!(refused.errors[0].is_terminal(), "{refused:?}");
            assert!(stream.next().await.is_none());
            continue;
        }
        let mut cursors = Cursors::default();
        for theirs in answers(&line["frames"]) {
            let own = written(stream.next().await.unwrap_or_else(|| panic!("{label}: too early an end")));
            if theirs.get("data").is_none() {
                assert!(!own["errors"].is_null(), "{label}: {own}");
                let is_terminal = own["errors"][0]["extensions"]["terminal"] == true;
                assert_eq!(is_terminal, theirs.get("message").is_some(), "{label}: {own}");
                continue;
            }
            assert!(own["errors"].is_null(), "{label}: {own}");
            for (path, theirs, own) in differences(&mut cursors, theirs, &own) {
                if reason(label, &variables.to_string(), &path, &theirs, &own).is_none() {
                    wrong.push(format!("{label}{path}: {theirs} | {own}"));
                }
            }
        }
        let last = line["frames"].as_array().unwrap().last().unwrap();
        if last == "QUIET" {
            // It goes on.
            assert!(futures::FutureExt::now_or_never(stream.next()).is_none(), "{label}");
        } else {
            assert!(stream.next().await.is_none(), "{label}");
        }
    }
    assert_eq!(all, 16);
    assert!(wrong.is_empty(), "{}: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}

/// What a push brought: blocks that joined the best chain, that left it, and that became irreversible.
#[derive(Debug, Default)]
struct Push {
    new: Vec<BlockRef>,
    undone: Vec<BlockRef>,
    irreversible: u32,
}

/// What each push of a recording brings.
async fn pushes(file: &str) -> Option<Vec<Push>> {
    let mut chain = TestChain::new(Box::new(recorded::open(file)?)).await;
    let (mut best, mut pushes) = (Vec::<BlockRef>::new(), Vec::new());
    while chain.grow(1).await == 1 {
        let snapshot = chain.service.chain().serving.snapshot();
        let mut push = Push { irreversible: snapshot.lib().map_or(0, |lib| lib.number), ..Push::default() };
        let on_chain = |block: &BlockRef| dfuse_index::blocks::by_id(snapshot.view(), block.id).unwrap().is_some();
        while let Some(last) = best.last().filter(|last| !on_chain(last)).copied() {
            best.pop();
            push.undone.push(last);
        }
        let from = best.last().map_or(0, |last| last.number + 1);
        let head = snapshot.head().unwrap().number;
        let own = (from..=head).filter_map(|number| dfuse_index::blocks::by_number(snapshot.view(), number).unwrap());
        push.new = own.map(|block| BlockRef { number: block.number, id: block.id }).collect();
        best.extend(&push.new);
        pushes.push(push);
    }
    Some(pushes)
}

/// The push after which a frame comes, from one on.
fn push_of(pushes: &[Push], from: usize, irreversible_only: bool, frame: &Value) -> usize {
    let result = &frame["data"]["searchTransactionsForward"];
    let (id, number) = (result["block"]["id"].as_str().unwrap(), result["block"]["num"].as_u64().unwrap());
    let is_it = |block: &BlockRef| block.id.to_string() == id;
    let brings = |push: &Push| match (irreversible_only, result["undo"].as_bool().unwrap()) {
        (true, _) => u64::from(push.irreversible) >= number,
        (false, false) => push.new.iter().any(is_it),
        (false, true) => push.undone.iter().any(is_it),
    };
    from + pushes[from..].iter().position(brings).unwrap_or_else(|| panic!("nothing brings {frame}"))
}

/// In the order in which we send it: what is undone comes in the order that is opposite to that in which it came (F15).
fn in_our_order(frames: Vec<Value>) -> Vec<Value> {
    let result = |frame: &Value| frame["data"]["searchTransactionsForward"].clone();
    let mut sorted: Vec<Value> = Vec::new();
    let mut run: Vec<Value> = Vec::new();
    for frame in frames.into_iter().map(Some).chain(iter::once(None)) {
        let goes_on = |frame: &Value| {
            let (own, last) = (result(frame), result(run.last().unwrap()));
            own["undo"] == true && own["block"] == last["block"]
        };
        if !run.is_empty() && !frame.as_ref().is_some_and(goes_on) {
            sorted.extend(run.drain(..).rev());
        }
        match frame {
            Some(frame) if result(&frame)["undo"] == true => run.push(frame),
            Some(frame) => sorted.push(frame),
            None => {}
        }
    }
    sorted
}

struct Following {
    label: String,
    stream: BoxStream<'static, dfuse_query::GraphqlResponse>,
    /// What is expected, by the push that brings it.
    frames: BTreeMap<usize, Vec<Value>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn live_streams_through_forks() {
    const OPENED: usize = 70;
    const LOG: &str = "fork/fork.dmlog.zst";
    let Some(lines) = recorded::lines("fork/graphql-live.jsonl.gz") else { return };
    let Some(pushes) = pushes(LOG).await else { return };
    assert_eq!(pushes.iter().filter(|push| !push.undone.is_empty()).count(), 3, "three forks");
    let mut chain = TestChain::new(Box::new(recorded::open(LOG).unwrap())).await;
    assert_eq!(chain.grow(OPENED).await, OPENED);
    let mut all: Vec<_> = lines
        .map(|line| {
            let line: Value = serde_json::from_slice(&line).unwrap();
            let variables = &line["request"]["variables"];
            let irreversible_only = variables["irr"] == true;
            let frames = in_our_order(answers(&line["frames"]).into_iter().cloned().collect());
            let mut by_push: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
            let mut push = 0;
            for frame in frames {
                push = push_of(&pushes, push, irreversible_only, &frame);
                by_push.entry(push.max(OPENED - 1)).or_default().push(frame);
            }
            let query = line["request"]["query"].as_str().unwrap();
            let stream = chain.execute(request(query, variables.clone()));
            Following { label: line["label"].as_str().unwrap().to_owned(), stream, frames: by_push }
        })
        .collect();
    assert_eq!(all.len(), 5);
    let (mut wrong, mut undone) = (Vec::new(), 0);
    for push in OPENED - 1..pushes.len() {
        if push >= OPENED {
            assert_eq!(chain.grow(1).await, 1);
        }
        for following in &mut all {
            for theirs in following.frames.remove(&push).unwrap_or_default() {
                let mut own = written(following.stream.next().await.unwrap());
                let mut theirs = theirs;
                let result = &theirs["data"]["searchTransactionsForward"];
                undone += usize::from(result["undo"] == true);
                // What the first ones knew of irreversibility was the recording's own matter.
                if push < OPENED || result["undo"] == true {
                    for answer in [&mut theirs, &mut own] {
                        let result = answer["data"]["searchTransactionsForward"].as_object_mut().unwrap();
                        result.remove("isIrreversible");
                        result.remove("irreversibleBlockNum");
                    }
                }
                for (path, theirs, own) in differences(&mut Cursors::default(), &theirs, &own) {
                    wrong.push(format!("{} at {push}{path}: {theirs} | {own}", following.label));
                }
            }
        }
    }
    assert!(undone > 100, "{undone}");
    assert!(wrong.is_empty(), "{}: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}
