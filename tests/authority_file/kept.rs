//! What is kept, what is forgotten when, and what is erased.

use foldlog::algebra::{Answer, Ask, Cursors, Epoch, Generation, Index, Millis};
use foldlog::authority::{Authority, FileAuthority, FileOptions};
use redb::{ReadableDatabase, ReadableTable, TableHandle};

use crate::asking::{
    NOW, Rows, TABLES, accepted, account, bunches, by_hand, changes, create, delete, deliver, name, observed,
    page, patch, schema,
};

#[test]
fn an_authority_that_is_opened_again_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    let authority = FileAuthority::create(&path, schema()).unwrap();
    let answers: Vec<Answer> =
        bunches().iter().map(|(of, ask)| authority.answer(of, NOW, ask).unwrap()).collect();
    let seen = |authority: &FileAuthority| {
        let generation = |of| page(authority, &account(of)).generation;
        let texts = ["anna", "ben"].map(|of| observed(authority, &account(of)).unwrap());
        (texts, generation("anna"), generation("ben"))
    };
    let before = seen(&authority);
    drop(authority);
    let authority = FileAuthority::open(&path, schema()).unwrap();
    assert_eq!(seen(&authority), before);
    for ((of, ask), answer) in bunches().iter().zip(&answers) {
        assert_eq!(authority.answer(of, NOW, ask).unwrap(), *answer);
    }
    assert_eq!(seen(&authority), before);
}

#[test]
fn of_an_erased_account_no_key_is_left_in_any_table_and_its_number_is_not_given_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    let authority = FileAuthority::create(&path, schema()).unwrap();
    for (of, ask) in bunches() {
        authority.answer(&of, NOW, &ask).unwrap();
    }
    let before = observed(&authority, &account("anna")).unwrap();
    // The second account that was made has the number 2.
    let of_ben = |path: &std::path::Path| {
        let db = by_hand(path);
        let txn = db.begin_read().unwrap();
        let mut found = Vec::new();
        for table in TABLES {
            let rows = txn.open_table(table).unwrap();
            for row in rows.iter().unwrap() {
                let (key, value) = row.unwrap();
                let has_number = key.value().starts_with(&2_u64.to_be_bytes());
                let holds = value.value().windows(5).any(|part| part == b"ben's");
                if has_number || holds || key.value() == b"ben" {
                    found.push(table.name().to_owned());
                }
            }
        }
        found.dedup();
        found
    };
    drop(authority);
    assert_eq!(of_ben(&path).len(), TABLES.len(), "there is something in every table");
    let authority = FileAuthority::open(&path, schema()).unwrap();
    let generation = page(&authority, &account("ben")).generation;
    assert!(authority.erase(&account("ben")).unwrap());
    assert!(!authority.erase(&account("ben")).unwrap());
    assert!(!authority.erase(&account("nobody")).unwrap());
    drop(authority);
    assert_eq!(of_ben(&path), Vec::<String>::new());
    let authority = FileAuthority::open(&path, schema()).unwrap();
    assert_eq!(observed(&authority, &account("anna")).unwrap(), before);
    assert!(accepted(&deliver(&authority, &account("ben"), 1, &[create("folders", 8, "{}")])));
    let again = page(&authority, &account("ben"));
    assert_eq!((again.rows.len(), again.generation == generation), (1, false));
    drop(authority);
    assert_eq!(of_ben(&path), ["accounts"], "only its name, under another number");
}

#[test]
fn tombstones_are_dropped_by_age_and_who_had_not_read_them_starts_over() {
    let authority = FileOptions::new().in_memory(schema()).unwrap();
    let (anna, ben) = (account("anna"), account("ben"));
    let folder = |n| create("folders", n, "{}");
    deliver(&authority, &anna, 1, &[folder(1), folder(2), folder(3), folder(4)]);
    deliver(&authority, &anna, 2, &[delete("folders", 1, 5_000), delete("folders", 2, 6_000)]);
    deliver(&authority, &anna, 3, &[delete("folders", 3, 9_000)]);
    deliver(&authority, &ben, 1, &[folder(1)]);
    let (sets, before) = (live_sets(&authority), observed(&authority, &ben).unwrap());
    assert_eq!(authority.prune(Millis(5_000)).unwrap(), 0);
    assert_eq!(authority.prune(Millis(6_001)).unwrap(), 2);
    assert_eq!(authority.prune(Millis(6_001)).unwrap(), 0);
    assert_eq!(live_sets(&authority), sets);
    assert_eq!(observed(&authority, &ben).unwrap(), before);
    let left = page(&authority, &anna);
    let epochs: Vec<u64> = left.rows.iter().map(|row| row.epoch.0).collect();
    assert_eq!(epochs, [4, 7], "the living, and a tombstone that is not old enough");
    assert_eq!(left.floors.get(&name("folders")), Some(&Epoch(6)));
    for (cursor, starts_over) in [(1, true), (5, true), (6, false), (7, false)] {
        let cursors = Cursors::from([(name("folders"), Epoch(cursor))]);
        let answer = authority.answer(&anna, NOW, &changes(cursors, None)).unwrap();
        assert_eq!(matches!(answer, Answer::StartOver { .. }), starts_over, "{cursor}: {answer:?}");
    }
    // What was dropped is absent: it can be made again.
    assert!(accepted(&deliver(&authority, &anna, 4, &[folder(1)])));
    assert_eq!(page(&authority, &anna).rows.len(), 3);
}

#[test]
fn epochs_that_entities_left_are_passed_over_and_go_before_they_are_many() {
    const ENTITIES: u128 = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    let anna = account("anna");
    let mut authority = FileAuthority::create(&path, schema()).unwrap();
    let (mut most, mut least) = (0, usize::MAX);
    for number in 1..=40_u64 {
        let change = |n| match number {
            1 => create("folders", n, "{}"),
            _ => patch("folders", n, &format!(r#"{{"round":{number}}}"#)),
        };
        let operations: Vec<_> = (1..=ENTITIES).map(change).collect();
        assert!(accepted(&deliver(&authority, &anna, number, &operations)));
        let rows = page(&authority, &anna).rows;
        let epochs: Vec<u64> = rows.iter().map(|row| row.epoch.0).collect();
        let last = number * u64::try_from(ENTITIES).unwrap();
        assert_eq!(epochs, (last - 299..=last).collect::<Vec<_>>(), "each once, by its last epoch");
        if number % 5 == 0 {
            drop(authority);
            let listed = keys_in(&path, "epochs");
            (most, least) = (most.max(listed), least.min(listed));
            authority = FileAuthority::open(&path, schema()).unwrap();
        }
    }
    println!("{least} to {most} keys");
    assert!((300..2_500).contains(&least) && (2_500..5_600).contains(&most));
    // A tombstone that is dropped takes all its epochs with it.
    let gone: Vec<_> = (1..=ENTITIES).map(|n| delete("folders", n, 5_000)).collect();
    assert!(accepted(&deliver(&authority, &anna, 41, &gone)));
    assert_eq!(authority.prune(Millis(6_000)).unwrap(), 300);
    assert_eq!(page(&authority, &anna).rows.len(), 0);
    drop(authority);
    assert_eq!((keys_in(&path, "epochs"), keys_in(&path, "left")), (0, 0));
}

#[test]
fn a_file_from_before_epochs_were_left_is_opened_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    let anna = account("anna");
    let authority = FileAuthority::create(&path, schema()).unwrap();
    deliver(&authority, &anna, 1, &[create("folders", 1, "{}")]);
    drop(authority);
    let db = by_hand(&path);
    let txn = db.begin_write().unwrap();
    assert!(txn.delete_table(Rows::new("left")).unwrap());
    txn.commit().unwrap();
    drop(db);
    let authority = FileAuthority::open(&path, schema()).unwrap();
    assert!(accepted(&deliver(&authority, &anna, 2, &[patch("folders", 1, r#"{"a":1}"#)])));
    assert_eq!(page(&authority, &anna).rows.len(), 1);
}

fn keys_in(path: &std::path::Path, table: &'static str) -> usize {
    let db = by_hand(path);
    let table = db.begin_read().unwrap().open_table(Rows::new(table)).unwrap();
    table.iter().unwrap().count()
}

fn live_sets(authority: &FileAuthority) -> Answer {
    authority.answer(&account("anna"), NOW, &Ask::LiveSets { generation: None }).unwrap()
}

#[test]
fn old_triggers_are_forgotten_and_said_to_be_too_old() {
    let authority = FileOptions::new().triggers_max(20).in_memory(schema()).unwrap();
    let anna = account("anna");
    for number in 1..=60 {
        deliver(&authority, &anna, number, &[create("folders", u128::from(number), "{}")]);
    }
    let above = |above| {
        let ask = Ask::Triggers { above: Index(above), generation: None, triggers_max: 1_000 };
        authority.answer(&anna, NOW, &ask).unwrap()
    };
    assert_eq!(above(0), Answer::TriggersTooOld);
    assert_eq!(above(30), Answer::TriggersTooOld);
    for from in 40..=60 {
        let Answer::Triggers(found) = above(from) else { panic!("{from} is kept") };
        let indexes: Vec<u64> = found.iter().map(|trigger| trigger.index.0).collect();
        assert_eq!(indexes, (from + 1..=60).collect::<Vec<_>>());
    }
    assert_eq!(above(61), Answer::TriggersTooOld, "it was never given out");
}

#[test]
fn after_a_restore_every_account_has_another_generation_and_its_answers_all_the_same() {
    let authority = FileOptions::new().in_memory(schema()).unwrap();
    let answers: Vec<Answer> =
        bunches().iter().map(|(of, ask)| authority.answer(of, NOW, ask).unwrap()).collect();
    let generations = || ["anna", "ben"].map(|of| page(&authority, &account(of)).generation);
    let before: [Generation; 2] = generations();
    assert_eq!(authority.renew_generations().unwrap(), 2);
    let after = generations();
    assert!(before[0] != after[0] && before[1] != after[1] && after[0] != after[1]);
    let ask = changes(Cursors::new(), Some(before[0]));
    let answer = authority.answer(&account("anna"), NOW, &ask).unwrap();
    assert_eq!(answer, Answer::StartOver { generation: after[0] });
    for ((of, ask), answer) in bunches().iter().zip(&answers) {
        assert_eq!(authority.answer(of, NOW, ask).unwrap(), *answer);
    }
}

#[test]
fn an_answer_that_tells_of_very_much_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.redb");
    let authority = FileAuthority::create(&path, schema()).unwrap();
    let anna = account("anna");
    let long = "x".repeat(100_000);
    let made: Vec<_> = (1..=520).map(|n| create("notes", n, &format!(r#"{{"text":"{long}"}}"#))).collect();
    assert!(accepted(&deliver(&authority, &anna, 1, &made)));
    // Nobody says what they were made on, so each is told what came of it.
    let edits: Vec<_> = (1..=520).map(|n| patch("notes", n, r#"{"done":true}"#)).collect();
    let first = deliver(&authority, &anna, 2, &edits);
    assert!(accepted(&first));
    assert!(deliver(&authority, &anna, 2, &edits) == first);
    drop(authority);
    let authority = FileAuthority::open(&path, schema()).unwrap();
    assert!(deliver(&authority, &anna, 2, &edits) == first);
}
