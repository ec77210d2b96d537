//! What has to be held because it depends on something that cannot go out.
//!
//! Something that cannot go out *stands*: it is parked, or has an open conflict. Invariant: the answer is the
//! least set that is closed under the rules, so nothing is held without a chain of reasons that ends at
//! something that stands.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::names::{EntityKey, Group};
use super::order::dependents;
use super::plan::Draft;
use super::schema::Schema;

/// Finds the entities whose operations are held because of what stands; those that stand are not named
/// again.
///
/// The drafts are those of all that is unsent, also of what stands: by them it is known what its operation
/// would have done, and its groups. What stands without one holds only those that wait for it by name.
///
/// An entity is held if, of something that stands or is held,
/// - it waits by name (`waits`: who waits, and for whom);
/// - it shares a group, directly or by way of others;
/// - under a schema, it surely depends on what its operation does: refers to what that creates, deletes what
///   that no longer refers to, or takes a unique value that it frees. A reference to something that is
///   there already, and merely stands with an update, holds nothing.
#[must_use]
pub fn waiting(
    drafts: &[Draft],
    schema: Option<&Schema>,
    standing: &HashSet<EntityKey>,
    waits: &[(EntityKey, EntityKey)],
) -> BTreeSet<EntityKey> {
    let keys: HashMap<&EntityKey, usize> =
        drafts.iter().enumerate().map(|(place, draft)| (&draft.planned.operation.key, place)).collect();
    let dependents = schema.map(|schema| dependents(drafts, schema)).unwrap_or_default();
    let mut groups: HashMap<&Group, Vec<&EntityKey>> = HashMap::new();
    for draft in drafts {
        for group in &draft.planned.operation.groups {
            groups.entry(group).or_default().push(&draft.planned.operation.key);
        }
    }
    let mut waiters: HashMap<&EntityKey, Vec<&EntityKey>> = HashMap::new();
    for (who, whom) in waits {
        waiters.entry(whom).or_default().push(who);
    }

    let mut reached: HashSet<&EntityKey> = HashSet::new();
    let mut open: Vec<&EntityKey> = standing.iter().collect();
    while let Some(key) = open.pop() {
        if !reached.insert(key) {
            continue;
        }
        open.extend(waiters.remove(key).into_iter().flatten());
        let Some((place, draft)) = keys.get(key).and_then(|place| drafts.get(*place).map(|draft| (*place, draft)))
        else {
            continue;
        };
        for group in &draft.planned.operation.groups {
            open.extend(groups.remove(group).into_iter().flatten());
        }
        let dependents = dependents.get(place).into_iter().flatten();
        open.extend(
            dependents.filter_map(|place| drafts.get(*place)).map(|draft| &draft.planned.operation.key),
        );
    }
    reached.into_iter().filter(|key| keys.contains_key(key) && !standing.contains(*key)).cloned().collect()
}
