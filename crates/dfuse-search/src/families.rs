//! The families of the index of action terms.

use dfuse_index::Family;

/// Term and chunk to the ordinals of the actions that have the term.
pub const POSTINGS: Family = Family::new("posting");
/// First ordinal to the terms of the actions from there on that are in no chunk yet.
pub const SEGMENTS: Family = Family::new("posting-segment");

/// A chunk that is being split to the first of its terms that has no list yet.
pub const SPLITS: Family = Family::new("posting-split");
