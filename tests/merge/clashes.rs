//! Clashes, beside a search over all pairs until nothing more counts as one.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Schema, State, key_values, referred};
use foldlog::merge::{Clashes, Pair, World, clashes};
use foldlog::testing::cases;
use proptest::collection::btree_map;
use proptest::prelude::*;

const SCHEMA: &str = r#"{"collections":{
    "units":{"unique":[["code"]]},
    "plots":{"unique":[["unit","number"]],"references":{"unit":{"to":"units","on_delete":"cascade"}}},
    "trees":{"unique":[["unit","number"],["plot","number"],["tag"]],"references":{
        "unit":{"to":"units","on_delete":"cascade"},"plot":{"to":"plots","on_delete":"set_null"}}},
    "logs":{"unique":[["tree","plot"]],"references":{
        "tree":{"to":"trees","on_delete":"cascade"},"plot":{"to":"plots","on_delete":"set_null"}}}}}"#;

/// How many entities a collection has at most.
const ENTITIES: u128 = 4;

/// A collection, the fields of a key, its values.
type Of = (CollectionName, Vec<String>, Vec<String>);

/// What lives, each with the file that it is from.
type Files = BTreeMap<EntityKey, (usize, State)>;

struct All<'a>(&'a Files);

impl World for All<'_> {
    type Error = Infallible;

    fn live(&self, key: &EntityKey) -> Result<Option<State>, Infallible> {
        Ok(self.0.get(key).map(|(_, state)| state.clone()))
    }

    fn holders(
        &self,
        collection: &CollectionName,
        fields: &[String],
        values: &[String],
    ) -> Result<Vec<Uuid>, Infallible> {
        let has = |state: &State| key_values(state, fields).as_deref() == Some(values);
        let of = self.0.iter().filter(|(key, (_, state))| key.collection() == collection && has(state));
        Ok(of.map(|(key, _)| key.id()).collect())
    }

    fn referrers(&self, to: &EntityKey, from: &CollectionName, field: &str) -> Result<Vec<Uuid>, Infallible> {
        let refers = |key: &EntityKey, state: &State| target(key, state, field).as_ref() == Some(to);
        let of = self.0.iter().filter(|(key, (_, state))| key.collection() == from && refers(key, state));
        Ok(of.map(|(key, _)| key.id()).collect())
    }

    fn had(&self, _: &EntityKey, _: &[String], _: &[String]) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn file(&self, key: &EntityKey, _: &[String], _: &[String]) -> Result<usize, Infallible> {
        Ok(self.0.get(key).map_or(0, |(file, _)| *file))
    }
}

fn schema() -> Schema {
    Schema::from_json(SCHEMA).unwrap()
}

fn target(key: &EntityKey, state: &State, field: &str) -> Option<EntityKey> {
    let schema = schema();
    let reference = schema.collection(key.collection())?.reference_of(field)?;
    referred(state, field, reference).ok().flatten()
}

fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n + 1)).unwrap()
}

fn files() -> impl Strategy<Value = Files> {
    let of = |collection: &'static str, state: BoxedStrategy<String>| {
        btree_map(0..ENTITIES, (0..3_usize, state), 0..4).prop_map(move |all| {
            let one = |(n, (file, json)): (u128, (usize, String))| {
                (key(collection, n), (file, State::from_json(&json).unwrap()))
            };
            all.into_iter().map(one).collect::<Vec<_>>()
        })
    };
    let id = || (1..=ENTITIES).prop_map(|n| format!("\"{}\"", Uuid::from_u128(n)));
    let number =
        || prop_oneof![3 => Just("1".to_owned()), 1 => Just("2".to_owned()), 1 => Just("null".to_owned())];
    let maybe = || prop_oneof![3 => id(), 1 => Just("null".to_owned())];
    let units = number().prop_map(|code| format!(r#"{{"code":{code}}}"#)).boxed();
    let plots = (id(), number()).prop_map(|(unit, n)| format!(r#"{{"unit":{unit},"number":{n}}}"#)).boxed();
    let trees = (maybe(), maybe(), number(), number())
        .prop_map(|(unit, plot, n, tag)| {
            format!(r#"{{"unit":{unit},"plot":{plot},"number":{n},"tag":{tag}}}"#)
        })
        .boxed();
    let logs = (id(), maybe()).prop_map(|(tree, plot)| format!(r#"{{"tree":{tree},"plot":{plot}}}"#)).boxed();
    (of("units", units), of("plots", plots), of("trees", trees), of("logs", logs))
        .prop_map(|(a, b, c, d)| a.into_iter().chain(b).chain(c).chain(d).collect())
}

/// All pairs, by looking at every two entities again and again.
fn searched(files: &Files) -> Clashes {
    let schema = schema();
    let mut class: BTreeMap<EntityKey, EntityKey> =
        files.keys().map(|key| (key.clone(), key.clone())).collect();
    let values = |key: &EntityKey, fields: &[String], class: &BTreeMap<EntityKey, EntityKey>| {
        let (_, state) = files.get(key)?;
        let raw = key_values(state, fields)?;
        let one = |(field, raw): (&String, String)| {
            let first = target(key, state, field).and_then(|target| class.get(&target).cloned());
            first.map_or(raw, |first| first.id().to_string())
        };
        Some(fields.iter().zip(raw).map(one).collect::<Vec<_>>())
    };
    let nobody: BTreeMap<EntityKey, EntityKey> = BTreeMap::new();
    loop {
        let before = class.clone();
        for (a, b) in files.keys().flat_map(|a| files.keys().map(move |b| (a, b))) {
            let fields = schema.collection(a.collection()).unwrap().unique_keys();
            let mut alike = fields.map(|fields| (values(a, fields, &class), values(b, fields, &class)));
            if a.collection() == b.collection() && alike.any(|(a, b)| a.is_some() && a == b) {
                let (one, other) =
                    (class[a].clone().min(class[b].clone()), class[a].clone().max(class[b].clone()));
                class.values_mut().filter(|class| **class == other).for_each(|class| *class = one.clone());
            }
        }
        if class == before {
            break;
        }
    }
    let mut found = Clashes::default();
    for (classes, is_top) in [(&nobody, true), (&class, false)] {
        let mut groups: BTreeMap<Of, BTreeSet<(usize, EntityKey)>> = BTreeMap::new();
        for (key, (file, _)) in files {
            for fields in schema.collection(key.collection()).unwrap().unique_keys() {
                if let Some(values) = values(key, fields, classes) {
                    let group = (key.collection().clone(), fields.to_vec(), values);
                    groups.entry(group).or_default().insert((*file, key.clone()));
                }
            }
        }
        for group in groups.into_values() {
            let mut keys = group.into_iter().map(|(_, key)| key);
            let dest = keys.next().unwrap();
            let pairs: Vec<Pair> = keys.map(|source| Pair { source, dest: dest.clone() }).collect();
            if is_top {
                found.top.extend(pairs);
            } else {
                found.downstream.extend(pairs.into_iter().filter(|pair| !found.top.contains(pair)));
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn what_is_found_by_looking_up_is_what_looking_at_every_pair_finds(files in files()) {
        let Ok(found) = clashes(&All(&files), &schema(), files.keys().cloned());
        prop_assert_eq!(found, searched(&files));
    }
}

#[test]
fn one_clash_on_top_makes_the_whole_chain_below_one() {
    let id = |n: u128| Uuid::from_u128(n + 1);
    let mut files = Files::new();
    // The file of the desk, then that of the crew.
    for file in 0..2 {
        let n = file as u128;
        for (collection, json) in [
            ("units", r#"{"code":"u"}"#.to_owned()),
            ("plots", format!(r#"{{"unit":"{}","number":1}}"#, id(n))),
            ("trees", format!(r#"{{"plot":"{}","number":1,"tag":{file}}}"#, id(n))),
            ("logs", format!(r#"{{"tree":"{0}","plot":"{0}"}}"#, id(n))),
        ] {
            files.insert(key(collection, n), (file, State::from_json(&json).unwrap()));
        }
    }
    let pair = |collection| Pair { source: key(collection, 1), dest: key(collection, 0) };
    let Ok(found) = clashes(&All(&files), &schema(), [key("units", 1)]);
    assert_eq!(found.top, BTreeSet::from([pair("units")]));
    assert_eq!(found.downstream, ["plots", "trees", "logs"].map(pair).into_iter().collect());
}
