//! The end that every state leads to: what was asked is answered, writes and faults stop, both clients sync twice, and
//! the laws are looked at.
//!
//! | law | what must be true then |
//! |---|---|
//! | 9 convergence | both clients see what the authority holds, all is synchronised, nothing is unsent, whoever begins; a bunch that comes late after that changes nothing |
//! | 10 nothing lost | a value that was written is live, or a client keeps it (parked, held, in its conflict record), or an operation replaced it whose maker saw it |
//! | the same of what gave way | an operation that the policy decided against replaced nothing: a value that the authority held, and that only such operations replaced, is live or kept |
//! | the same of a delete | one that its client does not take back, of what is live in the end and never was deleted at the authority, is in that client's conflict record |

use std::collections::BTreeSet;

use foldlog::replica::Status;
use foldlog::testing::values::{Token, tokens};

use super::client::{Input, entity};
use super::model::{Clash, World};

/// Two clients and their authority.
pub(crate) type Three = ([u32; 2], u32);

/// What was found at the end.
#[derive(Debug, Default)]
pub(crate) struct Rested {
    /// Against law 9.
    pub(crate) apart: Vec<String>,
    /// Against law 10.
    pub(crate) lost: Vec<String>,
}

/// So many questions are more than one sync of one entity has.
const QUESTIONS_MAX: usize = 20;

pub(crate) fn rested(model: &Clash, world: &World) -> Rested {
    let mut found = Rested::default();
    let at = (world.clients, world.authority);
    for order in [[0, 1], [1, 0]] {
        let mut end = at;
        for which in order.into_iter().chain(order) {
            end = synced(model, end, which);
        }
        look(model, end, &mut found);
        let mut late = end;
        for (which, ask) in &world.late {
            late.1 = model.authorities.after(late.1, *which, *ask, &model.clients).0;
        }
        for which in order {
            late = synced(model, late, which);
        }
        let live = |three: Three| model.authorities.get(three.1).live.clone();
        if late != end && (late.0 != end.0 || live(late) != live(end)) {
            found.apart.push(format!("{:?} became {:?} by what came late", live(end), live(late)));
        }
    }
    found
}

/// One sync: what is open, then what changed elsewhere, then what is pending.
pub(crate) fn synced(model: &Clash, mut at: Three, which: usize) -> Three {
    let mut is_down = true;
    for _ in 0..QUESTIONS_MAX {
        let pull = model.clients.get(at.0[which]).pull.filter(|_| is_down);
        if pull.is_none() {
            at.0[which] = model.clients.after(at.0[which], Input::Push);
        }
        let asked = model.clients.get(at.0[which]).asked;
        let Some(ask) = pull.or(asked) else { return at };
        let (authority, answer) = model.authorities.after(at.1, which, ask, &model.clients);
        let input = if pull.is_some() { Input::Pull(answer) } else { Input::Take(answer) };
        at.0[which] = model.clients.after(at.0[which], input);
        at.1 = authority;
        is_down &= pull.is_none();
    }
    panic!("client {which} always has more to ask")
}

fn look(model: &Clash, end: Three, found: &mut Rested) {
    let authority = model.authorities.get(end.1);
    let clients = end.0.map(|client| model.clients.get(client));
    let mut there = tokens(&entity(), authority.live.as_ref());
    for client in &clients {
        if client.seen != authority.live {
            let Some(which) = Some(client.which) else { continue };
            found.apart.push(format!("{which} sees {:?}, there is {:?}", client.seen, authority.live));
        }
        if client.status != Status::Synchronised || client.is_unsent || !client.wrong.is_empty() {
            let (status, wrong) = (client.status, &client.wrong);
            found
                .apart
                .push(format!("{} is {status:?}, unsent: {}, {wrong:?}", client.which, client.is_unsent));
        }
        there.extend(client.kept.iter().cloned());
    }
    for client in &clients {
        let missing = client.values.missing(&there);
        let is_replaced = |token: &Token| {
            clients.iter().any(|client| client.values.replaced().any(|(other, _)| other == token))
        };
        found
            .lost
            .extend(missing.iter().filter(|token| !is_replaced(token)).map(|token| format!("{token:?}")));
        let has_record = client.losers.iter().any(|lost| lost.was_delete);
        if client.has_deleted() && authority.live.is_some() && !authority.has_deleted && !has_record {
            found.lost.push(format!("the delete of client {}", client.which));
        }
    }
    let unfounded: BTreeSet<&Token> = authority.held.difference(&there).collect();
    for token in unfounded {
        let stands = clients.iter().any(|client| {
            client.values.replaced().any(|(other, by)| other == token && client.stands(token, by))
        });
        if !stands {
            found.lost.push(format!("{token:?}, which only operations replaced that gave way"));
        }
    }
}
