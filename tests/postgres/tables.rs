//! What SQL sees of it: values, tables, the archive, names.

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, CollectionName, Cursors, EntityKey, Existence, Operation, Outcome, Schema, State,
};
use foldlog::authority::Authority;

use crate::asks::{
    NOW, SCHEMA, accepted, bunch, changes, create, deliver, delivered, id, key, live, patch, state,
};
use crate::namespace::{Namespace, account};

#[test]
fn what_jsonb_spoils_comes_back_byte_for_byte_and_all_else_is_jsonb() {
    let Some(namespace) = Namespace::of("what_jsonb_spoils_comes_back_byte_for_byte_and_all_else_is_jsonb")
    else {
        return;
    };
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    let spoilt = [
        r#"{"a":"\u0000"}"#,
        r#"{"a\u0000":1}"#,
        r#"{"a":1e300}"#,
        r#"{"a":-0.0}"#,
        r#"{"a":[5e-324]}"#,
        r#"{"a":{"b":1.7976931348623157e308}}"#,
    ];
    let kept = [
        r#"{"a":1.5,"aa":18446744073709551615,"b":-9223372036854775808,"c":100.0,"d":0.1}"#,
        r#"{"longer":[1,[2,{"z":null,"y":true}]],"s":"ä \" \\ 日 \u0001 1e5"}"#,
        "{}",
    ];
    let all: Vec<State> = spoilt.iter().chain(&kept).map(|json| state(json)).collect();
    let operations =
        (1..).zip(&all).map(|(n, state)| Operation::create(key("folders", n), state.clone())).collect();
    accepted(&delivered(&authority, &anna, 1, operations));
    for (n, state) in (1..).zip(&all) {
        assert_eq!(live(&authority, &anna, &key("folders", n)).as_ref(), Some(state));
    }
    let [folders, _] = namespace.tables_of("folders");
    let exact = format!("SELECT count(*) FROM {folders} WHERE exact IS NOT NULL AND state IS NULL");
    assert_eq!(namespace.number(&exact), spoilt.len() as u64);
    let found = namespace.sql(&format!("SELECT state->>'c' FROM {folders} WHERE state->>'d' = '0.1'"));
    assert_eq!(found, [["100.0"]]);
}

#[test]
fn values_of_unique_keys_change_places_in_one_bunch() {
    let Some(namespace) = Namespace::of("values_of_unique_keys_change_places_in_one_bunch") else { return };
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    let titles = |a: &str, b: &str, c: &str| {
        [(1, a), (2, b), (3, c)]
            .map(|(n, title)| patch("notes", n, &format!(r#"{{"title":"{title}"}}"#)))
            .to_vec()
    };
    accepted(&delivered(&authority, &anna, 1, titles("a", "b", "c")));
    accepted(&delivered(&authority, &anna, 2, titles("b", "c", "a")));
    assert_eq!(live(&authority, &anna, &key("notes", 3)), Some(state(r#"{"title":"a"}"#)));
    let clash = delivered(&authority, &anna, 3, vec![patch("notes", 4, r#"{"title":"b"}"#)]);
    assert!(
        matches!(&clash[..], [Outcome::Clash { unique, holder, .. }] if unique == &["title"] && *holder == Uuid::from_u128(1)),
        "{clash:?}"
    );
    // Another account's are its own.
    accepted(&delivered(&authority, &account("bert"), 1, titles("b", "c", "a")));
    // 1 and 1.0 and "1" are three values; long ones differ at their end alone.
    let long = "x".repeat(100_000);
    let values = [
        "1".to_owned(),
        "1.0".to_owned(),
        "\"1\"".to_owned(),
        format!("\"{long}y\""),
        format!("\"{long}z\""),
    ];
    let operations = (10..)
        .zip(&values)
        .map(|(n, value)| create("notes", n, &format!(r#"{{"title":{value}}}"#)))
        .collect();
    accepted(&delivered(&authority, &anna, 4, operations));
    let again =
        delivered(&authority, &anna, 5, vec![create("notes", 20, &format!(r#"{{"title":"{long}z"}}"#))]);
    assert!(matches!(&again[..], [Outcome::Clash { .. }]), "{again:?}");
}

#[test]
fn what_a_cascade_takes_is_in_the_archive_and_what_is_live_in_the_live_table() {
    let Some(namespace) =
        Namespace::of("what_a_cascade_takes_is_in_the_archive_and_what_is_live_in_the_live_table")
    else {
        return;
    };
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    let inside = |n: u128| format!(r#"{{"in":"{}"}}"#, id(n));
    let mut operations = vec![create("folders", 1, "{}"), create("folders", 2, &inside(1))];
    operations.extend((1..=5).map(|n| create("notes", n, &inside(2))));
    operations.push(create("notes", 9, "{}"));
    operations.push(create("tags", 1, &format!(r#"{{"on":"{}"}}"#, id(3))));
    accepted(&delivered(&authority, &anna, 1, operations));
    accepted(&delivered(&authority, &anna, 2, vec![Operation::delete(key("folders", 1))]));
    let counts = |collection: &str| {
        namespace
            .tables_of(collection)
            .map(|table| namespace.number(&format!("SELECT count(*) FROM ONLY {table}")))
    };
    assert_eq!([counts("folders"), counts("notes"), counts("tags")], [[0, 2], [1, 5], [1, 0]]);
    let [notes, archive] = namespace.tables_of("notes");
    let epochs = namespace.sql(&format!("SELECT epoch FROM {archive} WHERE deleted ORDER BY epoch"));
    let epochs: Vec<&str> = epochs.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(epochs, ["7", "8", "9", "10", "11"], "each its own");
    assert_eq!(namespace.number(&format!("SELECT count(*) FROM {notes}")), 6, "both together");
    assert_eq!(live(&authority, &anna, &key("tags", 1)), Some(State::empty()));
    let Answer::Changes(page) = authority.answer(&anna, NOW, &changes(Cursors::new(), 99, None)).unwrap()
    else {
        panic!("no changes");
    };
    let dead = page.rows.iter().filter(|row| matches!(row.version.existence, Existence::Dead(_))).count();
    assert_eq!((page.rows.len(), dead), (9, 7));
    // A child brings back what it is in, and nothing else.
    accepted(&delivered(&authority, &anna, 3, vec![patch("notes", 1, r#"{"a":1}"#)]));
    assert_eq!([counts("folders"), counts("notes")], [[2, 0], [2, 4]]);
}

#[test]
fn names_may_hold_anything() {
    let Some(namespace) = Namespace::of("names_may_hold_anything") else { return };
    let long = "x".repeat(128);
    let names =
        ["a\"b", "'; DROP SCHEMA public; --", "日本語 ✓", "$1", "Notes", "notes", "account", long.as_str()];
    let fields = ["id", "a\"'\\", "", "\u{0}", "$2", "nötes", "state", &"y".repeat(300)];
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let declared: Vec<String> = names
        .iter()
        .zip(fields)
        .map(|(name, field)| {
            let field = quoted(if field.is_empty() { " " } else { field });
            format!(
                r#"{}:{{"unique":[[{field}],[{field},"b"]],"references":{{{field}:{{"to":{},"on_delete":"cascade"}}}}}}"#,
                quoted(name),
                quoted(names[0])
            )
        })
        .collect();
    let schema = format!(r#"{{"collections":{{{}}}}}"#, declared.join(","));
    let (authority, anna) = (namespace.open(&schema), account("'\"; --"));
    let of =
        |name: &str, n: u128| EntityKey::new(CollectionName::new(name).unwrap(), Uuid::from_u128(n)).unwrap();
    let parent = of(names[0], 1);
    accepted(&delivered(&authority, &anna, 1, vec![Operation::create(parent.clone(), State::empty())]));
    for (n, (name, field)) in (2_u64..).zip(names.iter().zip(fields)) {
        let field = quoted(if field.is_empty() { " " } else { field });
        let made = state(&format!(r#"{{{field}:"{}","b":"''\\\"\u0000"}}"#, id(1)));
        let child = of(name, 100 + u128::from(n));
        accepted(&delivered(&authority, &anna, n, vec![Operation::create(child.clone(), made.clone())]));
        assert_eq!(live(&authority, &anna, &child), Some(made.clone()));
        let clash = delivered(&authority, &anna, 100 + n, vec![Operation::create(of(name, 999), made)]);
        assert!(matches!(&clash[..], [Outcome::Clash { .. }]), "{clash:?}");
    }
    accepted(&delivered(&authority, &anna, 999, vec![Operation::delete(parent)]));
    let Answer::LiveSets(sets) = authority.answer(&anna, NOW, &Ask::LiveSets { generation: None }).unwrap()
    else {
        panic!("no live sets");
    };
    assert_eq!((sets.len(), sets.values().map(|(set, _)| set.count).sum::<u64>()), (names.len(), 0));
    drop(authority);
    assert!(namespace.try_open(&schema).is_ok(), "again");
    assert_eq!(Schema::from_json(&schema).unwrap().collections().count(), names.len());
}

#[test]
fn a_bunch_of_fifty_takes_a_handful_of_round_trips() {
    let Some(namespace) = Namespace::of("a_bunch_of_fifty_takes_a_handful_of_round_trips") else { return };
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    let folders =
        (1..=9).map(|n| create("folders", n, &format!(r#"{{"in":"{}"}}"#, id(n % 9 + 1)))).collect();
    accepted(&delivered(&authority, &anna, 1, folders));
    let note = |n: u128| format!(r#"{{"in":"{}","title":"note {n}","number":{n}}}"#, id(1 + n % 9));
    let mut number = 1;
    let mut trips = |operations: Vec<Operation>| {
        number += 1;
        let before = authority.round_trips();
        accepted(&delivered(&authority, &anna, number, operations));
        authority.round_trips() - before
    };
    let creates = trips((1..=50).map(|n| create("notes", n, &note(n))).collect());
    let updates = trips((1..=50).map(|n| Operation::update(key("notes", n), state(&note(n + 1)))).collect());
    let patches = trips((1..=50).map(|n| patch("notes", n, r#"{"a":1}"#)).collect());
    // A circle of folders with all that is in them.
    let cascade = trips(vec![Operation::delete(key("folders", 1))]);
    let revived = trips(vec![patch("notes", 1, r#"{"a":2}"#)]);
    println!(
        "round trips: {creates}, {updates}, {patches}; a cascade of 59 {cascade}, a revival of 10 {revived}"
    );
    assert!(creates <= 3 && updates <= 3 && patches <= 3, "{creates} {updates} {patches}");
    // A wave for each level, and no more.
    assert!(cascade <= 13 && revived <= 13, "{cascade} {revived}");
}

#[test]
fn a_bunch_is_answered_from_the_record_and_another_one_under_its_number_is_a_fork() {
    let Some(namespace) =
        Namespace::of("a_bunch_is_answered_from_the_record_and_another_one_under_its_number_is_a_fork")
    else {
        return;
    };
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    // Numbers that others make up may be any.
    for number in [1, u64::MAX] {
        let ask = deliver(1, bunch(number, vec![patch("folders", 1, &format!(r#"{{"a":{number}}}"#))]));
        let first = authority.answer(&anna, NOW, &ask).unwrap();
        accepted(&delivered(&authority, &anna, number, vec![patch("folders", 1, r#"{"a":0}"#)]));
        assert_eq!(authority.answer(&anna, NOW, &ask).unwrap(), first);
        let other = deliver(1, bunch(number, vec![patch("folders", 2, r#"{"a":1}"#)]));
        assert_eq!(authority.answer(&anna, NOW, &other).unwrap(), Answer::Forked);
    }
}
