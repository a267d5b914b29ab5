//! Texts of times.

use dfuse_antelope::BlockTimestamp;

/// RFC 3339 in UTC, the half second only if there is one: `2019-03-04T10:36:15Z`, `2019-03-04T10:36:14.5Z`.
pub fn rfc3339(time: BlockTimestamp) -> String {
    let text = time.to_string();
    format!("{}Z", text.strip_suffix(".000").unwrap_or_else(|| text.trim_end_matches('0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_only_where_they_are() {
        for (slot, utc) in [(20, "2000-01-01T00:00:10Z"), (21, "2000-01-01T00:00:10.5Z")] {
            assert_eq!(rfc3339(BlockTimestamp(slot)), utc);
        }
    }
}
