//! Messages of `/v1/stream`: each type, for every reason to refuse it. What keeps a client from connecting is among the reasons of
//! [`super`].

mod kinds;
mod reasons;

use std::collections::{BTreeMap, BTreeSet};

use dfuse_access::{KeyKind, Mode, NewKey, TierOptions};
use dfuse_api::WebSocketOptions;
use dfuse_query::{ErrorCode, StreamOptions};
use futures::SinkExt;
use kinds::{Kind, kinds};
use reasons::{HISTORY, Reason, Refused};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    access::{Guarded, connect},
    support::{Listening, Options},
    websocket::Client,
};

/// A stream that goes on whatever is refused beside it.
const KEPT: &str = "kept";

/// The codes of chains of which a part is missing, which have tests of their own.
const OF_PARTS: [ErrorCode; 2] = [ErrorCode::NotKept, ErrorCode::StateUnavailable];

/// A server of so many blocks, where everybody needs a token.
async fn server(blocks: usize, options: Options) -> (Guarded, Listening) {
    let tier = |name: &str| TierOptions { name: name.into(), ..TierOptions::default() };
    let tiers = vec![
        TierOptions { history: Some(HISTORY), max_streams: Some(3), ..tier("slow") },
        TierOptions { rate: "1/h".parse().ok(), ..tier("rare") },
        TierOptions { max_streams: Some(0), ..tier("none") },
    ];
    let access = dfuse_access::Options { mode: Mode::Required, tiers, ..dfuse_access::Options::default() };
    let guarded = Guarded::grown(access, options, blocks).await;
    let listening = guarded.chain.listen().await;
    (guarded, listening)
}

fn token_of(guarded: &Guarded, tier: &str) -> String {
    guarded.token_of(NewKey { tier: Some(tier.into()), ..NewKey::new(KeyKind::Server, tier) })
}

/// What was refused so far.
#[derive(Default)]
struct Walk {
    /// The reasons for which each type was refused.
    of_kind: BTreeMap<&'static str, BTreeSet<Reason>>,
    codes: BTreeSet<ErrorCode>,
    /// What was refused otherwise than expected.
    wrong: Vec<String>,
}

impl Walk {
    /// Sends everything that is refused for that reason, over one connection, which lives on.
    async fn of(&mut self, reason: Reason, client: &mut Client) {
        for kind in kinds() {
            for Refused { text, req_id, code, details } in reason.messages(&kind) {
                client.text(&*text).await;
                // That it has the one form, and a trace id of its own, is asserted there.
                let mut found = client.error(&req_id).await;
                // The seconds of the hour that are left.
                if found.0 == ErrorCode::RateLimited && found.1["reset"].take().as_u64() > Some(3600) {
                    self.wrong.push(format!("{reason:?}: {text}: {found:?}"));
                }
                if found != (code, details.clone()) {
                    self.wrong.push(format!("{reason:?}: {text}: {found:?} instead of {code:?} {details}"));
                }
                self.note(reason, &kind, code);
            }
        }
    }

    fn note(&mut self, reason: Reason, kind: &Kind, code: ErrorCode) {
        self.of_kind.entry(kind.name).or_default().insert(reason);
        self.codes.insert(code);
    }

    /// Whoever breaks the protocol of a connection, or may not use it any more, loses it and all its streams.
    async fn ends(&mut self, reason: Reason, client: &mut Client, code: ErrorCode, close: u16) {
        let mut open: BTreeSet<_> = kinds().into_iter().filter(|kind| kind.listened).map(|kind| kind.name).collect();
        while !open.is_empty() {
            let message = client.message().await;
            if message["type"] != "error" {
                continue;
            }
            let kind = kinds().into_iter().find(|kind| message["req_id"] == kind.name).expect("the name of a type");
            assert!(message["data"]["code"] == code.row().code && open.remove(kind.name), "{message}");
            self.note(reason, &kind, code);
        }
        assert_eq!(u16::from(client.closed().await.unwrap().code), close, "{reason:?}");
    }
}

/// Opens a stream of each type, under the name of the type.
async fn open_all(client: &mut Client) {
    for kind in kinds().iter().filter(|kind| kind.listened) {
        client.ask(kind.request(&[("listen", json!(true)), ("req_id", json!(kind.name))])).await;
    }
    // Answers come in any order; what is asked last is answered when all messages are taken.
    client.ask(json!({"type": "none"})).await;
    while client.message().await["type"] != "error" {}
}

/// Of a server that is well, and with limits of the caller.
async fn of_callers(walk: &mut Walk) {
    let options =
        Options { websocket: WebSocketOptions { max_streams: 2, ..Default::default() }, ..Options::default() };
    let (mut guarded, listening) = server(25, options).await;
    let mut client = connect(&listening, &guarded.slow_token()).await.unwrap();
    client.ask(json!({"type": "get_head_info", "req_id": KEPT, "listen": true})).await;
    client.of("head_info", KEPT).await;
    for reason in reasons::OF_MESSAGES.into_iter().chain([Reason::Taken]) {
        walk.of(reason, &mut client).await;
    }
    client.ask(json!({"type": "get_price", "req_id": "second", "listen": true})).await;
    walk.of(Reason::TooManyStreams, &mut client).await;
    client.socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(client.error("").await, (ErrorCode::WsBinaryMessageUnsupported, Value::Null));
    walk.codes.insert(ErrorCode::WsBinaryMessageUnsupported);
    // After all that, the stream that was there before is as it was, and another request is answered.
    client.text(r#"{"type":"pong","data":7}"#).await;
    guarded.chain.grow(1).await;
    client.of("head_info", KEPT).await;
    client.ask(json!({"type": "get_head_info", "fetch": true})).await;
    client.of("head_info", "").await;

    // The connection is the one request of an hour. Ending streams is free, but not for one that asks to end what is not there.
    let mut rare = connect(&listening, &token_of(&guarded, "rare")).await.unwrap();
    walk.of(Reason::TooManyRequests, &mut rare).await;
    rare.socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(rare.error("").await.0, ErrorCode::RateLimited);
    let mut none = connect(&listening, &token_of(&guarded, "none")).await.unwrap();
    walk.of(Reason::TooManyStreamsOfCaller, &mut none).await;

    guarded.chain.store.set_away(true);
    walk.of(Reason::StoreAway, &mut connect(&listening, &guarded.token()).await.unwrap()).await;
    guarded.chain.store.set_away(false);

    let large = json!({"type": "get_head_info", "req_id": "x".repeat(128 << 10), "fetch": true});
    client.ask(large).await;
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1009);
}

/// Of a server that offers no type, and of one without a block.
async fn of_servers(walk: &mut Walk) {
    let disabled_messages = kinds().iter().map(|kind| kind.name.to_owned()).collect();
    let websocket = WebSocketOptions { disabled_messages, ..WebSocketOptions::default() };
    let streams = StreamOptions { max_pending_bytes: 40, ..StreamOptions::default() };
    let query = dfuse_query::Options { streams, ..dfuse_query::Options::default() };
    let (guarded, listening) = server(0, Options { websocket, ..Options::default() }).await;
    walk.of(Reason::NotOffered, &mut connect(&listening, &guarded.token()).await.unwrap()).await;

    let (mut guarded, listening) = server(0, Options { query, ..Options::default() }).await;
    let mut client = connect(&listening, &guarded.token()).await.unwrap();
    walk.of(Reason::NotReady, &mut client).await;
    guarded.chain.grow(usize::MAX).await;
    walk.of(Reason::TooLarge, &mut client).await;
}

/// What ends all streams of a connection, and the connection.
async fn of_ends(walk: &mut Walk) {
    let (mut guarded, listening) = server(5, Options::default()).await;
    let (key, id) = guarded.key(NewKey::new(KeyKind::Server, "a"));
    let token = guarded.gate.issue(&key, None, None).unwrap().unwrap().token;
    let mut revoked = connect(&listening, &token).await.unwrap();
    let mut other = connect(&listening, &guarded.token()).await.unwrap();
    let mut idle = connect(&listening, &guarded.token()).await.unwrap();
    for client in [&mut revoked, &mut other] {
        open_all(client).await;
    }
    guarded.gate.revoke_key(&id).unwrap();
    walk.ends(Reason::Revoked, &mut revoked, ErrorCode::ApiKeyRevoked, 1008).await;
    // Nobody else's: a new block comes to the others.
    guarded.chain.grow(1).await;
    let head = json!(guarded.chain.blocks.last().unwrap().number);
    while other.message().await["data"]["head_block_num"] != head {}
    guarded.gate.set_maintenance(true).unwrap();
    walk.ends(Reason::Maintenance, &mut other, ErrorCode::Maintenance, 1013).await;
    // Who has no stream is told, too.
    assert_eq!(idle.error("").await.0, ErrorCode::Maintenance);
    assert_eq!(u16::from(idle.closed().await.unwrap().code), 1013);
}

/// The codes that docs/websocket.md says messages have.
fn documented() -> BTreeSet<ErrorCode> {
    let text = include_str!("../../../../../docs/websocket.md");
    let (_, errors) = text.split_once("\n## Errors\n").unwrap();
    let (errors, _) = errors.split_once("\n## ").unwrap();
    let rows = errors.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |").map(|(codes, _)| codes));
    let codes = rows.flat_map(|codes| codes.split(", ").map(|code| code.trim_matches('`').to_owned()));
    codes
        .map(|code| *ErrorCode::ALL.iter().find(|known| known.row().code == code).expect("a code of the table"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_refused_in_one_form() {
    let mut walk = Walk::default();
    of_callers(&mut walk).await;
    of_servers(&mut walk).await;
    of_ends(&mut walk).await;
    assert!(walk.wrong.is_empty(), "{}", walk.wrong.join("\n"));

    // All types that there are, each for whatever it can be refused for.
    let all: BTreeSet<_> = dfuse_api::stream_message_types().into_iter().chain(["unlisten"]).collect();
    assert_eq!(walk.of_kind.keys().copied().collect::<BTreeSet<_>>(), all);
    for kind in kinds() {
        let expected: BTreeSet<_> = Reason::ALL.into_iter().filter(|reason| reason.is_of(&kind)).collect();
        assert_eq!(walk.of_kind[kind.name], expected, "{}", kind.name);
    }
    walk.codes.extend(OF_PARTS);
    assert_eq!(walk.codes, documented());
}
