//! Reading what is wanted: a statement for each kind of it, all in one round trip.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use uuid::Uuid;

use super::error::PostgresError;
use super::foresight::Wants;
use super::held::Held;
use super::pipeline::Call;
use super::row::{get, stored};
use super::statements::ROW;
use super::tables::{Reference, Tables};
use super::values::key_text;
use crate::algebra::{CollectionName, EntityKey, Schema};

/// What a statement asks for, which says what its rows are.
pub(super) enum Asking<'t> {
    Entities(CollectionName, BTreeSet<Uuid>),
    Holders(CollectionName, Vec<String>, Vec<Vec<String>>),
    Referrers(CollectionName, &'t Reference, CollectionName, BTreeSet<Uuid>),
}

/// The statements for what is wanted. What has no table is nowhere, and nobody holds or refers to it.
pub(super) fn asked<'t>(
    tables: &'t Tables,
    account: i64,
    wants: Wants,
    held: &mut Held,
) -> Vec<(Asking<'t>, Call)> {
    let mut all = Vec::new();
    for (collection, ids) in wants.entities {
        match tables.get(&collection) {
            Some(table) => {
                let given: Vec<Uuid> = ids.iter().copied().collect();
                let call = Call::new(&table.says.rows).with(account).with(given);
                all.push((Asking::Entities(collection, ids), call));
            }
            None => {
                ids.into_iter().filter_map(|id| named(&collection, id)).for_each(|key| held.take_absent(key))
            }
        }
    }
    for ((collection, fields), values) in wants.holders {
        let Some((_, key)) = tables.get(&collection).and_then(|table| table.key(&fields)) else { continue };
        let values: Vec<Vec<String>> = values.into_iter().collect();
        let column = |place: usize| -> Vec<String> {
            values.iter().filter_map(|values| values.get(place)).map(|raw| key_text(raw)).collect()
        };
        let call = Call::new(&key.holders).with(account);
        let call = (0..fields.len()).fold(call, |call, place| call.with(column(place)));
        all.push((Asking::Holders(collection, fields, values), call));
    }
    for (to, ids) in wants.referrers {
        for (from, table) in &tables.of {
            for reference in table.references.iter().filter(|reference| reference.to == to) {
                let given: Vec<Uuid> = ids.iter().copied().collect();
                let call = Call::new(&reference.referrers).with(account).with(given);
                all.push((Asking::Referrers(from.clone(), reference, to.clone(), ids.clone()), call));
            }
        }
    }
    all
}

/// Takes what a statement gave.
pub(super) fn take(
    held: &mut Held,
    tables: &Tables,
    schema: &Schema,
    asking: Asking<'_>,
    rows: &[Row],
) -> Result<(), PostgresError> {
    match asking {
        Asking::Entities(collection, mut ids) => {
            for row in rows {
                ids.remove(&take_row(held, tables, schema, &collection, row)?.id());
            }
            ids.into_iter().filter_map(|id| named(&collection, id)).for_each(|key| held.take_absent(key));
        }
        Asking::Holders(collection, fields, values) => {
            let mut found: Vec<Vec<Uuid>> = vec![Vec::new(); values.len()];
            for row in rows {
                let place = usize::try_from(get::<i64>(row, 0)?.saturating_sub(1)).unwrap_or(usize::MAX);
                if let Some(found) = found.get_mut(place) {
                    found.push(get(row, 1)?);
                }
            }
            for (values, mut ids) in values.into_iter().zip(found) {
                ids.sort_unstable();
                held.holders.insert((collection.clone(), fields.clone(), values), ids);
            }
        }
        Asking::Referrers(from, reference, to, parents) => {
            let referred = |id: Uuid| Some((named(&to, id)?, from.clone(), reference.field.clone()));
            for place in parents.into_iter().filter_map(referred) {
                held.referrers.insert(place, Vec::new());
            }
            for row in rows {
                let child = take_row(held, tables, schema, &from, row)?;
                let parent: Uuid = get(row, ROW.len() + 1)?;
                let place = referred(parent);
                if let Some(ids) = place.and_then(|place| held.referrers.get_mut(&place)) {
                    ids.push(child.id());
                    ids.sort_unstable();
                }
            }
        }
    }
    Ok(())
}

fn take_row(
    held: &mut Held,
    tables: &Tables,
    schema: &Schema,
    collection: &CollectionName,
    row: &Row,
) -> Result<EntityKey, PostgresError> {
    let (id, stored, place) = stored(row)?;
    let key = EntityKey::new(collection.clone(), id)
        .map_err(|error| PostgresError::damaged(format!("a row of {collection}"), error))?;
    held.take(tables, schema, key.clone(), stored, place);
    Ok(key)
}

fn named(collection: &CollectionName, id: Uuid) -> Option<EntityKey> {
    EntityKey::new(collection.clone(), id).ok()
}
