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
