//! A replica's file that is not what this program wrote: looked at, merged, merged into, written to.
//!
//! | looked at | |
//! |---|---|
//! | a typed error, or a report; no panic | verified |
//! | a typed error that names the file, or a result; no panic | opened to be read, checked, merged |
//! | the file is as it was, byte for byte | after all of these |
//! | the destination is as it was | after an error |
//! | the destination is what it must be, and its file verifies | after a merge |
//! | a typed error, or a result; no panic | opened to be written, used, mended, merged into |
//!
//! It is hostile in two ways: damaged bytes, which the engine's checksums mostly tell; and lies in its tables, with
//! every checksum as it should be.

mod base;
mod damage;
mod lies;
mod salvaged;

use std::path::Path;

use super::build::Bytes;
use super::scratch::Scratch;
use super::seen::in_hand;
use crate::algebra::Millis;
use crate::journal::{Durability, Options, verify};
use crate::merge::{Children, Keep, Resolutions, With};
use crate::replica::{Error, Replica};
use crate::sync::{self, Engine};
use crate::testing::FaultyStorage;
use base::{Base, base, create, opened, patch};
pub use salvaged::salvaged;

/// The name of the destination, and of nobody else.
const DEST: u128 = 1;

/// The file that these bytes mean.
///
/// # Panics
/// If something is not as it must be.
pub fn hostile_file(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let base = base();
    let (file, _) = hurt(&mut bytes, base);
    let scratch = Scratch::new(&file);
    let path = scratch.path();
    if let Err(error) = verify(path) {
        assert!(!error.to_string().is_empty(), "{error:?}");
    }
    let resolutions = resolutions(&mut bytes);
    match Replica::open_to_read(path, options()) {
        Ok(source) => merge(base, &source, path, &resolutions),
        Err(error) => named::<()>(path, &Err(error)),
    }
    assert!(std::fs::read(path).ok().as_ref() == Some(&file), "a file that is only read was written to");
    // From here on it may be: whoever opens it to write wants it mended.
    if let Ok(replica) = Replica::open(path, options()) {
        use_it(base, &replica);
    }
}

/// The source's file with damage, lies or both, and whether it lies.
fn hurt(bytes: &mut Bytes<'_>, base: &Base) -> (Vec<u8>, bool) {
    let how = bytes.below(4);
    let mut file = base.source.clone();
    if how > 0 {
        file = lies::told(bytes, &file);
    }
    if how < 2 {
        damage::done(bytes, &mut file);
    }
    (file, how > 0)
}

fn options() -> Options {
    Options::new().cache_bytes(1 << 20).pass_bytes(1_000).clock(|| 5_000)
}

fn resolutions(bytes: &mut Bytes<'_>) -> Resolutions {
    let with = [With::Source, With::Dest, With::Newest].get(bytes.below(4)).copied();
    let children = if bytes.below(2) == 0 { Children::Both } else { Children::Winner };
    Resolutions { listed: Vec::new(), default: with.map(|with| Keep { with, children }) }
}

/// An error says which file it is about.
fn named<T>(path: &Path, done: &Result<T, Error>) {
    let Err(error) = done else { return };
    let words = error.to_string();
    assert!(words.contains(&path.display().to_string()), "{words}: of which file? {error:?}");
}

/// Merges a file into a sound one.
fn merge(base: &Base, source: &Replica, path: &Path, resolutions: &Resolutions) {
    let storage = FaultyStorage::from_bytes(&base.dest);
    let dest = opened(storage.clone(), DEST, &base.schema).expect("a sound file");
    let before = seen(&dest);
    let checked = dest.check_merge(&[source], resolutions, &mut |_| {});
    of_the_source(path, &checked);
    assert!(seen(&dest) == before, "checking changed something");
    let merged = dest.merge(&[source], resolutions, &mut |_| {});
    of_the_source(path, &merged);
    if merged.is_err() {
        assert!(seen(&dest) == before, "a merge that failed changed something");
    }
    let found = dest.check().expect("a sound file");
    assert!(found.is_empty(), "{found:#?}");
    let after = seen(&dest);
    drop(dest);
    let image = storage.bytes();
    let dest = opened(FaultyStorage::from_bytes(&image), DEST, &base.schema).expect("a sound file");
    assert!(seen(&dest) == after, "opened again, it is another one");
    drop(dest);
    if merged.is_ok() {
        let image = Scratch::new(&image);
        let report = verify(image.path()).expect("a sound file");
        assert!(report.findings.is_empty(), "{report:#?}");
    }
}

/// What fails is the source's fault, and says so; what is refused is refused for what somebody has to decide.
fn of_the_source<T>(path: &Path, done: &Result<T, Error>) {
    match done {
        Ok(_) | Err(Error::MergeRefused { .. }) => {}
        done => named(path, done),
    }
}

/// All that can be seen of a replica.
fn seen(replica: &Replica) -> String {
    let entities = replica.entities(None).expect("a sound file");
    let standing = replica.standing().expect("a sound file");
    format!("{entities:?} {standing:?} {}", in_hand(replica))
}

/// Whatever can be done with a replica. What fails, fails with an error; what comes after it, too.
fn use_it(base: &Base, replica: &Replica) {
    let journal = replica.journal();
    let _ = replica.check();
    let _ = replica.entities(None);
    let _ = (replica.conflicts(), replica.losers(), replica.undecided(), replica.standing());
    let _ = (journal.plan(), journal.parked(), journal.held(), journal.superseded());
    let _ = (journal.open_bunch(), journal.reads(), journal.status());
    let operations = [create("trees", 30, r#"{"tag":1}"#, 100), patch("plots", 1, r#"{"note":"new"}"#, 100)];
    let _ = replica.commit(&operations, Durability::Durable);
    let dest = opened(FaultyStorage::from_bytes(&base.dest), DEST, &base.schema).expect("a sound file");
    let _ = replica.merge(&[&dest], &Resolutions::default(), &mut |_| {});
    let _ = journal.compact();
    let mut engine = Engine::new(replica.clone(), sync::Options::default());
    let _ = (engine.online(), engine.next(Millis(10_000)));
    let _ = journal.mend();
    let _ = replica.entities(None);
    let _ = replica.check();
    let _ = (engine.online(), engine.next(Millis(20_000)));
}
