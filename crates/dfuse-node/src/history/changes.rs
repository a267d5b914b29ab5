//! What blocks changed in the chain's state, without the blocks.

use std::{collections::VecDeque, fs::File};

use dfuse_antelope::Checksum256;
use dfuse_ship::{DeltaRow, Deltas, Entry, HistoryLog};

use super::{
    files::{Part, parts},
    folders::HistoryFolders,
};
use crate::{Error, Result};

const NAME: &str = "chain_state_history";
/// Blocks of a branch that may still lose, at most: a node appends those of the branch that won.
const REVERSIBLE: usize = 1000;

/// Gives the rows that each block up to `last` changed, with its number: first the whole state that the log begins with, and only blocks of
/// the branch that the log ends with. Returns the id of the block `last`.
///
/// # Errors
/// The log cannot be read, does not have the block or does not begin with a whole state; and those of `take`.
pub fn state_changes<E: From<Error>>(
    folders: &HistoryFolders,
    last: u32,
    mut take: impl FnMut(u32, DeltaRow) -> Result<(), E>,
) -> Result<Checksum256, E> {
    let missing = |why: String| Error::HistoryMissing(format!("{folders}: {why}"));
    let parts = parts(folders.history(), NAME)?;
    if parts.is_empty() {
        return Err(missing(format!("there is no {NAME}.log in {}", folders.history().display())).into());
    }
    let mut taken = None::<Checksum256>;
    for part in &parts {
        if part.range.is_some_and(|(first, _)| first > last) {
            break;
        }
        let mut log = HistoryLog::open(part.open()?).map_err(|error| wrong(part, error))?;
        let mut waiting = VecDeque::<Entry>::new();
        let mut is_at_end = false;
        while !is_at_end {
            match log.next_entry() {
                Ok(Some(entry)) => {
                    if taken.is_none() && waiting.is_empty() && entry.offset > 0 {
                        let why = format!("{NAME}.log was pruned, so that the state before it is not known");
                        return Err(missing(why).into());
                    }
                    while waiting.pop_back_if(|it| number(it) >= number(&entry)).is_some() {}
                    waiting.push_back(entry);
                    // Nothing that is wanted comes any more.
                    is_at_end = number(&entry) > last.saturating_add(REVERSIBLE as u32);
                }
                Ok(None) => is_at_end = true,
                // Its node is writing.
                Err(_) if waiting.back().is_some_and(|it| number(it) >= last) => is_at_end = true,
                Err(error) => return Err(wrong(part, error).into()),
            }
            while waiting.len() > if is_at_end { 0 } else { REVERSIBLE } {
                let entry = waiting.pop_front_if(|it| number(it) <= last);
                let Some(entry) = entry else { break };
                if taken.is_some_and(|before| number(&entry) != before.block_num() + 1) {
                    let why = format!("{NAME}.log lacks blocks before block {}", number(&entry));
                    return Err(missing(why).into());
                }
                block(&mut log, part, &entry, &mut take)?;
                taken = Some(entry.block_id);
            }
        }
    }
    match taken {
        Some(id) if id.block_num() == last => Ok(id),
        Some(id) => Err(missing(format!("{NAME}.log ends with block {}, before block {last}", id.block_num())).into()),
        None => Err(missing(format!("{NAME}.log begins after block {last}")).into()),
    }
}

fn wrong(part: &Part, source: dfuse_ship::Error) -> Error {
    Error::History { place: part.place(), source }
}

fn number(entry: &Entry) -> u32 {
    entry.block_id.block_num()
}

fn block<E: From<Error>>(
    log: &mut HistoryLog<File>,
    part: &Part,
    entry: &Entry,
    take: &mut impl FnMut(u32, DeltaRow) -> Result<(), E>,
) -> Result<(), E> {
    let wrong = |error| wrong(part, error);
    let mut deltas = Deltas::new(log.content(entry).map_err(wrong)?);
    while let Some(row) = deltas.next_row().map_err(wrong)? {
        take(number(entry), row)?;
    }
    Ok(())
}
