//! The clients and the authority by exhaustion: every order in which two clients' operations on one entity, their
//! questions and the answers can come, with `stateright`, over the real code.
//!
//! | what is explored | operations | the entity before |
//! |---|---|---|
//! | two operations each, no faults | one client: update of a field, delete; the other also of another field | live |
//! | the same, with `FOLDLOG_MODEL_ALL` set (a matter of many minutes) | create, update of a field or another, delete | absent, live, dead |
//! | one operation each, one answer or bunch that is lost or late, one crash | create, update of a field or another, delete | absent, live, dead |
//!
//! Each for `LastOperation` and `FirstToAuthority`. What one entity cannot show: a cursor that passes over a row, as
//! every answer to a bunch tells how the entity stands; and pages that come late, as a client asks one thing at a time.
//!
//! Every state is an end: from each one, writes and faults stop, both clients sync twice, and then the laws must hold
//! ([`rest`]). This says more than that the paths lead to an end which is good, and it holds for the states on a circle
//! (a client may ask for changes for ever), which `eventually` would not look at.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

mod authority;
mod client;
mod model;
mod rest;
mod table;

use std::time::Instant;

use client::What;
use foldlog::algebra::Policy;
use model::{Bounds, CONVERGES, Clash, KEEPS, SEEN, Start};
use stateright::{Checker, HasDiscoveries, Model};

const STARTS: &[Start] = &[Start::Absent, Start::Live, Start::Dead];

/// Explores all there is and says how much that was; fewer states than `floor` are too few to be all.
fn explore(bounds: Bounds, floor: usize) {
    let begun = Instant::now();
    let checker =
        Clash::new(bounds).checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let model = checker.model();
    println!(
        "{bounds:?}: {} states ({} with those met again), depth {}, of {} clients and {} authorities, {} ends, {:?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        model.clients.all.len(),
        model.authorities.all.len(),
        model.rests.len(),
        begun.elapsed(),
    );
    for law in [SEEN, CONVERGES, KEEPS] {
        if let Some(path) = checker.discovery(law) {
            let end = path.last_state().clone();
            let wrong = end.clients.map(|client| model.clients.get(client).wrong.clone());
            panic!("{law}: {:?}\n{wrong:?} {:?}", path.into_actions(), model.rested(&end));
        }
    }
    checker.assert_properties();
    assert!(checker.unique_state_count() >= floor, "so few states cannot be all");
}

/// Two operations each. Where all is asked for: whatever they are and whatever was there before.
fn without_faults(policy: Policy) -> Bounds {
    let (starts, whats): (_, [&'static [What]; 2]) = match std::env::var_os("FOLDLOG_MODEL_ALL") {
        Some(_) => (STARTS, [&What::ALL; 2]),
        None => {
            (&STARTS[1..2], [&[What::UpdateA, What::Delete], &[What::UpdateA, What::UpdateB, What::Delete]])
        }
    };
    Bounds { policy, starts, whats, operations: 2, given_up: 0, crashes: 0 }
}

/// Whatever single operations they carry out, and whatever was there before.
fn with_faults(policy: Policy) -> Bounds {
    Bounds { policy, starts: STARTS, whats: [&What::ALL; 2], operations: 1, given_up: 1, crashes: 1 }
}

#[test]
fn two_clients_agree_and_lose_nothing_where_the_last_operation_counts() {
    explore(without_faults(Policy::LastOperation), 100_000);
}

#[test]
fn two_clients_agree_and_lose_nothing_where_the_first_to_the_authority_counts() {
    explore(without_faults(Policy::FirstToAuthority), 90_000);
}

#[test]
fn a_lost_answer_and_a_crash_change_nothing_where_the_last_operation_counts() {
    explore(with_faults(Policy::LastOperation), 50_000);
}

#[test]
fn a_lost_answer_and_a_crash_change_nothing_where_the_first_to_the_authority_counts() {
    explore(with_faults(Policy::FirstToAuthority), 50_000);
}
