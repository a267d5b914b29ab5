use std::sync::Arc;

use bytes::Bytes;
use dfuse_blocks::BlockRef;
use dfuse_kv::{Direction, Entry, Hint, KeyRange, Keyspace, Scan, Snapshot};

use crate::{
    Earlier, Family, Floors, Result,
    branch::Branch,
    families::Families,
    merge::Merge,
    overlay::{HeldScan, Overlay, OverlayScan},
    scratch::{self, ScratchScan},
    sight::{LayerScan, Layered, Sight},
    spill::Spilled,
};

/// A state of the store, and the overlay above it.
pub(crate) struct Committed {
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) families: Arc<Families>,
    pub(crate) overlay: Arc<Overlay>,
    /// The last block that is in the store; absent before the first one.
    pub(crate) block: Option<BlockRef>,
    /// The last final block, which the store may not have yet.
    pub(crate) irreversible: Option<BlockRef>,
    pub(crate) generation: u64,
    /// What is kept.
    pub(crate) floors: Floors,
    /// What joined of earlier blocks.
    pub(crate) earlier: Option<Arc<Earlier>>,
    /// Further writes of reversible blocks, if there are any.
    pub(crate) spilled: Option<Spilled>,
}

impl Committed {
    /// Counted as read from until it is dropped.
    pub(crate) fn pinned(self) -> Self {
        self.overlay.pin(self.generation);
        self
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
        f.debug_struct("View")
            .field("block", &self.block)
            .field("committed", &self.committed.block)
            .finish_non_exhaustive()
    }
}

/// The entries of a scan, in order; none after the first error. It keeps its view alive.
pub struct ViewScan(Layers);

/// From those above to those below.
enum Layers {
    Committed(Scan),
    Overlaid(Box<Merge<Above, Below>>),
    Spilled(Box<Merge<Above, Merge<ScratchScan, Below>>>),
}

type Above = HeldScan<Arc<Committed>>;

/// What is committed, as a layer.
struct Below(Scan);

impl Iterator for Below {
    type Item = Result<Layered>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.0.next()?;
        Some(entry.map(|(key, value)| (key, Some(value))).map_err(Into::into))
    }
}

impl LayerScan for Below {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        Ok(self.0.skip_to(key)?)
    }
}

/// The next key that has a value.
fn next_value(layers: &mut impl LayerScan) -> Option<Result<Entry>> {
    loop {
        match layers.next()? {
            Ok((key, Some(value))) => return Some(Ok((key, value))),
            Ok((_, None)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

impl Iterator for ViewScan {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Layers::Committed(scan) => scan.next().map(|entry| Ok(entry?)),
            Layers::Overlaid(layers) => next_value(&mut **layers),
            Layers::Spilled(layers) => next_value(&mut **layers),
        }
    }
}

impl ViewScan {
    /// Goes on with the first entry that is at `key` or, in the direction of the scan, after it: much cheaper than a new scan.
    /// Never goes back, and never out of the range of the scan.
    pub fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        match &mut self.0 {
            Layers::Committed(scan) => Ok(scan.skip_to(key)?),
            Layers::Overlaid(layers) => layers.skip_to(key),
            Layers::Spilled(layers) => layers.skip_to(key),
        }
    }
}

impl std::fmt::Debug for ViewScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewScan").finish_non_exhaustive()
    }
}

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

    /// What joined of blocks of before the first one, if any did.
    pub fn earlier(&self) -> Option<&Earlier> {
        self.committed.earlier.as_deref()
    }

    /// The same state, known to be kept from these floors on only.
    pub(crate) fn with_floors(&self, floors: Floors) -> Self {
        let Committed { snapshot, families, overlay, block, irreversible, generation, earlier, spilled, floors: _ } =
            &*self.committed;
        let committed = Committed {
            snapshot: snapshot.clone(),
            families: families.clone(),
            overlay: overlay.clone(),
            block: *block,
            irreversible: *irreversible,
            generation: *generation,
            earlier: earlier.clone(),
            spilled: spilled.clone(),
            floors,
        };
        let committed = committed.pinned();
        Self { committed: Arc::new(committed), ..self.clone() }
    }

    /// Whether it is the very same state: not only at the same block, but with the same blocks irreversible and committed.
    pub fn is_same(&self, other: &Self) -> bool {
        self.block == other.block && Arc::ptr_eq(&self.committed, &other.committed)
    }

    /// The last block that is irreversible for it.
    pub fn irreversible(&self) -> Option<BlockRef> {
        self.committed.irreversible
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
        let Committed { overlay, spilled, .. } = &*self.committed;
        match (overlay.get(keyspace, key, &self.sight), spilled) {
            (None, Some(spilled)) if !self.sight.is_empty() && spilled.keys.may_contain(keyspace, key) => {
                scratch::get(&*spilled.snapshot, keyspace, key, &self.sight)
            }
            (known, _) => Ok(known),
        }
    }

    /// The entries of the range in the order of their keys' bytes, of which some tens will be read.
    pub fn scan(&self, family: Family, range: &KeyRange, direction: Direction) -> Result<ViewScan> {
        self.scan_hinted(family, range, direction, Hint::Few)
    }

    /// The entries of the range in the order of their keys' bytes, of which about so many will be read.
    pub fn scan_hinted(&self, family: Family, range: &KeyRange, direction: Direction, hint: Hint) -> Result<ViewScan> {
        let keyspace = self.committed.families.readable(family)?;
        let Committed { overlay, snapshot, spilled, .. } = &*self.committed;
        let below = snapshot.scan_hinted(keyspace, range, direction, hint)?;
        if self.sight.is_empty() {
            return Ok(ViewScan(Layers::Committed(below)));
        }
        let above = HeldScan {
            scan: OverlayScan::new(keyspace, range.clone(), direction, self.sight.clone()),
            overlay: overlay.clone(),
            _pin: self.committed.clone(),
        };
        let below = Below(below);
        let Some(spilled) = spilled else {
            return Ok(ViewScan(Layers::Overlaid(Box::new(Merge::new(above, below, direction)))));
        };
        let sight = self.sight.clone();
        let middle = ScratchScan::new(&*spilled.snapshot, keyspace, range, direction, hint, sight)?;
        let below = Merge::new(middle, below, direction);
        Ok(ViewScan(Layers::Spilled(Box::new(Merge::new(above, below, direction)))))
    }

    /// The first entry of the range in that direction: one seek.
    pub fn first(&self, family: Family, range: &KeyRange, direction: Direction) -> Result<Option<Entry>> {
        let keyspace = self.committed.families.readable(family)?;
        if self.committed.spilled.is_some() {
            return self.scan_hinted(family, range, direction, Hint::One)?.next().transpose();
        }
        let Some(above) = self.committed.overlay.first(keyspace, range, direction, &self.sight) else {
            return Ok(self.committed.snapshot.first(keyspace, range, direction)?);
        };
        let below = self.committed.snapshot.first(keyspace, &before(range, &above.0, direction), direction)?;
        self.first_of(family, range, direction, above, below)
    }

    /// The first entry of each range in that direction, in the order of the ranges: one wait where the store is far. Sorted ranges
    /// may be faster.
    pub fn multi_first(&self, family: Family, ranges: &[KeyRange], direction: Direction) -> Result<Vec<Option<Entry>>> {
        let keyspace = self.committed.families.readable(family)?;
        let Committed { overlay, snapshot, spilled, .. } = &*self.committed;
        if spilled.is_some() {
            return ranges.iter().map(|range| self.first(family, range, direction)).collect();
        }
        if self.sight.is_empty() {
            return Ok(snapshot.multi_first(keyspace, ranges, direction)?);
        }
        let above: Vec<_> = ranges.iter().map(|range| overlay.first(keyspace, range, direction, &self.sight)).collect();
        let below = ranges.iter().zip(&above).map(|(range, above)| match above {
            Some((key, _)) => before(range, key, direction),
            None => range.clone(),
        });
        let below = snapshot.multi_first(keyspace, &below.collect::<Vec<_>>(), direction)?;
        let firsts = ranges.iter().zip(above).zip(below);
        let first = |((range, above), below)| match above {
            Some(above) => self.first_of(family, range, direction, above, below),
            None => Ok(below),
        };
        firsts.map(first).collect()
    }

    /// The first entry of a range of which `above` is the first in the overlay, and `below` the first before that one in what is
    /// committed.
    fn first_of(
        &self,
        family: Family,
        range: &KeyRange,
        direction: Direction,
        above: Layered,
        below: Option<Entry>,
    ) -> Result<Option<Entry>> {
        match (below, above) {
            (Some(below), _) => Ok(Some(below)),
            (None, (key, Some(value))) => Ok(Some((key, value))),
            (None, (_, None)) => self.scan_hinted(family, range, direction, Hint::One)?.next().transpose(),
        }
    }
}

/// The part of a range before a key. Nothing above hides what stands there below.
fn before(range: &KeyRange, key: &Bytes, direction: Direction) -> KeyRange {
    match direction {
        Direction::Forward => range.before(key.clone()),
        Direction::Reverse => range.after(key.clone()),
    }
}
