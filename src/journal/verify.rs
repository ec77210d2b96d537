//! Verifying: every byte of a journal is looked at, and nothing is ever written.
//!
//! The file is opened read-only under an overlay that keeps every write to itself, so that the engine may
//! recover what a crash left without touching it. Then every stored value is opened by its own rules, and
//! what the values say of one another is compared.

use std::fs::File;
use std::path::Path;

use redb::{Builder, Database};

use super::bases::Bases;
use super::columns::ColumnReader;
use super::error::Error;
use super::folding::Folding;
use super::open::{not_opened, require_journal, shielded};
use super::options::CACHE_BYTES_DEFAULT;
use super::stored::TABLES;
use super::tables::{LOG, RUN, Snapshot};
use super::{entry, parked, pass, rewrite, seal, stored};
use crate::algebra::EntityKey;
use crate::codec::FrameError;
use crate::codec::records::Level;
use crate::codec::row::Row;
use crate::storage::guard::{GuardedError, discarded, guarded};
use crate::storage::open::refused;
use crate::storage::overlay::Overlay;
use crate::storage::{Backend, Storage, newborn};

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The file's length.
    pub bytes: u64,
    /// How many stored values were opened.
    pub values: u64,
    /// How many stored operations and effects were read.
    pub operations: u64,
    /// What is damaged; a sound journal has none.
    pub findings: Vec<Finding>,
}

/// One thing that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: String,
    /// In what way.
    pub what: String,
}

/// Checks every byte of the journal at a path, without ever writing to it. What a crash left to be recovered
/// is no damage. Its cost follows the size of the file; its memory does not. Over some damage the storage engine panics: that is a
/// finding like any other, but where panics abort it ends the process.
///
/// # Errors
/// If there is none, somebody has it open, it is no journal or damaged beyond opening, or the system refuses.
/// What is damaged inside is no error but a finding.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    let path = path.as_ref();
    let place = path.display().to_string();
    let (overlay, bytes) = laid_over(path, &place)?;
    let nothing = newborn::why_nothing_is_in(bytes, |offset, out| overlay.read(offset, out));
    if let Some(why) =
        nothing.map_err(|source| Error::Io { doing: format!("{place} cannot be read"), source })?
    {
        return Err(Error::NotAJournal { place, why: why.to_owned() });
    }
    let (db, engine) = looked_over(overlay, &place)?;
    let mut report = Report { bytes, ..Report::default() };
    if let Some(what) = engine {
        report.find(ENGINE, what);
    }
    let is_journal = shielded(&place, || require_journal(&db, &place));
    let done = is_journal.map(|()| report.check(&db));
    discarded(db);
    done.map(|()| report)
}

/// A file that is only read, and its length.
pub(crate) fn laid_over(path: &Path, place: &str) -> Result<(Overlay, u64), Error> {
    let overlay = Overlay::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        std::io::ErrorKind::WouldBlock => Error::Locked { place: place.to_owned() },
        _ => Error::Io { doing: format!("{place} cannot be opened"), source },
    })?;
    let bytes =
        overlay.len().map_err(|source| Error::Io { doing: format!("{place} cannot be measured"), source })?;
    Ok((overlay, bytes))
}

/// Where the engine's findings are.
pub(crate) const ENGINE: &str = "the engine's pages";

/// Opens a database on an overlay and lets the engine look at every page of its own; gives what it finds.
pub(crate) fn looked_over(overlay: impl Storage, place: &str) -> Result<(Database, Option<String>), Error> {
    let mut db = shielded(place, || {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES_DEFAULT);
        builder
            .create_with_backend(Backend::new(overlay))
            .map_err(|error| not_opened(place, refused(place, error)))
    })?;
    let found = match guarded(|| db.check_integrity()) {
        Ok(true) => None,
        Ok(false) => Some("they were not as they should be, and were rebuilt".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    Ok((db, found))
}

/// What the engine finds wrong with its own pages in a file that nobody writes to meanwhile.
pub(crate) fn engine_finds(path: &Path) -> Result<Option<String>, Error> {
    if cfg!(windows) {
        // Nobody reads a file there that somebody has open for writing.
        return Ok(None);
    }
    let place = path.display().to_string();
    let io = |source| Error::Io { doing: format!("{place} cannot be read"), source };
    let overlay = File::open(path).and_then(Overlay::over).map_err(io)?;
    match looked_over(overlay, &place) {
        Ok((db, found)) => {
            discarded(db);
            Ok(found)
        }
        Err(error @ Error::Io { .. }) => Err(error),
        Err(error) => Ok(Some(error.to_string())),
    }
}

impl Report {
    fn find(&mut self, place: impl Into<String>, what: impl ToString) {
        self.findings.push(Finding { place: place.into(), what: what.to_string() });
    }

    /// Runs one check; an engine that panics ends only this one.
    fn run(&mut self, what: &str, check: impl FnOnce(&mut Report) -> Result<(), Error>) {
        let mut part = std::mem::take(self);
        let done = guarded(|| check(&mut part));
        *self = part;
        match done {
            Ok(()) => {}
            Err(GuardedError::Engine(Error::Damaged { place, source })) => self.find(place, source),
            Err(error) => self.find(what, error),
        }
    }

    pub(crate) fn check(&mut self, db: &Database) {
        let snapshot = match guarded(|| Snapshot::of(db)) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.find("the journal", error),
        };
        for table in TABLES {
            self.run(table.name(), |report| {
                let missing = table.visit(&snapshot, |value| {
                    report.values += 1;
                    match value.opened {
                        Ok(rows) => report.operations += rows,
                        Err(error) => report.find(table.place_name(&value.place), error),
                    }
                    Ok(())
                })?;
                if missing > 0 {
                    report.find(table.name(), stored::cannot_be_found(missing));
                }
                Ok(())
            });
        }
        if self.findings.is_empty() {
            self.run("what the values say of one another", |report| report.consistent(&snapshot));
        }
    }

    /// What every value says by itself is sound: do they agree? No gap, no entry in two places, every
    /// payload where its row says, every field valid.
    fn consistent(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        let state = snapshot.state()?;
        if let Some(open) = &state.open {
            seal::load(snapshot, open)?;
        }
        let bases = Bases::new(snapshot, &state)?;
        seal::expected(snapshot, &state, &bases)?;
        let folding = Folding::new(snapshot)?;
        let sources = rewrite::all(&folding, &state)?;
        let mut levels = sources.levels.clone();
        levels.extend(state.open.as_ref().map(|open| open.level));
        levels.sort_by_key(|level| level.first);
        let log = sources.log.map(|log| Level::between(log.start, log.end));
        for (tables, levels) in [(RUN, levels), (LOG, log.into_iter().collect())] {
            let reader = ColumnReader::new(snapshot, tables)?;
            let mut known: u64 = 0;
            for level in levels {
                known += level.rows;
                reader.read(level.range(), |ordinal, row, preamble, payload| {
                    let opened = entry::entry_of(row, preamble, payload);
                    opened
                        .and_then(|entry| entry::require_valid(&entry.effect))
                        .and_then(|()| require_of(level, row))
                        .map_err(reader.damaged_rows(ordinal))
                })?;
            }
            // A pass that was cut short leaves what nobody reads.
            let mut stored = reader.count(..)?;
            for (_, range) in
                pass::unused(&state).into_iter().filter(|(of, _)| of.is_log() == tables.is_log())
            {
                stored -= reader.count(range)?;
            }
            if stored != known {
                let place = tables.name(true, 0);
                self.find(place, format!("{stored} entries are stored, but {known} are known of"));
            }
        }
        // Only of what is parked is it asked whether it is pending: all that is would take as much memory as there is of it.
        let parked: Vec<EntityKey> = parked::keys(snapshot)?.into_iter().collect();
        for key in rewrite::effects_of(snapshot, &state, &parked)?.keys() {
            self.find(format!("the effect of {key}"), "it is both parked and pending");
        }
        Ok(())
    }
}

/// A level of a slice has nobody else's entries.
fn require_of(level: Level, row: &Row) -> Result<(), FrameError> {
    let why = || "an entry stands in a slice that its id does not fall into".to_owned();
    if level.slice.has(row.id) { Ok(()) } else { Err(FrameError::Body { why: why() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Operation, State};
    use crate::journal::error::engine;
    use crate::journal::salvage::{Judged, LostName, Reading, salvage};
    use crate::journal::tables::{put_state, state_in};
    use crate::journal::{Durability, Options};

    /// So little that few entries are long.
    const PASS_BYTES: usize = 20_000;

    fn create(number: u64) -> Operation {
        let key =
            EntityKey::new("notes".parse().unwrap(), uuid::Uuid::from_u128(u128::from(number) + 1)).unwrap();
        Operation::create(key, State::from_json(&format!(r#"{{"n":{number}}}"#)).unwrap())
    }

    /// A journal whose state says of levels that they are of other slices than they are.
    fn mixed_up(path: &Path) -> u64 {
        let journal = Options::new().pass_bytes(PASS_BYTES).create(path).unwrap();
        let rows = 2 * crate::journal::levels::Sizes::of(PASS_BYTES as u64).short;
        for half in [0..rows / 2, rows / 2..rows] {
            journal.append(&half.map(create).collect::<Vec<_>>(), Durability::Durable).unwrap();
            journal.compact().unwrap();
        }
        drop(journal);
        let db = Database::open(path).unwrap();
        let txn = db.begin_write().unwrap();
        let mut state = state_in(&txn).unwrap();
        assert!(state.levels.len() > 2);
        let [first, second, ..] = &mut state.levels[..] else { panic!("it is long") };
        std::mem::swap(&mut first.slice, &mut second.slice);
        put_state(&txn, &state).unwrap();
        txn.commit().map_err(engine).unwrap();
        rows
    }

    #[test]
    fn an_entry_in_a_slice_that_is_not_its_own_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        mixed_up(&path);
        let report = verify(&path).unwrap();
        let [found] = &report.findings[..] else { panic!("{report:?}") };
        assert!(found.what.contains("its id does not fall into"), "{found:?}");
    }

    #[test]
    fn of_a_journal_whose_state_contradicts_its_entries_everything_is_parked_by_a_salvage() {
        let folder = tempfile::tempdir().unwrap();
        let [path, new] = ["journal", "new"].map(|name| folder.path().join(name));
        let entities = mixed_up(&path);
        let account = salvage(&path, &new, LostName::Refused).unwrap();
        assert_eq!(account.reading, Reading::Pages);
        assert!(account.judged.contains(&Judged::Parked { entities }), "{:?}", account.judged);
        assert_eq!(verify(&new).unwrap().findings, []);
        let journal = Options::new().open(&new).unwrap();
        assert!(journal.plan().unwrap().operations.is_empty());
        let parked = journal.parked().unwrap();
        assert_eq!(parked.len() as u64, entities);
    }
}
