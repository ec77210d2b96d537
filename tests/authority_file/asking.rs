//! Asking an authority, and everything that can be seen of one.

use std::fmt::Write;
use std::path::Path;

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, Bunch, BunchNumber, CollectionName, Cursors, Digest, EntityKey, Generation, Index, Millis,
    Operation, Outcome, Outcomes, Page, Patch, Planned, ReplicaId, Schema, Seq, State,
};
use foldlog::authority::{Account, Authority, Error, FileAuthority, FileOptions};
use foldlog::testing::FaultyStorage;
use redb::{Database, TableDefinition};

pub(crate) const NOW: Millis = Millis(1_000_000);
pub(crate) const REPLICA: ReplicaId = ReplicaId(Uuid::from_u128(0xA));

pub(crate) type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// Every table but the one that says what the file is.
pub(crate) const TABLES: [Rows; 8] = [
    Rows::new("accounts"),
    Rows::new("collections"),
    Rows::new("entities"),
    Rows::new("epochs"),
    Rows::new("left"),
    Rows::new("live"),
    Rows::new("answers"),
    Rows::new("triggers"),
];

pub(crate) fn account(name: &str) -> Account {
    Account::new(name).unwrap()
}

pub(crate) fn name(text: &str) -> CollectionName {
    CollectionName::new(text).unwrap()
}

pub(crate) fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(name(collection), Uuid::from_u128(n)).unwrap()
}

pub(crate) fn create(collection: &str, n: u128, json: &str) -> Operation {
    Operation::create(key(collection, n), State::from_json(json).unwrap()).at(1_000).unwrap()
}

pub(crate) fn patch(collection: &str, n: u128, json: &str) -> Operation {
    Operation::patch(key(collection, n), Patch::from_json(json).unwrap()).at(2_000).unwrap()
}

pub(crate) fn delete(collection: &str, n: u128, at: u64) -> Operation {
    Operation::delete(key(collection, n)).at(at).unwrap()
}

/// A bunch whose digest follows from its number alone: the same one again is the same.
pub(crate) fn bunch(number: u64, operations: &[Operation]) -> Bunch {
    let planned = |(seq, operation): (u64, &Operation)| Planned {
        operation: operation.clone(),
        base: None,
        first: Seq(seq),
        last: Seq(seq),
        operations: 1,
        touched: None,
    };
    let digest = [number.to_le_bytes()[0]; 32];
    let operations = (1..).zip(operations).map(planned).collect();
    Bunch { number: BunchNumber(number), id: Digest(digest), operations }
}

pub(crate) fn ask(number: u64, operations: &[Operation]) -> Ask {
    Ask::Deliver { replica: REPLICA, bunch: bunch(number, operations), generation: None }
}

pub(crate) fn deliver(
    authority: &FileAuthority,
    of: &Account,
    number: u64,
    operations: &[Operation],
) -> Outcomes {
    match authority.answer(of, NOW, &ask(number, operations)).unwrap() {
        Answer::Delivered(outcomes) => outcomes,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn accepted(outcomes: &Outcomes) -> bool {
    outcomes.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. }))
}

pub(crate) fn all_changes() -> Ask {
    changes(Cursors::new(), None)
}

pub(crate) fn changes(cursors: Cursors, generation: Option<Generation>) -> Ask {
    Ask::Changes { cursors, floors: Cursors::new(), generation, rows_max: 1_000 }
}

pub(crate) fn all_triggers() -> Ask {
    Ask::Triggers { above: Index(0), generation: None, triggers_max: 1_000 }
}

pub(crate) fn page(authority: &FileAuthority, of: &Account) -> Page {
    match authority.answer(of, NOW, &all_changes()).unwrap() {
        Answer::Changes(page) => page,
        other => panic!("{other:?}"),
    }
}

/// What a client of an account can read, in a text; generations are drawn, and so left out.
pub(crate) fn observed(authority: &dyn Authority, of: &Account) -> Result<String, Error> {
    let mut text = String::new();
    for ask in [all_changes(), all_triggers(), Ask::LiveSets { generation: None }] {
        match authority.answer(of, NOW, &ask)? {
            Answer::Changes(page) => {
                let Page { rows, cursors, floors, has_more, triggers_until, .. } = page;
                writeln!(text, "{rows:?} {cursors:?} {floors:?} {has_more} {triggers_until:?}").unwrap();
            }
            other => writeln!(text, "{other:?}").unwrap(),
        }
    }
    Ok(text)
}

pub(crate) fn schema() -> Schema {
    Schema::from_json(
        r#"{"collections":{"folders":{},"notes":{"unique":[["title"]],
            "references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#,
    )
    .unwrap()
}

pub(crate) fn opened(storage: &FaultyStorage) -> Result<FileAuthority, Error> {
    FileOptions::new().cache_bytes(256 * 1024).on(storage.clone(), schema())
}

/// Bunches of two accounts that make every kind of record, with the account that each is of.
pub(crate) fn bunches() -> Vec<(Account, Ask)> {
    let folder = Uuid::from_u128(1);
    let note = |n: u128| create("notes", n, &format!(r#"{{"in":"{folder}","title":"note {n}"}}"#));
    let again = || create("notes", 4, r#"{"title":"again"}"#);
    let of = |name: &str, number, operations: &[Operation]| (account(name), ask(number, operations));
    vec![
        of("anna", 1, &[create("folders", 1, r#"{"name":"f"}"#), note(2), note(3), note(4)]),
        of("anna", 2, &[patch("notes", 2, r#"{"title":"other"}"#), delete("notes", 3, 3_000)]),
        of("ben", 1, &[create("folders", 1, r#"{"secret":"ben's"}"#), note(2)]),
        // One clashes, one refers to nothing, one is of no collection that is known, and one is taken.
        of(
            "anna",
            3,
            &[
                create("notes", 5, r#"{"title":"other"}"#),
                create("notes", 6, &format!(r#"{{"in":"{}"}}"#, Uuid::from_u128(99))),
                create("tags", 1, "{}"),
                again(),
            ],
        ),
        of("ben", 2, &[delete("folders", 1, 4_000), create("notes", 5, r#"{"title":"kept"}"#)]),
    ]
}

/// The engine's database in a file, for what only a hand could do to it.
pub(crate) fn by_hand(path: &Path) -> Database {
    Database::open(path).unwrap()
}
