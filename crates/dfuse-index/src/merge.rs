use std::cmp::Ordering;

use dfuse_kv::Direction;

use crate::{
    Result,
    sight::{LayerScan, Layered},
};

/// Two sorted scans as one; where both have a key the upper one counts. Ends after an error.
pub(crate) struct Merge<U, L> {
    upper: U,
    lower: L,
    direction: Direction,
    next_upper: Option<Layered>,
    next_lower: Option<Layered>,
    started: bool,
    done: bool,
}

impl<U: LayerScan, L: LayerScan> Merge<U, L> {
    pub(crate) fn new(upper: U, lower: L, direction: Direction) -> Self {
        Self { upper, lower, direction, next_upper: None, next_lower: None, started: false, done: false }
    }

    fn take_upper(&mut self) -> Result<Option<Layered>> {
        let next = self.upper.next().transpose()?;
        Ok(std::mem::replace(&mut self.next_upper, next))
    }

    fn take_lower(&mut self) -> Result<Option<Layered>> {
        let next = self.lower.next().transpose()?;
        Ok(std::mem::replace(&mut self.next_lower, next))
    }

    fn step(&mut self) -> Result<Option<Layered>> {
        if !self.started {
            self.started = true;
            self.take_upper()?;
            self.take_lower()?;
        }
        let (Some((upper, _)), Some((lower, _))) = (&self.next_upper, &self.next_lower) else {
            return if self.next_upper.is_some() { self.take_upper() } else { self.take_lower() };
        };
        let order = match self.direction {
            Direction::Forward => upper.cmp(lower),
            Direction::Reverse => lower.cmp(upper),
        };
        match order {
            Ordering::Less => self.take_upper(),
            Ordering::Greater => self.take_lower(),
            Ordering::Equal => {
                self.take_lower()?;
                self.take_upper()
            }
        }
    }
}

/// Skips to `key` in a scan of which `next` was taken already.
fn skip(scan: &mut impl LayerScan, next: &mut Option<Layered>, key: &[u8], direction: Direction) -> Result<()> {
    // Once it has ended it stays so.
    if next.as_ref().is_some_and(|(next, _)| !direction.reaches(next, key)) {
        scan.skip_to(key)?;
        *next = scan.next().transpose()?;
    }
    Ok(())
}

impl<U: LayerScan, L: LayerScan> LayerScan for Merge<U, L> {
    fn skip_to(&mut self, key: &[u8]) -> Result<()> {
        if self.done {
            return Ok(());
        }
        let skipped = match self.started {
            true => skip(&mut self.upper, &mut self.next_upper, key, self.direction)
                .and_then(|()| skip(&mut self.lower, &mut self.next_lower, key, self.direction)),
            false => self.upper.skip_to(key).and_then(|()| self.lower.skip_to(key)),
        };
        self.done = skipped.is_err();
        skipped
    }
}

impl<U: LayerScan, L: LayerScan> Iterator for Merge<U, L> {
    type Item = Result<Layered>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.step().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
