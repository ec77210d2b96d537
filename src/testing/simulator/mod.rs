//! The simulator: clients, an authority, and a network that loses, doubles, delays and reorders; all of it from one
//! number.
//!
//! A seed gives a list of [`Action`]s, and playing the list depends on nothing else, so a list that fails can be cut
//! down, action by action, and stays a failure; as [lines](Given::to_lines) it is kept, and played again with every test.
//! After every action the client that took part is looked at; at the end the network is good for a while, and the laws
//! must hold:
//!
//! | law | what is looked at |
//! |---|---|
//! | visible = base ⊕ sealed ⊕ parked or held ⊕ pending | [`check`](crate::replica::Replica::check), after every action |
//! | 8 principles | by convergence: what every client sees is what the authority's rules made of the operations |
//! | 9 convergence | after two syncs each, authority and clients see the same live set, parked and held aside |
//! | statuses | all 0, parked and held aside |
//! | 10 nothing lost | every value that was written is live, or was overwritten by somebody who saw it, or is kept |
//! | nothing acknowledged is lost | what a client was told is accepted is there, or something later is |
//!
//! Faults: lost, doubled, late and reordered messages; answers lost after they were applied; partitions; crashes on a
//! storage that keeps an arbitrary part of what was not synced; files that are copied and go on twice; an authority
//! that is restored from a backup; clocks that are years off and run backwards.
//!
//! The authority is one in memory, a call away, or whatever a [`Remote`] stands for: a server behind a real network, with
//! faults of its own. Then a seed is no longer the same world every time.

mod acknowledged;
mod action;
mod brief;
mod end;
mod kept;
mod remote;
mod setting;
mod world;

pub use acknowledged::Acknowledged;
pub use action::{Action, Given, given};
pub use end::{Lived, come_to_rest};
pub use remote::Remote;
pub use setting::entity;
pub use world::{Simulated, simulate, simulate_on};

use super::laws::Violation;

/// Simulates a seed; what fails is cut down to the actions that it takes.
///
/// # Errors
/// The violation, with the actions that are left.
pub fn simulate_seed(
    seed: u64,
    clients: usize,
    actions: usize,
) -> Result<Simulated, Box<(Violation, Given)>> {
    let given = given(seed, clients, actions);
    simulate(&given).map_err(|violation| Box::new(shrunk(given, violation)))
}

/// Leaves actions out, in ever smaller runs, while the same law is still broken.
fn shrunk(mut given: Given, mut violation: Violation) -> (Violation, Given) {
    let mut length = given.actions.len().div_ceil(2);
    while length > 0 {
        let mut from = 0;
        while from < given.actions.len() {
            let mut fewer = given.clone();
            let to = (from + length).min(fewer.actions.len());
            fewer.actions.drain(from..to);
            match simulate(&fewer) {
                Err(again) if again.law == violation.law => (given, violation) = (fewer, again),
                Ok(_) | Err(_) => from += length,
            }
        }
        length /= 2;
    }
    (violation, given)
}
