use std::{num::NonZero, thread, time::Duration};

/// Limits of what is asked of a service.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long reading from stores may take, for one request.
    pub read_timeout: Duration,
    /// Reads of each [`Class`](crate::Class) that work at a time; more wait for their turn, within their time. Two for each core by default:
    /// most find in memory what they read, and then more at a time only take longer, each of them.
    pub readers: usize,
    /// Requests of each class that may wait for their turn.
    pub max_waiting_reads: usize,
    /// Of them, those of one client.
    pub max_waiting_reads_of_client: usize,
    /// How much work one search may do before it answers with what it has; a unit is some microseconds.
    pub search_work: u64,
    /// A search that takes so long is shown to operators.
    pub slow_search: Duration,
    /// From which age of the head block on the service is not ready; never if absent, as for a chain that is replayed.
    pub max_head_age: Option<Duration>,
    /// Whether the process has indexes; one that only takes blocks has none, and is ready without.
    pub has_indexes: bool,
    /// How long a request waits for a block a little above the head, which another machine may have named.
    pub ahead_wait: Duration,
    /// Of streams.
    pub streams: StreamOptions,
}

/// Memory of streams, on all surfaces together.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Memory for what all streams send and read: half of it for what waits for clients, an eighth for long messages of these,
    /// an eighth for what was made of blocks that are no longer new. A quarter is meant for their blocks, which the feed keeps:
    /// see `history_bytes` of its options.
    pub memory_bytes: usize,
    /// Bytes of a connection that wait for the client to read. When there are more, its streams wait.
    pub max_pending_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read_timeout: Duration::from_secs(30),
            readers: 2 * cores(),
            max_waiting_reads: 4096,
            max_waiting_reads_of_client: 1024,
            search_work: 1_000_000,
            slow_search: Duration::from_millis(500),
            max_head_age: None,
            has_indexes: true,
            ahead_wait: Duration::ZERO,
            streams: StreamOptions::default(),
        }
    }
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, max_pending_bytes: 4 << 20 }
    }
}

/// Cores of this machine.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(2, NonZero::get)
}
