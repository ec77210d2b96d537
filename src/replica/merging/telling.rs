//! Telling the caller how far a merge is, from the middle of it.

use std::any::Any;
use std::cell::RefCell;
use std::panic::resume_unwind;

use crate::journal;
use crate::replica::error::Error;
use crate::storage::guard::outside;

/// Whom to tell; what they panic with is theirs, not the engine's, and goes on once the engine was left in order.
pub(super) struct Telling<'a>(RefCell<Told<'a>>);

type Told<'a> = (&'a mut dyn FnMut(u64), Option<Box<dyn Any + Send>>);

impl<'a> Telling<'a> {
    pub(super) fn new(on_read: &'a mut dyn FnMut(u64)) -> Self {
        Telling(RefCell::new((on_read, None)))
    }

    pub(super) fn tell(&self, read: u64) {
        let (on_read, panicked) = &mut *self.0.borrow_mut();
        if panicked.is_none() {
            *panicked = outside(|| on_read(read)).err();
        }
    }

    /// Whether to go on.
    pub(super) fn goes_on(&self) -> Result<(), Error> {
        match self.0.borrow().1 {
            Some(_) => Err(Error::Journal { source: journal::Error::Failed }),
            None => Ok(()),
        }
    }

    /// Goes on with what the caller panicked with, if that is so.
    pub(super) fn done<T>(self, done: T) -> T {
        match self.0.into_inner().1 {
            Some(theirs) => resume_unwind(theirs),
            None => done,
        }
    }
}
