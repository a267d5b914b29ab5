use std::{sync::Arc, sync::LazyLock, time::Duration};

use dfuse_blocks::{
    BlockStore, CursorKey, StoreOptions, SystemClock, SystemEntropy,
    feed::{Feed, FeedOptions},
};
use dfuse_graphql::{Executor, Limits, read_socket_message};
use dfuse_index::{Index, Pipeline, abi::Abis, accounts::Accounts, blocks::Blocks, keyspaces};
use dfuse_kv::MemoryStore;
use dfuse_query::{
    Caller, Chain, Client, GraphqlExecutor, GraphqlOperation, GraphqlRequest, OpenAccess, Options, Service, TraceIds,
};
use dfuse_search::SearchIndex;
use dfuse_trx::{ForkedTransactions, Transactions};
use futures::StreamExt;
use tokio::{runtime::Runtime, time::timeout};

/// How long a subscription is listened to: of a chain without blocks most say nothing.
const LISTENED: Duration = Duration::from_millis(50);

/// What executes documents over a chain that has no block yet.
struct Server {
    runtime: Runtime,
    executor: Executor,
    trace_ids: TraceIds,
    _feed: Feed,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let clock = Arc::new(SystemClock::new());
    let files = BlockStore::open("memory://", StoreOptions::default()).unwrap();
    let opened = Feed::open(files, CursorKey::new([7; 32]), FeedOptions::default(), &*clock);
    let (feed, _) = runtime.block_on(opened).unwrap();
    let search = Arc::new(SearchIndex::default());
    let mut indexes: Vec<Arc<dyn Index>> =
        vec![Arc::new(Blocks), Arc::new(Abis), Arc::new(Accounts), Arc::new(Transactions), search.clone()];
    indexes.extend(dfuse_state::indexes());
    let store = Arc::new(MemoryStore::new(&keyspaces(&indexes)));
    let pipeline = Pipeline::open(store, None, indexes, dfuse_index::Options::default()).unwrap();
    let chain = Chain {
        serving: pipeline.serving().clone(),
        feed: feed.handle(),
        forked: Arc::new(ForkedTransactions::new()),
        search,
        chain_id: None,
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy),
    };
    let trace_ids = TraceIds::new(chain.entropy.clone(), clock);
    let service = Service::new(chain, Arc::new(OpenAccess), Options::default());
    Server { runtime, executor: Executor::new(service, Limits::default()), trace_ids, _feed: feed }
});

/// A document, alone or in the JSON of a request: it is answered, and what is wrong with it has a code and a message.
pub fn graphql_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let message = format!(r#"{{"type":"start","payload":{text}}}"#);
    let request = read_socket_message(&message).ok().flatten();
    execute(request.unwrap_or_else(|| GraphqlRequest { query: text.to_owned(), ..GraphqlRequest::default() }));
}

/// A message of a client over WebSocket: it is read, or refused with a reason; its document is executed.
pub fn graphql_message(data: &[u8]) {
    // What is no UTF-8 is refused by the connection.
    let Ok(text) = std::str::from_utf8(data) else { return };
    match read_socket_message(text) {
        Ok(Some(request)) => execute(request),
        Ok(None) => {}
        Err(reason) => assert!(!reason.is_empty()),
    }
}

fn execute(request: GraphqlRequest) {
    let Server { runtime, executor, trace_ids, .. } = &*SERVER;
    let operation = executor.operation(&request);
    runtime.block_on(async {
        let mut answers = executor.execute(request, Caller::unrestricted(Client::default()), trace_ids.next());
        let answer = match operation {
            Ok(GraphqlOperation::Subscription) => timeout(LISTENED, answers.next()).await.ok().flatten(),
            _ => Some(answers.next().await.expect("an answer")),
        };
        let Some(answer) = answer else { return };
        assert!(answer.data.is_some() || !answer.errors.is_empty());
        if let Some(data) = answer.data {
            serde_json::from_str::<serde_json::Value>(&data).expect("data is JSON");
        }
        for error in answer.errors {
            assert!(error.extensions["code"].is_string() && error.message.contains("(trace_id: "), "{error:?}");
            // No document makes a fault.
            assert_ne!(error.extensions["code"], "unexpected_error", "{error:?}");
        }
    });
}
