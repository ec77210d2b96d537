use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::*;
use crate::algebra::{
    Change, CollectionName, EntityKey, Millis, Operation, Patch, ReplicaId, Stamp, State, Update,
};

const NOTES: &str = r#"{"collections":{"notes":{"unique":[["name"]],"references":{
    "required":{"to":"notes","required":true},
    "cleared":{"to":"notes","on_delete":"set_null"},
    "optional":{"to":"notes","on_delete":"cascade"}}}}}"#;

fn key(number: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(number)).unwrap()
}

/// Fields as JSON, in which `#7` stands for the id of entity 7.
fn json(fields: &str) -> String {
    let mut parts = fields.split('#');
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap();
        text += &format!("\"{}\"{}", Uuid::from_u128(part[..digits].parse().unwrap()), &part[digits..]);
    }
    text
}

fn state(fields: &str) -> State {
    State::from_json(&json(fields)).unwrap()
}

fn drafted(seq: u64, operation: Operation, before: Option<State>) -> Draft {
    let (first, last) = (Seq(seq), Seq(seq));
    Draft { planned: Planned { operation, base: None, first, last, operations: 3, touched: None }, before }
}

fn create(seq: u64, number: u128, fields: &str) -> Draft {
    drafted(seq, Operation::create(key(number), state(fields)), None)
}

fn patch(seq: u64, number: u128, before: Option<&str>, fields: &str) -> Draft {
    let patch = Patch::from_json(&json(fields)).unwrap();
    drafted(seq, Operation::patch(key(number), patch), before.map(state))
}

fn delete(seq: u64, number: u128, before: &str) -> Draft {
    drafted(seq, Operation::delete(key(number)), Some(state(before)))
}

fn arrange(drafts: impl Into<Vec<Draft>>) -> Arranged {
    arranged(drafts.into(), Some(&Schema::from_json(NOTES).unwrap()))
}

/// Which entity each operation is on, with a mark on completions.
fn order(arranged: &Arranged) -> String {
    let numbers = arranged.operations.iter().map(|planned| {
        let mark = if planned.is_completion() { "+" } else { "" };
        format!("{}{mark}", planned.operation.key.id().as_u128())
    });
    numbers.collect::<Vec<_>>().join(" ")
}

#[test]
fn without_a_schema_rank_decides() {
    let drafts = vec![
        patch(1, 1, None, r#"{"required":#2}"#),
        create(3, 2, "{}"),
        create(2, 3, "{}"),
        delete(9, 4, "{}"),
    ];
    let plain = arranged(drafts, None);
    assert_eq!(order(&plain), "4 3 2 1");
    assert!(plain.needs.iter().all(Vec::is_empty));
}

#[test]
fn what_is_referred_to_is_created_first() {
    let by_two = arrange([create(1, 1, r#"{"required":#2,"optional":#2}"#), create(2, 2, "{}")]);
    assert_eq!((order(&by_two).as_str(), by_two.needs), ("2 1", vec![vec![], vec![0]]));
    let upper = json(r#"{"optional":#10}"#).to_uppercase().replace("OPTIONAL", "optional");
    let in_capitals = arrange([create(1, 1, &upper), create(2, 10, "{}")]);
    assert_eq!(order(&in_capitals), "10 1");
    let elsewhere = arrange([create(1, 1, r#"{"name":#2,"optional":["x"]}"#), create(2, 2, "{}")]);
    assert_eq!(order(&elsewhere), "1 2", "only declared fields refer, and only by ids");
}

#[test]
fn what_may_revive_goes_first_unless_that_closes_a_circle() {
    let free = arrange([patch(1, 1, None, r#"{"optional":#2}"#), patch(2, 2, None, "{}")]);
    assert_eq!(order(&free), "2 1");
    let circle = arrange([
        patch(1, 1, None, r#"{"optional":#2}"#),
        patch(2, 2, Some(r#"{"name":"a"}"#), r#"{"optional":#1}"#),
    ]);
    assert_eq!(order(&circle), "1 2", "what is known to be there is not waited for");
    let both = arrange([patch(1, 1, None, r#"{"optional":#2}"#), patch(2, 2, None, r#"{"optional":#1}"#)]);
    assert_eq!(order(&both), "1 2");
    assert_eq!(both.needs, [vec![1], vec![0]], "they go in one bunch all the same");
}

#[test]
fn who_refers_goes_before_the_delete() {
    let by_patch = arrange([
        delete(1, 1, "{}"),
        delete(2, 2, r#"{"required":#1}"#),
        patch(3, 3, Some(r#"{"required":#1}"#), r#"{"required":#4}"#),
    ]);
    assert_eq!(order(&by_patch), "2 3 1");
    assert_eq!(by_patch.needs, [vec![], vec![], vec![0, 1]]);
}

#[test]
fn what_frees_a_unique_value_goes_before_what_takes_it() {
    let freed =
        arrange([create(1, 1, r#"{"name":"a"}"#), patch(2, 2, Some(r#"{"name":"a"}"#), r#"{"name":null}"#)]);
    assert_eq!((order(&freed).as_str(), freed.needs), ("2 1", vec![vec![], vec![0]]));
    let other =
        arrange([create(1, 1, r#"{"name":1}"#), patch(2, 2, Some(r#"{"name":1.0}"#), r#"{"name":null}"#)]);
    assert_eq!(order(&other), "1 2", "1 and 1.0 are different values");
}

/// No order is right; but there are not holders times takers of edges.
#[test]
fn where_several_hold_one_value_the_first_that_takes_it_waits_for_all_and_the_others_for_one() {
    let held = Some(r#"{"name":"a"}"#);
    let takers = (1..3).map(|n| create(n, u128::from(n), r#"{"name":"a"}"#));
    let holders = (3..6).map(|n| patch(n, u128::from(n), held, r#"{"name":null}"#));
    let several = arrange(takers.chain(holders).collect::<Vec<_>>());
    assert_eq!(order(&several), "3 2 4 5 1");
    assert_eq!(several.needs, [vec![], vec![0], vec![], vec![], vec![0, 2, 3]]);
}

#[test]
fn an_entity_that_refers_to_itself_waits_for_nobody() {
    let own = arrange([create(2, 1, r#"{"required":#1,"cleared":#1}"#), create(1, 2, r#"{"required":#2}"#)]);
    assert_eq!(order(&own), "2 1");
}

#[test]
fn a_circle_is_cut_where_a_delete_sets_null() {
    let cut = arrange([
        create(1, 1, r#"{"optional":#2,"name":"a"}"#),
        create(2, 2, r#"{"cleared":#1,"name":"b"}"#),
    ]);
    assert_eq!(order(&cut), "2 1 2+");
    assert_eq!(cut.needs, [vec![], vec![0], vec![0, 1]]);
    let changes: Vec<&Change> = cut.operations.iter().map(|planned| &planned.operation.change).collect();
    assert_eq!(changes[0], &Change::Create(state(r#"{"name":"b"}"#)));
    let completion = Patch::from_json(&json(r#"{"cleared":#1}"#)).unwrap();
    assert_eq!(changes[2], &Change::Update(Update::Patch(completion)));
    let counts: Vec<u32> = cut.operations.iter().map(|planned| planned.operations).collect();
    assert_eq!(counts, [3, 3, 0], "a completion counts nothing twice");
}

#[test]
fn among_equal_references_the_lowest_rank_is_cut() {
    let cut = arrange([create(2, 1, r#"{"optional":#2}"#), create(1, 2, r#"{"optional":#1}"#)]);
    assert_eq!(order(&cut), "2 1 2+");
    let required = arrange([create(2, 1, r#"{"optional":#2}"#), create(1, 2, r#"{"required":#1}"#)]);
    assert_eq!(order(&required), "1 2 1+");
}

#[test]
fn a_circle_that_cannot_be_cut_is_broken_and_kept_together() {
    let swap = arrange([
        patch(1, 1, Some(r#"{"name":"a"}"#), r#"{"name":"b"}"#),
        patch(2, 2, Some(r#"{"name":"b"}"#), r#"{"name":"a"}"#),
    ]);
    assert_eq!((order(&swap).as_str(), swap.needs), ("1 2", vec![vec![1], vec![0]]));
    let required = arrange([create(1, 1, r#"{"required":#2}"#), create(2, 2, r#"{"required":#1}"#)]);
    assert_eq!((order(&required).as_str(), required.needs), ("1 2", vec![vec![1], vec![0]]));
}

#[test]
fn a_cut_field_frees_what_it_held_at_once() {
    // 1 leaves 3, which goes; 4 takes the name of 3; 1 is to refer to 4.
    let drafts = [
        patch(1, 1, Some(r#"{"cleared":#3,"name":"x"}"#), r#"{"cleared":#4}"#),
        delete(2, 3, r#"{"name":"a"}"#),
        create(3, 4, r#"{"name":"a"}"#),
    ];
    let cut = arrange(drafts);
    assert_eq!(order(&cut), "1 3 4 1+");
    let first = Patch::from_json(r#"{"cleared":null}"#).unwrap();
    assert_eq!(cut.operations[0].operation.change, Change::Update(Update::Patch(first)));
}

#[test]
fn a_completion_waits_for_the_unique_values_that_it_takes() {
    let schema = r#"{"collections":{"notes":{"unique":[["up","n"]],"references":{"up":{"to":"notes"}}}}}"#;
    let drafts = vec![
        create(1, 1, r#"{"up":#2,"n":1}"#),
        create(2, 2, r#"{"up":#1,"n":2}"#),
        patch(9, 3, Some(r#"{"up":#2,"n":1}"#), r#"{"n":9}"#),
    ];
    let cut = arranged(drafts, Some(&Schema::from_json(schema).unwrap()));
    assert_eq!(order(&cut), "1 2 3 1+");
    assert_eq!(cut.needs[3], [0, 1, 2]);
}

#[test]
fn stamps_go_where_their_fields_go() {
    let replica = Some(ReplicaId(Uuid::from_u128(9)));
    let stamps = BTreeMap::from([("cleared", 5), ("name", 6)]);
    let mut draft = create(1, 1, r#"{"cleared":#2,"name":"a","at":1}"#);
    let own = &mut draft.planned.operation;
    own.at = Some(Millis(8));
    own.stamps =
        stamps.iter().map(|(name, at)| ((*name).to_owned(), Stamp { at: Millis(*at), replica })).collect();
    *own = own.clone().in_group("g".parse().unwrap());
    let cut = arrange([draft, create(2, 2, r#"{"required":#1}"#)]);
    assert_eq!(order(&cut), "1 2 1+");
    let stamped = |place: usize| {
        let operation = &cut.operations[place].operation;
        assert_eq!((operation.at, operation.groups.len()), (Some(Millis(8)), 1));
        operation.stamps.iter().map(|(name, stamp)| (name.as_str(), stamp.at.0)).collect::<Vec<_>>()
    };
    assert_eq!(stamped(0), [("name", 6)]);
    assert_eq!(stamped(2), [("cleared", 5)]);
}

/// Of a whole state that is cut, the first part removes the field, and so states its time, too.
#[test]
fn a_whole_state_that_is_cut_is_that_state_in_two_steps() {
    let replica = Some(ReplicaId(Uuid::from_u128(9)));
    let whole = state(r#"{"cleared":#2,"name":"a"}"#);
    let mut update = Operation::update(key(1), whole);
    update.stamps = [("cleared", 5), ("name", 6)]
        .map(|(name, at)| (name.to_owned(), Stamp { at: Millis(at), replica }))
        .to_vec();
    let cut = arrange([drafted(1, update, Some(state(r#"{"name":"b"}"#))), create(2, 2, r#"{"name":"b"}"#)]);
    assert_eq!(order(&cut), "1 2 1+", "{:?}", cut.operations);
    let first = &cut.operations[0].operation;
    assert_eq!(first.change, Change::Update(Update::State(state(r#"{"name":"a"}"#))));
    assert_eq!(first.stamps.len(), 2);
    let completion = Patch::from_json(&json(r#"{"cleared":#2}"#)).unwrap();
    assert_eq!(cut.operations[2].operation.change, Change::Update(Update::Patch(completion)));
    assert_eq!(cut.operations[2].operation.stamps.len(), 1);
}

/// A list of many, linked both ways: as many circles as there are links.
fn linked(count: u64, (back, forth): (&str, &str)) -> Vec<Draft> {
    let fields = |n: u64| match n {
        1 => format!(r#"{{"{forth}":#2}}"#),
        _ if n == count => format!(r#"{{"{back}":#{}}}"#, n - 1),
        _ => format!(r#"{{"{back}":#{},"{forth}":#{}}}"#, n - 1, n + 1),
    };
    (1..=count).map(|n| create(n, n.into(), &fields(n))).collect()
}

#[test]
fn a_hundred_thousand_operations_in_circles_take_no_square_time() {
    const COUNT: u64 = 100_000;
    let links = [
        ("optional", "cleared"),
        ("cleared", "optional"),
        ("required", "optional"),
        ("optional", "required"),
    ];
    for names in links {
        let drafts = linked(COUNT, names);
        let began = Instant::now();
        let arranged = arrange(drafts);
        let completions = arranged.operations.iter().filter(|planned| planned.is_completion()).count();
        assert_eq!(completions, 99_999, "{names:?}");
        assert_eq!(arranged.operations.len(), 199_999);
        assert!(began.elapsed() < Duration::from_secs(20), "{names:?}: {:?}", began.elapsed());
    }
    let all_free_one = (1..=COUNT).map(|n| patch(n, n.into(), Some(r#"{"name":1}"#), r#"{"name":2}"#));
    let began = Instant::now();
    assert_eq!(arrange(all_free_one.collect::<Vec<_>>()).operations.len(), 100_000);
    assert!(began.elapsed() < Duration::from_secs(20));
}
