//! The codec: frames and columns on disk, lines in and out. Knows the algebra; touches no file.

pub(crate) mod binary;
pub(crate) mod columns;
pub(crate) mod frame;
pub mod lines;
pub(crate) mod records;

pub use frame::FrameError;
