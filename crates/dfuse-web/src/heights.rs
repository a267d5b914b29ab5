//! At which block state is looked at: a box, a slider, and steps back and forth.

use maud::{Markup, html};

use crate::links;

/// How far the steps reach.
const STEPS: [u32; 3] = [1, 100, 10_000];

/// Where a page stands among the blocks, and where it is at another one.
pub(crate) struct Heights<'a> {
    /// The path that the form asks for.
    pub(crate) path: &'a str,
    /// The block of the page.
    pub(crate) number: u32,
    /// The newest one.
    pub(crate) head: u32,
    /// Whether the page stays with the newest one.
    pub(crate) is_at_head: bool,
    /// The address of the page at a height; at the head, without one.
    pub(crate) at: &'a dyn Fn(&str) -> String,
}

impl Heights<'_> {
    /// The form, with those fields before the box and those behind it.
    pub(crate) fn form(&self, before: &Markup, behind: &Markup) -> Markup {
        let Self { path, number, head, .. } = *self;
        html! {
            form.filter.heights action=(path) {
                (before)
                label { "At block"
                    input name="block_num" type="number" min="1" max=(head) value=(number) data-slider="Block to look at";
                }
                (behind)
                button { "Show" }
            }
            (self.steps())
        }
    }

    fn steps(&self) -> Markup {
        let Self { number, head, at, .. } = *self;
        let step = |target: u32, label: String| html! { a href=(at(&target.to_string())) { (label) } };
        html! {
            p.steps {
                span { "Block " (links::numbered_block(number)) @if self.is_at_head { ", the head" } }
                @for by in STEPS.into_iter().rev().filter(|by| number > *by) { (step(number - by, format!("{by} earlier"))) }
                @for by in STEPS.into_iter().filter(|by| head.saturating_sub(number) >= *by) { (step(number + by, format!("{by} later"))) }
                @if !self.is_at_head { a href=(at("")) { "to the head" } }
            }
        }
    }
}
