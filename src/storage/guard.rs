//! The wall between the engine and its user: a panic inside the engine becomes an error.
//!
//! The engine checks its pages when it recovers, not when it reads: a damaged page makes it panic (and a
//! damaged value comes back as it is, which is why segments carry their own hash). Every call into the
//! engine goes through [`guarded`].
//!
//! # After a caught panic
//!
//! The engine's own state in memory is not to be trusted any more: locks may be poisoned, pages half
//! changed, a transaction leaked.
//!
//! | | |
//! |---|---|
//! | the file | as after a crash at that moment: nothing of the transaction under way counts, everything committed before does |
//! | the transaction, its tables and iterators | were dropped while the panic unwound; the engine aborts nothing then and marks the file for recovery |
//! | the handle | refuses everything until it is reopened |
//! | the database | is dropped, once, through [`discarded`]: that gives the file's lock back, and writes nothing. It is never used again, not even to close it in order |
//!
//! Where nothing panicked, a database is closed through [`closed`], unless it must not be written to: a damaged one, or one
//! of which only a copy in memory may change.
//!
//! # The message on standard error
//!
//! The panic hook belongs to the application. What was caught here is an error value like any other, so
//! its message must not be printed, and a crash reporter must not be told of a crash. The only way is a
//! hook of our own: it is put in front of the application's, once, when the first panic could come; it
//! stays silent while the thread is inside the engine and calls the application's otherwise. What that
//! costs: an application that takes its hook out again (`take_hook`) takes ours with it, working as
//! before; one that sets another hook later replaces ours, and then sees the engine's panics too. Both
//! are harmless: the panic is caught all the same.
//!
//! With `panic = "abort"` nothing can be caught: the process ends, and the file is as after a crash. What has not panicked
//! ends no process there either: a database is discarded without a panic of our own. And nothing is silenced, for
//! what the engine says is all that is heard of it.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

use redb::Database;
use thiserror::Error;

/// What a call into the engine failed with.
#[derive(Debug, Error)]
pub(crate) enum GuardedError<E> {
    /// The engine said so.
    #[error(transparent)]
    Engine(E),
    /// The engine panicked: the file is damaged, or the engine is at fault.
    #[error("the storage engine gave up: {0}")]
    Panicked(Panic),
}

/// What the engine said when it panicked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the storage engine gave up: {message} (at {place})")]
pub(crate) struct Panic {
    /// Its message, shortened.
    pub(crate) message: String,
    /// The source file and line, or nothing known.
    pub(crate) place: String,
}

/// Calls into the engine and turns a panic into an error.
///
/// # Errors
/// What the call returned, or that it panicked: see the module for what must follow then.
pub(crate) fn guarded<T, E>(call: impl FnOnce() -> Result<T, E>) -> Result<T, GuardedError<E>> {
    match caught(call) {
        Ok(result) => result.map_err(GuardedError::Engine),
        Err(panic) => Err(GuardedError::Panicked(panic)),
    }
}

/// Drops something of the engine's that is not to be written by any more: a panic may have left it half-done, or it has
/// turned out to be damaged, or somebody else's. Dropped in order it would commit once more.
///
/// It is dropped while another panic unwinds, for then the engine only lets go of the file, as if the process had
/// ended. Where panics abort, that would be the end: there it is [`dropped_after_an_error`], as nothing has panicked.
pub(crate) fn discarded<T: OfTheEngine>(of_the_engine: T) {
    if cfg!(not(panic = "unwind")) {
        return dropped_after_an_error(of_the_engine);
    }
    let _ = caught(|| {
        let _held = of_the_engine;
        panic::resume_unwind(Box::new("discarded"))
    });
}

/// Drops something of the engine's whose storage has refused something before, and refuses everything meanwhile: after
/// an error of its storage the engine writes no more, and after one that it meets first, it does not try to.
fn dropped_after_an_error<T: OfTheEngine>(mut of_the_engine: T) {
    let _ = caught(|| {
        let _discarding = Discarding::enter();
        of_the_engine.meets_an_error();
        drop(of_the_engine);
    });
}

/// What holds a file by the engine.
pub(crate) trait OfTheEngine {
    /// Calls its storage, which refuses.
    fn meets_an_error(&mut self);
}

impl OfTheEngine for Database {
    fn meets_an_error(&mut self) {
        // The first that it does is to ask for a sync.
        let met = self.check_integrity();
        debug_assert!(met.is_err(), "the storage does not refuse");
    }
}

impl OfTheEngine for Option<Database> {
    fn meets_an_error(&mut self) {
        if let Some(db) = self {
            db.meets_an_error();
        }
    }
}

/// Refuses what is done to a storage while this thread discards a database on it.
pub(super) fn not_discarding() -> io::Result<()> {
    let is_discarding = DISCARDING.try_with(Cell::get).unwrap_or(false);
    if is_discarding { Err(io::Error::other("the database on it is discarded")) } else { Ok(()) }
}

/// Marks this thread as discarding while it lives.
struct Discarding;

impl Discarding {
    fn enter() -> Self {
        DISCARDING.set(true);
        Discarding
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        DISCARDING.set(false);
    }
}

/// Closes something of the engine's in order, which may write. What it panics with changes nothing any more: the
/// file is as after a crash.
pub(crate) fn closed<T>(of_the_engine: T) {
    let _ = caught(|| drop(of_the_engine));
}

/// Calls back out of the engine, into the caller's code: its panics are its own. What it panicked with is
/// given back, to go on with once the engine was left in order.
pub(crate) fn outside<T>(call: impl FnOnce() -> T) -> thread::Result<T> {
    let inside = INSIDE.with(|inside| inside.replace(0));
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    INSIDE.with(|cell| cell.set(inside));
    result
}

thread_local! {
    /// How many calls into the engine this thread is in. Not a flag: a call may come inside another one.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    /// Whether this thread discards a database.
    static DISCARDING: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic inside the engine was.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Marks this thread as inside the engine while it lives.
struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.with(|inside| inside.set(inside.get() + 1));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(inside.get().saturating_sub(1)));
    }
}

fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Panic> {
    silence_the_engine();
    let inside = Inside::enter();
    // Nothing the call has touched is used afterwards: see the module.
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    drop(inside);
    result.map_err(|payload| {
        let place = PLACE.take().unwrap_or_else(|| "an unknown place".to_owned());
        Panic { message: message(payload), place }
    })
}

/// Puts our hook in front of the application's, once.
fn silence_the_engine() {
    static ONCE: Once = Once::new();
    if cfg!(not(panic = "unwind")) {
        // Nothing is caught there: what the engine says is all that is heard before the process ends.
        return;
    }
    if thread::panicking() {
        // A hook cannot be set while a panic unwinds. The next call does it.
        return;
    }
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A thread that is ending has no thread-locals any more: it is not in the engine.
            if INSIDE.try_with(Cell::get).unwrap_or(0) == 0 {
                return next(info);
            }
            // The file's own name: where the program was built is nobody's business.
            let name = |file: &str| file.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            let place = info.location().map(|place| format!("{}:{}", name(place.file()), place.line()));
            let _ = PLACE.try_with(|cell| cell.set(place));
        }));
    });
}

/// The words of a panic, shortened: they may quote what is in the file.
fn message(payload: Box<dyn Any + Send>) -> String {
    const CHARS_MAX: usize = 200;
    let words = match payload.downcast::<String>() {
        Ok(words) => *words,
        Err(payload) => match payload.downcast_ref::<&str>() {
            Some(words) => (*words).to_owned(),
            None => "no message".to_owned(),
        },
    };
    let words = words.lines().next().unwrap_or_default();
    match words.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => words.get(..end).unwrap_or_default().to_owned() + "…",
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

    use super::*;
    use crate::storage::open::Origin;

    fn panics() -> Result<(), String> {
        guarded(|| -> Result<(), String> { panic!("page {} is gone", 7) }).map_err(|error| error.to_string())
    }

    #[test]
    fn a_panic_becomes_an_error_that_says_where() {
        let error = guarded(|| -> Result<(), String> { panic!("page {} is gone", 7) }).unwrap_err();
        let GuardedError::Panicked(panic) = error else { panic!("not a panic") };
        assert_eq!(panic.message, "page 7 is gone");
        assert!(panic.place.contains("guard.rs:"), "{}", panic.place);
    }

    #[test]
    fn results_and_errors_pass_through() {
        assert_eq!(guarded(|| Ok::<_, String>(3)).unwrap(), 3);
        let error = guarded(|| Err::<(), _>("no".to_owned())).unwrap_err();
        assert!(matches!(error, GuardedError::Engine(error) if error == "no"));
    }

    #[test]
    fn a_long_message_is_shortened() {
        let error = guarded(|| -> Result<(), String> { panic!("{}", "ä".repeat(1000)) }).unwrap_err();
        let GuardedError::Panicked(panic) = error else { panic!("not a panic") };
        assert_eq!(panic.message.chars().count(), 201);
    }

    #[test]
    fn a_guard_works_while_another_panic_unwinds() {
        struct Closes;
        impl Drop for Closes {
            fn drop(&mut self) {
                assert!(thread::panicking());
                assert!(panics().is_err());
            }
        }
        let outer = guarded(|| -> Result<(), String> {
            let _closes = Closes;
            panic!("the first one")
        });
        assert!(outer.unwrap_err().to_string().contains("the first one"));
    }

    #[test]
    fn something_that_panics_when_dropped_is_closed_in_silence() {
        struct Poisoned;
        impl Drop for Poisoned {
            fn drop(&mut self) {
                panic!("poisoned");
            }
        }
        closed(Poisoned);
    }

    #[test]
    fn what_is_discarded_is_dropped_while_a_panic_unwinds_and_what_is_closed_is_not() {
        struct Tells<'a>(&'a Cell<Option<bool>>);
        impl Drop for Tells<'_> {
            fn drop(&mut self) {
                self.0.set(Some(thread::panicking()));
            }
        }
        impl OfTheEngine for Tells<'_> {
            fn meets_an_error(&mut self) {}
        }
        let unwinds = Cell::new(None);
        discarded(Tells(&unwinds));
        assert_eq!(unwinds.replace(None), Some(true));
        assert!(!thread::panicking());
        closed(Tells(&unwinds));
        assert_eq!(unwinds.get(), Some(false));
    }

    #[test]
    fn what_is_discarded_writes_nothing_and_lets_go_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("discarded");
        drop(Builder::new().create(&path).unwrap());
        let db = Builder::new().open(&path).unwrap();
        let before = fs::read(&path).unwrap();
        discarded(db);
        assert!(fs::read(&path).unwrap() == before);
        closed(Builder::new().open(&path).unwrap());
        assert!(fs::read(&path).unwrap() != before, "closing in order says so in the header");
    }

    /// A database on a file with a commit that is not durable yet.
    fn with_a_deferred_commit(builder: &Builder, origin: &Origin) -> Database {
        let db = origin.open(builder).unwrap();
        let mut write = db.begin_write().unwrap();
        write.set_durability(redb::Durability::None).unwrap();
        write.open_table(ROWS).unwrap().insert(1, [7; 100].as_slice()).unwrap();
        write.commit().unwrap();
        db
    }

    #[test]
    fn what_is_dropped_after_an_error_writes_nothing_and_lets_go_of_the_file_without_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("discarded");
        let builder = Builder::new();
        drop(builder.create(&path).unwrap());
        let origin = Origin::File { path: path.clone(), may_create: false };
        let is_discarded_by: [fn(Database); 2] =
            [dropped_after_an_error, |db| dropped_after_an_error(Some(db))];
        for is_read in [false, true] {
            for discards in is_discarded_by {
                let db = if is_read {
                    origin.open(&builder).unwrap()
                } else {
                    with_a_deferred_commit(&builder, &origin)
                };
                let before = fs::read(&path).unwrap();
                discards(db);
                assert!(!thread::panicking() && not_discarding().is_ok());
                assert!(fs::read(&path).unwrap() == before);
                // Who opens it next finds what was durable.
                let db = origin.open(&builder).unwrap();
                let tables = db.begin_read().unwrap().list_tables().unwrap().count();
                assert_eq!(tables, 0);
                closed(db);
            }
        }
    }

    /// Set for the process that the next test starts.
    const ALONE: &str = "FOLDLOG_GUARD_TEST_ALONE";

    #[test]
    fn the_applications_hook_hears_its_own_panics_and_not_the_engines() {
        if std::env::var_os(ALONE).is_some() {
            return be_an_application();
        }
        // Hooks are global: a process of its own, so that no other test meets this one's.
        let name = "storage::guard::tests::the_applications_hook_hears_its_own_panics_and_not_the_engines";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let heard: Vec<&str> = stderr.lines().filter(|line| line.starts_with("heard")).collect();
        assert_eq!(heard, ["heard: before", "heard: on another thread", "heard: after"]);
        assert!(!stderr.contains("is gone"), "{stderr}");
    }

    fn be_an_application() {
        panic::set_hook(Box::new(|info| {
            eprintln!("heard: {}", info.payload().downcast_ref::<&str>().unwrap_or(&"?"));
        }));
        let _ = panic::catch_unwind(|| panic!("before"));
        assert!(panics().is_err());
        let nested = guarded(|| {
            let another = thread::spawn(|| panic!("on another thread"));
            assert!(another.join().is_err());
            panics()
        });
        assert!(nested.is_err());
        assert!(panics().is_err());
        let _ = panic::catch_unwind(|| panic!("after"));
    }

    const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");

    fn read_rows(db: &Database) -> Result<usize, redb::Error> {
        let rows = db.begin_read()?.open_table(ROWS)?;
        let mut bytes = 0;
        for row in rows.iter()? {
            bytes += row?.1.value().len();
        }
        Ok(bytes)
    }

    /// Flips the bits of one byte in a stride and opens, reads, writes and closes the file: the engine
    /// panics on some of these. Each must come back as an error, and leave the file's lock behind.
    #[test]
    fn the_engines_panics_on_damaged_pages_are_caught_and_the_file_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        let db = Builder::new().create(&path).unwrap();
        let write = db.begin_write().unwrap();
        let mut rows = write.open_table(ROWS).unwrap();
        for row in 0..200 {
            rows.insert(row, [7; 100].as_slice()).unwrap();
        }
        drop(rows);
        write.commit().unwrap();
        drop(db);
        let whole = fs::read(&path).unwrap();
        // The first bytes of every page: its kind and its number of entries.
        let places = (0..whole.len()).filter(|place| place % 4096 < 4);
        let origin = Origin::File { path: path.clone(), may_create: false };
        let (mut panicked, mut refused, mut read) = (0, 0, 0);
        for place in places {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            fs::write(&path, &damaged).unwrap();
            let opened = guarded(|| origin.open(&Builder::new()));
            let error = match opened {
                Ok(db) => {
                    let result = guarded(|| read_rows(&db)).map(drop);
                    let error = result.err().map(|error| matches!(error, GuardedError::Panicked(_)));
                    if error == Some(true) {
                        discarded(db);
                    } else {
                        closed(db);
                    }
                    error
                }
                Err(error) => Some(matches!(error, GuardedError::Panicked(_))),
            };
            match error {
                Some(true) => panicked += 1,
                Some(false) => refused += 1,
                None => read += 1,
            }
            fs::write(&path, &whole).unwrap();
            assert!(read_rows(&Builder::new().open(&path).unwrap()).is_ok(), "byte {place}");
        }
        println!("{panicked} panicked, {refused} refused, {read} read");
        assert!(panicked > 0 && refused > 0);
    }
}
