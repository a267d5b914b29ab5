//! Portable snapshots: the one in a file, whatever it is packed in, and its state in indexes.

mod file;
mod load;

pub(crate) use self::{
    file::read,
    load::{StateLoad, must_be_of},
};
