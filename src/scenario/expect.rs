//! What a scenario expects, against what there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::client::Refused;
use super::play::Player;
use super::step::{Expect, Losers};
use crate::algebra::{Change, CollectionName, EntityKey, Planned, State, Update};
use crate::merge::Pair;
use crate::replica;

/// What was expected and what was found in its place.
type Mismatch = Option<(String, String)>;

/// Compares, and gives the first mismatch.
macro_rules! require {
    ($expected:expr, $found:expr) => {
        let (expected, found) = ($expected, $found);
        if expected != found {
            return Ok(Some((shown(&expected), shown(&found))));
        }
    };
}

fn shown(value: &Value) -> String {
    value.to_string()
}

impl Player<'_> {
    pub(super) fn expect(&mut self, expect: &Expect) -> Result<Mismatch, Refused> {
        let wrong = |error: crate::algebra::Error| Refused::from(replica::Error::from(error));
        if let Some(expected) = expect.refused {
            let found = self.refused.clone();
            if expected != found.is_some() {
                let expected =
                    if expected { "the last step to be refused" } else { "the last step to be taken" };
                let found = found.map_or_else(|| "it was taken".to_owned(), |why| format!("refused: {why}"));
                return Ok(Some((expected.to_owned(), found)));
            }
        }
        let found = self.clashes.clone().unwrap_or_default();
        for (expected, found) in [(&expect.clashes, &found.top), (&expect.downstream, &found.downstream)] {
            let Some(expected) = expected else { continue };
            let mut pairs = BTreeSet::new();
            for (source, dest) in expected {
                let (source, dest) =
                    (self.names.key(source).map_err(wrong)?, self.names.key(dest).map_err(wrong)?);
                pairs.insert(Pair { source, dest });
            }
            let listed = |pairs: &BTreeSet<Pair>| {
                let named = |pair: &Pair| json!([pair.source.to_string(), pair.dest.to_string()]);
                Value::Array(pairs.iter().map(named).collect())
            };
            require!(listed(&pairs), listed(found));
        }
        let key = expect.entity.as_deref().map(|entity| self.names.key(entity)).transpose().map_err(wrong)?;
        if let (Some(key), Some(expected)) = (&key, &expect.state) {
            let expected = match expected {
                Some(fields) => value_of(&self.names.state(key, fields).map_err(wrong)?),
                None => Value::Null,
            };
            if expect.authority {
                let found = self.link.live().find(|(live, _)| *live == key);
                require!(expected.clone(), found.map_or(Value::Null, |(_, state)| value_of(state)));
            }
            if let Some(client) = &expect.client {
                let found = self.client(client)?.replica().get(key)?;
                require!(expected, found.as_ref().map_or(Value::Null, value_of));
            }
        }
        if let (Some(key), Some(expected), Some(client)) = (&key, expect.status, &expect.client) {
            let found = self.client(client)?.replica().entity(key)?.status as u8;
            require!(json!({ "status": expected }), json!({ "status": found }));
        }
        if let (Some(live), Some(collection)) = (&expect.live, &expect.collection) {
            let collection = CollectionName::new(collection).map_err(wrong)?;
            let mut expected: Vec<String> = live.iter().map(|id| self.names.id(id).to_string()).collect();
            expected.sort();
            let mut found: Vec<String> = match &expect.client {
                Some(client) => {
                    let live = self.client(client)?.replica().list(&collection)?;
                    live.into_iter().map(|(id, _)| id.to_string()).collect()
                }
                None => {
                    let live = self.link.live().filter(|(key, _)| *key.collection() == collection);
                    live.map(|(key, _)| key.id().to_string()).collect()
                }
            };
            found.sort();
            require!(json!({ "live": expected }), json!({ "live": found }));
        }
        if let Some(client) = &expect.client {
            if let Some(mismatch) = self.expect_sent(client, expect)? {
                return Ok(Some(mismatch));
            }
            if let Some(mismatch) = self.expect_counts(client, expect)? {
                return Ok(Some(mismatch));
            }
        }
        if expect.converged == Some(true) {
            return self.expect_converged();
        }
        Ok(None)
    }

    fn expect_sent(&mut self, client: &str, expect: &Expect) -> Result<Mismatch, Refused> {
        let sent = self.client(client)?.sent.clone();
        let found: Vec<Value> =
            sent.iter().flat_map(|bunch| &bunch.operations).map(|planned| self.written(planned)).collect();
        if let Some(expected) = &expect.sent {
            let expected: Vec<Value> = expected.iter().map(|operation| self.meant(operation)).collect();
            require!(json!({ "sent": expected }), json!({ "sent": found.clone() }));
        }
        if let Some(expected) = &expect.sent_set {
            let sorted = |mut all: Vec<Value>| {
                all.sort_by_key(Value::to_string);
                all
            };
            let expected = sorted(expected.iter().map(|operation| self.meant(operation)).collect());
            require!(json!({ "sent_set": expected }), json!({ "sent_set": sorted(found) }));
        }
        Ok(None)
    }

    fn expect_counts(&mut self, client: &str, expect: &Expect) -> Result<Mismatch, Refused> {
        let replica = self.client(client)?.replica().clone();
        let journal = replica.journal();
        if let Some(expected) = expect.pending {
            let plan = journal.plan().map_err(replica::Error::from)?;
            let pending: BTreeSet<String> =
                plan.operations.iter().map(|planned| planned.operation.key.to_string()).collect();
            if pending.len() != expected {
                return Ok(Some((format!("{expected} pending"), format!("{}: {pending:?}", pending.len()))));
            }
        }
        if let Some(expected) = expect.parked {
            let parked = journal.parked().map_err(replica::Error::from)?;
            let parked: Vec<String> = parked.iter().map(|parked| parked.key.to_string()).collect();
            if parked.len() != expected {
                return Ok(Some((format!("{expected} parked"), format!("{}: {parked:?}", parked.len()))));
            }
        }
        if let Some(expected) = expect.conflicts {
            let open: Vec<String> =
                replica.conflicts()?.iter().map(|conflict| conflict.key.to_string()).collect();
            if open.len() != expected {
                return Ok(Some((format!("{expected} open conflicts"), format!("{}: {open:?}", open.len()))));
            }
        }
        if let Some(expected) = &expect.losers {
            let found: Vec<(String, Value)> = replica
                .losers()?
                .iter()
                .map(|lost| {
                    (lost.key.to_string(), serde_json::from_str(lost.fields.as_json()).unwrap_or_default())
                })
                .collect();
            let found = sorted_values(&found);
            match expected {
                Losers::Count(count) if *count == found.len() => {}
                Losers::Count(count) => {
                    return Ok(Some((
                        format!("{count} losers"),
                        format!("{}: {}", found.len(), json!(found)),
                    )));
                }
                Losers::List(list) => {
                    let mut expected = Vec::new();
                    for (entity, fields) in list {
                        let key = self.names.key(entity).map_err(replica::Error::from)?;
                        let fields = self.names.patch(&key, fields).map_err(replica::Error::from)?;
                        let fields = serde_json::from_str(fields.as_json()).unwrap_or_default();
                        expected.push((key.to_string(), fields));
                    }
                    require!(json!({ "losers": sorted_values(&expected) }), json!({ "losers": found }));
                }
            }
        }
        if let Some(expected) = &expect.reads {
            let mut keys = Vec::new();
            for entity in expected {
                keys.push(self.names.key(entity).map_err(replica::Error::from)?);
            }
            let listed = |keys: &[EntityKey]| {
                let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                keys.sort();
                json!({ "reads": keys })
            };
            require!(listed(&keys), listed(&self.client(client)?.reads));
        }
        Ok(None)
    }

    /// The authority and every client see the same live set, parked and held entities aside.
    fn expect_converged(&self) -> Result<Mismatch, Refused> {
        let there: BTreeMap<String, Value> =
            self.link.live().map(|(key, state)| (key.to_string(), value_of(state))).collect();
        for (name, client) in &self.clients {
            let aside: BTreeSet<String> =
                client.replica().undecided()?.iter().map(ToString::to_string).collect();
            let mut here = BTreeMap::new();
            for key in client.replica().known()? {
                if let Some(state) = client.replica().get(&key)? {
                    here.insert(key.to_string(), value_of(&state));
                }
            }
            let counted = |all: &BTreeMap<String, Value>| {
                let kept = all.iter().filter(|(key, _)| !aside.contains(*key));
                kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<String, Value>>()
            };
            let (there, here) = (counted(&there), counted(&here));
            if there != here {
                let expected = format!("{name} to see what the authority holds: {}", Value::Object(there));
                return Ok(Some((expected, Value::Object(here).to_string())));
            }
        }
        Ok(None)
    }

    /// An operation as a scenario writes it, with names in place of ids.
    fn written(&self, planned: &Planned) -> Value {
        let operation = &planned.operation;
        let entity = operation.key.to_string();
        match &operation.change {
            Change::Create(state) => json!({ "op": "create", "entity": entity, "state": value_of(state) }),
            Change::Update(Update::State(state)) => {
                json!({ "op": "update", "entity": entity, "state": value_of(state) })
            }
            Change::Update(Update::Patch(patch)) => {
                let patch: Value = serde_json::from_str(patch.as_json()).unwrap_or_default();
                json!({ "op": "update", "entity": entity, "patch": patch })
            }
            Change::Delete => json!({ "op": "delete", "entity": entity }),
        }
    }

    /// An operation of a scenario as it is meant, with ids in place of names.
    fn meant(&mut self, operation: &Value) -> Value {
        let mut meant = operation.clone();
        let Some(entity) = operation.get("entity").and_then(Value::as_str) else { return meant };
        let Ok(key) = self.names.key(entity) else { return meant };
        if let Some(fields) = meant.as_object_mut() {
            fields.insert("entity".to_owned(), Value::String(key.to_string()));
            if let Some(Value::Object(state)) = fields.get("state").cloned()
                && let Ok(state) = self.names.state(&key, &state)
            {
                fields.insert("state".to_owned(), value_of(&state));
            }
            if let Some(Value::Object(patch)) = fields.get("patch").cloned()
                && let Ok(patch) = self.names.patch(&key, &patch)
            {
                fields.insert("patch".to_owned(), serde_json::from_str(patch.as_json()).unwrap_or_default());
            }
        }
        meant
    }
}

fn value_of(state: &State) -> Value {
    serde_json::from_str(state.as_json()).unwrap_or_default()
}

fn sorted_values(values: &[(String, Value)]) -> Vec<Value> {
    let mut all: Vec<Value> = values.iter().map(|(entity, fields)| json!([entity, fields])).collect();
    all.sort_by_key(Value::to_string);
    all
}
