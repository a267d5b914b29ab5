/// What a read costs. Reads of each class have threads of their own, so that dear ones never hold cheap ones up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A few keys, whatever the size of the chain: a transaction, a block, a row.
    LookUp,
    /// So many entries in a row as an answer or a slice of it has: a list, a table.
    Page,
    /// Work that depends on what is asked for and on the chain: searches, counts, histories of accounts.
    Search,
    /// Reading what a client sent: JSON, forms, rows.
    Body,
}

impl Class {
    pub(super) const ALL: [Self; 4] = [Self::LookUp, Self::Page, Self::Search, Self::Body];

    /// As threads and counts are named.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LookUp => "look-up",
            Self::Page => "page",
            Self::Search => "search",
            Self::Body => "body",
        }
    }
}
