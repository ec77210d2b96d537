//! The authority of a simulation, and the way to it: in memory, or whatever a test puts in its place.

use uuid::Uuid;

use super::setting::name;
use crate::algebra::{
    Answer, Ask, Bunch, EntityKey, Epoch, FullRow, Generation, Index, Millis, Outcomes, ReplicaId, Schema,
    Trigger,
};
use crate::authority::{MemoryStore, Store};
use crate::codec::wire::{Reply, Request};
use crate::scenario::Link;
use crate::testing::laws::{Violation, require};

/// An authority, and the way to it. What a client asks may be lost on the way there or back; what the simulation itself
/// wants to know goes another way, which loses nothing.
pub trait Remote {
    /// What comes back when a client asks this: [`Answer::Offline`] where the question or its answer is lost. Nothing of
    /// the question is under way any more when this returns.
    ///
    /// # Errors
    /// What no authority answers, and no way there brings about.
    fn answer(&mut self, client: usize, ask: &Ask, now: Millis) -> Result<Answer, Violation>;

    /// Every entity that the authority holds, tombstones included.
    ///
    /// # Errors
    /// An authority that cannot be read.
    fn rows(&mut self) -> Result<Vec<FullRow>, Violation>;

    /// The triggers above an index; none where they are too old.
    ///
    /// # Errors
    /// An authority that cannot be read.
    fn triggers_above(&mut self, above: Index) -> Result<Vec<Trigger>, Violation>;

    /// What the authority answered to a bunch, whoever heard of it. Where it was never asked, it may be asked now.
    ///
    /// # Errors
    /// An authority that cannot be read.
    fn recorded(
        &mut self,
        replica: ReplicaId,
        bunch: &Bunch,
        generation: Option<Generation>,
    ) -> Result<Option<Outcomes>, Violation>;

    /// Copies what the authority holds.
    ///
    /// # Errors
    /// What stands in the way.
    fn back_up(&mut self) -> Result<(), Violation>;

    /// Whether there is a copy to go back to.
    fn has_backup(&self) -> bool;

    /// Puts the last copy in the authority's place, as another generation; there is one.
    ///
    /// # Errors
    /// What stands in the way.
    fn restore(&mut self) -> Result<(), Violation>;

    /// Forgets all tombstones, where there is a way to.
    ///
    /// # Errors
    /// What stands in the way.
    fn prune(&mut self) -> Result<(), Violation>;

    /// Refuses the next operation on an entity, where there is a way to.
    fn refuse(&mut self, key: EntityKey);

    /// From now on nothing goes wrong, or anything may. It begins with nothing.
    ///
    /// # Errors
    /// What stands in the way.
    fn be_calm(&mut self, is_calm: bool) -> Result<(), Violation>;
}

/// The authority in memory. Questions and answers go through the shapes in which they travel.
#[derive(Debug)]
pub(super) struct InMemory {
    link: Link,
    backup: Option<MemoryStore>,
    generations: u128,
}

impl InMemory {
    pub(super) fn new(schema: Schema) -> Self {
        InMemory { link: Link::new(schema), backup: None, generations: 1 }
    }
}

impl Remote for InMemory {
    fn answer(&mut self, _: usize, ask: &Ask, now: Millis) -> Result<Answer, Violation> {
        let request = Request::of(ask);
        let arrived = request.ask().map_err(|problem| on_the_wire(problem, &request.text))?;
        require("the wire", Request::of(&arrived) == request, || format!("{arrived:?} came of {ask:?}"))?;
        let given = self.link.answer(&arrived, now);
        let reply = Reply::of(&given);
        let answered = reply.answer(request.route).map_err(|error| on_the_wire(error, &reply.body))?;
        require("the wire", answered == given, || format!("{answered:?} came of {given:?}"))?;
        Ok(answered)
    }

    fn rows(&mut self) -> Result<Vec<FullRow>, Violation> {
        Ok(self.link.store.entities().map(|(key, stored)| stored.clone().row(key.clone())).collect())
    }

    fn triggers_above(&mut self, above: Index) -> Result<Vec<Trigger>, Violation> {
        Ok(self.link.triggers_above(above))
    }

    fn recorded(
        &mut self,
        replica: ReplicaId,
        bunch: &Bunch,
        _: Option<Generation>,
    ) -> Result<Option<Outcomes>, Violation> {
        match self.link.store.answer(replica, bunch.number) {
            Ok(answered) => Ok(answered.filter(|(id, _)| *id == bunch.id).map(|(_, outcomes)| outcomes)),
            Err(never) => match never {},
        }
    }

    fn back_up(&mut self) -> Result<(), Violation> {
        self.backup = Some(self.link.store.clone());
        Ok(())
    }

    fn has_backup(&self) -> bool {
        self.backup.is_some()
    }

    fn restore(&mut self) -> Result<(), Violation> {
        if let Some(mut backup) = self.backup.clone() {
            self.generations += 1;
            backup.restored_as(Generation(Uuid::from_u128(self.generations)));
            self.link.store = backup;
        }
        Ok(())
    }

    fn prune(&mut self) -> Result<(), Violation> {
        for collection in ["folders", "notes", "tags"] {
            self.link.store.prune(&name(collection), Epoch(u64::MAX >> 1));
        }
        Ok(())
    }

    fn refuse(&mut self, key: EntityKey) {
        self.link.refuse(key, "refused by the simulation".to_owned());
    }

    fn be_calm(&mut self, is_calm: bool) -> Result<(), Violation> {
        if is_calm {
            self.link.forget_refusals();
        }
        Ok(())
    }
}

fn on_the_wire(why: impl std::fmt::Display, text: &str) -> Violation {
    Violation { law: "the wire", found: format!("{why}: {text}") }
}
