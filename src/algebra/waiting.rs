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
        // Of whom nothing is unsent any more, nothing waits, and nobody waits for it.
        open.extend(waiters.remove(key).into_iter().flatten().filter(|who| keys.contains_key(who)));
        let Some((place, draft)) =
            keys.get(key).and_then(|place| drafts.get(*place).map(|draft| (*place, draft)))
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::algebra::{CollectionName, Operation, Patch, Planned, Seq, State};

    fn key(number: u128) -> EntityKey {
        EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(number)).unwrap()
    }

    fn draft(operation: Operation, before: Option<State>) -> Draft {
        let (first, last) = (Seq(1), Seq(1));
        Draft {
            planned: Planned { operation, base: None, first, last, operations: 1, touched: None },
            before,
        }
    }

    fn delete(number: u128, groups: &[&str]) -> Draft {
        let groups = groups.iter().map(|group| group.parse().unwrap());
        draft(groups.fold(Operation::delete(key(number)), Operation::in_group), None)
    }

    fn up(number: u128) -> State {
        State::from_json(&format!(r#"{{"up":"{}"}}"#, Uuid::from_u128(number))).unwrap()
    }

    fn held(drafts: &[Draft], standing: &[u128], waits: &[(u128, u128)]) -> Vec<u128> {
        let schema = r#"{"collections":{"notes":{"unique":[["name"]],"references":{"up":{"to":"notes"}}}}}"#;
        let schema = Schema::from_json(schema).unwrap();
        let standing = standing.iter().copied().map(key).collect();
        let waits: Vec<_> = waits.iter().map(|(who, whom)| (key(*who), key(*whom))).collect();
        waiting(drafts, Some(&schema), &standing, &waits).iter().map(|key| key.id().as_u128()).collect()
    }

    #[test]
    fn who_waits_by_name_is_held_as_long_as_that_stands_or_is_held() {
        let drafts = [delete(1, &[]), delete(2, &[]), delete(3, &[])];
        let waits = [(1, 2), (2, 9)];
        assert_eq!(held(&drafts, &[9], &waits), [1, 2]);
        assert_eq!(held(&drafts, &[], &waits), [0; 0]);
        assert_eq!(held(&drafts, &[], &[(1, 2), (2, 1)]), [0; 0], "no one is held by a circle alone");
    }

    #[test]
    fn nobody_is_held_by_way_of_who_waited_and_has_nothing_to_send_any_more() {
        let drafts = [delete(1, &[])];
        assert_eq!(held(&drafts, &[9], &[(1, 2), (2, 9)]), [0; 0]);
        assert_eq!(held(&drafts, &[9, 2], &[(1, 2), (2, 9)]), [1]);
    }

    #[test]
    fn groups_are_held_whole_and_by_way_of_others() {
        let drafts = [delete(1, &["a"]), delete(2, &["a", "b"]), delete(3, &["b"]), delete(4, &["c"])];
        assert_eq!(held(&drafts, &[1], &[]), [2, 3]);
        assert_eq!(held(&drafts, &[4], &[]), [0; 0]);
    }

    #[test]
    fn what_refers_to_a_create_that_stands_is_held() {
        let child = draft(Operation::create(key(2), up(1)), None);
        let grandchild = draft(Operation::create(key(3), up(2)), None);
        let stranger = draft(Operation::create(key(4), up(9)), None);
        let family = [child, grandchild, stranger];
        let create = draft(Operation::create(key(1), State::empty()), None);
        assert_eq!(held(&[&[create], &family[..]].concat(), &[1], &[]), [2, 3]);
        let patch = Operation::patch(key(1), Patch::empty());
        for before in [None, Some(State::empty())] {
            let update = draft(patch.clone(), before);
            assert_eq!(held(&[&[update], &family[..]].concat(), &[1], &[]), [0; 0], "it is there");
        }
    }

    #[test]
    fn what_needs_a_change_that_stands_is_held() {
        let name = State::from_json(r#"{"name":"a"}"#).unwrap();
        let clear = Patch::from_json(r#"{"name":null,"up":null}"#).unwrap();
        let frees =
            draft(Operation::patch(key(1), clear), Some(up(3).with(&State::empty().changes_to(&name))));
        let takes = draft(Operation::create(key(2), name), None);
        let drafts = [frees, takes, draft(Operation::delete(key(3)), Some(State::empty()))];
        assert_eq!(held(&drafts, &[1], &[]), [2, 3]);
        assert_eq!(held(&drafts, &[2, 3], &[]), [0; 0]);
    }
}
