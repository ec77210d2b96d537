//! Deliveries: each is taken by the rules by itself, and those that come together share one transaction.
//!
//! What a delivery does is kept beside the tables until it is done, and written then. So one that fails (what it reads
//! is damaged) leaves nothing and spoils no other one; where the engine fails, all of them do.

use redb::ReadableTable;
use uuid::Uuid;

use super::FileAuthority;
use super::held::Held;
use super::one::One;
use super::tables::{Bytes, Tables, WriteTable};
use crate::algebra::{Answer, Ask, Generation, Millis, Planned, Schema};
use crate::authority::accounts::refusal;
use crate::authority::{Account, Error, Rules, answer};
use crate::codec::accounts::AccountRecord;
use crate::storage::commit::{self, Turn};

/// What one client asks, while another one's delivery is written.
#[derive(Debug)]
pub(super) struct Asked {
    account: Account,
    now: Millis,
    ask: Ask,
}

/// Those who wait for a transaction.
pub(super) type Queue = commit::Queue<Asked, Result<Answer, Error>>;

type Lead<'q> = commit::Lead<'q, Asked, Result<Answer, Error>>;

pub(super) fn queue() -> Queue {
    Queue::new(fell_with)
}

/// What those are told whose transaction another one's failure took with it.
fn fell_with<T>() -> Result<T, Error> {
    Err(Error::Store { source: "the transaction that this was to be part of failed".into() })
}

impl FileAuthority {
    /// Answers in a transaction that may write.
    pub(super) fn answer_writing(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error> {
        let waiting = || Asked { account: account.clone(), now, ask: ask.clone() };
        match self.queue.join(waiting) {
            Turn::Lead(lead) => self.lead(lead, Some((account, now, ask))).unwrap_or_else(fell_with),
            Turn::Follow(request) => {
                if let Some(lead) = self.queue.follow(&request) {
                    self.lead(lead, None);
                }
                self.queue.answer_of(&request)
            }
        }
    }

    /// Answers the leader's own ask and those of all who wait, in one transaction; gives the answer to the own one.
    fn lead(&self, lead: Lead<'_>, own: Option<(&Account, Millis, &Ask)>) -> Option<Result<Answer, Error>> {
        let taken = lead.taken.iter().map(|request| &request.work);
        let taken = taken.map(|Asked { account, now, ask }| (account, *now, ask));
        let asked: Vec<(&Account, Millis, &Ask)> = own.into_iter().chain(taken).collect();
        let answered = self.handle.write(|tables| {
            let mut has_written = false;
            let mut answers = Vec::with_capacity(asked.len());
            for (account, now, ask) in &asked {
                answers.push(match decide(tables, &self.schema, account, *now, ask) {
                    Ok((answer, held)) => {
                        has_written |= held.write(tables, self.triggers_max)?;
                        Ok(answer)
                    }
                    Err(error @ (Error::Store { .. } | Error::Corrupted { .. })) => return Err(error),
                    Err(error) => Err(error),
                });
            }
            Ok((answers, has_written))
        });
        let mut answers = match answered {
            Ok(answers) => answers.into_iter(),
            Err(error) => {
                // One error, told to each: the first in full, the others as what it means for them.
                let first = std::iter::once(Err(error));
                first.chain(asked.iter().skip(1).map(|_| fell_with())).collect::<Vec<_>>().into_iter()
            }
        };
        let answer = own.and_then(|_| answers.next());
        for (request, answer) in lead.taken.iter().zip(answers) {
            request.answer(answer);
        }
        drop(lead);
        answer
    }
}

/// What the rules say, and what is to be written for it.
fn decide(
    tables: &mut Tables<WriteTable<'_>>,
    schema: &Schema,
    account: &Account,
    now: Millis,
    ask: &Ask,
) -> Result<(Answer, Held), Error> {
    let held = match find(tables, account)? {
        Some(held) => held,
        None => made(tables, account, Generation(Uuid::new_v4()))?,
    };
    let mut one = One::new(tables, schema, held);
    let answer = said(&mut one, now, ask)?;
    Ok((answer, one.held.into_inner()))
}

/// An account that is there.
pub(super) fn find<T: ReadableTable<Bytes, Bytes>>(
    tables: &Tables<T>,
    account: &Account,
) -> Result<Option<Held>, Error> {
    Ok(tables.account(account.as_str())?.map(|record| Held::new(account.clone(), record)))
}

/// A new account. Its number is written at once, so that no other one gets it; the account is with what it holds.
pub(super) fn made(
    tables: &mut Tables<WriteTable<'_>>,
    account: &Account,
    generation: Generation,
) -> Result<Held, Error> {
    let mut identity = tables.identity()?;
    let record = AccountRecord {
        number: identity.next_account,
        generation: generation.0.into_bytes(),
        last_trigger: 0,
        triggers_from: 0,
        next_collection: 1,
    };
    identity.next_account += 1;
    tables.put_identity(&identity)?;
    Ok(Held { has_changed: true, ..Held::new(account.clone(), record) })
}

/// What the rules say to an ask.
pub(super) fn said<T: ReadableTable<Bytes, Bytes>>(
    one: &mut One<'_, T>,
    now: Millis,
    ask: &Ask,
) -> Result<Answer, Error> {
    let schema = one.schema;
    let refuses = |planned: &Planned| refusal(schema, planned);
    answer(one, &Rules { schema, now, refuses: &refuses }, ask)
}
