use dfuse_index::{Result, ServingSnapshot};
use dfuse_query::ApiResult;
use dfuse_state::StateAt;

use super::height::Height;
use crate::streamed::Pieces;
use dfuse_render::JsonWriter;

type Items<T> = Box<dyn Iterator<Item = Result<T>> + Send>;
/// The items after one of them, of all without one.
type Read<T> = Box<dyn Fn(&StateAt, Option<T>) -> Result<Items<T>> + Send>;

/// The items of an answer's last list, lazily.
pub(super) struct List<T> {
    height: Height,
    read: Read<T>,
    /// Writes one; it is told the one before.
    write: fn(&mut JsonWriter<'_>, Option<T>, T),
    items: Items<T>,
    last: Option<T>,
}

impl<T: Copy + Send + 'static> List<T> {
    /// `read` gives the items after one of them.
    pub(super) fn new<I: Iterator<Item = Result<T>> + Send + 'static>(
        height: Height,
        read: impl Fn(&StateAt, Option<T>) -> Result<I> + Send + 'static,
        write: fn(&mut JsonWriter<'_>, Option<T>, T),
    ) -> ApiResult<Self> {
        let read = move |state: &StateAt, after| Ok(Box::new(read(state, after)?) as Items<T>);
        let items = read(&height.state, None)?;
        Ok(Self { height, read: Box::new(read), write, items, last: None })
    }
}

impl<T: Copy + Send + 'static> Pieces for List<T> {
    fn next(&mut self, json: &mut JsonWriter<'_>) -> ApiResult<bool> {
        let Some(item) = self.items.next().transpose()? else {
            json.end_array();
            json.end_object();
            return Ok(false);
        };
        (self.write)(json, self.last, item);
        self.last = Some(item);
        Ok(true)
    }

    fn renew(&mut self, snapshot: &ServingSnapshot) -> ApiResult<()> {
        self.height.renew(snapshot)?;
        self.items = (self.read)(&self.height.state, self.last)?;
        Ok(())
    }
}
