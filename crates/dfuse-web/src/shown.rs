//! Texts and values of the chain as HTML. Whoever wrote them may mean harm: markup is escaped by `maud`, and characters that are
//! not to be seen, or that turn the direction of writing, are replaced by their numbers.

use std::cell::Cell;

use maud::{Markup, PreEscaped, Render, html};

use crate::{json::Json, links};

/// Longer texts are cut.
const MAX_TEXT: usize = 4 << 10;
/// A text takes that much at most as HTML: each hidden character takes some forty bytes.
const MAX_MARKUP: usize = 4 * MAX_TEXT;
/// Longer names of fields and types are cut: those of contracts can have any length.
const MAX_NAME: usize = 120;
/// HTML that the values of one page may make, about. Pages stay below 100 kB.
const MAX_PAGE: usize = 48 << 10;
/// What the elements around a value take, about.
const AROUND: usize = 60;
/// What is nested deeper is left out.
const MAX_DEPTH: usize = 12;

/// Shows values until the page is full.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The request with the whole of everything.
    whole: String,
    room: Cell<usize>,
}

impl Shown {
    /// `whole` is the request that answers with what is cut here.
    pub(crate) fn new(whole: &str) -> Self {
        Self { whole: whole.to_owned(), room: Cell::new(MAX_PAGE) }
    }

    /// Whether lists should end.
    pub(crate) fn is_full(&self) -> bool {
        self.room.get() == 0
    }

    fn take(&self, bytes: usize) {
        self.room.set(self.room.get().saturating_sub(bytes));
    }

    /// A text, cut where it is too long.
    pub(crate) fn text(&self, text: &str) -> Markup {
        let (part, end) = beginning(&text[..text.floor_char_boundary(MAX_TEXT)], MAX_MARKUP.min(self.room.get()));
        self.take(part.0.len() + AROUND);
        html! {
            bdi { (part) }
            @if end < text.len() { " " (self.rest(&format!("… all {} bytes", text.len()))) }
        }
    }

    /// The name of a field or a type, as its contract has it.
    pub(crate) fn name(&self, name: &str) -> Markup {
        let (part, end) = beginning(&name[..name.floor_char_boundary(MAX_NAME)], MAX_MARKUP);
        self.take(part.0.len() + AROUND);
        html! { bdi { (part) @if end < name.len() { "…" } } }
    }

    /// A link to what is left out.
    pub(crate) fn rest(&self, label: &str) -> Markup {
        html! { a.rest href=(self.whole) { (label) } }
    }

    /// A value with all that is in it.
    pub(crate) fn value(&self, value: &Json) -> Markup {
        self.nested(None, value, 0)
    }

    /// The value of a field, whose name tells whether it links to something.
    pub(crate) fn field(&self, name: &str, value: &Json) -> Markup {
        self.nested(Some(name), value, 0)
    }

    fn nested(&self, name: Option<&str>, value: &Json, depth: usize) -> Markup {
        self.take(AROUND);
        match value {
            _ if depth > MAX_DEPTH || self.is_full() => self.rest("…"),
            Json::Null => html! { span.null { "null" } },
            Json::Bool(value) => html! { (value) },
            Json::Number(number) => html! { span.number { (number) } },
            Json::Text(text) => match name.and_then(|name| links::of_field(name, text)) {
                Some(link) => link,
                None => self.text(text),
            },
            Json::List(items) if items.is_empty() => html! { span.null { "none" } },
            Json::List(items) => html! {
                ol.values { @for item in self.some(items) { li { (self.nested(name, item, depth + 1)) } } }
            },
            Json::Object(fields) => html! {
                dl.fields {
                    @for (key, value) in self.some(fields) {
                        div { dt { (self.name(key)) } dd { (self.nested(Some(key), value, depth + 1)) } }
                    }
                }
            },
        }
    }

    /// Those that the page has room for.
    fn some<'a, T>(&'a self, items: &'a [T]) -> impl Iterator<Item = &'a T> {
        items.iter().take_while(|_| !self.is_full())
    }
}

/// The text, with the numbers of characters that cannot be seen. For what is short by itself; [`Shown`] bounds all else.
pub(crate) fn visible(text: &str) -> Markup {
    beginning(text, usize::MAX).0
}

/// As much of a text as takes that many bytes as HTML, about, and where it ends.
fn beginning(text: &str, most: usize) -> (Markup, usize) {
    let mut markup = String::with_capacity(text.len().min(most));
    for (at, letter) in text.char_indices() {
        if markup.len() >= most {
            return (PreEscaped(markup), at);
        }
        if is_hidden(letter) {
            html! { span.hidden { (format!("U+{:04X}", u32::from(letter))) } }.render_to(&mut markup);
        } else {
            letter.encode_utf8(&mut [0; 4]).render_to(&mut markup);
        }
    }
    (PreEscaped(markup), text.len())
}

/// Control characters, those of no width, and those that turn the direction of writing.
fn is_hidden(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_text() {
        let shown = Shown::new("/v0/x");
        let text = shown.text("<script>alert(1)</script>\u{202e}\u{0}\u{1b}\"'&").into_string();
        assert!(!text.contains("<script"), "{text}");
        for part in ["&lt;script&gt;", "U+202E", "U+0000", "U+001B", "&quot;", "&amp;"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn long_texts_are_cut_with_a_link() {
        let shown = Shown::new("/v0/x");
        let text = shown.text(&"é".repeat(50_000)).into_string();
        assert!(text.len() < 5000 && text.contains(r#"href="/v0/x""#) && text.contains("all 100000 bytes"), "{text}");
    }

    #[test]
    fn what_grows_as_html_is_cut_the_earlier() {
        let hidden = "\u{202e}".repeat(4000);
        let text = Shown::new("/v0/x").text(&hidden).into_string();
        assert!(text.len() < 17_000 && text.contains("all 12000 bytes"), "{}", text.len());
        let shown = Shown::new("/v0/x");
        let row = Json::Object(vec![("<b>".repeat(50_000), Json::Bool(true))]);
        let text = shown.value(&row).into_string();
        assert!(text.len() < 1000 && text.contains("&lt;b&gt;") && text.contains('…'), "{text}");
    }

    #[test]
    fn a_page_stays_within_its_room() {
        let shown = Shown::new("/v0/x");
        let list = Json::List(vec![Json::Text("x".repeat(5000)); 1000]);
        let text = shown.value(&list).into_string();
        assert!(text.len() < 100_000 && shown.is_full(), "{}", text.len());
        let deep = (0..100).fold(Json::Null, |inner, _| Json::List(vec![inner]));
        assert!(Shown::new("/v0/x").value(&deep).into_string().contains("…"));
    }
}
