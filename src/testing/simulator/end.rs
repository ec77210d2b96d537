//! The end of every simulation: all comes to rest, and the laws are looked at.

use std::collections::BTreeSet;

use super::acknowledged::Acknowledged;
use super::brief::{brief_answer, brief_ask, brief_taken};
use super::remote::Remote;
use super::setting::entity;
use super::world::{Simulated, World, failed, live};
use crate::algebra::{Answer, EntityKey, Millis, Policy};
use crate::replica::{self, Status};
use crate::sync::{self, Engine, Next, Want};
use crate::testing::laws::{Violation, require};
use crate::testing::values::{Token, Values, kept, tokens};

/// Clients that lived through something else than a simulation, and what is known of that.
#[derive(Debug, Default)]
pub struct Lived {
    /// The policies of the three collections.
    pub policies: [Policy; 3],
    /// The clients; nobody else uses them any more. Of the simulation's [entities](super::entity) they know no others.
    pub clients: Vec<Engine>,
    /// What was written, and what became of it so far.
    pub values: Values,
    /// What they were told is accepted.
    pub acknowledged: Acknowledged,
    /// How late it is, in ms since the Unix epoch.
    pub now: u64,
}

/// Brings clients to the end of a simulation: all comes to rest, and the laws are looked at.
///
/// # Errors
/// The first law that does not hold.
pub fn come_to_rest(lived: Lived, remote: &mut dyn Remote) -> Result<Simulated, Violation> {
    let mut world = World::of(lived, remote)?;
    world.settle_down()?;
    world.finish()
}

impl World<'_> {
    /// The network is good and nobody writes: every client syncs, twice.
    pub(super) fn settle_down(&mut self) -> Result<(), Violation> {
        self.messages.clear();
        self.remote.be_calm(true)?;
        for round in 0..3 {
            for place in 0..self.clients.len() {
                // The first round answers what is open, which may be from before a restore.
                self.sync(place, if round == 0 { Want::default() } else { Want::SYNC })?;
                self.look_at(place)?;
                let client = self.client(place)?;
                client.was_aside.extend(
                    client.engine.replica().undecided().map_err(|error| failed("reading")(error.into()))?,
                );
            }
        }
        // What the last ones sent reaches the first ones.
        for place in 0..self.clients.len() {
            self.sync(place, Want { compare: true, ..Want::DOWN })?;
            self.look_at(place)?;
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, place: usize, want: Want) -> Result<(), Violation> {
        let client = self.client(place)?;
        client.engine.online().map_err(failed("coming online"))?;
        client.engine.want_only(want);
        for _ in 0..1_000 {
            self.now += 10;
            let now = Millis(self.now);
            let client = self.client(place)?;
            let Next::Ask(request) = client.engine.next(now).map_err(failed("going on"))? else {
                return Ok(());
            };
            let answer = self.answered(place, &request.ask)?;
            require("convergence", !matches!(answer, Answer::Offline | Answer::Busy { .. }), || {
                format!("nothing is in the way, and client {place} is answered {answer:?}")
            })?;
            self.acknowledge(place, &answer)?;
            let random = u128::from(self.now) | 1 << 100;
            let client = self.client(place)?;
            let shown = brief_answer(&answer);
            let taken = client.engine.answer(request.number, answer, now, random);
            self.done.renamed += u64::from(matches!(taken, Ok(sync::Taken::Renamed(_))));
            self.done.anew += u64::from(matches!(taken, Ok(sync::Taken::StartsOver)));
            if let Ok(sync::Taken::Compared(compared)) = &taken {
                require("convergence", *compared == sync::Compared::default(), || {
                    format!("client {place} does not hold what it fetched: {compared:?}")
                })?;
            }
            let (asked, took) = (brief_ask(&request.ask), brief_taken(&taken));
            self.account.push(format!("client {place} asked {asked}; answered {shown}; took: {took}"));
            taken
                .map_err(|error| Violation { law: "taking an answer", found: format!("{error}: {shown}") })?;
        }
        let found = format!("client {place} always has more to ask");
        Err(Violation { law: "convergence", found })
    }

    /// The laws, at the end.
    pub(super) fn finish(&mut self) -> Result<Simulated, Violation> {
        let wrong = |error: replica::Error| Violation { law: "reading", found: error.to_string() };
        let rows = self.remote.rows()?;
        self.acknowledged.check(&rows, self.is_pruned)?;
        let there = live(rows);
        let mut found: BTreeSet<Token> =
            there.iter().flat_map(|(key, state)| tokens(key, Some(state))).collect();
        for client in &self.clients {
            let replica = client.engine.replica();
            let mut aside = replica.undecided().map_err(wrong)?;
            aside.extend(client.was_aside.iter().cloned());
            for number in 0..9 {
                let key = entity(number);
                let seen = replica.get(&key).map_err(wrong)?;
                if aside.contains(&key) {
                    continue;
                }
                require("convergence", seen.as_ref() == there.get(&key), || {
                    format!(
                        "{} sees {seen:?} of {key}, the authority holds {:?}",
                        client.name,
                        there.get(&key)
                    )
                })?;
                let status = replica.entity(&key).map_err(wrong)?.status;
                require("statuses", status == Status::Synchronised, || {
                    format!("{}: {key} is {status:?}", client.name)
                })?;
            }
            self.done.lost += replica.losers().map_err(wrong)?.len() as u64;
            let all: Vec<EntityKey> = (0..9).map(entity).collect();
            found.extend(kept(replica, &all).map_err(wrong)?);
        }
        let missing = self.values.missing(&found);
        require("nothing lost", missing.is_empty(), || format!("{missing:?} are nowhere"))?;
        let mut hasher = blake3::Hasher::new();
        for (key, state) in &there {
            hasher.update(key.to_string().as_bytes());
            hasher.update(state.as_json().as_bytes());
        }
        let hash: [u8; 32] = *hasher.finalize().as_bytes();
        self.done.digest = hash.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok(self.done)
    }
}
