//! Nothing is missed: whoever reads by a cursor while others write sees every change, on any authority.
//!
//! An authority that gives out epochs before it commits loses changes: a reader passes a later epoch, and the earlier one
//! commits behind its back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use uuid::Uuid;

use super::name;
use crate::algebra::{
    Answer, Ask, BunchNumber, Cursors, EntityKey, Epoch, Existence, FullRow, LiveSet, Millis, Operation,
    Outcome, Page, Patch, Planned, ReplicaId, Seq, State,
};
use crate::authority::{Account, Authority};
use crate::codec::lines;
use crate::testing::laws::Violation;
use crate::workload::random::Random;

/// Small, so that most pages end while somebody writes.
const ROWS_A_PAGE: usize = 7;

/// Entities that all writers change; the same number is each one's own.
const ENTITIES: u64 = 24;

const LAW: &str = "nothing is missed";

/// What a reader saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Pages with at least one row, while others wrote.
    pub pages: u64,
    /// Rows on them.
    pub rows: u64,
    /// Operations that were accepted.
    pub accepted: u64,
}

/// Lets threads deliver bunches, each under a replica of its own, while a reader follows its cursor in small pages; then
/// holds what the reader saw against every accepted operation, against one reading of everything and against the live
/// set. The authority's schema declares the collection `notes`, or nothing.
///
/// # Errors
/// What the reader missed.
pub fn nothing_is_missed(
    authority: &dyn Authority,
    account: &Account,
    writers: u64,
    bunches: u64,
) -> Result<Seen, Violation> {
    check(authority, account, writers, bunches).map_err(|found| Violation { law: LAW, found })
}

fn check(authority: &dyn Authority, account: &Account, writers: u64, bunches: u64) -> Result<Seen, String> {
    let at_work = AtomicU64::new(writers);
    let (accepted, read) = thread::scope(|scope| {
        let at_work = &at_work;
        let deliver = |writer| {
            scope.spawn(move || {
                let done = write(authority, account, writer, bunches);
                at_work.fetch_sub(1, Ordering::AcqRel);
                done
            })
        };
        let delivering: Vec<_> = (0..writers).map(deliver).collect();
        let read = follow(authority, account, at_work);
        let done: Result<Vec<_>, String> =
            delivering.into_iter().map(|thread| thread.join().map_err(|_| "a writer panicked")?).collect();
        (done, read)
    });
    let (accepted, reader) = (accepted?.concat(), read?);
    let all = Reader::default().read_on(authority, account)?;
    if reader.held != all.held {
        let missed = all.held.iter().find(|(key, row)| reader.held.get(*key) != Some(row));
        return Err(format!("read in pages, it is not what it is read at once: {missed:?}"));
    }
    for (key, epoch) in &accepted {
        if reader.held.get(key).is_none_or(|row| row.epoch < *epoch) {
            return Err(format!("{key} was written at epoch {epoch}, and the reader never saw it"));
        }
    }
    require_live_set(authority, account, &reader)?;
    Ok(Seen { accepted: accepted.len() as u64, ..reader.seen })
}

/// Delivers bunches one by one; gives what was accepted and changed something.
fn write(
    authority: &dyn Authority,
    account: &Account,
    writer: u64,
    bunches: u64,
) -> Result<Vec<(EntityKey, Epoch)>, String> {
    let mut random = Random::new(writer);
    let mut accepted = Vec::new();
    let replica = ReplicaId(Uuid::from_u128(0xA000 + u128::from(writer)));
    for number in 1..=bunches {
        let mut operations = BTreeMap::new();
        for _ in 0..1 + random.below(4) {
            let own = if random.below(2) == 0 { 1 + writer } else { 0 };
            let id = 1 + own * ENTITIES + random.below(ENTITIES);
            let key = EntityKey::new(name("notes"), Uuid::from_u128(id.into())).map_err(|e| e.to_string())?;
            operations.insert(key.clone(), planned(key, writer * 1_000_000 + number, &mut random));
        }
        let bunch = lines::bunch(BunchNumber(number), operations.into_values().collect());
        let ask = Ask::Deliver { replica, bunch: bunch.clone(), generation: None };
        let answer = said(authority, account, &ask)?;
        let Answer::Delivered(outcomes) = answer else { return Err(format!("delivering: {answer:?}")) };
        for (planned, outcome) in bunch.operations.iter().zip(outcomes.outcomes) {
            match outcome {
                Outcome::Accepted { epoch: Some(epoch), .. } => {
                    accepted.push((planned.operation.key.clone(), epoch));
                }
                Outcome::Accepted { epoch: None, .. } => {}
                other => return Err(format!("an operation without a base is accepted, not {other:?}")),
            }
        }
    }
    Ok(accepted)
}

fn planned(key: EntityKey, number: u64, random: &mut Random) -> Planned {
    let fields = format!(r#"{{"n":{number}}}"#);
    let operation = match random.below(5) {
        0 => Operation::delete(key),
        1 | 2 => Operation::create(key, State::from_json(&fields).expect("the suite's state is valid")),
        _ => Operation::patch(key, Patch::from_json(&fields).expect("the suite's patch is valid")),
    };
    let operation = operation.at(1_000_000 + number).expect("a time within bounds");
    Planned { operation, base: None, first: Seq(number), last: Seq(number), operations: 1, touched: None }
}

/// Reads by its cursor until nobody writes any more and there is nothing above it.
fn follow(authority: &dyn Authority, account: &Account, at_work: &AtomicU64) -> Result<Reader, String> {
    let mut reader = Reader::default();
    loop {
        let is_last = at_work.load(Ordering::Acquire) == 0;
        reader = reader.read_on(authority, account)?;
        if is_last {
            return Ok(reader);
        }
        thread::yield_now();
    }
}

#[derive(Default)]
struct Reader {
    cursors: Cursors,
    held: BTreeMap<EntityKey, FullRow>,
    seen: Seen,
}

impl Reader {
    /// Reads pages until there is no more.
    fn read_on(mut self, authority: &dyn Authority, account: &Account) -> Result<Self, String> {
        loop {
            let (cursors, floors) = (self.cursors.clone(), Cursors::new());
            let ask = Ask::Changes { cursors, floors, generation: None, rows_max: ROWS_A_PAGE };
            match said(authority, account, &ask)? {
                Answer::Changes(page) => {
                    let has_more = page.has_more;
                    self.take(page)?;
                    if !has_more {
                        return Ok(self);
                    }
                }
                other => return Err(format!("reading: {other:?}")),
            }
        }
    }

    fn take(&mut self, page: Page) -> Result<(), String> {
        for row in page.rows {
            let above = self.cursors.get(row.key.collection()).copied().unwrap_or_default();
            if row.epoch <= above {
                return Err(format!("{} came at epoch {}, read was up to {above}", row.key, row.epoch));
            }
            self.seen.rows += 1;
            self.held.insert(row.key.clone(), row);
        }
        self.seen.pages += 1;
        for (collection, cursor) in page.cursors {
            let before = self.cursors.insert(collection.clone(), cursor).unwrap_or_default();
            if cursor < before {
                return Err(format!("the cursor of {collection} went back from {before} to {cursor}"));
            }
        }
        Ok(())
    }
}

fn require_live_set(authority: &dyn Authority, account: &Account, reader: &Reader) -> Result<(), String> {
    let answer = said(authority, account, &Ask::LiveSets { generation: None })?;
    let Answer::LiveSets(sets) = answer else { return Err(format!("live sets: {answer:?}")) };
    let mut live = LiveSet::default();
    for row in reader.held.values() {
        if let Existence::Live(state) = &row.version.existence {
            live.add(row.key.id(), state);
        }
    }
    match sets.get(&name("notes")) {
        Some((told, _)) if *told == live => Ok(()),
        told => Err(format!("{live:?} was read, and {told:?} is told")),
    }
}

fn said(authority: &dyn Authority, account: &Account, ask: &Ask) -> Result<Answer, String> {
    authority.answer(account, Millis(2_000_000), ask).map_err(|error| format!("the authority says: {error}"))
}
