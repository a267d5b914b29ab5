//! The WebSocket of a node's state-history plugin as a source: blocks as the node has them, forks included.
//!
//! A node that goes away is asked again, or the next of several. What is acknowledged was taken: a slow reader makes the node wait.

mod address;
mod first;
mod session;
mod socket;

pub use address::Addresses;
use dfuse_antelope::Checksum256;
use dfuse_ship::{Assembler, Rows};
pub(crate) use first::first_state;
use tokio::runtime::Handle;

use crate::{
    Error, Result, SourceOptions,
    event::{Sender, closes_within},
    kept::{Beginning, beginning},
};

/// What is known across connections.
struct Followed {
    assembler: Option<Assembler>,
    /// Where rows are kept, for a chain that has not begun.
    rows: Option<Box<dyn Rows>>,
    chain_id: Option<Checksum256>,
    /// Blocks since the last connection.
    taken: u64,
}

/// Why a connection ends.
enum Ended {
    /// Nobody wants more.
    Unwanted,
    /// Another try, or another node, can help.
    Lost(String),
    /// Nothing helps.
    Failed(Error),
}

/// Follows nodes for as long as blocks are wanted.
pub(crate) fn follow(addresses: &Addresses, options: &SourceOptions, sender: &Sender, runtime: &Handle) -> Result<()> {
    let mut followed = match beginning(options)? {
        Beginning::GoesOn(assembler) => {
            Followed { assembler: Some(*assembler), rows: None, chain_id: options.chain_id, taken: 0 }
        }
        Beginning::Anew(rows) => Followed { assembler: None, rows: Some(rows), chain_id: options.chain_id, taken: 0 },
    };
    let mut failures = 0_u32;
    for address in addresses.all().iter().cycle() {
        followed.taken = 0;
        match session::run(address, options, &mut followed, sender) {
            Ended::Unwanted => return Ok(()),
            Ended::Failed(error) => return Err(error),
            Ended::Lost(why) => {
                tracing::warn!(node = %address, %why, "the connection to a node's state history ended; trying again");
            }
        }
        failures = if followed.taken > 0 { 0 } else { failures + 1 };
        // Others are asked at once; after a round, nodes are given time.
        let is_round = (failures as usize).is_multiple_of(addresses.all().len());
        if is_round && closes_within(sender, options.poll, runtime) {
            return Ok(());
        }
    }
    Ok(())
}
