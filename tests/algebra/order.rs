//! Law 6 by brute force: with a schema, every prefix of a plan respects references and unique keys wherever
//! an order exists that does. Small worlds (two collections, three ids, values that collide) go from one
//! valid state to another; a search over all orders says what was possible.
//!
//! The judge, `foldlog::testing::prefixes`, knows states, not operations' edges: it shares no rule with what it
//! judges.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::collections::BTreeSet;

use foldlog::algebra::*;
use foldlog::testing::cases;
use foldlog::testing::prefixes::{
    Standing, Standings, apply, faults, has_valid_order, is_valid_at_every_prefix, prefixes,
};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use uuid::Uuid;

type Fields = Map<String, Value>;

/// Each reference: the collection that has it, its field, and the collection it leads to.
const REFERENCES: [(&str, &str, &str); 4] = [
    ("folders", "parent", "folders"),
    ("folders", "cover", "notes"),
    ("notes", "folder", "folders"),
    ("notes", "next", "notes"),
];

fn keys() -> Vec<EntityKey> {
    let ids = [0xa1, 0xa2, 0xa3].map(Uuid::from_u128);
    ["folders", "notes"]
        .iter()
        .flat_map(|name| ids.map(|id| EntityKey::new(CollectionName::new(name).unwrap(), id).unwrap()))
        .collect()
}

#[derive(Clone, Debug)]
struct Case {
    schema: Schema,
    drafts: Vec<Draft>,
    before: Standings,
}

/// One entity: what the authority has of it, what it is to become, and how.
#[derive(Clone, Debug)]
struct Wish {
    base: BaseKind,
    was: Fields,
    is: Fields,
    target: TargetKind,
    in_whole: bool,
    groups: BTreeSet<u8>,
    turn: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum BaseKind {
    Unknown,
    Absent,
    Live,
    LiveUnread,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TargetKind {
    Same,
    Live,
    Gone,
}

fn fields() -> impl Strategy<Value = Fields> {
    let name = select(vec![None, Some("x"), Some("y")]);
    let number = select(vec![None, Some(1), Some(2)]);
    let id = || {
        select(vec![None, None, Some("a1"), Some("a2"), Some("A3")])
            .prop_map(|end| end.map(|end| format!("00000000-0000-0000-0000-0000000000{end}")))
    };
    (name, number, id(), id(), id(), id()).prop_map(|(name, number, a, b, c, d)| {
        let mut fields = Fields::new();
        fields.insert("name".into(), json!(name));
        fields.insert("number".into(), json!(number));
        for ((_, field, _), id) in REFERENCES.iter().zip([a, b, c, d]) {
            fields.insert((*field).into(), json!(id));
        }
        fields
    })
}

fn wish() -> impl Strategy<Value = Wish> {
    use BaseKind::*;
    let base = select(vec![Unknown, Absent, Absent, Live, Live, Live, LiveUnread, Dead]);
    let target = select(vec![TargetKind::Same, TargetKind::Live, TargetKind::Live, TargetKind::Gone]);
    let groups = prop::collection::btree_set(0..4_u8, 0..2);
    (base, fields(), fields(), target, any::<bool>(), groups, any::<u16>()).prop_map(
        |(base, was, is, target, in_whole, groups, turn)| Wish {
            base,
            was,
            is,
            target,
            in_whole,
            groups,
            turn,
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let on_delete = || select(vec![OnDelete::Cascade, OnDelete::SetNull, OnDelete::Restrict]);
    let references = prop::collection::vec((on_delete(), any::<bool>()), REFERENCES.len());
    (references, any::<[bool; 2]>(), prop::collection::vec(wish(), 6)).prop_map(
        |(references, unique, wishes)| {
            let mut collections = ["folders", "notes"].map(|_| Collection::new());
            for ((from, field, to), (on_delete, is_required)) in REFERENCES.iter().zip(references) {
                let mut reference = Reference::to(CollectionName::new(to).unwrap()).on_delete(on_delete);
                reference.is_required = is_required && on_delete == OnDelete::Restrict;
                let own = &mut collections[usize::from(*from == "notes")];
                *own = own.clone().reference(*field, reference);
            }
            let [mut folders, mut notes] = collections;
            if unique[0] {
                folders = folders.unique(["name"]);
                notes = notes.unique(["name"]);
            }
            if unique[1] {
                notes = notes.unique(["folder", "number"]);
            }
            let name = |name| CollectionName::new(name).unwrap();
            let schema = Schema::new([(name("folders"), folders), (name("notes"), notes)]).unwrap();
            case_of(schema, &wishes)
        },
    )
}

/// Makes both ends valid, then finds the operations that lead from one to the other.
fn case_of(schema: Schema, wishes: &[Wish]) -> Case {
    let mut before: Standings = Standings::new();
    let mut after: Standings = Standings::new();
    for (key, wish) in keys().into_iter().zip(wishes) {
        let was = match wish.base {
            // Whoever creates an entity knows that it was not there.
            BaseKind::Unknown if wish.in_whole && wish.target == TargetKind::Live => Standing::Gone,
            BaseKind::Unknown | BaseKind::LiveUnread => Standing::Unknown,
            BaseKind::Absent | BaseKind::Dead => Standing::Gone,
            BaseKind::Live => Standing::Live(wish.was.clone()),
        };
        before.insert(key, was);
    }
    repair(&mut before, &schema);
    for (key, wish) in keys().into_iter().zip(wishes) {
        let is = match wish.target {
            TargetKind::Same => before[&key].clone(),
            TargetKind::Gone => Standing::Gone,
            TargetKind::Live => Standing::Live(wish.is.clone()),
        };
        after.insert(key, is);
    }
    repair(&mut after, &schema);
    let mut turns: Vec<(u16, usize)> =
        wishes.iter().enumerate().map(|(number, wish)| (wish.turn, number)).collect();
    turns.sort_unstable();
    let mut drafts = Vec::new();
    for ((key, wish), number) in keys().into_iter().zip(wishes).zip(0..) {
        let change = match (&before[&key], &after[&key]) {
            (_, Standing::Gone) => Change::Delete,
            (_, Standing::Unknown) => continue,
            (Standing::Gone, Standing::Live(fields)) => Change::Create(state(fields)),
            (_, Standing::Live(fields)) if wish.in_whole => Change::Update(Update::State(state(fields))),
            (Standing::Live(old), Standing::Live(new)) => {
                Change::Update(Update::Patch(state(old).changes_to(&state(new))))
            }
            (Standing::Unknown, Standing::Live(fields)) => {
                let named: Fields = fields
                    .iter()
                    .filter(|(name, _)| name.len() % 2 == 0)
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect();
                Change::Update(Update::Patch(Patch::from_serialize(&named).unwrap()))
            }
        };
        let base = match (&before[&key], wish.base) {
            (Standing::Live(fields), _) => Base::live(state(fields), Some(Epoch(3))),
            (_, BaseKind::Unknown) => Base::Unknown,
            (_, BaseKind::LiveUnread) => {
                Base::Live(Held { epoch: Some(Epoch(3)), state: Knowledge::Nothing })
            }
            (_, BaseKind::Dead) => {
                Base::Dead(Held { epoch: Some(Epoch(3)), state: Knowledge::State(State::empty()) })
            }
            (_, BaseKind::Absent | BaseKind::Live) => Base::Absent,
        };
        let mut operation = Operation::new(key.clone(), change).at(number).unwrap();
        for group in &wish.groups {
            operation = operation.in_group(Group::new(&group.to_string()).unwrap());
        }
        let seq = turns.iter().position(|(_, other)| u64::try_from(*other).unwrap() == number).unwrap() + 1;
        let effect = Effect::of(Seq(seq.try_into().unwrap()), &operation);
        drafts.extend(draft(&key, &effect, &base));
    }
    Case { schema, drafts, before }
}

fn state(fields: &Fields) -> State {
    State::from_serialize(fields).unwrap()
}

/// Takes away what a world breaks.
fn repair(world: &mut Standings, schema: &Schema) {
    loop {
        let faults = faults(world, schema);
        if faults.is_empty() {
            return;
        }
        for (key, field) in faults {
            if let Some(Standing::Live(fields)) = world.get_mut(&key) {
                fields.insert(field, Value::Null);
            }
        }
    }
}

/// Every operation with each reference that may be cut cut out, and set by one more.
fn cut_everywhere(case: &Case) -> Vec<Operation> {
    let creates: BTreeSet<&EntityKey> = case
        .drafts
        .iter()
        .map(|draft| &draft.planned.operation)
        .filter(|operation| matches!(operation.change, Change::Create(_)))
        .map(|operation| &operation.key)
        .collect();
    let mut operations = Vec::new();
    for Draft { planned, .. } in &case.drafts {
        let operation = &planned.operation;
        operations.push(operation.clone());
        let json = match &operation.change {
            Change::Delete => continue,
            Change::Create(state) | Change::Update(Update::State(state)) => state.as_json(),
            Change::Update(Update::Patch(patch)) => patch.as_json(),
        };
        let mut first: Fields = serde_json::from_str(json).unwrap();
        let mut second = Fields::new();
        for (field, reference) in case.schema.collection(operation.key.collection()).unwrap().references() {
            if let Some(value) = first.get_mut(field)
                && let Some(id) = value.as_str()
                && creates.contains(&EntityKey::new(reference.to.clone(), parse_id(id).unwrap()).unwrap())
                && !reference.is_required
            {
                second.insert(field.to_owned(), value.take());
            }
        }
        let own = operations.last_mut().unwrap();
        own.change = match &operation.change {
            Change::Delete => continue,
            Change::Create(_) => Change::Create(state(&first)),
            Change::Update(Update::State(_)) => Change::Update(Update::State(state(&first))),
            Change::Update(Update::Patch(_)) => {
                Change::Update(Update::Patch(Patch::from_serialize(&first).unwrap()))
            }
        };
        operations.push(Operation::patch(operation.key.clone(), Patch::from_serialize(&second).unwrap()));
    }
    operations
}

fn operations(planned: &[Planned]) -> Vec<Operation> {
    planned.iter().map(|planned| planned.operation.clone()).collect()
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn every_prefix_is_valid_wherever_an_order_exists(case in case()) {
        prop_assert!(faults(&case.before, &case.schema).is_empty());
        let arranged = arranged(case.drafts.clone(), Some(&case.schema));
        let whole: Vec<Operation> = case.drafts.iter().map(|draft| draft.planned.operation.clone()).collect();
        let is_valid = is_valid_at_every_prefix(&case.before, &operations(&arranged.operations), &case.schema);
        prefixes(&case.before, &operations(&arranged.operations), &case.schema)?;
        if has_valid_order(&case.before, &whole, &case.schema) {
            prop_assert!(is_valid, "{:#?}", arranged);
            prop_assert!(arranged.operations.iter().all(|planned| !planned.is_completion()), "cut for nothing");
        } else if has_valid_order(&case.before, &cut_everywhere(&case), &case.schema) {
            prop_assert!(is_valid, "{:#?}", arranged);
        }
    }

    #[test]
    fn the_plan_does_what_its_drafts_do_in_any_order_of_them(
        (case, shuffled) in case().prop_flat_map(|case| {
            let drafts = Just(case.drafts.clone()).prop_shuffle();
            (Just(case), drafts)
        })
    ) {
        let plan = arranged(case.drafts.clone(), Some(&case.schema));
        prop_assert_eq!(&plan, &arranged(shuffled, Some(&case.schema)));
        let (mut wanted, mut reached) = (case.before.clone(), case.before.clone());
        for draft in &case.drafts {
            apply(&mut wanted, &draft.planned.operation);
        }
        for operation in operations(&plan.operations) {
            apply(&mut reached, &operation);
        }
        for thing in wanted.values_mut().chain(reached.values_mut()) {
            if let Standing::Live(fields) = thing {
                fields.retain(|_, value| !value.is_null());
            }
        }
        prop_assert_eq!(wanted, reached);
        let mut whole = BTreeSet::new();
        for planned in &plan.operations {
            if planned.is_completion() {
                prop_assert!(whole.contains(&planned.operation.key), "completed before it began");
                let rules = case.schema.collection(planned.operation.key.collection()).unwrap();
                let Change::Update(Update::Patch(patch)) = &planned.operation.change else { panic!() };
                for (field, value) in patch.iter() {
                    let is_required = rules.references().any(|(name, r)| name == field && r.is_required);
                    prop_assert!(value != "null" && !is_required);
                }
            } else {
                prop_assert!(whole.insert(planned.operation.key.clone()), "twice");
                let is_empty = Change::Update(Update::Patch(Patch::empty()));
                prop_assert!(planned.operation.change != is_empty, "nothing is left of it");
            }
        }
        prop_assert_eq!(whole.len(), case.drafts.len());
    }

    #[test]
    fn bunches_split_no_group_lose_nothing_and_end_valid(
        case in case(), operations_max in 1..4_usize, bytes_max in 0..400_usize
    ) {
        let plan = arranged(case.drafts.clone(), Some(&case.schema));
        let limits = Limits { operations: operations_max, bytes: bytes_max };
        let is_valid = is_valid_at_every_prefix(&case.before, &operations(&plan.operations), &case.schema);
        let (mut rest, mut sent, mut world) = (plan.clone(), Vec::new(), case.before.clone());
        let mut groups = BTreeSet::new();
        while !rest.operations.is_empty() {
            let places = selected(&rest, limits, |planned| planned.operation.change.fields_json().len());
            prop_assert!(places.is_sorted_by(|a, b| a < b) && !places.is_empty());
            let mut own_groups = BTreeSet::new();
            for place in &places {
                let planned = &rest.operations[*place];
                own_groups.extend(planned.operation.groups.iter().cloned());
                apply(&mut world, &planned.operation);
                sent.push(planned.clone());
            }
            prop_assert!(groups.is_disjoint(&own_groups), "a group was split");
            groups.extend(own_groups);
            prop_assert!(faults(&world, &case.schema).is_empty(), "{:?} of {:#?}", places, rest);
            rest = without(&rest, &places);
        }
        prop_assert_eq!(sent.len(), plan.operations.len());
        prop_assert!(plan.operations.iter().all(|planned| sent.contains(planned)));
        if is_valid {
            prop_assert!(is_valid_at_every_prefix(&case.before, &operations(&sent), &case.schema));
        }
    }
}

fn without(arranged: &Arranged, taken: &[usize]) -> Arranged {
    let left: Vec<usize> = (0..arranged.operations.len()).filter(|place| !taken.contains(place)).collect();
    let moved = |place: &usize| left.iter().position(|other| other == place);
    Arranged {
        operations: left.iter().map(|place| arranged.operations[*place].clone()).collect(),
        needs: left.iter().map(|place| arranged.needs[*place].iter().filter_map(moved).collect()).collect(),
    }
}
