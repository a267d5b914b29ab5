//! The sections of the settings, but those of access and of supervised nodes.

use std::collections::BTreeSet;

use dfuse_search::SYSTEM_ACTIONS;
use serde::{Deserialize, Serialize};

use super::section::section;

section! {
    /// The files of blocks, and the blocks in memory.
    pub(crate) struct Blocks in "blocks."
    with feed = dfuse_blocks::feed::FeedOptions::default();
    {
        /// Directory of the block files, or the URL of an object store where dfuse is built with the feature aws, gcp or
        /// azure. Not set: blocks in the data directory
        store: Option<String> = None,
        /// Number of the first block of the chain's history that a node can give
        first_block: u32 = feed.first_streamable,
        /// Memory for encoded blocks at the chain's end; others are read from files
        memory_mib: usize = feed.memory_bytes >> 20,
        /// Blocks below the last irreversible one for which forked blocks are kept
        keep_forked: u32 = feed.keep_forked,
        /// Have the operating system write every block file to the disk before it counts as written. Without it a power cut
        /// may lose the files of the last seconds; a killed process loses nothing either way
        fsync: bool = false,
    }
}

section! {
    /// The store of the indexes.
    pub(crate) struct Index in "index."
    {
        /// Memory for what reversible blocks write into the indexes; more goes to disk
        memory_mib: usize = dfuse_index::Options::default().overlay_bytes >> 20,
        /// Memory for what is read from the indexes
        cache_mib: u64 = dfuse_kv::EngineOptions::default().cache_bytes >> 20,
        /// Have the operating system write every commit of the indexes to the disk. Without it a power cut loses the last
        /// commits, which are made again from the block files
        fsync: bool = false,
    }
}

section! {
    /// What the index of actions has.
    pub(crate) struct Search in "search."
    {
        /// Which fields of the data of actions are indexed, each with all that is in it: names, with commas or blanks
        /// between them, or * for all. The index must be built anew when anything in this section changes: dfuse tools
        /// reindex search
        data_fields: String = "*".to_owned(),
        /// Index the digest of every action, some 20 bytes each
        act_digest: bool = false,
        /// The action by which contracts tell of events, as contract:action, for instance dfuseiohooks:event. Not set: none
        events: Option<String> = None,
        /// Index events of any length and number of keys
        unrestricted_events: bool = false,
        /// Actions that are indexed: a CEL expression over receiver, account, action, auth, data and others, or several
        /// from certain blocks on; see docs/search.md
        include: String = "*".to_owned(),
        /// Actions that are not indexed although they are included: the same
        exclude: String = String::new(),
        /// System actions that pass filters in any case: the same. For searching it matters whether eosio:setabi is among
        /// them
        system: String = SYSTEM_ACTIONS.to_owned(),
    }
}

section! {
    /// The HTTP server, and reads from the indexes.
    pub(crate) struct Http in "http."
    with http = dfuse_http::Options::default();
    with query = dfuse_query::Options::default();
    {
        /// Most connections at a time. When one more comes, the one that has been idle longest is closed; if all are at
        /// work, it waits. Fewer where the limit of open files allows fewer
        max_connections: usize = http.max_connections,
        /// Most bytes of a request's header, path and query included
        max_header_bytes: usize = http.max_header_bytes,
        /// Most bytes of a request's body
        max_body_bytes: usize = http.max_body_bytes,
        /// Most bytes of the bodies of all requests that are being read; more wait, and are refused with Retry-After after
        /// half of the time for a body. A client may have half of them
        max_bodies_bytes: usize = http.max_bodies_bytes,
        /// How long the header of a request may take, and a connection may be idle
        header_timeout_seconds: u64 = http.header_timeout.as_secs(),
        /// How long the body of a request may take
        body_timeout_seconds: u64 = http.body_timeout.as_secs(),
        /// How long the server may take for one answer
        read_timeout_seconds: u64 = query.read_timeout.as_secs(),
        /// Look-ups that read from the indexes at a time, and as many lists, and as many searches; more wait for their
        /// turn. Not set: two for each core
        readers: Option<usize> = None,
        /// Most requests of each kind that wait for their turn to read; more are refused with Retry-After, and so is what
        /// could not begin within half of the time for an answer
        max_waiting_reads: usize = query.max_waiting_reads,
        /// Of them, most of one address or IPv6 /64 network. Behind a proxy all clients have the proxy's address: raise it
        /// there
        max_waiting_reads_per_client: usize = query.max_waiting_reads_of_client,
        /// How long requests at work may go on when the process is told to stop
        shutdown_grace_seconds: u64 = http.shutdown_grace.as_secs(),
        /// From which age of the head block on /healthz says that the server is not ready. Not set: never
        max_head_age_seconds: Option<u64> = query.max_head_age.map(|age| age.as_secs()),
        /// How long a client may take nothing of a long answer before it is given up
        client_timeout_seconds: u64 = http.client_timeout.as_secs(),
        /// A secret with which an answer is proven to clients that ask for X-Data-Integrity-Proof. Not set: no proofs
        integrity_secret: Option<String> = None,
    }
}

section! {
    /// The nodes behind `/v1/chain/*`.
    pub(crate) struct ChainApi in "chain_api."
    with options = dfuse_api::ChainApiOptions::default();
    {
        /// Nodes that answer /v1/chain/*, as http://127.0.0.1:8888; the next one takes over when one fails. Not set: the
        /// supervised node that takes transactions, if there is one. The variable is written as in this file
        upstreams: Vec<String> = Vec::new(),
        /// Further nodes that transactions with a guarantee are pushed to while they wait for a block
        push_upstreams: Vec<String> = Vec::new(),
        /// Whether /v1/chain/* asks for the same access as the rest of the API. Pushes with a guarantee always do
        authenticate: bool = options.authenticate,
        /// How long a node may take to begin its answer, and then for each part of it
        timeout_seconds: u64 = options.timeout.as_secs(),
        /// How often a request that failed is sent again, if that can do no harm
        retries: u32 = options.retries,
        /// How old an answer of get_info may be: up to 500
        info_age_ms: u64 = options.info_age.as_millis() as u64,
        /// Blocks that a node may be behind the best one and still be asked first
        max_blocks_behind: u32 = options.max_blocks_behind,
        /// Most pushes that wait for their guarantee at a time
        max_waiting_pushes: usize = options.push.max_waiting,
        /// How often the first push with a guarantee is tried again when the node is away or over a limit of resources
        push_retries: u32 = options.push.retries,
        /// Time between two pushes of a transaction that waits
        push_again_seconds: u64 = options.push.push_again.as_secs(),
        /// How long in-block waits for a block
        in_block_timeout_seconds: u64 = options.push.in_block_timeout.as_secs(),
        /// How long handoff:1 to handoff:3 wait for other producers
        handoffs_timeout_seconds: u64 = options.push.handoffs_timeout.as_secs(),
        /// How long irreversible waits
        irreversible_timeout_seconds: u64 = options.push.irreversible_timeout.as_secs(),
    }
}

section! {
    /// `/v1/stream`.
    pub(crate) struct WebSocket in "websocket."
    with options = dfuse_api::WebSocketOptions::default();
    with query = dfuse_query::Options::default();
    {
        /// Most streams of a connection
        max_streams: usize = options.max_streams,
        /// Most bytes of a message from a client; a longer one ends the connection (1009)
        max_message_bytes: usize = options.max_message_bytes,
        /// Bytes of a connection that wait for the client to read; when there are more, its streams wait. It is also the
        /// longest table snapshot
        max_pending_bytes: usize = query.streams.max_pending_bytes,
        /// Memory for the streams of all connections together: half of it for messages that wait for clients to read, an
        /// eighth for long ones among them, the rest for blocks that streams read in history and for what is made of these.
        /// A connection may have an eighth of what is free, within max_pending_bytes; one without any messages may always
        /// have a few, so streams go on however many clients are slow
        memory_mib: usize = query.streams.memory_bytes >> 20,
        /// How long a client may take to read one message; the connection ends after that (1008)
        slow_client_seconds: u64 = options.slow_client_time.as_secs(),
        /// Time between two ping messages
        ping_interval_seconds: u64 = options.ping_interval.as_secs(),
        /// Types of requests that are answered with ws_unavailable_message_error, such as ["get_table_rows"]. Each name
        /// counts by itself: get_action_traces and get_actions, get_transaction_lifecycle and get_transaction are the same
        disabled_messages: BTreeSet<String> = options.disabled_messages,
    }
}

section! {
    /// GraphQL over WebSocket.
    pub(crate) struct Graphql in "graphql."
    with options = dfuse_graphql::SocketOptions::default();
    {
        /// Most subscriptions of a connection. What waits for a client, and how long that may take, is limited as for
        /// /v1/stream: see [websocket]
        max_subscriptions: usize = options.max_subscriptions,
        /// Most bytes of a message from a client; a longer one ends the connection (1009)
        max_message_bytes: usize = options.max_message_bytes,
        /// How long a client may take until it is admitted by connection_init; the connection ends after that (4408)
        init_timeout_seconds: u64 = options.init_timeout.as_secs(),
        /// Time between two messages that keep a connection alive: ka or ping
        keep_alive_seconds: u64 = options.keep_alive_interval.as_secs(),
    }
}
