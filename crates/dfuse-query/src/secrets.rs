//! Private keys that people paste where they do not belong. No answer, no line of the log and no message of the command line
//! repeats one.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// What stands for a secret.
pub const MASK: &str = "***";
/// Private keys of the older form have 51 characters, or one more where the public key is compressed. What is nearly as long
/// is taken for one, too, since a key with a typing mistake is all but told; and what is longer, which may be several.
const OLD_FORM_LEAST: usize = 48;
/// First characters of the older form.
const OLD_FORM_BEGINS: [char; 3] = ['5', 'K', 'L'];
const NEW_FORM_BEGINS: &str = "PVT_";
/// Begins the sequences that colour text on a terminal: digits and semicolons follow, and an `m`.
const COLOUR: &str = "\u{1b}[";

/// The text with a mask in the place of everything that looks like a private key; of a text that has one percent-encoded
/// nothing else is left.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    for (start, word) in words(text) {
        if is_private_key(word) {
            masked.push_str(&text[copied..start]);
            masked.push_str(MASK);
            copied = start + word.len();
        }
    }
    if copied == 0 {
        let hides_one = text.contains('%') && contains_private_key(text);
        return if hides_one { Cow::Borrowed(MASK) } else { Cow::Borrowed(text) };
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

/// Whether something in the text looks like a private key, also if the text is percent-encoded.
pub fn contains_private_key(text: &str) -> bool {
    let has_one = |text: &str| words(text).any(|(_, word)| is_private_key(word));
    has_one(text) || has_one(&percent_decode_str(text).decode_utf8_lossy())
}

/// Masks what looks like a private key in the texts of a JSON value.
pub fn mask_json(value: &mut Value) {
    match value {
        Value::String(text) => {
            *text = masked(text).into_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(mask_json),
        Value::Object(fields) => fields.values_mut().for_each(mask_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Runs of letters, digits and underscores, and where each begins. Colours of a terminal are none.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = loop {
            let start = at + text[at..].find(is_part)?;
            match colour_from(&text[at..start], &text[start..]) {
                Some(length) => at = start + length,
                None if is_escape(&text[at..start], &text[start..]) => at = start + 1,
                None => break start,
            }
        };
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |length| start + length);
        at = end;
        Some((start, &text[start..end]))
    })
}

/// Length of what is left of a colour in `text`, if `before` ends with its beginning.
fn colour_from(before: &str, text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ';').filter(|_| before.ends_with(COLOUR))?;
    text[end..].starts_with('m').then_some(end + 1)
}

/// Whether text begins with the letter of an escape sequence, such as the one of a line end in JSON.
fn is_escape(before: &str, text: &str) -> bool {
    before.ends_with('\\') && text.starts_with(['n', 'r', 't', 'b', 'f'])
}

fn is_private_key(word: &str) -> bool {
    if word.find(NEW_FORM_BEGINS).is_some_and(|at| word.len() > at + NEW_FORM_BEGINS.len() + 8) {
        return true;
    }
    // Public keys and signatures may look like one behind their prefix.
    let is_public = ["PUB_", "SIG_"].iter().any(|prefix| word.contains(prefix));
    word.split('_').any(|part| is_old_form(part) && !is_public)
}

fn is_old_form(part: &str) -> bool {
    // Ids in hex have no capitals.
    part.len() >= OLD_FORM_LEAST
        && part.starts_with(OLD_FORM_BEGINS)
        && part.contains(|c: char| c.is_ascii_uppercase())
        && part.contains(|c: char| ('g'..='z').contains(&c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Keys that everybody knows.
    const OLD: &str = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3";
    const NEW: &str = "PVT_K1_2bfGi9rYsXQSXXTvJbDAPhHLQUojjaNLomdm3cEJ1XTzMqUt3V";

    #[test]
    fn private_keys_are_masked() {
        for key in
            [OLD, NEW, &NEW.replace("K1", "R1"), &OLD[..50], &OLD.replace('w', "0"), &format!("x{NEW}"), &OLD.repeat(2)]
        {
            assert_eq!(masked(key), MASK);
            assert_eq!(masked(&format!("not \"{key}\", {key}!")), "not \"***\", ***!");
            assert!(contains_private_key(&format!("key={key}")));
        }
        assert_eq!(masked(&format!("/v0/%35{}", &OLD[1..])), MASK);
        assert_eq!(masked(&format!("\u{1b}[2mkey\u{1b}[0m\u{1b}[2m=\u{1b}[0m{OLD}")).matches(MASK).count(), 1);
        assert_eq!(masked(&format!("\u{1b}[{OLD}")), "\u{1b}[***", "what looks like a colour hides nothing");
        assert_eq!(masked(&format!("the variable DFUSE_{OLD} is no setting")), "the variable *** is no setting");
        assert_eq!(masked(&format!("{{\"message\":\"a\\n{OLD}\"}}")), "{\"message\":\"a\\n***\"}");
        let mut details = json!({"errors": {"public_key": [format!("not {OLD}"), 5, null]}});
        mask_json(&mut details);
        assert_eq!(details, json!({"errors": {"public_key": ["not ***", 5, null]}}));
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV",
            "PUB_K1_6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63",
            "5123456789abcdef5123456789abcdef5123456789abcdef51",
            "5K",
            "PVT_K1_",
            "\u{e4}5\u{f6}",
            "account:eosio.token data.to:alice",
            "PUB_K1_5MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5BoDq63",
            "SIG_K1_KfQ57wLFFzU5WvDJPGwBfBYQKb6Hy8sYTBgGCDpYjKkbRoJnWEaLFzS7vfSLpVvVFkQvJfkqXMVqFUAc4Sv3YpKJbYmVrQ",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
