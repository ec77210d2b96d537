//! The locks that [`commit`](super::commit) is made of. In a module of their own, so that a test can put others there.

pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
