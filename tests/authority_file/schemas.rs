//! An authority that is opened under another schema than before.

use foldlog::Uuid;
use foldlog::algebra::{Outcome, Schema};
use foldlog::authority::{Error, FileAuthority};
use foldlog::testing::FaultyStorage;

use crate::asking::{accepted, account, create, delete, deliver, key, observed, page};

fn under(storage: &FaultyStorage, collections: &str) -> Result<FileAuthority, Error> {
    let schema = Schema::from_json(&format!(r#"{{"collections":{{{collections}}}}}"#)).unwrap();
    foldlog::authority::FileOptions::new().on(storage.clone(), schema)
}

/// Notes 1 to 3 in folder 9, the first two with one title, and one of another account.
fn filled() -> FaultyStorage {
    let storage = FaultyStorage::new();
    let authority = under(&storage, r#""folders":{},"notes":{}"#).unwrap();
    let note = |n, title| {
        create("notes", n, &format!(r#"{{"in":"{}","n":{n},"title":"{title}"}}"#, Uuid::from_u128(9)))
    };
    let all = [create("folders", 9, "{}"), note(1, "a"), note(2, "a"), note(3, "b")];
    assert!(accepted(&deliver(&authority, &account("anna"), 1, &all)));
    assert!(accepted(&deliver(&authority, &account("ben"), 1, &[create("folders", 9, "{}"), note(1, "a")])));
    storage
}

#[test]
fn another_policy_or_one_more_collection_changes_nothing_that_is_stored() {
    let storage = filled();
    let before = observed(&under(&storage, r#""folders":{},"notes":{}"#).unwrap(), &account("anna")).unwrap();
    let authority = under(&storage, r#""folders":{},"notes":{"policy":"manual"},"tags":{}"#).unwrap();
    assert_eq!(observed(&authority, &account("anna")).unwrap(), before);
    assert!(accepted(&deliver(&authority, &account("anna"), 2, &[create("tags", 1, "{}")])));
}

#[test]
fn who_names_no_schema_keeps_the_one_that_there_is() {
    let storage = filled();
    drop(under(&storage, r#""folders":{},"notes":{"unique":[["n"]]}"#).unwrap());
    let authority = foldlog::authority::FileOptions::new().on(storage.clone(), None).unwrap();
    assert_eq!(authority.schema().collections().count(), 2);
    assert!(!accepted(&deliver(&authority, &account("anna"), 2, &[create("notes", 7, r#"{"n":3}"#)])));
}

#[test]
fn a_new_unique_key_holds_for_what_was_stored_before_it() {
    let storage = filled();
    let authority = under(&storage, r#""folders":{},"notes":{"unique":[["n"]]}"#).unwrap();
    let outcomes = deliver(&authority, &account("anna"), 2, &[create("notes", 7, r#"{"n":3}"#)]).outcomes;
    let expected = Outcome::Clash { unique: vec!["n".to_owned()], holder: key("notes", 3).id(), of: None };
    assert_eq!(outcomes, [expected]);
    assert!(accepted(&deliver(&authority, &account("ben"), 2, &[create("notes", 7, r#"{"n":3}"#)])));
}

#[test]
fn a_new_unique_key_that_does_not_hold_is_refused_with_the_duplicates_and_nothing_is_changed() {
    let storage = filled();
    let Err(Error::Duplicates { found }) =
        under(&storage, r#""folders":{},"notes":{"unique":[["n"],["title"]]}"#)
    else {
        panic!("two notes have one title")
    };
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.account.as_str(), &found.unique), ("anna", &vec!["title".to_owned()]));
    assert_eq!(found.holders, [key("notes", 1), key("notes", 2)]);
    let authority = under(&storage, r#""folders":{},"notes":{}"#).unwrap();
    assert!(accepted(&deliver(&authority, &account("anna"), 2, &[create("notes", 7, r#"{"n":1}"#)])));
}

#[test]
fn a_key_that_was_gone_and_came_back_knows_what_was_written_meanwhile() {
    let storage = filled();
    let with_key = r#""folders":{},"notes":{"unique":[["n"]]}"#;
    drop(under(&storage, with_key).unwrap());
    let authority = under(&storage, r#""folders":{},"notes":{}"#).unwrap();
    assert!(accepted(&deliver(&authority, &account("anna"), 2, &[delete("notes", 1, 5_000)])));
    assert!(accepted(&deliver(&authority, &account("anna"), 3, &[create("notes", 8, r#"{"n":8}"#)])));
    drop(authority);
    let authority = under(&storage, with_key).unwrap();
    assert!(accepted(&deliver(&authority, &account("anna"), 4, &[create("notes", 10, r#"{"n":1}"#)])));
    assert!(!accepted(&deliver(&authority, &account("anna"), 5, &[create("notes", 11, r#"{"n":8}"#)])));
}

#[test]
fn a_new_reference_leads_from_what_was_stored_before_it() {
    let storage = filled();
    let reference = r#""references":{"in":{"to":"folders","on_delete":"cascade"}}"#;
    let authority = under(&storage, &format!(r#""folders":{{}},"notes":{{{reference}}}"#)).unwrap();
    assert!(accepted(&deliver(&authority, &account("anna"), 2, &[delete("folders", 9, 5_000)])));
    let living = |of| {
        let rows = page(&authority, &account(of)).rows.into_iter();
        rows.filter(|row| row.version.existence.is_live()).count()
    };
    assert_eq!((living("anna"), living("ben")), (0, 2));
}

#[test]
fn a_schema_that_leaves_out_what_is_stored_is_refused_unless_it_declares_nothing() {
    let storage = filled();
    let error = under(&storage, r#""notes":{}"#).unwrap_err();
    assert!(matches!(&error, Error::Schema { why } if why.contains("folders of account anna")), "{error}");
    assert_eq!(page(&under(&storage, "").unwrap(), &account("anna")).rows.len(), 4);
}
