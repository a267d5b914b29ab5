//! Durations as Go writes them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// `100ms`, `1.5s`, `1h30m`. A number alone could be seconds for one and nanoseconds for another, so it is refused.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    const HOW: &str = "write it with its unit, as 100ms, 5s, 1h30m";
    match Value::deserialize(deserializer)? {
        Value::String(text) => {
            parse(&text).ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a duration; {HOW}")))
        }
        Value::Number(number) => {
            Err(de::Error::custom(format!("the duration {number} is a number without a unit; {HOW}")))
        }
        _ => Err(de::Error::custom(format!("the duration is missing; {HOW}"))),
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text.trim(), Duration::ZERO);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit_on) = rest.split_at(unit_at);
        let next = unit_on.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit_on.len());
        let (unit, next) = unit_on.split_at(next);
        total = total.checked_add(scaled(number, nanoseconds(unit)?)?)?;
        rest = next;
    }
    Some(total)
}

fn nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal number of units.
fn scaled(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanoseconds = whole.checked_mul(unit)?;
    let mut part = unit;
    for digit in fraction.bytes() {
        // What is below a nanosecond is cut off.
        part /= 10;
        nanoseconds = nanoseconds.checked_add(part * u64::from(digit - b'0'))?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        for (text, nanoseconds) in [
            ("300ms", Some(300_000_000)),
            ("5s", Some(5_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1h", Some(3_600_000_000_000)),
            ("1h0m0.5s", Some(3_600_500_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".25s", Some(250_000_000)),
            ("2us", Some(2_000)),
            ("2\u{b5}s", Some(2_000)),
            ("7ns", Some(7)),
            ("0s", Some(0)),
            ("", None),
            ("5", None),
            ("0.5", None),
            ("1h5", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("-5s", None),
            ("5 s", None),
            ("5d", None),
            ("99999999999h", None),
        ] {
            assert_eq!(parse(text).map(|it| it.as_nanos()), nanoseconds, "{text}");
        }
    }

    #[test]
    fn numbers_and_nothing_are_refused() {
        let read = |json: &str| read(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string());
        assert_eq!(read("\"100ms\""), Ok(Duration::from_millis(100)));
        for (json, why) in [
            ("5", "the duration 5 is a number without a unit; write it with its unit, as 100ms, 5s, 1h30m"),
            ("0.5", "the duration 0.5 is a number without a unit"),
            ("\"5\"", "\"5\" is not a duration; write it with its unit"),
            ("null", "the duration is missing; write it with its unit"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
