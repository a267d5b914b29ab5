//! The lists of terms in the store, read chunk by chunk in either direction.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use dfuse_index::{View, ViewScan, codec::ValueReader};
use dfuse_kv::{Direction, KeyRange};
use roaring::RoaringBitmap;

use crate::{
    Budget, Error, Result,
    index::{POSTINGS, SEGMENTS, ordinals_of, put_key, read_chunk, segments},
    posting::{self, chunk_of},
    segment::Segment,
};

/// Most terms that a beginning of a value may stand for.
pub const MAX_PREFIX_TERMS: usize = 4096;
/// Entries that are read over before it is quicker to look for one.
const SKIPPED_ENTRIES: usize = 4;
/// A scan takes memory: with more lists than this in one query each entry is looked for.
pub(crate) const MAX_SCANS: usize = 64;

/// The chunk that has not ended, if there is one: its number and segments.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    pub(crate) chunk: u64,
    segments: Vec<Segment>,
}

impl OpenChunk {
    /// The open chunk of the view, if it is on the course.
    pub(crate) fn read(view: &View, course: &Course, budget: &mut Budget<'_>) -> Result<Option<Self>> {
        let Some((key, _)) = view.first(SEGMENTS, &KeyRange::all(), Direction::Reverse)? else { return Ok(None) };
        let chunk = chunk_of(ValueReader::new(SEGMENTS, &key).u64()?);
        if !course.chunks.contains(&chunk) {
            return Ok(None);
        }
        let segments = segments(view, ordinals_of(chunk))?;
        segments.iter().for_each(|_| budget.spend(0));
        Ok(Some(Self { chunk, segments: segments.into_iter().map(|(_, segment)| segment).collect() }))
    }

    fn find(&self, term: &[u8]) -> Result<RoaringBitmap> {
        let mut list = Vec::new();
        for segment in &self.segments {
            if let Some(bytes) = segment.find(term)? {
                posting::read_list(bytes, &mut list)?;
            }
        }
        Ok(posting::bitmap_of(&list))
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
        let key = |chunk| {
            let mut key = Vec::with_capacity(term.len() + 8);
            put_key(&mut key, term, chunk);
            key
        };
        match self.direction {
            Direction::Forward => KeyRange::new(key(target)..=key(*self.chunks.end())),
            Direction::Reverse => KeyRange::new(key(*self.chunks.start())..=key(target)),
        }
    }
}

/// The list of one term.
pub(crate) struct TermList {
    term: Box<[u8]>,
    open: InOpenChunk,
    /// The next entry of the store, and the chunk from which on it is the first.
    next: Option<(u64, Option<(u64, Bytes)>)>,
    scan: Option<ViewScan>,
    seeks: u32,
}

/// The list of a term in the open chunk, looked up when it is asked for.
enum InOpenChunk {
    Unknown(Arc<OpenChunk>),
    List(u64, RoaringBitmap),
    Nothing,
}

impl TermList {
    pub(crate) fn new(term: &[u8], open: Option<&Arc<OpenChunk>>) -> Self {
        let open = open.map_or(InOpenChunk::Nothing, |open| InOpenChunk::Unknown(open.clone()));
        Self { term: term.into(), open, next: None, scan: None, seeks: 0 }
    }

    /// The open chunk, if the term is there and it comes at `target` or after.
    fn open_chunk(&mut self, target: u64, course: &Course) -> Result<Option<u64>> {
        if let InOpenChunk::Unknown(open) = &self.open {
            if !course.reaches(open.chunk, target) {
                return Ok(None);
            }
            let (chunk, list) = (open.chunk, open.find(&self.term)?);
            self.open = if list.is_empty() { InOpenChunk::Nothing } else { InOpenChunk::List(chunk, list) };
        }
        Ok(match &self.open {
            InOpenChunk::List(chunk, _) => Some(*chunk).filter(|chunk| course.reaches(*chunk, target)),
            _ => None,
        })
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
        if !course.chunks.contains(&target) {
            return Ok(None);
        }
        if course.direction == Direction::Reverse
            && let Some(open) = self.open_chunk(target, course)?
        {
            return Ok(Some(open));
        }
        match &self.next {
            Some((from, entry)) if course.reaches(target, *from) => match entry {
                None => return self.open_chunk(target, course),
                Some((chunk, _)) if course.reaches(*chunk, target) => return Ok(Some(*chunk)),
                Some(_) => {}
            },
            _ => self.scan = None,
        }
        let entry = self.look(target, course, may_scan, view, budget)?;
        let chunk = entry.as_ref().map(|(chunk, _)| *chunk);
        self.next = Some((target, entry));
        if chunk.is_some() { Ok(chunk) } else { self.open_chunk(target, course) }
    }

    fn look(
        &mut self,
        target: u64,
        course: &Course,
        may_scan: bool,
        view: &View,
        budget: &mut Budget<'_>,
    ) -> Result<Option<(u64, Bytes)>> {
        self.seeks += 1;
        if self.scan.is_none() && may_scan && self.seeks > 1 {
            budget.spend(0);
            self.scan = Some(view.scan(POSTINGS, &course.keys(&self.term, target), course.direction)?);
        }
        if let Some(scan) = &mut self.scan {
            for _ in 0..SKIPPED_ENTRIES {
                let Some((key, value)) = scan.next().transpose()? else { return Ok(None) };
                budget.spend(value.len());
                let chunk = chunk(&self.term, &key)?;
                if course.reaches(chunk, target) {
                    return Ok(Some((chunk, value)));
                }
            }
            self.scan = None;
        }
        let found = view.first(POSTINGS, &course.keys(&self.term, target), course.direction)?;
        let Some((key, value)) = found else {
            budget.spend(0);
            return Ok(None);
        };
        budget.spend(value.len());
        Ok(Some((chunk(&self.term, &key)?, value)))
    }

    /// The list in a chunk that was sought.
    pub(crate) fn in_chunk(&self, chunk: u64) -> Result<RoaringBitmap> {
        match (&self.open, &self.next) {
            (InOpenChunk::List(open, list), _) if *open == chunk => Ok(list.clone()),
            (_, Some((_, Some((next, bytes))))) if *next == chunk => Ok(posting::decode(bytes)?),
            _ => Ok(RoaringBitmap::new()),
        }
    }

    /// Length of the list in that chunk, about.
    pub(crate) fn length_in(&self, chunk: u64) -> usize {
        match (&self.open, &self.next) {
            (InOpenChunk::List(open, list), _) if *open == chunk => list.len() as usize,
            (_, Some((_, Some((next, bytes))))) if *next == chunk => bytes.len(),
            _ => 0,
        }
    }
}

fn chunk(term: &[u8], key: &[u8]) -> Result<u64> {
    let chunk = key.strip_prefix(term).and_then(read_chunk);
    Ok(chunk.ok_or_else(|| ValueReader::new(POSTINGS, key).damaged("a key without a chunk"))?)
}

/// All terms whose keys begin with `start`, or nothing if there are more than [`MAX_PREFIX_TERMS`].
pub(crate) fn terms_with_prefix(
    view: &View,
    open: Option<&OpenChunk>,
    start: &[u8],
    budget: &mut Budget<'_>,
) -> Result<Option<Vec<Box<[u8]>>>> {
    let mut terms = BTreeSet::new();
    let mut range = KeyRange::prefix(start.to_vec());
    while let Some((key, value)) = view.first(POSTINGS, &range, Direction::Forward)? {
        budget.spend(value.len());
        // A term ends with a 0 that nothing in its value is: what follows its keys is the next term.
        let end = key.get(start.len()..).and_then(|value| value.iter().position(|byte| *byte == 0));
        let damaged = || Error::from(ValueReader::new(POSTINGS, &key).damaged("a key without a chunk"));
        let end = start.len() + end.ok_or_else(damaged)?;
        terms.insert(key[..=end].into());
        if terms.len() > MAX_PREFIX_TERMS {
            return Ok(None);
        }
        range = KeyRange::prefix(start.to_vec()).after([&key[..=end], &[0xff]].concat());
    }
    for segment in open.iter().flat_map(|open| &open.segments) {
        for entry in segment.with_prefix(start)? {
            terms.insert(entry?.0.into());
            if terms.len() > MAX_PREFIX_TERMS {
                return Ok(None);
            }
        }
    }
    Ok(Some(terms.into_iter().collect()))
}
