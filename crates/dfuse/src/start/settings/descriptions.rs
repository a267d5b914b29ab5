/// What is said of each setting; sections are named before their first.
pub(super) const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "source",
        "Where blocks come from: demo, deep-mind:FILE, deep-mind:- (standard input), blocks:URL, nodeos (supervised nodes, see \
         nodeos.nodes). Flag: --source",
    ),
    (
        "data_dir",
        "Directory of everything that is kept. Not set: ./dfuse-data, but for the demo a temporary directory that goes with \
         the process. Flag: --data-dir",
    ),
    ("listen", "Address of REST, WebSocket, /healthz and /metrics. Port 0 takes a free one. Flag: --listen"),
    (
        "grpc_listen",
        "Address of gRPC. Not set: 127.0.0.1:9000, or a free port if that is in use or `listen` has port 0. Flag: --grpc-listen",
    ),
    (
        "chain_id",
        "The chain's id. Without it, keys cannot be recovered from signatures. A data directory remembers it, and refuses \
         another. Flag: --chain-id",
    ),
    (
        "genesis",
        "A genesis.json, from which the chain's id follows: instead of chain_id. A supervised node without data begins with it",
    ),
    (
        "cursor_keys",
        "Keys that seal cursors, each 64 hex digits, as openssl rand -hex 32 prints them; machines behind one address share them, so that a \
         client can go on at another one. The first seals, all open: put a new one first, and remove the old one later. Empty: a key of \
         its own in the data directory",
    ),
    ("exit_at_end", "End the process when the source has ended and all its blocks are indexed. Flag: --exit-at-end"),
    (
        "rebuild_damaged",
        "Read all files of the indexes at the start, and build the indexes anew from the block files if any is damaged or missing. \
         Flag: --rebuild-damaged",
    ),
    (
        "blocks.store",
        "Directory of the block files, or the URL of an object store where dfuse is built with the feature aws, gcp or azure. Not set: \
         blocks in the data directory",
    ),
    ("blocks.first_block", "Number of the first block of the chain's history that a node can give"),
    ("blocks.memory_mib", "Memory for encoded blocks at the chain's end; others are read from files"),
    ("blocks.keep_forked", "Blocks below the last irreversible one for which forked blocks are kept"),
    (
        "blocks.fsync",
        "Have the operating system write every block file to the disk before it counts as written. Without it a power cut \
         may lose the files of the last seconds; a killed process loses nothing either way",
    ),
    ("index.memory_mib", "Memory for what reversible blocks write into the indexes; more goes to disk"),
    ("index.cache_mib", "Memory for what is read from the indexes"),
    (
        "index.fsync",
        "Have the operating system write every commit of the indexes to the disk. Without it a power cut loses the last \
         commits, which are made again from the block files",
    ),
    (
        "search.data_fields",
        "Which fields of the data of actions are indexed, each with all that is in it: names, with commas or blanks between \
         them, or * for all. The index must be built anew when anything in this section changes: dfuse tools reindex search",
    ),
    ("search.act_digest", "Index the digest of every action, some 20 bytes each"),
    (
        "search.events",
        "The action by which contracts tell of events, as contract:action, for instance dfuseiohooks:event. Not set: none",
    ),
    ("search.unrestricted_events", "Index events of any length and number of keys"),
    (
        "search.include",
        "Actions that are indexed: a CEL expression over receiver, account, action, auth, data and others, or several from \
         certain blocks on; see docs/search.md",
    ),
    ("search.exclude", "Actions that are not indexed although they are included: the same"),
    (
        "search.system",
        "System actions that pass filters in any case: the same. For searching it matters whether eosio:setabi is among them",
    ),
    (
        "http.max_connections",
        "Most connections at a time. When one more comes, the one that has been idle longest is closed; if all are at work, it waits. \
         Fewer where the limit of open files allows fewer",
    ),
    ("http.max_header_bytes", "Most bytes of a request's header, path and query included"),
    ("http.max_body_bytes", "Most bytes of a request's body"),
    (
        "http.max_bodies_bytes",
        "Most bytes of the bodies of all requests that are being read; more wait, and are refused with Retry-After after half of \
         the time for a body. A client may have half of them",
    ),
    ("http.header_timeout_seconds", "How long the header of a request may take, and a connection may be idle"),
    ("http.body_timeout_seconds", "How long the body of a request may take"),
    ("http.read_timeout_seconds", "How long the server may take for one answer"),
    (
        "http.readers",
        "Look-ups that read from the indexes at a time, and as many lists, and as many searches; more wait for their turn. Not \
         set: two for each core",
    ),
    (
        "http.max_waiting_reads",
        "Most requests of each kind that wait for their turn to read; more are refused with Retry-After, and so is what could not \
         begin within half of the time for an answer",
    ),
    (
        "http.max_waiting_reads_per_client",
        "Of them, most of one address or IPv6 /64 network. Behind a proxy all clients have the proxy's address: raise it there",
    ),
    ("http.shutdown_grace_seconds", "How long requests at work may go on when the process is told to stop"),
    (
        "http.max_head_age_seconds",
        "From which age of the head block on /healthz says that the server is not ready. Not set: never",
    ),
    ("http.client_timeout_seconds", "How long a client may take nothing of a long answer before it is given up"),
    (
        "http.integrity_secret",
        "A secret with which an answer is proven to clients that ask for X-Data-Integrity-Proof. Not set: no proofs",
    ),
    (
        "chain_api.upstreams",
        "Nodes that answer /v1/chain/*, as http://127.0.0.1:8888; the next one takes over when one fails. Not set: the \
         supervised node that takes transactions, if there is one. The variable is written as in this file",
    ),
    (
        "chain_api.push_upstreams",
        "Further nodes that transactions with a guarantee are pushed to while they wait for a block",
    ),
    (
        "chain_api.authenticate",
        "Whether /v1/chain/* asks for the same access as the rest of the API. Pushes with a guarantee always do",
    ),
    ("chain_api.timeout_seconds", "How long a node may take to begin its answer, and then for each part of it"),
    ("chain_api.retries", "How often a request that failed is sent again, if that can do no harm"),
    ("chain_api.info_age_ms", "How old an answer of get_info may be: up to 500"),
    ("chain_api.max_blocks_behind", "Blocks that a node may be behind the best one and still be asked first"),
    ("chain_api.max_waiting_pushes", "Most pushes that wait for their guarantee at a time"),
    (
        "chain_api.push_retries",
        "How often the first push with a guarantee is tried again when the node is away or over a limit of resources",
    ),
    ("chain_api.push_again_seconds", "Time between two pushes of a transaction that waits"),
    ("chain_api.in_block_timeout_seconds", "How long in-block waits for a block"),
    ("chain_api.handoffs_timeout_seconds", "How long handoff:1 to handoff:3 wait for other producers"),
    ("chain_api.irreversible_timeout_seconds", "How long irreversible waits"),
    ("nodeos.binary", "The program that is started for every supervised node"),
    ("nodeos.arguments", "Arguments of every node, before those that dfuse adds"),
    ("nodeos.environment", "Variables of every node, each as \"NAME=VALUE\", beside those that dfuse has"),
    ("nodeos.dir", "Directory of the nodes' own: the node NAME has NAME/config.ini in it, and its data in NAME/data"),
    ("nodeos.snapshot", "A snapshot with which a node without data begins, instead of genesis"),
    (
        "nodeos.queue_mib",
        "Memory for a node's log that is read and not decoded yet, also from standard input. When it is full, the node waits",
    ),
    ("nodeos.max_line_mib", "Longest line of a node's log, also of one on standard input or in a file"),
    (
        "nodeos.restart_pause_seconds",
        "Longest pause before a node that ended is started again; the first is a second, and each is twice the one before",
    ),
    ("nodeos.hang_timeout_seconds", "How long a node may neither answer nor log anything before it is started again"),
    (
        "nodeos.stop_timeout_seconds",
        "How long a node may take to stop before it is killed, which makes its state unusable",
    ),
    (
        "nodeos.snapshot_blocks",
        "Blocks between two snapshots that a node is asked to make; 0: none are made. A node whose state is unusable is restored \
         from one, and executes all its blocks again without one",
    ),
    ("nodeos.snapshots_kept", "Snapshots that are kept for each node; older ones are removed"),
    (
        "nodeos.restore",
        "Begin by restoring every node from its newest snapshot; the one whose log is read from the newest that leaves out no \
         block which dfuse has not taken. Flag: --restore-nodes",
    ),
    (
        "nodeos.nodes",
        "The supervised nodes, in the order in which they start, each a table [[nodeos.nodes]]: name; deep_mind = true for the \
         one whose log is read; and if wanted binary, arguments, environment, peers (HOST:PORT), config_dir, data_dir. What else \
         they do is in their own config.ini. `dfuse init` writes all of it",
    ),
    ("websocket.max_streams", "Most streams of a connection"),
    ("websocket.max_message_bytes", "Most bytes of a message from a client; a longer one ends the connection (1009)"),
    (
        "websocket.max_pending_bytes",
        "Bytes of a connection that wait for the client to read; when there are more, its streams wait. It is also the longest \
         table snapshot",
    ),
    (
        "websocket.memory_mib",
        "Memory for the streams of all connections together: half of it for messages that wait for clients to read, an eighth \
         for long ones among them, the rest for blocks that streams read in history and for what is made of these. A \
         connection may have an eighth of what is free, within max_pending_bytes; one without any messages may always have \
         a few, so streams go on however many clients are slow",
    ),
    (
        "websocket.slow_client_seconds",
        "How long a client may take to read one message; the connection ends after that (1008)",
    ),
    ("websocket.ping_interval_seconds", "Time between two ping messages"),
    (
        "websocket.disabled_messages",
        "Types of requests that are answered with ws_unavailable_message_error, such as [\"get_table_rows\"]. Each name counts \
         by itself: get_action_traces and get_actions, get_transaction_lifecycle and get_transaction are the same",
    ),
    (
        "graphql.max_subscriptions",
        "Most subscriptions of a connection. What waits for a client, and how long that may take, is limited as for /v1/stream: \
         see [websocket]",
    ),
    ("graphql.max_message_bytes", "Most bytes of a message from a client; a longer one ends the connection (1009)"),
    (
        "graphql.init_timeout_seconds",
        "How long a client may take until it is admitted by connection_init; the connection ends after that (4408)",
    ),
    ("graphql.keep_alive_seconds", "Time between two messages that keep a connection alive: ka or ping"),
    (
        "access.mode",
        "Who needs a token: \"open\", nobody; \"optional\", whoever wants more than anonymous callers may; \"required\", everybody. \
         Not set: open, but then the server must listen on a loopback address. See docs/access.md",
    ),
    ("access.secret", "A token that lets everybody in who knows it, without limits. Not set: none"),
    ("access.networks", "Networks whose callers need no token and have no limits, such as [\"10.0.0.0/8\"]"),
    (
        "access.proxy_hops",
        "Proxies that every request goes through: the client's address is that many elements from the end of X-Forwarded-For. \
         0: there is none, and nobody is believed",
    ),
    (
        "access.proxy_networks",
        "The same by the networks of the proxies: the client's address is the last one that is in none of them",
    ),
    (
        "access.tiers",
        "The tiers, each a table [[access.tiers]]: name; and if wanted routes (of look_up, list, search, stream, chain, push, \
         explorer; all without it), history (blocks below the head), rate and rates = { search = \"2/s\" } of a key, address_rate \
         and address_rates of one address, max_connections, max_streams",
    ),
    (
        "access.anonymous_tier",
        "The tier of callers without a token. Not set: in optional mode \"anonymous\", which has 10 requests a second and 2 searches \
         unless access.tiers has another of this name; in open mode no limits",
    ),
    ("access.issuer", "What tokens that this server issues have in iss"),
    (
        "access.issuers",
        "Other issuers whose tokens count, each a table [[access.issuers]]: name (their iss); keys (their JSON Web Key Set, a file or \
         an address); and if wanted audience (their aud)",
    ),
    ("access.issue_rate", "Tokens that may be asked for at one address"),
    ("access.guess_rate", "Wrong tokens and keys of one address before it is not listened to for a while"),
    (
        "access.work_per_request",
        "How much work of a search is worth one request, in the units of \"work\" that explain=true shows",
    ),
    ("access.maintenance", "Begin under maintenance: everything but health and metrics is answered with 503"),
    ("access.maintenance_retry_seconds", "After how long under maintenance clients are told to try again"),
    ("access.rotate_days", "Days after which a new key signs tokens"),
];
