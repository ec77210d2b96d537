//! Open conflicts: what is held until a person or the program decides.
//!
//! | a conflict | opens when | dissolves when |
//! |---|---|---|
//! | concurrent | the policy is manual and both sides changed the entity | the sides come to agree |
//! | a clash | another entity has a unique key, of the entity or of a parent that it needs | one of the two gives it up, or nothing needs it any more |

use std::collections::{BTreeSet, HashSet};

use redb::{ReadableTable, WriteTransaction};
use uuid::Uuid;

use super::error::Error;
use super::view::{Cause, View, version_of};
use super::{Bytes, Replica, Tables};
use crate::algebra::{EntityKey, State, Version, key_values, live_key_values};
use crate::codec::frame::{self, FrameKind};
use crate::codec::kept::{ClashRecord, ConflictRecord, VersionRecord};
use crate::codec::records::key_of;
use crate::journal::error::engine;
use crate::journal::tables::{self, CONFLICTS, Snapshot, damaged, entity_bytes, entity_of};
use crate::journal::{self, parked};

/// An open conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The entity.
    pub key: EntityKey,
    /// What it is about.
    pub kind: ConflictKind,
    /// What this side has.
    pub local: Version,
    /// What the authority is known to hold.
    pub remote: Version,
}

/// What a conflict is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConflictKind {
    /// Both sides changed the entity.
    Concurrent {
        /// What it was before either did.
        before: Version,
    },
    /// Another entity has the values of a unique key.
    Clash {
        /// The fields of the key.
        unique: Vec<String>,
        /// Their values, as canonical JSON.
        values: Vec<String>,
        /// The entity that has them.
        holder: EntityKey,
        /// What the entity was before both sides changed it, if the policy leaves that open too.
        before: Option<Version>,
    },
}

/// How a conflict is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// This side's is kept, on top of the other; of a clash, the entity that has the key is deleted. Where that is not seen
    /// here yet, the decision waits until it is, and nothing of the entity is sent before.
    Local,
    /// The other side's is taken.
    Remote,
    /// Each field of the later stamp; of a clash the entity that was changed later keeps the key,
    /// and the other one is deleted, which waits likewise.
    Newest,
    /// The entity is deleted here.
    Delete,
    /// The entity becomes this.
    Modify(State),
}

impl Replica {
    /// The open conflicts, by entity.
    ///
    /// # Errors
    /// What the journal says.
    pub fn conflicts(&self) -> Result<Vec<Conflict>, Error> {
        self.read(|snapshot, view| {
            let mut found = Vec::new();
            for row in snapshot.keyed(CONFLICTS)?.iter().map_err(engine)? {
                let (place, value) = row.map_err(engine)?;
                found.extend(conflict_of(view, place.value(), value.value())?);
            }
            Ok(found)
        })
    }

    /// The open conflict of an entity, if there is one.
    ///
    /// # Errors
    /// What the journal says.
    pub fn conflict(&self, key: &EntityKey) -> Result<Option<Conflict>, Error> {
        let place = entity_bytes(key);
        self.read(|snapshot, view| {
            match snapshot.keyed(CONFLICTS)?.get(place.as_slice()).map_err(engine)? {
                Some(value) => conflict_of(view, &place, value.value()),
                None => Ok(None),
            }
        })
    }

    /// The entities that somebody has to decide about, and those that wait for them: parked, in conflict, held. What is
    /// seen of them need not be what the authority holds, however often the replica syncs.
    ///
    /// # Errors
    /// What the journal says.
    pub fn undecided(&self) -> Result<BTreeSet<EntityKey>, Error> {
        let mut keys: BTreeSet<EntityKey> =
            self.journal.parked()?.into_iter().map(|parked| parked.key).collect();
        keys.extend(self.journal.held()?.into_iter().map(|held| held.key));
        keys.extend(self.conflicts()?.into_iter().map(|conflict| conflict.key));
        keys.extend(self.decided()?);
        Ok(keys)
    }

    /// The entities that were decided about for this side, and wait until what the other side did is seen here.
    pub(crate) fn decided(&self) -> Result<Vec<EntityKey>, Error> {
        self.read(|snapshot, _| {
            let mut found = Vec::new();
            for row in snapshot.keyed(CONFLICTS)?.iter().map_err(engine)? {
                let (place, value) = row.map_err(engine)?;
                let (key, record) = opened(place.value(), value.value())?;
                if is_decision(&record) {
                    found.push(key);
                }
            }
            Ok(found)
        })
    }
}

/// A conflict with both sides as they are now; nothing where it is decided.
fn conflict_of(
    view: &View<'_, redb::ReadOnlyTable<&'static [u8], &'static [u8]>>,
    place: &[u8],
    bytes: &[u8],
) -> Result<Option<Conflict>, journal::Error> {
    let (key, record) = opened(place, bytes)?;
    let kind = if is_decision(&record) { None } else { kind_of(record, &key)? };
    kind.map(|kind| with_both_sides(view, key, kind)).transpose()
}

fn with_both_sides<R: ReadableTable<Bytes, Bytes>>(
    view: &View<'_, R>,
    key: EntityKey,
    kind: ConflictKind,
) -> Result<Conflict, journal::Error> {
    let (base, stamps) = view.base(&key)?;
    Ok(Conflict { kind, local: view.visible(&key)?, remote: version_of(&base, stamps), key })
}

/// Refuses to go on from a conflict that has been closed, or of which a side has moved, since it was read.
pub(super) fn require_same(
    txn: &WriteTransaction,
    view: &View<'_, Tables<'_>>,
    conflict: &Conflict,
    local: &Version,
) -> Result<(), Error> {
    let key = &conflict.key;
    let kind = get(txn, key)?.map(|record| kind_of(record, key)).transpose()?.flatten();
    let (base, stamps) = view.base(key)?;
    let is_same = kind.as_ref() == Some(&conflict.kind)
        && *local == conflict.local
        && version_of(&base, stamps) == conflict.remote;
    if is_same { Ok(()) } else { Err(Error::NoConflict { key: key.clone() }) }
}

/// A conflict that is open or decided.
fn opened(place: &[u8], bytes: &[u8]) -> Result<(EntityKey, ConflictRecord), journal::Error> {
    let key = entity_of(place).map_err(damaged("an open conflict"))?;
    let record = frame::open_record(FrameKind::Conflict, place, bytes);
    let record = record.map_err(damaged(format!("the conflict of {key}")))?;
    Ok((key, record))
}

fn is_decision(record: &ConflictRecord) -> bool {
    matches!(record, ConflictRecord::Decided { .. } | ConflictRecord::DecidedClash { .. })
}

/// What a conflict is about; nothing where both sides changed the entity and that is decided.
fn kind_of(record: ConflictRecord, key: &EntityKey) -> Result<Option<ConflictKind>, journal::Error> {
    Ok(match record {
        ConflictRecord::Concurrent { before } => {
            let before = before.version().map_err(damaged(format!("the conflict of {key}")))?;
            Some(ConflictKind::Concurrent { before })
        }
        ConflictRecord::Decided { .. } => None,
        ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. } => {
            Some(kind_of_clash(clash, key)?)
        }
    })
}

fn kind_of_clash(clash: ClashRecord, key: &EntityKey) -> Result<ConflictKind, journal::Error> {
    let name = || format!("the conflict of {key}");
    let ClashRecord { unique, values, holder, before } = clash;
    let holder = key_of(key.collection().as_str(), holder).map_err(damaged(name()))?;
    let before = before.map(VersionRecord::version).transpose().map_err(damaged(name()))?;
    Ok(ConflictKind::Clash { unique, values, holder, before })
}

/// Opens a conflict; one that is open already stays as it is: there is one an entity.
pub(super) fn open_concurrent(
    txn: &WriteTransaction,
    key: &EntityKey,
    before: &Version,
) -> Result<(), journal::Error> {
    let before = VersionRecord::of(before);
    match get(txn, key)? {
        None | Some(ConflictRecord::Decided { .. }) => put(txn, key, &ConflictRecord::Concurrent { before }),
        // What was decided about a clash was decided without that: it is asked again.
        Some(ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. }) => {
            let before = clash.before.or(Some(before));
            put(txn, key, &ConflictRecord::Clash(ClashRecord { before, ..clash }))
        }
        Some(ConflictRecord::Concurrent { .. }) => Ok(()),
    }
}

/// Opens a clash, unless it is decided; where a conflict is open already, the clash is what has to be solved first.
pub(super) fn open_clash(
    txn: &WriteTransaction,
    key: &EntityKey,
    unique: &[String],
    values: &[String],
    holder: Uuid,
) -> Result<(), journal::Error> {
    let (unique, values, holder) = (unique.to_vec(), values.to_vec(), holder.into_bytes());
    let opened = ClashRecord { unique, values, holder, before: before_both(txn, key)? };
    match get(txn, key)? {
        Some(ConflictRecord::DecidedClash { clash, .. }) if clash == opened => Ok(()),
        _ => put(txn, key, &ConflictRecord::Clash(opened)),
    }
}

/// What the entity was before both sides changed it, if that is an open conflict.
pub(super) fn before_both(
    txn: &WriteTransaction,
    key: &EntityKey,
) -> Result<Option<VersionRecord>, journal::Error> {
    Ok(match get(txn, key)? {
        Some(ConflictRecord::Concurrent { before }) => Some(before),
        Some(ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. }) => clash.before,
        Some(ConflictRecord::Decided { .. }) | None => None,
    })
}

/// Ends a clash; what was open beside it stays open.
fn end_clash(txn: &WriteTransaction, key: &EntityKey) -> Result<(), journal::Error> {
    match before_both(txn, key)? {
        Some(before) => put(txn, key, &ConflictRecord::Concurrent { before }),
        None => remove(txn, key).map(drop),
    }
}

pub(super) fn get(txn: &WriteTransaction, key: &EntityKey) -> Result<Option<ConflictRecord>, journal::Error> {
    tables::record_in(txn, CONFLICTS, FrameKind::Conflict, &entity_bytes(key))
}

pub(super) fn put(
    txn: &WriteTransaction,
    key: &EntityKey,
    record: &ConflictRecord,
) -> Result<(), journal::Error> {
    tables::put_record(txn, CONFLICTS, FrameKind::Conflict, &entity_bytes(key), record)
}

/// Whether something of an entity is in the open bunch, parked, or in conflict.
pub(super) fn is_engaged(snapshot: &Snapshot, key: &EntityKey) -> Result<bool, journal::Error> {
    let place = entity_bytes(key);
    for table in [CONFLICTS, tables::PARKED] {
        if snapshot.keyed(table)?.get(place.as_slice()).map_err(engine)?.is_some() {
            return Ok(true);
        }
    }
    match &snapshot.state()?.open {
        Some(open) => Ok(journal::seal::load(snapshot, open)?.1.contains_key(key)),
        None => Ok(false),
    }
}

/// Every entity of which something is in the open bunch, parked, or in conflict.
pub(super) fn engaged(snapshot: &Snapshot) -> Result<HashSet<EntityKey>, journal::Error> {
    let mut found = HashSet::new();
    for table in [CONFLICTS, tables::PARKED] {
        for row in snapshot.keyed(table)?.iter().map_err(engine)? {
            let (place, _) = row.map_err(engine)?;
            found.insert(entity_of(place.value()).map_err(damaged("what waits for a decision"))?);
        }
    }
    if let Some(open) = &snapshot.state()?.open {
        found.extend(journal::seal::load(snapshot, open)?.1.into_keys());
    }
    Ok(found)
}

/// A clash that was decided before who has the key was seen here, and how; nothing where it has come to nothing.
pub(super) fn decided_clash(
    txn: &WriteTransaction,
    view: &mut View<'_, Tables<'_>>,
    key: &EntityKey,
) -> Result<Option<(Conflict, Resolution)>, journal::Error> {
    let Some(ConflictRecord::DecidedClash { clash, .. }) = get(txn, key)? else { return Ok(None) };
    // Who has the key may be gone without a trace.
    end_clashes(txn, view, &|holder| holder.id().into_bytes() == clash.holder)?;
    end_unneeded(txn, view)?;
    let Some(ConflictRecord::DecidedClash { clash, is_newest }) = get(txn, key)? else { return Ok(None) };
    let conflict = with_both_sides(view, key.clone(), kind_of_clash(clash, key)?)?;
    Ok(Some((conflict, if is_newest { Resolution::Newest } else { Resolution::Local })))
}

/// Opens again what was decided.
pub(super) fn reopen(txn: &WriteTransaction, key: &EntityKey) -> Result<(), journal::Error> {
    let open = |record| match record {
        ConflictRecord::Concurrent { before } | ConflictRecord::Decided { before } => {
            ConflictRecord::Concurrent { before }
        }
        ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. } => {
            ConflictRecord::Clash(clash)
        }
    };
    get(txn, key)?.map_or(Ok(()), |record| put(txn, key, &open(record)))
}

/// Whether an entity was decided about, and waits for what the other side did to be seen here.
pub(super) fn is_decided(txn: &WriteTransaction, key: &EntityKey) -> Result<bool, journal::Error> {
    Ok(matches!(get(txn, key)?, Some(ConflictRecord::Decided { .. })))
}

/// Closes a conflict, and says whether it was open.
pub(super) fn remove(txn: &WriteTransaction, key: &EntityKey) -> Result<bool, journal::Error> {
    let mut table = txn.open_table(CONFLICTS).map_err(engine)?;
    Ok(table.remove(entity_bytes(key).as_slice()).map_err(engine)?.is_some())
}

/// An entity that wants what another one has.
struct Clashing {
    key: EntityKey,
    unique: Vec<String>,
    values: Vec<String>,
    holder: EntityKey,
}

/// Ends the clashes with these entities where they gave up what others want.
pub(super) fn end_clashes(
    txn: &WriteTransaction,
    view: &mut View<'_, Tables<'_>>,
    holders: &dyn Fn(&EntityKey) -> bool,
) -> Result<(), journal::Error> {
    for Clashing { key, unique, values, holder } in clashing_with(txn, holders)? {
        let (base, _) = view.base(&holder)?;
        let still = base.live_state().and_then(|state| key_values(state, &unique));
        if still.as_ref() != Some(&values) {
            end_clash(txn, &key)?;
            view.changed.push((key, Cause::Conflict));
        }
    }
    Ok(())
}

/// Ends the clashes of entities of which nothing is unsent, and that nothing unsent needs any more.
pub(super) fn end_unneeded(
    txn: &WriteTransaction,
    view: &mut View<'_, Tables<'_>>,
) -> Result<(), journal::Error> {
    let is_unsent = |view: &View<'_, Tables<'_>>, key: &EntityKey| {
        Ok::<_, journal::Error>(view.local(key)?.is_some_and(|local| !local.is_kept))
    };
    for Clashing { key, .. } in clashing_with(txn, &|_| true)? {
        let mut is_needed = is_unsent(view, &key)?;
        for waiter in parked::waiters(txn, &key)? {
            is_needed |= is_unsent(view, &waiter)?;
        }
        if !is_needed {
            remove(txn, &key)?;
            view.changed.push((key, Cause::Conflict));
        }
    }
    Ok(())
}

/// The clashes with an entity: those who hold back because it has what they want.
fn clashing_with(
    txn: &WriteTransaction,
    holders: &dyn Fn(&EntityKey) -> bool,
) -> Result<Vec<Clashing>, journal::Error> {
    let table = txn.open_table(CONFLICTS).map_err(engine)?;
    let mut found = Vec::new();
    for row in table.iter().map_err(engine)? {
        let (place, value) = row.map_err(engine)?;
        let (key, record) = opened(place.value(), value.value())?;
        if let Some(ConflictKind::Clash { unique, values, holder, .. }) = kind_of(record, &key)?
            && holders(&holder)
        {
            found.push(Clashing { key, unique, values, holder });
        }
    }
    Ok(found)
}

/// Whether what is seen here is what the authority holds.
fn has_come_to_agree(view: &View<'_, Tables<'_>>, key: &EntityKey) -> Result<bool, journal::Error> {
    let (base, stamps) = view.base(key)?;
    Ok(view.visible(key)?.existence.looks_like(&version_of(&base, stamps).existence))
}

/// An edit may be the end of a conflict: the sides come to agree, or, of a clash, the key is another one now.
pub(super) fn edited(
    txn: &WriteTransaction,
    view: &mut View<'_, Tables<'_>>,
    key: &EntityKey,
) -> Result<(), Error> {
    let is_decided = is_decided(txn, key)?;
    if (is_decided || before_both(txn, key)?.is_some()) && has_come_to_agree(view, key)? {
        // Nothing of it is to be sent, so it clashes with nobody either.
        remove(txn, key)?;
        view.changed.push((key.clone(), Cause::Conflict));
    }
    let Some(ConflictRecord::Clash(clash) | ConflictRecord::DecidedClash { clash, .. }) = get(txn, key)?
    else {
        return Ok(());
    };
    let now = view.visible(key)?;
    let held = live_key_values(&now.existence, &clash.unique);
    if held.as_ref() != Some(&clash.values) {
        end_clash(txn, key)?;
        view.changed.push((key.clone(), Cause::Conflict));
    }
    Ok(())
}
