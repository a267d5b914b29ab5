//! Objects, enums and scalars of the schema.

mod blocks;
mod enums;
mod scalars;

pub(crate) use blocks::BlockIdResponse;
pub(crate) use enums::Comparator;
pub(crate) use scalars::{Int64, Json, Time, Uint32, Uint64};
