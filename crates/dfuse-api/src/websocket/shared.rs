//! What all connections share.

use std::sync::Arc;

use bytes::Bytes;
use dfuse_antelope::Checksum256;
use dfuse_query::{TraceIds, streams::Recent};

use super::{
    action_selection::ActionSelection,
    options::WebSocketOptions,
    row_selection::RowSelection,
    selection::{Kept, RECENT_BYTES},
};
use crate::{Api, chain_api::ChainApi};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) api: Api,
    pub(super) options: WebSocketOptions,
    /// The nodes of `/v1/chain`.
    pub(super) nodes: Arc<ChainApi>,
    pub(super) trace_ids: TraceIds,
    /// The `data` of `head_info` messages, by head and last irreversible block.
    pub(super) head_infos: Recent<(Checksum256, Checksum256), Bytes>,
    pub(super) actions: Arc<Kept<Arc<ActionSelection>>>,
    pub(super) table_deltas: Arc<Kept<RowSelection>>,
    /// The `data` of `vote_tally` messages, by the period that it was made in and the confirmations.
    pub(super) vote_tallies: Recent<(u64, u32), Bytes>,
}

impl Shared {
    pub(super) fn new(api: &Api, options: WebSocketOptions, nodes: Arc<ChainApi>) -> Self {
        let trace_ids = TraceIds::new(api.chain().entropy.clone(), api.chain().clock.clone());
        let past_bytes = api.options().streams.memory_bytes / 16;
        Self {
            api: api.clone(),
            options,
            nodes,
            trace_ids,
            head_infos: Recent::new(16, RECENT_BYTES),
            actions: Arc::new(Kept::new(past_bytes)),
            table_deltas: Arc::new(Kept::new(past_bytes)),
            vote_tallies: Recent::new(16, RECENT_BYTES),
        }
    }
}
