//! What becomes of the tables when the schema is another one.

use foldlog::algebra::{Operation, Outcome, State};
use foldlog::authority::postgres::{PostgresAuthority, PostgresError};
use foldlog::authority::{Authority, Error};

use crate::asks::{
    NOW, accepted, bunch, create, deliver, delivered, id, key, live, patch, state, try_delivered,
};
use crate::namespace::{Namespace, account};

const PLAIN: &str = r#"{"collections":{"folders":{},"notes":{}}}"#;
const KEYED: &str = r#"{"collections":{"folders":{},
    "notes":{"unique":[["title"]],"references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;

fn why(opened: Result<PostgresAuthority, Error>) -> String {
    match opened {
        Err(Error::Schema { why }) => why,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    }
}

fn note(n: u128, title: &str, folder: u128) -> Operation {
    create("notes", n, &format!(r#"{{"in":"{}","title":"{title}"}}"#, id(folder)))
}

/// The columns and constraints beside those that every table has.
fn extras(namespace: &Namespace) -> [u64; 2] {
    ["columns", "constraints"].map(|of| namespace.number(&format!("SELECT count(*) FROM NS.{of}")))
}

#[test]
fn a_new_key_and_a_new_reference_hold_for_what_was_there_before() {
    let Some(namespace) = Namespace::of("a_new_key_and_a_new_reference_hold_for_what_was_there_before")
    else {
        return;
    };
    let anna = account("anna");
    let before = namespace.open(PLAIN);
    let mut operations = vec![create("folders", 1, "{}"), create("folders", 2, "{}")];
    operations.extend((1..=2_500).map(|n| note(n, &format!("{n}"), 1)));
    // One of them leads nowhere, which nobody minded.
    operations.push(note(3_000, "astray", 77));
    operations.push(Operation::delete(key("notes", 2_500)));
    accepted(&delivered(&before, &anna, 1, operations));
    let after = namespace.open(KEYED);
    assert_eq!(extras(&namespace), [2, 3]);
    let clash = delivered(&after, &anna, 2, vec![note(4_000, "77", 2)]);
    assert!(matches!(&clash[..], [Outcome::Clash { .. }]), "{clash:?}");
    accepted(&delivered(&after, &anna, 3, vec![note(4_000, "2500", 2)]));
    // What leads nowhere is seen when it is written again, though the reference is only vouched for from now on.
    let astray = delivered(&after, &anna, 31, vec![patch("notes", 3_000, r#"{"done":true}"#)]);
    assert!(
        matches!(&astray[..], [Outcome::Refused { reason }] if reason.contains("not known")),
        "{astray:?}"
    );
    accepted(&delivered(&after, &anna, 32, vec![patch("notes", 3, r#"{"done":true}"#)]));
    // The server before would write rows that keep no key.
    let refused = try_delivered(&before, &anna, 4, vec![note(5_000, "77", 1)]);
    assert!(matches!(&refused, Err(Error::Schema { .. })), "{refused:?}");
    assert!(live(&before, &anna, &key("notes", 1)).is_some(), "it reads on");
    accepted(&delivered(&after, &anna, 5, vec![Operation::delete(key("folders", 1))]));
    assert_eq!(live(&after, &anna, &key("notes", 1)), None);
    assert!(live(&after, &anna, &key("notes", 3_000)).is_some());
    let [notes, archive] = namespace.tables_of("notes");
    let counts =
        [notes, archive].map(|table| namespace.number(&format!("SELECT count(*) FROM ONLY {table}")));
    assert_eq!(counts, [2, 2_500]);
    // And back: neither is there any more.
    let back = namespace.open(PLAIN);
    assert_eq!(extras(&namespace), [0, 0]);
    accepted(&delivered(&back, &anna, 6, vec![note(1, "2500", 99)]));
}

#[test]
fn a_new_key_that_does_not_hold_is_refused_with_who_breaks_it() {
    let Some(namespace) = Namespace::of("a_new_key_that_does_not_hold_is_refused_with_who_breaks_it") else {
        return;
    };
    let anna = account("anna");
    let before = namespace.open(PLAIN);
    let operations = [(1, "x"), (2, "y"), (3, "x")].map(|(n, title)| note(n, title, 9)).to_vec();
    accepted(&delivered(&before, &anna, 1, operations));
    let why = why(namespace.try_open(KEYED));
    for part in ["title", "\"x\"", "anna", &id(1), &id(3)] {
        assert!(why.contains(part), "{part} is not in: {why}");
    }
    assert!(!why.contains(&id(2)), "{why}");
    assert_eq!(extras(&namespace), [0, 0], "nothing has changed");
    accepted(&delivered(&before, &anna, 2, vec![patch("notes", 3, r#"{"title":"z"}"#)]));
    namespace.open(KEYED);
}

#[test]
fn a_collection_that_is_no_longer_named_keeps_what_it_has() {
    let Some(namespace) = Namespace::of("a_collection_that_is_no_longer_named_keeps_what_it_has") else {
        return;
    };
    let anna = account("anna");
    let all = namespace.open(KEYED);
    accepted(&delivered(&all, &anna, 1, vec![create("folders", 1, "{}"), note(1, "x", 1)]));
    let fewer = namespace.open(r#"{"collections":{"folders":{},"new":{}}}"#);
    let refused = delivered(&fewer, &anna, 2, vec![note(2, "y", 1)]);
    assert!(matches!(&refused[..], [Outcome::Refused { .. }]), "{refused:?}");
    assert_eq!(live(&fewer, &anna, &key("notes", 1)), None);
    // Nothing holds the folder, as its note is not served.
    accepted(&delivered(
        &fewer,
        &anna,
        3,
        vec![Operation::delete(key("folders", 1)), create("new", 1, "{}")],
    ));
    let again = namespace.open(KEYED);
    assert_eq!(
        live(&again, &anna, &key("notes", 1)),
        Some(state(&format!(r#"{{"in":"{}","title":"x"}}"#, id(1))))
    );
    let clash = delivered(&again, &anna, 4, vec![create("notes", 2, r#"{"title":"x"}"#)]);
    assert!(matches!(&clash[..], [Outcome::Clash { .. }]), "{clash:?}");
    assert!(again.erase(&anna).unwrap());
    for table in namespace.tables() {
        let rows = namespace.number(&format!("SELECT count(*) FROM NS.{table}"));
        let is_kept = ["layout", "collections", "columns", "constraints"].contains(&table.as_str());
        assert_eq!(rows > 0, is_kept, "{table}: {rows}");
    }
}

#[test]
fn servers_that_start_at_once_make_one_set_of_tables() {
    let Some(namespace) = Namespace::of("servers_that_start_at_once_make_one_set_of_tables") else { return };
    let opened: Vec<PostgresAuthority> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(|| namespace.open(KEYED))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let anna = account("anna");
    for (number, authority) in (1..).zip(&opened) {
        let n = u128::from(number);
        accepted(&delivered(authority, &anna, number, vec![create("folders", n, "{}"), note(n, &id(n), n)]));
    }
    assert_eq!(namespace.number("SELECT served FROM NS.layout"), 1);
    assert_eq!(namespace.number("SELECT count(*) FROM NS.collections"), 2);
}

#[test]
fn what_cannot_be_served_is_refused_in_words() {
    let Some(namespace) = Namespace::of("what_cannot_be_served_is_refused_in_words") else { return };
    assert!(why(namespace.try_open(r#"{"collections":{}}"#)).contains("no collection"));
    let fields: Vec<String> = (0..32).map(|n| format!("\"f{n}\"")).collect();
    let wide = format!(r#"{{"collections":{{"notes":{{"unique":[[{}]]}}}}}}"#, fields.join(","));
    assert!(why(namespace.try_open(&wide)).contains("32 fields"));
    let widest = format!(r#"{{"collections":{{"notes":{{"unique":[[{}]]}}}}}}"#, fields[1..].join(","));
    let authority = namespace.open(&widest);
    // Each part as long as it may stand in an index.
    let members: Vec<String> =
        fields[1..].iter().map(|field| format!("{field}:\"{}\"", "é".repeat(39))).collect();
    let members = format!("{{{}}}", members.join(","));
    accepted(&delivered(&authority, &account("anna"), 1, vec![create("notes", 1, &members)]));
    namespace.sql("UPDATE NS.layout SET version = 99");
    match namespace.try_open(PLAIN) {
        Err(Error::Store { source }) => {
            let error = source.downcast_ref::<PostgresError>();
            assert!(matches!(error, Some(PostgresError::Newer { found: 99, .. })), "{error:?}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    }
    for url in ["not a string", "host=/nowhere user=x", "postgres://x:geheim@127.0.0.1:1/x"] {
        let options = namespace.options();
        let schema = foldlog::algebra::Schema::from_json(PLAIN).unwrap();
        let Err(error) = PostgresAuthority::open(url, schema, options) else { panic!("{url} opened") };
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}

#[test]
fn what_was_damaged_by_hand_is_named() {
    let Some(namespace) = Namespace::of("what_was_damaged_by_hand_is_named") else { return };
    let (authority, anna) = (namespace.open(PLAIN), account("anna"));
    accepted(&delivered(&authority, &anna, 1, vec![create("notes", 1, r#"{"a":1}"#)]));
    let [notes, _] = namespace.tables_of("notes");
    for (column, value) in [("marks", "''"), ("marks", "'\\x0102'"), ("state", "'7'"), ("epoch", "-1")] {
        let before = namespace.sql(&format!("SELECT quote_literal({column}) FROM {notes}"))[0][0].clone();
        namespace.sql(&format!("UPDATE {notes} SET {column} = {value}"));
        let ask = deliver(9, bunch(2, vec![patch("notes", 1, r#"{"a":2}"#)]));
        let found = authority.answer(&anna, NOW, &ask);
        assert!(matches!(&found, Err(Error::Damaged { .. })), "{column}: {found:?}");
        namespace.sql(&format!("UPDATE {notes} SET {column} = {before}"));
    }
    assert_eq!(live(&authority, &anna, &key("notes", 1)), Some(State::from_json(r#"{"a":1}"#).unwrap()));
}
