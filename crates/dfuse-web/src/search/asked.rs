//! What is asked of the page of searches.

use dfuse_http::{
    Kind::{BlockNumber, Choice, Cursor, Flag, Text},
    Parameter, Params,
    params::rules::{Field, Problems, at_least, boolean, sort_is_descending, text},
};
use dfuse_kv::Direction;
use dfuse_query::{ApiResult, search::BlockSpan};
use maud::{Markup, html};

use crate::links;

/// Where it is.
pub(super) const PATH: &str = "/search";

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::optional("q", Text, "what to look for").or(""),
    Parameter::optional("field", Text, "a field that the query is to have, too").or(""),
    Parameter::optional("value", Text, "the value of that field; without it, any").or(""),
    Parameter::optional("sort", Choice(&["asc", "desc"]), "in which order").or("desc"),
    Parameter::optional("with_reversible", Flag, "include blocks that may be undone").or("true"),
    Parameter::optional("start_block", BlockNumber, "the first block in that order; empty or 0 for the end").or("0"),
    Parameter::optional("block_count", BlockNumber, "how many blocks from there on; empty or 0 for all").or("0"),
    Parameter::optional("cursor", Cursor, "where the page begins").or(""),
];

/// What the form has.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) text: String,
    /// What is added to it.
    field: String,
    value: String,
    pub(super) descending: bool,
    pub(super) with_reversible: bool,
    /// 0 for the end where the order begins.
    start: u32,
    /// 0 for all blocks.
    count: u32,
    pub(super) cursor: String,
}

/// Most bytes of a query on a page, which has it several times. The API takes longer ones.
const MAX_QUERY: usize = 2 << 10;

fn query(field: &Field<'_>) -> Result<String, Problems> {
    if field.text.len() <= MAX_QUERY {
        Ok(field.text.to_owned())
    } else {
        Err(field.expected("shorter: at most 2,048 bytes"))
    }
}

/// A number of a form, which may be left empty.
fn number(field: &Field<'_>) -> Result<u32, Problems> {
    if field.text.is_empty() { Ok(0) } else { at_least(0)(field) }
}

impl Asked {
    pub(super) fn of(mut params: Params) -> ApiResult<Self> {
        let text_asked = params.optional_or("q", String::new(), query);
        let field = params.optional_or("field", String::new(), query);
        let value = params.optional_or("value", String::new(), query);
        let descending = params.optional_or("sort", true, sort_is_descending);
        let with_reversible = params.optional_or("with_reversible", true, boolean);
        let start = params.optional_or("start_block", 0, number);
        let count = params.optional_or("block_count", 0, number);
        let cursor = params.optional_or("cursor", String::new(), text);
        let (text, field, value, descending, with_reversible, start, count, cursor) =
            params.finish((text_asked, field, value, descending, with_reversible, start, count, cursor))?;
        let text = text.trim().to_owned();
        Ok(Self { text, field, value, descending, with_reversible, start, count, cursor })
    }

    /// The same of another text, from the beginning.
    pub(super) fn with_text(&self, text: &str) -> Self {
        Self { text: text.to_owned(), cursor: String::new(), ..self.clone() }
    }

    /// The question of the whole query, if a field is to be added to it.
    pub(super) fn with_field(&self) -> Option<Self> {
        if self.field.is_empty() {
            return None;
        }
        let value = match self.value.trim() {
            "" => "*".to_owned(),
            value if value.contains('"') => format!("'{value}'"),
            value => format!("\"{value}\""),
        };
        let text = format!("{} {}:{value}", self.text, self.field);
        Some(Self { field: String::new(), ..self.with_text(text.trim()) })
    }

    /// The blocks to search.
    pub(super) fn span(&self) -> BlockSpan {
        BlockSpan {
            start: self.start,
            count: if self.count == 0 { u32::MAX } else { self.count },
            direction: if self.descending { Direction::Reverse } else { Direction::Forward },
            with_reversible: self.with_reversible,
        }
    }

    /// The same question at another address, from that cursor on.
    pub(super) fn address(&self, path: &str, cursor: &str) -> String {
        let sort = if self.descending { "desc" } else { "asc" };
        let reversible = if self.with_reversible { "true" } else { "false" };
        let [start, count] = [self.start, self.count].map(text_of);
        let all = [("q", self.text.as_str()), ("sort", sort), ("with_reversible", reversible)];
        let range = [("start_block", start.as_str()), ("block_count", &count), ("cursor", cursor)];
        links::address(path, [all[0], all[1], all[2], range[0], range[1], range[2]])
    }

    pub(super) fn form(&self) -> Markup {
        html! {
            form.filter action=(PATH) {
                label.wide { "Query" input name="q" value=(self.text) spellcheck="false" autocomplete="off"; }
                label { "Order"
                    select name="sort" {
                        option value="desc" selected[self.descending] { "newest first" }
                        option value="asc" selected[!self.descending] { "oldest first" }
                    }
                }
                label { "Blocks"
                    select name="with_reversible" {
                        option value="true" selected[self.with_reversible] { "all" }
                        option value="false" selected[!self.with_reversible] { "irreversible ones" }
                    }
                }
                label { "From block" input name="start_block" type="number" min="0" value=(text_of(self.start)) placeholder=(if self.descending { "head" } else { "first" }); }
                label { "How many blocks" input name="block_count" type="number" min="0" value=(text_of(self.count)) placeholder="all"; }
                button { "Search" }
            }
        }
    }
}

/// Empty for 0.
fn text_of(number: u32) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_an_address() {
        let asked = Asked {
            text: "a:b & c".to_owned(),
            field: String::new(),
            value: String::new(),
            descending: true,
            with_reversible: false,
            start: 0,
            count: 100,
            cursor: String::new(),
        };
        let address = "/search?q=a%3Ab+%26+c&sort=desc&with_reversible=false&block_count=100&cursor=x";
        assert_eq!(asked.address("/search", "x"), address);
        assert!(asked.with_field().is_none());
        for (value, text) in
            [("", "a:b & c data.memo:*"), (" x y ", "a:b & c data.memo:\"x y\""), ("\"", "a:b & c data.memo:'\"'")]
        {
            let asked = Asked { field: "data.memo".to_owned(), value: value.to_owned(), ..asked.clone() };
            assert_eq!(asked.with_field().unwrap().text, text);
        }
    }
}
