//! A recorded chain, and a server of its pages and of the API.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Request, StatusCode, header, request::Builder},
};
use dfuse_antelope::model::{Block, wire::ReverseWriter};
use dfuse_blocks::{
    BlockStore, CursorKey, EncodedBlock, StoreOptions, SystemClock, SystemEntropy,
    feed::{Feed, FeedOptions, Keeper},
};
use dfuse_deep_mind::{Event, Reader};
use dfuse_http::{Api, Server};
use dfuse_index::{Index, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, follow_feed, keyspaces};
use dfuse_kv::MemoryStore;
use dfuse_query::{Access, Chain, OpenAccess, Service};
use dfuse_search::SearchIndex;
use dfuse_testkit::recorded;
use dfuse_trx::{ForkedTransactions, Transactions};
use futures::channel::mpsc;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::task::{JoinHandle, yield_now};

use crate::counting::{Counting, Reads};

/// A chain and its server.
pub(crate) struct TestChain {
    server: Server,
    /// What was read of the store.
    pub(crate) reads: Reads,
    follower: JoinHandle<()>,
    _keeper: Keeper,
}

impl Drop for TestChain {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl TestChain {
    /// Of a recorded log, to its end; none without the file.
    pub(crate) async fn recorded(file: &str) -> Option<Self> {
        Self::of(file, Arc::new(OpenAccess), |_| ()).await
    }

    /// The same for whoever `access` lets in, of blocks that are changed before they come.
    pub(crate) async fn of(file: &str, access: Arc<dyn Access>, change: impl Fn(&mut Block)) -> Option<Self> {
        let mut reader = Reader::new(recorded::open(file)?);
        let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
        let opened = Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &SystemClock::new()).await;
        let (mut feed, keeper) = opened.unwrap();
        let search = Arc::new(SearchIndex::default());
        let mut indexes: Vec<Arc<dyn Index>> =
            vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions), search.clone()];
        indexes.extend(dfuse_state::indexes());
        let reads = Reads::default();
        let store = Arc::new(Counting(MemoryStore::new(&keyspaces(&indexes)), reads.clone()));
        let pipeline = Pipeline::open(store, None, indexes, dfuse_index::Options::default()).unwrap();
        let forked = Arc::new(ForkedTransactions::new());
        let chain = Chain {
            serving: pipeline.serving().clone(),
            feed: feed.handle(),
            forked: forked.clone(),
            search,
            chain_id: None,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
        };
        let (dumps, coming) = mpsc::unbounded();
        let handle = feed.handle();
        let follower = tokio::spawn(async move {
            follow_feed(pipeline, &handle, coming, &*forked, std::future::pending()).await.unwrap();
        });
        let api = Api::new(Service::new(chain, access, query_options()), dfuse_http::Options::default());
        let rest = dfuse_api::Endpoints::new(&api, dfuse_api::Options::default());
        let pages = dfuse_web::Endpoints::new(&api, dfuse_web::Options::default());
        let server = Server::new(api, [rest.routes(), pages.routes()]);
        while let Some(event) = reader.next_event().unwrap() {
            match event {
                Event::Block(mut block) => {
                    change(&mut block);
                    let encoded = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
                    feed.push_decoded(encoded, Arc::from(block)).await.unwrap();
                }
                Event::AbiDump(dump) => dumps.unbounded_send(dump).unwrap(),
                Event::SwitchFork { .. } => {}
            }
        }
        let serving = server.api().chain().serving.clone();
        while serving.snapshot().head() != feed.handle().head() {
            assert!(!follower.is_finished());
            yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(Self { server, reads, follower, _keeper: keeper })
    }

    pub(crate) async fn request(&self, uri: &str, accept: &str) -> Answer {
        self.send(Request::get(uri).header(header::ACCEPT, accept)).await
    }

    /// The same with another header.
    pub(crate) async fn request_with(&self, uri: &str, accept: &str, (name, value): (HeaderName, &str)) -> Answer {
        self.send(Request::get(uri).header(header::ACCEPT, accept).header(name, value)).await
    }

    async fn send(&self, request: Builder) -> Answer {
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = self.server.handle(request).await.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// A page, which is there and keeps the promises of all pages.
    #[track_caller]
    pub(crate) fn page(&self, uri: &str) -> impl Future<Output = String> {
        let uri = uri.to_owned();
        async move {
            let Answer { status, headers, text } = self.request(&uri, "text/html").await;
            assert_eq!(status, StatusCode::OK, "{uri}: {text}");
            assert_promises(&uri, &headers, &text);
            text
        }
    }

    /// What the API answers.
    pub(crate) async fn json(&self, uri: &str) -> Value {
        let Answer { status, text, .. } = self.request(uri, "application/json").await;
        assert_eq!(status, StatusCode::OK, "{uri}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

/// Every search counts as a slow one.
fn query_options() -> dfuse_query::Options {
    dfuse_query::Options { slow_search: Duration::ZERO, ..dfuse_query::Options::default() }
}

/// What holds for every page.
pub(crate) fn assert_promises(uri: &str, headers: &HeaderMap, text: &str) {
    assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8", "{uri}");
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{uri}: {policy}");
    assert!(text.len() < 100_000, "{uri}: {} bytes", text.len());
    for part in [" onclick", " style=", "<style", "\"javascript:"] {
        assert!(!text.contains(part), "{uri} has {part}");
    }
    for attribute in ["href=\"", "src=\"", "action=\""] {
        for address in text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(address.starts_with(['/', '#']) && !address.starts_with("//"), "{uri} leads to {address}");
        }
    }
    assert_eq!(text.matches("<script").count(), 1, "{uri}");
}
