//! Erasing, forgetting, restoring.

use std::time::Duration;

use foldlog::algebra::{Answer, Ask, Cursors, Epoch, Generation, Index, Operation, ReplicaId, Schema};
use foldlog::authority::Authority;
use foldlog::authority::postgres::PostgresAuthority;

use crate::asks::{
    NOW, SCHEMA, accepted, bunch, changes, create, delivered, generation, id, key, live, name,
};
use crate::namespace::{Namespace, account};

#[test]
fn an_erased_account_leaves_no_row_anywhere_and_comes_back_by_nobody() {
    let Some(namespace) = Namespace::of("an_erased_account_leaves_no_row_anywhere_and_comes_back_by_nobody")
    else {
        return;
    };
    let authority = namespace.open(SCHEMA);
    let (anna, bert) = (account("anna"), account("bert"));
    assert!(!authority.erase(&anna).unwrap(), "there was none");
    for account in [&anna, &bert] {
        let inside = format!(r#"{{"in":"{}"}}"#, id(1));
        let operations =
            vec![create("folders", 1, "{}"), create("notes", 1, &inside), create("notes", 2, &inside)];
        accepted(&delivered(&authority, account, 1, operations));
        accepted(&delivered(&authority, account, 2, vec![Operation::delete(key("notes", 2))]));
    }
    let before = generation(&authority, &anna);
    let rows = || -> Vec<u64> {
        let tables = namespace.tables();
        tables
            .iter()
            .map(|table| namespace.number(&format!("SELECT count(*) FROM ONLY NS.{table}")))
            .collect()
    };
    let of_bert = {
        let both = rows();
        assert!(authority.erase(&anna).unwrap());
        let one = rows();
        assert!(both.iter().sum::<u64>() > one.iter().sum::<u64>());
        one
    };
    let number = namespace.number("SELECT number FROM NS.accounts");
    for table in namespace.tables() {
        let others = format!(
            "SELECT count(*) FROM ONLY NS.{table} AS t WHERE to_jsonb(t) ? 'account' AND to_jsonb(t)->>'account' <> '{number}'"
        );
        assert_eq!(namespace.number(&others), 0, "{table}");
    }
    assert!(live(&authority, &bert, &key("notes", 1)).is_some());
    // A client that knew the account before is told to start over, and brings nothing back.
    let stale = Ask::Deliver {
        replica: ReplicaId(foldlog::Uuid::from_u128(7)),
        bunch: bunch(3, vec![create("folders", 9, "{}")]),
        generation: Some(before),
    };
    let Answer::StartOver { generation: told } = authority.answer(&anna, NOW, &stale).unwrap() else {
        panic!("it was taken");
    };
    assert!(told != before && told == generation(&authority, &anna), "what was told is kept");
    let ask = changes(Cursors::new(), 9, Some(before));
    let answer = authority.answer(&anna, NOW, &ask).unwrap();
    assert!(matches!(answer, Answer::StartOver { generation } if generation != before), "{answer:?}");
    assert!(authority.erase(&anna).unwrap());
    assert_eq!(rows(), of_bert);
}

#[test]
fn forgotten_tombstones_send_back_who_may_have_missed_them() {
    let Some(namespace) = Namespace::of("forgotten_tombstones_send_back_who_may_have_missed_them") else {
        return;
    };
    let (authority, anna) = (namespace.open(SCHEMA), account("anna"));
    let folders = (1..=4).map(|n| create("folders", n, "{}")).collect();
    accepted(&delivered(&authority, &anna, 1, folders));
    let deletes = (1..=2).map(|n| Operation::delete(key("folders", n))).collect();
    accepted(&delivered(&authority, &anna, 2, deletes));
    let read = |epoch| {
        let cursors = Cursors::from([(name("folders"), Epoch(epoch))]);
        authority.answer(&anna, NOW, &changes(cursors, 9, None)).unwrap()
    };
    assert_eq!(authority.prune(&anna, &name("folders"), Epoch(5)).unwrap(), 1);
    assert!(matches!(read(4), Answer::StartOver { .. }));
    assert!(matches!(read(5), Answer::Changes(page) if page.rows.len() == 1));
    assert!(matches!(read(0), Answer::Changes(page) if page.rows.len() == 3));
    assert_eq!(authority.prune_older_than(Duration::from_secs(3_600)).unwrap(), 0);
    assert_eq!(authority.prune_older_than(Duration::ZERO).unwrap(), 1);
    assert!(matches!(read(5), Answer::StartOver { .. }));
    assert_eq!(authority.prune(&account("nobody"), &name("folders"), Epoch(9)).unwrap(), 0);
    assert_eq!(authority.prune(&anna, &name("folders"), Epoch(u64::MAX)).unwrap(), 0);
    assert!(matches!(read(6), Answer::Changes(_)), "the floor is never above the last epoch");
}

#[test]
fn a_restored_copy_has_another_generation_for_every_account() {
    let Some(namespace) = Namespace::of("a_restored_copy_has_another_generation_for_every_account") else {
        return;
    };
    let authority = namespace.open(SCHEMA);
    let accounts = ["anna", "bert"].map(account);
    let generations =
        || -> Vec<Generation> { accounts.iter().map(|account| generation(&authority, account)).collect() };
    let before = generations();
    assert_eq!(generations(), before);
    assert_eq!(authority.restored().unwrap(), 2);
    let after = generations();
    assert!(before.iter().all(|generation| !after.contains(generation)) && after[0] != after[1], "{after:?}");
}

#[test]
fn triggers_are_kept_up_to_a_bound_and_older_ones_are_too_old() {
    let Some(namespace) = Namespace::of("triggers_are_kept_up_to_a_bound_and_older_ones_are_too_old") else {
        return;
    };
    let options = namespace.options().triggers(20);
    let schema = Schema::from_json(SCHEMA).unwrap();
    let authority = PostgresAuthority::open(&namespace.url, schema, options).unwrap();
    let anna = account("anna");
    let hear = |above, triggers_max| {
        let ask = Ask::Triggers { above: Index(above), generation: None, triggers_max };
        authority.answer(&anna, NOW, &ask).unwrap()
    };
    for bunch in 1..=10_u64 {
        let folders = (1..=7).map(|n| create("folders", u128::from(bunch) * 10 + n, "{}")).collect();
        accepted(&delivered(&authority, &anna, bunch, folders));
    }
    assert_eq!(hear(0, 9), Answer::TriggersTooOld);
    assert_eq!(hear(40, 9), Answer::TriggersTooOld);
    for (above, most, expected) in [(50, 99, 51..71), (52, 3, 53..56), (62, 99, 63..71), (70, 9, 71..71)] {
        let Answer::Triggers(found) = hear(above, most) else { panic!("above {above}: too old") };
        let found: Vec<u64> = found.iter().map(|trigger| trigger.index.0).collect();
        assert_eq!(found, expected.collect::<Vec<_>>(), "above {above}");
    }
    assert!(namespace.number("SELECT count(*) FROM NS.triggers") <= 4);
}
