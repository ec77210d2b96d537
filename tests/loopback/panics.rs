//! Panics of a server's threads, which its clients would never hear of.

use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts the panics of the library's own threads from now on.
pub(crate) fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if thread::current().name().is_some_and(|name| name.starts_with("foldlog")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            before(panicked);
        }));
    });
}

/// That there were none.
pub(crate) fn require_none() {
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a thread of the library panicked");
}
