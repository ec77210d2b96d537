//! What the fuzz targets do with their bytes, as plain functions: the targets of the `fuzz` crate call them
//! with what a fuzzer finds, and a test with the committed corpora. They end without a word, or panic.

mod frames;
mod lines;

pub use frames::frames;
pub use lines::lines;
