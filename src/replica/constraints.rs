//! What must hold when a local transaction ends: unique keys and references of what it touched.

use std::collections::BTreeMap;

use super::Tables;
use super::error::Error;
use super::view::View;
use crate::algebra::{EntityKey, Existence, OnDelete, State, Version, key_values, referred};

/// Looks at what a transaction touched, given what each entity was before it.
pub(super) fn require(
    view: &View<'_, Tables<'_>>,
    touched: &BTreeMap<EntityKey, Version>,
) -> Result<(), Error> {
    Constraints { view, touched }.require()
}

/// Refuses to leave something behind that refers to what is not live any more.
pub(super) fn require_unneeded(
    view: &View<'_, Tables<'_>>,
    touched: &BTreeMap<EntityKey, Version>,
) -> Result<(), Error> {
    for key in touched.keys() {
        if view.visible(key)?.existence.is_live() {
            continue;
        }
        for (from, field, _) in view.schema.referrers(key.collection()) {
            if let Some(by) = view.children(key, from, field)?.into_iter().next() {
                return Err(Error::Needed { key: key.clone(), by, field: field.to_owned() });
            }
        }
    }
    Ok(())
}

struct Constraints<'v, 't, 's> {
    view: &'v View<'s, Tables<'t>>,
    touched: &'v BTreeMap<EntityKey, Version>,
}

impl Constraints<'_, '_, '_> {
    fn require(&self) -> Result<(), Error> {
        for (key, before) in self.touched {
            let now = self.view.visible(key)?;
            match &now.existence {
                Existence::Live(state) => {
                    self.require_references(key, before, state)?;
                    self.require_unique(key, before, state)?;
                }
                Existence::Dead(_) => self.require_restricted(key)?,
                Existence::Absent => {}
            }
        }
        Ok(())
    }

    fn require_references(&self, key: &EntityKey, before: &Version, state: &State) -> Result<(), Error> {
        let Some(declared) = self.view.schema.collection(key.collection()) else { return Ok(()) };
        for (field, reference) in declared.references() {
            let was = before.existence.live().map(|state| state.raw(field));
            if was == Some(state.raw(field)) {
                continue;
            }
            let wrong = |why: String| Error::NotAReference { key: key.clone(), field: field.to_owned(), why };
            let to = referred(state, field, reference).map_err(|error| wrong(error.to_string()))?;
            let Some(to) = to else {
                if reference.is_required {
                    return Err(wrong("it holds none".to_owned()));
                }
                continue;
            };
            if to != *key && matches!(self.view.visible(&to)?.existence, Existence::Dead(_)) {
                return Err(Error::DeadReference { key: key.clone(), field: field.to_owned(), to });
            }
        }
        Ok(())
    }

    fn require_unique(&self, key: &EntityKey, before: &Version, state: &State) -> Result<(), Error> {
        let Some(declared) = self.view.schema.collection(key.collection()) else { return Ok(()) };
        for (number, fields) in declared.unique_keys().enumerate() {
            let Some(values) = key_values(state, fields) else { continue };
            if before.existence.live().and_then(|before| key_values(before, fields)).as_ref() == Some(&values)
            {
                continue;
            }
            let holders = self.view.holders(key.collection(), number, &values)?;
            if let Some(holder) = holders.into_iter().find(|holder| holder != key) {
                return Err(Error::Taken { key: key.clone(), unique: fields.to_vec(), holder });
            }
        }
        Ok(())
    }

    fn require_restricted(&self, key: &EntityKey) -> Result<(), Error> {
        for (from, field, reference) in self.view.schema.referrers(key.collection()) {
            if reference.on_delete == OnDelete::Restrict
                && let Some(by) = self.view.children(key, from, field)?.into_iter().next()
            {
                return Err(Error::Restricted { key: key.clone(), by, field: field.to_owned() });
            }
        }
        Ok(())
    }
}
