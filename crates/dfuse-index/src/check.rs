//! Comparing indexes with what the blocks say.

use std::{cmp::Ordering, sync::Arc};

use bytes::Bytes;
use dfuse_blocks::{BlockRef, BlockStore};
use dfuse_kv::{Direction, Entry, Hint, KeyRange, Scan, Snapshot, Store};

use crate::{
    Checkpoint, CheckpointState, Earlier, EarlierWay, Error, Family, Index, Options, Pipeline, Progress, Result,
    checkpoint::CHECKPOINTS,
    load::{loaded_state, must_not_hold_loaded_state},
    reindex::{blocking, take_blocks},
    retention::{Entries, Filter, filters, floors_of, kept, must_have_block_files},
};

/// Entries that are compared between two reports of progress.
const COMPARE_STEP: u64 = 100_000;

/// How an entry differs from what the blocks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It should be there.
    Missing,
    /// It should not be there.
    Unexpected,
    /// It has another value.
    Different,
}

/// An entry that differs from what the blocks say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where it is.
    pub family: Family,
    /// Its key.
    pub key: Bytes,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// The block that the indexes are at; absent if they have none.
    pub block: Option<BlockRef>,
    /// Entries that are as they should be.
    pub equal: u64,
    /// Entries that are not.
    pub different: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
    /// Indexes that earlier blocks have joined, which are not compared.
    pub passed_over: Vec<&'static str>,
}

/// Builds indexes anew from the block files, in a store with the [`keyspaces`](crate::keyspaces) of `indexes`, and
/// compares every entry. That store is empty but for the state that the indexes begin with, if they begin with any. At most `max_differences` are listed.
///
/// Indexes that others read from must be among `indexes`. The store that is checked may be written to meanwhile: it is
/// looked at as it was at the beginning.
pub async fn check_indexes(
    files: &BlockStore,
    store: &dyn Store,
    empty: Arc<dyn Store>,
    indexes: &[Arc<dyn Index>],
    max_differences: usize,
    mut progress: impl FnMut(Progress),
) -> Result<IndexReport> {
    let snapshot = store.snapshot()?;
    let mut report = IndexReport::default();
    let mut found: Option<Checkpoint> = None;
    for index in indexes {
        if loaded_state(store, &**index)? != loaded_state(&*empty, &**index)? {
            must_not_hold_loaded_state(store, &**index)?;
        }
        let value = snapshot.get(store.keyspace(CHECKPOINTS.name())?, index.name().as_bytes())?;
        let checkpoint = value.map(|value| Checkpoint::decode(&value)).transpose()?;
        let complete = checkpoint.filter(|it| it.state == CheckpointState::Complete);
        let complete = complete.ok_or(Error::NotBuilt { index: index.name() })?;
        if found.get_or_insert(complete).block != complete.block {
            return Err(Error::NotBuilt { index: index.name() });
        }
    }
    let Some(found) = found else { return Ok(report) };
    must_have_block_files(store, found.identity.first_parent.number + 1)?;
    report.block = Some(found.block);
    let options = Options { chain_id: found.identity.chain_id, ..Options::default() };
    let mut pipeline = Pipeline::open(empty.clone(), None, indexes.to_vec(), options)?;
    for number in files.abi_dumps().await? {
        let dump = files.read_abi_dump(number).await?;
        pipeline = blocking(move || pipeline.abi_dump(dump).map(|()| pipeline)).await?;
    }
    let first = Some(found.identity.first_parent.number + 1);
    let take = |mut pipeline: Pipeline, block: &_| {
        pipeline.append_final(block)?;
        pipeline.check_stall().map(|()| pipeline)
    };
    let mut pipeline = take_blocks(files, first, found.block, pipeline, take, &mut progress).await?;
    let view = blocking(move || {
        pipeline.flush()?;
        pipeline.check_stall().map(|()| pipeline.head_view())
    })
    .await?;
    // What is not kept may be there still or not.
    let identity = found.identity;
    let keep_removed = !identity.is_loaded && identity.mid_chain_start().is_some();
    let floors = floors_of(store)?;
    let filter = |family| -> Result<Option<Filter>> {
        Ok(filters(indexes, floors, &view, keep_removed)?.into_iter().find(|filter| filter.family() == family))
    };
    let wanted = empty.snapshot()?;
    // What joined of earlier blocks does not follow from the blocks since.
    let has_joined = Earlier::of(store)?.is_some();
    let compared = indexes.iter().filter(|index| !has_joined || index.earlier_way() == EarlierWay::Never);
    report.passed_over = indexes
        .iter()
        .filter(|index| has_joined && index.earlier_way() != EarlierWay::Never)
        .map(|it| it.name())
        .collect();
    for family in compared.flat_map(|index| index.families()).copied() {
        let scan = |store: &dyn Store, snapshot: &dyn Snapshot| -> Result<Scan> {
            Ok(snapshot.scan_hinted(
                store.keyspace(family.name())?,
                &KeyRange::all(),
                Direction::Forward,
                Hint::Many,
            )?)
        };
        let mut compare = Compare {
            family,
            found: kept(scan(store, &*snapshot)?, filter(family)?),
            wanted: kept(scan(&*empty, &*wanted)?, filter(family)?),
            next: (None, None),
            started: false,
        };
        let mut entries = 0;
        loop {
            let (compared, step, more) = blocking(move || compare.step()).await?;
            compare = compared;
            entries += step.equal + step.differences.len() as u64;
            report.equal += step.equal;
            report.different += step.differences.len() as u64;
            let room = max_differences.saturating_sub(report.differences.len());
            report.differences.extend(step.differences.into_iter().take(room));
            progress(Progress::Comparing { family, entries });
            if !more {
                break;
            }
        }
    }
    Ok(report)
}

struct Compare {
    family: Family,
    found: Entries,
    wanted: Entries,
    next: (Option<Entry>, Option<Entry>),
    started: bool,
}

#[derive(Default)]
struct Step {
    equal: u64,
    differences: Vec<Difference>,
}

impl Compare {
    /// Compares some entries; tells whether there are more.
    fn step(mut self) -> Result<(Self, Step, bool)> {
        if !self.started {
            self.started = true;
            self.next = (self.found.next().transpose()?, self.wanted.next().transpose()?);
        }
        let mut step = Step::default();
        while step.equal + (step.differences.len() as u64) < COMPARE_STEP {
            let order = match &self.next {
                (None, None) => return Ok((self, step, false)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((found, _)), Some((wanted, _))) => found.cmp(wanted),
            };
            let mut entry = (None, None);
            if order.is_le() {
                entry.0 = std::mem::replace(&mut self.next.0, self.found.next().transpose()?);
            }
            if order.is_ge() {
                entry.1 = std::mem::replace(&mut self.next.1, self.wanted.next().transpose()?);
            }
            let (key, kind) = match entry {
                (Some((_, found)), Some((_, wanted))) if found == wanted => {
                    step.equal += 1;
                    continue;
                }
                (Some((key, _)), Some(_)) => (key, DifferenceKind::Different),
                (Some((key, _)), None) => (key, DifferenceKind::Unexpected),
                (None, Some((key, _))) => (key, DifferenceKind::Missing),
                (None, None) => continue,
            };
            let key = Bytes::copy_from_slice(&key);
            step.differences.push(Difference { family: self.family, key, kind });
        }
        Ok((self, step, true))
    }
}
