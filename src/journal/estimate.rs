//! What a fold would take, found without folding: the smallest hashes tell how many entities there are (a KMV
//! sketch), and the entities that they belong to are a fair sample of how much is held of each.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::alone::Crowded;
use super::entry::group_names;
use super::error::Error;
use super::folding::{Folding, SLOT_BYTES, Sources, local};
use super::gather::{GATHERED_PART_BYTES, GATHERING_BYTES, gathered_bytes_max};
use crate::codec::columns::no_row;
use crate::codec::row::ContentKind;

/// So many entities are sampled: their number is then off by some three in a hundred.
const SAMPLED: usize = 1024;

/// What a part costs that does not replace those before it: its place in the chain…
const CHAINED_BYTES: u64 = 16;

/// …and among what is to be read.
const WANTED_BYTES: u64 = 16;

/// What a group of an entity costs: its name, and its place in the set.
pub(super) const GROUP_BYTES: usize = 96;

/// So many groups of a sampled entity are told apart; of more, each time that one is named counts.
const TOLD_APART: usize = 256;

/// What folding some sources at once would take, about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) entities: u64,
    pub(crate) bytes: u64,
}

/// The parts of one entity that matter.
#[derive(Clone, Copy, Debug, Default)]
struct SampledParts {
    parts: usize,
    /// Those that write something.
    gathered: usize,
    payload_bytes: usize,
    largest: usize,
}

/// What is held of one entity.
#[derive(Clone, Debug, Default)]
struct Sampled {
    parts: SampledParts,
    /// The hashes of some of its groups, and how often others were named.
    groups: HashSet<u64>,
    other_groups: usize,
}

impl Folding {
    /// About how much memory it takes to fold the sources at once.
    pub(crate) fn estimate(
        &mut self,
        sources: &Sources,
        crowded: Option<&Crowded>,
    ) -> Result<Estimate, Error> {
        let mut sample: BTreeMap<u64, Sampled> = BTreeMap::new();
        let mut bound = u64::MAX;
        let (mut rows_seen, mut merges, mut keeps) = (0_u64, 0_u64, 0_u64);
        self.scan(sources, |scanned, _, slots, names, rows| {
            for (place, ((id, name), content)) in rows.whom().zip(rows.contents()).enumerate() {
                let of = content.ok_or_else(no_row).and_then(|content| Ok((content, local(names, name)?)));
                let (content, collection) = of.map_err(|error| scanned.damaged(error))?;
                let hash = slots.whom(collection, id).hash;
                if crowded.is_some_and(|crowded| !crowded.has(hash)) {
                    continue;
                }
                rows_seen += 1;
                merges += u64::from(content == ContentKind::Merge);
                keeps += u64::from(content == ContentKind::Keep);
                // Who is among the smallest hashes in the end was so from its first row on.
                if hash <= bound {
                    let (fields, extra) = rows.payload_bytes(place).next().unwrap_or_default();
                    let bytes = usize::try_from(fields.saturating_add(extra)).unwrap_or(usize::MAX);
                    let sampled = sample.entry(hash).or_default();
                    sampled.parts.add(content, bytes);
                    let row = rows.row(place).ok_or_else(no_row);
                    let groups = row.and_then(|row| group_names(&row, &rows.preamble));
                    sampled.add_groups(groups.map_err(|error| scanned.damaged(error))?);
                    if sample.len() > SAMPLED {
                        sample.pop_last();
                        bound = sample.last_key_value().map_or(u64::MAX, |(hash, _)| *hash);
                    }
                }
            }
            Ok(())
        })?;
        let sampled = sample.len() as u64;
        let entities = if sample.len() < SAMPLED {
            sampled
        } else {
            let estimate = u128::from(sampled) * u128::from(u64::MAX) / u128::from(bound.max(1));
            u64::try_from(estimate).unwrap_or(u64::MAX).min(rows_seen)
        };
        let held = sample.values().fold(0, |held: u64, entity| held.saturating_add(entity.held() as u64));
        let held = u128::from(held) * u128::from(entities) / u128::from(sampled.max(1));
        let held = u64::try_from(held).unwrap_or(u64::MAX);
        let chained = merges * (CHAINED_BYTES + WANTED_BYTES) + keeps * CHAINED_BYTES;
        let bytes = (entities * SLOT_BYTES).saturating_add(chained).saturating_add(held);
        Ok(Estimate { entities, bytes })
    }
}

impl Sampled {
    fn add_groups(&mut self, groups: &[String]) {
        for group in groups {
            if self.groups.len() < TOLD_APART {
                self.groups.insert(FixedState::default().hash_one(group));
            } else {
                self.other_groups += 1;
            }
        }
    }

    fn held(&self) -> usize {
        let groups = self.groups.len().saturating_add(self.other_groups);
        self.parts.held().saturating_add(groups.saturating_mul(GROUP_BYTES))
    }
}

impl SampledParts {
    fn add(&mut self, content: ContentKind, bytes: usize) {
        if content == ContentKind::Replace {
            *self = SampledParts::default();
        }
        self.parts += 1;
        if content != ContentKind::Keep {
            self.gathered += 1;
            self.payload_bytes = self.payload_bytes.saturating_add(bytes);
            self.largest = self.largest.max(bytes);
        }
    }

    /// What is held of it until the last part comes; of one that has one part, nothing.
    fn held(&self) -> usize {
        if self.parts < 2 {
            return 0;
        }
        let gathered = self.payload_bytes.saturating_add(self.gathered * GATHERED_PART_BYTES);
        GATHERING_BYTES + gathered.min(gathered_bytes_max(self.largest + GATHERED_PART_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_groups_of_an_entity_no_more_are_told_apart_than_there_is_room_for() {
        let groups = |number: usize| (0..number).map(|group| group.to_string()).collect::<Vec<_>>();
        let held = |numbers: &[usize]| {
            let mut sampled = Sampled::default();
            numbers.iter().for_each(|number| sampled.add_groups(&groups(*number)));
            assert!(sampled.groups.len() <= TOLD_APART);
            sampled.held() / GROUP_BYTES
        };
        assert_eq!(held(&[TOLD_APART, TOLD_APART]), 2 * TOLD_APART);
        assert_eq!(held(&[100, 100]), 100);
        assert_eq!(held(&[3 * TOLD_APART]), 3 * TOLD_APART);
    }
}
