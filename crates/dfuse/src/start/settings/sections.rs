//! The sections of the settings, but those of access and of supervised nodes.

use std::{collections::BTreeSet, path::PathBuf};

use dfuse_search::SYSTEM_ACTIONS;
use serde::{Deserialize, Serialize};

use super::section::section;

section! {
    /// The files of blocks, and the blocks in memory.
    pub(crate) struct Blocks in "blocks."
    with feed = dfuse_blocks::feed::FeedOptions::default();
    {
        /// Directory of the block files, or the URL of an object store (s3://, gs:// or az://). Not set: blocks
        /// in the data directory
        store: Option<String> = None,
        /// Number of the first block of the chain's history that a node can provide
        first_block: u32 = feed.first_streamable,
        /// Memory for encoded blocks near the head of the chain. Other blocks are read from files
        memory_mib: usize = feed.memory_bytes >> 20,
        /// How many blocks below the last irreversible block forked blocks are kept for
        keep_forked: u32 = feed.keep_forked,
        /// Flush every block file to disk before it counts as written. Without this, a power failure may lose the files of
        /// the last seconds. A killed process loses nothing either way
        fsync: bool = false,
    }
}

section! {
    /// The store of the indexes.
    pub(crate) struct Index in "index."
    {
        /// Memory for the index changes of reversible blocks. What exceeds it goes to disk
        memory_mib: usize = dfuse_index::Options::default().overlay_bytes >> 20,
        /// Memory for the cache of index reads
        cache_mib: u64 = dfuse_kv::EngineOptions::default().cache_bytes >> 20,
        /// Place of a copy of the indexes that dfuse tools index copy made: a directory, or the URL of an object store.
        /// A data directory without indexes starts from this copy and indexes only later blocks. Not set: indexes are
        /// built from the blocks
        copy: Option<String> = None,
        /// Flush every commit of the indexes to disk. Without this, a power failure loses the last commits, which are then
        /// repeated from the block files
        fsync: bool = false,
    }
}

section! {
    /// What the index of actions has.
    pub(crate) struct Search in "search."
    {
        /// Which fields of action data are indexed, with everything in them: names separated by commas or blanks, or * for
        /// all. After a change to anything in this section, the index must be rebuilt: dfuse tools reindex search
        data_fields: String = "*".to_owned(),
        /// Index the digest of every action, which takes about 20 bytes each
        act_digest: bool = false,
        /// The action that contracts emit events with, as contract:action, for example dfuseiohooks:event. Not set: none
        events: Option<String> = None,
        /// Index events of any length and with any number of keys
        unrestricted_events: bool = false,
        /// Which actions are indexed: a CEL expression over receiver, account, action, auth, data and others, or several
        /// expressions that apply from given blocks on. See docs/search.md
        include: String = "*".to_owned(),
        /// Which of the included actions are not indexed, in the same form
        exclude: String = String::new(),
        /// System actions that pass the filters in any case, in the same form. Searching needs eosio:setabi among them
        system: String = SYSTEM_ACTIONS.to_owned(),
    }
}

section! {
    /// The HTTP server, and reads from the indexes.
    pub(crate) struct Http in "http."
    with http = dfuse_http::Options::default();
    with query = dfuse_query::Options::default();
    {
        /// Maximum number of connections. When another one arrives, the connection that has been idle longest is closed; if
        /// none is idle, the new one waits. A limit on open files may lower this number
        max_connections: usize = http.max_connections,
        /// Maximum size of a request's header, including path and query
        max_header_bytes: usize = http.max_header_bytes,
        /// Maximum size of a request's body
        max_body_bytes: usize = http.max_body_bytes,
        /// Maximum size of all request bodies that are being read. Further requests wait, and after half of
        /// body_timeout_seconds they are refused with Retry-After. One client may use half of it
        max_bodies_bytes: usize = http.max_bodies_bytes,
        /// How long the header of a request may take to arrive, and how long a connection may be idle
        header_timeout_seconds: u64 = http.header_timeout.as_secs(),
        /// How long the body of a request may take to arrive
        body_timeout_seconds: u64 = http.body_timeout.as_secs(),
        /// How long the server may spend on one answer
        read_timeout_seconds: u64 = query.read_timeout.as_secs(),
        /// How many look-ups read from the indexes at a time; lists and searches have as many each. Further requests wait
        /// for their turn. Not set: two per core
        readers: Option<usize> = None,
        /// How many requests of each kind may wait for their turn to read. Further requests are refused with Retry-After,
        /// and so are those that could not start within half of read_timeout_seconds
        max_waiting_reads: usize = query.max_waiting_reads,
        /// How many of these may come from one address or one IPv6 /64 network. Behind a proxy, all clients share the
        /// proxy's address: raise this number there
        max_waiting_reads_per_client: usize = query.max_waiting_reads_of_client,
        /// How long requests in progress may continue after the process is told to stop
        shutdown_grace_seconds: u64 = http.shutdown_grace.as_secs(),
        /// How long the server continues to serve after it is told to stop, while /healthz already answers 503, so that load
        /// balancers send no new clients
        drain_seconds: u64 = 0,
        /// Age of the head block from which /healthz reports that the server is not ready. Not set: its age does not matter
        max_head_age_seconds: Option<u64> = query.max_head_age.map(|age| age.as_secs()),
        /// How long a client may stop reading a long answer before the connection is closed
        client_timeout_seconds: u64 = http.client_timeout.as_secs(),
        /// Secret for the proofs that clients request with X-Data-Integrity-Proof. Not set: there are no proofs
        integrity_secret: Option<String> = None,
        /// File with the certificate chain in PEM, the certificate of the server first. Connections to `listen` and
        /// `grpc_listen` are then encrypted. The file is read again when it changes. Not set: no TLS
        tls_certificate: Option<PathBuf> = None,
        /// File with the private key of that certificate, in PEM
        tls_key: Option<PathBuf> = None,
    }
}

section! {
    /// The nodes behind `/v1/chain/*`.
    pub(crate) struct ChainApi in "chain_api."
    with options = dfuse_api::ChainApiOptions::default();
    {
        /// Nodes that answer /v1/chain/*, such as http://127.0.0.1:8888. If one fails, the next one takes over. Not set:
        /// the supervised node that accepts transactions, if there is one. The variable is written as in this file
        upstreams: Vec<String> = Vec::new(),
        /// Additional nodes that transactions with a guarantee are pushed to while they wait for a block
        push_upstreams: Vec<String> = Vec::new(),
        /// Whether /v1/chain/* requires the same access as the rest of the API. Pushes with a guarantee always do
        authenticate: bool = options.authenticate,
        /// How long a node may take to start its answer, and then to send each part of it
        timeout_seconds: u64 = options.timeout.as_secs(),
        /// How many times a failed request is repeated, if repeating it is safe
        retries: u32 = options.retries,
        /// Maximum age of an answer to get_info, up to 500
        info_age_ms: u64 = options.info_age.as_millis() as u64,
        /// How many blocks a node may be behind the best one before the others are preferred
        max_blocks_behind: u32 = options.max_blocks_behind,
        /// How many pushes may wait for their guarantee at a time
        max_waiting_pushes: usize = options.push.max_waiting,
        /// How many times the first push with a guarantee is repeated if the node is unavailable or over a resource limit
        push_retries: u32 = options.push.retries,
        /// Time between two pushes of a transaction that is waiting
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
        /// Maximum number of streams per connection
        max_streams: usize = options.max_streams,
        /// Maximum size of a message from a client. A longer message ends the connection (1009)
        max_message_bytes: usize = options.max_message_bytes,
        /// How many bytes of a connection may wait for the client to read them; beyond that, its streams wait. This is also
        /// the maximum size of a table snapshot
        max_pending_bytes: usize = query.streams.max_pending_bytes,
        /// Memory for the streams of all connections together: half of it for messages that wait for clients to read, an
        /// eighth for long ones among them, the rest for blocks that streams read in history and for what is made of these.
        /// A connection may have an eighth of what is free, within max_pending_bytes; one without any messages may always
        /// have a few, so streams go on however many clients are slow
        memory_mib: usize = query.streams.memory_bytes >> 20,
        /// How long a client may take to read one message before the connection ends (1008)
        slow_client_seconds: u64 = options.slow_client_time.as_secs(),
        /// Time between two ping messages
        ping_interval_seconds: u64 = options.ping_interval.as_secs(),
        /// Types of requests that are answered with ws_unavailable_message_error, such as ["get_table_rows"]. Each name
        /// counts by itself: get_action_traces and get_actions, get_transaction_lifecycle and get_transaction are the same
        disabled_messages: BTreeSet<String> = options.disabled_messages,
    }
}

section! {
    /// gRPC.
    pub(crate) struct Grpc in "grpc."
    with options = dfuse_grpc::Options::default();
    {
        /// Whether blocks of Firehose have the JSON of actions and rows (json_data, json_return_value, old_data_json, new_data_json), as
        /// consumers of other providers expect it. A request can say otherwise with the metadata x-dfuse-json. Block files
        /// and the live feed never have it
        firehose_json: bool = options.firehose_json,
    }
}

section! {
    /// GraphQL over WebSocket.
    pub(crate) struct Graphql in "graphql."
    with options = dfuse_graphql::SocketOptions::default();
    {
        /// Maximum number of subscriptions per connection. Waiting messages and slow clients are limited as for /v1/stream: see
        /// [websocket]
        max_subscriptions: usize = options.max_subscriptions,
        /// Maximum size of a message from a client. A longer message ends the connection (1009)
        max_message_bytes: usize = options.max_message_bytes,
        /// How long a client may take to send a valid connection_init before the connection ends (4408)
        init_timeout_seconds: u64 = options.init_timeout.as_secs(),
        /// Time between two messages that keep a connection alive: ka or ping
        keep_alive_seconds: u64 = options.keep_alive_interval.as_secs(),
    }
}

section! {
    /// Pages for people.
    pub(crate) struct Web in "web."
    {
        /// API key for pages whose visitors have no token of their own. Pages then work within its limits. It must be a
        /// key of kind web whose origins include the address of this server, because browsers get tokens for it. Not
        /// set: such visitors are anonymous callers
        api_key: Option<String> = None,
    }
}
