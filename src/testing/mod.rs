//! What the project tests itself with, for those who embed it and for those who doubt it.

mod storage;

pub use storage::{
    CrashPoint, Crashes, Fault, FaultyStorage, SECTOR_BYTES, Times, UNSYNCED_BYTES_MAX, Unsynced,
};
