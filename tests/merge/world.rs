//! Replicas that are edited apart and merged, with an account of every value that was ever written.

use std::collections::{BTreeMap, BTreeSet};

use foldlog::Uuid;
use foldlog::algebra::{
    Change, CollectionName, EntityKey, Existence, Operation, Patch, ReplicaId, Schema, State, Update,
    Version, key_values,
};
use foldlog::journal::{Durability, Options};
use foldlog::merge::{Children, How, Keep, Refusal, Resolution, Resolutions, With};
use foldlog::replica::{Checked, Error, Replica};
use proptest::collection::vec;
use proptest::prelude::*;

pub(crate) const REPLICAS: usize = 4;
/// How many entities a collection has at most.
const ENTITIES: u128 = 3;

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create {
        who: usize,
        key: EntityKey,
        fields: Vec<(String, Field)>,
        at: u64,
    },
    Patch {
        who: usize,
        key: EntityKey,
        fields: Vec<(String, Field)>,
        at: u64,
    },
    Delete {
        who: usize,
        key: EntityKey,
        at: u64,
    },
    /// Files go into another one; clashes are decided as these numbers say.
    Merge {
        from: Vec<usize>,
        into: usize,
        choices: Vec<u8>,
    },
}

/// A field's value before it is written.
#[derive(Clone, Debug)]
pub(crate) enum Field {
    Removed,
    Small(u8),
    /// One that nobody else writes.
    Fresh,
    Refers(u128),
}

pub(crate) fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n + 1)).unwrap()
}

/// Units with plots with trees; under these policies, deleted like this.
pub(crate) fn schema(policies: [&str; 3], on_delete: [&str; 3]) -> Schema {
    let [units, plots, trees] = policies;
    let [plot_unit, tree_plot, tree_unit] = on_delete;
    Schema::from_json(&format!(
        r#"{{"collections":{{
        "units":{{"policy":"{units}","unique":[["code"],["badge"]]}},
        "plots":{{"policy":"{plots}","unique":[["unit","number"]],
            "references":{{"unit":{{"to":"units","on_delete":"{plot_unit}"}}}}}},
        "trees":{{"policy":"{trees}","unique":[["plot","number"],["tag"]],"references":{{
            "plot":{{"to":"plots","on_delete":"{tree_plot}"}},
            "unit":{{"to":"units","on_delete":"{tree_unit}"}}}}}}}}}}"#
    ))
    .unwrap()
}

pub(crate) fn schemas() -> impl Strategy<Value = Schema> {
    let policy = || {
        prop_oneof![
            4 => Just("last_operation"), 1 => Just("newest"), 1 => Just("first_to_authority"), 1 => Just("manual")
        ]
    };
    let does = || prop_oneof![3 => Just("cascade"), 1 => Just("set_null"), 1 => Just("restrict")];
    ([policy(), policy(), policy()], [does(), does(), does()])
        .prop_map(|(policies, on_delete)| schema(policies, on_delete))
}

/// The same for all collections: what the marks alone decide.
pub(crate) fn schemas_of_marks() -> impl Strategy<Value = Schema> {
    let does = || prop_oneof![3 => Just("cascade"), 1 => Just("set_null"), 1 => Just("restrict")];
    (prop_oneof![Just("last_operation"), Just("newest")], [does(), does(), does()])
        .prop_map(|(policy, on_delete)| schema([policy; 3], on_delete))
}

/// Merges in between are decided somehow, or left out where somebody would have to decide.
pub(crate) fn acts(decides: bool) -> impl Strategy<Value = Vec<Act>> {
    let keys = prop_oneof![
        (0..ENTITIES).prop_map(|n| key("units", n)),
        (0..ENTITIES).prop_map(|n| key("plots", n)),
        (0..ENTITIES).prop_map(|n| key("trees", n)),
    ];
    let edit = (0..REPLICAS, keys, vec(any::<u8>(), 8), 0..30_u64, 0..8_u8).prop_map(
        |(who, key, draws, at, kind)| {
            let fields = fields(&key, &draws, kind < 3);
            match kind {
                0..3 => Act::Create { who, key, fields, at },
                3..7 => Act::Patch { who, key, fields, at },
                _ => Act::Delete { who, key, at },
            }
        },
    );
    let choices = if decides { vec(any::<u8>(), 16) } else { vec(any::<u8>(), 0) };
    let merge = (vec(0..REPLICAS, 1..3), 0..REPLICAS, choices).prop_map(|(from, into, choices)| Act::Merge {
        from,
        into,
        choices,
    });
    vec(prop_oneof![8 => edit.boxed(), 2 => merge.boxed()], 1..40)
}

fn fields(key: &EntityKey, draws: &[u8], is_whole: bool) -> Vec<(String, Field)> {
    let named: &[(&str, u8)] = match key.collection().as_str() {
        "units" => &[("code", 3), ("badge", 4), ("note", 0), ("more", 0)],
        "plots" => &[("unit", 1), ("number", 3), ("note", 0)],
        _ => &[("plot", 1), ("unit", 1), ("number", 3), ("tag", 4), ("note", 0)],
    };
    let one = |((name, kind), draw): (&(&str, u8), &u8)| {
        let field = match (kind, draw % 8) {
            (_, 7) => Field::Removed,
            // Rarely, as it is another clash.
            (4, draw) if draw > 1 => Field::Removed,
            (1, draw) => Field::Refers(u128::from(draw) % ENTITIES),
            (0, _) => Field::Fresh,
            (_, draw) => Field::Small(draw % 3),
        };
        (is_whole || draw / 8 % 2 == 0).then(|| ((*name).to_owned(), field))
    };
    named.iter().zip(draws).filter_map(one).collect()
}

/// Replicas, and what became of every value that was written.
pub(crate) struct World {
    pub(crate) schema: Schema,
    pub(crate) replicas: Vec<Replica>,
    next: u64,
    /// Of each value whose writer knew which others of the field.
    pasts: BTreeMap<String, BTreeSet<String>>,
    /// Values that were deleted by somebody who knew them.
    pub(crate) deleted: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(schema: &Schema) -> Self {
        let replica = |n: usize| {
            let id = ReplicaId(Uuid::from_u128(1_000 + n as u128));
            let options =
                Options::new().cache_bytes(1 << 20).clock(|| 100).schema(schema.clone()).replica(id);
            Replica::in_memory(options).unwrap()
        };
        let replicas = (0..REPLICAS).map(replica).collect();
        World {
            schema: schema.clone(),
            replicas,
            next: 100,
            pasts: BTreeMap::new(),
            deleted: BTreeSet::new(),
        }
    }

    pub(crate) fn play(&mut self, acts: &[Act]) {
        for act in acts {
            match act {
                Act::Create { who, key, fields, at } => {
                    let json = self.json(fields);
                    let change = Change::Create(State::from_json(&json).unwrap());
                    self.write(*who, Operation::new(key.clone(), change).at(*at).unwrap());
                }
                Act::Patch { who, key, fields, at } => {
                    let json = self.json(fields);
                    let change = Change::Update(Update::Patch(Patch::from_json(&json).unwrap()));
                    self.write(*who, Operation::new(key.clone(), change).at(*at).unwrap());
                }
                Act::Delete { who, key, at } => {
                    self.write(*who, Operation::delete(key.clone()).at(*at).unwrap())
                }
                Act::Merge { from, into, choices } => {
                    let from: BTreeSet<usize> = from.iter().copied().filter(|from| from != into).collect();
                    let from: Vec<usize> = from.into_iter().collect();
                    if from.is_empty() || (choices.is_empty() && !self.is_clean(&from, *into)) {
                        continue;
                    }
                    self.merged(&from, *into, choices);
                }
            }
        }
    }

    fn json(&mut self, fields: &[(String, Field)]) -> String {
        let mut members = Vec::new();
        for (name, field) in fields {
            let value = match field {
                Field::Removed => "null".to_owned(),
                Field::Small(n) => n.to_string(),
                Field::Fresh => {
                    self.next += 1;
                    self.next.to_string()
                }
                Field::Refers(n) => format!("\"{}\"", Uuid::from_u128(n + 1)),
            };
            members.push(format!("\"{name}\":{value}"));
        }
        format!("{{{}}}", members.join(","))
    }

    /// Writes, if it may be written, and notes what the writer knew.
    fn write(&mut self, who: usize, operation: Operation) {
        let replica = &self.replicas[who];
        let before = replica.entity(&operation.key).unwrap().version.existence;
        let all_before = self.live(who);
        if replica.commit(std::slice::from_ref(&operation), Durability::Durable).is_err() {
            return;
        }
        let after = replica.entity(&operation.key).unwrap().version.existence;
        let all_after = self.live(who);
        let of = |existence: &Existence, field: &str| {
            existence.state().and_then(|state| state.raw(field)).map(str::to_owned)
        };
        for field in ["note", "more"] {
            let (old, new) = (of(&before, field), of(&after, field));
            for (key, state) in &all_before {
                let Some(old) = state.raw(field) else { continue };
                if all_after.get(key).is_none_or(|state| state.raw(field).is_none()) {
                    self.deleted.extend(self.pasts.get(old).into_iter().flatten().cloned());
                    self.deleted.insert(old.to_owned());
                }
            }
            if let (Some(old), Some(new)) = (old, new)
                && old != new
            {
                let mut past = self.pasts.get(&old).cloned().unwrap_or_default();
                past.insert(old);
                self.pasts.insert(new, past);
            }
        }
    }

    pub(crate) fn sources(&self, from: &[usize]) -> Vec<&Replica> {
        from.iter().map(|from| &self.replicas[*from]).collect()
    }

    pub(crate) fn check(&self, from: &[usize], into: usize, resolutions: &Resolutions) -> Checked {
        self.replicas[into].check_merge(&self.sources(from), resolutions, &mut |_| {}).unwrap()
    }

    /// Whether nobody need decide anything.
    fn is_clean(&self, from: &[usize], into: usize) -> bool {
        self.check(from, into, &Resolutions::default()).is_clean()
    }

    /// Merges, with some decision about every clash, and gives what was decided; nothing where it cannot be done, for
    /// something restricts it.
    pub(crate) fn merged(&self, from: &[usize], into: usize, choices: &[u8]) -> Option<Resolutions> {
        let (resolutions, _) = self.decided(from, into, choices)?;
        self.replicas[into].merge(&self.sources(from), &resolutions, &mut |_| {}).unwrap();
        Some(resolutions)
    }

    /// Some complete decisions.
    pub(crate) fn decided(
        &self,
        from: &[usize],
        into: usize,
        choices: &[u8],
    ) -> Option<(Resolutions, Checked)> {
        let keep = |choice: u8| Keep {
            with: [With::Source, With::Dest, With::Newest][usize::from(choice % 3)],
            children: [Children::Both, Children::Both, Children::Winner][usize::from(choice / 3 % 3)],
        };
        let both = |with| Keep { with, children: Children::Both };
        let chosen = |n: usize| choices.get(n % choices.len().max(1)).copied().unwrap_or(0);
        let mut resolutions = Resolutions::default();
        // What is decided about an id itself may bring about other clashes.
        for round in 0..9 {
            let checked = self.check(from, into, &resolutions);
            if checked.is_clean() {
                return Some((resolutions, checked));
            }
            let is_wild = round < 4;
            if !is_wild {
                // Simple decisions can always be carried out but in a circle.
                let with = [With::Dest, With::Newest, With::Source][round % 3];
                let top = checked.clashes.top.iter();
                let one = |pair: &foldlog::merge::Pair| Resolution {
                    pair: pair.clone(),
                    how: How::Keep(both(with)),
                };
                resolutions = Resolutions { listed: top.map(one).collect(), default: Some(both(with)) };
                continue;
            }
            let named: BTreeSet<_> = resolutions.listed.iter().map(|one| one.pair.clone()).collect();
            for (n, refusal) in checked.refusals.iter().enumerate() {
                match refusal {
                    Refusal::Undecided { pair } if !named.contains(pair) => {
                        let how = How::Keep(keep(chosen(n + round)));
                        resolutions.listed.push(Resolution { pair: pair.clone(), how });
                    }
                    Refusal::NoClash { pair } | Refusal::Contradicted { pair } => {
                        resolutions.listed.retain(|one| one.pair != *pair);
                    }
                    Refusal::Restricted { pair, .. } => {
                        for one in &mut resolutions.listed {
                            if one.pair == *pair {
                                one.how = How::Keep(both(With::Dest));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// What a program sees of a replica: all that lives.
    pub(crate) fn live(&self, who: usize) -> BTreeMap<EntityKey, State> {
        let all = self.replicas[who].entities(None).unwrap();
        all.into_iter().filter_map(|(key, one)| Some((key, one.version.existence.live()?.clone()))).collect()
    }

    pub(crate) fn versions(&self, who: usize) -> BTreeMap<EntityKey, Version> {
        let all = self.replicas[who].entities(None).unwrap();
        all.into_iter().map(|(key, one)| (key, one.version)).collect()
    }

    /// Whether a value was overwritten by somebody who knew it.
    pub(crate) fn was_known(&self, value: &str, to: &str) -> bool {
        self.pasts.get(to).is_some_and(|past| past.contains(value))
    }

    /// What is wrong with any replica by itself.
    pub(crate) fn wrong_in_itself(&self) -> Vec<String> {
        self.replicas.iter().flat_map(|replica| replica.check().unwrap()).collect()
    }

    /// What is wrong with what lives in a replica.
    pub(crate) fn wrong(&self, who: usize) -> Vec<String> {
        let mut wrong = self.replicas[who].check().unwrap();
        let (live, versions) = (self.live(who), self.versions(who));
        let mut holders: BTreeMap<(String, Vec<String>, Vec<String>), EntityKey> = BTreeMap::new();
        for (key, state) in &live {
            for fields in self.schema.collection(key.collection()).unwrap().unique_keys() {
                let Some(values) = key_values(state, fields) else { continue };
                let place = (key.collection().to_string(), fields.to_vec(), values);
                if let Some(other) = holders.insert(place, key.clone()) {
                    wrong.push(format!("{key} and {other} have one key of {fields:?}"));
                }
            }
            for (field, _, to) in self.schema.targets(key, state) {
                let is_dead = |version: &Version| matches!(version.existence, Existence::Dead(_));
                if versions.get(&to).is_some_and(is_dead) {
                    wrong.push(format!("{key} refers by {field} to {to}, which is deleted"));
                }
            }
        }
        wrong
    }
}

/// Whether a merge was refused.
pub(crate) fn is_refused<T>(done: &Result<T, Error>) -> bool {
    matches!(done, Err(Error::MergeRefused { .. }))
}
