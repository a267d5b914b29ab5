//! What the feed keeps in memory of the chain's end, and the one function that says what a stream sends next.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    sync::Arc,
};

use dfuse_antelope::Checksum256;

use super::block::FeedBlock;
use crate::{
    Added, BlockRef, Finalized, ForkDb, Linked, OneBlockName, Step,
    bundle::{BUNDLE_BLOCKS, base_of},
};

/// What is always in memory of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) id: Checksum256,
    pub(super) previous: Checksum256,
    pub(super) lib_number: u32,
}

impl Link {
    pub(super) fn of(block: &impl Linked) -> Self {
        Self { id: block.id(), previous: block.previous(), lib_number: block.lib_number() }
    }

    pub(super) fn parent(&self) -> BlockRef {
        BlockRef { number: self.number().saturating_sub(1), id: self.previous }
    }
}

impl Linked for Link {
    fn id(&self) -> Checksum256 {
        self.id
    }

    fn previous(&self) -> Checksum256 {
        self.previous
    }

    fn lib_number(&self) -> u32 {
        self.lib_number
    }
}

/// A block of the hub: its links, and where to find the rest of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) link: Link,
    /// Rises in the order in which blocks came.
    pub(super) arrival: u64,
    /// Suffix of its one-block file, if it was written; it may be among the forked blocks by now.
    pub(super) file: Option<Arc<str>>,
    /// Itself, while it is in memory.
    pub(super) payload: Option<Arc<FeedBlock>>,
}

impl Entry {
    pub(super) fn file_name(&self) -> Option<OneBlockName> {
        self.file.as_ref().map(|suffix| OneBlockName::new(&self.link, suffix))
    }
}

impl Linked for Entry {
    fn id(&self) -> Checksum256 {
        self.link.id
    }

    fn previous(&self) -> Checksum256 {
        self.link.previous
    }

    fn lib_number(&self) -> u32 {
        self.link.lib_number
    }
}

#[derive(Debug)]
struct Lost {
    entry: Entry,
    /// Whether it is among the forked blocks of the store.
    aside: bool,
}

/// What becomes of blocks that precede the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrecedingBlocks {
    /// They are in files, and will be in the bundle of the first block.
    Kept,
    /// That bundle is being written without them.
    BundleIsWritten,
    /// That bundle is there without them.
    BundleIsThere,
}

/// Where a stream is: see [`crate::Cursor`]. `tip.number` is never below `lib`; where they are equal the id of the tip is
/// of no importance, as nothing that was delivered can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) tip: BlockRef,
    pub(super) lib: u32,
    /// The tip is below what the hub knows, and was found to be in the chain.
    pub(super) settled: bool,
}

impl Position {
    /// Before the first event of a stream that begins with this block.
    pub(super) fn before(number: u32) -> Self {
        let lib = number.saturating_sub(1);
        Self { tip: BlockRef { number: lib, id: Checksum256::default() }, lib, settled: false }
    }
}

/// What a stream does next.
#[derive(Debug)]
pub(super) enum Plan {
    /// Sends a block of the hub.
    Send(Step, Entry),
    /// Sends a final block that is in bundles.
    SendHistory(Step, u32),
    /// The tip is not in memory: look it up in the store.
    Unplaced,
    /// There is nothing to send until something changes.
    Wait,
    /// The stop block was sent.
    End,
}

/// What a subscriber wants to see.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    pub(super) irreversible_only: bool,
    pub(super) confirmations: u32,
    pub(super) stop_block: Option<u32>,
}

/// How a block relates to the best chain, as far as the hub knows.
#[derive(Debug)]
pub(super) enum Standing {
    OnChain,
    Lost(Entry),
    Unknown,
}

/// The reversible blocks, the final ones above the `floor`, and lost ones of the same heights.
#[derive(Debug)]
pub(super) struct Hub {
    /// Number of the first block that is kept in memory or bundles.
    pub(super) first: u32,
    /// Number of the first block that was kept when earlier ones were removed; 0 if none were.
    pub(super) kept_from: u32,
    /// The block below those that are kept.
    floor: BlockRef,
    /// Final blocks above the floor, to the LIB.
    tail: VecDeque<Entry>,
    forks: ForkDb<Entry>,
    lost: BTreeMap<Checksum256, Lost>,
    /// Up to here blocks are in bundles.
    bundled: u32,
    /// Whether the next bundle is being written.
    writes_bundle: bool,
    /// Blocks that were brought into memory, in that order. Some have left it since.
    resident: VecDeque<Checksum256>,
    resident_bytes: usize,
}

impl Hub {
    /// From `first` to `floor` all is in bundles.
    pub(super) fn new(first: u32, floor: BlockRef) -> Self {
        Self {
            first,
            kept_from: 0,
            floor,
            tail: VecDeque::new(),
            forks: ForkDb::new(floor),
            lost: BTreeMap::new(),
            bundled: floor.number,
            writes_bundle: false,
            resident: VecDeque::new(),
            resident_bytes: 0,
        }
    }

    pub(super) fn lib(&self) -> BlockRef {
        self.forks.lib()
    }

    pub(super) fn head(&self) -> BlockRef {
        self.forks.head()
    }

    /// Number of the newest block that is final or has so many on top.
    pub(super) fn confirmed(&self, confirmations: u32) -> u32 {
        self.head().number.saturating_sub(confirmations).max(self.lib().number)
    }

    pub(super) fn floor(&self) -> BlockRef {
        self.floor
    }

    pub(super) fn bundled(&self) -> u32 {
        self.bundled
    }

    /// Reversible blocks of all branches.
    pub(super) fn reversible(&self) -> impl Iterator<Item = &Entry> {
        self.forks.blocks()
    }

    /// Final blocks that are not in bundles.
    pub(super) fn unbundled(&self) -> impl Iterator<Item = &Entry> {
        self.tail.iter().skip((self.bundled - self.floor.number) as usize)
    }

    /// A block above the floor, of any branch.
    pub(super) fn get(&self, id: Checksum256) -> Option<&Entry> {
        let lost = || self.lost.get(&id).map(|lost| &lost.entry);
        let tail = self.final_index(id.block_num()).map(|at| &self.tail[at]).filter(|entry| entry.link.id == id);
        tail.or_else(|| self.forks.get(id)).or_else(lost)
    }

    fn get_mut(&mut self, id: Checksum256) -> Option<&mut Entry> {
        match self.final_index(id.block_num()) {
            Some(at) if self.tail[at].link.id == id => self.tail.get_mut(at),
            _ => self.forks.get_mut(id).or_else(|| self.lost.get_mut(&id).map(|lost| &mut lost.entry)),
        }
    }

    fn final_index(&self, number: u32) -> Option<usize> {
        let index = number.checked_sub(self.floor.number)?.checked_sub(1)? as usize;
        (index < self.tail.len()).then_some(index)
    }

    /// The block of the best chain at a height above the floor.
    pub(super) fn canonical(&self, number: u32) -> Option<&Entry> {
        match self.final_index(number) {
            Some(at) => self.tail.get(at),
            None => self.forks.get(self.forks.best(number)?),
        }
    }

    /// Id of the block of the best chain at the floor or above.
    pub(super) fn canonical_id(&self, number: u32) -> Option<Checksum256> {
        if number == self.floor.number {
            return Some(self.floor.id);
        }
        self.canonical(number).map(|entry| entry.link.id)
    }

    /// Whether a child of this reversible block can still win.
    pub(super) fn is_linked(&self, id: Checksum256) -> bool {
        id == self.lib().id || self.forks.is_linked(id)
    }

    /// Takes a block in; tells what became of it, and which blocks lost for good.
    pub(super) fn add(&mut self, entry: Entry) -> (Added, Vec<Link>) {
        let id = entry.link.id;
        let size = entry.payload.as_ref().map_or(0, |block| block.encoded().envelope().len());
        let kept = entry.clone();
        let added = self.forks.add(entry);
        match added {
            Added::Known => return (added, vec![]),
            // Only while the fork database is rebuilt.
            Added::Late if self.canonical_id(id.block_num()) != Some(id) => {
                self.lost.insert(id, Lost { entry: kept, aside: false });
            }
            Added::Late => return (added, vec![]),
            Added::Head | Added::Side | Added::Orphan => {}
        }
        if size > 0 {
            self.resident.push_back(id);
            self.resident_bytes += size;
        }
        let Finalized { irreversible, stalled } = self.forks.finalize();
        self.tail.extend(irreversible);
        let links = stalled.iter().map(|entry| entry.link).collect();
        self.lost.extend(stalled.into_iter().map(|entry| (entry.link.id, Lost { entry, aside: false })));
        (added, links)
    }

    /// Blocks above the floor that came with that arrival or later, of all branches.
    pub(super) fn arrived(&self, from: u64) -> Vec<(u64, BlockRef)> {
        let lost = self.lost.values().map(|lost| &lost.entry);
        let entries = self.tail.iter().chain(self.forks.blocks()).chain(lost);
        entries.filter(|entry| entry.arrival >= from).map(|entry| (entry.arrival, entry.into())).collect()
    }

    // What is in memory

    /// Keeps a block that was read again, unless another reader was faster: then returns that one's.
    pub(super) fn restore_payload(&mut self, block: Arc<FeedBlock>) -> Arc<FeedBlock> {
        let id = block.encoded().id();
        match self.get_mut(id) {
            None => block,
            Some(Entry { payload: Some(present), .. }) => present.clone(),
            Some(entry) => {
                entry.payload = Some(block.clone());
                self.resident.push_back(id);
                self.resident_bytes += block.encoded().envelope().len();
                block
            }
        }
    }

    /// What the blocks in memory take.
    pub(super) fn resident_bytes(&self) -> usize {
        self.resident_bytes
    }

    /// Lets blocks go from memory, the oldest first, until they fit the budget. Comes to one that is in no file: returns it
    /// to be written, then to be reported with [`Self::written`]; unless others write the files.
    pub(super) fn shrink(&mut self, budget: usize, others_write: bool) -> Option<Arc<FeedBlock>> {
        while self.resident_bytes > budget
            && let Some(&id) = self.resident.front()
        {
            let bundled = id.block_num() <= self.bundled && self.canonical_id(id.block_num()) == Some(id);
            let freed = match self.get_mut(id) {
                Some(Entry { file: None, payload: Some(block), .. }) if !bundled && !others_write => {
                    return Some(block.clone());
                }
                Some(entry) => entry.payload.take(),
                None => None,
            };
            self.free(freed.as_ref());
            self.resident.pop_front();
        }
        None
    }

    fn free(&mut self, payload: Option<&Arc<FeedBlock>>) {
        self.resident_bytes -= payload.map_or(0, |block| block.encoded().envelope().len());
    }

    /// The one-block file of a block was written.
    pub(super) fn written(&mut self, id: Checksum256, suffix: &Arc<str>) {
        if let Some(entry) = self.get_mut(id) {
            entry.file = Some(suffix.clone());
        }
    }

    /// Blocks in memory that are in no file, in the order in which they came.
    pub(super) fn unwritten(&self) -> Vec<Arc<FeedBlock>> {
        let lost = self.lost.values().filter(|lost| !lost.aside).map(|lost| &lost.entry);
        let entries = self.unbundled().chain(self.forks.blocks()).chain(lost).filter(|entry| entry.file.is_none());
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|entry| entry.arrival);
        entries.into_iter().filter_map(|entry| entry.payload.clone()).collect()
    }

    /// Nothing below that number is read any more, nor below the bundle that it is in; the last bundle stays. Returns the
    /// first block that is left.
    pub(super) fn forget_below(&mut self, number: u32) -> u32 {
        let kept_from = base_of(number.min(self.bundled));
        if kept_from > self.first {
            (self.first, self.kept_from) = (kept_from, kept_from);
        }
        self.first
    }

    // What goes into bundles or aside

    /// The last block of the next bundle.
    pub(super) fn next_bundle_end(&self) -> Option<u32> {
        base_of(self.bundled.saturating_add(1)).checked_add(BUNDLE_BLOCKS - 1)
    }

    /// Whether all blocks of the next bundle are final.
    pub(super) fn has_full_bundle(&self) -> bool {
        self.next_bundle_end().is_some_and(|last| last <= self.lib().number)
    }

    /// The final blocks of these numbers, if all are there.
    pub(super) fn final_blocks(&self, numbers: RangeInclusive<u32>) -> Option<Vec<Entry>> {
        let from = self.final_index(*numbers.start())?;
        let to = self.final_index(*numbers.end())?;
        (from <= to).then(|| self.tail.range(from..=to).cloned().collect())
    }

    /// A bundle was written up to `last`. Returns the one-block files that it makes superfluous: those that are known, and of
    /// blocks that another machine wrote, too, those of this one.
    pub(super) fn bundle_written(&mut self, last: u32, own: &str) -> Vec<OneBlockName> {
        let from = (self.bundled - self.floor.number) as usize;
        let to = (last - self.floor.number) as usize;
        self.bundled = last;
        self.writes_bundle = false;
        let of_entry = |entry: &mut Entry| {
            let known = entry.file_name();
            entry.file = None;
            let is_of_others = known.as_ref().is_some_and(|name| name.suffix != own);
            let other = is_of_others.then(|| OneBlockName::new(&entry.link, own));
            known.into_iter().chain(other)
        };
        self.tail.range_mut(from..to).flat_map(of_entry).collect()
    }

    /// The next bundle is being written, or could not be written: until it is there, nothing can go into it.
    pub(super) fn writes_bundle(&mut self, now: bool) {
        self.writes_bundle = now;
    }

    /// Blocks that end with the parent of the first block of all, and are of its bundle, are in one-block files with that suffix.
    /// Those that are known are passed over.
    pub(super) fn precede(&mut self, links: &[Link], suffix: &Arc<str>) -> PrecedingBlocks {
        let Some(last) = links.last() else { return PrecedingBlocks::Kept };
        if self.bundled > last.number() {
            return PrecedingBlocks::BundleIsThere;
        }
        if self.writes_bundle {
            return PrecedingBlocks::BundleIsWritten;
        }
        let floor = self.floor.id;
        for link in links.iter().rev().skip_while(|link| link.id != floor) {
            self.tail.push_front(Entry { link: *link, arrival: 0, file: Some(suffix.clone()), payload: None });
            self.floor = link.parent();
            self.bundled = self.floor.number;
        }
        PrecedingBlocks::Kept
    }

    /// Lost blocks that are not yet with the forked blocks.
    pub(super) fn to_put_aside(&self) -> Vec<Entry> {
        self.lost.values().filter(|lost| !lost.aside).map(|lost| lost.entry.clone()).collect()
    }

    /// Blocks that are not on the best chain.
    pub(super) fn off_chain(&self) -> Vec<Entry> {
        let lost = self.lost.values().map(|lost| &lost.entry);
        let off_chain = |entry: &&Entry| self.canonical_id(entry.link.number()) != Some(entry.link.id);
        self.forks.blocks().filter(off_chain).chain(lost).cloned().collect()
    }

    /// Whoever writes the store puts lost blocks aside.
    pub(super) fn all_put_aside(&mut self) {
        self.lost.values_mut().for_each(|lost| lost.aside = true);
    }

    pub(super) fn put_aside(&mut self, id: Checksum256, suffix: &Arc<str>) {
        if let Some(lost) = self.lost.get_mut(&id) {
            lost.aside = true;
            lost.entry.file.get_or_insert_with(|| suffix.clone());
        }
    }

    /// Forgets what is in bundles and more than `window` blocks below the LIB.
    pub(super) fn trim(&mut self, window: u32) {
        let floor = self.bundled.min(self.lib().number.saturating_sub(window));
        while self.floor.number < floor
            && let Some(entry) = self.tail.pop_front()
        {
            self.free(entry.payload.as_ref());
            self.floor = (&entry).into();
        }
        let floor = self.floor.number;
        let gone = self.lost.extract_if(.., |id, lost| id.block_num() <= floor && lost.aside);
        let gone: Vec<_> = gone.filter_map(|(_, lost)| lost.entry.payload).collect();
        gone.iter().for_each(|block| self.free(Some(block)));
        while let Some(&id) = self.resident.front()
            && self.get(id).is_none_or(|entry| entry.payload.is_none())
        {
            self.resident.pop_front();
        }
    }

    // What a stream sends

    /// How a block relates to the best chain.
    pub(super) fn standing(&self, block: BlockRef) -> Standing {
        if self.canonical_id(block.number) == Some(block.id) {
            return Standing::OnChain;
        }
        match self.get(block.id) {
            Some(entry) => Standing::Lost(entry.clone()),
            None => Standing::Unknown,
        }
    }

    /// What a stream at this position sends next. Streams have no other state: one that was resumed and one that never
    /// stopped go through the same steps.
    ///
    /// A block is undone as soon as it is off the best chain. Irreversible follows the New of the first block that names
    /// it final; but where the next block is final before it is sent, all that was sent before becomes irreversible first,
    /// so that blocks become final in ascending order. A block is sent once it has the confirmations, for which the chain
    /// might as well end below its head, and is undone as soon as it is off the best chain, whatever stands there by then.
    pub(super) fn plan(&self, position: &Position, filter: Filter) -> Plan {
        let Position { tip, lib: sent, settled } = *position;
        let (lib, end) = (self.lib().number, self.confirmed(filter.confirmations));
        if filter.irreversible_only {
            return match filter.stop_block {
                Some(stop) if sent >= stop => Plan::End,
                _ if sent < lib => self.send(Step::Irreversible, sent + 1),
                _ => Plan::Wait,
            };
        }
        let mut named_by_tip = lib;
        if tip.number > sent && !settled {
            match self.standing(tip) {
                Standing::OnChain => {
                    named_by_tip = self.canonical(tip.number).map_or(lib, |entry| entry.link.lib_number.min(lib));
                }
                Standing::Lost(entry) => return Plan::Send(Step::Undo, entry),
                Standing::Unknown => return Plan::Unplaced,
            }
        }
        if filter.stop_block.is_some_and(|stop| tip.number >= stop) {
            return Plan::End;
        }
        let due = if tip.number < lib || tip.number >= end { lib } else { named_by_tip };
        if sent < due.min(tip.number) {
            return self.send(Step::Irreversible, sent + 1);
        }
        if tip.number < end { self.send(Step::New, tip.number + 1) } else { Plan::Wait }
    }

    fn send(&self, step: Step, number: u32) -> Plan {
        match self.canonical(number) {
            Some(entry) => Plan::Send(step, entry.clone()),
            None => Plan::SendHistory(step, number),
        }
    }
}
