//! What happens in a simulation, as data.

use serde::{Deserialize, Serialize};

use super::setting::schema;
use crate::algebra::{Policy, Schema};
use crate::workload::random::Random;

/// One thing that happens. Numbers point at "the n-th of what is there", counted round and round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// A client's program changes an entity.
    Operate {
        /// Which client.
        client: u64,
        /// Which entity.
        entity: u64,
        /// What it does, and to which fields.
        what: u64,
    },
    /// A client does what its engine says next.
    Tick {
        /// Which client.
        client: u64,
        /// What is wanted of it before.
        want: u64,
    },
    /// A message arrives.
    Arrive {
        /// Which of those on the way.
        message: u64,
    },
    /// A message is lost.
    Lose {
        /// Which of those on the way.
        message: u64,
    },
    /// A message is on its way twice.
    Double {
        /// Which of those on the way.
        message: u64,
    },
    /// A client gives up waiting for an answer.
    GiveUp {
        /// Which client.
        client: u64,
    },
    /// New triggers reach a client; some are lost.
    Hear {
        /// Which client.
        client: u64,
        /// The n-th bit: those with an index of n modulo 8 are lost.
        lost: u64,
    },
    /// A client's process dies.
    Crash {
        /// Which client.
        client: u64,
        /// What of the writes that were not synced is there afterwards.
        seed: u64,
    },
    /// A client's file is copied, and a new client goes on with the copy.
    Copy {
        /// Which client.
        client: u64,
    },
    /// The authority's data are copied.
    Backup,
    /// The authority goes on with the last copy of its data.
    Restore,
    /// The authority forgets old tombstones.
    Prune,
    /// The authority will refuse the next operation on an entity.
    Refuse {
        /// Which entity.
        entity: u64,
    },
    /// A conflict is resolved.
    Resolve {
        /// Which client.
        client: u64,
        /// Which of its conflicts.
        conflict: u64,
        /// How.
        how: u64,
    },
    /// What is parked goes out again.
    Retry {
        /// Which client.
        client: u64,
        /// Which of what is parked.
        parked: u64,
    },
    /// A client takes back what it did to an entity and did not send.
    Undo {
        /// Which client.
        client: u64,
        /// Which entity.
        entity: u64,
    },
    /// Time passes.
    Wait {
        /// So many ms.
        ms: u64,
    },
    /// A client's clock is set.
    SetClock {
        /// Which client.
        client: u64,
        /// How far from the true time: ten years behind at 0, ten years ahead at the largest.
        to: u64,
    },
}

/// Everything that a simulation depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The seed it came from.
    pub seed: u64,
    /// How many clients there are at first.
    pub clients: usize,
    /// The policies of its three collections.
    pub policies: [Policy; 3],
    /// What happens.
    pub actions: Vec<Action>,
}

impl Given {
    /// The schema of the simulation's clients and its authority.
    #[must_use]
    pub fn schema(&self) -> Schema {
        schema(self.policies)
    }
}

/// The simulation of a seed.
#[must_use]
pub fn given(seed: u64, clients: usize, actions: usize) -> Given {
    let mut random = Random::new(seed);
    let all = [Policy::LastOperation, Policy::FirstToAuthority, Policy::Newest, Policy::Manual];
    // Half of the worlds have one policy for all, as most programs do.
    let first = random.below(4);
    let is_mixed = random.below(2) == 0;
    let mut policy = || {
        let number = if is_mixed { random.below(4) } else { first };
        usize::try_from(number).ok().and_then(|place| all.get(place)).copied().unwrap_or_default()
    };
    let policies = [policy(), policy(), policy()];
    // Rare things are rare, and not in every world.
    let (copies, restores, prunes) = (random.below(3) == 0, random.below(4) == 0, random.below(4) == 0);
    let (loss, doubling) = (random.below(31), random.below(51));
    let actions =
        (0..actions).map(|_| action(&mut random, copies, restores, prunes, loss, doubling)).collect();
    Given { seed, clients, policies, actions }
}

fn action(
    random: &mut Random,
    copies: bool,
    restores: bool,
    prunes: bool,
    loss: u64,
    doubling: u64,
) -> Action {
    let client = random.next();
    match random.below(1000) {
        0..=249 => Action::Operate { client, entity: random.next(), what: random.next() },
        250..=549 => Action::Tick { client, want: random.next() },
        550..=799 => match random.below(100) {
            share if share < loss => Action::Lose { message: random.next() },
            share if share < loss + doubling / 2 => Action::Double { message: random.next() },
            _ => Action::Arrive { message: random.next() },
        },
        800..=849 => Action::GiveUp { client },
        850..=889 => Action::Hear { client, lost: random.next() & random.next() },
        890..=914 => Action::Crash { client, seed: random.next() },
        915..=929 => Action::Wait { ms: random.below(20_000) },
        930..=934 => Action::Undo { client, entity: random.next() },
        935..=949 => Action::SetClock { client, to: random.next() },
        950..=964 => Action::Refuse { entity: random.next() },
        965..=979 => Action::Resolve { client, conflict: random.next(), how: random.next() },
        980..=987 => Action::Retry { client, parked: random.next() },
        988..=990 if copies => Action::Copy { client },
        991..=993 if restores => Action::Backup,
        994..=995 if restores => Action::Restore,
        996..=997 if prunes => Action::Prune,
        _ => Action::Wait { ms: random.below(1_000) },
    }
}
