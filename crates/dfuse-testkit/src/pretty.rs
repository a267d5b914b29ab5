//! JSON for golden files.

/// The same JSON on many lines.
pub fn pretty(json: &str) -> String {
    let (mut text, mut depth, mut in_string, mut escaped) = (String::new(), 0, false, false);
    let mut characters = json.chars().peekable();
    while let Some(character) = characters.next() {
        let (opens, comma) = (!in_string && matches!(character, '{' | '['), !in_string && character == ',');
        text.push(character);
        match character {
            '"' if !escaped => in_string = !in_string,
            '{' | '[' if !in_string => depth += 1,
            ':' if !in_string => text.push(' '),
            _ => {}
        }
        escaped = in_string && !escaped && character == '\\';
        let closes = !in_string && matches!(characters.peek(), Some('}' | ']'));
        depth -= usize::from(closes);
        if comma || opens != closes {
            text.push('\n');
            text.push_str(&"  ".repeat(depth));
        }
    }
    text
}
