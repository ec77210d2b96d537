//! Making a replica of a journal, and moving it to another schema.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Replica;
use super::error::Error;
use super::keep::{put_record, record};
use super::tables::{CURSORS, FETCHED, LOCAL, LOST};
use super::view::{Cause, View};
use crate::algebra::{EntityKey, Existence, Schema, key_values};
use crate::codec::kept::ReplicaRecord;
use crate::journal::error::engine;
use crate::journal::tables::CONFLICTS;
use crate::journal::{Journal, Work};

impl Replica {
    /// Makes a replica of a journal, by the schema that it was opened with; what is pending there is seen in it.
    ///
    /// # Errors
    /// A schema with a unique key that stored entities share, or what the journal says.
    pub fn of(journal: Journal) -> Result<Self, Error> {
        let schema = Arc::new(journal.inner.options.schema.clone().unwrap_or_default());
        let replica = Replica { journal, schema, watchers: Arc::new(Mutex::new(Vec::new())) };
        replica.prepare()?;
        Ok(replica)
    }

    fn prepare(&self) -> Result<(), Error> {
        let wanted = self.schema.to_json();
        let is_ready = self.journal.inner.read(|snapshot| match snapshot.keyed_if_there(LOCAL)? {
            None => Ok(false),
            Some(_) => Ok(record(snapshot)?.schema == wanted),
        })?;
        if is_ready {
            return Ok(());
        }
        self.maintain(|work, view| {
            let found = super::keep::record_in(work.txn)?;
            let is_new = found.is_none();
            if is_new {
                for table in [CONFLICTS, CURSORS, FETCHED] {
                    work.txn.open_table(table).map_err(engine)?;
                }
                work.txn.open_table(LOST).map_err(engine)?;
            }
            let record = ReplicaRecord { schema: wanted.clone(), ..found.unwrap_or_default() };
            put_record(work.txn, &record)?;
            work.has_written = true;
            if is_new {
                show_pending(work, view)?;
            }
            index_anew(view, &self.schema)
        })
    }
}

/// Lays what the journal holds unsent over what it knows.
fn show_pending(work: &mut Work<'_>, view: &mut View<'_, super::Tables<'_>>) -> Result<(), Error> {
    let own = work.snapshot.identity()?.replica;
    let own = crate::algebra::ReplicaId(uuid::Uuid::from_bytes(own));
    for (key, effect) in super::rebase::all_unsent(work)? {
        let (base, stamps) = view.base(&key)?;
        view.lay(&key, &base, &stamps, Some((&effect, own)), Cause::Local)?;
    }
    Ok(())
}

/// Builds the indexes from what is seen, as the schema asks for.
fn index_anew(view: &mut View<'_, super::Tables<'_>>, schema: &Schema) -> Result<(), Error> {
    view.clear_indexes()?;
    let keys = view.keys(None)?;
    for key in &keys {
        let visible = view.visible(key)?;
        view.index(key, &visible.existence, true)?;
    }
    for (collection, declared) in schema.collections() {
        for fields in declared.unique_keys() {
            let mut holders: HashMap<Vec<String>, Vec<EntityKey>> = HashMap::new();
            for key in keys.iter().filter(|key| key.collection() == collection) {
                // What clashes with another side's entity is an open conflict, not a mistake of the schema's.
                let (base, _) = view.base(key)?;
                if view.local(key)?.is_some() && base.live_state().is_none() {
                    continue;
                }
                if let Existence::Live(state) = view.visible(key)?.existence
                    && let Some(values) = key_values(&state, fields)
                {
                    holders.entry(values).or_default().push(key.clone());
                }
            }
            if let Some(holders) = holders.into_values().find(|holders| holders.len() > 1) {
                let collection = collection.to_string();
                return Err(Error::Duplicates { collection, unique: fields.to_vec(), holders });
            }
        }
    }
    Ok(())
}
