//! Salvage: everything readable of a damaged journal goes to a new one, with an account of what could not be read.
//!
//! ```text
//! sound                         ─→ a copy
//! values are damaged            ─→ the engine reads it ─────┐
//! the engine's pages are, too   ─→ scan, commit, collect ─→ a journal from which something is gone
//!                                                           │  as the one or the other it is set aside and rebuilt
//!                                                           └─→ verified ─→ gets its name
//! ```
//!
//! The damaged file is never written, and the new one is only there once all of it is. Invariant: nothing is pending that
//! may have been sent and settled; where that is not known, it is parked.

mod account;
mod again;
mod by_engine;
mod by_pages;
mod collect;
mod commit;
mod doubt;
mod scan;

use std::io;
use std::path::Path;

use redb::ReadableTableMetadata;

use super::error::{Error, engine};
use super::newfile::{NewFile, beside};
use super::options::Options;
use super::set_aside;
use super::tables::BASE;
use super::verify::{Finding, Report, laid_over, verify};
use crate::algebra::Millis;
use crate::storage::{Storage, newborn};
use by_pages::Trusted;

pub use account::{Judged, LostName, Reading, Salvaged, UNREADABLE_LISTED_MAX};

/// Salvages a damaged journal: everything readable of it goes to a new file, which is only there if that succeeds.
///
/// What is pending, sealed, parked and known goes on as it is. What does not open is set aside in the new journal, where
/// [`Journal::set_aside`](super::Journal::set_aside) lists it. Where not even the storage engine opens the file, its pages are
/// read one by one. Where the file does not tell any more where the journal stood, everything unsent is parked, so that nothing
/// is lost and nothing sent twice unasked; so is all of it where what was put together contradicts itself. Where it does not tell
/// whether something was still parked, that is parked again, and its cause says so. What gave way or was set aside, and forgotten
/// on purpose, may be listed again. The files of replicas are salvaged like any journal: what was done to
/// an entity and cannot be read is parked as what is seen of it, and what the authority holds and cannot be read is fetched anew,
/// when the replica is opened: the account tells of none of that, so the parked ones are to be listed after that.
///
/// The damaged file is never written. Its cost follows the size of the file, whatever its pages say of themselves; but a file
/// that somebody made of thousands of directories over one large tree takes longer. Where panics abort and the storage
/// engine panics over the file, the process ends: nothing has the new file's name then.
///
/// # Errors
/// If the new file is there already; a damaged one that is missing, open elsewhere, or holds nothing of a journal; one whose
/// replica id is gone, unless it may get a new one; or what the system says.
pub fn salvage(
    damaged: impl AsRef<Path>,
    new: impl AsRef<Path>,
    lost_name: LostName,
) -> Result<Salvaged, Error> {
    let (damaged, new) = (damaged.as_ref(), new.as_ref());
    if std::fs::symlink_metadata(new).is_ok() {
        return Err(Error::Exists { path: new.to_owned() });
    }
    let salvage =
        Salvage { damaged, new, place: damaged.display().to_string(), lost_name, now: crate::clock::now() };
    let (file, len) = laid_over(damaged, &salvage.place)?;
    // What a disk does not give is damage, no reason to give up.
    if let Ok(Some(why)) = newborn::why_nothing_is_in(len, |offset, out| file.read(offset, out)) {
        return Err(salvage.refused(why.to_owned()));
    }
    let made = match checked(salvage.by_engine(&file)?)? {
        Ok(checked) => checked,
        Err(why) => {
            tracing::warn!(%why, "the engine does not read the file, so its pages are read one by one");
            match checked(salvage.by_pages(&file, why, Trusted::Commit)?)? {
                Ok(checked) => checked,
                Err(why) => {
                    // What was put together contradicts itself. What is parked entity by entity cannot.
                    tracing::warn!(%why, "where the journal stood is not gone by, so everything unsent is parked");
                    let made = salvage.by_pages(&file, why, Trusted::Nothing)?;
                    checked(made)?.map_err(|why| salvage.refused(why))?
                }
            }
        }
    };
    salvage.named(made)
}

/// What is salvaged, and where it goes.
struct Salvage<'s> {
    damaged: &'s Path,
    new: &'s Path,
    /// The damaged file's name for people.
    place: String,
    lost_name: LostName,
    now: Millis,
}

/// A new journal that has no name yet.
struct Made {
    file: NewFile,
    reading: Reading,
    judged: Vec<Judged>,
    /// How many values were set aside before.
    set_aside_before: u64,
}

/// Checks every byte of what was made, if anything was; says what is wrong, if anything is.
fn checked(made: Result<Made, String>) -> Result<Result<(Made, Report), String>, Error> {
    let made = match made {
        Ok(made) => made,
        Err(why) => return Ok(Err(why)),
    };
    let report = match verify(made.file.path()) {
        Err(error) if error.is_damage() => return Ok(Err(said(error))),
        report => report?,
    };
    Ok(match report.findings.first() {
        None => Ok((made, report)),
        Some(Finding { place, what }) => Err(format!("what is left of it makes no journal: {place}: {what}")),
    })
}

/// What is wrong with a file, without its name and what to do: that is said of the damaged one.
fn said(error: Error) -> String {
    match error {
        Error::NotAJournal { why, .. } | Error::Corrupted { why } => why,
        Error::Damaged { place, source } => format!("{place}: {source}"),
        error => error.to_string(),
    }
}

impl Salvage<'_> {
    /// A file that is to become the new one, or is needed only until it is made.
    fn new_file(&self, suffix: &str) -> Result<NewFile, Error> {
        NewFile::like(self.damaged, beside(self.new, suffix)).map_err(|source| self.unmade(source))
    }

    fn unmade(&self, source: io::Error) -> Error {
        let hint = match source.kind() {
            io::ErrorKind::NotFound => "; the folder that it is to be in must be there",
            _ => "",
        };
        Error::Io { doing: format!("{} cannot be made{hint}", self.new.display()), source }
    }

    fn refused(&self, why: String) -> Error {
        Error::NotSalvaged { place: self.place.clone(), why }
    }

    /// Gives the account of what was made, and gives it its name.
    fn named(&self, (made, report): (Made, Report)) -> Result<Salvaged, Error> {
        let Made { file, reading, judged, set_aside_before } = made;
        let journal = Options::new().open_to_read(file.path())?;
        let (bases, unreadable) = journal.inner.read(|snapshot| {
            let bases = snapshot.keyed(BASE)?.len().map_err(engine)?;
            Ok((bases, set_aside::findings(snapshot, set_aside_before, UNREADABLE_LISTED_MAX)?))
        })?;
        let status = journal.status()?;
        let salvaged = Salvaged {
            reading,
            replica: journal.replica(),
            bytes: report.bytes,
            values: report.values,
            bases,
            unreadable_count: status.set_aside_values.saturating_sub(set_aside_before),
            unreadable,
            status,
            judged,
        };
        drop(journal);
        file.becomes(self.new).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists { path: self.new.to_owned() },
            _ => self.unmade(source),
        })?;
        Ok(salvaged)
    }
}
