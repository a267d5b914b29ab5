//! Many sorted runs as one.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
    sync::Arc,
};

use super::{
    memory::{Combine, SortMemory},
    run::Run,
};
use crate::{Entry, Result};

/// A run and its next entry; the heap gives the lowest key first.
struct Head {
    entry: Entry,
    run: Run,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.entry.0.cmp(&self.entry.0)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

pub(super) struct Merge<'a> {
    heads: BinaryHeap<Head>,
    memory: Arc<SortMemory>,
    combine: &'a Combine<'a>,
    failed: bool,
}

impl<'a> Merge<'a> {
    pub(super) fn new(runs: Vec<Run>, memory: Arc<SortMemory>, combine: &'a Combine<'a>) -> Result<Self> {
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for mut run in runs {
            match run.next()? {
                Some(entry) => heads.push(Head { entry, run }),
                None => memory.give_back(run.memory_bytes()),
            }
        }
        Ok(Self { heads, memory, combine, failed: false })
    }

    /// The lowest entry, and its run goes on.
    fn pop(&mut self) -> Result<Option<Entry>> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        Ok(Some(match head.run.next()? {
            Some(next) => std::mem::replace(&mut head.entry, next),
            None => {
                let Head { entry, run } = PeekMut::pop(head);
                self.memory.give_back(run.memory_bytes());
                entry
            }
        }))
    }

    fn step(&mut self) -> Result<Option<Entry>> {
        let Some((key, mut value)) = self.pop()? else { return Ok(None) };
        while self.heads.peek().is_some_and(|head| head.entry.0 == key) {
            let Some((_, other)) = self.pop()? else { break };
            value = (self.combine)(&value, &other)?;
        }
        Ok(Some((key, value)))
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

impl Drop for Merge<'_> {
    fn drop(&mut self) {
        for head in self.heads.drain() {
            self.memory.give_back(head.run.memory_bytes());
        }
    }
}
