//! A damaged file that the engine does not read, or would go astray in: its pages are read one by one.

use redb::{Database, ReadableTable, TableHandle};
use uuid::Uuid;

use super::super::aside::{Known, Missing, read_anew, salvaged};
use super::super::error::{Error, engine};
use super::super::open::shielded;
use super::super::options::CACHE_BYTES_DEFAULT;
use super::super::stored::{Place, Table};
use super::super::tables::{IDENTITY_KEY, LOG, META, REPLICA_KEY, Snapshot, put_record, put_state, state_in};
use super::by_engine::OF_AUTHORITY;
use super::collect::{Collected, Collecting};
use super::commit::{Commit, Meta};
use super::doubt::park_everything;
use super::scan::{Scan, number_of};
use super::{Judged, LostName, Made, Reading, Salvage, said};
use crate::codec::columns::{ORDINAL_MAX, ROWS_MAX};
use crate::codec::frame::FrameKind;
use crate::codec::records::{Identity, JournalState};
use crate::storage::guard::closed;
use crate::storage::overlay::Overlay;
use crate::storage::trees::Trees;

/// So many sequence numbers are passed over where it is not known how many were given out since: more than a commit gives.
const NUMBERS_PASSED_OVER: u64 = 1 << 20;

/// What is gone by where a journal is put together of its pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trusted {
    /// The state of a commit that is certain.
    Commit,
    /// Nothing: everything unsent is parked.
    Nothing,
}

/// The journal as far as the pages tell.
struct Read {
    meta: Meta,
    identity: Identity,
    has_new_name: bool,
    /// Whether the state is that of a commit that is certain.
    is_exact: bool,
}

impl Salvage<'_> {
    /// Salvages page by page, or says why that makes no journal; `why` the engine did not is kept with what is set aside.
    pub(super) fn by_pages(
        &self,
        file: &Overlay,
        why: String,
        trusted: Trusted,
    ) -> Result<Result<Made, String>, Error> {
        let trees = Trees::of(file).map_err(|source| self.unread(source))?;
        let scan = Scan::of(&trees);
        if let Some((place, source)) = scan.newer {
            return Err(Error::Newer { place: format!("{}, {place},", self.place), source });
        }
        // The header of another program's file leads to that one's tables.
        let mut commit =
            Commit::chosen(&trees, &scan).filter(|commit| commit.directory.contains_key(META.name()));
        if commit.is_none() && scan.is_empty() {
            let nothing = || format!("nothing of a journal is left in it; the engine says: {why}");
            return Err(self.refused(if scan.is_authoritys { OF_AUTHORITY.to_owned() } else { nothing() }));
        }
        let read = self.read(&trees, &scan, commit.as_mut(), trusted)?;
        let between = self.new_file("collecting")?;
        let source = between.database(CACHE_BYTES_DEFAULT)?;
        let new = self.new_file("salvaging")?;
        let target = new.database(CACHE_BYTES_DEFAULT)?;
        let done = shielded(&self.place, || {
            let Gathered { missing, next_seq, mut judged } =
                gathered(&source, &trees, &scan, commit.as_ref(), &read)?;
            let known = Known { now: self.now, next_seq, met: Some(why), missing };
            let kept = salvaged(&source, &target, known)?;
            let is_doubted = judged.iter().any(|judged| matches!(judged, Judged::Parked { .. }));
            let is_known = !is_doubted && kept.as_ref().is_none_or(|kept| !kept.is_knowledge_gone);
            if !is_known {
                let txn = target.begin_write().map_err(engine)?;
                let mut state = state_in(&txn)?;
                read_anew(&txn, &mut state)?;
                put_state(&txn, &state)?;
                txn.commit().map_err(engine)?;
                judged.push(Judged::ReadAnew);
            }
            Ok((judged, kept.map_or(0, |kept| kept.set_aside_before)))
        });
        closed(target);
        closed(source);
        match done {
            Ok((judged, set_aside_before)) => {
                Ok(Ok(Made { file: new, reading: Reading::Pages, judged, set_aside_before }))
            }
            Err(error) if error.is_damage() => Ok(Err(said(error))),
            Err(error) => Err(error),
        }
    }

    /// Who the journal is, and where it stood.
    fn read(
        &self,
        trees: &Trees<'_>,
        scan: &Scan,
        commit: Option<&mut Commit>,
        trusted: Trusted,
    ) -> Result<Read, Error> {
        let (mut meta, is_certain) = match commit {
            Some(commit) => (std::mem::take(&mut commit.meta), commit.is_certain),
            None => (Meta::default(), false),
        };
        let is_certain = meta.filled_in(trees, scan, is_certain);
        let (identity, has_new_name) = match (meta.identity.take(), self.lost_name) {
            (Some(identity), _) => (identity, false),
            (None, LostName::Drawn) => {
                let replica = Uuid::new_v4().into_bytes();
                (Identity { replica, created_at: self.now.0 }, true)
            }
            (None, LostName::Refused) => return Err(Error::NameLost { place: self.place.clone() }),
        };
        let is_exact = is_certain && !has_new_name && trusted == Trusted::Commit;
        Ok(Read { meta, identity, has_new_name, is_exact })
    }
}

/// A journal from which something is gone, in a database of its own.
struct Gathered {
    missing: Missing,
    /// The first sequence number that was certainly never given out.
    next_seq: u64,
    judged: Vec<Judged>,
}

/// Collects what is left in a database, and parks what nobody knows whether it was sent.
fn gathered(
    db: &Database,
    trees: &Trees<'_>,
    scan: &Scan,
    commit: Option<&Commit>,
    read: &Read,
) -> Result<Gathered, Error> {
    let mut judged = Vec::new();
    if read.has_new_name {
        judged.push(Judged::NewName);
    }
    if let Some(commit) = commit.filter(|commit| read.is_exact && !commit.is_last) {
        judged.push(if commit.is_named { Judged::CommitBefore } else { Judged::NewestWhole });
    }
    let txn = db.begin_write().map_err(engine)?;
    let state = read.meta.state.as_ref();
    let collecting = Collecting { trees, scan, txn: &txn, state, is_exact: read.is_exact };
    let Collected { mut missing, recalled, parked_again, is_mixed } = collecting.collect(commit)?;
    if recalled > 0 {
        judged.push(Judged::Recalled { values: recalled });
    }
    if parked_again > 0 {
        judged.push(Judged::ParkedAgain { entities: parked_again });
    }
    if let Some(missing) = missing.get_mut(number_of(META.name())) {
        *missing = commit.map_or(0, |commit| commit.values(META.name()).saturating_sub(read.meta.found));
    }
    put_record(&txn, META, FrameKind::Identity, IDENTITY_KEY, &read.identity)?;
    put_state(&txn, &state.cloned().unwrap_or_else(JournalState::new))?;
    if let Some(replica) = &read.meta.replica {
        put_record(&txn, META, FrameKind::Replica, REPLICA_KEY, replica)?;
    }
    txn.commit().map_err(engine)?;
    let rows_missing = missing.get_mut(number_of(LOG.rows.name()));
    let mut next_seq = log_end(db)?
        .saturating_add(rows_missing.as_ref().map_or(0, |values| values.saturating_mul(ROWS_MAX)));
    if !read.is_exact || commit.is_some_and(|commit| commit.is_followed) {
        next_seq = next_seq.saturating_add(NUMBERS_PASSED_OVER);
    }
    if !read.is_exact || is_mixed {
        let txn = db.begin_write().map_err(engine)?;
        let doubted = park_everything(&txn, &Snapshot::of(db)?, read.meta.state.clone())?;
        next_seq = next_seq.max(doubted.last.saturating_add(NUMBERS_PASSED_OVER)).min(ORDINAL_MAX - 1);
        put_state(&txn, &JournalState { log_begins: next_seq, ..doubted.state })?;
        txn.commit().map_err(engine)?;
        if let Some(missing) = rows_missing {
            *missing = missing.saturating_add(doubted.lost);
        }
        judged.push(Judged::Parked { entities: doubted.entities });
    }
    Ok(Gathered { missing, next_seq: next_seq.min(ORDINAL_MAX - 1), judged })
}

/// The sequence number behind everything in the log. What is damaged may be as much as a value holds, and stand anywhere:
/// its own number may be what is damaged.
fn log_end(db: &Database) -> Result<u64, Error> {
    let snapshot = Snapshot::of(db)?;
    let (mut end, mut damaged) = (snapshot.state()?.log_begins, 0_u64);
    for value in snapshot.numbered(LOG.rows)?.iter().map_err(engine)? {
        let (first, value) = value.map_err(engine)?;
        match Table::Rows(LOG).opened(&Place::Number(first.value()), value.value()) {
            Ok(rows) => end = end.max(first.value().saturating_add(rows)),
            Err(_) => damaged += 1,
        }
    }
    Ok(end.saturating_add(damaged.saturating_mul(ROWS_MAX)))
}
