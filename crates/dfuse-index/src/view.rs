use std::sync::Arc;

use bytes::Bytes;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Direction, Entry, KeyRange, Keyspace, Snapshot};

use crate::{
    Error, Family, Floors, Result,
    branch::Branch,
    families::Families,
    filter::KeyFilter,
    merge::Merge,
    overlay::{HeldScan, Overlay, OverlayScan},
    scratch::{self, ScratchScan},
    sight::Sight,
};

/// A state of the store, and the overlay above it.
pub(crate) struct Committed {
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) families: Arc<Families>,
    pub(crate) overlay: Arc<Overlay>,
    /// The last block that is in the store; absent before the first one.
    pub(crate) block: Option<BlockRef>,
    pub(crate) generation: u64,
    /// What is kept.
    pub(crate) floors: Floors,
    /// Where further writes of reversible blocks are, if there are any, and to which keys.
    pub(crate) scratch: Option<(Keyspace, Arc<KeyFilter>)>,
}

impl Committed {
    pub(crate) fn new(
        snapshot: Arc<dyn Snapshot>,
        families: Arc<Families>,
        overlay: Arc<Overlay>,
        block: Option<BlockRef>,
        generation: u64,
        scratch: Option<(Keyspace, Arc<KeyFilter>)>,
        floors: Floors,
    ) -> Self {
        overlay.pin(generation);
        Self { snapshot, families, overlay, block, generation, floors, scratch }
    }

    pub(crate) fn number(&self) -> u32 {
        self.block.map_or(0, |block| block.number)
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        self.overlay.unpin(self.generation);
    }
}

/// Everything the indexes say at one block: what is committed, and the writes of the reversible blocks on the block's
/// branch above it. It never changes. Cloning is cheap.
///
/// It keeps old versions of data alive, on disk and in memory: drop it within minutes.
#[derive(Clone)]
pub struct View {
    committed: Arc<Committed>,
    sight: Sight,
    block: Option<BlockRef>,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("block", &self.block).field("committed", &self.committed.block).finish()
    }
}

/// The entries of a scan; ends after the first error.
pub type ViewScan = Box<dyn Iterator<Item = Result<Entry>> + Send>;

impl View {
    pub(crate) fn new(committed: Arc<Committed>, branch: Branch, block: Option<BlockRef>) -> Self {
        let sight = Sight { committed: committed.number(), branch };
        Self { committed, sight, block }
    }

    /// The block it is at; absent before the first one.
    pub fn block(&self) -> Option<BlockRef> {
        self.block
    }

    /// From which blocks on it answers.
    pub fn floors(&self) -> Floors {
        self.committed.floors
    }

    /// The same state, known to be kept from these floors on only.
    pub(crate) fn with_floors(&self, floors: Floors) -> Self {
        let Committed { snapshot, families, overlay, block, generation, scratch, .. } = &*self.committed;
        let (snapshot, families, overlay) = (snapshot.clone(), families.clone(), overlay.clone());
        let committed = Committed::new(snapshot, families, overlay, *block, *generation, scratch.clone(), floors);
        Self { committed: Arc::new(committed), ..self.clone() }
    }

    /// Whether it is the very same state: not only at the same block, but with the same blocks committed.
    pub fn is_same(&self, other: &Self) -> bool {
        self.block == other.block && Arc::ptr_eq(&self.committed, &other.committed)
    }

    /// The last block that is committed in it.
    pub fn committed(&self) -> Option<BlockRef> {
        self.committed.block
    }

    /// The same branch at an earlier block, which must be on it and not below the committed one.
    pub(crate) fn truncated(&self, block: BlockRef) -> Self {
        let sight = Sight { branch: self.sight.branch.truncated(block.number), ..self.sight.clone() };
        Self { sight, block: Some(block), ..self.clone() }
    }

    /// The same committed state with another branch above it.
    pub(crate) fn on_branch(&self, branch: Branch, block: BlockRef) -> Self {
        Self::new(self.committed.clone(), branch, Some(block))
    }

    /// The value of `key`. Independent of the number of reversible blocks.
    pub fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>> {
        let keyspace = self.committed.families.readable(family)?;
        match self.reversible(keyspace, key)? {
            Some(value) => Ok(value),
            None => Ok(self.committed.snapshot.get(keyspace, key)?),
        }
    }

    /// The values of `keys`, in their order. Sorted keys may be faster.
    pub fn multi_get(&self, family: Family, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let keyspace = self.committed.families.readable(family)?;
        let mut values = Vec::with_capacity(keys.len());
        let mut absent = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            let known = self.reversible(keyspace, key)?;
            if known.is_none() {
                absent.push(position);
            }
            values.push(known.flatten());
        }
        let below: Vec<_> = absent.iter().map(|position| keys[*position]).collect();
        for (position, value) in absent.into_iter().zip(self.committed.snapshot.multi_get(keyspace, &below)?) {
            values[position] = value;
        }
        Ok(values)
    }

    /// What reversible blocks write to `key`: a value, or nothing for a deletion.
    fn reversible(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Option<Bytes>>> {
        let Committed { overlay, snapshot, scratch, .. } = &*self.committed;
        match (overlay.get(keyspace, key, &self.sight), scratch) {
            (None, Some((scratch, keys))) if !self.sight.is_empty() && keys.may_contain(keyspace, key) => {
                scratch::get(&**snapshot, *scratch, keyspace, key, &self.sight)
            }
            (known, _) => Ok(known),
        }
    }

    /// The entries of the range in the order of their keys' bytes. The scan keeps the view alive.
    pub fn scan(&self, family: Family, range: &KeyRange, direction: Direction) -> Result<ViewScan> {
        let keyspace = self.committed.families.readable(family)?;
        let Committed { overlay, snapshot, scratch, .. } = &*self.committed;
        let below = snapshot.scan(keyspace, range, direction)?;
        if self.sight.is_empty() {
            return Ok(Box::new(below.map(|entry| Ok(entry?))));
        }
        let above = HeldScan {
            scan: OverlayScan::new(keyspace, range.clone(), direction, self.sight.clone()),
            overlay: overlay.clone(),
            _pin: self.committed.clone(),
        };
        let below = below.map(|entry| entry.map(|(key, value)| (key, Some(value))).map_err(Error::from));
        let values = |entry| match entry {
            Ok((key, value)) => Option::map(value, |value| Ok((key, value))),
            Err(error) => Some(Err(error)),
        };
        let Some((scratch, _)) = scratch else {
            return Ok(Box::new(Merge::new(above, below, direction).filter_map(values)));
        };
        let middle = ScratchScan::new(&**snapshot, *scratch, keyspace, range, direction, self.sight.clone())?;
        let below = Merge::new(middle, below, direction);
        Ok(Box::new(Merge::new(above, below, direction).filter_map(values)))
    }

    /// The first entry of the range in that direction: one seek.
    pub fn first(&self, family: Family, range: &KeyRange, direction: Direction) -> Result<Option<Entry>> {
        let keyspace = self.committed.families.readable(family)?;
        if self.committed.scratch.is_some() {
            return self.scan(family, range, direction)?.next().transpose();
        }
        let above = self.committed.overlay.first(keyspace, range, direction, &self.sight);
        let Some((key, value)) = above else {
            return Ok(self.committed.snapshot.first(keyspace, range, direction)?);
        };
        // What stands before it below is not hidden by anything above.
        let before = match direction {
            Direction::Forward => range.before(key.clone()),
            Direction::Reverse => range.after(key.clone()),
        };
        if let Some(entry) = self.committed.snapshot.first(keyspace, &before, direction)? {
            return Ok(Some(entry));
        }
        match value {
            Some(value) => Ok(Some((key, value))),
            None => self.scan(family, range, direction)?.next().transpose(),
        }
    }
}
