//! The chain's three times, all UTC without leap seconds: [`BlockTimestamp`], [`TimePoint`] and [`TimePointSec`].
//!
//! Text is ISO 8601 as the chain's tools print it, without `Z`. Readers also take a trailing `Z` and any fraction of
//! one to nine digits. Years are those of the proleptic Gregorian calendar with at least four digits: a [`TimePoint`]
//! also has years below 0000, shown with a minus sign, and above 9999, shown with five or six digits.

use crate::{Error, Result, text::as_text};

/// 2000-01-01T00:00:00, the time of slot 0, in milliseconds since 1970.
const SLOT_EPOCH_MS: i64 = 946_684_800_000;
const SLOT_MS: i64 = 500;

/// The time of a block: slots of 500 ms since 2000-01-01, until 2068-01-19.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockTimestamp(pub u32);

/// Microseconds since 1970, negative before; its text is cut (towards the past) to milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimePoint(pub i64);

/// Seconds since 1970, until 2106-02-07; reading text drops its fraction, as nodeos does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimePointSec(pub u32);

impl BlockTimestamp {
    /// Milliseconds since 1970.
    pub fn to_unix_ms(self) -> i64 {
        SLOT_EPOCH_MS + i64::from(self.0) * SLOT_MS
    }

    /// The slot that starts at `ms` milliseconds since 1970. An error when none starts there.
    pub fn from_unix_ms(ms: i64) -> Result<Self> {
        ms.checked_sub(SLOT_EPOCH_MS)
            .filter(|since| since % SLOT_MS == 0)
            .and_then(|since| u32::try_from(since / SLOT_MS).ok())
            .map(Self)
            .ok_or_else(|| Error::invalid("block time", format!("no block slot starts at {ms} ms since 1970")))
    }

    /// Appends the text to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        write_to(self.to_unix_ms(), true, out);
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (seconds, nanos) = parse(text.as_bytes())?;
        let ms = seconds * 1000 + i64::from(nanos / 1_000_000);
        Self::from_unix_ms(ms)
            .ok()
            .filter(|_| nanos.is_multiple_of(1_000_000))
            .ok_or("blocks have times of whole half seconds from 2000-01-01 to 2068-01-19")
    }
}

impl TimePoint {
    /// Appends the text to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        write_to(self.0.div_euclid(1000), true, out);
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (seconds, nanos) = parse(text.as_bytes())?;
        seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(nanos / 1000)))
            .map(Self)
            .ok_or("does not fit in 64 bits of microseconds")
    }
}

impl TimePointSec {
    /// Appends the text to `out`.
    pub fn write_to(self, out: &mut Vec<u8>) {
        write_to(i64::from(self.0) * 1000, false, out);
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (seconds, _) = parse(text.as_bytes())?;
        u32::try_from(seconds).map(Self).map_err(|_| "not between 1970-01-01 and 2106-02-07")
    }
}

as_text!(BlockTimestamp: "block time", TimePoint: "time", TimePointSec: "time in seconds");

const SECONDS_PER_DAY: i64 = 86_400;

/// Appends a time in milliseconds since 1970, which must not be further away than [`TimePoint`] reaches.
#[inline]
fn write_to(ms: i64, with_millis: bool, out: &mut Vec<u8>) {
    let (days, in_day) = (ms.div_euclid(SECONDS_PER_DAY * 1000), ms.rem_euclid(SECONDS_PER_DAY * 1000) as u32);
    let (seconds, millis) = (in_day / 1000, in_day % 1000);
    let (year, month, day) = date_of(days);

    match u32::try_from(year) {
        Ok(year @ 0..=9999) => {
            out.extend_from_slice(&two_digits(year / 100));
            out.extend_from_slice(&two_digits(year % 100));
        }
        _ if year < 0 => out.extend_from_slice(format!("{year:05}").as_bytes()),
        _ => out.extend_from_slice(year.to_string().as_bytes()),
    }
    let mut rest = *b"-00-00T00:00:00.000";
    for (at, value) in [(1, month), (4, day), (7, seconds / 3600), (10, seconds / 60 % 60), (13, seconds % 60)] {
        rest[at..at + 2].copy_from_slice(&two_digits(value));
    }
    rest[16] += (millis / 100) as u8;
    rest[17..].copy_from_slice(&two_digits(millis % 100));
    out.extend_from_slice(if with_millis { &rest } else { &rest[..15] });
}

#[inline]
fn two_digits(value: u32) -> [u8; 2] {
    [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]
}

/// Seconds since 1970 and nanoseconds within the second.
fn parse(text: &[u8]) -> Result<(i64, u32), &'static str> {
    let [year, month, day, hour, minute, second, nanos] =
        fields(text).ok_or("not of the form YYYY-MM-DDTHH:MM:SS.mmm")?;
    let year = if text.starts_with(b"-") { -i64::from(year) } else { i64::from(year) };
    let days = days_until(year, month, day);
    if date_of(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return Err("no such date or time of day");
    }
    Ok((days * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second), nanos))
}

/// Year without its sign, month, day, hour, minute, second and nanoseconds.
fn fields(text: &[u8]) -> Option<[u32; 7]> {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let year_end = text.iter().position(|&byte| byte == b'-').filter(|end| (4..=6).contains(end))?;
    let (year, rest) = text.split_at(year_end);
    let (rest, fraction) = rest.split_at_checked(15)?;
    if [0, 3, 6, 9, 12].map(|at| rest[at]) != *b"--T::" {
        return None;
    }
    let [month, day, hour, minute, second] = [1, 4, 7, 10, 13].map(|at| number(&rest[at..at + 2]));
    let nanos = match fraction.split_first() {
        None => 0,
        Some((b'.', digits @ [_, ..])) if digits.len() <= 9 => number(digits)? * 10u32.pow(9 - digits.len() as u32),
        Some(_) => return None,
    };
    Some([number(year)?, month?, day?, hour?, minute?, second?, nanos])
}

/// The value of at most nine decimal digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

// Both ways count in years that start in March, so that the leap day is the last of its year, from March 1st of
// year 0, which is 719,468 days before 1970.
const DAYS_TO_1970: i64 = 719_468;
const DAYS_PER_400_YEARS: i64 = 146_097;

/// Year, month and day of a day counted from 1970-01-01.
#[inline]
fn date_of(days: i64) -> (i64, u32, u32) {
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_400_YEARS), days.rem_euclid(DAYS_PER_400_YEARS) as u32);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + i64::from(year_of_era) + i64::from(month <= 2), month, day)
}

/// The inverse of [`date_of`] for dates that exist, and some other day for those that do not.
fn days_until(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * DAYS_PER_400_YEARS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts() {
        for (slot, text) in [
            (0, "2000-01-01T00:00:00.000"),
            (1, "2000-01-01T00:00:00.500"),
            (59 * 172_800, "2000-02-29T00:00:00.000"),
            (u32::MAX, "2068-01-19T03:14:07.500"),
        ] {
            assert_eq!(BlockTimestamp(slot).to_string(), text);
        }
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000"),
            (1_541_085_187_001_001, "2018-11-01T15:13:07.001"),
            (-1, "1969-12-31T23:59:59.999"),
            (253_402_300_799_999_999, "9999-12-31T23:59:59.999"),
            (253_402_300_800_000_000, "10000-01-01T00:00:00.000"),
            (i64::MAX, "294247-01-10T04:00:54.775"),
            (i64::MIN, "-290308-12-21T19:59:05.224"),
            (-62_167_219_200_000_001, "-0001-12-31T23:59:59.999"),
        ] {
            assert_eq!(TimePoint(micros).to_string(), text);
        }
        for (seconds, text) in
            [(0, "1970-01-01T00:00:00"), (1_681_469_753, "2023-04-14T10:55:53"), (u32::MAX, "2106-02-07T06:28:15")]
        {
            assert_eq!(TimePointSec(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(TimePointSec(seconds)));
        }
    }

    #[test]
    fn fraction_and_zone_are_optional() {
        let time = TimePoint(1_541_085_187_500_000);
        for text in ["2018-11-01T15:13:07.5", "2018-11-01T15:13:07.500Z", "2018-11-01T15:13:07.500000999"] {
            assert_eq!(text.parse(), Ok(time), "{text}");
            assert_eq!(text.parse(), Ok(TimePointSec(1_541_085_187)), "{text}");
        }
        assert_eq!("2018-11-01T15:13:07Z".parse(), Ok(TimePoint(1_541_085_187_000_000)));
        assert_eq!("2018-11-01T15:13:07.5".parse::<BlockTimestamp>().unwrap().to_unix_ms(), time.0 / 1000);
        assert_eq!("2018-11-01T15:13:07.000001".parse(), Ok(TimePoint(1_541_085_187_000_001)));
    }

    #[test]
    fn invalid_text_is_an_error() {
        for text in [
            "",
            "Z",
            "2018-11-01",
            "2018-11-01 15:13:07",
            "2018-11-01T15:13:07.",
            "2018-11-01T15:13:07.0000000000",
            "2018-11-01T15:13:07+00:00",
            "2018-11-01T15:13:07ZZ",
            "2018-13-01T00:00:00",
            "2018-00-01T00:00:00",
            "2018-01-00T00:00:00",
            "2018-02-29T00:00:00",
            "1900-02-29T00:00:00",
            "2018-01-01T24:00:00",
            "2018-01-01T00:60:00",
            "2018-01-01T00:00:60",
            "218-01-01T00:00:00",
            "2018-1-01T00:00:00",
            "2018-01-01T00:00:0\u{e9}",
            "1234567-01-01T00:00:00",
        ] {
            let error = text.parse::<TimePoint>().unwrap_err().to_string();
            assert!(error.contains("not of the form") || error.contains("no such"), "{text}: {error}");
        }
        assert!("999999-01-01T00:00:00".parse::<TimePoint>().unwrap_err().to_string().contains("64 bits"));
        assert!("1969-12-31T23:59:59".parse::<TimePointSec>().unwrap_err().to_string().contains("between"));
        assert!("2018-11-01T15:13:07.5001".parse::<BlockTimestamp>().unwrap_err().to_string().contains("half seconds"));
        for ms in [SLOT_EPOCH_MS - 500, SLOT_EPOCH_MS + 1, i64::MIN, i64::MAX] {
            assert!(BlockTimestamp::from_unix_ms(ms).is_err(), "{ms}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = (1600, 1, 1);
        for days in days_until(1600, 1, 1)..days_until(2400, 1, 1) {
            assert_eq!(date_of(days), expected);
            assert_eq!(days_until(expected.0, expected.1, expected.2), days);
            let (year, month, day) = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == last => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn serde_is_text() {
        let json = serde_json::to_string(&BlockTimestamp(1)).unwrap();
        assert_eq!(json, "\"2000-01-01T00:00:00.500\"");
        assert_eq!(serde_json::from_str::<BlockTimestamp>(&json).unwrap(), BlockTimestamp(1));
        assert!(
            serde_json::from_str::<BlockTimestamp>("1")
                .unwrap_err()
                .to_string()
                .contains("expected text of a block time")
        );
    }

    proptest! {
        #[test]
        fn round_trips(slot: u32, seconds: u32, micros: i64) {
            prop_assert_eq!(BlockTimestamp(slot).to_string().parse(), Ok(BlockTimestamp(slot)));
            prop_assert_eq!(BlockTimestamp::from_unix_ms(BlockTimestamp(slot).to_unix_ms()), Ok(BlockTimestamp(slot)));
            prop_assert_eq!(TimePointSec(seconds).to_string().parse(), Ok(TimePointSec(seconds)));
            let cut = TimePoint(micros / 1000 * 1000);
            prop_assert_eq!(cut.to_string().parse(), Ok(cut));
            let mut bytes = Vec::new();
            TimePoint(micros).write_to(&mut bytes);
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), TimePoint(micros).to_string());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-0-9T:.Z]{0,30}") {
            let _ = text.parse::<TimePoint>();
        }
    }
}
