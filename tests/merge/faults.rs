//! A merge on a disk that fails: the destination is as it was before or merged whole, the sources are as they were.

use std::panic::AssertUnwindSafe;

use foldlog::Uuid;
use foldlog::algebra::{EntityKey, Operation, Patch, ReplicaId, Schema, State};
use foldlog::journal::{Durability, Options};
use foldlog::merge::{Children, How, Keep, Pair, Resolution, Resolutions, With};
use foldlog::replica::{Error, Replica};
use foldlog::testing::{Fault, FaultyStorage, Times, Unsynced};

use super::world::{key, schema};

fn opened(storage: &FaultyStorage, id: u128, schema: &Schema) -> Replica {
    let options = Options::new().cache_bytes(1 << 20).clock(|| 100).schema(schema.clone());
    Replica::of(options.replica(ReplicaId(Uuid::from_u128(id))).on(storage.clone()).unwrap()).unwrap()
}

fn create(key: EntityKey, json: &str, at: u64) -> Operation {
    Operation::create(key, State::from_json(json).unwrap()).at(at).unwrap()
}

/// A destination and two sources, with something of everything that a merge does.
fn files(schema: &Schema) -> (FaultyStorage, [FaultyStorage; 2], Resolutions) {
    let [desk, crew, other] = [1, 2, 3].map(|_| FaultyStorage::new());
    let done = |replica: &Replica, operations: &[Operation]| {
        replica.commit(operations, Durability::Durable).unwrap();
    };
    let unit = |n: u128| format!(r#""unit":"{}""#, Uuid::from_u128(n + 1));
    {
        let desk = opened(&desk, 1, schema);
        let shared: Vec<Operation> = (0..40)
            .map(|n| create(key("plots", n), &format!(r#"{{"number":{n},"note":"made"}}"#), 1))
            .chain([create(key("units", 0), r#"{"code":0}"#, 1)])
            .collect();
        done(&desk, &shared);
        for crew in [opened(&crew, 2, schema), opened(&other, 3, schema)] {
            crew.merge(&[&desk], &Resolutions::default(), &mut |_| {}).unwrap();
        }
        done(&desk, &[create(key("units", 1), r#"{"code":7,"by":"desk"}"#, 5)]);
        done(&desk, &[create(key("trees", 1), &format!(r#"{{"tag":1,{}}}"#, unit(1)), 6)]);
        done(&desk, &[Operation::delete(key("plots", 3)).at(7).unwrap()]);
    }
    {
        let crew = opened(&crew, 2, schema);
        done(&crew, &[create(key("units", 2), r#"{"code":7,"by":"crew"}"#, 8)]);
        let note = Patch::from_json(r#"{"note":"crew"}"#).unwrap();
        for n in 0..20 {
            done(&crew, &[Operation::patch(key("plots", n), note.clone()).at(9).unwrap()]);
        }
        done(&crew, &[Operation::delete(key("plots", 30)).at(10).unwrap()]);
    }
    {
        let other = opened(&other, 3, schema);
        done(&other, &[create(key("trees", 2), &format!(r#"{{"tag":2,{}}}"#, unit(0)), 11)]);
        done(&other, &[Operation::delete(key("plots", 31)).at(12).unwrap()]);
    }
    let pair = Pair { source: key("units", 2), dest: key("units", 1) };
    let how = How::Keep(Keep { with: With::Source, children: Children::Both });
    let resolutions = Resolutions { listed: vec![Resolution { pair, how }], default: None };
    (desk, [crew, other], resolutions)
}

/// All that can be seen of a replica, and what later merges know of it.
fn observed(replica: &Replica, sources: &[&Replica]) -> String {
    let entities = replica.entities(None).unwrap();
    let plan = replica.journal().plan().unwrap();
    let checked = replica.check_merge(sources, &Resolutions::default(), &mut |_| {}).unwrap();
    format!("{entities:?} {plan:?} {:?} {checked:?}", replica.losers().unwrap())
}

#[test]
fn whenever_the_power_goes_the_destination_is_as_before_or_merged_whole() {
    let schema = schema(["last_operation"; 3], ["cascade"; 3]);
    let (desk, sources, resolutions) = files(&schema);
    let bytes: Vec<Vec<u8>> = sources.iter().map(FaultyStorage::bytes).collect();
    let open = || -> Vec<Replica> {
        let copy = |(bytes, id): (&Vec<u8>, u128)| opened(&FaultyStorage::from_bytes(bytes), id, &schema);
        bytes.iter().zip(2..).map(copy).collect()
    };
    let crews = open();
    let crews: Vec<&Replica> = crews.iter().collect();
    let replica = opened(&desk, 1, &schema);
    let before = observed(&replica, &crews);
    desk.record();
    replica.merge(&crews, &resolutions, &mut |_| {}).unwrap();
    let after = observed(&replica, &crews);
    assert_ne!(before, after);
    let mut images = 0;
    for point in desk.crashes() {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Sampled { seed: point.event() }] {
            let found = opened(&point.image(unsynced), 1, &schema);
            let seen = observed(&found, &crews);
            let event = point.event();
            assert!(seen == before || seen == after, "event {event}, {unsynced:?}: {seen}");
            assert_eq!(found.check().unwrap(), [""; 0], "event {event}, {unsynced:?}");
            images += 1;
        }
    }
    println!("{images} crash images");
    assert!(images > 10, "{images}");
}

#[test]
fn whatever_fails_the_destination_is_as_before_or_merged_whole_and_a_source_as_it_was() {
    let schema = schema(["last_operation"; 3], ["cascade"; 3]);
    let (desk, sources, resolutions) = files(&schema);
    let images = [&desk, &sources[0], &sources[1]].map(FaultyStorage::bytes);
    let run = |faulty: usize, fault: Option<(Fault, u64)>| {
        let storages = images.each_ref().map(|bytes| FaultyStorage::from_bytes(bytes));
        let replicas = [0, 1, 2].map(|n| opened(&storages[n], n as u128 + 1, &schema));
        let crews = [&replicas[1], &replicas[2]];
        let source_bytes = [storages[1].bytes(), storages[2].bytes()];
        let before = observed(&replicas[0], &crews);
        let storage = &storages[faulty];
        let first = storage.calls();
        if let Some((fault, call)) = fault {
            storage.fail_at(first + call, fault, Times::Once);
        }
        let done = replicas[0].merge(&crews, &resolutions, &mut |_| {});
        let calls = storage.calls() - first;
        storage.heal();
        assert_eq!([storages[1].bytes(), storages[2].bytes()], source_bytes);
        drop(replicas);
        let replicas = [0, 1, 2].map(|n| opened(&storages[n], n as u128 + 1, &schema));
        let seen = observed(&replicas[0], &[&replicas[1], &replicas[2]]);
        assert_eq!(replicas[0].check().unwrap(), [""; 0]);
        (done.map(drop), before, seen, calls)
    };
    let (done, before, after, _) = run(0, None);
    done.unwrap();
    let mut failed = 0;
    for faulty in 0..3 {
        let (.., calls) = run(faulty, None);
        for fault in Fault::ALL {
            for call in (0..calls).step_by(1 + usize::try_from(calls).unwrap() / 40) {
                let (done, _, seen, _) = run(faulty, Some((fault, call)));
                match done {
                    Ok(()) => assert_eq!(seen, after),
                    Err(error) => {
                        failed += 1;
                        assert!(
                            seen == before || (faulty == 0 && seen == after),
                            "{fault:?} at {call}: {error}"
                        );
                        assert_eq!(matches!(error, Error::MergeSource { .. }), faulty > 0, "{error}");
                    }
                }
            }
        }
    }
    println!("{failed} merges failed");
    assert!(failed > 50, "{failed}");
}

/// What the caller's own code panics with is no fault of a file's.
#[test]
fn a_caller_that_panics_when_told_how_far_it_is_leaves_all_files_usable() {
    let schema = schema(["last_operation"; 3], ["cascade"; 3]);
    let (desk, crews, resolutions) = files(&schema);
    let desk = opened(&desk, 1, &schema);
    let [crew, other] = [opened(&crews[0], 2, &schema), opened(&crews[1], 3, &schema)];
    // So many that it is told more than once.
    let many: Vec<Operation> = (100..9_000).map(|n| create(key("plots", n), "{}", 1)).collect();
    desk.commit(&many, Durability::Durable).unwrap();
    for check in [true, false] {
        let mut told = 0;
        let mut panics = |_| {
            told += 1;
            panic!("enough of that")
        };
        let merging = AssertUnwindSafe(|| {
            if check {
                desk.check_merge(&[&crew, &other], &resolutions, &mut panics).map(|_| ()).unwrap();
            } else {
                desk.merge(&[&crew, &other], &resolutions, &mut panics).map(|_| ()).unwrap();
            }
        });
        let theirs = std::panic::catch_unwind(merging).unwrap_err();
        assert_eq!((theirs.downcast_ref::<&str>(), told), (Some(&"enough of that"), 1));
        let checked = desk.check_merge(&[&crew, &other], &resolutions, &mut |_| {}).unwrap();
        assert!(checked.entities.len() > 10, "nothing was merged");
    }
    desk.merge(&[&crew, &other], &resolutions, &mut |_| {}).unwrap();
}
