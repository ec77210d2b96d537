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
        if rows.saturating_mul(SLOT_BYTES) <= pass_bytes / 4 {
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
        let number = estimate.bytes.div_ceil(left.max(SLOT_BYTES)).max(1);
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
