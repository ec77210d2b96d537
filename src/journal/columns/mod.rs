//! Columns in their tables: writing a list entry by entry, scanning its rows, reading chosen payloads.

mod read;
mod write;

pub(crate) use read::{ColumnReader, Payload};
pub(crate) use write::{ColumnWriter, Values, remove};
