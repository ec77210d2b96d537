//! Setting aside what is damaged, so that the rest goes on.
//!
//! | damaged | what goes on |
//! |---|---|
//! | a value of the log or the run | all other entries; the numbers of those in it are never given out again |
//! | rows of a newer level of the run | what older levels hold may be done with, so it is parked |
//! | a piece of payload | every entry whose fields are elsewhere or not needed |
//! | anything of the open bunch | its effects, as far as they or its text open, are pending again, on bases that may be there |
//! | base knowledge | the entity, as one of which nothing is known; nor is any other taken for absent any more; a replica fetches everything anew |
//! | a trigger | the cursor goes back to the start, so that it is asked for again |
//! | what is parked, waits or gave way | all others |
//!
//! The identity and the state have nothing that could go on in their place. A replica has what came of it beside what was done, and
//! parks that where nothing is left of what was done to an entity.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use redb::{Database, ReadableTable, TableHandle, WriteTransaction};

use super::entry::Entry;
use super::error::{Error, engine};
use super::left::Gone;
use super::rebuild::{Damage, Lists, Sealed};
use super::set_aside::records;
use super::stored::{TABLES, Table, cannot_be_found};
use super::tables::{
    BASE, BUNCH, CURSORS, ColumnTables, FETCHED, IDENTITY_KEY, INBOX, META, REFERENCES, REPLICA_KEY,
    SET_ASIDE, STATE_KEY, Snapshot, UNIQUE, damaged, forget_what_was_read, put_record, put_state, record_in,
};
use super::{bases, open, seal, verify};
use crate::algebra::{Base, EntityKey, Held, Knowledge, Millis};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::ReplicaRecord;
use crate::codec::records::{JournalState, OpenBunch, SetAsideRecord};

/// The most bytes in one record, so that whoever reads one holds no more at once.
const PART_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many values of each table are gone without a trace.
pub(crate) type Missing = [u64; TABLES.len()];

/// What is known of a journal from which something is gone, beside what is in it.
pub(crate) struct Known {
    /// When what does not open is found not to.
    pub(crate) now: Millis,
    /// No lower sequence number is given out again.
    pub(crate) next_seq: u64,
    /// Why something is damaged, even if every value opens.
    pub(crate) met: Option<String>,
    pub(crate) missing: Missing,
}

/// What was written to another database.
pub(crate) struct Kept {
    pub(crate) state: JournalState,
    /// Whether something is gone that says what the authority holds, or how far that was read.
    pub(crate) is_knowledge_gone: bool,
    /// How many values were set aside before.
    pub(crate) set_aside_before: u64,
}

/// Writes what opens of one database to another, which may be the same; none if everything did, and nothing was
/// met with otherwise.
pub(crate) fn salvaged(source: &Database, target: &Database, known: Known) -> Result<Option<Kept>, Error> {
    let mut txn = target.begin_write().map_err(engine)?;
    txn.set_quick_repair(true);
    let snapshot = Snapshot::of(source)?;
    open::open_all(&txn)?;
    let mut salvage = Salvage {
        txn: &txn,
        snapshot: &snapshot,
        state: snapshot.state()?,
        now: known.now,
        rebuilds: !std::ptr::eq(source, target),
        next_seq: known.next_seq,
        missing: known.missing,
        count: Cell::new(0),
    };
    let set_aside_before = salvage.copy_what_is_aside()?;
    let (damage, gone) = salvage.copy_what_opens()?;
    if let Some(why) = known.met {
        // Every value may open, and the engine still go astray among its own pages.
        salvage.rebuilds = true;
        if salvage.count.get() == 0 {
            salvage.keep(verify::ENGINE, FrameError::Body { why }, &[])?;
        }
    }
    salvage.rebuild(&damage)?;
    let Salvage { mut state, count, .. } = salvage;
    let is_knowledge_gone = is_knowledge_gone(&gone);
    if is_knowledge_gone && replica_in(&txn)?.is_some() {
        read_anew(&txn, &mut state)?;
    }
    put_record(&txn, META, FrameKind::Identity, IDENTITY_KEY, &snapshot.identity()?)?;
    put_state(&txn, &state)?;
    drop(snapshot);
    if count.get() == 0 {
        txn.abort().map_err(engine)?;
        return Ok(None);
    }
    txn.commit().map_err(engine)?;
    Ok(Some(Kept { state, is_knowledge_gone, set_aside_before }))
}

/// Whether something is gone that says what the authority holds, or how far that was read.
fn is_knowledge_gone(gone: &Missing) -> bool {
    let is_knowledge =
        |table: &Table| [BASE.name(), CURSORS.name(), FETCHED.name()].iter().any(|name| table.is(name));
    TABLES.iter().zip(gone).any(|(table, gone)| *gone > 0 && is_knowledge(table))
}

fn replica_in(txn: &WriteTransaction) -> Result<Option<ReplicaRecord>, Error> {
    record_in(txn, META, FrameKind::Replica, REPLICA_KEY)
}

/// Sees to it that all that the authority holds is read again: nothing else tells of what does not change there.
pub(super) fn read_anew(txn: &WriteTransaction, state: &mut JournalState) -> Result<(), Error> {
    if let Some(record) = replica_in(txn)? {
        // As where a replica begins to fetch everything anew.
        let record = ReplicaRecord { is_fetching_all: true, ..record };
        put_record(txn, META, FrameKind::Replica, REPLICA_KEY, &record)?;
        forget_what_was_read(txn)?;
    }
    (state.cursor, state.is_complete) = (0, false);
    Ok(())
}

/// Setting aside, inside its transaction.
struct Salvage<'t> {
    txn: &'t WriteTransaction,
    snapshot: &'t Snapshot,
    state: JournalState,
    now: Millis,
    /// Whether the lists are built anew even if they are whole.
    rebuilds: bool,
    /// The next sequence number as this handle knows it.
    next_seq: u64,
    /// What is gone without a trace.
    missing: Missing,
    /// How much was set aside.
    count: Cell<u64>,
}

impl Salvage<'_> {
    /// Copies every value that opens, but for the lists', and keeps the others aside; counts what does not go on.
    fn copy_what_opens(&mut self) -> Result<(Damage, Missing), Error> {
        let (mut damage, mut gone) = (Damage::default(), Missing::default());
        for index in [UNIQUE, REFERENCES] {
            // They say nothing that the rest does not say; who needs them makes them anew.
            self.txn.delete_table(index).map_err(engine)?;
        }
        for ((table, missing), gone) in TABLES.iter().zip(self.missing).zip(&mut gone) {
            if !table.is_there(self.snapshot)? {
                continue;
            }
            let mut found = 0_u64;
            let uncounted = match table {
                Table::Rows(tables) => {
                    let of_list = damage.of(*tables);
                    of_list.lost_rows = missing;
                    self.gone(table, &mut of_list.rows)?
                }
                Table::Payload(tables) => {
                    let of_list = damage.of(*tables);
                    of_list.has_lost_payload = missing > 0;
                    self.gone(table, &mut of_list.payload)?
                }
                Table::Keyed { table: keyed, .. } => {
                    self.txn.delete_table(*keyed).map_err(engine)?;
                    let mut copy = self.txn.open_table(*keyed).map_err(engine)?;
                    table.visit(self.snapshot, |value| {
                        let Some(key) = value.place.key() else { return Ok(()) };
                        match value.opened {
                            Ok(_) => copy.insert(key, value.bytes).map(drop).map_err(engine),
                            // They cannot be done without.
                            Err(why)
                                if keyed.name() == META.name()
                                    && [IDENTITY_KEY, STATE_KEY].contains(&key) =>
                            {
                                Err(damaged(table.place_name(&value.place))(why))
                            }
                            Err(why) => {
                                found += 1;
                                self.keep(&table.place_name(&value.place), why, value.bytes)
                            }
                        }
                    })?
                }
                // Copied already.
                Table::Numbered { table: numbered, .. } if numbered.name() == SET_ASIDE.name() => 0,
                Table::Numbered { table: numbered, .. } => {
                    self.txn.delete_table(*numbered).map_err(engine)?;
                    let mut copy = self.txn.open_table(*numbered).map_err(engine)?;
                    table.visit(self.snapshot, |value| match (value.place.number(), value.opened) {
                        (Some(number), Ok(_)) => copy.insert(number, value.bytes).map(drop).map_err(engine),
                        (_, Err(why)) => {
                            found += 1;
                            self.keep(&table.place_name(&value.place), why, value.bytes)
                        }
                        (None, Ok(_)) => Ok(()),
                    })?
                }
            };
            let missing = missing.saturating_add(uncounted);
            if missing > 0 {
                // Some page of the engine's own is damaged.
                let why = cannot_be_found(missing);
                self.keep(table.name(), FrameError::Body { why }, &[])?;
            }
            found += missing;
            if found > 0 && table.is(BASE.name()) {
                // Of which entity it was is not certain: its key may be what is damaged. So no entity is taken
                // for absent because it is not listed.
                self.state.is_complete = false;
            }
            if found > 0 && table.is(INBOX.name()) {
                // Nor is it certain which trigger it was: all are asked for again.
                self.state.cursor = 0;
            }
            *gone = found;
        }
        Ok((damage, gone))
    }

    /// Keeps the values of a list that do not open; gives how many cannot be found.
    fn gone(&self, table: &Table, gone: &mut BTreeSet<u64>) -> Result<u64, Error> {
        table.visit(self.snapshot, |value| {
            let Err(why) = value.opened else { return Ok(()) };
            gone.extend(value.place.number());
            self.keep(&table.place_name(&value.place), why, value.bytes)
        })
    }

    /// Copies what was set aside before, numbered anew, and says how much that is.
    fn copy_what_is_aside(&self) -> Result<u64, Error> {
        let before = records(self.snapshot)?;
        if self.snapshot.numbered_if_there(SET_ASIDE)?.is_some() {
            self.txn.delete_table(SET_ASIDE).map_err(engine)?;
        }
        let (sound, damaged): (Vec<_>, Vec<_>) = before.into_iter().partition(|(_, record)| record.is_ok());
        for record in sound.iter().filter_map(|(_, record)| record.as_ref().ok()) {
            self.put(record)?;
        }
        for (number, record) in damaged {
            if let Err((why, bytes)) = record {
                self.keep(&format!("value set aside {number}"), why, &bytes)?;
            }
        }
        Ok(sound.len() as u64)
    }

    /// Builds the lists anew, if anything of them is gone.
    fn rebuild(&mut self, damage: &Damage) -> Result<(), Error> {
        let lists = Lists::new(self.snapshot, &self.state, damage)?;
        let sealed = match self.state.open.clone() {
            None => Sealed::Stays(HashMap::new()),
            Some(open) => match seal::load(self.snapshot, &open) {
                Ok((_, entries)) => Sealed::Stays(entries),
                Err(Error::Damaged { source, .. }) => {
                    let left = lists.of_bunch(open.level)?;
                    Sealed::ComesBack(self.come_back(&open, &source, left)?)
                }
                Err(error) => return Err(error),
            },
        };
        let is_whole = damage.is_none() && matches!(sealed, Sealed::Stays(_)) && lists.are_whole()?;
        let is_as_it_was = self.count.get() == 0 || !self.rebuilds;
        if is_whole && is_as_it_was {
            return Ok(());
        }
        if self.count.get() == 0 {
            let why = FrameError::Body { why: "entries are missing, or do not agree".to_owned() };
            self.keep("the log and the compacted run", why, &[])?;
        }
        let keep = |place: String, why: FrameError, bytes: &[u8]| self.keep(&place, why, bytes);
        let mut state = self.state.clone();
        lists.rebuild(self.txn, &mut state, sealed, &keep)?;
        state.log_begins = state.log_begins.max(self.next_seq);
        self.state = state;
        Ok(())
    }

    /// Where the open bunch cannot be read as it was sealed, nobody can send it again or tell its outcomes
    /// apart. Its number is not used again, and its effects are pending again, as far as they or its text
    /// open.
    fn come_back(
        &mut self,
        open: &OpenBunch,
        why: &FrameError,
        mut left: HashMap<EntityKey, Entry>,
    ) -> Result<HashMap<EntityKey, Entry>, Error> {
        let text = seal::text(self.snapshot, open).ok();
        let lost = open.level.rows.saturating_sub(left.len() as u64);
        tracing::warn!(bunch = open.number, %why, lost, "the open bunch is damaged, and pending again");
        let mut restored: HashMap<EntityKey, Entry> = HashMap::new();
        for planned in text.iter().flat_map(|bunch| &bunch.operations) {
            let operation = &planned.operation;
            if left.contains_key(&operation.key) {
                continue;
            }
            let entry = Entry::of_text(operation);
            let entry = match restored.remove(&entry.key) {
                Some(first) => first.completed(&entry),
                None => entry,
            };
            restored.insert(entry.key.clone(), entry);
        }
        left.extend(restored);
        for key in left.keys() {
            bases::put(self.txn, key, &maybe_there())?;
        }
        if text.is_none() && lost > 0 {
            // Of others that may have arrived not even the name is known.
            self.state.is_complete = false;
        }
        let mut table = self.txn.open_table(BUNCH).map_err(engine)?;
        for piece in table.iter().map_err(engine)? {
            let (number, bytes) = piece.map_err(engine)?;
            let name = format!("piece {} of the text of bunch {}", number.value(), open.number);
            self.keep(&name, FrameError::Body { why: why.to_string() }, bytes.value())?;
        }
        table.retain(|_, _| false).map_err(engine)?;
        Ok(left)
    }

    /// Adds to what is set aside, in parts that can be read back. What a newer program wrote is not damaged.
    fn keep(&self, place: &str, why: FrameError, bytes: &[u8]) -> Result<(), Error> {
        if matches!(why, FrameError::Newer { .. }) {
            return Err(damaged(place)(why));
        }
        tracing::warn!(place, %why, "damaged, and set aside");
        let (first, more) = bytes.split_at(bytes.len().min(PART_BYTES_MAX));
        for part in std::iter::once(first).chain(more.chunks(PART_BYTES_MAX)) {
            self.put(&SetAsideRecord {
                place: place.to_owned(),
                why: why.to_string(),
                at: self.now.0,
                bytes: part.to_owned(),
            })?;
        }
        self.count.set(self.count.get() + 1);
        Ok(())
    }

    fn put(&self, record: &SetAsideRecord) -> Result<(), Error> {
        let mut table = self.txn.open_table(SET_ASIDE).map_err(engine)?;
        let number = table.last().map_err(engine)?.map_or(0, |(last, _)| last.value() + 1);
        let framed = frame::record(FrameKind::SetAside, &number.to_le_bytes(), record)
            .map_err(damaged(format!("value set aside {number}")))?;
        table.insert(number, framed.as_slice()).map_err(engine)?;
        Ok(())
    }
}

/// What is known of an entity of which something may have arrived or not: what is sent now must be right in both cases.
pub(crate) fn maybe_there() -> Base {
    Base::Live(Held { epoch: None, state: Knowledge::Nothing })
}

impl Damage {
    fn of(&mut self, tables: ColumnTables) -> &mut Gone {
        if tables.is_log() { &mut self.log } else { &mut self.run }
    }

    fn is_none(&self) -> bool {
        [&self.log, &self.run].iter().all(|gone| gone.is_none())
    }
}
