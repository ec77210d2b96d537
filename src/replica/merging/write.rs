//! Writing what a merge came to: what is seen, what is pending so that the authority comes to it, what lost, and what
//! later merges need to know.

use std::collections::BTreeSet;

use redb::ReadableTable;

use super::ReadTable;
use super::side::{Side, Sides, merged_of, seen_record, stamp_parts};
use crate::algebra::{
    Base, Collection, EntityKey, Existence, Group, Held, Knowledge, Millis, Operation, Policy, ReplicaId,
    Stamps, Version,
};
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::{MergedRecord, VersionRecord};
use crate::journal::append::LogWriter;
use crate::journal::error::engine;
use crate::journal::tables::{MERGED, damaged, entity_bytes};
use crate::merge::{Board, Files, Loss, Slot, Why};
use crate::replica::between::operations;
use crate::replica::error::Error;
use crate::replica::lost::{self, Loss as Lost, Side as Whose, Why as LostWhy};
use crate::replica::transact::{Touched, look_at_what_waited};
use crate::replica::view::View;
use crate::replica::{Tables, Within, constraints};

/// What is written of one entity.
pub(super) struct Row {
    key: EntityKey,
    before: Version,
    now: Version,
    /// What the authority is known to hold, where that is another row from now on.
    base: Option<(Base, Stamps)>,
    operations: Vec<Operation>,
    losses: Vec<Lost>,
    record: MergedRecord,
    is_unsent: bool,
}

impl Row {
    /// How many values it adds to the conflict record.
    pub(super) fn losers(&self) -> u64 {
        self.losses.len() as u64
    }
}

/// What is to be written: of what is on the board, and of what the authority may have a later row of.
pub(super) fn rows<'t>(
    sides: &Sides<'_, '_, Tables<'t>, ReadTable>,
    board: &Board<'_, Sides<'_, '_, Tables<'t>, ReadTable>>,
    later: &BTreeSet<EntityKey>,
    takes_bases: bool,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (key, slot) in board.slots() {
        rows.extend(row(sides, key, slot, takes_bases)?);
    }
    for key in later.iter().filter(|key| takes_bases && !board.slots().contains_key(*key)) {
        let was = sides.known(0, key)?;
        let slot = Slot::unchanged(was);
        rows.extend(row(sides, key, &slot, takes_bases)?);
    }
    Ok(rows)
}

fn row(
    sides: &Sides<'_, '_, Tables<'_>, ReadTable>,
    key: &EntityKey,
    slot: &Slot,
    takes_bases: bool,
) -> Result<Option<Row>, Error> {
    let (own, stamps) = sides.base(0, key)?;
    let known = (own.clone(), stamps);
    let mut base = known.clone();
    let mut is_there = false;
    for file in 1..=sides.sources() {
        let (theirs, stamps) = sides.base(file, key)?;
        is_there |= theirs.live_state().is_some();
        let is_later = theirs.epoch().is_some_and(|epoch| epoch.0 > 0) && theirs.epoch() > base.0.epoch();
        if takes_bases && sides.is_of_one_authority(file) && is_later {
            base = (theirs, stamps);
        }
    }
    let (was, now) = (&slot.was.version, &slot.version);
    let unsent_before = sides.dest.view.local(key)?.is_some_and(|local| !local.is_kept);
    if unsent_before && matches!(now.existence, Existence::Dead(_)) && was.existence == now.existence {
        // What is seen is the last state that the waiting deletion makes of this base, and of no other.
        base = known.clone();
    }
    let has_lost = slot.why.iter().any(|why| matches!(why, Why::Lost { .. } | Why::Gone { .. }));
    let is_believed = matches!(&base.0, Base::Live(held) if held.epoch.is_none());
    if let Existence::Dead(state) = &now.existence
        && (has_lost || (is_there && was.existence != now.existence))
        && !sabotaged!(losers_delete_not_sent)
        && (matches!(base.0, Base::Absent | Base::Unknown) || is_believed)
    {
        // The authority may come to know it from a source, or from whoever had it from here: the delete must reach it, too.
        let held = Held { epoch: None, state: Knowledge::State(state.clone()) };
        base = (Base::Live(held), now.stamps.clone());
    }
    let mut record = sides.record(0, key)?;
    let before_record = record.clone();
    record.seen = slot.seen.as_ref().filter(|_| now.existence.is_live()).map(seen_record);
    record.returned = slot.derived.returned.map(stamp_parts);
    record.dropped = slot.derived.dropped.clone();
    record.redirected = slot.derived.redirected.clone();
    let heir = match &slot.heir {
        Some(heir) => Some(heir.clone()),
        None => sides.heir(key)?,
    };
    record.heir = heir.map(|heir| heir.id().into_bytes());
    // A later decision counts.
    record.is_alone = slot.is_alone || (record.is_alone && slot.heir.is_none());
    for (file, source) in (1..).zip(sides.sources) {
        let given = sides.known(file, key)?.unredirected()?.version;
        if !matches!(given.existence, Existence::Absent) {
            give(&mut record, source.id, VersionRecord::of(&given));
        }
    }
    let operations = operations(key, was, now, &known.0, &base.0, unsent_before);
    let is_unsent = unsent_before || !operations.is_empty();
    let base = (base != known).then_some(base);
    // Then nothing is to be sent, either.
    let is_same = *was == *now && base.is_none() && record == before_record;
    let losses = slot.losses.iter().map(|loss| lost_of(loss, slot)).collect();
    let row = Row {
        key: key.clone(),
        before: was.clone(),
        now: now.clone(),
        base,
        operations,
        losses,
        record,
        is_unsent,
    };
    Ok((!is_same).then_some(row))
}

fn lost_of(loss: &Loss, slot: &Slot) -> Lost {
    let is_decided =
        |why: &Why| matches!(why, Why::Lost { .. } | Why::Gone { .. } | Why::Decided | Why::Dropped { .. });
    Lost {
        side: if loss.file == 0 { Whose::Local } else { Whose::Remote },
        why: if slot.why.iter().any(is_decided) { LostWhy::Resolved } else { LostWhy::Policy },
        fields: loss.fields.clone(),
        was_delete: loss.was_delete,
    }
}

/// Notes what a source gave, and says whether that is something else than before.
fn give(record: &mut MergedRecord, by: ReplicaId, version: VersionRecord) -> bool {
    if sabotaged!(given_forgotten) {
        return false;
    }
    let by = by.0.into_bytes();
    match record.given.iter_mut().find(|(whose, _)| *whose == by) {
        Some((_, given)) if *given == version => false,
        Some((_, given)) => {
            *given = version;
            true
        }
        None => {
            record.given.push((by, version));
            true
        }
    }
}

/// Writes it, and gives the number behind the last operation.
pub(super) fn write(
    within: &Within<'_>,
    view: &mut View<'_, Tables<'_>>,
    (own, now): (ReplicaId, Millis),
    rows: &[Row],
    sources: &[Side<'_, '_, ReadTable>],
) -> Result<u64, Error> {
    let mut touched = Touched::new();
    for row in rows {
        if let Some((base, stamps)) = &row.base {
            view.put_base(&row.key, base, stamps)?;
        }
        view.merged(&row.key, &row.before, &row.now, row.is_unsent)?;
        if row.before.existence != row.now.existence {
            touched.insert(row.key.clone(), row.before.clone());
        }
        lost::keep(within.txn, &row.key, &row.losses, now)?;
    }
    constraints::require(view, &touched)?;
    look_at_what_waited(within.txn, view, &touched)?;
    write_records(within, view.schema, rows, sources)?;
    let mut log = LogWriter::new(within.inner, within.txn, within.first);
    let group = Group::new(&format!("merge {} of {own}", within.first)).map_err(Error::from)?;
    for operation in rows.iter().flat_map(|row| &row.operations) {
        log.push(&operation.clone().in_group(group.clone()), now)?;
    }
    Ok(log.finish()?.1)
}

/// Keeps what later merges need to know.
fn write_records(
    within: &Within<'_>,
    schema: &crate::algebra::Schema,
    rows: &[Row],
    sources: &[Side<'_, '_, ReadTable>],
) -> Result<(), Error> {
    let mut table = within.txn.open_table(MERGED).map_err(engine)?;
    for row in rows {
        put(&mut table, &row.key, &row.record)?;
    }
    // Under these policies it counts who changed something since: so all that a source gave is kept.
    let declared = |of: &Collection| matches!(of.policy(), Policy::FirstToAuthority | Policy::Manual);
    for (name, _) in schema.collections().filter(|(_, collection)| declared(collection)) {
        for source in sources {
            for key in source.view.keys(Some(name))? {
                let place = entity_bytes(&key);
                let found = table.get(place.as_slice()).map_err(engine)?;
                let found = found.map(|found| merged_of(&place, found.value())).transpose()?;
                let mut record = found.unwrap_or_default();
                let given = source.known(&key)?.unredirected()?.version;
                if give(&mut record, source.id, VersionRecord::of(&given)) {
                    put(&mut table, &key, &record)?;
                }
            }
        }
    }
    Ok(())
}

fn put(table: &mut Tables<'_>, key: &EntityKey, record: &MergedRecord) -> Result<(), Error> {
    let place = entity_bytes(key);
    if *record == MergedRecord::default() {
        table.remove(place.as_slice()).map_err(engine)?;
        return Ok(());
    }
    let framed = frame::record(FrameKind::Merged, &place, record)
        .map_err(damaged(format!("what merges left of {key}")))?;
    table.insert(place.as_slice(), framed.as_slice()).map_err(engine)?;
    Ok(())
}
