//! Beginnings: an account is found, made or locked, and what is needed of it at first is read with it.
//!
//! ```text
//! first trip   begin ─ account ─ schema served, answer recorded ─ counters ─ what the bunch names
//! more trips   what that leads to: parents that are gone, what a delete takes
//! last trip    rows ─ triggers ─ counters ─ answer ─ commit ─ notify
//! ```
//!
//! Invariant: what was read under a number is taken only where that is the account's number still.

use std::cell::RefCell;
use std::sync::PoisonError;

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::account::Account;
use super::super::answer::ROWS_MAX;
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
use crate::algebra::{Ask, BunchNumber, Digest, Epoch, Generation, LiveSet, Outcomes, ReplicaId};
use crate::codec::lines::Line;

/// How many accounts' numbers are remembered: some MiB.
const NUMBERS_MAX: usize = 50_000;

/// An account's row.
#[derive(Clone, Copy)]
struct Found {
    number: i64,
    generation: Generation,
    last_trigger: u64,
    triggers_from: u64,
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
        let begin =
            || vec![Call::plain("BEGIN"), Call::new(&self.own.lock).with(account.as_str().to_owned())];
        let (found, held) = self.begun(&mut session, account, begin, ask, &first)?;
        let is_new = found.is_none();
        let (found, held) = match found {
            Some(found) => (found, held),
            None => {
                let make = Call::new(&self.own.make).with(account.as_str().to_owned()).with(Uuid::new_v4());
                let lock = Call::new(&self.own.lock).with(account.as_str().to_owned());
                let rows = session.said(&[make, lock])?;
                // Made and erased again by others, between the two.
                let Some(found) = found_in(rows.last())? else { return Err(overtaken()) };
                let held = self.held(&mut session, found, ask, &first)?;
                (found, held)
            }
        };
        let mut store = self.store(account, session, found, held);
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
        let begin = || {
            let begin = Call::plain("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
            vec![begin, Call::new(&self.own.find).with(account.as_str().to_owned())]
        };
        let (found, held) = self.begun(&mut session, account, begin, Some(ask), &first)?;
        if let Some(found) = found {
            return Ok(self.store(account, session, found, held));
        }
        session.end();
        let make = Call::new(&self.own.make).with(account.as_str().to_owned()).with(Uuid::new_v4());
        session.said_last(&[make])?;
        match self.begun(&mut session, account, begin, Some(ask), &first)? {
            (Some(found), held) => Ok(self.store(account, session, found, held)),
            (None, _) => Err(overtaken()),
        }
    }

    /// Begins a transaction and finds the account, reading at once what is needed of it where its number is known.
    fn begun(
        &self,
        session: &mut Session<'_>,
        account: &Account,
        begin: impl Fn() -> Vec<Call>,
        ask: Option<&Ask>,
        first: &Wants,
    ) -> Result<(Option<Found>, Held), PostgresError> {
        let known = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied();
        let mut calls = begin();
        let beginning = calls.len();
        let mut held = Held::default();
        let mut askings = Vec::new();
        if let Some(number) = known {
            calls.extend(self.beginning(number, ask));
            let more = asked(&self.tables, number, first.clone(), &mut held);
            for (asking, call) in more {
                askings.push(asking);
                calls.push(call);
            }
        }
        let answers = session.said(&calls)?;
        let found = found_in(answers.get(beginning.saturating_sub(1)))?;
        let Some(found) = found else { return Ok((None, Held::default())) };
        if known != Some(found.number) {
            self.note(account, found.number);
            let held = self.held(session, found, ask, first)?;
            return Ok((Some(found), held));
        }
        let mut rest = answers.into_iter().skip(beginning);
        self.take_beginning(&mut held, found, ask, rest.next(), rest.next())?;
        for (asking, rows) in askings.into_iter().zip(rest) {
            take(&mut held, &self.schema, asking, &rows)?;
        }
        Ok((Some(found), held))
    }

    /// What is needed at first of an account that was found.
    fn held(
        &self,
        session: &mut Session<'_>,
        found: Found,
        ask: Option<&Ask>,
        first: &Wants,
    ) -> Result<Held, PostgresError> {
        let mut held = Held::default();
        let mut calls = self.beginning(found.number, ask);
        let (askings, more): (Vec<_>, Vec<_>) =
            asked(&self.tables, found.number, first.clone(), &mut held).into_iter().unzip();
        calls.extend(more);
        let mut answers = session.said(&calls)?.into_iter();
        self.take_beginning(&mut held, found, ask, answers.next(), answers.next())?;
        for (asking, rows) in askings.into_iter().zip(answers) {
            take(&mut held, &self.schema, asking, &rows)?;
        }
        Ok(held)
    }

    /// Which schema is served, whether the bunch was answered before, and how far everything is.
    fn beginning(&self, account: i64, ask: Option<&Ask>) -> Vec<Call> {
        let (replica, bunch) = recorded(ask);
        vec![self.answer_call(account, replica, bunch), Call::new(&self.own.counters).with(account)]
    }

    fn take_beginning(
        &self,
        held: &mut Held,
        found: Found,
        ask: Option<&Ask>,
        answer: Option<Vec<Row>>,
        counters: Option<Vec<Row>>,
    ) -> Result<(), PostgresError> {
        let answer = answer.unwrap_or_default();
        let served: i64 = match answer.first() {
            Some(row) => get(row, 0)?,
            None => return Err(PostgresError::damaged("the layout", "it is empty")),
        };
        let writes = match ask {
            None | Some(Ask::Deliver { .. }) => true,
            Some(Ask::Changes { .. } | Ask::Triggers { .. } | Ask::Reads { .. } | Ask::LiveSets { .. }) => {
                false
            }
        };
        if writes && served != self.served {
            return Err(PostgresError::OtherSchema);
        }
        held.answers.insert(recorded(ask), self.answer_of(&answer)?);
        (held.last_trigger, held.triggers_from) = (found.last_trigger, found.triggers_from);
        for row in counters.unwrap_or_default() {
            let number: i32 = get(&row, 0)?;
            // Another server may have made it; here it is not served.
            let Some(collection) = self.tables.names.get(&number) else { continue };
            held.counters.insert(collection.clone(), counter(&row)?);
        }
        Ok(())
    }

    pub(super) fn answer_call(&self, account: i64, replica: ReplicaId, bunch: BunchNumber) -> Call {
        Call::new(&self.own.answer).with(account).with(replica.0).with(bunch.0.cast_signed())
    }

    /// The recorded answer, if there is one.
    pub(super) fn answer_of(&self, rows: &[Row]) -> Result<Option<(Digest, Outcomes)>, PostgresError> {
        let Some(row) = rows.first() else { return Ok(None) };
        let (digest, outcomes): (Option<&[u8]>, Option<&str>) = (get(row, 1)?, get(row, 2)?);
        let Some((digest, outcomes)) = digest.zip(outcomes) else { return Ok(None) };
        let damaged = |why: String| PostgresError::damaged("a recorded answer", why);
        let digest = <[u8; 32]>::try_from(digest).map_err(|error| damaged(error.to_string()))?;
        let outcomes = Outcomes::from_line(outcomes).map_err(|error| damaged(error.to_string()))?;
        Ok(Some((Digest(digest), outcomes)))
    }

    fn store<'a>(
        &'a self,
        account: &Account,
        session: Session<'a>,
        found: Found,
        held: Held,
    ) -> PostgresStore<'a> {
        self.note(account, found.number);
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

fn found_in(rows: Option<&Vec<Row>>) -> Result<Option<Found>, PostgresError> {
    let Some(row) = rows.and_then(|rows| rows.first()) else { return Ok(None) };
    Ok(Some(Found {
        number: get(row, 0)?,
        generation: Generation(get(row, 1)?),
        last_trigger: uncounted("a trigger's index", get(row, 2)?)?,
        triggers_from: uncounted("a trigger's index", get(row, 3)?)?,
    }))
}

fn counter(row: &Row) -> Result<Counter, PostgresError> {
    let damaged = |why: String| PostgresError::damaged("a live set's sum", why);
    let sum: &[u8] = get(row, 4)?;
    let sum = <[u8; 32]>::try_from(sum).map_err(|error| damaged(error.to_string()))?;
    let count = uncounted("a number of entities", get(row, 3)?)?;
    Ok(Counter {
        live: LiveSet { count, sum: Digest(sum) },
        last: Epoch(uncounted("an epoch", get(row, 1)?)?),
        floor: Epoch(uncounted("an epoch", get(row, 2)?)?),
    })
}
