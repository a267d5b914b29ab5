//! The whole state that a history begins with which began in mid-chain.

use dfuse_ship::Consensus;

use crate::{Error, Result, SourceSpec, StateEvent, history, ship};

/// Gives the state that a source begins with, row by row, and then where its blocks go on. Absent for a source that begins with its
/// chain, or that has no such state.
///
/// # Errors
/// The source cannot be read, or begins without state; and those of `take`.
pub fn first_state<E: From<Error>>(
    spec: &SourceSpec,
    mut take: impl FnMut(StateEvent) -> Result<(), E>,
) -> Result<Option<Consensus>, E> {
    match spec {
        SourceSpec::HistoryLogs(folders) => history::first_state(folders, &mut take),
        SourceSpec::History(addresses) => ship::first_state(addresses, &mut take),
        _ => Ok(None),
    }
}
