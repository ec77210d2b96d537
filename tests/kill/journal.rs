//! A journal that appends, compacts, seals and settles without end.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use foldlog::algebra::{
    Base, Bunch, Effect, EntityKey, Epoch, Existence, Limits, Operation, Outcome, Outcomes, Planned,
    Resulting, Seq, draft,
};
use foldlog::codec::lines::Line;
use foldlog::journal::{Durability, Journal, verify};

use crate::{ENTITIES, Moments, heard, key, kills, operation, say, start, with_open_files};

/// How many of all kills these are.
const SHARE: u32 = 5;

/// What is killed: says what it begins to append, and what came back.
pub(crate) fn live(path: &Path) {
    let journal = Journal::create(path).unwrap();
    let mut next = journal.status().unwrap().appended + 1;
    say("ready".to_owned());
    for round in 0_u64.. {
        let batch: Vec<Operation> = (next..next + 1 + round % 9).map(operation).collect();
        say(format!("appending {}", batch.len()));
        let appended = journal.append(&batch, Durability::Durable).unwrap();
        assert_eq!(appended.first.0, next);
        next = appended.last.0 + 1;
        say(format!("appended {}", appended.last));
        match round % 5 {
            1 => journal.compact().unwrap(),
            2 => {
                if let Some(bunch) = journal.seal(Limits { operations: 12, ..Limits::default() }).unwrap() {
                    say(format!("sealed {}", bunch.to_line()));
                }
            }
            4 => {
                if let Some(bunch) = journal.open_bunch().unwrap() {
                    say(format!("settling {}", bunch.number));
                    let settled = journal.settle(&accepted(&bunch)).unwrap();
                    assert!(!settled.was_settled);
                    say(format!("settled {}", bunch.number));
                }
            }
            _ => {}
        }
    }
}

fn accepted(bunch: &Bunch) -> Outcomes {
    let outcomes = (0..bunch.operations.len() as u64)
        .map(|place| Outcome::Accepted {
            epoch: Some(Epoch(bunch.number.0 * 1_000 + place)),
            result: Resulting::AsSent,
            overwrote: None,
        })
        .collect();
    Outcomes { bunch: bunch.number, outcomes }
}

/// What the killed process said.
#[derive(Default)]
struct Said {
    acknowledged: u64,
    /// How many more operations the call under way would have appended.
    under_way: u64,
    sealed: Option<Bunch>,
    /// The bunch whose settling was under way, and the one that was settled last.
    settling: u64,
    settled: u64,
}

fn hear(lines: Vec<String>, said: &mut Said) {
    for line in lines {
        match line.split_once(' ') {
            Some(("appending", number)) => said.under_way = number.parse().unwrap_or(9),
            Some(("appended", last)) => {
                said.acknowledged = last.parse().unwrap();
                said.under_way = 0;
            }
            Some(("sealed", bunch)) => said.sealed = Bunch::from_line(bunch).ok(),
            Some(("settling", number)) => said.settling = number.parse().unwrap(),
            Some(("settled", number)) => said.settled = number.parse().unwrap(),
            _ => {}
        }
    }
}

/// Every effect, sealed or pending, is that of the operations it counts, byte for byte; says how many were
/// compared.
fn what_is_there_is_what_was_appended(journal: &Journal) -> u64 {
    let bunch = journal.open_bunch().unwrap();
    let sealed: Vec<Planned> = bunch.into_iter().flat_map(|bunch| bunch.operations).collect();
    let sealed_keys: HashSet<EntityKey> =
        sealed.iter().map(|planned| planned.operation.key.clone()).collect();
    let plan = journal.plan().unwrap();
    // What is pending behind a sealed operation is planned on what that one will make of the base.
    let pending = plan.operations.into_iter().filter(|planned| !sealed_keys.contains(&planned.operation.key));
    let mut compared = 0;
    for planned in sealed.iter().cloned().chain(pending) {
        let key = &planned.operation.key;
        let mut effect = Effect::identity();
        for seq in planned.first.0..=planned.last.0 {
            let operation = operation(seq);
            if operation.key == *key {
                effect = effect.then(&Effect::of(Seq(seq), &operation));
            }
        }
        assert_eq!(effect.shape.operations, planned.operations, "{key}");
        let expected = draft(key, &effect, &journal.base(key).unwrap()).unwrap();
        assert_eq!(planned.operation.change, expected.planned.operation.change, "{key}");
        compared += 1;
    }
    compared
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.journal");
    let (kills, mut moments) = (kills(SHARE), Moments::new());
    let mut seen: BTreeMap<EntityKey, Existence> = BTreeMap::new();
    let mut played = 0;
    let (mut open, mut delivered, mut in_flight, mut compared) = (None::<Bunch>, 0, 0, 0);
    for kill in 0..kills {
        let mut said = Said { acknowledged: played, ..Said::default() };
        hear(heard(start("journal", &path, 0), &mut moments), &mut said);
        let _open = with_open_files();
        if !path.exists() {
            assert_eq!(said.acknowledged, 0);
            continue;
        }
        let report = verify(&path);
        if said.acknowledged == 0 && report.is_err() {
            // It died while the journal was being made.
            continue;
        }
        assert_eq!(report.unwrap().findings, [], "kill {kill}");
        let journal = Journal::open(&path).unwrap();
        let status = journal.status().unwrap();
        let found = status.appended;
        assert!(
            found == said.acknowledged || found == said.acknowledged + said.under_way,
            "kill {kill}: {found} operations; {} were acknowledged, {} more under way",
            said.acknowledged,
            said.under_way
        );
        in_flight += u64::from(found != said.acknowledged);
        let phases = [&status.pending, &status.held, &status.sealed, &status.parked];
        let counted: u64 = phases.iter().map(|count| count.operations).sum();
        assert_eq!(counted + status.settled, found, "kill {kill}: {status:?}");
        // Bunches follow each other; what was sealed is the same bytes until it is settled.
        let now = journal.open_bunch().unwrap();
        if let Some(sealed) = &said.sealed
            && said.settled < sealed.number.0
            && said.settling < sealed.number.0
        {
            assert_eq!(now.as_ref().map(Line::to_line), Some(sealed.to_line()), "kill {kill}");
        }
        if let (Some(before), Some(now)) = (&open, &now)
            && before.number == now.number
        {
            assert_eq!(before.to_line(), now.to_line(), "kill {kill}");
        }
        delivered = delivered.max(said.settled);
        open = now;
        for seq in played + 1..=found {
            let operation = operation(seq);
            let thing = seen.entry(operation.key).or_default();
            *thing = thing.after(&operation.change);
        }
        played = found;
        compared += what_is_there_is_what_was_appended(&journal);
        drop(journal);
    }
    let _open = with_open_files();
    let journal = Journal::open(&path).unwrap();
    let appended = journal.status().unwrap().appended;
    assert!(
        appended > 500 && delivered > 10,
        "{appended} operations, {delivered} bunches: too slow to show anything"
    );
    // Everything is delivered: what the journal then knows of the authority is what its operations say.
    for round in 0.. {
        assert!(round < 1_000);
        match journal.seal(Limits::default()).unwrap() {
            None => break,
            Some(bunch) => {
                journal.settle(&accepted(&bunch)).unwrap();
            }
        }
    }
    let status = journal.status().unwrap();
    assert_eq!(status.settled, appended);
    for number in 0..ENTITIES {
        let key = key(number);
        let base = journal.base(&key).unwrap();
        let local = seen.get(&key).cloned().unwrap_or_default();
        assert_eq!(matches!(base, Base::Live(_)), local.live().is_some(), "{key}: {base:?} of {local:?}");
    }
    println!(
        "{appended} operations over {kills} kills, {in_flight} of them kept though not acknowledged; {delivered} bunches; {compared} effects compared byte for byte"
    );
    assert_eq!(verify_after(journal, &path), []);
}

fn verify_after(journal: Journal, path: &Path) -> Vec<foldlog::journal::Finding> {
    drop(journal);
    verify(path).unwrap().findings
}
