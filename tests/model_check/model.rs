//! The model: two clients, one authority, what is on the way between them, and everything that may come next.
//!
//! What happens at one place is in no order with what happens at another. So of orders that differ in nothing else one is
//! taken:
//!
//! | step | why it is one |
//! |---|---|
//! | a pull: question, page, taking it | asking writes nothing, and the page is what the authority held when it was asked; an operation of the client's in between could as well come first, whatever others do could as well come after |
//! | without faults also: seal, send, arrive | the client's own operations in between do not go with the bunch, so they could as well come after |

use std::sync::Arc;

use foldlog::algebra::{Collection, CollectionName, Policy, Schema};
use foldlog::replica::{Side, Why};
use stateright::{Model, Property};

use super::authority::Authorities;
use super::client::{Clients, Input, What};
use super::rest::{self, Rested};
use super::table::Memo;

/// What the entity is before the clients begin; both know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Start {
    Absent,
    Live,
    Dead,
}

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) policy: Policy,
    pub(crate) starts: &'static [Start],
    /// What each client may do.
    pub(crate) whats: [&'static [What]; 2],
    /// How many operations each client carries out, at most.
    pub(crate) operations: usize,
    /// How often a client gives up waiting for an answer.
    pub(crate) given_up: u8,
    /// How often a client crashes.
    pub(crate) crashes: u8,
}

impl Bounds {
    fn has_faults(&self) -> bool {
        self.given_up > 0 || self.crashes > 0
    }
}

/// A state: everything in it is a number in a table, by which it is told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) clients: [u32; 2],
    pub(crate) authority: u32,
    /// The answers on the way.
    pub(crate) answers: [Option<u32>; 2],
    /// Bunches on the way of which nobody waits for the answer any more.
    pub(crate) late: Vec<(usize, u32)>,
    given_up: u8,
    crashes: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Operate(usize, What),
    /// A client asks what changed elsewhere, and is answered.
    Pull(usize),
    /// A client seals what there is, and sends it.
    Push(usize),
    /// What it sent arrives, and the answer is on its way.
    Arrive(usize),
    /// The answer arrives.
    Answer(usize),
    /// A client waits no longer: what it sent may still arrive, the answer will not.
    GiveUp(usize),
    Crash(usize),
    /// A bunch arrives whose answer nobody waits for.
    ArriveLate(usize),
}

pub(crate) struct Clash {
    pub(crate) bounds: Bounds,
    pub(crate) clients: Clients,
    pub(crate) authorities: Authorities,
    pub(crate) rests: Memo<World, Arc<Rested>>,
}

impl Clash {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let notes = Collection::new().with_policy(bounds.policy);
        let schema = Schema::new([(CollectionName::new("notes").unwrap(), notes)]).unwrap();
        let (clients, authorities) = (Clients::new(schema.clone()), Authorities::new(schema));
        Clash { bounds, clients, authorities, rests: Memo::new() }
    }

    fn start(&self, start: Start) -> World {
        let mut at = ([self.clients.first(0), self.clients.first(1)], self.authorities.first());
        let whats: &[What] = match start {
            Start::Absent => &[],
            Start::Live => &[What::Create],
            Start::Dead => &[What::Create, What::Delete],
        };
        for what in whats {
            at = rest::synced(self, at, 0);
            at.0[0] = self.clients.after(at.0[0], Input::Prepare(*what));
            at = rest::synced(self, at, 0);
        }
        let (clients, authority) = rest::synced(self, rest::synced(self, at, 1), 0);
        World {
            clients,
            authority: self.authorities.root(authority),
            answers: [None, None],
            late: Vec::new(),
            given_up: 0,
            crashes: 0,
        }
    }

    /// A client stops waiting: what it sent is on its way, unless it was answered already.
    fn forget(&self, world: &mut World, which: usize) {
        let asked = self.clients.get(world.clients[which]).asked;
        let answered = world.answers[which].take();
        if let (Some(ask), None) = (asked, answered) {
            world.late.push((which, ask));
            world.late.sort_unstable();
        }
    }

    pub(crate) fn rested(&self, world: &World) -> Arc<Rested> {
        // Where somebody waits for an answer it comes, or does not: the states after that are looked at.
        if world.clients.iter().any(|client| self.clients.get(*client).asked.is_some()) {
            return Arc::default();
        }
        let spent = World { given_up: 0, crashes: 0, ..world.clone() };
        self.rests.get(spent, |world| Arc::new(rest::rested(self, world)))
    }
}

impl Model for Clash {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        self.bounds.starts.iter().map(|start| self.start(*start)).collect()
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for (which, client) in world.clients.iter().enumerate() {
            let client = self.clients.get(*client);
            if client.done.len() < self.bounds.operations {
                let whats = self.bounds.whats[which];
                events.extend(whats.iter().map(|what| Event::Operate(which, *what)));
            }
            match (client.asked, world.answers[which]) {
                (None, _) => events.extend([Event::Pull(which), Event::Push(which)]),
                (Some(_), None) => events.push(Event::Arrive(which)),
                (Some(_), Some(_)) => events.push(Event::Answer(which)),
            }
            if client.asked.is_some() && world.given_up < self.bounds.given_up {
                events.push(Event::GiveUp(which));
            }
            if world.crashes < self.bounds.crashes {
                events.push(Event::Crash(which));
            }
        }
        events.extend((0..world.late.len()).map(Event::ArriveLate));
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        match event {
            Event::Operate(which, what) => self.put(&mut next, which, Input::Operate(what)),
            Event::Pull(which) => {
                let ask = self.clients.get(world.clients[which]).pull?;
                let (_, answer) = self.authorities.after(world.authority, which, ask, &self.clients);
                self.put(&mut next, which, Input::Pull(answer));
            }
            Event::Push(which) => {
                self.put(&mut next, which, Input::Push);
                if !self.bounds.has_faults() {
                    self.arrive(&mut next, which);
                }
            }
            Event::Arrive(which) => self.arrive(&mut next, which),
            Event::Answer(which) => {
                let answer = next.answers[which].take()?;
                self.put(&mut next, which, Input::Take(answer));
            }
            Event::GiveUp(which) => {
                self.forget(&mut next, which);
                self.put(&mut next, which, Input::GiveUp);
                next.given_up += 1;
            }
            Event::Crash(which) => {
                self.forget(&mut next, which);
                self.put(&mut next, which, Input::Crash);
                next.crashes += 1;
            }
            Event::ArriveLate(place) => {
                let (which, ask) = next.late.remove(place);
                next.authority = self.authorities.after(world.authority, which, ask, &self.clients).0;
            }
        }
        // Asking where there is nothing to ask leads nowhere.
        Some(next).filter(|next| next != world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(SEEN, |model: &Clash, world: &World| {
                world.clients.iter().all(|client| model.clients.get(*client).wrong.is_empty())
            }),
            Property::always(CONVERGES, |model: &Clash, world: &World| model.rested(world).apart.is_empty()),
            Property::always(KEEPS, |model: &Clash, world: &World| model.rested(world).lost.is_empty()),
            Property::sometimes("all is done and at rest", |model: &Clash, world: &World| {
                world.clients.iter().all(|client| {
                    let client = model.clients.get(*client);
                    client.done.len() == model.bounds.operations
                        && !client.is_unsent
                        && client.asked.is_none()
                })
            }),
            Property::sometimes("the policy decides for the other side", |model: &Clash, world: &World| {
                model.lost(world, &|lost| lost.side == Side::Local && lost.why == Why::Policy)
            }),
            Property::sometimes("a delete gives way", |model: &Clash, world: &World| {
                model.lost(world, &|lost| lost.was_delete)
            }),
        ];
        if self.bounds.whats.iter().all(|whats| whats.contains(&What::Create)) {
            properties.push(Property::sometimes("both create", |model: &Clash, world: &World| {
                let mut clients = world.clients.iter().map(|client| model.clients.get(*client));
                clients.all(|client| client.done.first() == Some(&What::Create) && !client.is_unsent)
            }));
        }
        if self.bounds.policy == Policy::LastOperation {
            properties.push(Property::sometimes(
                "an unseen value is overwritten",
                |model: &Clash, world: &World| {
                    model.lost(world, &|lost| lost.side == Side::Remote && lost.why == Why::Overwritten)
                },
            ));
        }
        if self.bounds.given_up > 0 {
            properties.push(Property::sometimes("an answered bunch is asked again", Clash::asks_again));
            properties.push(Property::sometimes(
                "an answered bunch is late",
                |model: &Clash, world: &World| {
                    !world.late.is_empty()
                        && world.clients.iter().all(|client| !model.clients.get(*client).is_unsent)
                },
            ));
        }
        if self.bounds.crashes > 0 {
            properties.push(Property::sometimes(
                "a crash with an answer on its way",
                |model: &Clash, world: &World| {
                    world.crashes > 0 && world.given_up == 0 && model.asks_again(world)
                },
            ));
        }
        properties
    }
}

pub(crate) const SEEN: &str = "what is seen is the base and what is unsent, and a crash takes nothing of it";
pub(crate) const CONVERGES: &str = "after two syncs each all see the same, and nothing is left to send";
pub(crate) const KEEPS: &str = "nothing is lost";

impl Clash {
    /// What a client sent arrives, if it sent anything.
    fn arrive(&self, world: &mut World, which: usize) {
        let Some(ask) = self.clients.get(world.clients[which]).asked else { return };
        let (authority, answer) = self.authorities.after(world.authority, which, ask, &self.clients);
        world.authority = authority;
        world.answers[which] = Some(answer);
    }

    fn put(&self, world: &mut World, which: usize, input: Input) {
        world.clients[which] = self.clients.after(world.clients[which], input);
    }

    /// Whether a client delivers what the authority has answered before.
    fn asks_again(&self, world: &World) -> bool {
        let answered = &self.authorities.get(world.authority).answered;
        world.clients.iter().enumerate().any(|(which, client)| {
            let client = self.clients.get(*client);
            let open = client.open.filter(|_| client.asked.is_some() && world.answers[which].is_none());
            open.is_some_and(|open| answered.contains_key(&(which, open)))
        })
    }

    fn lost(&self, world: &World, is: &dyn Fn(&foldlog::replica::Lost) -> bool) -> bool {
        world.clients.iter().any(|client| self.clients.get(*client).losers.iter().any(is))
    }
}
