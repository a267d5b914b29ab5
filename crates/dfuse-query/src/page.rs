use crate::state::Height;

/// A page of a list that is at one height.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub cursor: Option<String>,
    /// Which height it is of.
    pub height: Height,
    /// Whether the list lacks nothing that was there before the indexes begin.
    pub is_complete: bool,
}

/// What came of one look at a list that is read bit by bit. Each look is short, also where much has to be passed.
#[derive(Debug)]
pub enum Step<T> {
    /// The next item.
    Item(T),
    /// Something that is not in the list was passed.
    Passed,
    /// There is no more.
    End,
}
