//! What was meant by a name that is not known.

use strsim::osa_distance;

/// Longer texts are no typing mistakes of names.
const LONGEST: usize = 40;

/// The candidate that a likely typing mistake is nearest to, whatever its case.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = letters(text)?;
    let most = (text.chars().count() / 3).clamp(1, 3);
    let distances =
        candidates.into_iter().filter_map(|candidate| Some((osa_distance(&text, &letters(candidate)?), candidate)));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, candidate)| candidate)
}

/// In lower case; absent if it is empty or too long.
fn letters(text: &str) -> Option<String> {
    let letters: String = text.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    (1..=LONGEST).contains(&letters.chars().count()).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes() {
        for (text, candidates, near) in [
            ("acount", &["account", "scope"][..], Some("account")),
            ("account", &["accounts", "scope"], Some("accounts")),
            ("GTE", &["gt", "gte"], Some("gte")),
            ("geq", &["gt", "gte", "lt", "lte", "eq"], Some("eq")),
            ("tabel", &["table"], Some("table")),
            ("block", &["limit"], None),
            ("", &["a"], None),
            ("x", &[], None),
        ] {
            assert_eq!(nearest(text, candidates.iter().copied()), near, "{text}");
        }
        let long = "x".repeat(10_000);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
