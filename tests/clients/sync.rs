//! The sync engine: what it asks, what it makes of answers, and what it does not let happen to the replica.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use foldlog::Uuid;
use foldlog::algebra::{
    Action, Answer, Ask, BunchNumber, CollectionName, Cursors, EntityKey, Epoch, Existence, FullRow,
    Generation, Index, Limits, Millis, Operation, Outcome, Outcomes, Page, Patch, Resulting, Schema, Trigger,
    Version,
};
use foldlog::authority::MemoryStore;
use foldlog::journal::{Cause, Durability, Options};
use foldlog::replica::{self, Replica, Standing};
use foldlog::sync::{self, Compared, Engine, Next, Taken, Want};
use foldlog::testing::FaultyStorage;

use crate::authority::{Authority, NOW, asked, create, engine, key, opened, state};

/// Everything that a program and the engine can see of a replica.
fn observed(replica: &Replica) -> String {
    let seen: Vec<String> =
        replica.known().unwrap().iter().map(|key| format!("{key} {:?}", replica.entity(key))).collect();
    let standing = replica.standing().unwrap();
    let journal = replica.journal();
    format!(
        "{seen:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        standing.cursors,
        standing.generation,
        journal.plan().unwrap(),
        journal.open_bunch().unwrap(),
        journal.parked().unwrap(),
        (replica.conflicts().unwrap(), replica.losers().unwrap()),
    )
}

fn row(n: u128, epoch: u64) -> FullRow {
    let version = Version { existence: Existence::Live(state("{}")), ..Version::default() };
    FullRow { key: key(n), version, epoch: Epoch(epoch), writer: None }
}

fn page(rows: Vec<FullRow>, cursor: u64) -> Page {
    let cursors = Cursors::from([(key(1).collection().clone(), Epoch(cursor))]);
    Page { generation: Generation(Uuid::from_u128(1)), rows, cursors, ..Page::default() }
}

#[test]
fn a_page_that_cannot_follow_the_cursors_changes_nothing() {
    let mut authority = Authority::new();
    let mut other = engine();
    other.replica().commit(&[create(1), create(2), create(3)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    let mut engine = engine();
    authority.sync(&mut engine);
    engine
        .replica()
        .commit(&[Operation::patch(key(1), Patch::from_json(r#"{"m":1}"#).unwrap())], Durability::Durable)
        .unwrap();
    let before = observed(engine.replica());
    let elsewhere = Page { generation: Generation(Uuid::from_u128(2)), ..page(Vec::new(), 3) };
    let standing_still = Page { has_more: true, ..page(Vec::new(), 3) };
    let pages = [
        ("goes back", page(Vec::new(), 2)),
        ("goes back", Page { cursors: Cursors::new(), ..page(Vec::new(), 3) }),
        ("another generation", elsewhere),
        ("stand still", standing_still),
        ("not above 3", page(vec![row(9, 3)], 5)),
        ("not above 3", page(vec![row(9, 6)], 5)),
        ("stands twice", page(vec![row(9, 4), row(9, 5)], 5)),
        ("at most 10", page((10..30).map(|n: u64| row(n.into(), n)).collect(), 40)),
    ];
    for (part, page) in pages {
        engine.online().unwrap();
        engine.want_only(Want::DOWN);
        let (number, _) = asked(&mut engine);
        let error = engine.answer(number, Answer::Changes(page), NOW, 1).unwrap_err();
        assert!(error.to_string().contains(part), "{error} says nothing of {part}");
        assert_eq!(observed(engine.replica()), before, "{part}");
    }
    assert_eq!(authority.sync(&mut engine), 2, "it goes on as if nothing had been");
}

#[test]
fn outcomes_that_belong_to_no_question_change_nothing() {
    let accepted = || Outcome::Accepted { epoch: Some(Epoch(1)), result: Resulting::AsSent, overwrote: None };
    let mut engine = engine();
    engine.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    engine.want_only(Want::UP);
    let (number, _) = asked(&mut engine);
    let before = observed(engine.replica());
    assert_eq!(engine.answer(number + 1, Answer::Offline, NOW, 0).unwrap(), Taken::Stale);
    let outcomes = |bunch, count| Outcomes { bunch: BunchNumber(bunch), outcomes: vec![accepted(); count] };
    for answer in [
        Answer::Delivered(outcomes(1, 1)),
        Answer::Delivered(outcomes(1, 3)),
        Answer::Delivered(outcomes(2, 2)),
        Answer::Delivered(outcomes(0, 2)),
        Answer::Changes(page(Vec::new(), 1)),
        Answer::Rows(Vec::new()),
        Answer::Triggers(Vec::new()),
    ] {
        engine.online().unwrap();
        let (number, _) = asked(&mut engine);
        assert!(engine.answer(number, answer.clone(), NOW, 0).is_err(), "{answer:?} was taken");
        assert_eq!(observed(engine.replica()), before, "{answer:?}");
    }
    engine.online().unwrap();
    let (number, _) = asked(&mut engine);
    assert!(matches!(
        engine.answer(number, Answer::Delivered(outcomes(1, 2)), NOW, 0).unwrap(),
        Taken::Settled(_)
    ));
}

#[test]
fn unknown_collections_are_harmless() {
    let mut engine = engine();
    let strange = EntityKey::new(CollectionName::new("never declared").unwrap(), Uuid::from_u128(1)).unwrap();
    engine.want_only(Want::DOWN);
    let (number, _) = asked(&mut engine);
    let mut page = page(vec![FullRow { key: strange.clone(), ..row(1, 1) }], 0);
    page.cursors.insert(strange.collection().clone(), Epoch(1));
    assert!(matches!(engine.answer(number, Answer::Changes(page), NOW, 0).unwrap(), Taken::Rows(_)));
    assert_eq!(engine.replica().get(&strange).unwrap(), Some(state("{}")));
    assert_eq!(engine.replica().check().unwrap(), [""; 0]);
}

/// An answer that does not fit its question changes nothing, and the question is asked again.
#[test]
fn triggers_and_rows_that_were_not_asked_for_are_refused() {
    let trigger = |index: u64, n: u128| Trigger {
        index: Index(index),
        key: key(n),
        action: Action::Upsert,
        epoch: Epoch(index),
        sender: None,
    };
    let mut engine = engine();
    // What is refused counts as a failure, which is waited out.
    let ask_anew = |engine: &mut Engine, want: Want| {
        engine.online().unwrap();
        engine.want_only(want);
        asked(engine)
    };
    let refused = |engine: &mut Engine, want: Want, answer: Answer, expected: &str| {
        let (number, _) = ask_anew(engine, want);
        match engine.answer(number, answer, NOW, 0) {
            Err(sync::Error::WrongAnswer { why }) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(engine.replica().known().unwrap(), []);
        engine.replica().journal().reads().unwrap().plan.len()
    };
    let (triggers, reads) =
        (Want { triggers: true, ..Want::default() }, Want { reads: true, ..Want::default() });
    let low = Answer::Triggers(vec![trigger(0, 1)]);
    assert_eq!(refused(&mut engine, triggers, low, "trigger 0 is not above 0"), 0);
    let many = Answer::Triggers((1..=11).map(|n| trigger(n, u128::from(n))).collect());
    assert_eq!(refused(&mut engine, triggers, many, "11 triggers where at most 10 were asked for"), 0);
    let (number, _) = ask_anew(&mut engine, triggers);
    engine.answer(number, Answer::Triggers(vec![trigger(1, 1), trigger(2, 2)]), NOW, 0).unwrap();
    for rows in [vec![row(3, 1)], vec![row(1, 1), row(1, 1)]] {
        let left = refused(&mut engine, reads, Answer::Rows(rows), "was not asked for, or stands twice");
        assert_eq!(left, 2, "they are still to be read");
    }
    let (number, _) = ask_anew(&mut engine, reads);
    engine.answer(number, Answer::Rows(vec![row(1, 1), row(2, 2)]), NOW, 0).unwrap();
    assert_eq!(engine.replica().known().unwrap(), [key(1), key(2)]);
    let as_many_as_were_asked_for = (3..=12).map(|n| trigger(n, u128::from(n))).collect();
    let (number, _) = ask_anew(&mut engine, triggers);
    let taken = engine.answer(number, Answer::Triggers(as_many_as_were_asked_for), NOW, 0).unwrap();
    assert!(matches!(taken, Taken::Heard(10)), "{taken:?}");
}

#[test]
fn an_answer_to_another_question_is_refused_by_name() {
    let mut engine = engine();
    let generation = Generation(Uuid::from_u128(1));
    let mut refused = |want: Want, answer: Answer, expected: &str| {
        engine.online().unwrap();
        engine.want_only(want);
        let (number, _) = asked(&mut engine);
        match engine.answer(number, answer, NOW, 0) {
            Err(sync::Error::WrongAnswer { why }) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(engine.replica().known().unwrap(), []);
    };
    let (triggers, reads) =
        (Want { triggers: true, ..Want::default() }, Want { reads: true, ..Want::default() });
    let compare = Want { compare: true, ..Want::default() };
    refused(Want::DOWN, Answer::LiveSets(Default::default()), "live sets to a question for changes");
    refused(Want::DOWN, Answer::TooLarge, "`too large` to a question for changes");
    refused(Want::DOWN, Answer::Forked, "`forked` to a question for changes");
    refused(triggers, Answer::Rows(Vec::new()), "rows to a question for triggers");
    refused(compare, Answer::TriggersTooOld, "triggers to a comparison");
    refused(compare, Answer::Changes(page(Vec::new(), 0)), "a page of changes to a comparison");
    let outcomes = Outcomes { bunch: BunchNumber(1), outcomes: Vec::new() };
    refused(compare, Answer::Delivered(outcomes), "outcomes to a comparison");
    let trigger =
        Trigger { index: Index(1), key: key(1), action: Action::Upsert, epoch: Epoch(1), sender: None };
    engine.replica().journal().receive(&[trigger]).unwrap();
    engine.online().unwrap();
    engine.want_only(reads);
    let (number, _) = asked(&mut engine);
    match engine.answer(number, Answer::StartOver { generation }, NOW, 0) {
        Err(sync::Error::WrongAnswer { why }) => assert_eq!(why, "`start over` to a read"),
        other => panic!("{other:?}"),
    }
    assert_eq!(engine.replica().journal().reads().unwrap().plan.len(), 1, "it is still to be read");
}

/// Who drives a replica without the engine is told, too.
#[test]
fn a_page_of_other_data_or_before_an_answer_is_refused() {
    let mut authority = Authority::new();
    let mut engine = engine();
    authority.sync(&mut engine);
    let replica = engine.replica();
    let refused = |page: &Page, expected: &str| match replica.take_page(page) {
        Err(replica::Error::WrongAnswer { why }) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}"),
    };
    let other = Page { generation: Generation(Uuid::from_u128(9)), ..page(vec![row(1, 1)], 1) };
    refused(&other, "it is of another generation");
    replica.commit(&[create(2)], Durability::Durable).unwrap();
    replica.seal(Limits::default()).unwrap().unwrap();
    refused(&page(vec![row(1, 1)], 1), "a bunch is open, whose answer comes first");
    assert_eq!(replica.known().unwrap(), [key(2)]);
}

/// Nothing that is done here could end such a clash, so somebody is asked.
#[test]
fn a_clash_about_a_key_that_an_entity_does_not_have_is_parked() {
    let engine = engine();
    let replica = engine.replica();
    replica.commit(&[create(1)], Durability::Durable).unwrap();
    let bunch = replica.seal(Limits::default()).unwrap().unwrap();
    let clash = |holder| Outcomes {
        bunch: bunch.number,
        outcomes: vec![Outcome::Clash { unique: vec!["title".to_owned()], holder, of: None }],
    };
    assert!(matches!(replica.settle(&clash(Uuid::nil())), Err(replica::Error::WrongAnswer { .. })));
    let holder = Uuid::from_u128(2);
    assert_eq!(replica.settle(&clash(holder)).unwrap().parked, [key(1)]);
    let parked = replica.journal().parked().unwrap();
    let cause = Cause::Clash { unique: vec!["title".to_owned()], holder };
    assert_eq!(parked.into_iter().map(|one| (one.key, one.cause)).collect::<Vec<_>>(), [(key(1), cause)]);
    assert_eq!(replica.get(&key(1)).unwrap(), Some(state(r#"{"n":1}"#)), "it is still seen");
    assert_eq!(replica.check().unwrap(), [""; 0]);
}

#[test]
fn without_credentials_nothing_is_asked_and_nothing_is_lost() {
    let storage = FaultyStorage::new();
    let mut engine = opened(&storage);
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    let (number, _) = asked(&mut engine);
    assert_eq!(engine.answer(number, Answer::Unauthorised, NOW, 0).unwrap(), Taken::Unauthorised);
    let years = Millis(NOW.0 * 1_000_000);
    assert_eq!(engine.next(years).unwrap(), Next::Unauthorised);
    drop(engine);
    let mut engine = opened(&storage);
    assert_eq!(engine.next(years).unwrap(), Next::Unauthorised, "a new process knows it too");
    engine.authorised().unwrap();
    let mut authority = Authority::new();
    authority.sync(&mut engine);
    assert_eq!(authority.store.entities().count(), 1);
}

#[test]
fn failures_are_waited_out_longer_each_time_and_a_new_process_does_not_forget() {
    let storage = FaultyStorage::new();
    let mut engine = opened(&storage);
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    let (mut now, mut delays) = (NOW, Vec::new());
    for _ in 0..12 {
        let Next::Ask(request) = engine.next(now).unwrap() else { panic!("nothing is asked at {now:?}") };
        assert_eq!(engine.answer(request.number, Answer::Offline, now, 3).unwrap(), Taken::Later);
        drop(engine);
        engine = opened(&storage);
        let Next::Wait(until) = engine.next(now).unwrap() else { panic!("it does not wait") };
        delays.push(until.0 - now.0);
        // A clock that is set back does not make it wait for longer than the longest delay.
        let Next::Wait(early) = engine.next(Millis(1)).unwrap() else { panic!("it does not wait") };
        assert!(early.0 <= 1 + sync::ATTEMPT_DELAY_MS_MAX);
        now = until;
    }
    assert!(delays.is_sorted() && delays[0] <= sync::ATTEMPT_DELAY_MS_MIN, "{delays:?}");
    assert!(delays[11] >= sync::ATTEMPT_DELAY_MS_MAX / 2, "{delays:?}");
    let Next::Ask(request) = engine.next(now).unwrap() else { panic!("nothing is asked") };
    engine.answer(request.number, Answer::Busy { retry_after_ms: 4_000_000 }, now, 3).unwrap();
    assert!(engine.replica().standing().unwrap().next_attempt_at.0 >= now.0 + 4_000_000);
}

#[test]
fn what_is_pending_always_has_a_next_attempt() {
    let mut authority = Authority::new();
    let mut engine = engine();
    authority.sync(&mut engine);
    let Next::Wait(idle) = engine.next(NOW).unwrap() else { panic!("there is nothing to ask") };
    assert!(idle.0 > NOW.0 + 10_000, "with nothing to send it rests until the next down sync");
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    let Next::Wait(soon) = engine.next(NOW).unwrap() else { panic!("it is not due yet") };
    assert!(soon.0 <= NOW.0 + sync::Options::default().up_interval_ms);
    assert!(
        matches!(engine.next(soon).unwrap(), Next::Ask(request) if matches!(request.ask, Ask::Deliver { .. }))
    );
}

#[test]
fn a_question_that_is_dropped_is_asked_again_and_by_a_new_process_too() {
    let storage = FaultyStorage::new();
    let mut engine = opened(&storage);
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    engine.want_only(Want::UP);
    let first = asked(&mut engine);
    engine.replica().commit(&[create(2)], Durability::Durable).unwrap();
    assert_eq!(asked(&mut engine), first);
    drop(engine);
    let mut engine = opened(&storage);
    assert_eq!(asked(&mut engine).1, first.1, "the same bunch, byte for byte, before anything else");
}

#[test]
fn a_copied_file_goes_on_under_a_name_of_its_own_and_sends_what_it_has() {
    let mut authority = Authority::new();
    let storage = FaultyStorage::new();
    let mut engine = opened(&storage);
    authority.sync(&mut engine);
    let copy = storage.snapshot();
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    authority.sync(&mut engine);
    let mut copied = opened(&copy);
    let name = copied.replica().id();
    assert_eq!(name, engine.replica().id());
    copied.replica().commit(&[create(2)], Durability::Durable).unwrap();
    authority.sync(&mut copied);
    assert_ne!(copied.replica().id(), name);
    assert_eq!(authority.store.entities().count(), 2);
    assert_eq!(copied.replica().entity(&key(2)).unwrap().status, foldlog::replica::Status::Synchronised);
    drop(copied);
    assert_ne!(opened(&copy).replica().id(), name, "the new name is kept");
}

#[test]
fn an_authority_that_forgot_is_followed_and_what_was_unsent_is_kept() {
    let mut authority = Authority::new();
    let mut engine = engine();
    engine.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    authority.sync(&mut engine);
    engine.replica().commit(&[create(3)], Durability::Durable).unwrap();
    // Restored from a copy from before anything was there.
    authority.store = MemoryStore::new(Schema::default(), Generation(Uuid::from_u128(2)));
    authority.sync(&mut engine);
    assert_eq!(engine.replica().get(&key(1)).unwrap(), None);
    assert_eq!(engine.replica().get(&key(3)).unwrap(), Some(state(r#"{"n":3}"#)));
    let lost: Vec<EntityKey> = engine.replica().losers().unwrap().into_iter().map(|lost| lost.key).collect();
    assert_eq!(lost, [key(1), key(2)], "what the authority lost is kept here");
    engine.replica().restore(0).unwrap();
    authority.sync(&mut engine);
    assert_eq!(authority.store.entities().count(), 2);
}

#[test]
fn triggers_that_are_too_old_lead_to_a_down_sync() {
    let mut authority = Authority::new();
    let mut other = engine();
    other.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    authority.store.forget_triggers(Index(1));
    let mut engine = engine();
    engine.want_only(Want { triggers: true, ..Want::READS });
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        let answer = authority.answer(&request.ask);
        engine.answer(request.number, answer, NOW, 0).unwrap();
    }
    assert_eq!(engine.replica().get(&key(1)).unwrap(), Some(state(r#"{"n":1}"#)));
    let heard = engine.replica().journal().reads().unwrap().heard;
    assert_eq!((heard.cursor, heard.gaps.len()), (Index(2), 0));
}

#[test]
fn a_large_backlog_goes_up_in_bunches_and_comes_down_in_pages() {
    let mut authority = Authority::new();
    let mut engine = engine();
    let all: Vec<Operation> = (1..=95).map(create).collect();
    engine.replica().commit(&all, Durability::Durable).unwrap();
    engine.want_only(Want::UP);
    assert!(authority.sync(&mut engine) >= 2);
    let mut other = opened(&FaultyStorage::new());
    assert!(authority.sync(&mut other) >= 10, "ten rows a page");
    assert_eq!(other.replica().list(key(1).collection()).unwrap().len(), 95);
    assert_eq!(engine.replica().seal(Limits::default()).unwrap(), None);
}

#[test]
fn what_is_unsent_goes_on_top_of_a_row_on_whichever_page_that_comes() {
    let patch = |n, json: &str| Operation::patch(key(n), Patch::from_json(json).unwrap());
    let mut authority = Authority::new();
    let (mut other, mut engine) = (engine(), engine());
    other.replica().commit(&(1..=45).map(create).collect::<Vec<_>>(), Durability::Durable).unwrap();
    authority.sync(&mut other);
    authority.sync(&mut engine);
    let all = |json: &str| (1..=45).map(|n| patch(n, json)).collect::<Vec<_>>();
    other.replica().commit(&all(r#"{"theirs":1}"#), Durability::Durable).unwrap();
    authority.sync(&mut other);
    engine.replica().commit(&all(r#"{"mine":1}"#), Durability::Durable).unwrap();
    engine.want_only(Want::DOWN);
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        let answer = authority.answer(&request.ask);
        engine.answer(request.number, answer, NOW, 0).unwrap();
    }
    for n in 1..=45 {
        let both = state(&format!(r#"{{"mine":1,"n":{n},"theirs":1}}"#));
        assert_eq!(engine.replica().get(&key(n)).unwrap(), Some(both));
    }
    assert_eq!(engine.replica().check().unwrap(), [""; 0]);
}

#[test]
fn what_is_to_be_retried_waits_and_is_sent_again_as_it_was() {
    let mut engine = engine();
    engine.replica().commit(&[create(1)], Durability::Durable).unwrap();
    engine.want_only(Want::UP);
    let (number, Ask::Deliver { bunch, .. }) = asked(&mut engine) else { panic!("nothing is sent") };
    let outcomes = Outcomes { bunch: bunch.number, outcomes: vec![Outcome::Retry] };
    assert_eq!(engine.answer(number, Answer::Delivered(outcomes), NOW, 0).unwrap(), Taken::Later);
    let Next::Wait(until) = engine.next(NOW).unwrap() else { panic!("it does not wait") };
    engine.want_only(Want::UP);
    let Next::Ask(request) = engine.next(until).unwrap() else { panic!("nothing is sent again") };
    let Ask::Deliver { bunch: again, .. } = request.ask else { panic!("{:?}", request.ask) };
    assert!(again.number > bunch.number, "it is another bunch: of this one there is an answer");
    assert_eq!(again.operations, bunch.operations);
}

#[test]
fn who_was_away_when_tombstones_were_pruned_learns_of_the_deletes_all_the_same() {
    let mut authority = Authority::new();
    let (mut other, mut away) = (engine(), engine());
    other.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    authority.sync(&mut other);
    authority.sync(&mut away);
    other.replica().commit(&[Operation::delete(key(1))], Durability::Durable).unwrap();
    authority.sync(&mut other);
    authority.store.prune(key(1).collection(), Epoch(3));
    away.replica().commit(&[create(3)], Durability::Durable).unwrap();
    authority.sync(&mut away);
    assert_eq!(away.replica().get(&key(1)).unwrap(), None);
    assert_eq!(away.replica().list(key(1).collection()).unwrap().len(), 2);
    assert_eq!(authority.store.entities().count(), 2, "what was unsent came there");
}

#[test]
fn a_row_that_is_older_than_what_is_known_changes_nothing() {
    let engine = engine();
    let told = |n, epoch| {
        let existence = Existence::Live(state(&format!(r#"{{"n":{n}}}"#)));
        FullRow { version: Version { existence, ..Version::default() }, ..row(1, epoch) }
    };
    let replica = engine.replica();
    assert_eq!(replica.take_reads(&[], &[told(2, 5)]).unwrap().applied, [key(1)]);
    let before = observed(replica);
    for late in [told(1, 4), told(2, 5)] {
        let applied = replica.take_reads(&[], &[late]).unwrap();
        assert_eq!((applied.applied.len(), applied.stale), (0, 1));
        assert_eq!(observed(replica), before);
    }
}

#[test]
fn of_two_rows_of_one_entity_in_one_page_the_later_one_counts() {
    for epochs in [[5, 7], [7, 5]] {
        let engine = engine();
        let replica = engine.replica();
        let told = |epoch| {
            let existence = Existence::Live(state(&format!(r#"{{"of":{epoch}}}"#)));
            FullRow { version: Version { existence, ..Version::default() }, ..row(1, epoch) }
        };
        let applied = replica.take_page(&page(epochs.map(told).to_vec(), 7)).unwrap();
        assert_eq!((applied.applied, applied.stale), (vec![key(1)], 1));
        assert_eq!(replica.get(&key(1)).unwrap(), Some(state(r#"{"of":7}"#)), "{epochs:?}");
        assert_eq!(replica.entity(&key(1)).unwrap().epoch, Some(Epoch(7)));
    }
}

/// Asks and answers until nothing is asked, each answer as `changed` makes it; what the comparisons came to.
fn compared(
    authority: &mut Authority,
    engine: &mut Engine,
    mut changed: impl FnMut(&mut Authority, Answer) -> Answer,
) -> Vec<Compared> {
    engine.want_only(Want { compare: true, ..Want::SYNC });
    let mut found = Vec::new();
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        let answer = authority.answer(&request.ask);
        let answer = changed(authority, answer);
        if let Taken::Compared(compared) = engine.answer(request.number, answer, NOW, 0).unwrap() {
            found.push(compared);
        }
    }
    found
}

#[test]
fn a_comparison_finds_what_differs_and_starting_over_mends_it() {
    let notes = key(1).collection().clone();
    let mut authority = Authority::new();
    let mut engine = engine();
    engine.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    // What was pushed comes down before it is compared, and what is unsent does not count.
    let found = compared(&mut authority, &mut engine, |_, answer| answer);
    assert_eq!(found.last(), Some(&Compared::default()), "{found:?}");
    engine.replica().commit(&[Operation::delete(key(1))], Durability::Durable).unwrap();
    engine.want_only(Want { compare: true, ..Want::DOWN });
    let (number, ask) = asked(&mut engine);
    engine.answer(number, authority.answer(&ask), NOW, 0).unwrap();
    let (number, ask) = asked(&mut engine);
    let same = engine.answer(number, authority.answer(&ask), NOW, 0).unwrap();
    assert_eq!(same, Taken::Compared(Compared::default()));
    authority.sync(&mut engine);
    // A row that was changed on its way.
    let mut other = opened(&FaultyStorage::new());
    let tampered = |_: &mut Authority, answer: Answer| match answer {
        Answer::Changes(mut page) => {
            for row in page.rows.iter_mut().filter(|row| row.key == key(2)) {
                row.version.existence = Existence::Live(state(r#"{"n":3}"#));
            }
            Answer::Changes(page)
        }
        answer => answer,
    };
    let found = compared(&mut authority, &mut other, tampered);
    assert_eq!(found, [Compared { differing: vec![notes], behind: Vec::new() }]);
    other.start_over().unwrap();
    assert_eq!(compared(&mut authority, &mut other, |_, answer| answer), [Compared::default()]);
}

#[test]
fn a_comparison_that_comes_too_late_is_made_again_but_not_for_ever() {
    let mut authority = Authority::new();
    let mut writer = engine();
    let mut engine = engine();
    let mut n = 0;
    let found = compared(&mut authority, &mut engine, |authority, answer| {
        // Somebody writes between any two answers.
        n += 1;
        writer.replica().commit(&[create(n)], Durability::Durable).unwrap();
        authority.sync(&mut writer);
        match answer {
            Answer::LiveSets(_) => authority.answer(&Ask::LiveSets { generation: None }),
            answer => answer,
        }
    });
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|compared| compared.differing.is_empty() && !compared.behind.is_empty()));
}

#[test]
fn an_authority_that_went_back_without_saying_so_is_noticed_by_whoever_is_ahead() {
    let mut authority = Authority::new();
    let mut engine = engine();
    let before = authority.store.clone();
    engine.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    authority.sync(&mut engine);
    authority.sync(&mut engine);
    let Standing { cursors, floors, generation, .. } = engine.replica().standing().unwrap();
    authority.store = before;
    let generation_now = generation.unwrap();
    let asked = authority.answer(&Ask::Changes { cursors, floors, generation, rows_max: 9 });
    assert_eq!(asked, Answer::StartOver { generation: generation_now });
    let heard = authority.answer(&Ask::Triggers { above: Index(1), generation, triggers_max: 9 });
    assert_eq!(heard, Answer::TriggersTooOld);
    let other = Some(Generation(Uuid::from_u128(2)));
    for ask in [
        Ask::Triggers { above: Index(0), generation: other, triggers_max: 9 },
        Ask::LiveSets { generation: other },
    ] {
        assert_eq!(authority.answer(&ask), Answer::StartOver { generation: generation_now });
    }
}

#[test]
fn triggers_that_come_by_themselves_are_read_and_what_is_missing_between_them_is_asked_for() {
    let mut authority = Authority::new();
    let (mut other, mut engine) = (engine(), engine());
    authority.sync(&mut engine);
    for n in 1..=3 {
        other.replica().commit(&[create(n)], Durability::Durable).unwrap();
        authority.sync(&mut other);
    }
    let Answer::Triggers(all) =
        authority.answer(&Ask::Triggers { above: Index(0), generation: None, triggers_max: 9 })
    else {
        panic!("no triggers");
    };
    let generation = Generation(Uuid::from_u128(1));
    engine.want_only(Want::default());
    // The second one was lost.
    assert_eq!(engine.hear(generation, &[all[0].clone(), all[2].clone()]).unwrap(), 2);
    let mut asked = Vec::new();
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        asked.push(matches!(request.ask, Ask::Triggers { above: Index(1), .. }));
        let answer = authority.answer(&request.ask);
        engine.answer(request.number, answer, NOW, 0).unwrap();
    }
    assert_eq!(asked, [true, false], "the missing trigger, then one read");
    assert_eq!(engine.replica().list(key(1).collection()).unwrap().len(), 3);
    // Of another life of the data: nothing is believed, all is asked.
    assert_eq!(engine.hear(Generation(Uuid::from_u128(9)), &all).unwrap(), 0);
    assert!(
        matches!(engine.next(NOW).unwrap(), Next::Ask(request) if matches!(request.ask, Ask::Changes { .. }))
    );
}

#[test]
fn while_changes_are_told_as_they_happen_no_down_sync_is_due_by_itself() {
    let interval = sync::Options::default().down_interval_ms;
    let mut authority = Authority::new();
    let mut engine = engine();
    authority.sync(&mut engine);
    assert_eq!(engine.next(NOW).unwrap(), Next::Wait(Millis(NOW.0 + interval)));
    engine.is_told(true, NOW);
    let late = Millis(NOW.0 + 9 * interval);
    assert!(matches!(engine.next(late).unwrap(), Next::Wait(until) if until.0 > late.0 + 9 * interval));
    // It was told until then, so there is nothing to catch up with at once: the one who tells may be back soon.
    engine.is_told(false, late);
    let due = Millis(late.0 + interval);
    assert_eq!(engine.next(late).unwrap(), Next::Wait(due));
    assert!(
        matches!(engine.next(due).unwrap(), Next::Ask(request) if matches!(request.ask, Ask::Changes { .. }))
    );
}

/// Being told what changes is no wish to fetch it.
#[test]
fn who_never_fetched_what_changed_does_not_begin_with_it_when_nobody_tells_it_any_more() {
    let mut engine = engine();
    engine.want_only(Want::UP);
    engine.is_told(true, NOW);
    engine.is_told(false, NOW);
    for intervals in [0, 1, 9] {
        let now = Millis(NOW.0 + intervals * sync::Options::default().down_interval_ms);
        assert!(matches!(engine.next(now).unwrap(), Next::Wait(_)));
    }
}

#[test]
fn what_is_too_much_at_once_goes_in_parts_and_what_cannot_is_parked() {
    let mut authority = Authority::new();
    let mut engine = engine();
    let text = |n: u128, bytes| {
        Operation::create(key(n), state(&format!(r#"{{"text":"{n}{}"}}"#, "x".repeat(bytes))))
    };
    let all: Vec<Operation> = (1..=40).map(|n| text(n, if n == 17 { 5_000 } else { 50 })).collect();
    engine.replica().commit(&all, Durability::Durable).unwrap();
    engine.want_only(Want::SYNC);
    let (mut refused, mut parked) = (0, Vec::new());
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        let is_too_large = match &request.ask {
            Ask::Deliver { bunch, .. } => bunch.operations.len() > 12 || format!("{bunch:?}").len() > 5_000,
            _ => false,
        };
        let answer = if is_too_large { Answer::TooLarge } else { authority.answer(&request.ask) };
        refused += usize::from(is_too_large);
        if let Taken::TooLarge(settled) = engine.answer(request.number, answer, NOW, 1).unwrap() {
            parked.extend(settled.parked);
        }
    }
    assert_eq!(parked, [key(17)]);
    // 40, 20, 10 and less until the long one is alone.
    assert!((3..=8).contains(&refused), "{refused}");
    let told = engine.replica().journal().parked().unwrap();
    assert!(format!("{told:?}").contains("takes at once"), "{told:?}");
    let mut other = self::engine();
    authority.sync(&mut other);
    assert_eq!(other.replica().list(key(1).collection()).unwrap().len(), 39);
    // It is still seen where it was written, and made smaller it goes.
    assert!(engine.replica().get(&key(17)).unwrap().is_some());
    engine.replica().commit(&[text(17, 10)], Durability::Durable).unwrap();
    authority.sync(&mut engine);
    assert_eq!(engine.replica().unsent().unwrap(), []);
}

#[test]
fn what_is_too_large_is_halved_by_number_and_by_bytes() {
    // The bytes of four texts, and of how many of them the next bunch is: two short ones are half of four, one long one
    // is half of all bytes.
    for (sizes, next) in [([50, 50, 50, 5_000], 2), ([5_000, 50, 50, 50], 1)] {
        let mut engine = engine();
        let all: Vec<Operation> = (1..)
            .zip(sizes)
            .map(|(n, bytes)| {
                Operation::create(key(n), state(&format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes))))
            })
            .collect();
        engine.replica().commit(&all, Durability::Durable).unwrap();
        engine.want_only(Want { up: true, ..Want::default() });
        let (number, ask) = asked(&mut engine);
        assert!(matches!(ask, Ask::Deliver { bunch, .. } if bunch.operations.len() == 4));
        engine.answer(number, Answer::TooLarge, NOW, 0).unwrap();
        let (_, ask) = asked(&mut engine);
        let Ask::Deliver { bunch, .. } = ask else { panic!("{ask:?}") };
        assert_eq!(bunch.operations.len(), next, "{sizes:?}");
    }
}

#[test]
fn what_cannot_be_parted_is_parked_as_one() {
    let schema = r#"{"collections":{"notes":{"references":{"of":{"to":"notes","on_delete":"cascade"}}}}}"#;
    let options = Options::new().schema(Schema::from_json(schema).unwrap());
    let mut authority = Authority::new();
    let mut engine = Engine::new(Replica::in_memory(options).unwrap(), sync::Options::default());
    let child = |n: u128| Operation::create(key(n), state(&format!(r#"{{"of":"{}"}}"#, key(1).id())));
    let all: Vec<Operation> = [create(1)].into_iter().chain((2..=9).map(child)).collect();
    engine.replica().commit(&all, Durability::Durable).unwrap();
    authority.sync(&mut engine);
    engine.replica().commit(&[Operation::delete(key(1)), create(20)], Durability::Durable).unwrap();
    engine.want_only(Want::SYNC);
    let mut parked = Vec::new();
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        let answer = match &request.ask {
            Ask::Deliver { bunch, .. } if bunch.operations.len() > 4 => Answer::TooLarge,
            ask => authority.answer(ask),
        };
        if let Taken::TooLarge(settled) = engine.answer(request.number, answer, NOW, 1).unwrap() {
            parked.extend(settled.parked);
        }
    }
    parked.sort();
    assert_eq!(parked, (1..=9).map(key).collect::<Vec<_>>());
    assert_eq!(engine.replica().journal().status().unwrap().pending.entities, 0);
}

#[test]
fn a_bunch_from_before_smaller_limits_that_is_too_large_does_not_raise_them() {
    let replica = Replica::in_memory(Options::new()).unwrap();
    let all: Vec<Operation> = (1..=40).map(create).collect();
    replica.commit(&all, Durability::Durable).unwrap();
    assert_eq!(replica.seal(Limits::default()).unwrap().unwrap().operations.len(), 40);
    let limits = Limits { operations: 5, ..Limits::default() };
    let mut engine = Engine::new(replica, sync::Options { limits, ..sync::Options::default() });
    let mut authority = Authority::new();
    let mut delivered = Vec::new();
    while let Next::Ask(request) = engine.next(NOW).unwrap() {
        let answer = match &request.ask {
            Ask::Deliver { bunch, .. } if bunch.operations.len() == 40 => Answer::TooLarge,
            ask => authority.answer(ask),
        };
        if let (Ask::Deliver { bunch, .. }, Answer::Delivered(_)) = (&request.ask, &answer) {
            delivered.push(bunch.operations.len());
        }
        engine.answer(request.number, answer, NOW, 1).unwrap();
    }
    assert_eq!(delivered, [5; 8]);
}
