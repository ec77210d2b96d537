//! How what is folded stays within its memory: all at once, or in parts by the hashes of the entities.

use super::alone::Crowded;
use super::error::Error;
use super::folding::{Folding, Part, SLOT_BYTES, Sources};

/// How some sources are folded.
pub(crate) struct Parts {
    /// Who is folded at all, where most are alone.
    pub(crate) crowded: Option<Crowded>,
    /// How often the rows are read to fold them.
    pub(crate) number: u64,
    /// About how many entities are folded each time, or a few more.
    entities: u64,
}

impl Parts {
    /// What folding takes about so many bytes at most.
    pub(crate) fn of(folding: &mut Folding, sources: &Sources, pass_bytes: u64) -> Result<Self, Error> {
        let rows = sources.rows();
        let few = pass_bytes / 4;
        if rows.saturating_mul(SLOT_BYTES) <= few && folding.payload_bytes(sources)? <= few {
            return Ok(Parts { crowded: None, number: 1, entities: rows });
        }
        let mut estimate = folding.estimate(sources, None)?;
        let mut crowded = None;
        if estimate.bytes > pass_bytes && estimate.entities > rows / 2 {
            let found = Crowded::of(folding, sources, pass_bytes / 4)?;
            estimate = folding.estimate(sources, Some(&found))?;
            crowded = Some(found);
        }
        let left = pass_bytes.saturating_sub(crowded.as_ref().map_or(0, Crowded::bytes));
        // Of one entity there are no parts.
        let number = estimate.bytes.div_ceil(left.max(SLOT_BYTES)).clamp(1, estimate.entities.max(1));
        let entities = estimate.entities.div_ceil(number);
        Ok(Parts { crowded, number, entities: entities.saturating_add(entities / 16).min(rows) })
    }

    /// Whether one part is all there is.
    pub(crate) fn is_whole(&self) -> bool {
        self.number == 1 && self.crowded.is_none()
    }

    /// Folds a part, and forgets the one before it.
    pub(crate) fn fold(&self, folding: &mut Folding, sources: &Sources, part: u64) -> Result<(), Error> {
        folding.clear(self.entities);
        folding.fold(sources, Part::Hashed { part, of: self.number, crowded: self.crowded.as_ref() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::{CollectionName, EntityKey, Operation, Patch};
    use crate::journal::{Durability, Journal, rewrite};

    #[test]
    fn few_rows_with_much_to_gather_are_folded_in_parts() {
        const PASS_BYTES: u64 = 4 << 20;
        let journal = Journal::in_memory().unwrap();
        let notes = CollectionName::new("notes").unwrap();
        for (field, bytes, parts) in [("a", 20_000, 1), ("b", 20_000, 3), ("b", 1, 2)] {
            let edits: Vec<Operation> = (1..=250)
                .map(|n| {
                    let key = EntityKey::new(notes.clone(), uuid::Uuid::from_u128(n)).unwrap();
                    let json = format!(r#"{{"{field}":"{}"}}"#, "x".repeat(bytes));
                    Operation::patch(key, Patch::from_json(&json).unwrap())
                })
                .collect();
            journal.append(&edits, Durability::Durable).unwrap();
            let found = journal.inner.read(|snapshot| {
                let mut folding = Folding::new(snapshot)?;
                let sources = rewrite::all(&folding, &snapshot.state()?)?;
                Ok(Parts::of(&mut folding, &sources, PASS_BYTES)?.number)
            });
            assert!(found.unwrap() >= parts, "{field} of {bytes}");
        }
    }
}
