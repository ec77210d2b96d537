//! Things that come up, each once: what is alike by its digest is one thing with one number.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

/// A table of things. What two threads put at once is the same thing, so either may win.
pub(crate) struct Table<T>(RwLock<Numbered<T>>);

/// Numbers by digest, and things by number.
type Numbered<T> = (HashMap<blake3::Hash, u32>, Vec<Arc<T>>);

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Table(RwLock::default())
    }

    pub(crate) fn put(&self, digest: blake3::Hash, thing: T) -> u32 {
        let (numbers, things) = &mut *self.0.write().unwrap_or_else(PoisonError::into_inner);
        *numbers.entry(digest).or_insert_with(|| {
            things.push(Arc::new(thing));
            u32::try_from(things.len() - 1).unwrap()
        })
    }

    pub(crate) fn get(&self, number: u32) -> Arc<T> {
        let (_, things) = &*self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&things[number as usize])
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).1.len()
    }
}

/// What was worked out once.
pub(crate) struct Memo<K, V>(RwLock<HashMap<K, V>>);

impl<K: Eq + std::hash::Hash, V: Clone> Memo<K, V> {
    pub(crate) fn new() -> Self {
        Memo(RwLock::default())
    }

    pub(crate) fn get(&self, key: K, work: impl FnOnce(&K) -> V) -> V {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let value = work(&key);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        value
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The digest of what is told apart by how it is shown.
pub(crate) fn digest(shown: &impl Debug) -> blake3::Hash {
    blake3::hash(format!("{shown:?}").as_bytes())
}
