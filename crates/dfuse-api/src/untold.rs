//! `details` of an answer: what it may lack since the source of its blocks did not tell it.

use dfuse_query::Untold;
use dfuse_render::JsonWriter;

/// Writes `details` where there is something to be said.
pub(crate) fn write_details(json: &mut JsonWriter<'_>, untold: Option<&Untold>) {
    if untold.is_none() {
        return;
    }
    json.key("details").array(untold, |json, untold| {
        json.begin_object();
        json.key("reason").string(untold.reason());
        json.key("fields").array(&untold.fields, |json, field| json.string(field));
        json.key("from_block").unsigned(*untold.blocks.start());
        json.key("to_block").unsigned(*untold.blocks.end());
        json.key("message").string(&untold.message());
        json.end_object();
    });
}
