//! The lists of terms in the store, read chunk by chunk in either direction.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use bytes::Bytes;
use dfuse_index::{View, ViewScan, codec::ValueReader};
use dfuse_kv::{Direction, Entry, Hint, KeyRange};
use roaring::RoaringBitmap;

use crate::{
    Budget, Result,
    families::POSTINGS,
    keys::{ordinals_of, put_key, read_chunk, segments},
    posting::{self, BITMAP_BYTES, chunk_of},
    segment::Segment,
};

/// Most terms that a beginning of a value may stand for.
pub const MAX_PREFIX_TERMS: usize = 4096;
/// Most terms that all beginnings of values in a query may stand for.
pub const MAX_QUERY_TERMS: usize = 4 * MAX_PREFIX_TERMS;
/// Entries that are read at once for the beginnings of values in a query.
const MAX_HELD_ENTRIES: usize = 1 << 18;
/// Bytes of memory for what is in them.
const MAX_HELD_BYTES: usize = 8 << 20;
/// Bytes of memory of a set beside its values, about.
const SET_OVERHEAD: usize = 128;
/// Lists that are looked for at once: their entries are in memory together.
const SOUGHT_TOGETHER: usize = 64;
/// A scan takes memory: with more lists than this in one query each entry is looked for.
pub(crate) const MAX_SCANS: usize = 64;

/// Chunks that are not split, or not as a whole: the one that has not ended, and perhaps the one before.
#[derive(Debug)]
pub(crate) struct OpenChunks(Vec<OpenChunk>);

#[derive(Debug)]
struct OpenChunk {
    chunk: u64,
    segments: Vec<Segment>,
}

/// Lists of open chunks by chunk, in ascending order; none that is empty.
#[derive(Debug, Default)]
struct OpenLists(Vec<(u64, RoaringBitmap)>);

impl OpenLists {
    fn get(&self, chunk: u64) -> Option<&RoaringBitmap> {
        self.0.iter().find(|(open, _)| *open == chunk).map(|(_, list)| list)
    }

    /// The first of the chunks from `target` on.
    fn seek(&self, target: u64, course: &Course) -> Option<u64> {
        let reached = self.0.iter().map(|(chunk, _)| *chunk).filter(|chunk| course.reaches(*chunk, target));
        reached.reduce(|a, b| course.earlier(a, b))
    }
}

impl OpenChunks {
    /// The open chunks of the view that are on the course.
    pub(crate) fn read(view: &View, course: &Course, budget: &mut Budget<'_>) -> Result<Self> {
        let mut open: Vec<OpenChunk> = Vec::new();
        let ordinals = *ordinals_of(*course.chunks.start()).start()..=*ordinals_of(*course.chunks.end()).end();
        for (first, segment) in segments(view, ordinals)? {
            budget.spend(0);
            let chunk = chunk_of(first);
            match open.last_mut().filter(|last| last.chunk == chunk) {
                Some(last) => last.segments.push(segment),
                None => open.push(OpenChunk { chunk, segments: vec![segment] }),
            }
        }
        Ok(Self(open))
    }

    /// Whether any of them comes at `target` or after.
    fn reaches(&self, target: u64, course: &Course) -> bool {
        self.0.iter().any(|open| course.reaches(open.chunk, target))
    }

    fn find(&self, term: &[u8]) -> Result<OpenLists> {
        self.lists(|segment, list| match segment.find(term)? {
            Some(bytes) => Ok(posting::read_list(bytes, list)?),
            None => Ok(()),
        })
    }

    /// The lists that `read` appends to, segment by segment.
    fn lists(&self, read: impl Fn(&Segment, &mut Vec<u32>) -> Result<()>) -> Result<OpenLists> {
        let mut lists = OpenLists::default();
        for OpenChunk { chunk, segments } in &self.0 {
            let mut list = Vec::new();
            for segment in segments {
                read(segment, &mut list)?;
            }
            // Lists of several terms may have an action twice.
            if !list.is_sorted_by(|a, b| a < b) {
                list.sort_unstable();
                list.dedup();
            }
            if !list.is_empty() {
                lists.0.push((*chunk, posting::bitmap_of(&list)));
            }
        }
        Ok(lists)
    }
}

/// A range of chunks that is read in one direction.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) chunks: RangeInclusive<u64>,
    pub(crate) direction: Direction,
}

impl Course {
    /// Whether `chunk` is reached by those who want `target` or what comes after.
    pub(crate) fn reaches(&self, chunk: u64, target: u64) -> bool {
        match self.direction {
            Direction::Forward => chunk >= target,
            Direction::Reverse => chunk <= target,
        }
    }

    /// The one that comes first.
    pub(crate) fn earlier(&self, a: u64, b: u64) -> u64 {
        if self.reaches(b, a) { a } else { b }
    }

    /// Keys of the term from `target` on.
    fn keys(&self, term: &[u8], target: u64) -> KeyRange {
        match self.direction {
            Direction::Forward => KeyRange::new(key(term, target)..=key(term, *self.chunks.end())),
            Direction::Reverse => KeyRange::new(key(term, *self.chunks.start())..=key(term, target)),
        }
    }
}

/// The key of the list of a term in a chunk.
fn key(term: &[u8], chunk: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(term.len() + 8);
    put_key(&mut key, term, chunk);
    key
}

/// The list of one term.
pub(crate) struct TermList {
    term: Box<[u8]>,
    open: InOpenChunks,
    /// The next entry of the store, and the chunk from which on it is the first.
    next: Option<(u64, Option<(u64, Bytes)>)>,
    scan: Option<ViewScan>,
    seeks: u32,
}

/// What is known of the first chunk from somewhere on.
enum Known {
    /// It is this one, if there is one.
    Chunk(Option<u64>),
    No,
}

/// The lists of a term in the open chunks, looked up when they are asked for.
enum InOpenChunks {
    Unknown(Arc<OpenChunks>),
    Known(OpenLists),
}

impl TermList {
    pub(crate) fn new(term: &[u8], open: &Arc<OpenChunks>) -> Self {
        Self { term: term.into(), open: InOpenChunks::Unknown(open.clone()), next: None, scan: None, seeks: 0 }
    }

    /// The first open chunk with the term that comes at `target` or after.
    fn open_chunk(&mut self, target: u64, course: &Course) -> Result<Option<u64>> {
        if let InOpenChunks::Unknown(open) = &self.open {
            if !open.reaches(target, course) {
                return Ok(None);
            }
            self.open = InOpenChunks::Known(open.find(&self.term)?);
        }
        Ok(match &self.open {
            InOpenChunks::Known(lists) => lists.seek(target, course),
            InOpenChunks::Unknown(_) => None,
        })
    }

    /// The list in an open chunk.
    fn in_open(&self, chunk: u64) -> Option<&RoaringBitmap> {
        match &self.open {
            InOpenChunks::Known(lists) => lists.get(chunk),
            InOpenChunks::Unknown(_) => None,
        }
    }

    /// The first chunk from `target` on where the term is. Targets that go on are cheaper than others.
    pub(crate) fn seek(
        &mut self,
        target: u64,
        course: &Course,
        may_scan: bool,
        view: &View,
        budget: &mut Budget<'_>,
    ) -> Result<Option<u64>> {
        if let Known::Chunk(chunk) = self.known(target, course, budget)? {
            return Ok(chunk);
        }
        let found = self.look(target, course, may_scan, view)?;
        self.found(found, target, course, budget)
    }

    /// The first chunk from `target` on where any of the terms is. Where there are too many of them for scans, those that have to be
    /// looked for are looked for together.
    pub(crate) fn seek_any(
        terms: &mut [Self],
        target: u64,
        course: &Course,
        may_scan: bool,
        view: &View,
        budget: &mut Budget<'_>,
    ) -> Result<Option<u64>> {
        let mut first: Option<u64> = None;
        let mut earlier = |chunk: u64| first = Some(first.map_or(chunk, |first| course.earlier(first, chunk)));
        if may_scan {
            for term in terms {
                term.seek(target, course, may_scan, view, budget)?.into_iter().for_each(&mut earlier);
            }
            return Ok(first);
        }
        let mut unknown = Vec::new();
        for term in terms {
            match term.known(target, course, budget)? {
                Known::Chunk(chunk) => chunk.into_iter().for_each(&mut earlier),
                Known::No => unknown.push(term),
            }
        }
        for terms in unknown.chunks_mut(SOUGHT_TOGETHER) {
            let ranges: Vec<_> = terms.iter().map(|term| course.keys(&term.term, target)).collect();
            let found = view.multi_first(POSTINGS, &ranges, course.direction)?;
            for (term, found) in terms.iter_mut().zip(found) {
                term.found(found, target, course, budget)?.into_iter().for_each(&mut earlier);
            }
        }
        Ok(first)
    }

    /// What is known without looking into the store.
    fn known(&mut self, target: u64, course: &Course, budget: &mut Budget<'_>) -> Result<Known> {
        // Looking for the term in open chunks is not counted, and there may be thousands of terms.
        budget.pause();
        if !course.chunks.contains(&target) {
            return Ok(Known::Chunk(None));
        }
        // Of a chunk that is being split, the open lists have everything, and those in the store what is there already.
        if course.direction == Direction::Reverse
            && let Some(open) = self.open_chunk(target, course)?
        {
            return Ok(Known::Chunk(Some(open)));
        }
        match &self.next {
            Some((from, entry)) if course.reaches(target, *from) => match entry {
                None => return self.open_chunk(target, course).map(Known::Chunk),
                Some((chunk, _)) if course.reaches(*chunk, target) => return Ok(Known::Chunk(Some(*chunk))),
                Some(_) => {}
            },
            _ => self.scan = None,
        }
        Ok(Known::No)
    }

    /// The first entry of the store from `target` on.
    fn look(&mut self, target: u64, course: &Course, may_scan: bool, view: &View) -> Result<Option<Entry>> {
        self.seeks += 1;
        if let Some(scan) = &mut self.scan {
            scan.skip_to(&key(&self.term, target))?;
            return Ok(scan.next().transpose()?);
        }
        let keys = course.keys(&self.term, target);
        if !may_scan || self.seeks == 1 {
            return Ok(view.first(POSTINGS, &keys, course.direction)?);
        }
        let scan = self.scan.insert(view.scan(POSTINGS, &keys, course.direction)?);
        Ok(scan.next().transpose()?)
    }

    /// Takes what was found in the store from `target` on. The first chunk where the term is.
    fn found(
        &mut self,
        found: Option<Entry>,
        target: u64,
        course: &Course,
        budget: &mut Budget<'_>,
    ) -> Result<Option<u64>> {
        budget.spend(found.as_ref().map_or(0, |(_, value)| value.len()));
        let entry = match found {
            Some((key, value)) => Some((chunk(&self.term, &key)?, value)),
            None => None,
        };
        let chunk = entry.as_ref().map(|(chunk, _)| *chunk);
        self.next = Some((target, entry));
        if chunk.is_some() { Ok(chunk) } else { self.open_chunk(target, course) }
    }

    /// The list in a chunk that was sought.
    pub(crate) fn in_chunk(&self, chunk: u64) -> Result<RoaringBitmap> {
        match (self.in_open(chunk), &self.next) {
            (Some(list), _) => Ok(list.clone()),
            (None, Some((_, Some((next, bytes))))) if *next == chunk => Ok(posting::decode(bytes)?),
            _ => Ok(RoaringBitmap::new()),
        }
    }

    /// Length of the list in that chunk, about.
    pub(crate) fn length_in(&self, chunk: u64) -> usize {
        match (self.in_open(chunk), &self.next) {
            (Some(list), _) => list.len() as usize,
            (None, Some((_, Some((next, bytes))))) if *next == chunk => bytes.len(),
            _ => 0,
        }
    }
}

fn chunk(term: &[u8], key: &[u8]) -> Result<u64> {
    let chunk = key.strip_prefix(term).and_then(read_chunk);
    Ok(chunk.ok_or_else(|| ValueReader::new(POSTINGS, key).damaged("a key without a chunk"))?)
}

/// The lists of all terms that begin so, for all beginnings of a query together.
#[derive(Debug)]
pub(crate) struct Beginnings {
    /// Terms that there may still be.
    terms: usize,
    /// Entries that may still be read at once.
    entries: usize,
    /// Bytes of memory that may still be used for them.
    bytes: usize,
}

/// What a beginning of a value stands for.
#[derive(Debug)]
pub(crate) enum WithPrefix {
    /// Too many terms.
    TooMany,
    /// The terms.
    Terms(Vec<Box<[u8]>>),
    /// All of their lists, which are few.
    Lists(HeldLists),
}

/// What is in the lists of several terms, by chunk.
#[derive(Debug, Default)]
pub(crate) struct HeldLists {
    chunks: BTreeMap<u64, RoaringBitmap>,
    open: OpenLists,
}

impl HeldLists {
    /// The first chunk from `target` on where any of the terms is.
    pub(crate) fn seek(&self, target: u64, course: &Course) -> Option<u64> {
        let closed = match course.direction {
            Direction::Forward => self.chunks.range(target..).next(),
            Direction::Reverse => self.chunks.range(..=target).next_back(),
        };
        let closed = closed.map(|(chunk, _)| *chunk);
        closed.into_iter().chain(self.open.seek(target, course)).reduce(|a, b| course.earlier(a, b))
    }

    /// All of the lists in a chunk.
    pub(crate) fn in_chunk(&self, chunk: u64) -> RoaringBitmap {
        self.open.get(chunk).or_else(|| self.chunks.get(&chunk)).cloned().unwrap_or_default()
    }

    /// Length of the lists in that chunk, about.
    pub(crate) fn length_in(&self, chunk: u64) -> usize {
        self.open.get(chunk).or_else(|| self.chunks.get(&chunk)).map_or(0, |list| list.len() as usize)
    }
}

impl Default for Beginnings {
    fn default() -> Self {
        Self { terms: MAX_QUERY_TERMS, entries: MAX_HELD_ENTRIES, bytes: MAX_HELD_BYTES }
    }
}

impl Beginnings {
    /// Reads on from the first term that begins so. Lists lie side by side, so that reading over all of them is cheaper than
    /// looking for those that are wanted, unless they are long.
    pub(crate) fn read(
        &mut self,
        view: &View,
        open: &OpenChunks,
        start: &[u8],
        course: &Course,
        budget: &mut Budget<'_>,
    ) -> Result<WithPrefix> {
        let most = self.terms.min(MAX_PREFIX_TERMS);
        let mut terms = BTreeSet::new();
        let mut held = HeldLists::default();
        for segment in open.0.iter().flat_map(|open| &open.segments) {
            budget.pause();
            for entry in segment.with_prefix(start)? {
                terms.insert(Box::from(entry?.0));
                if terms.len() > most {
                    return Ok(WithPrefix::TooMany);
                }
            }
        }
        let (mut entries, mut bytes, mut term) = (self.entries, self.bytes, Box::<[u8]>::default());
        let mut is_whole = true;
        for entry in view.scan_hinted(POSTINGS, &KeyRange::prefix(start.to_vec()), Direction::Forward, Hint::Many)? {
            let (key, value) = entry?;
            budget.spend(value.len());
            let (of, chunk) = split_key(&key, start.len())?;
            if *term != *of {
                term = Box::from(of);
                terms.insert(term.clone());
                if terms.len() > most {
                    return Ok(WithPrefix::TooMany);
                }
            }
            if entries == 0 || bytes < BITMAP_BYTES + SET_OVERHEAD {
                is_whole = false;
                break;
            }
            entries -= 1;
            if course.chunks.contains(&chunk) {
                let set = held.chunks.entry(chunk).or_default();
                let size = |set: &RoaringBitmap| match set.len() as usize {
                    0 => 0,
                    values => SET_OVERHEAD + BITMAP_BYTES.min(2 * values),
                };
                let before = size(set);
                *set |= posting::decode(&value)?;
                bytes -= size(set) - before;
            }
        }
        if !is_whole {
            // From the term at which it was too much.
            let mut range = KeyRange::prefix(start.to_vec()).after([&term[..], &[0xff]].concat());
            while let Some((key, value)) = view.first(POSTINGS, &range, Direction::Forward)? {
                budget.spend(value.len());
                let (of, _) = split_key(&key, start.len())?;
                terms.insert(of.into());
                if terms.len() > most {
                    return Ok(WithPrefix::TooMany);
                }
                range = KeyRange::prefix(start.to_vec()).after([of, &[0xff]].concat());
            }
            self.terms -= terms.len();
            return Ok(WithPrefix::Terms(terms.into_iter().collect()));
        }
        (self.entries, self.bytes) = (entries, bytes);
        self.terms -= terms.len();
        held.open = open.lists(|segment, list| {
            budget.pause();
            segment.with_prefix(start)?.try_for_each(|entry| Ok(posting::read_list(entry?.1, list)?))
        })?;
        Ok(WithPrefix::Lists(held))
    }
}

/// Term and chunk of a key, of which the first bytes are known to be part of the term.
fn split_key(key: &[u8], known: usize) -> Result<(&[u8], u64)> {
    // A term ends with a 0 that nothing in its value is: what follows its keys is the next term.
    let end = key.get(known..).and_then(|value| value.iter().position(|byte| *byte == 0));
    let split = end.and_then(|end| key.split_at_checked(known + end + 1));
    let split = split.and_then(|(term, chunk)| Some((term, read_chunk(chunk)?)));
    Ok(split.ok_or_else(|| ValueReader::new(POSTINGS, key).damaged("a key without a chunk"))?)
}
