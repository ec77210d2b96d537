//! Beginnings: an account is found, made or locked, and what is needed of it at first is read with it.
//!
//! ```text
//! first trip   begin ─ account, schema served, answer recorded, counters ─ what the bunch names
//! more trips   what that leads to: parents that are gone, what a delete takes
//! last trip    rows ─ triggers, counters, answer ─ commit
//! not awaited  notify
//! ```
//!
//! Invariant: what was read under a number is taken only where that is the account's number still.

use std::cell::RefCell;
use std::sync::PoisonError;

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::account::Account;
use super::authority::Shared;
use super::connect::Session;
use super::error::{PostgresError, Told};
use super::foresight::{Foresight, Wants};
use super::held::{Counter, Held};
use super::pipeline::Call;
use super::reading::{asked, take};
use super::row::get;
use super::store::PostgresStore;
use super::values::uncounted;
use crate::algebra::{Ask, BunchNumber, Digest, Epoch, Generation, LiveSet, Outcomes, ROWS_MAX, ReplicaId};
use crate::codec::lines::Line;

/// How many accounts' numbers are remembered: some MiB.
const NUMBERS_MAX: usize = 50_000;

/// An account's row.
#[derive(Clone, Copy)]
struct Found {
    number: i64,
    generation: Generation,
}

impl Shared {
    /// An account's data to write to, with what an ask needs of it. The account is made where it is missing.
    pub(super) fn writing(
        &self,
        account: &Account,
        ask: Option<&Ask>,
    ) -> Result<PostgresStore<'_>, PostgresError> {
        let mut session = self.connections.session()?;
        let operations = match ask {
            Some(Ask::Deliver { bunch, .. }) => bunch.operations.as_slice(),
            Some(_) | None => &[],
        };
        let mut foresight = Foresight::new(&self.schema, operations);
        let first = foresight.wanted();
        let begun = self.begun(&mut session, account, Some(Call::plain("BEGIN")), ask, &first)?;
        let is_new = begun.is_none();
        let (found, held) = match begun {
            Some(begun) => begun,
            None => {
                session.asked(self.make(account))?;
                // Made and erased again by others, between the two.
                self.begun(&mut session, account, None, ask, &first)?.ok_or_else(overtaken)?
            }
        };
        let mut store = self.store(session, found, held);
        // A generation that was told is kept.
        store.has_written = is_new;
        store.foresee(foresight)?;
        Ok(store)
    }

    /// One snapshot of an account's data. The account is made where it is missing.
    pub(super) fn reading(&self, account: &Account, ask: &Ask) -> Result<PostgresStore<'_>, PostgresError> {
        let mut session = self.connections.session()?;
        let mut first = Wants::default();
        if let Ask::Reads { keys } = ask {
            keys.iter().take(ROWS_MAX).for_each(|key| first.entity(key));
        }
        let begin = || Some(Call::plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
        if let Some((found, held)) = self.begun(&mut session, account, begin(), Some(ask), &first)? {
            return Ok(self.store(session, found, held));
        }
        session.end();
        session.said_last(&[self.make(account)])?;
        let begun = self.begun(&mut session, account, begin(), Some(ask), &first)?;
        let (found, held) = begun.ok_or_else(overtaken)?;
        Ok(self.store(session, found, held))
    }

    /// Finds the account, reading at once what is needed of it where its number is known; none where there is none.
    fn begun(
        &self,
        session: &mut Session<'_>,
        account: &Account,
        begin: Option<Call>,
        ask: Option<&Ask>,
        first: &Wants,
    ) -> Result<Option<(Found, Held)>, PostgresError> {
        let known = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied();
        let (replica, bunch) = recorded(ask);
        let call = Call::new(&self.own.begun).with(account.as_str().to_owned()).with(is_writing(ask));
        let mut calls: Vec<Call> = begin.into_iter().collect();
        let place = calls.len();
        calls.push(call.with(replica.0).with(bunch.0.cast_signed()));
        let mut held = Held::default();
        let asked_of = |number: i64, held: &mut Held| -> (Vec<_>, Vec<Call>) {
            asked(&self.tables, number, first.clone(), held).into_iter().unzip()
        };
        let (mut askings, more) = known.map(|number| asked_of(number, &mut held)).unwrap_or_default();
        calls.extend(more);
        let mut answers = session.said(&calls)?;
        let mut rows = answers.split_off(place.saturating_add(1).min(answers.len()));
        let Some(row) = answers.get(place).and_then(|rows| rows.first()) else { return Ok(None) };
        let number: i64 = get(row, 0)?;
        if known != Some(number) {
            self.note(account, number);
            held = Held::default();
            let calls;
            (askings, calls) = asked_of(number, &mut held);
            rows = if calls.is_empty() { Vec::new() } else { session.said(&calls)? };
        }
        let found = self.found(row, ask, &mut held)?;
        for (asking, rows) in askings.into_iter().zip(rows) {
            take(&mut held, &self.tables, &self.schema, asking, &rows)?;
        }
        Ok(Some((found, held)))
    }

    /// What is needed at first of an account.
    fn found(&self, row: &Row, ask: Option<&Ask>, held: &mut Held) -> Result<Found, PostgresError> {
        let served: Option<i64> = get(row, 4)?;
        let served = served.ok_or_else(|| PostgresError::damaged("the layout", "it is empty"))?;
        if is_writing(ask) && served != self.served {
            return Err(PostgresError::OtherSchema);
        }
        held.last_trigger = uncounted("a trigger's index", get(row, 2)?)?;
        held.triggers_from = uncounted("a trigger's index", get(row, 3)?)?;
        held.answers.insert(recorded(ask), answer_of(get(row, 5)?, get(row, 6)?)?);
        // Null where there is none.
        let numbers: Option<Vec<i32>> = get(row, 7)?;
        let column = |place: usize| -> Result<Vec<i64>, PostgresError> {
            Ok(get::<Option<_>>(row, place)?.unwrap_or_default())
        };
        let (lasts, floors, counts) = (column(8)?, column(9)?, column(10)?);
        let sums: Vec<&[u8]> = get::<Option<Vec<&[u8]>>>(row, 11)?.unwrap_or_default();
        let counters = lasts.into_iter().zip(floors).zip(counts).zip(sums);
        for (number, (((last, floor), count), sum)) in numbers.unwrap_or_default().into_iter().zip(counters) {
            // Another server may have made it; here it is not served.
            let Some(collection) = self.tables.names.get(&number) else { continue };
            held.counters.insert(collection.clone(), counter(last, floor, count, sum)?);
        }
        Ok(Found { number: get(row, 0)?, generation: Generation(get(row, 1)?) })
    }

    /// Makes an account, unless there is one.
    fn make(&self, account: &Account) -> Call {
        Call::new(&self.own.make).with(account.as_str().to_owned()).with(Uuid::new_v4())
    }

    /// The recorded answer to a bunch, if there is one.
    pub(super) fn recorded(
        &self,
        session: &mut Session<'_>,
        account: i64,
        replica: ReplicaId,
        bunch: BunchNumber,
    ) -> Result<Option<(Digest, Outcomes)>, PostgresError> {
        let call = Call::new(&self.own.answer).with(account).with(replica.0).with(bunch.0.cast_signed());
        let rows = session.asked(call)?;
        rows.first().map_or(Ok(None), |row| answer_of(get(row, 0)?, get(row, 1)?))
    }

    fn store<'a>(&'a self, session: Session<'a>, found: Found, held: Held) -> PostgresStore<'a> {
        PostgresStore {
            shared: self,
            session: RefCell::new(session),
            account: found.number,
            generation: found.generation,
            held: RefCell::new(held),
            has_news: false,
            has_written: false,
        }
    }

    fn note(&self, account: &Account, number: i64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() >= NUMBERS_MAX {
            numbers.clear();
        }
        numbers.insert(account.clone(), number);
    }
}

fn overtaken() -> PostgresError {
    let source = Box::new(Told("the account was erased meanwhile".to_owned()));
    PostgresError::Again { source }
}

/// Whose answer an ask needs; nobody's has the nil replica.
fn recorded(ask: Option<&Ask>) -> (ReplicaId, BunchNumber) {
    match ask {
        Some(Ask::Deliver { replica, bunch, .. }) => (*replica, bunch.number),
        Some(Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. })
        | None => (ReplicaId(Uuid::nil()), BunchNumber(0)),
    }
}

/// Whether an ask is to write; without one, a caller runs the rules itself.
fn is_writing(ask: Option<&Ask>) -> bool {
    match ask {
        None | Some(Ask::Deliver { .. }) => true,
        Some(Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. }) => false,
    }
}

fn answer_of(
    digest: Option<&[u8]>,
    outcomes: Option<&str>,
) -> Result<Option<(Digest, Outcomes)>, PostgresError> {
    let Some((digest, outcomes)) = digest.zip(outcomes) else { return Ok(None) };
    let damaged = |why: String| PostgresError::damaged("a recorded answer", why);
    let digest = <[u8; 32]>::try_from(digest).map_err(|error| damaged(error.to_string()))?;
    let outcomes = Outcomes::from_line(outcomes).map_err(|error| damaged(error.to_string()))?;
    Ok(Some((Digest(digest), outcomes)))
}

fn counter(last: i64, floor: i64, count: i64, sum: &[u8]) -> Result<Counter, PostgresError> {
    let damaged = |why: String| PostgresError::damaged("a live set's sum", why);
    let sum = <[u8; 32]>::try_from(sum).map_err(|error| damaged(error.to_string()))?;
    Ok(Counter {
        live: LiveSet { count: uncounted("a number of entities", count)?, sum: Digest(sum) },
        last: Epoch(uncounted("an epoch", last)?),
        floor: Epoch(uncounted("an epoch", floor)?),
    })
}
