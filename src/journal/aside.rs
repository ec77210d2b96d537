//! Setting aside what is damaged, so that the rest goes on.
//!
//! | damaged | what goes on |
//! |---|---|
//! | a value of the log or the run | all other entries; the numbers of those in it are never given out again |
//! | a value of a newer level of the run | what older levels hold may be done with, so it is parked |
//! | a piece of payload | every entry whose fields are elsewhere or not needed |
//! | anything of the open bunch | its effects, as far as they open, are pending again, on bases that may be there |
//! | base knowledge | the entity, as one of which nothing is known |
//! | a trigger | the cursor goes back before it, so that it is asked for again |
//! | what is parked, waits or gave way | all others |
//!
//! The identity and the state have nothing that could go on in their place.

use redb::{ReadableTable, ReadableTableMetadata, TableHandle, WriteTransaction};

use super::columns::{ColumnReader, Gone, remove};
use super::entry::Entry;
use super::error::{Error, engine};
use super::folding::Folding;
use super::stored::{Place, TABLES, Table};
use super::tables::{
    BASE, BUNCH, ColumnTables, INBOX, META, RUN, SET_ASIDE, Snapshot, damaged, entity_of, put_record,
    put_state,
};
use super::{Inner, Journal, Work, bases, rewrite, seal, status};
use crate::algebra::{Base, EntityKey, Held, Knowledge, Millis};
use crate::codec::FrameError;
use crate::codec::frame::{self, FrameKind};
use crate::codec::records::{BaseRecord, OpenBunch, SetAsideRecord};

/// A stored value that did not open when it was needed, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was.
    pub place: String,
    /// In what way it was damaged.
    pub why: String,
    /// When that was found, by the journal's clock.
    pub at: Millis,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Journal {
    /// Looks at every stored value and sets aside what is damaged, so that the rest goes on; says how many
    /// values are set aside by now. Its cost follows the size of the file.
    ///
    /// Whatever folds, seals or settles does this by itself once it, or a read before it, met with damage.
    ///
    /// # Errors
    /// A journal whose identity or state is damaged; otherwise as [`Journal::compact`].
    pub fn mend(&self) -> Result<u64, Error> {
        self.inner.set_aside_damage()?;
        self.inner.read(count)
    }

    /// What was damaged and is set aside, oldest first.
    ///
    /// # Errors
    /// A journal that is suspended or damaged, or what the storage says.
    pub fn set_aside(&self) -> Result<Vec<SetAside>, Error> {
        self.inner.read(|snapshot| {
            let Some(table) = snapshot.numbered_if_there(SET_ASIDE)? else { return Ok(Vec::new()) };
            let mut found = Vec::new();
            for value in table.iter().map_err(engine)? {
                let (number, value) = value.map_err(engine)?;
                let place = number.value().to_le_bytes();
                let record: SetAsideRecord =
                    frame::open_record(FrameKind::SetAside, &place, value.value())
                        .map_err(damaged(format!("value set aside {}", number.value())))?;
                let SetAsideRecord { place, why, at, bytes } = record;
                found.push(SetAside { place, why, at: Millis(at), bytes });
            }
            Ok(found)
        })
    }

    /// Forgets what was set aside so far, and says how many values that were. The operations in them count as
    /// settled from then on: given up.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn forget_set_aside(&self) -> Result<u64, Error> {
        self.inner.maintain(|work| {
            work.folds = false;
            let counted = status::counted(work.snapshot, &work.state, None)?;
            if counted.set_aside_values > 0 {
                work.txn.delete_table(SET_ASIDE).map_err(engine)?;
                work.state.settled = counted.settled + counted.set_aside;
                work.has_written = true;
            }
            Ok(counted.set_aside_values)
        })
    }
}

/// How many values are set aside.
pub(crate) fn count(snapshot: &Snapshot) -> Result<u64, Error> {
    match snapshot.numbered_if_there(SET_ASIDE)? {
        Some(table) => table.len().map_err(engine),
        None => Ok(0),
    }
}

/// What was found damaged of the lists.
#[derive(Default)]
struct Damage {
    log: Gone,
    run: Gone,
    /// How many values of any table.
    values: u64,
}

impl Inner {
    /// Sets aside what is damaged, in one transaction; says whether anything was.
    pub(crate) fn set_aside_damage(&self) -> Result<bool, Error> {
        let now = (self.options.clock)();
        self.with_writer(|inner, db, writer| {
            let mut txn = db.begin_write().map_err(engine)?;
            txn.set_quick_repair(true);
            let snapshot = Snapshot::of(db)?;
            let mut work = Work::new(&txn, &snapshot)?;
            let damage = work.take_out_damaged(now)?;
            let is_any = damage.values > 0;
            let Work { mut state, overrides, .. } = work;
            if is_any {
                let folding = Folding::passing_over(&snapshot, damage.run, damage.log)?;
                rewrite::salvage(&txn, folding, &mut state, &overrides)?;
            }
            drop(snapshot);
            if !is_any {
                txn.abort().map_err(engine)?;
                return Ok(false);
            }
            put_state(&txn, &state)?;
            inner.commit(txn)?;
            writer.next_seq = state.log_begins;
            inner.note_parked_keys(db)?;
            Ok(true)
        })
    }
}

impl Work<'_> {
    fn take_out_damaged(&mut self, now: Millis) -> Result<Damage, Error> {
        let mut damage = Damage::default();
        for table in TABLES {
            let mut found = Vec::new();
            table.visit(self.snapshot, |value| {
                let Err(why) = value.opened else { return Ok(()) };
                let name = table.place_name(&value.place);
                // The state cannot be done without, and a newer program's values are not damaged.
                let is_needed = matches!(table, Table::Keyed { table, .. } if table.name() == META.name());
                if is_needed || matches!(why, FrameError::Newer { .. }) {
                    return Err(damaged(name)(why));
                }
                tracing::warn!(place = %name, %why, "damaged, and set aside");
                let bytes = value.bytes.to_owned();
                put(self.txn, &SetAsideRecord { place: name, why: why.to_string(), at: now.0, bytes })?;
                found.push(value.place);
                Ok(())
            })?;
            damage.values += found.len() as u64;
            for place in found {
                self.take_out(&table, place, &mut damage)?;
            }
        }
        self.reopen_damaged_bunch(&mut damage, now)?;
        Ok(damage)
    }

    /// Takes one value out of its table; those of the lists go when the lists are rewritten.
    fn take_out(&mut self, table: &Table, place: Place, damage: &mut Damage) -> Result<(), Error> {
        match (table, place) {
            (Table::Rows(tables), Place::Number(first)) => {
                damage.of(*tables).rows.insert(first);
            }
            (Table::Payload(tables), Place::Number(first)) => {
                let column = self.snapshot.numbered(tables.payload)?;
                let next = match column.range(first.saturating_add(1)..).map_err(engine)?.next() {
                    Some(next) => next.map_err(engine)?.0.value(),
                    None => u64::MAX,
                };
                damage.of(*tables).payload.push(first..next);
            }
            (Table::Keyed { table, .. }, Place::Key(key)) => {
                self.txn.open_table(*table).map_err(engine)?.remove(key.as_slice()).map_err(engine)?;
                if table.name() == BASE.name() && entity_of(&key).is_ok() {
                    put_record(self.txn, BASE, FrameKind::Base, &key, &BaseRecord::lost())?;
                }
            }
            (Table::Numbered { table, .. }, Place::Number(number)) => {
                self.txn.open_table(*table).map_err(engine)?.remove(number).map_err(engine)?;
                if table.name() == INBOX.name() {
                    self.state.cursor = self.state.cursor.min(number.saturating_sub(1));
                }
            }
            (_, _) => {}
        }
        Ok(())
    }

    /// Where the open bunch cannot be read as it was sealed, nobody can send it again or tell its outcomes
    /// apart. Its number is not used again, and what opens of its effects is pending again.
    fn reopen_damaged_bunch(&mut self, damage: &mut Damage, now: Millis) -> Result<(), Error> {
        let Some(open) = self.state.open.clone() else { return Ok(()) };
        let why = match seal::load(self.snapshot, &open) {
            Ok(_) => return Ok(()),
            Err(Error::Damaged { source, .. }) => source,
            Err(error) => return Err(error),
        };
        tracing::warn!(bunch = open.number, %why, "the open bunch is damaged, and pending again");
        let entries = self.entries_left(&open, damage)?;
        let keys: Vec<EntityKey> = entries.iter().map(|entry| entry.key.clone()).collect();
        let folding = Folding::passing_over(self.snapshot, damage.run.clone(), damage.log.clone())?;
        let mut pending = rewrite::effects_in(folding, &self.state, &keys)?;
        for entry in entries {
            // It may have arrived or not: sent is what is right in both cases.
            let maybe_there = Base::Live(Held { epoch: None, state: Knowledge::Nothing });
            bases::put(self.txn, &entry.key, &maybe_there)?;
            let newer = pending.remove(&entry.key);
            self.come_back(&entry, newer);
        }
        self.set_bunch_aside(&open, &why, now, damage)?;
        remove(self.txn, RUN, open.level.range())?;
        self.state.open = None;
        Ok(())
    }

    /// The effects of the open bunch that still open.
    fn entries_left(&self, open: &OpenBunch, damage: &Damage) -> Result<Vec<Entry>, Error> {
        let reader = ColumnReader::passing_over(self.snapshot, RUN, damage.run.clone())?;
        let mut left = Vec::new();
        let scanned = reader.scan(open.level.range(), |first, rows| {
            for (ordinal, row) in (first..).zip(rows.iter()) {
                let row = row.map_err(reader.damaged_rows(first))?;
                if !damage.run.has(ordinal, &row, rows) {
                    left.push(ordinal);
                }
            }
            Ok(())
        });
        match scanned {
            Ok(()) | Err(Error::Damaged { .. }) => seal::entries_at(&reader, left),
            Err(error) => Err(error),
        }
    }

    /// Keeps the text of a bunch, as far as it is there.
    fn set_bunch_aside(
        &self,
        open: &OpenBunch,
        why: &FrameError,
        now: Millis,
        damage: &mut Damage,
    ) -> Result<(), Error> {
        let mut table = self.txn.open_table(BUNCH).map_err(engine)?;
        let mut text = Vec::new();
        for piece in table.iter().map_err(engine)? {
            text.extend_from_slice(piece.map_err(engine)?.1.value());
        }
        table.retain(|_, _| false).map_err(engine)?;
        damage.values += 1;
        put(
            self.txn,
            &SetAsideRecord {
                place: format!("what opens of the text of bunch {}", open.number),
                why: why.to_string(),
                at: now.0,
                bytes: text,
            },
        )
    }
}

impl Damage {
    fn of(&mut self, tables: ColumnTables) -> &mut Gone {
        if tables.is_log() { &mut self.log } else { &mut self.run }
    }
}

/// Adds to what is set aside.
fn put(txn: &WriteTransaction, record: &SetAsideRecord) -> Result<(), Error> {
    let mut table = txn.open_table(SET_ASIDE).map_err(engine)?;
    let number = table.last().map_err(engine)?.map_or(0, |(last, _)| last.value() + 1);
    let name = || format!("value set aside {number}");
    let framed =
        frame::record(FrameKind::SetAside, &number.to_le_bytes(), record).map_err(damaged(name()))?;
    table.insert(number, framed.as_slice()).map_err(engine)?;
    Ok(())
}
