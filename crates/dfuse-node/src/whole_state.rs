//! Deltas that are the whole state after a block.

use std::io::Read;

use dfuse_antelope::{Checksum256, raw::Reader};
use dfuse_ship::{Consensus, DeltaRow, Deltas, StateRow};

use crate::{Error, Result};

/// A piece of such a state.
#[derive(Debug)]
pub enum StateEvent {
    /// The block that it is the state after, and the chain's id where it is told. It comes first.
    Begins(Checksum256, Option<Checksum256>),
    /// A row.
    Row(StateRow),
}

/// Tables of one row that every full state has, and whose rows hardly any block changes all at once.
const OF_FULL_STATE: [&str; 3] = ["global_property", "protocol_state", "resource_limits_config"];

/// Whether deltas are a whole state, and not what a block changed.
pub(crate) fn is_whole_state(deltas: &[DeltaRow]) -> bool {
    let has =
        |wanted: &str| deltas.iter().any(|delta| matches!(&delta.row, StateRow::Chain(table, _) if table == wanted));
    OF_FULL_STATE.into_iter().all(has)
}

/// Reads the deltas that are a whole state.
pub(crate) struct StateReader {
    pub(crate) id: Checksum256,
    pub(crate) chain_id: Option<Checksum256>,
    pub(crate) place: String,
}

impl StateReader {
    pub(crate) fn read<E: From<Error>>(
        &self,
        deltas: impl Read,
        take: &mut impl FnMut(StateEvent) -> Result<(), E>,
    ) -> Result<Consensus, E> {
        take(StateEvent::Begins(self.id, self.chain_id))?;
        let wrong = |source| Error::History { place: self.place.clone(), source };
        let (mut producers, mut features, mut found) = (vec![], vec![], 0);
        let mut deltas = Deltas::new(deltas);
        while let Some(delta) = deltas.next_row().map_err(wrong)? {
            match &delta.row {
                StateRow::Permission(permission) => producers.extend(permission.producers().unwrap_or_default()),
                StateRow::Chain(table, row) if OF_FULL_STATE.contains(&table.as_str()) => {
                    found += 1;
                    if table == "protocol_state" {
                        features = digests(row).map_err(|error| {
                            wrong(dfuse_ship::Error::Block { number: self.id.block_num(), why: error.to_string() })
                        })?;
                    }
                }
                _ => {}
            }
            if delta.present {
                take(StateEvent::Row(delta.row))?;
            }
        }
        if found != OF_FULL_STATE.len() {
            return Err(Error::HistoryMissing(format!(
                "{}: state history begins with block {}, without the whole state there: begin with --snapshot and a snapshot of \
                 that block or a later one, or take another source",
                self.place,
                self.id.block_num()
            ))
            .into());
        }
        Ok(Consensus::in_the_middle(self.id, &producers, features))
    }
}

/// Digests of active features in a packed `protocol_state`.
fn digests(row: &[u8]) -> dfuse_antelope::Result<Vec<[u8; 32]>> {
    let mut reader = Reader::new(row);
    reader.varuint32()?;
    reader.list(37, "protocol features", |r| {
        r.varuint32()?;
        let digest = r.checksum256()?.0;
        r.u32()?;
        Ok(digest)
    })
}
