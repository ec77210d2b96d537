//! The codec: frames and columns on disk, lines in and out. Knows the algebra; touches no file.

pub(crate) mod accounts;
pub(crate) mod answers;
pub(crate) mod binary;
pub(crate) mod columns;
pub(crate) mod frame;
pub(crate) mod kept;
pub mod lines;
mod packed;
pub(crate) mod records;
pub(crate) mod row;
pub(crate) mod slice;
pub mod wire;

pub use frame::FrameError;
