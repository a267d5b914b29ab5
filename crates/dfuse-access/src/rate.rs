use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Error;

/// How many requests are allowed in which time, as `10/s`, `600/m` or `3600/h`. All of them may come at once; after that, they are
/// allowed evenly spread over the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    requests: NonZeroU32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Rate {
    /// So many requests each minute.
    pub const fn per_minute(requests: NonZeroU32) -> Self {
        Self { requests, unit: Unit::Minute }
    }

    /// So many requests each second.
    pub const fn per_second(requests: NonZeroU32) -> Self {
        Self { requests, unit: Unit::Second }
    }

    /// Requests within [`Rate::period`], which is also how many may come at once.
    pub fn requests(self) -> NonZeroU32 {
        self.requests
    }

    /// The time in which so many are allowed.
    pub fn period(self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }

    /// Time from one allowed request to the next, once all that may come at once have come.
    pub fn interval(self) -> Duration {
        (self.period() / self.requests.get()).max(Duration::from_nanos(1))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
        };
        write!(f, "{}/{unit}", self.requests)
    }
}

impl FromStr for Rate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::Invalid(format!(
                "\"{text}\" is not a rate; write a number from 1 and the time, as 10/s, 600/m or 3600/h"
            ))
        };
        let (requests, unit) = text.split_once('/').ok_or_else(wrong)?;
        let unit = match unit {
            "s" => Unit::Second,
            "m" => Unit::Minute,
            "h" => Unit::Hour,
            _ => return Err(wrong()),
        };
        Ok(Self { requests: requests.parse().map_err(|_| wrong())?, unit })
    }
}

impl TryFrom<String> for Rate {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, interval) in [("10/s", 100), ("600/m", 100), ("1/h", 3_600_000)] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.to_string().as_str(), rate.interval()), (text, Duration::from_millis(interval)));
        }
        for wrong in ["", "10", "0/s", "-1/s", "10/d", "1.5/s", "4294967296/s", "10/s "] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
