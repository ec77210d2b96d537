//! A replica that others were merged into still syncs: what came from them reaches the authority, in the fewest
//! operations, and comes back to them.

use std::collections::BTreeMap;

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, Change, EntityKey, Generation, Index, Limits, Millis, Operation, Patch, Schema, Stamps,
    State,
};
use foldlog::authority::{MemoryStore, Rules, Store, answer};
use foldlog::journal::Durability;
use foldlog::merge::{Children, How, Keep, Pair, Resolution, Resolutions, With};
use foldlog::replica::Replica;
use foldlog::sync::{self, Engine, Next, Want};
use foldlog::testing::cases;
use proptest::prelude::*;

use super::world::{Act, World, acts, key, schema, schemas_of_marks};

const NOW: Millis = Millis(100);

struct Authority {
    store: MemoryStore,
    schema: Schema,
    /// Whether its pages say nothing of when anything was written.
    forgets_stamps: bool,
}

impl Authority {
    fn new(schema: &Schema) -> Self {
        let store = MemoryStore::new(schema.clone(), Generation(Uuid::from_u128(1)));
        Authority { store, schema: schema.clone(), forgets_stamps: false }
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        let rules = Rules { schema: &self.schema, now: NOW, refuses: &|_| None };
        let mut answer = answer(&mut self.store, &rules, ask).unwrap();
        if let Answer::Changes(page) = &mut answer
            && self.forgets_stamps
        {
            page.rows.iter_mut().for_each(|row| row.version.stamps = Stamps::default());
        }
        answer
    }

    fn sync(&mut self, replica: &Replica) {
        self.run(Engine::new(replica.clone(), sync::Options::default()), Want::SYNC);
    }

    /// Tells a replica what triggers there are, and what they hint at.
    fn tell(&mut self, replica: &Replica) {
        let ask = Ask::Triggers { above: Index(0), generation: None, triggers_max: 1_000 };
        let Answer::Triggers(triggers) = self.answer(&ask) else { panic!("no triggers") };
        let mut engine = Engine::new(replica.clone(), sync::Options::default());
        engine.hear(self.store.generation().unwrap(), &triggers).unwrap();
        self.run(engine, Want::READS);
    }

    fn run(&mut self, mut engine: Engine, want: Want) {
        engine.online().unwrap();
        engine.want_only(want);
        for _ in 0..1_000 {
            let Next::Ask(request) = engine.next(NOW).unwrap() else { return };
            let answer = self.answer(&request.ask);
            engine.answer(request.number, answer, NOW, 1).unwrap();
        }
        panic!("it does not come to an end");
    }

    fn live(&self) -> BTreeMap<EntityKey, State> {
        let live = |(key, stored): (&EntityKey, &foldlog::authority::Stored)| {
            Some((key.clone(), stored.version.existence.live()?.clone()))
        };
        self.store.entities().filter_map(live).collect()
    }
}

fn commit(replica: &Replica, operation: Operation, at: u64) {
    replica.commit(&[operation.at(at).unwrap()], Durability::Durable).unwrap();
}

fn state(json: &str) -> State {
    State::from_json(json).unwrap()
}

/// What a replica would send, as words.
fn sends(replica: &Replica) -> Vec<String> {
    let plan = replica.journal().plan().unwrap();
    let said = |operation: &Operation| match &operation.change {
        Change::Create(state) => format!("create {} {}", operation.key.collection(), state.as_json()),
        Change::Update(update) => format!("update {} {update:?}", operation.key.collection()),
        Change::Delete => {
            format!("delete {} {}", operation.key.collection(), operation.key.id().as_u128() - 1)
        }
    };
    plan.operations.iter().map(|planned| said(&planned.operation)).collect()
}

#[test]
fn what_is_pending_after_a_merge_is_the_fewest_operations_in_one_group() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
    for n in 0..5 {
        commit(desk, Operation::create(key("plots", n), state(&format!(r#"{{"number":{n},"note":1}}"#))), 1);
    }
    authority.sync(desk);
    authority.sync(crew);
    commit(crew, Operation::patch(key("plots", 0), Patch::from_json(r#"{"note":2}"#).unwrap()), 5);
    commit(crew, Operation::patch(key("plots", 0), Patch::from_json(r#"{"note":3}"#).unwrap()), 6);
    commit(crew, Operation::delete(key("plots", 1)), 7);
    commit(crew, Operation::create(key("units", 0), state(r#"{"code":1}"#)), 8);
    commit(crew, Operation::create(key("units", 1), state(r#"{"code":2}"#)), 8);
    commit(crew, Operation::delete(key("units", 1)), 9);
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    let plan = desk.journal().plan().unwrap();
    let mut groups: Vec<_> = plan.operations.iter().map(|planned| planned.operation.groups.clone()).collect();
    groups.dedup();
    assert_eq!((groups.len(), plan.operations.len()), (1, 3), "{:?}", sends(desk));
    authority.sync(desk);
    assert_eq!(authority.live(), world.live(0));
    authority.sync(crew);
    assert_eq!((world.live(1), crew.conflicts().unwrap()), (world.live(0), Vec::new()));
    assert_eq!(crew.losers().unwrap(), Vec::new());
}

/// The crew's file has what the authority took meanwhile: its row is what the desk goes on from.
#[test]
fn the_later_row_of_the_authority_is_taken_over() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
    commit(desk, Operation::create(key("plots", 0), state(r#"{"number":1,"note":1}"#)), 1);
    authority.sync(desk);
    authority.sync(crew);
    commit(crew, Operation::patch(key("plots", 0), Patch::from_json(r#"{"note":2}"#).unwrap()), 5);
    authority.sync(crew);
    commit(desk, Operation::patch(key("plots", 0), Patch::from_json(r#"{"number":2}"#).unwrap()), 6);
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    let plan = desk.journal().plan().unwrap();
    let told: Vec<_> =
        plan.operations.iter().map(|planned| (planned.base, planned.operation.change.clone())).collect();
    let epoch = crew.entity(&key("plots", 0)).unwrap().epoch;
    let patch = Patch::from_json(r#"{"number":2}"#).unwrap();
    assert_eq!(told, [(epoch, Change::Update(foldlog::algebra::Update::Patch(patch)))]);
    authority.sync(desk);
    assert_eq!((desk.losers().unwrap(), authority.live()), (Vec::new(), world.live(0)));
}

/// The loser is known to the authority by the crew alone, sooner or later.
#[test]
fn a_losers_delete_is_sent_whoever_comes_first_and_holds_for_what_it_saw() {
    for crew_syncs_first in [true, false] {
        for is_changed in [false, true] {
            let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
            let mut authority = Authority::new(&world.schema);
            let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
            authority.sync(desk);
            commit(crew, Operation::create(key("units", 0), state(r#"{"code":1,"note":1}"#)), 5);
            commit(desk, Operation::create(key("units", 1), state(r#"{"code":1,"note":2}"#)), 6);
            let checked = desk.check_merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
            let how = How::Keep(Keep { with: With::Dest, children: Children::Both });
            let one = |pair: &foldlog::merge::Pair| Resolution { pair: pair.clone(), how: how.clone() };
            let listed = checked.clashes.top.iter().map(one).collect();
            desk.merge(&[crew], &Resolutions { listed, default: None }, &mut |_| {}).unwrap();
            assert!(sends(desk).contains(&"delete units 0".to_owned()), "{:?}", sends(desk));
            if is_changed {
                commit(
                    crew,
                    Operation::patch(key("units", 0), Patch::from_json(r#"{"note":3}"#).unwrap()),
                    9,
                );
            }
            if crew_syncs_first {
                authority.sync(crew);
            }
            authority.sync(desk);
            authority.sync(desk);
            if crew_syncs_first && is_changed {
                // It asks again.
                assert_eq!(desk.conflicts().unwrap().len(), 1);
            } else {
                assert_eq!(authority.live().into_keys().collect::<Vec<_>>(), [key("units", 1)]);
                assert_eq!(desk.conflicts().unwrap(), []);
            }
        }
    }
}

/// It was never sent from here; but whoever had it from here may have sent it.
#[test]
fn the_delete_of_a_loser_that_was_made_here_is_sent_too() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew, other] = [&world.replicas[0], &world.replicas[1], &world.replicas[2]];
    commit(desk, Operation::create(key("units", 1), state(r#"{"code":1}"#)), 5);
    other.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
    authority.sync(other);
    commit(crew, Operation::create(key("units", 0), state(r#"{"code":1,"note":1}"#)), 6);
    let default = Some(Keep { with: With::Source, children: Children::Both });
    desk.merge(&[crew], &Resolutions { listed: Vec::new(), default }, &mut |_| {}).unwrap();
    assert!(sends(desk).contains(&"delete units 1".to_owned()), "{:?}", sends(desk));
    authority.sync(desk);
    authority.sync(desk);
    assert_eq!(authority.live().into_keys().collect::<Vec<_>>(), [key("units", 0)]);
    assert_eq!((desk.conflicts().unwrap(), desk.check().unwrap()), (Vec::new(), Vec::new()));
}

#[test]
fn a_merge_while_a_bunch_is_on_its_way_goes_on_from_what_that_makes() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
    commit(desk, Operation::create(key("plots", 0), state(r#"{"number":1,"note":1}"#)), 1);
    crew.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
    desk.seal(Limits::default()).unwrap().unwrap();
    authority.sync(crew);
    commit(crew, Operation::patch(key("plots", 0), Patch::from_json(r#"{"note":2}"#).unwrap()), 5);
    authority.sync(crew);
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    assert_eq!(desk.check().unwrap(), [""; 0]);
    authority.sync(desk);
    authority.sync(desk);
    assert_eq!(authority.live(), world.live(0));
    assert_eq!(authority.live()[&key("plots", 0)].raw("note"), Some("2"));
}

/// The crew knows the authority's tombstone, and the desk waits to send a deletion of its own.
#[test]
fn what_is_seen_of_a_deletion_that_waits_stays_what_follows_from_it_when_a_later_row_is_taken_over() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
    commit(desk, Operation::patch(key("trees", 0), Patch::from_json(r#"{"number":2}"#).unwrap()), 2);
    commit(desk, Operation::delete(key("trees", 0)), 3);
    commit(crew, Operation::create(key("trees", 0), state(r#"{"number":1,"note":1}"#)), 1);
    authority.sync(crew);
    crew.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
    assert_eq!(crew.check().unwrap(), [""; 0]);
    authority.sync(crew);
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    assert_eq!(desk.check().unwrap(), [""; 0]);
    authority.sync(desk);
    authority.sync(crew);
    assert_eq!((authority.live(), world.live(0)), (world.live(1), world.live(1)));
}

/// One tree that all know, under a policy.
fn known_to_all(policy: &str) -> (World, Authority) {
    let world = World::new(&schema([policy; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    commit(&world.replicas[0], Operation::create(key("trees", 0), state(r#"{"note":0,"tag":0}"#)), 1);
    world.replicas.iter().take(3).for_each(|replica| authority.sync(replica));
    (world, authority)
}

/// Does something to the tree and sends it.
fn up(authority: &mut Authority, replica: &Replica, at: u64, patch: Option<&str>) {
    let operation = match patch {
        Some(json) => Operation::patch(key("trees", 0), Patch::from_json(json).unwrap()),
        None => Operation::delete(key("trees", 0)),
    };
    commit(replica, operation, at);
    authority.run(Engine::new(replica.clone(), sync::Options::default()), Want::UP);
}

/// What gave way to a deletion is in the conflict record, and in no tombstone.
#[test]
fn what_gave_way_to_a_deletion_is_not_in_the_tombstone_that_the_answer_tells_of() {
    let (world, mut authority) = known_to_all("newest");
    let [desk, other, crew] = [0, 1, 2].map(|who| &world.replicas[who]);
    up(&mut authority, other, 41, None);
    up(&mut authority, desk, 2, Some(r#"{"note":2}"#));
    up(&mut authority, crew, 2, Some(r#"{"note":3}"#));
    up(&mut authority, desk, 2, Some(r#"{"tag":4}"#));
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    assert_eq!(sends(desk), Vec::<String>::new());
}

/// It says all that the entity is then, but not when its fields were changed: the later of two who know them makes that.
#[test]
fn who_revives_what_somebody_else_revived_before_is_told_the_stamps() {
    let (world, mut authority) = known_to_all("last_operation");
    let [other, crew] = [1, 2].map(|who| &world.replicas[who]);
    up(&mut authority, other, 2, None);
    up(&mut authority, crew, 8, Some(r#"{"tag":2}"#));
    up(&mut authority, other, 2, Some(r#"{"tag":3}"#));
    other.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    assert_eq!(sends(other), Vec::<String>::new());
}

/// The crew has sent what it had from the desk, and the desk's own attempt to do so is not answered yet.
#[test]
fn while_a_bunch_is_on_its_way_no_later_row_of_what_both_see_alike_is_taken_over() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
    commit(desk, Operation::create(key("plots", 0), state(r#"{"number":1,"note":1}"#)), 1);
    authority.sync(desk);
    authority.sync(crew);
    commit(desk, Operation::patch(key("plots", 0), Patch::from_json(r#"{"note":2}"#).unwrap()), 5);
    crew.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
    authority.sync(crew);
    desk.seal(Limits::default()).unwrap().unwrap();
    let before = desk.entity(&key("plots", 0)).unwrap();
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    let after = desk.entity(&key("plots", 0)).unwrap();
    assert_ne!(before.epoch, crew.entity(&key("plots", 0)).unwrap().epoch);
    assert_eq!((after.epoch, after.status), (before.epoch, before.status));
    authority.sync(desk);
    assert_eq!((desk.check().unwrap(), desk.losers().unwrap()), (Vec::new(), Vec::new()));
    assert_eq!((sends(desk), world.live(0)), (Vec::new(), authority.live()));
}

/// Both see the plot alike, and the crew has the authority's row of it; but its unit loses a clash with a third file's.
#[test]
fn what_is_seen_alike_still_follows_what_the_merge_does_to_what_it_refers_to() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let mut authority = Authority::new(&world.schema);
    let [desk, crew, other] = [&world.replicas[0], &world.replicas[1], &world.replicas[2]];
    commit(desk, Operation::create(key("units", 1), state(r#"{"code":7}"#)), 1);
    let unit = Uuid::from_u128(2);
    commit(desk, Operation::create(key("plots", 0), state(&format!(r#"{{"number":1,"unit":"{unit}"}}"#))), 2);
    authority.sync(desk);
    authority.sync(crew);
    commit(desk, Operation::patch(key("plots", 0), Patch::from_json(r#"{"note":2}"#).unwrap()), 5);
    crew.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
    authority.sync(crew);
    commit(other, Operation::create(key("units", 2), state(r#"{"code":7}"#)), 3);
    let pair = Pair { source: key("units", 2), dest: key("units", 1) };
    let how = How::Keep(Keep { with: With::Source, children: Children::Both });
    let resolutions = Resolutions { listed: vec![Resolution { pair, how }], default: None };
    desk.merge(&[crew, other], &resolutions, &mut |_| {}).unwrap();
    let winner = format!("\"{}\"", Uuid::from_u128(3));
    assert_eq!(world.live(0)[&key("plots", 0)].raw("unit"), Some(winner.as_str()));
    authority.sync(desk);
    assert_eq!((desk.check().unwrap(), world.live(0)), (Vec::new(), authority.live()));
}

/// Epochs of another authority's, or of what was restored, say nothing here.
#[test]
fn rows_of_another_authority_are_neither_taken_over_nor_what_both_had() {
    for policy in ["last_operation", "manual"] {
        for is_one in [true, false] {
            let world = World::new(&schema([policy; 3], ["cascade"; 3]));
            let mut authority = Authority::new(&world.schema);
            let mut other = Authority::new(&world.schema);
            other.store = MemoryStore::new(world.schema.clone(), Generation(Uuid::from_u128(2)));
            let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
            let unit = key("units", 0);
            commit(desk, Operation::create(unit.clone(), state(r#"{"code":1,"note":1}"#)), 1);
            authority.sync(desk);
            let theirs = if is_one { &mut authority } else { &mut other };
            theirs.sync(crew);
            if !is_one {
                commit(crew, Operation::create(unit.clone(), state(r#"{"code":1,"note":1}"#)), 2);
                theirs.sync(crew);
            }
            let patch = |json| Operation::patch(unit.clone(), Patch::from_json(json).unwrap());
            commit(crew, patch(r#"{"note":2}"#), 3);
            theirs.sync(crew);
            let newest = Some(Keep { with: With::Newest, children: Children::Both });
            let checked = desk.check_merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
            assert_eq!(checked.clashes.top.is_empty(), is_one || policy == "last_operation", "{policy}");
            desk.merge(&[crew], &Resolutions { listed: Vec::new(), default: newest }, &mut |_| {}).unwrap();
            assert_eq!(sends(desk).is_empty(), is_one, "{policy}: {:?}", sends(desk));
            authority.sync(desk);
            assert_eq!(authority.live()[&unit].raw("note"), Some("2"), "{policy}");
            assert_eq!(world.live(0), authority.live(), "{policy}");
        }
    }
}

/// It could be anybody's.
#[test]
fn a_value_without_a_stamp_is_not_taken_as_seen_by_who_wrote_another_one_without() {
    let world = World::new(&schema(["last_operation"; 3], ["cascade"; 3]));
    let unit = key("units", 0);
    for (n, replica) in world.replicas.iter().take(2).enumerate() {
        let mut authority = Authority::new(&world.schema);
        authority.store = MemoryStore::new(world.schema.clone(), Generation(Uuid::from_u128(n as u128 + 1)));
        let writer = &world.replicas[n + 2];
        commit(writer, Operation::create(unit.clone(), state(&format!(r#"{{"note":{n}}}"#))), 1);
        authority.sync(writer);
        authority.forgets_stamps = true;
        authority.sync(replica);
    }
    let [desk, crew] = [&world.replicas[0], &world.replicas[1]];
    desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
    assert_eq!(world.live(0)[&unit].raw("note"), Some("1"));
    let lost: Vec<_> = desk.losers().unwrap().into_iter().map(|lost| lost.fields).collect();
    assert_eq!(lost, [Patch::from_json(r#"{"note":0}"#).unwrap()]);
}

/// What was undone is not there any more; only that somebody had deleted it once is still known.
#[test]
fn what_a_file_undid_it_gives_to_nobody() {
    for policy in ["first_to_authority", "manual", "last_operation"] {
        let world = World::new(&schema([policy; 3], ["cascade"; 3]));
        let [desk, crew, other, late] = [0, 1, 2, 3].map(|who| &world.replicas[who]);
        let unit = key("units", 0);
        commit(crew, Operation::create(unit.clone(), state(r#"{"note":1}"#)), 1);
        desk.merge(&[crew], &Resolutions::default(), &mut |_| {}).unwrap();
        commit(crew, Operation::delete(unit.clone()), 5);
        commit(desk, Operation::patch(unit.clone(), Patch::from_json(r#"{"note":2}"#).unwrap()), 9);
        let default = Some(Keep { with: With::Dest, children: Children::Both });
        desk.merge(&[crew], &Resolutions { listed: Vec::new(), default }, &mut |_| {}).unwrap();
        assert_eq!(world.live(0)[&unit].raw("note"), Some("2"), "{policy}");
        desk.undo(&desk.unsent().unwrap()).unwrap();
        assert!(world.live(0).is_empty());
        other.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
        assert!(world.live(2).is_empty(), "{policy}");
        commit(late, Operation::create(unit.clone(), state(r#"{"note":3}"#)), 12);
        late.merge(&[desk], &Resolutions::default(), &mut |_| {}).unwrap();
        assert_eq!((world.live(3)[&unit].raw("note"), late.losers().unwrap()), (Some("3"), Vec::new()));
    }
}

/// What a device does to one entity, and how it hears of the others.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write { who: usize, field: &'static str, at: u64 },
    Delete { who: usize, at: u64 },
    Pull { who: usize },
    Hear { who: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, at) = (0..3_usize, 2..60_u64);
    let step = prop_oneof![
        4 => (who.clone(), prop::sample::select(vec!["note", "tag"]), at.clone())
            .prop_map(|(who, field, at)| Step::Write { who, field, at }),
        1 => (who.clone(), at).prop_map(|(who, at)| Step::Delete { who, at }),
        1 => who.clone().prop_map(|who| Step::Pull { who }),
        2 => who.prop_map(|who| Step::Hear { who }),
    ];
    prop::collection::vec(step, 1..10)
}

proptest! {
    #![proptest_config(cases(400))]

    /// Each learnt of the others by whatever it was answered: that is as good as having read it.
    #[test]
    fn files_with_nothing_unsent_bring_nothing_new_when_they_are_merged(
        policy in prop::sample::select(vec!["last_operation", "newest", "first_to_authority"]),
        steps in steps(), from in 0..3_usize, other in 1..3_usize
    ) {
        let into = (from + other) % 3;
        let world = World::new(&schema([policy; 3], ["cascade"; 3]));
        let mut authority = Authority::new(&world.schema);
        let tree = || key("trees", 0);
        commit(&world.replicas[0], Operation::create(tree(), state(r#"{"note":0,"tag":0}"#)), 1);
        for replica in world.replicas.iter().take(3) {
            authority.sync(replica);
        }
        for (value, step) in (1..).zip(&steps) {
            let (who, operation) = match *step {
                Step::Write { who, field, at } => {
                    let patch = Patch::from_json(&format!(r#"{{"{field}":{value}}}"#)).unwrap();
                    (who, Some((Operation::patch(tree(), patch), at)))
                }
                Step::Delete { who, at } => (who, Some((Operation::delete(tree()), at))),
                Step::Pull { who } | Step::Hear { who } => (who, None),
            };
            let replica = &world.replicas[who];
            if let Some((operation, at)) = operation {
                commit(replica, operation, at);
                authority.run(Engine::new(replica.clone(), sync::Options::default()), Want::UP);
            } else if matches!(step, Step::Hear { .. }) {
                authority.tell(replica);
            } else {
                authority.run(Engine::new(replica.clone(), sync::Options::default()), Want::DOWN);
            }
            prop_assert_eq!(sends(replica), Vec::<String>::new());
        }
        let before = authority.live();
        let (into, from) = (&world.replicas[into], &world.replicas[from]);
        into.merge(&[from], &Resolutions::default(), &mut |_| {}).unwrap();
        authority.sync(into);
        prop_assert_eq!(authority.live(), before);
    }

    #[test]
    fn after_merges_and_syncs_all_see_what_the_authority_holds(
        schema in schemas_of_marks(), acts in acts(true), syncs in prop::collection::vec(0..6_usize, 40)
    ) {
        let mut world = World::new(&schema);
        let mut authority = Authority::new(&schema);
        for (act, sync) in acts.iter().zip(syncs) {
            world.play(std::slice::from_ref::<Act>(act));
            prop_assert_eq!(world.wrong_in_itself(), Vec::<String>::new());
            if let Some(replica) = world.replicas.get(sync) {
                authority.sync(replica);
            }
        }
        for _ in 0..3 {
            for replica in &world.replicas {
                authority.sync(replica);
            }
        }
        for who in 0..world.replicas.len() {
            let aside = world.replicas[who].undecided().unwrap();
            if !aside.is_empty() {
                continue;
            }
            prop_assert_eq!(world.replicas[who].check().unwrap(), Vec::<String>::new());
            prop_assert_eq!(world.live(who), authority.live(), "replica {}", who);
        }
    }
}
