//! Which block was when.

use dfuse_antelope::{BlockTimestamp, TimePoint};
use dfuse_index::{
    ServingSnapshot,
    blocks::{self, IndexedBlock, TimeMatch},
};
use dfuse_kv::Direction;
use dfuse_render::rfc3339;

use crate::{ApiError, ApiResult, ErrorCode, ReadContext, state::state_unavailable};

/// The block of the best chain at, before or after a time.
///
/// # Errors
/// `block_time_not_found` if there is none, `app_state_unavailable_error` where it may be one of before the first
/// that is indexed.
pub fn by_time(read: &ReadContext<'_>, moment: TimePoint, comparison: TimeComparison) -> ApiResult<IndexedBlock> {
    let block = match comparison.look_up(moment) {
        Some((slot, which)) => find(read.snapshot(), slot, which)?,
        None => None,
    };
    block.ok_or_else(|| ApiError::new(ErrorCode::BlockTimeNotFound, "There is no such block."))
}

/// # Errors
/// `app_state_unavailable_error` where the block may be one of before the first that is indexed.
fn find(snapshot: &ServingSnapshot, slot: BlockTimestamp, which: TimeMatch) -> ApiResult<Option<IndexedBlock>> {
    let (view, found) = (snapshot.view(), blocks::by_time(snapshot.view(), slot, which)?);
    let Some(first_block) = snapshot.history_start() else { return Ok(found) };
    let first = blocks::range(view, first_block..=u32::MAX, Direction::Forward)?.next().transpose()?;
    let Some(first) = first else { return Ok(found) };
    let may_be_before = match which {
        // From the slot before the first block on.
        TimeMatch::After => slot.0.saturating_add(1) < first.time.0,
        TimeMatch::AtOrAfter | TimeMatch::Exact => slot < first.time,
        TimeMatch::Before => slot <= first.time,
        TimeMatch::AtOrBefore => slot < first.time,
    };
    if may_be_before {
        let message = format!(
            "The block may be one of before block {first_block}, with which the indexes begin, in the middle of the chain; the \
             time of that block is {}.",
            rfc3339(first.time)
        );
        return Err(state_unavailable(first_block, message));
    }
    Ok(found)
}

/// The first block at a time, or not more than so many milliseconds after it.
pub(crate) fn at_or_soon_after(
    snapshot: &ServingSnapshot,
    moment: TimePoint,
    most_ms: i64,
) -> ApiResult<Option<IndexedBlock>> {
    let Some((slot, which)) = TimeComparison::AtOrAfter.look_up(moment) else { return Ok(None) };
    let block = match find(snapshot, slot, which) {
        Err(error) if error.code() == ErrorCode::StateUnavailable => None,
        found => found?,
    };
    Ok(block.filter(|block| block.time.to_unix_ms() - moment.0.div_euclid(1000) < most_ms))
}

/// Where a block is, as seen from a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeComparison {
    /// The first one after it.
    After,
    /// At it, or the first one after it.
    AtOrAfter,
    /// The last one before it.
    Before,
    /// At it, or the last one before it.
    AtOrBefore,
    /// At it.
    At,
}

impl TimeComparison {
    /// The slot to look from; none if no block can match.
    fn look_up(self, moment: TimePoint) -> Option<(BlockTimestamp, TimeMatch)> {
        const SLOT_MICROS: i64 = 500_000;
        let since = moment.0 - BlockTimestamp(0).to_unix_ms() * 1000;
        let is_slot = since % SLOT_MICROS == 0;
        match u32::try_from(since.div_euclid(SLOT_MICROS)) {
            Ok(slot) => {
                // Between two slots, the blocks before are those up to the slot below.
                let which = match self {
                    Self::After => TimeMatch::After,
                    Self::AtOrAfter if is_slot => TimeMatch::AtOrAfter,
                    Self::AtOrAfter => TimeMatch::After,
                    Self::Before if is_slot => TimeMatch::Before,
                    Self::Before | Self::AtOrBefore => TimeMatch::AtOrBefore,
                    Self::At if is_slot => TimeMatch::Exact,
                    Self::At => return None,
                };
                Some((BlockTimestamp(slot), which))
            }
            Err(_) if since < 0 => {
                matches!(self, Self::After | Self::AtOrAfter).then_some((BlockTimestamp(0), TimeMatch::AtOrAfter))
            }
            Err(_) => matches!(self, Self::Before | Self::AtOrBefore)
                .then_some((BlockTimestamp(u32::MAX), TimeMatch::AtOrBefore)),
        }
    }
}

/// Reads a time as people write it: ISO 8601 and RFC 3339, UTC where there is no zone, seconds and time of day optional; seconds
/// or milliseconds since 1970.
pub fn parse_time(text: &str) -> Option<TimePoint> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { unix(text) } else { iso8601(text) }
}

/// Seconds from 1973 to 2286, milliseconds from 1973 to 2286: what has fewer digits may be meant as a date.
fn unix(digits: &str) -> Option<TimePoint> {
    let number: i64 = digits.parse().ok()?;
    match digits.len() {
        9 | 10 => Some(TimePoint(number * 1_000_000)),
        12 | 13 => Some(TimePoint(number * 1000)),
        _ => None,
    }
}

fn iso8601(text: &str) -> Option<TimePoint> {
    let (date, rest) = text.split_at_checked(10)?;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return if rest.is_empty() { format!("{date}T00:00:00").parse().ok() } else { None };
    };
    // In a query that was not encoded, the plus sign has become a space.
    let (time, offset) = match rest.rfind(['+', '-', ' ']) {
        Some(at) => (&rest[..at], offset_minutes(&rest[at..])?),
        None => (rest.strip_suffix(['Z', 'z']).unwrap_or(rest), 0),
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if !(1..=9).contains(&fraction.len()) || !date.as_bytes()[0].is_ascii_digit() {
        return None;
    }
    let seconds = if time.len() == 5 { ":00" } else { "" };
    let TimePoint(local) = format!("{date}T{time}{seconds}.{fraction}").parse().ok()?;
    Some(TimePoint(local - offset * 60_000_000))
}

/// `+01:00`, `-0130`, `+01`.
fn offset_minutes(text: &str) -> Option<i64> {
    let digits: String = text[1..].chars().enumerate().filter(|it| *it != (2, ':')).map(|(_, digit)| digit).collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    let offset = hours * 60 + minutes;
    (hours < 24 && minutes < 60).then_some(if text.starts_with('-') { -offset } else { offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        parse_time(text).map(|time| time.to_string())
    }

    #[test]
    fn times_in_many_forms() {
        for (text, time) in [
            ("2019-03-04T10:36:14.5Z", "2019-03-04T10:36:14.500"),
            ("2019-03-04t10:36:14z", "2019-03-04T10:36:14.000"),
            ("2019-03-04 10:36:14", "2019-03-04T10:36:14.000"),
            ("2019-03-04T10:36", "2019-03-04T10:36:00.000"),
            ("2019-03-04T10:36Z", "2019-03-04T10:36:00.000"),
            ("2019-03-04", "2019-03-04T00:00:00.000"),
            ("2019-03-04T10:36:14+01:00", "2019-03-04T09:36:14.000"),
            ("2019-03-04T10:36:14 01:00", "2019-03-04T09:36:14.000"),
            ("2019-03-04T10:36:14.25-0130", "2019-03-04T12:06:14.250"),
            ("2019-03-04T10:36-01", "2019-03-04T11:36:00.000"),
            ("1551695774", "2019-03-04T10:36:14.000"),
            ("1551695774500", "2019-03-04T10:36:14.500"),
        ] {
            assert_eq!(read(text).as_deref(), Some(time), "{text}");
        }
        for text in [
            "",
            "2019",
            "20190304",
            "03/04/2019",
            "2019-3-4",
            "2019-03-04X",
            "2019-03-04T",
            "2019-03-04T10",
            "2019-03-04T10:36:14.",
            "2019-03-04T10:36:14.1234567890",
            "2019-03-04T10:36:14+1",
            "2019-03-04T10:36:14+24:00",
            "2019-03-04T10:36:14+01:60",
            "2019-03-04T10:36:14+01:0\u{e9}",
            "2019-02-29",
            "-001-03-04T10:36:14",
            "15516957745000",
            "155169577450000000000000000000",
            "M\u{e4}rz 2019",
            "now",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn times_between_slots_and_beyond() {
        let at = |micros: i64| TimePoint(BlockTimestamp(7).to_unix_ms() * 1000 + micros);
        let slot = |slot, which| Some((BlockTimestamp(slot), which));
        let all = |moment| {
            [C::After, C::AtOrAfter, C::Before, C::AtOrBefore, C::At].map(|comparison| comparison.look_up(moment))
        };
        use TimeComparison as C;
        use TimeMatch::{After, AtOrAfter, AtOrBefore, Before, Exact};
        assert_eq!(
            all(at(0)),
            [slot(7, After), slot(7, AtOrAfter), slot(7, Before), slot(7, AtOrBefore), slot(7, Exact)]
        );
        assert_eq!(all(at(1)), [slot(7, After), slot(7, After), slot(7, AtOrBefore), slot(7, AtOrBefore), None]);
        assert_eq!(all(at(-4_000_000)), [slot(0, AtOrAfter), slot(0, AtOrAfter), None, None, None]);
        let late = slot(u32::MAX, AtOrBefore);
        assert_eq!(all(at(i64::from(u32::MAX) * 500_000)), [None, None, late, late, None]);
    }
}
