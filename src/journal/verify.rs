//! Verifying: every byte of a journal is looked at, and nothing is ever written.
//!
//! The file is opened read-only under an overlay that keeps every write to itself, so that the engine may
//! recover what a crash left without touching it. Then every stored value is opened by its own rules, and
//! what the values say of one another is compared.

use std::collections::HashSet;
use std::path::Path;

use redb::{Builder, Database, ReadableTable};

use super::bases::Bases;
use super::columns::ColumnReader;
use super::error::{Error, engine};
use super::folding::{Folding, Part};
use super::guard::{discarded, guarded};
use super::open::{refused, require_journal, shielded};
use super::options::CACHE_BYTES_DEFAULT;
use super::overlay::Overlay;
use super::storage::{Backend, Storage};
use super::tables::{
    BASE, BUNCH, ColumnTables, IDENTITY_KEY, INBOX, Keyed, LOG, META, Numbered, PARKED, RUN, SUPERSEDED,
    Snapshot, WAITS, entity_of, key_name,
};
use super::{entry, newborn, rewrite, seal};
use crate::algebra::Index;
use crate::codec::FrameError;
use crate::codec::columns::Rows;
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::{
    self, BaseRecord, Identity, JournalState, ParkedRecord, SupersededRecord, TriggerRecord,
};

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
/// is no damage. Its cost follows the size of the file; its memory does not.
///
/// # Errors
/// If there is none, somebody has it open, it is no journal or damaged beyond opening, or the system refuses.
/// What is damaged inside is no error but a finding.
pub fn verify(path: impl AsRef<Path>) -> Result<Report, Error> {
    let path = path.as_ref();
    let place = path.display().to_string();
    let overlay = Overlay::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        std::io::ErrorKind::WouldBlock => Error::Locked { place: place.clone() },
        _ => Error::Io { doing: format!("{place} cannot be opened"), source },
    })?;
    let bytes =
        overlay.len().map_err(|source| Error::Io { doing: format!("{place} cannot be measured"), source })?;
    newborn::require_finished(bytes, |offset, out| overlay.read(offset, out), &place)?;
    let mut db = shielded(&place, || {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES_DEFAULT);
        builder.create_with_backend(Backend(overlay)).map_err(|error| refused(&place, error))
    })?;
    let mut report = Report { bytes, ..Report::default() };
    let engine_says = guarded(|| db.check_integrity());
    match &engine_says {
        Ok(true) => {}
        Ok(false) => report.find("the engine's pages", "they were not as they should be, and were rebuilt"),
        Err(error) => report.find("the engine's pages", error),
    }
    let is_journal = shielded(&place, || require_journal(&db, &place));
    let done = is_journal.map(|()| report.check(&db));
    discarded(db);
    done.map(|()| report)
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
            Err(super::guard::GuardedError::Engine(Error::Damaged { place, source })) => {
                self.find(place, source)
            }
            Err(error) => self.find(what, error),
        }
    }

    fn check(&mut self, db: &Database) {
        let snapshot = match guarded(|| Snapshot::of(db)) {
            Ok(snapshot) => snapshot,
            Err(error) => return self.find("the journal", error),
        };
        for tables in [LOG, RUN] {
            self.run("a column", |report| report.rows(&snapshot, tables));
            self.run("a column", |report| report.payload(&snapshot, tables));
        }
        self.run("the base knowledge", |report| {
            report.keyed(&snapshot, BASE, |place, bytes| {
                entity_of(place)?;
                let record: BaseRecord = frame::open_record(FrameKind::Base, place, bytes)?;
                record.base().map(drop)
            })
        });
        self.run("the parked effects", |report| {
            report.keyed(&snapshot, PARKED, |place, bytes| {
                let record: ParkedRecord = frame::open_record(FrameKind::Parked, place, bytes)?;
                entry::from_alone(place, &record.rows).map(drop)
            })
        });
        self.run("who waits for whom", |report| {
            report.keyed(&snapshot, WAITS, |place, bytes| {
                let (name, id): (String, [u8; 16]) = frame::open_record(FrameKind::Waits, place, bytes)?;
                records::key_of(&name, id).map(drop)
            })
        });
        self.run("the identity and the state", |report| {
            report.keyed(&snapshot, META, |place, bytes| {
                if place == IDENTITY_KEY {
                    frame::open_record::<Identity>(FrameKind::Identity, place, bytes).map(drop)
                } else {
                    frame::open_record::<JournalState>(FrameKind::State, place, bytes).map(drop)
                }
            })
        });
        self.run("the open bunch", |report| {
            report.numbered(&snapshot, BUNCH, "piece of the open bunch", |place, bytes| {
                frame::open(FrameKind::BunchText, place, bytes).map(drop)
            })
        });
        self.run("what gave way", |report| {
            report.numbered(&snapshot, SUPERSEDED, "superseded effect", |place, bytes| {
                let record: SupersededRecord = frame::open_record(FrameKind::Superseded, place, bytes)?;
                record.state.map(|json| records::state_of(&json)).transpose()?;
                entry::from_alone(place, &record.rows).map(drop)
            })
        });
        self.run("the inbox", |report| {
            report.numbered(&snapshot, INBOX, "trigger", |place, bytes| {
                let record: TriggerRecord = frame::open_record(FrameKind::Trigger, place, bytes)?;
                record.trigger(Index(1)).map(drop)
            })
        });
        if self.findings.is_empty() {
            self.run("what the values say of one another", |report| report.consistent(&snapshot));
        }
    }

    /// Opens every value of rows, and every row in it.
    fn rows(&mut self, snapshot: &Snapshot, tables: ColumnTables) -> Result<(), Error> {
        for row in snapshot.numbered(tables.rows)?.iter().map_err(engine)? {
            let (first, value) = row.map_err(engine)?;
            let first = first.value();
            self.values += 1;
            let opened = Rows::open(&tables.place(true, first), first, value.value());
            let counted =
                opened.and_then(|rows| rows.iter().try_fold(0_u64, |count, row| row.map(|_| count + 1)));
            match counted {
                Ok(count) => self.operations += count,
                Err(error) => self.find(tables.name(true, first), error),
            }
        }
        Ok(())
    }

    fn payload(&mut self, snapshot: &Snapshot, tables: ColumnTables) -> Result<(), Error> {
        for row in snapshot.numbered(tables.payload)?.iter().map_err(engine)? {
            let (first, value) = row.map_err(engine)?;
            let first = first.value();
            self.values += 1;
            if let Err(error) = frame::open(FrameKind::Payload, &tables.place(false, first), value.value()) {
                self.find(tables.name(false, first), error);
            }
        }
        Ok(())
    }

    fn keyed(
        &mut self,
        snapshot: &Snapshot,
        table: Keyed,
        open: impl Fn(&[u8], &[u8]) -> Result<(), FrameError>,
    ) -> Result<(), Error> {
        for row in snapshot.keyed(table)?.iter().map_err(engine)? {
            let (place, value) = row.map_err(engine)?;
            self.values += 1;
            if let Err(error) = open(place.value(), value.value()) {
                self.find(key_name(place.value()), error);
            }
        }
        Ok(())
    }

    fn numbered(
        &mut self,
        snapshot: &Snapshot,
        table: Numbered,
        what: &str,
        open: impl Fn(&[u8], &[u8]) -> Result<(), FrameError>,
    ) -> Result<(), Error> {
        for row in snapshot.numbered(table)?.iter().map_err(engine)? {
            let (number, value) = row.map_err(engine)?;
            self.values += 1;
            if let Err(error) = open(&number.value().to_le_bytes(), value.value()) {
                self.find(format!("{what} {}", number.value()), error);
            }
        }
        Ok(())
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
        let mut ranges: Vec<_> =
            sources.levels.iter().map(|level| level.first..level.first + level.rows).collect();
        ranges.extend(state.open.as_ref().map(|open| open.level.first..open.level.first + open.level.rows));
        ranges.sort_by_key(|range| range.start);
        if ranges.windows(2).any(|pair| matches!(pair, [a, b] if a.end > b.start)) {
            self.find("the state", "two levels of the run overlap");
        }
        if ranges.last().is_some_and(|last| last.end > state.next_ordinal) {
            self.find("the state", "a level of the run ends behind its end");
        }
        for (tables, ranges) in [(RUN, ranges), (LOG, vec![sources.log])] {
            let reader = ColumnReader::new(snapshot, tables)?;
            let mut known: u64 = 0;
            for range in ranges {
                known += range.end - range.start;
                reader.read(range, |ordinal, row, preamble, payload| {
                    let damaged = |error| reader.damaged_rows(ordinal)(error);
                    entry::key_of(row, preamble).map_err(damaged)?;
                    let names = entry::group_names(row, preamble).map_err(damaged)?;
                    let groups = records::groups_of(names).map_err(damaged)?;
                    let effect = entry::effect_of(row, groups, payload).map_err(damaged)?;
                    entry::require_valid(&effect).map_err(damaged)
                })?;
            }
            let stored = reader.count()?;
            if stored != known {
                let place = tables.name(true, 0);
                self.find(place, format!("{stored} entries are stored, but {known} are known of"));
            }
        }
        let parked: HashSet<_> = super::parked::all(snapshot)?.into_keys().collect();
        let mut folding = folding;
        folding.fold(&rewrite::all(&folding, &state)?, Part::All)?;
        for slot in folding.slots.slots.iter().filter(|slot| slot.shape.operations > 0) {
            let key = folding.key(slot)?;
            if parked.contains(&key) {
                self.find(format!("the effect of {key}"), "it is both parked and pending");
            }
        }
        Ok(())
    }
}
