//! The WebSocket of a node's state-history plugin as a source: blocks as the node has them, forks included.
//!
//! A node that goes away is asked again, or the next of several. One of another chain, or of software whose protocol is not known, is
//! not asked any more. What is acknowledged was taken: a slow reader makes the node wait.

mod address;
mod first;
mod session;
mod socket;

use std::collections::VecDeque;

pub use address::Addresses;
use dfuse_antelope::Checksum256;
use dfuse_ship::{Assembler, Rows};
pub(crate) use first::first_state;
use tokio::runtime::Handle;

use crate::{
    Error, Result, SourceEvent, SourceOptions,
    event::{Sender, closes_within},
    kept::{Beginning, beginning},
};

/// What is known across connections.
struct Followed {
    assembler: Option<Assembler>,
    /// Where rows are kept, for a chain that has not begun.
    rows: Option<Box<dyn Rows>>,
    chain_id: Option<Checksum256>,
    /// The first block of the chain, without the state that the chain begins with.
    first: Option<Checksum256>,
    /// Blocks since the last connection.
    taken: u64,
    /// The highest block that nodes are said to have.
    told: u32,
    /// Whether it was said that no node gives blocks.
    is_interrupted: bool,
}

/// Why a connection ends.
enum Ended {
    /// Nobody wants more.
    Unwanted,
    /// Another try, or another node, can help.
    Lost(String),
    /// Another node can help.
    Refused(Error),
    /// Nothing helps.
    Failed(Error),
}

/// Follows nodes for as long as blocks are wanted.
pub(crate) fn follow(addresses: &Addresses, options: &SourceOptions, sender: &Sender, runtime: &Handle) -> Result<()> {
    let (assembler, rows) = match beginning(options)? {
        Beginning::GoesOn(assembler) => (Some(*assembler), None),
        Beginning::Anew(rows) => (None, Some(rows)),
    };
    let chain_id = options.chain_id;
    let mut followed = Followed { assembler, rows, chain_id, first: None, taken: 0, told: 0, is_interrupted: false };
    let mut nodes: VecDeque<_> = addresses.all().iter().collect();
    // Why nodes give nothing, since one did.
    let mut problems = vec![];
    while let Some(address) = nodes.pop_front() {
        followed.taken = 0;
        let why = match session::run(address, options, &mut followed, sender) {
            Ended::Unwanted => return Ok(()),
            Ended::Failed(error) => return Err(error),
            Ended::Refused(error) if nodes.is_empty() => return Err(error),
            Ended::Refused(error) => {
                tracing::error!(node = %address, %error, "a node cannot be followed, and is not asked any more");
                continue;
            }
            Ended::Lost(why) => why,
        };
        nodes.push_back(address);
        tracing::warn!(node = %address, %why, "the connection to a node's state history ended; trying again");
        if followed.taken > 0 {
            problems.clear();
        }
        problems.push(format!("node {address}: {why}"));
        // Others are asked at once; after a round, nodes are given time.
        if problems.len() < nodes.len() {
            continue;
        }
        followed.is_interrupted = true;
        let told = SourceEvent::Interrupted(Some(std::mem::take(&mut problems).join("; ")));
        if sender.blocking_send(Ok(told)).is_err() || closes_within(sender, options.poll, runtime) {
            return Ok(());
        }
    }
    Ok(())
}
