//! What was meant by a name that is not known.

/// Longer texts are no typing mistakes of names.
const LONGEST: usize = 40;

/// The candidate that a likely typing mistake is nearest to, whatever its case.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = letters(text)?;
    let most = (text.len() / 3).clamp(1, 3);
    let distances =
        candidates.into_iter().filter_map(|candidate| Some((distance(&text, &letters(candidate)?), candidate)));
    distances.filter(|(distance, _)| *distance <= most).min().map(|(_, candidate)| candidate)
}

fn letters(text: &str) -> Option<Vec<char>> {
    let letters: Vec<_> = text.chars().take(LONGEST + 1).flat_map(char::to_lowercase).collect();
    (1..=LONGEST).contains(&letters.len()).then_some(letters)
}

/// Letters to insert, remove, replace or swap with their neighbour (the optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = [vec![0; b.len() + 1], (0..=b.len()).collect(), vec![0; b.len() + 1]];
    for i in 1..=a.len() {
        let [before, last, row] = &mut rows;
        row[0] = i;
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        rows.rotate_left(1);
    }
    rows[1][b.len()]
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
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("kitten"), &letters("sitting")), 3);
        assert_eq!(distance(&letters("abcd"), &letters("acbd")), 1);
        assert_eq!(distance(&[], &letters("abc")), 3);
    }
}
