//! What the project tests itself with, for those who embed it and for those who doubt it.

mod crash;
pub mod fuzz;
mod image;

mod storage;

pub use crash::{CrashPoint, Crashes, Unsynced};
pub use image::SECTOR_BYTES;
pub use storage::{Fault, FaultyStorage, Times, UNSYNCED_BYTES_MAX};
