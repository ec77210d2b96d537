//! What the sync engine asks, and when.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, Generation, Index, Millis, Operation, Patch, Schema};
use foldlog::journal::{Durability, Options};
use foldlog::replica::Replica;
use foldlog::sync::{self, Engine, Next, Want};

use crate::authority::{Authority, NOW, create, engine, key};

fn commit(engine: &Engine, operation: Operation) {
    engine.replica().commit(&[operation], Durability::Durable).unwrap();
}

fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Deliver { .. } => "deliver",
        Ask::Changes { .. } => "changes",
        Ask::Triggers { .. } => "triggers",
        Ask::Reads { .. } => "reads",
        Ask::LiveSets { .. } => "live sets",
    }
}

/// What is asked until there is nothing more to ask at this moment.
fn all_asked(authority: &mut Authority, engine: &mut Engine) -> Vec<&'static str> {
    let mut all = Vec::new();
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        all.push(name(&request.ask));
        let answer = authority.answer(&request.ask);
        engine.answer(request.number, answer, NOW, 0).unwrap();
    }
    all
}

/// An engine with something to send and something that it heard of.
fn busy(authority: &mut Authority) -> Engine {
    let (mut engine, mut other) = (engine(), engine());
    authority.sync(&mut engine);
    commit(&other, create(1));
    authority.sync(&mut other);
    let ask = Ask::Triggers { above: Index(0), generation: None, triggers_max: 9 };
    let Answer::Triggers(triggers) = authority.answer(&ask) else { panic!("no triggers") };
    engine.hear(Generation(Uuid::from_u128(1)), &triggers).unwrap();
    commit(&engine, create(2));
    engine.want_only(Want::default());
    engine
}

#[test]
fn wants_add_up_and_each_is_asked_for() {
    let none = Want::default();
    let each = [
        (Want { down: true, ..none }, &["changes"][..]),
        (Want { up: true, ..none }, &["deliver"]),
        // What they hint at is read.
        (Want { triggers: true, ..none }, &["triggers", "reads"]),
        (Want { reads: true, ..none }, &["reads"]),
        // What differs is fetched.
        (Want { compare: true, ..none }, &["live sets", "changes", "live sets"]),
    ];
    for (want, expected) in each {
        for (first, second) in [(want, none), (none, want), (want, want)] {
            let mut authority = Authority::new();
            let mut engine = busy(&mut authority);
            engine.want(first);
            engine.want(second);
            assert_eq!(all_asked(&mut authority, &mut engine), expected, "{first:?}, {second:?}");
        }
    }
    let mut authority = Authority::new();
    let mut engine = busy(&mut authority);
    engine.online().unwrap();
    assert_eq!(all_asked(&mut authority, &mut engine), ["changes", "deliver", "triggers"]);
}

#[test]
fn who_is_online_again_reads_what_it_had_heard_of() {
    let mut authority = Authority::new();
    let mut engine = busy(&mut authority);
    engine.online().unwrap();
    // What has to be read only that a question for changes does not bring.
    let mut asked = Vec::new();
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        asked.push(name(&request.ask));
        let answer = match &request.ask {
            Ask::Changes { cursors, .. } => {
                let Answer::Changes(page) = authority.answer(&request.ask) else { panic!("no page") };
                let cursors = cursors.clone();
                Answer::Changes(foldlog::algebra::Page { rows: Vec::new(), cursors, ..page })
            }
            other => authority.answer(other),
        };
        engine.answer(request.number, answer, NOW, 0).unwrap();
    }
    assert_eq!(asked, ["changes", "deliver", "triggers", "reads"]);
}

#[test]
fn each_question_has_a_number_of_its_own() {
    let mut authority = Authority::new();
    let mut engine = engine();
    let Next::Ask(first) = engine.next(NOW).unwrap() else { panic!("nothing is asked") };
    engine.answer(first.number, authority.answer(&first.ask), NOW, 0).unwrap();
    engine.want_only(Want::DOWN);
    let Next::Ask(second) = engine.next(NOW).unwrap() else { panic!("nothing is asked") };
    assert_ne!(first.number, second.number);
}

#[test]
fn what_is_pending_goes_an_interval_after_the_last_attempt_unless_something_else_is_wanted() {
    let interval = sync::Options::default().up_interval_ms;
    let mut authority = Authority::new();
    let mut engine = engine();
    authority.sync(&mut engine);
    commit(&engine, create(1));
    let due = Millis(NOW.0 + interval);
    assert_eq!(engine.next(NOW).unwrap(), Next::Wait(due));
    assert_eq!(engine.next(Millis(due.0 - 1)).unwrap(), Next::Wait(due));
    // A clock that was set back: from there on.
    let mut early = Engine::new(engine.replica().clone(), sync::Options::default());
    early.want_only(Want::default());
    assert_eq!(early.next(Millis(5)).unwrap(), Next::Wait(Millis(5 + interval)));
    engine.want(Want { compare: true, ..Want::default() });
    assert!(matches!(engine.next(due).unwrap(), Next::Ask(request) if name(&request.ask) == "live sets"));
}

#[test]
fn however_short_the_interval_it_waits() {
    let mut authority = Authority::new();
    let replica = Replica::in_memory(Options::new().clock(|| NOW.0)).unwrap();
    let options = sync::Options { down_interval_ms: 0, up_interval_ms: 0, ..sync::Options::default() };
    let mut engine = Engine::new(replica, options);
    assert_eq!(all_asked(&mut authority, &mut engine), ["changes"]);
    assert_eq!(engine.next(NOW).unwrap(), Next::Wait(Millis(NOW.0 + 1)));
}

#[test]
fn nobody_who_was_not_told_is_told_no_more() {
    let interval = sync::Options::default().down_interval_ms;
    let mut authority = Authority::new();
    let mut engine = engine();
    authority.sync(&mut engine);
    engine.is_told(false, Millis(NOW.0 + 1_000));
    assert_eq!(engine.next(NOW).unwrap(), Next::Wait(Millis(NOW.0 + interval)));
}

#[test]
fn what_is_written_while_a_bunch_is_on_its_way_goes_with_the_next_one_if_that_is_enough() {
    for is_enough in [false, true] {
        let mut authority = Authority::new();
        let mut engine = engine();
        commit(&engine, create(1));
        engine.want_only(Want::UP);
        let Next::Ask(request) = engine.next(NOW).unwrap() else { panic!("nothing is asked") };
        commit(&engine, create(2));
        if is_enough {
            engine.up_is_enough();
        }
        engine.answer(request.number, authority.answer(&request.ask), NOW, 0).unwrap();
        let rest: &[&str] = if is_enough { &[] } else { &["deliver"] };
        assert_eq!(all_asked(&mut authority, &mut engine), rest);
    }
}

/// A deletion that was heard of says all where it is no matter when it was.
#[test]
fn a_deletion_that_was_heard_of_is_read_where_its_time_decides_about_what_is_unsent() {
    for (policy, is_edited, expected) in [
        ("last_operation", false, &[][..]),
        ("newest", false, &[][..]),
        ("last_operation", true, &[][..]),
        ("newest", true, &["reads"][..]),
    ] {
        let schema = format!(r#"{{"collections":{{"notes":{{"policy":"{policy}"}}}}}}"#);
        let schema = Schema::from_json(&schema).unwrap();
        let mut authority = Authority::of(schema.clone());
        let client = || {
            let options = Options::new().clock(|| NOW.0).schema(schema.clone());
            Engine::new(Replica::in_memory(options).unwrap(), sync::Options::default())
        };
        let (mut engine, mut other) = (client(), client());
        commit(&other, create(1));
        authority.sync(&mut other);
        authority.sync(&mut engine);
        commit(&other, Operation::delete(key(1)));
        authority.sync(&mut other);
        if is_edited {
            let edit = Operation::patch(key(1), Patch::from_json(r#"{"n":7}"#).unwrap());
            commit(&engine, edit.at(NOW.0 + 50).unwrap());
        }
        engine.want_only(Want { triggers: true, reads: true, ..Want::default() });
        let asked = all_asked(&mut authority, &mut engine);
        assert_eq!(asked.split_first(), Some((&"triggers", expected)), "{policy}, {is_edited}");
        assert_eq!(engine.replica().get(&key(1)).unwrap().is_some(), is_edited, "{policy}, {is_edited}");
    }
}

#[test]
fn the_wait_after_a_failure_is_made_of_all_that_is_random() {
    let mut engine = engine();
    let Next::Ask(request) = engine.next(NOW).unwrap() else { panic!("nothing is asked") };
    engine.answer(request.number, Answer::Offline, NOW, (3 << 64) | 401).unwrap();
    assert_eq!(engine.next(NOW).unwrap(), Next::Wait(Millis(NOW.0 + 500 + (401 ^ 3))));
}
