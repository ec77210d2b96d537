//! What is decided about clashes: against itself, in circles, and by several files the other way round.

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, ReplicaId, Schema, State};
use foldlog::journal::{Durability, Options};
use foldlog::merge::{Children, How, Keep, Pair, Refusal, Resolution, Resolutions, Side, With};
use foldlog::replica::{Error, Replica};
use foldlog::testing::FaultyStorage;

const SCHEMA: &str = r#"{"collections":{
    "units":{"unique":[["a"],["b"],["c"],["d"]]},
    "plots":{"unique":[["number"]],"references":{"unit":{"to":"units","on_delete":"cascade"}}}}}"#;

fn file(id: u128) -> Replica {
    let options =
        Options::new().cache_bytes(1 << 20).clock(|| 100).schema(Schema::from_json(SCHEMA).unwrap());
    let options = options.replica(ReplicaId(Uuid::from_u128(id)));
    Replica::of(options.on(FaultyStorage::new()).unwrap()).unwrap()
}

fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new(collection).unwrap(), Uuid::from_u128(n)).unwrap()
}

fn write(replica: &Replica, operation: Operation, at: u64) {
    replica.commit(&[operation.at(at).unwrap()], Durability::Durable).unwrap();
}

fn unit(replica: &Replica, n: u128, json: &str, at: u64) {
    write(replica, Operation::create(key("units", n), State::from_json(json).unwrap()), at);
}

fn plot(replica: &Replica, n: u128, of: u128, number: u64, at: u64) {
    let state = format!(r#"{{"number":{number},"unit":"{}"}}"#, Uuid::from_u128(of));
    write(replica, Operation::create(key("plots", n), State::from_json(&state).unwrap()), at);
}

/// Which of the source's unit and the destination's goes on.
fn keep((source, dest): (u128, u128), with: With) -> Resolution {
    let pair = Pair { source: key("units", source), dest: key("units", dest) };
    Resolution { pair, how: How::Keep(Keep { with, children: Children::Both }) }
}

fn listed(listed: Vec<Resolution>) -> Resolutions {
    Resolutions { listed, default: None }
}

fn merged(dest: &Replica, source: &Replica, resolutions: &Resolutions) -> Result<(), Vec<Refusal>> {
    match dest.merge(&[source], resolutions, &mut |_| {}) {
        Ok(_) => {
            assert_eq!(dest.check().unwrap(), [""; 0]);
            Ok(())
        }
        Err(Error::MergeRefused { refusals }) => Err(refusals),
        Err(other) => panic!("{other:?}"),
    }
}

/// The units that live, by their numbers.
fn living(replica: &Replica) -> Vec<u128> {
    replica.list(key("units", 1).collection()).unwrap().into_iter().map(|(id, _)| id.as_u128()).collect()
}

/// Where a plot's reference leads.
fn leads(replica: &Replica, n: u128) -> String {
    replica.get(&key("plots", n)).unwrap().map_or_else(String::new, |state| state.as_json().to_owned())
}

/// Two of the source and two of the destination, each beating the next one.
fn in_a_circle() -> (Replica, Replica, [(u128, u128, With); 4]) {
    let (dest, source) = (file(1), file(2));
    unit(&dest, 1, r#"{"a":1,"b":1}"#, 1);
    unit(&dest, 2, r#"{"c":1,"d":1}"#, 2);
    unit(&source, 3, r#"{"a":1,"d":1}"#, 3);
    unit(&source, 4, r#"{"b":1,"c":1}"#, 4);
    (dest, source, [(3, 1, With::Source), (4, 1, With::Dest), (4, 2, With::Source), (3, 2, With::Dest)])
}

#[test]
fn decisions_that_go_in_a_circle_contradict_each_other() {
    let (dest, source, circle) = in_a_circle();
    let all = circle.map(|(source, dest, with)| keep((source, dest), with)).to_vec();
    let refusals = merged(&dest, &source, &listed(all.clone())).unwrap_err();
    assert_eq!(refusals.len(), 4, "{refusals:?}");
    for one in &all {
        let expected = Refusal::Contradicted { pair: one.pair.clone() };
        assert!(refusals.contains(&expected), "{refusals:?}");
        assert!(expected.to_string().contains("contradicts another resolution"), "{expected}");
    }
    assert_eq!(living(&dest), [1, 2], "nothing was merged");
    // With a default for the one that closes it, that one follows from the others.
    let Resolution { how: How::Keep(dests), .. } = keep((3, 2), With::Dest) else { panic!("it keeps") };
    let rest = Resolutions { listed: all[..3].to_vec(), default: Some(dests) };
    merged(&dest, &source, &rest).unwrap();
    assert!((1..4).contains(&living(&dest).len()), "{:?}", living(&dest));
}

#[test]
fn what_goes_with_its_parent_cannot_be_what_goes_on() {
    let (dest, source) = (file(1), file(2));
    unit(&dest, 1, r#"{"a":1}"#, 1);
    plot(&dest, 11, 1, 5, 2);
    unit(&source, 2, r#"{"a":1}"#, 3);
    plot(&source, 12, 2, 5, 4);
    // Of the units this one goes on, and the other one's plots go with it.
    let of_units = |with| {
        let pair = Pair { source: key("units", 2), dest: key("units", 1) };
        Resolution { pair, how: How::Keep(Keep { with, children: Children::Winner }) }
    };
    let pair = Pair { source: key("plots", 12), dest: key("plots", 11) };
    let of_plots = |with| How::Keep(Keep { with, children: Children::Both });
    let other = |side| How::Modify { side, to: Patch::from_json(r#"{"number":6}"#).unwrap() };
    let both = |with, how| listed(vec![of_units(with), Resolution { pair: pair.clone(), how }]);
    for (units, plots) in [
        (With::Dest, of_plots(With::Source)),
        (With::Source, of_plots(With::Dest)),
        (With::Dest, other(Side::Source)),
        (With::Source, other(Side::Source)),
    ] {
        let refusals = merged(&dest, &source, &both(units, plots.clone())).unwrap_err();
        assert_eq!(refusals, [Refusal::Contradicted { pair: pair.clone() }], "{units:?} {plots:?}");
    }
    assert_eq!(living(&dest), [1], "nothing was merged");
    // Which of the two is newer does not matter, for one of them is left.
    merged(&dest, &source, &both(With::Dest, of_plots(With::Newest))).unwrap();
    assert_eq!((living(&dest), leads(&dest, 12)), (vec![1], String::new()));
}

/// Whichever key it loses by, and whatever the patch would free.
#[test]
fn what_lost_one_clash_cannot_get_another_key_for_the_other_one() {
    for (lost_to, modified_against, to) in
        [(1, 2, r#"{"b":9}"#), (1, 2, r#"{"a":9,"b":9}"#), (2, 1, r#"{"a":9,"b":9}"#)]
    {
        let (dest, source) = (file(1), file(2));
        unit(&dest, 1, r#"{"a":1}"#, 1);
        unit(&dest, 2, r#"{"b":1}"#, 2);
        unit(&source, 3, r#"{"a":1,"b":1}"#, 3);
        let pair = Pair { source: key("units", 3), dest: key("units", modified_against) };
        let modify = |side, to: &str| How::Modify { side, to: Patch::from_json(to).unwrap() };
        let both = |how| listed(vec![keep((3, lost_to), With::Dest), Resolution { pair: pair.clone(), how }]);
        let refusals = merged(&dest, &source, &both(modify(Side::Source, to))).unwrap_err();
        assert_eq!(refusals, [Refusal::Contradicted { pair: pair.clone() }], "{lost_to} {to}");
        assert_eq!(living(&dest), [1, 2], "nothing was merged");
        // The other one may.
        merged(&dest, &source, &both(modify(Side::Dest, r#"{"a":9,"b":9}"#))).unwrap();
        assert_eq!(living(&dest), [1, 2]);
    }
}

#[test]
fn what_gets_another_key_may_refer_to_what_nobody_knows_but_not_to_what_is_deleted() {
    let (dest, source) = (file(1), file(2));
    unit(&dest, 1, "{}", 1);
    unit(&dest, 2, "{}", 1);
    write(&dest, Operation::delete(key("units", 2)), 2);
    plot(&dest, 11, 1, 5, 2);
    plot(&source, 12, 1, 5, 3);
    let pair = Pair { source: key("plots", 12), dest: key("plots", 11) };
    let to = |unit: u128| {
        let to = Patch::from_json(&format!(r#"{{"number":6,"unit":"{}"}}"#, Uuid::from_u128(unit))).unwrap();
        listed(vec![Resolution { pair: pair.clone(), how: How::Modify { side: Side::Source, to } }])
    };
    let why = format!("\"unit\" would refer to {}, which is deleted", key("units", 2));
    let refusals = merged(&dest, &source, &to(2)).unwrap_err();
    assert_eq!(refusals, [Refusal::BadModify { pair: pair.clone(), why }]);
    assert_eq!(leads(&dest, 12), "", "nothing was merged");
    merged(&dest, &source, &to(7)).unwrap();
    assert!(leads(&dest, 12).contains(&Uuid::from_u128(7).to_string()), "{}", leads(&dest, 12));
}

/// One that lost before leads into the circle, and is looked at first.
#[test]
fn what_became_a_part_of_two_that_became_a_part_of_each_other_follows_the_one_that_lives() {
    for survivor in [2, 3] {
        let [one, two, three] = [11, 12, 13].map(file);
        unit(&one, 1, r#"{"a":1}"#, 1);
        plot(&one, 10, 1, 1, 2);
        unit(&two, 2, r#"{"a":1,"b":1}"#, 3);
        unit(&three, 3, r#"{"b":1}"#, 4);
        let of = if survivor == 2 { &two } else { &three };
        write(
            of,
            Operation::patch(key("units", survivor), Patch::from_json(r#"{"note":"last"}"#).unwrap()),
            9,
        );
        let (first, second) = (file(3), file(4));
        let taken = |into: &Replica, from: &Replica, with| {
            let default = Some(Keep { with, children: Children::Both });
            into.merge(&[from], &Resolutions { listed: Vec::new(), default }, &mut |_| {}).unwrap();
        };
        taken(&first, &two, With::Dest);
        taken(&first, &one, With::Dest);
        taken(&first, &three, With::Source);
        taken(&second, &two, With::Dest);
        taken(&second, &three, With::Dest);
        assert_eq!((living(&first), living(&second)), (vec![3], vec![2]));
        merged(&first, &second, &Resolutions::default()).unwrap();
        merged(&second, &first, &Resolutions::default()).unwrap();
        for file in [&first, &second] {
            assert_eq!(living(file), [survivor]);
            assert!(leads(file, 10).contains(&Uuid::from_u128(survivor).to_string()), "{}", leads(file, 10));
        }
    }
}

/// One file says that the first is a part of the second, the other one the reverse: the one that was changed last lives, and
/// both parents' children are its own.
#[test]
fn of_two_that_became_a_part_of_each_other_the_one_changed_last_lives() {
    for (changed, survivor) in [(1, 1), (2, 2)] {
        let (one, two) = (file(1), file(2));
        unit(&one, 1, r#"{"a":1}"#, 1);
        plot(&one, 11, 1, 1, 2);
        unit(&two, 2, r#"{"a":1}"#, 3);
        plot(&two, 12, 2, 2, 4);
        let of = if changed == 1 { &one } else { &two };
        write(
            of,
            Operation::patch(key("units", changed), Patch::from_json(r#"{"note":"last"}"#).unwrap()),
            9,
        );
        let (first, second) = (file(3), file(4));
        for (file, order) in [(&first, [&one, &two]), (&second, [&two, &one])] {
            // Each says that what came first goes on.
            file.merge(&[order[0]], &Resolutions::default(), &mut |_| {}).unwrap();
            let keep = Keep { with: With::Dest, children: Children::Both };
            let resolutions = Resolutions { listed: Vec::new(), default: Some(keep) };
            file.merge(&[order[1]], &resolutions, &mut |_| {}).unwrap();
        }
        assert_eq!((living(&first), living(&second)), (vec![1], vec![2]));
        merged(&first, &second, &Resolutions::default()).unwrap();
        merged(&second, &first, &Resolutions::default()).unwrap();
        for file in [&first, &second] {
            assert_eq!(living(file), [survivor], "changed last: {changed}");
            let id = Uuid::from_u128(survivor).to_string();
            assert!(
                [11, 12].iter().all(|plot| leads(file, *plot).contains(&id)),
                "{} {}",
                leads(file, 11),
                leads(file, 12)
            );
        }
    }
}
