//! The suite for stores: the one in memory holds to it, and no fault in a store gets past it.
#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::convert::Infallible;
use std::sync::Arc;

use foldlog::Uuid;
use foldlog::algebra::{
    BunchNumber, CollectionName, Cursors, Digest, EntityKey, Epoch, Existence, Generation, Index, LiveSets,
    Outcomes, Page, ReplicaId, Schema, Trigger,
};
use foldlog::authority::{MemoryStore, Store, Stored};
use foldlog::testing::conformance::{GENERATION, conforms};

const SESSIONS: u64 = 300;

#[test]
fn the_store_in_memory_holds_to_the_suite() {
    let held = conforms(|schema: &Schema| MemoryStore::new(schema.clone(), GENERATION), SESSIONS).unwrap();
    println!("{held:?}");
    assert!(held.answers > SESSIONS * 10);
}

/// What a store may get wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    ForgetsStamps,
    ForgetsFieldEpochs,
    ForgetsWriter,
    DropsTombstones,
    FindsTheDead,
    IgnoresTheScope,
    MixesUpFields,
    OneCounterForAll,
    AnswersByNumberAlone,
    LosesDigests,
    SkipsARow,
    PagesTooLong,
    CursorOfTheLastRow,
    MoreWithoutEnd,
    TriggersFromZero,
    TriggersOfLivesOnly,
    AnotherGeneration,
    CountsTheDead,
    LastEpochOfAll,
}

const FAULTS: [Fault; 19] = [
    Fault::ForgetsStamps,
    Fault::ForgetsFieldEpochs,
    Fault::ForgetsWriter,
    Fault::DropsTombstones,
    Fault::FindsTheDead,
    Fault::IgnoresTheScope,
    Fault::MixesUpFields,
    Fault::OneCounterForAll,
    Fault::AnswersByNumberAlone,
    Fault::LosesDigests,
    Fault::SkipsARow,
    Fault::PagesTooLong,
    Fault::CursorOfTheLastRow,
    Fault::MoreWithoutEnd,
    Fault::TriggersFromZero,
    Fault::TriggersOfLivesOnly,
    Fault::AnotherGeneration,
    Fault::CountsTheDead,
    Fault::LastEpochOfAll,
];

struct Faulty {
    memory: MemoryStore,
    fault: Fault,
    last_epoch: u64,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Store for Faulty {
    type Error = Infallible;

    fn entity(&self, key: &EntityKey) -> Result<Option<Arc<Stored>>, Infallible> {
        let found = self.memory.entity(key)?;
        Ok(found.filter(|stored| stored.version.existence.is_live() || !self.has(Fault::DropsTombstones)))
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Infallible> {
        if self.has(Fault::IgnoresTheScope) && fields.len() > 1 {
            let all = self.memory.entities();
            let same = all.filter(|(key, stored)| {
                let state = stored.version.existence.live();
                key.collection() == collection
                    && state.and_then(|state| state.raw(&fields[1])) == Some(values[1].as_str())
            });
            return Ok(same.map(|(key, _)| key.id()).collect());
        }
        let mut found = self.memory.holders(collection, fields, values)?;
        if self.has(Fault::FindsTheDead) {
            let dead = self.memory.entities().filter(|(key, stored)| {
                let last = stored.version.existence.state().filter(|_| !stored.version.existence.is_live());
                key.collection() == collection
                    && last.is_some_and(|last| {
                        fields.iter().zip(values).all(|(f, v)| last.raw(f) == Some(v.as_str()))
                    })
            });
            found.extend(dead.map(|(key, _)| key.id()));
        }
        Ok(found)
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, Infallible> {
        if self.has(Fault::MixesUpFields) && from.as_str() == "tags" {
            let of = |field| self.memory.referrers(to, from, field);
            return Ok([of("on")?, of("at")?].concat());
        }
        self.memory.referrers(to, from, field)
    }

    fn answer(
        &self,
        replica: ReplicaId,
        bunch: BunchNumber,
    ) -> Result<Option<(Digest, Outcomes)>, Infallible> {
        let replica = if self.has(Fault::AnswersByNumberAlone) { ReplicaId(Uuid::nil()) } else { replica };
        let found = self.memory.answer(replica, bunch)?;
        Ok(found.map(|(id, outcomes)| {
            (if self.has(Fault::LosesDigests) { Digest([0; 32]) } else { id }, outcomes)
        }))
    }

    fn record(
        &mut self,
        replica: ReplicaId,
        bunch: BunchNumber,
        id: Digest,
        outcomes: &Outcomes,
    ) -> Result<(), Infallible> {
        let replica = if self.has(Fault::AnswersByNumberAlone) { ReplicaId(Uuid::nil()) } else { replica };
        self.memory.record(replica, bunch, id, outcomes)
    }

    fn next_epoch(&mut self, collection: &CollectionName) -> Result<Epoch, Infallible> {
        let own = self.memory.next_epoch(collection)?;
        self.last_epoch += 1;
        Ok(if self.has(Fault::OneCounterForAll) { Epoch(self.last_epoch) } else { own })
    }

    fn put(&mut self, key: &EntityKey, mut stored: Stored) -> Result<(), Infallible> {
        match self.fault {
            Fault::ForgetsStamps => stored.version.stamps = Default::default(),
            Fault::ForgetsFieldEpochs => stored.fields.clear(),
            Fault::ForgetsWriter => stored.writer = None,
            _ => {}
        }
        self.memory.put(key, stored)
    }

    fn generation(&self) -> Result<Generation, Infallible> {
        let own = self.memory.generation()?;
        Ok(if self.has(Fault::AnotherGeneration) { Generation(Uuid::max()) } else { own })
    }

    fn floor(&self, collection: &CollectionName) -> Result<Epoch, Infallible> {
        self.memory.floor(collection)
    }

    fn changes(&self, above: &Cursors, rows_max: usize) -> Result<Page, Infallible> {
        let rows_max = rows_max + usize::from(self.has(Fault::PagesTooLong));
        let mut page = self.memory.changes(above, rows_max)?;
        if self.has(Fault::SkipsARow) && page.has_more {
            page.rows.pop();
        }
        if self.has(Fault::CursorOfTheLastRow) && !page.has_more {
            for (collection, cursor) in &mut page.cursors {
                let own = page.rows.iter().filter(|row| row.key.collection() == collection);
                let before = above.get(collection).copied().unwrap_or_default();
                *cursor = own.map(|row| row.epoch).max().unwrap_or(before);
            }
        }
        page.has_more |= self.has(Fault::MoreWithoutEnd);
        Ok(page)
    }

    fn live_sets(&self) -> Result<LiveSets, Infallible> {
        let mut sets = self.memory.live_sets()?;
        if self.has(Fault::CountsTheDead) {
            for (key, stored) in self.memory.entities() {
                if let (Existence::Dead(state), Some((set, _))) =
                    (&stored.version.existence, sets.get_mut(key.collection()))
                {
                    set.add(key.id(), state);
                }
            }
        }
        Ok(sets)
    }

    fn last_epoch(&self, collection: &CollectionName) -> Result<Epoch, Infallible> {
        if self.has(Fault::LastEpochOfAll) {
            return Ok(self
                .memory
                .live_sets()?
                .into_values()
                .map(|(_, epoch)| epoch)
                .max()
                .unwrap_or_default());
        }
        self.memory.last_epoch(collection)
    }

    fn last_trigger(&self) -> Result<Index, Infallible> {
        self.memory.last_trigger()
    }

    fn triggers(&self, above: Index, triggers_max: usize) -> Result<Option<Vec<Trigger>>, Infallible> {
        let above = if self.has(Fault::TriggersFromZero) { Index(0) } else { above };
        let mut found = self.memory.triggers(above, triggers_max)?;
        if self.has(Fault::TriggersOfLivesOnly) {
            let live = |trigger: &Trigger| trigger.action == foldlog::algebra::Action::Upsert;
            found.iter_mut().for_each(|found| found.retain(live));
        }
        Ok(found)
    }
}

#[test]
fn a_store_with_any_one_fault_is_found_out() {
    let conforms = |fault| {
        let empty = |schema: &Schema| Faulty {
            memory: MemoryStore::new(schema.clone(), GENERATION),
            fault,
            last_epoch: 0,
        };
        conforms(empty, 50)
    };
    conforms(Fault::None).unwrap();
    for fault in FAULTS {
        match conforms(fault) {
            Err(violation) => println!("{fault:?}: {}", violation.law),
            Ok(held) => panic!("{fault:?} was not found by {held:?}"),
        }
    }
}
