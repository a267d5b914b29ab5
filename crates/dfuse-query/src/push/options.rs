use std::time::Duration;

/// Limits of pushes with a guarantee.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// Most pushes that wait at a time.
    pub max_waiting: usize,
    /// How often the first push is tried again when the node is away, or over a limit of resources.
    pub retries: u32,
    /// Pause before the first retry when the node is away; before the second one it is twice as long, and so on.
    pub away_pause: Duration,
    /// The same when the node is over a limit.
    pub busy_pause: Duration,
    /// How long one push may take.
    pub timeout: Duration,
    /// Time between two pushes of a transaction that waits.
    pub push_again: Duration,
    /// How long to wait for a block.
    pub in_block_timeout: Duration,
    /// How long to wait for other producers.
    pub handoffs_timeout: Duration,
    /// How long to wait for irreversibility.
    pub irreversible_timeout: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            max_waiting: 10_000,
            retries: 2,
            away_pause: Duration::from_millis(250),
            busy_pause: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
            push_again: Duration::from_secs(8),
            in_block_timeout: Duration::from_secs(120),
            handoffs_timeout: Duration::from_secs(180),
            irreversible_timeout: Duration::from_secs(480),
        }
    }
}
