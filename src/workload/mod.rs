//! Workloads: logs of operations made from a seed, for benches, demonstrations and tests.

pub(crate) mod random;

use uuid::Uuid;

use crate::algebra::{CollectionName, EntityKey, Error, Millis, Operation, Patch, State};
use random::{Random, mixed};

/// What a workload is made of. The same options give the same operations, on every machine and in every
/// release of one major version.
///
/// Kinds, entities and values are drawn independently: a log holds creates of what is there and updates of
/// what is gone, as real ones do after a crash or a merge.
///
/// ```
/// use foldlog::workload::Workload;
/// let workload = Workload { operations: 100, entities: 10, ..Workload::default() };
/// assert_eq!(workload.iter()?.count(), 100);
/// # Ok::<(), foldlog::algebra::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Where all draws begin.
    pub seed: u64,
    /// How many operations.
    pub operations: u64,
    /// How many entities they may be about; at least 1.
    pub entities: u64,
    /// How unevenly they are spread: 0 is evenly; with `s`, the first `x` of all entities get
    /// `x^(1/(1+s))` of the operations (with 4, the first 1 % get 40 %).
    pub skew: u32,
    /// The share of creates, in proportion to the other three.
    pub creates: u32,
    /// The share of updates with a whole state.
    pub updates: u32,
    /// The share of updates with a patch.
    pub patches: u32,
    /// The share of deletes.
    pub deletes: u32,
    /// About how many bytes of JSON a state has; at least some 50.
    pub payload_bytes: usize,
    /// The collection.
    pub collection: String,
}

impl Default for Workload {
    /// 10,000 operations on 1,000 entities, unevenly: one create to three patches, one whole update and
    /// one delete, 140 bytes a state.
    fn default() -> Self {
        Workload {
            seed: 1,
            operations: 10_000,
            entities: 1_000,
            skew: 1,
            creates: 1,
            updates: 1,
            patches: 3,
            deletes: 1,
            payload_bytes: 140,
            collection: "notes".to_owned(),
        }
    }
}

/// The first operation's time: 2024-01-01. They are one to two seconds apart.
const BEGINS_AT: u64 = 1_704_067_200_000;

/// So that the ids of seed 0 look drawn too.
const ID_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The bytes of a state beside its body.
const FRAME_BYTES: usize = 48;

impl Workload {
    /// The operations.
    ///
    /// # Errors
    /// A collection name that is refused.
    pub fn iter(&self) -> Result<Operations, Error> {
        Ok(Operations {
            collection: CollectionName::new(&self.collection)?,
            random: Random::new(self.seed),
            workload: self.clone(),
            made: 0,
            at: BEGINS_AT,
        })
    }
}

/// The operations of a [`Workload`].
#[derive(Clone, Debug)]
pub struct Operations {
    workload: Workload,
    collection: CollectionName,
    random: Random,
    made: u64,
    at: u64,
}

impl Iterator for Operations {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        if self.made >= self.workload.operations {
            return None;
        }
        self.made += 1;
        self.at += 1_000 + self.random.below(1_000);
        let id = self.id();
        let key = EntityKey::new(self.collection.clone(), id).ok()?;
        let Workload { creates, updates, patches, deletes, .. } = self.workload;
        let shares = [creates, updates, patches, deletes].map(u64::from);
        let mut drawn = self.random.below(shares.iter().sum());
        let kind = shares.iter().position(|share| {
            let is_it = drawn < *share;
            drawn = drawn.saturating_sub(*share);
            is_it
        });
        let mut operation = match kind {
            Some(1) => Operation::update(key, self.state()),
            Some(2) => Operation::patch(key, self.patch()),
            Some(3) => Operation::delete(key),
            _ => Operation::create(key, self.state()),
        };
        operation.at = Some(Millis(self.at).min(Millis::MAX));
        Some(operation)
    }
}

impl Operations {
    fn id(&mut self) -> Uuid {
        let entities = self.workload.entities.max(1);
        let drawn = self.random.fraction();
        // Multiplied out: a library's power function may round differently elsewhere.
        let place = (0..self.workload.skew.min(64)).fold(drawn, |place, _| place * drawn);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a fraction of a count, rounded down"
        )]
        let entity = (place * entities as f64) as u64;
        let high = mixed(mixed(self.workload.seed.wrapping_add(ID_SALT)).wrapping_add(entity));
        uuid::Builder::from_random_bytes(
            (u128::from(high) << 64 | u128::from(mixed(high.wrapping_add(entity)))).to_be_bytes(),
        )
        .into_uuid()
    }

    fn state(&mut self) -> State {
        let bytes = self.workload.payload_bytes.saturating_sub(FRAME_BYTES);
        let mut text = String::with_capacity(bytes + FRAME_BYTES + 16);
        text.push_str(r#"{"body":""#);
        self.words(bytes, &mut text);
        text.push_str(r#"","done":"#);
        text.push_str(if self.random.below(2) == 0 { "false" } else { "true" });
        text.push_str(r#","rank":"#);
        text.push_str(&self.random.below(10).to_string());
        text.push_str(r#","title":"note "#);
        text.push_str(&self.random.below(100).to_string());
        text.push_str(r#""}"#);
        // Written in canonical form: names in order, no spaces, nothing to escape.
        State::trusted(&text)
    }

    fn patch(&mut self) -> Patch {
        let text = match self.random.below(8) {
            0 => {
                let mut text = String::from(r#"{"body":""#);
                self.words(self.workload.payload_bytes.saturating_sub(FRAME_BYTES), &mut text);
                text.push_str(r#""}"#);
                text
            }
            1 => r#"{"title":null}"#.to_owned(),
            2 | 3 => format!(r#"{{"title":"note {}"}}"#, self.random.below(100)),
            4 | 5 => format!(r#"{{"done":{}}}"#, self.random.below(2) == 0),
            _ => format!(r#"{{"done":{},"rank":{}}}"#, self.random.below(2) == 0, self.random.below(10)),
        };
        Patch::trusted(&text)
    }

    /// Words that do not compress to nothing.
    fn words(&mut self, bytes: usize, out: &mut String) {
        const LETTERS: &[u8; 32] = b"etaoinshrdlucmfwypvbgkjqxz eta o";
        let mut bits = 0;
        for place in 0..bytes {
            if place % 12 == 0 {
                bits = self.random.next();
            }
            let letter = LETTERS.get((bits & 31) as usize).copied().unwrap_or(b' ');
            out.push(char::from(letter));
            bits >>= 5;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{Change, Kind};
    use std::collections::HashMap;

    #[test]
    fn the_same_options_give_the_same_operations() {
        let workload = Workload { operations: 2_000, ..Workload::default() };
        let all: Vec<Operation> = workload.iter().unwrap().collect();
        assert_eq!(all, workload.iter().unwrap().collect::<Vec<_>>());
        let other = Workload { seed: 2, ..workload };
        assert_ne!(all, other.iter().unwrap().collect::<Vec<_>>());
        // Pinned: benches of different releases compare the same log.
        let mut hash = blake3::Hasher::new();
        for operation in &all {
            hash.update(operation.key.to_string().as_bytes());
            hash.update(operation.change.fields_json().as_bytes());
        }
        assert_eq!(hash.finalize().to_hex()[..16], *"10ff08083845c76a");
    }

    #[test]
    fn states_and_patches_are_canonical_and_as_large_as_asked() {
        let workload = Workload { operations: 1_000, payload_bytes: 500, ..Workload::default() };
        for operation in workload.iter().unwrap() {
            match &operation.change {
                Change::Update(crate::algebra::Update::Patch(patch)) => {
                    assert_eq!(*patch, Patch::from_json(patch.as_json()).unwrap());
                }
                Change::Delete => {}
                change => {
                    assert_eq!(
                        State::from_json(change.fields_json()).unwrap().as_json(),
                        change.fields_json()
                    );
                    assert!((480..=520).contains(&change.fields_json().len()));
                }
            }
        }
    }

    #[test]
    fn shares_and_skew_are_what_was_asked_for() {
        let workload = Workload {
            operations: 20_000,
            entities: 1_000,
            skew: 4,
            creates: 0,
            updates: 0,
            patches: 3,
            deletes: 1,
            ..Workload::default()
        };
        let mut kinds: HashMap<Kind, u32> = HashMap::new();
        let mut per_entity: HashMap<Uuid, u32> = HashMap::new();
        for operation in workload.iter().unwrap() {
            *kinds.entry(operation.change.kind()).or_default() += 1;
            *per_entity.entry(operation.key.id()).or_default() += 1;
        }
        assert!(kinds.len() == 2 && (4_500..5_500).contains(&kinds[&Kind::Delete]), "{kinds:?}");
        let mut counts: Vec<u32> = per_entity.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let first: u32 = counts.iter().take(10).sum();
        assert!((7_000..9_000).contains(&first), "the first 1 % have {first} of 20,000");
    }
}
