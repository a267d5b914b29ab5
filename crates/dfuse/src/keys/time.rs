//! Times on the command line.

use std::time::{Duration, UNIX_EPOCH};

use crate::failure::usage;

const DAY: u64 = 86_400;
/// The year 10000, which times are not written with.
const TOO_LATE: u64 = 253_402_300_800;

/// The day of a time, since 1970.
pub(super) fn day(seconds: u64) -> u32 {
    u32::try_from(seconds / DAY).unwrap_or(u32::MAX)
}

/// A moment to come: after a time from now, or at one. In seconds since 1970.
pub(super) fn until(text: &str, now: u64) -> anyhow::Result<u64> {
    let text = text.trim();
    let seconds = moment(text, now)?;
    if seconds <= now {
        return Err(usage(format!("--expires {text}: {} is past; name a time to come, such as 90d", shown(seconds))));
    }
    if seconds >= TOO_LATE {
        return Err(usage(format!(
            "--expires {text}: the last day that can be named is 9999-12-31; leave --expires out for a key that does not expire"
        )));
    }
    Ok(seconds)
}

fn moment(text: &str, now: u64) -> anyhow::Result<u64> {
    if let Ok(time) = humantime::parse_duration(text) {
        return Ok(now.saturating_add(time.as_secs()));
    }
    let whole = if text.len() == "2027-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let moment = humantime::parse_rfc3339_weak(&whole).ok();
    let seconds = moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()).map(|time| time.as_secs());
    seconds.ok_or_else(|| {
        usage(format!("--expires: \"{text}\" is not a time; write 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z (UTC)"))
    })
}

/// A moment as it is shown.
pub(super) fn shown(seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) {
        // What is later than the year 9999 cannot be shown.
        Some(moment) if seconds < TOO_LATE => humantime::format_rfc3339_seconds(moment).to_string(),
        _ => seconds.to_string(),
    }
}

/// A day as it is shown.
pub(super) fn shown_day(day: u32) -> String {
    let moment = shown(u64::from(day) * DAY);
    moment.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let now = 1_700_000_000;
        for (text, seconds) in [
            ("90d", now + 90 * DAY),
            ("1h 30m", now + 5400),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T12:00:00Z", 1_801_396_800),
            ("2027-01-31 12:00:00", 1_801_396_800),
        ] {
            assert_eq!(until(text, now).unwrap(), seconds, "{text}");
        }
        for (wrong, message) in [
            ("", "is not a time"),
            ("tomorrow", "is not a time"),
            ("2027-13-01", "is not a time"),
            ("1969-01-01T00:00:00Z", "is not a time"),
            ("99999-01-01", "is not a time"),
            ("-5d", "is not a time"),
            ("12", "is not a time"),
            ("2023-11-14", "2023-11-14T00:00:00Z is past"),
            ("0s", "is past"),
            ("9000y", "9999-12-31"),
            ("500000000000y", "9999-12-31"),
        ] {
            let error = until(wrong, now).unwrap_err();
            assert!(error.is::<crate::failure::UsageError>(), "{wrong}");
            assert!(error.to_string().contains(message), "{wrong}: {error}");
        }
        until("9999-12-31T23:59:59Z", now).unwrap();
        assert_eq!((shown(1_801_353_600).as_str(), shown_day(0).as_str()), ("2027-01-31T00:00:00Z", "1970-01-01"));
        assert_eq!(shown(u64::MAX), u64::MAX.to_string());
    }
}
