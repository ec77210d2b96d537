//! Many at once: no change is missed by a reader, and nobody waits who need not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{Answer, Cursors};
use foldlog::authority::postgres::{PostgresOptions, Woken};
use foldlog::authority::{Authority, Store};

use crate::asks::{NOW, accepted, changes, create, delivered, key, live};
use crate::namespace::{Namespace, account};

const SCHEMA: &str = r#"{"collections":{"notes":{"unique":[["title"]]}}}"#;
const WRITERS: u64 = 16;
const BUNCHES: u64 = 12;
const ROWS: u64 = 3;

#[test]
fn a_reader_with_a_cursor_misses_nothing_that_sixteen_writers_write() {
    let Some(namespace) = Namespace::of("a_reader_with_a_cursor_misses_nothing_that_sixteen_writers_write")
    else {
        return;
    };
    let options = namespace.options().connections(20);
    let schema = foldlog::algebra::Schema::from_json(SCHEMA).unwrap();
    let authority =
        foldlog::authority::postgres::PostgresAuthority::open(&namespace.url, schema, options).unwrap();
    let (anna, left) = (account("anna"), AtomicU64::new(WRITERS));
    let read = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (authority, anna, left) = (&authority, &anna, &left);
            scope.spawn(move || {
                for bunch in 0..BUNCHES {
                    let first = (writer * BUNCHES + bunch) * ROWS;
                    let note = |n: u64| create("notes", u128::from(n) + 1, &format!(r#"{{"title":{n}}}"#));
                    let operations = (first..first + ROWS).map(note).collect();
                    accepted(&delivered(authority, anna, writer * BUNCHES + bunch + 1, operations));
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let (mut cursors, mut read) = (Cursors::new(), Vec::new());
        loop {
            let is_last = left.load(Ordering::SeqCst) == 0;
            let answer = authority.answer(&anna, NOW, &changes(cursors.clone(), 5, None)).unwrap();
            let Answer::Changes(page) = answer else { panic!("{answer:?}") };
            read.extend(page.rows.iter().map(|row| row.key.id()));
            cursors = page.cursors;
            if is_last && !page.has_more {
                return read;
            }
        }
    });
    let all = usize::try_from(WRITERS * BUNCHES * ROWS).unwrap();
    let distinct: BTreeSet<&Uuid> = read.iter().collect();
    assert_eq!((read.len(), distinct.len()), (all, all), "each once, none missed");
    println!(
        "of {all} rows, {} missed; with a plain sequence {}",
        all - distinct.len(),
        missed_by_a_sequence(&namespace)
    );
}

/// How many rows the same reader would miss if epochs came from a sequence.
fn missed_by_a_sequence(namespace: &Namespace) -> u64 {
    namespace.sql("CREATE TABLE NS.plain (epoch bigserial PRIMARY KEY, n bigint)");
    let is_done = AtomicBool::new(false);
    let left = AtomicU64::new(4);
    let seen = std::thread::scope(|scope| {
        for _ in 0..4 {
            let left = &left;
            scope.spawn(move || {
                let own = Namespace::on(foldlog::testing::postgres::shared().unwrap());
                let table = format!("\"{}\".plain", namespace.name.replace('"', "\"\""));
                for _ in 0..60 {
                    own.sql(&format!("BEGIN; INSERT INTO {table} (n) VALUES (1), (2), (3)"));
                    own.sql("COMMIT");
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let (mut cursor, mut seen) = (0_u64, 0_u64);
        while !is_done.load(Ordering::SeqCst) {
            let is_last = left.load(Ordering::SeqCst) == 0;
            let rows = namespace
                .sql(&format!("SELECT epoch FROM NS.plain WHERE epoch > {cursor} ORDER BY epoch LIMIT 5"));
            seen += rows.len() as u64;
            match rows.last() {
                Some(row) => cursor = row[0].parse().unwrap(),
                None => is_done.store(is_last, Ordering::SeqCst),
            }
        }
        seen
    });
    namespace.number("SELECT count(*) FROM NS.plain") - seen
}

#[test]
fn readers_and_other_accounts_do_not_wait_for_a_writer() {
    let Some(namespace) = Namespace::of("readers_and_other_accounts_do_not_wait_for_a_writer") else {
        return;
    };
    let authority = namespace.open(SCHEMA);
    let (anna, bert) = (account("anna"), account("bert"));
    accepted(&delivered(&authority, &anna, 1, vec![create("notes", 1, "{}")]));
    let held = authority.store(&anna).unwrap();
    assert!(live(&authority, &anna, &key("notes", 1)).is_some());
    accepted(&delivered(&authority, &bert, 1, vec![create("notes", 1, "{}")]));
    let (done, waits) = mpsc::channel();
    std::thread::scope(|scope| {
        let authority = &authority;
        let second = &anna;
        scope.spawn(move || {
            accepted(&delivered(authority, second, 2, vec![create("notes", 2, "{}")]));
            done.send(()).unwrap();
        });
        assert!(waits.recv_timeout(Duration::from_millis(300)).is_err(), "one writer an account");
        held.commit().unwrap();
        waits.recv_timeout(Duration::from_secs(10)).unwrap();
    });
}

#[test]
fn what_was_given_up_or_ended_without_a_write_holds_nobody_up() {
    let Some(namespace) = Namespace::of("what_was_given_up_or_ended_without_a_write_holds_nobody_up") else {
        return;
    };
    let (one, other) = (namespace.open(SCHEMA), namespace.open(SCHEMA));
    let anna = account("anna");
    accepted(&delivered(&one, &anna, 1, vec![create("notes", 1, "{}")]));
    let begun = Instant::now();
    one.store(&anna).unwrap().commit().unwrap();
    accepted(&delivered(&other, &anna, 2, vec![create("notes", 2, "{}")]));
    let mut given_up = one.store(&anna).unwrap();
    given_up.next_epoch(key("notes", 3).collection()).unwrap();
    drop(given_up);
    accepted(&delivered(&other, &anna, 3, vec![create("notes", 3, "{}")]));
    // As nobody asks anything of the first one any more.
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn writers_that_meet_at_a_new_account_wait_for_one_another() {
    let Some(namespace) = Namespace::of("writers_that_meet_at_a_new_account_wait_for_one_another") else {
        return;
    };
    const MEETING: u64 = 8;
    let servers = [namespace.open(SCHEMA), namespace.open(SCHEMA)];
    for round in 0..60 {
        let of = account(&format!("account {round}"));
        let together = std::sync::Barrier::new(usize::try_from(MEETING).unwrap());
        std::thread::scope(|scope| {
            for writer in 0..MEETING {
                let (of, together) = (&of, &together);
                let server = &servers[usize::from(writer % 2 == 0)];
                scope.spawn(move || {
                    together.wait();
                    let note = create("notes", u128::from(writer) + 1, "{}");
                    accepted(&delivered(server, of, writer + 1, vec![note]));
                });
            }
        });
        let Answer::Changes(page) = servers[0].answer(&of, NOW, &changes(Cursors::new(), 100, None)).unwrap()
        else {
            panic!("changes")
        };
        let epochs: Vec<u64> = page.rows.iter().map(|row| row.epoch.0).collect();
        assert_eq!(epochs, (1..=MEETING).collect::<Vec<_>>(), "round {round}");
    }
}

#[test]
fn an_account_that_was_erased_and_made_again_meanwhile_has_one_writer() {
    let Some(namespace) = Namespace::of("an_account_that_was_erased_and_made_again_meanwhile_has_one_writer")
    else {
        return;
    };
    let authority = namespace.open(SCHEMA);
    let anna = account("anna");
    accepted(&delivered(&authority, &anna, 1, vec![create("notes", 1, "{}")]));
    namespace.sql("BEGIN");
    namespace.sql("DELETE FROM NS.accounts WHERE name = 'anna'");
    namespace.sql("INSERT INTO NS.accounts (name, generation) VALUES ('anna', gen_random_uuid())");
    let (begun, has_begun) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let (authority, anna) = (&authority, &anna);
        scope.spawn(move || {
            let writing = authority.store(anna).unwrap();
            begun.send(()).unwrap();
            ends.recv().unwrap();
            drop(writing);
        });
        assert!(has_begun.recv_timeout(Duration::from_millis(300)).is_err(), "it waits for the row");
        namespace.sql("COMMIT");
        has_begun.recv_timeout(Duration::from_secs(10)).unwrap();
        let free = namespace.sql("SELECT name FROM NS.accounts WHERE name = 'anna' FOR UPDATE SKIP LOCKED");
        end.send(()).unwrap();
        assert_eq!(free.len(), 0, "nobody else gets the row of who writes");
    });
}

#[test]
fn servers_wake_each_other() {
    let Some(namespace) = Namespace::of("servers_wake_each_other") else { return };
    let (one, other) = (namespace.open(SCHEMA), namespace.open(SCHEMA));
    let (woken, wakes) = mpsc::channel();
    let watch = one.watch(move |who| woken.send(who).unwrap_or(())).unwrap();
    let next = || wakes.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(next(), Woken::Everyone, "when it begins");
    let (anna, bert) = (account("anna"), account("bert"));
    accepted(&delivered(&other, &anna, 1, vec![create("notes", 1, "{}")]));
    assert_eq!(next(), Woken::Account(anna.clone()));
    accepted(&delivered(&one, &bert, 1, vec![create("notes", 1, "{}")]));
    assert_eq!(next(), Woken::Account(bert));
    // What changes nothing wakes nobody: the next is the one after it.
    let gone = foldlog::algebra::Operation::delete(key("notes", 9));
    accepted(&delivered(&other, &account("carl"), 1, vec![gone]));
    accepted(&delivered(&other, &anna, 2, vec![create("notes", 2, "{}")]));
    assert_eq!(next(), Woken::Account(anna));
    drop(watch);
    accepted(&delivered(&other, &account("carl"), 2, vec![create("notes", 2, "{}")]));
    assert!(wakes.recv_timeout(Duration::from_millis(200)).is_err());
}

#[test]
fn more_calls_than_connections_end_in_words_and_not_in_waiting() {
    let Some(namespace) = Namespace::of("more_calls_than_connections_end_in_words_and_not_in_waiting") else {
        return;
    };
    let options: PostgresOptions =
        namespace.options().connections(1).connect_timeout(Duration::from_millis(200));
    let schema = foldlog::algebra::Schema::from_json(SCHEMA).unwrap();
    let authority =
        foldlog::authority::postgres::PostgresAuthority::open(&namespace.url, schema, options).unwrap();
    let held = authority.store(&account("anna")).unwrap();
    let begun = Instant::now();
    let refused = authority.answer(&account("bert"), NOW, &changes(Cursors::new(), 5, None));
    assert!(refused.unwrap_err().to_string().contains("200 ms"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(held);
    assert!(authority.answer(&account("bert"), NOW, &changes(Cursors::new(), 5, None)).is_ok());
}

#[test]
fn one_accounts_bunches_that_wait_for_one_another_leave_connections_to_others() {
    let Some(namespace) =
        Namespace::of("one_accounts_bunches_that_wait_for_one_another_leave_connections_to_others")
    else {
        return;
    };
    let options = namespace.options().connections(2).connect_timeout(Duration::from_millis(500));
    let schema = foldlog::algebra::Schema::from_json(SCHEMA).unwrap();
    let authority =
        foldlog::authority::postgres::PostgresAuthority::open(&namespace.url, schema, options).unwrap();
    let (anna, bert) = (account("anna"), account("bert"));
    accepted(&delivered(&authority, &anna, 1, vec![create("notes", 1, "{}")]));
    // Another server's transaction.
    let other = namespace.open(SCHEMA);
    let held = other.store(&anna).unwrap();
    std::thread::scope(|scope| {
        for bunch in 2..8 {
            let (authority, anna) = (&authority, &anna);
            scope.spawn(move || {
                accepted(&delivered(authority, anna, bunch, vec![create("notes", bunch.into(), "{}")]));
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        let bunch = authority.answer(&bert, NOW, &changes(Cursors::new(), 5, None));
        held.commit().unwrap();
        assert!(bunch.is_ok(), "{bunch:?}");
    });
}
