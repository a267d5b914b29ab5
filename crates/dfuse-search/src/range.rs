//! The range of blocks that a client asks for.

use std::ops::RangeInclusive;

use dfuse_kv::Direction;

use crate::{Error, Position, Result};

/// The first block of a chain that can be sent.
const FIRST_STREAMABLE: u32 = 2;

/// The range as a client gives it. Numbers below 0 count from the end: -1 is the last block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first block.
    pub low: Option<i64>,
    /// The last block.
    pub high: Option<i64>,
}

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Number of the first block that is served.
    pub lowest: u32,
    /// Number of the head.
    pub head: u32,
    /// Number of the last irreversible block.
    pub lib: u32,
}

impl Bounds {
    /// The blocks that are meant: both numbers included. The last one is `u32::MAX` for a stream that follows the chain
    /// (`follows`) without end; without it, an ascending search ends with the last block there is. A position takes the
    /// place of the bound where the search begins.
    ///
    /// # Errors
    /// [`Error::InvalidRange`], [`Error::NotYet`].
    pub fn resolve(
        &self,
        direction: Direction,
        irreversible_only: bool,
        follows: bool,
        after: Option<&Position>,
        heads: Heads,
    ) -> Result<RangeInclusive<u32>> {
        let ascending = direction == Direction::Forward;
        let (last, name, what) = match irreversible_only {
            false => (heads.head, "HEAD", "head"),
            true => (heads.lib, "LIB", "lib"),
        };
        let end = i64::from(last);
        let counted = |value: i64| if value < 0 { end.saturating_add(value).saturating_add(1) } else { value };
        let refused = |message: String| Err(Error::InvalidRange(message));
        // Whoever follows the same chain elsewhere may have had a block that is above the head here.
        let refused_above = |number: i64, message: String| match u32::try_from(number) {
            Ok(number) if number > heads.head => Err(Error::NotYet { number, is_final: false, message }),
            _ => Err(Error::InvalidRange(message)),
        };
        let beyond = |which: &str, value: i64| {
            let long_name = if irreversible_only { "last irreversible" } else { "head" };
            let message = format!(
                "invalid {which} block num: it goes beyond the current {long_name} block, use `-1` for to follow the {name} \
                 (requested: {value}, {what}: {end})"
            );
            refused_above(value, message)
        };
        let lowest = heads.lowest.max(FIRST_STREAMABLE);
        let mut low = i64::from(lowest);
        if let Some(wanted) = self.low {
            low = counted(wanted);
            if low < 0 {
                return refused(format!("invalid low block num: goes beyond first block, value was {low}"));
            }
            if low > end {
                return beyond("low", low);
            }
            let is_replaced = ascending && after.is_some();
            if !(is_replaced || low <= i64::from(FIRST_STREAMABLE) || low >= i64::from(lowest)) {
                let request = if ascending { " on ascending request" } else { "" };
                return refused(format!(
                    "invalid low block num{request}: {low} is lower than the lowest block served by this endpoint \
                     [{lowest}]"
                ));
            }
            low = low.max(i64::from(lowest));
        }
        let open = i64::from(u32::MAX);
        let mut high = if ascending && follows { open } else { end };
        if let Some(wanted) = self.high {
            high = counted(wanted);
            if high < 0 {
                return refused(format!("invalid high block num: goes beyond first block, value was {high}"));
            }
            if high > end && !ascending {
                return beyond("high", high);
            }
            if high < low {
                return refused(format!("invalid high block num: goes beyond low block, value was {high}"));
            }
            high = high.min(if follows { open } else { end });
        }
        if let Some(position) = after {
            let number = i64::from(position.block.number);
            let query = "the query you are trying to perform is not valid, the cursor block num";
            if number > high || !ascending && number < low {
                let message = format!("{query} ({number}) is out of requested block range [{low}-{high}].");
                // A cursor shows that a block was final elsewhere.
                return match u32::try_from(number) {
                    Ok(number) if irreversible_only && number > heads.lib => {
                        Err(Error::NotYet { number, is_final: true, message })
                    }
                    _ => refused_above(number, message),
                };
            }
            if number < i64::from(heads.lowest) {
                return refused(format!(
                    "{query} ({number}) is lower than the lowest block served by this endpoint ({lowest})."
                ));
            }
            if ascending {
                low = number;
            } else {
                high = number;
            }
        }
        // Both are between 0 and the greatest number by now.
        Ok(u32::try_from(low).unwrap_or(u32::MAX)..=u32::try_from(high).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use dfuse_antelope::Checksum;
    use dfuse_index::BlockRef;
    use proptest::prelude::*;

    use super::*;
    use crate::Place;

    const HEADS: Heads = Heads { lowest: 0, head: 2000, lib: 1800 };
    const ASCENDING: Direction = Direction::Forward;
    const DESCENDING: Direction = Direction::Reverse;

    fn resolve(
        low: impl Into<Option<i64>>,
        high: impl Into<Option<i64>>,
        direction: Direction,
    ) -> Result<(u32, u32), String> {
        let bounds = Bounds { low: low.into(), high: high.into() };
        let range = bounds.resolve(direction, false, false, None, HEADS).map_err(|error| error.to_string())?;
        Ok((*range.start(), *range.end()))
    }

    #[test]
    fn anchors() {
        assert_eq!(resolve(-1733, -1500, ASCENDING), Ok((268, 501)));
        assert_eq!(resolve(-1, -1, ASCENDING), Ok((2000, 2000)));
        assert_eq!(resolve(None, None, ASCENDING), Ok((2, 2000)));
        assert_eq!(resolve(0, None, DESCENDING), Ok((2, 2000)));
        assert_eq!(resolve(5, 3000, ASCENDING), Ok((5, 2000)));
        let bounds = Bounds { low: Some(-1733), high: Some(-1500) };
        assert_eq!(bounds.resolve(ASCENDING, true, false, None, HEADS).unwrap(), 68..=301);
        let all = Bounds::default();
        assert_eq!(all.resolve(ASCENDING, false, true, None, HEADS).unwrap(), 2..=u32::MAX);
        assert_eq!(all.resolve(DESCENDING, true, true, None, HEADS).unwrap(), 2..=1800);
        let later = Bounds { high: Some(3000), ..all };
        assert_eq!(later.resolve(ASCENDING, false, true, None, HEADS).unwrap(), 2..=3000);
    }

    #[test]
    fn refused() {
        let head = "use `-1` for to follow the HEAD (requested: 2001, head: 2000)";
        for (low, high, direction, message) in [
            (
                None,
                Some(2001),
                DESCENDING,
                format!("invalid high block num: it goes beyond the current head block, {head}"),
            ),
            (
                Some(2001),
                None,
                ASCENDING,
                format!("invalid low block num: it goes beyond the current head block, {head}"),
            ),
            (Some(-2002), None, ASCENDING, "invalid low block num: goes beyond first block, value was -1".into()),
            (None, Some(-2003), ASCENDING, "invalid high block num: goes beyond first block, value was -2".into()),
            (Some(5), Some(0), ASCENDING, "invalid high block num: goes beyond low block, value was 0".into()),
        ] {
            assert_eq!(resolve(low, high, direction), Err(message));
        }
        let heads = Heads { lowest: 100, ..HEADS };
        let low = Bounds { low: Some(50), high: None };
        let message = low.resolve(ASCENDING, false, false, None, heads).unwrap_err().to_string();
        assert_eq!(
            message,
            "invalid low block num on ascending request: 50 is lower than the lowest block served by this endpoint [100]"
        );
        assert_eq!(Bounds::default().resolve(ASCENDING, false, false, None, heads).unwrap(), 100..=2000);
        let at = |number: u32| {
            let mut id = Checksum([0; 32]);
            id.0[..4].copy_from_slice(&number.to_be_bytes());
            Position { block: BlockRef { number, id }, place: Place::End }
        };
        let bounds = Bounds { low: Some(200), high: Some(300) };
        let with = |number, direction| {
            bounds.resolve(direction, false, false, Some(&at(number)), heads).map_err(|error| error.to_string())
        };
        assert_eq!(with(250, ASCENDING), Ok(250..=300));
        assert_eq!(with(150, ASCENDING), Ok(150..=300));
        assert_eq!(with(250, DESCENDING), Ok(200..=250));
        let query = "the query you are trying to perform is not valid, the cursor block num";
        for (number, direction) in [(301, ASCENDING), (301, DESCENDING), (150, DESCENDING)] {
            let message = format!("{query} ({number}) is out of requested block range [200-300].");
            assert_eq!(with(number, direction), Err(message));
        }
        let message = format!("{query} (50) is lower than the lowest block served by this endpoint (100).");
        assert_eq!(with(50, ASCENDING), Err(message));
    }

    proptest! {
        #[test]
        fn any_numbers_are_a_range_or_an_error(low: Option<i64>, high: Option<i64>, ascending: bool, follows: bool) {
            let direction = if ascending { ASCENDING } else { DESCENDING };
            if let Ok(range) = (Bounds { low, high }).resolve(direction, false, follows, None, HEADS) {
                prop_assert!(range.start() <= range.end());
            }
        }
    }
}
