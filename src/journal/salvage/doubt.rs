//! Where it is not known where a journal stands: then everything in its lists may have been sent, or be folded into
//! something else in them. It is parked, one effect an entity, for somebody to decide.
//!
//! Effects of one entity are of a row of operations each, from one sequence number to another. Of two that overlap one is
//! what the other was folded into, so the longer one counts. What the authority holds of these entities is not known any
//! more either: what is sent of them later on must be right whether this was sent or not.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, WriteTransaction};

use super::super::aside::maybe_there;
use super::super::bases;
use super::super::columns::Payload;
use super::super::entry::Entry;
use super::super::error::{Error, engine};
use super::super::left::{Gone, Left};
use super::super::parked;
use super::super::rebuild::{MAY_BE_DONE, opened};
use super::super::stored::{Place, Table};
use super::super::tables::{BUNCH, ColumnTables, LOG, RUN, SUPERSEDED, Snapshot, WAITS, damaged};
use crate::algebra::{Bunch, EntityKey};
use crate::codec::FrameError;
use crate::codec::columns::Rows;
use crate::codec::frame::{self, FrameKind};
use crate::codec::lines;
use crate::codec::records::{CauseRecord, JournalState};

/// What was parked.
#[derive(Debug)]
pub(super) struct Doubted {
    pub(super) state: JournalState,
    pub(super) entities: u64,
    /// The last sequence number among them.
    pub(super) last: u64,
    /// Entries whose fields are gone.
    pub(super) lost: u64,
}

/// Parks what is in the lists of a database, and gives the state in which it is then; what does not open stays where it
/// is. `known` is where the journal stood at some time.
pub(super) fn park_everything(
    txn: &WriteTransaction,
    snapshot: &Snapshot,
    known: Option<JournalState>,
) -> Result<Doubted, Error> {
    let mut found = Found::default();
    for tables in [LOG, RUN] {
        found.read(snapshot, tables)?;
    }
    let bunch = bunch_text(snapshot)?;
    for planned in bunch.iter().flat_map(|bunch| &bunch.operations) {
        let key = &planned.operation.key;
        let entry = Entry::of_text(&planned.operation);
        match found.entries.get_mut(key).map(Vec::as_mut_slice) {
            Some([first]) if found.from_text.contains(key) => *first = first.completed(&entry),
            Some(_) => {}
            None => {
                found.from_text.insert(key.clone());
                found.push(entry);
            }
        }
    }
    let entities = found.entries.len() as u64;
    let all = found.entries.values().flatten();
    let last = all.map(|entry| entry.effect.shape.last.0).max().unwrap_or(0);
    for (key, entries) in found.entries {
        let (cause, number, parked) = match parked::get(txn, &key) {
            Ok(Some((parked, record))) => (record.cause, record.bunch, Some(parked)),
            Ok(None) | Err(Error::Damaged { .. }) => {
                (CauseRecord::Refused { reason: MAY_BE_DONE.to_owned() }, 0, None)
            }
            Err(error) => return Err(error),
        };
        let is_row = !found.from_text.contains(&key);
        if let Some(entry) = composed(parked.into_iter().chain(entries), is_row) {
            parked::put(txn, &entry, cause, number)?;
            bases::put(txn, &key, &maybe_there())?;
        }
    }
    for tables in [LOG, RUN] {
        for table in [Table::Rows(tables), Table::Payload(tables)] {
            let Some(numbered) = table.numbered() else { continue };
            let mut numbered = txn.open_table(numbered).map_err(engine)?;
            let is_damaged = |first, value: &[u8]| table.opened(&Place::Number(first), value).is_err();
            numbered.retain(is_damaged).map_err(engine)?;
        }
    }
    txn.open_table(BUNCH).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
    txn.open_table(WAITS).map_err(engine)?.retain(|_, _| false).map_err(engine)?;
    let known = known.unwrap_or_else(JournalState::new);
    let superseded = txn.open_table(SUPERSEDED).map_err(engine)?;
    let superseded = superseded.last().map_err(engine)?.map_or(0, |(last, _)| last.value().saturating_add(1));
    let state = JournalState {
        levels: Vec::new(),
        open: None,
        // Nobody knows how many were sealed since.
        last_bunch: known.last_bunch.max(bunch.map_or(0, |bunch| bunch.number.0)).saturating_add(1),
        is_complete: false,
        cursor: 0,
        next_superseded: known.next_superseded.max(superseded),
        ..known
    };
    Ok(Doubted { state, entities, last, lost: found.lost })
}

/// What is in the lists.
#[derive(Default)]
struct Found {
    entries: BTreeMap<EntityKey, Vec<Entry>>,
    from_text: BTreeSet<EntityKey>,
    lost: u64,
}

impl Found {
    fn push(&mut self, entry: Entry) {
        self.entries.entry(entry.key.clone()).or_default().push(entry);
    }

    fn read(&mut self, snapshot: &Snapshot, tables: ColumnTables) -> Result<(), Error> {
        let (gone, stray) = gone(snapshot, tables)?;
        let mut take = |entry: Result<Option<Entry>, FrameError>| match entry {
            Ok(Some(entry)) if entry.effect.shape.operations > 0 => self.push(entry),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => self.lost += 1,
        };
        Left::new(snapshot, tables, &gone)?.each(0..u64::MAX, |_, row, preamble, payload| {
            take(opened(row, preamble, payload));
            Ok(())
        })?;
        let table = snapshot.numbered(tables.rows)?;
        for first in stray {
            let Some(value) = table.get(first).map_err(engine)? else { continue };
            let broken = || damaged(tables.name(true, first));
            let rows = Rows::open_checked(first, value.value()).map_err(broken())?;
            let mut rest = rows.inline.unwrap_or_default();
            for row in rows.iter() {
                let row = row.map_err(broken())?;
                let own = rest.split_at_checked(row.payload_bytes());
                let payload = own.and_then(|(own, behind)| {
                    rest = behind;
                    own.split_at_checked(row.fields_bytes as usize)
                });
                let payload = payload.map(|(fields, extra)| Payload { fields, extra });
                take(opened(&row, &rows.preamble, payload));
            }
        }
        Ok(())
    }
}

/// What does not open of a list. Of rows that are about the same numbers only those go on that have their payload with
/// them, and these apart from the others, by the numbers given: whose it is that lies elsewhere, nothing tells.
fn gone(snapshot: &Snapshot, tables: ColumnTables) -> Result<(Gone, Vec<u64>), Error> {
    let mut gone = Gone { has_lost_payload: true, ..Gone::default() };
    let mut rows: Vec<(u64, u64, bool)> = Vec::new();
    Table::Rows(tables).visit(snapshot, |value| {
        let Some(first) = value.place.number() else { return Ok(()) };
        match value.opened {
            Ok(count) => {
                let is_inline =
                    Rows::open_checked(first, value.bytes).is_ok_and(|rows| rows.inline.is_some());
                rows.push((first, first.saturating_add(count), is_inline));
            }
            Err(_) => {
                gone.rows.insert(first);
            }
        }
        Ok(())
    })?;
    Table::Payload(tables).visit(snapshot, |value| {
        if value.opened.is_err() {
            gone.payload.extend(value.place.number());
        }
        Ok(())
    })?;
    let (mut stray, mut end) = (Vec::new(), 0);
    let nexts = rows.iter().skip(1).map(|(first, ..)| *first).chain([u64::MAX]);
    for ((first, behind, is_inline), next) in rows.iter().zip(nexts) {
        if *first < end || *behind > next {
            gone.rows.insert(*first);
            stray.extend(is_inline.then_some(*first));
        }
        end = end.max(*behind);
    }
    Ok((gone, stray))
}

/// One effect of all that there is of an entity; what comes of a text of a bunch came after what was parked.
fn composed(entries: impl Iterator<Item = Entry>, are_rows: bool) -> Option<Entry> {
    let mut entries: Vec<Entry> = entries.collect();
    if are_rows {
        entries.sort_by_key(|entry| (entry.effect.shape.first, Reverse(entry.effect.shape.last)));
    }
    let mut entries = entries.into_iter();
    let mut composed = entries.next()?;
    for entry in entries {
        if !are_rows || entry.effect.shape.last > composed.effect.shape.last {
            composed = composed.then(&entry);
        }
    }
    Some(composed)
}

/// The text of the bunch that may be open, if all of it is there.
fn bunch_text(snapshot: &Snapshot) -> Result<Option<Bunch>, Error> {
    let mut text = Vec::new();
    for (number, piece) in (0_u64..).zip(snapshot.numbered(BUNCH)?.iter().map_err(engine)?) {
        let (_, piece) = piece.map_err(engine)?;
        // One that stands in another's place does not open.
        match frame::open(FrameKind::BunchText, &number.to_le_bytes(), piece.value()) {
            Ok(piece) => text.extend_from_slice(piece),
            Err(_) => return Ok(None),
        }
    }
    Ok(std::str::from_utf8(&text).ok().and_then(|text| lines::parse_bunch_text(text).ok()))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, Content, Operation, Patch, Seq, State};

    #[test]
    fn what_comes_of_a_text_comes_after_what_was_parked_and_of_rows_the_later_one_does() {
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(1)).unwrap();
        let create = Operation::create(key.clone(), State::from_json(r#"{"a":1,"b":1}"#).unwrap());
        let patch = Operation::patch(key, Patch::from_json(r#"{"a":2}"#).unwrap());
        let [mut parked, mut later] = [create, patch].map(|operation| Entry::of_text(&operation));
        (parked.effect.shape.first, parked.effect.shape.last) = (Seq(3), Seq(9));
        let content = |one: &Entry, other: &Entry, are_rows| {
            composed([one.clone(), other.clone()].into_iter(), are_rows).unwrap().effect.content
        };
        let both = Content::Replace(State::from_json(r#"{"a":2,"b":1}"#).unwrap());
        assert_eq!(content(&parked, &later, false), both);
        (later.effect.shape.first, later.effect.shape.last) = (Seq(10), Seq(10));
        assert_eq!(content(&later, &parked, true), both);
        (later.effect.shape.first, later.effect.shape.last) = (Seq(4), Seq(5));
        assert_eq!(content(&parked, &later, true), parked.effect.content, "it is in it already");
    }
}
