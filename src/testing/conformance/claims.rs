//! Claims about single calls of a store.

use std::fmt::Debug;
use std::sync::Arc;

use uuid::Uuid;

use super::{GENERATION, name};
use crate::algebra::{
    Action, BunchNumber, Cursors, Digest, EntityKey, Epoch, Existence, Index, LiveSet, LiveSets, Millis,
    Outcome, Outcomes, Page, ReplicaId, Resulting, Stamp, Stamps, State, Version, Writer,
};
use crate::authority::{Store, Stored};

type Check<S> = fn(&mut S) -> Result<(), String>;

const WRITER: ReplicaId = ReplicaId(Uuid::from_u128(0xA));

pub(super) fn all<S: Store>() -> Vec<(&'static str, Check<S>)> {
    vec![
        ("an empty store holds nothing", nothing),
        ("an entity is what was put last, with its stamps, epochs and writer", put_last),
        ("a tombstone keeps its last state", tombstone),
        ("epochs rise by one, each collection's for itself", epochs),
        ("a unique key is found by its values, of live entities alone", holders),
        ("a key of several fields is found by all of them, and a null part makes none", scoped),
        ("who refers is found by what it refers to and by which field", referrers),
        ("an answer is found by its replica and number, with its digest", answers),
        ("rows come a collection after the other, each entity once, by its last epoch", rows_once),
        ("pages are bounded, and one after the other they are all there is", pages),
        ("a cursor passes epochs that were written over", passed_over),
        ("every put is one trigger, numbered without a gap", triggers),
        ("triggers are read on from any index, and there is nothing behind the last", triggers_on),
        ("live sets are those of what is live, with the last epochs", live_sets),
    ]
}

fn key(collection: &str, n: u128) -> EntityKey {
    EntityKey::new(name(collection), Uuid::from_u128(n)).expect("an id of the suite's is not nil")
}

fn state(json: &str) -> State {
    State::from_json(json).expect("a state of the suite's is valid")
}

fn stored(existence: Existence, epoch: u64) -> Stored {
    let stamp = Stamp { at: Millis(epoch), replica: Some(WRITER) };
    let stamps = Stamps { created: Some(stamp), turned: Some(stamp), fields: vec![("a".to_owned(), stamp)] };
    Stored {
        version: Version { existence, stamps },
        epoch: Epoch(epoch),
        fields: vec![("a".to_owned(), Epoch(epoch)), ("gone".to_owned(), Epoch(1))],
        writer: Some(Writer { replica: WRITER, bunch: BunchNumber(epoch) }),
    }
}

fn live(json: &str, epoch: u64) -> Stored {
    stored(Existence::Live(state(json)), epoch)
}

fn dead(json: &str, epoch: u64) -> Stored {
    stored(Existence::Dead(state(json)), epoch)
}

/// Writes an entity at its collection's next epoch.
fn put<S: Store>(
    store: &mut S,
    key: &EntityKey,
    made: fn(&str, u64) -> Stored,
    json: &str,
) -> Result<Stored, String> {
    let epoch = said(store.next_epoch(key.collection()))?;
    let written = made(json, epoch.0);
    said(store.put(key, written.clone()))?;
    Ok(written)
}

fn said<T, E: std::error::Error>(done: Result<T, E>) -> Result<T, String> {
    done.map_err(|error| format!("the store says: {error}"))
}

fn same<T: PartialEq + Debug>(of: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{of}: {found:?} instead of {expected:?}")) }
}

fn nothing<S: Store>(store: &mut S) -> Result<(), String> {
    same("generation", &said(store.generation())?, &GENERATION)?;
    same("entity", &said(store.entity(&key("notes", 1)))?, &None)?;
    same("floor", &said(store.floor(&name("notes")))?, &Epoch(0))?;
    same("answer", &said(store.answer(WRITER, BunchNumber(1)))?, &None)?;
    same("triggers", &said(store.triggers(Index(0), 9))?, &Some(Vec::new()))?;
    let page = said(store.changes(&Cursors::new(), 9))?;
    same("rows", &page.rows, &Vec::new())?;
    same("more", &page.has_more, &false)?;
    same("generation of a page", &page.generation, &GENERATION)?;
    same("triggers until", &page.triggers_until, &Index(0))?;
    same("last epoch", &said(store.last_epoch(&name("notes")))?, &Epoch(0))?;
    same("last trigger", &said(store.last_trigger())?, &Index(0))?;
    let written = said(store.live_sets())?.into_values().filter(|(_, epoch)| epoch.0 > 0).count();
    same("live sets of what was written", &written, &0)
}

fn live_sets<S: Store>(store: &mut S) -> Result<(), String> {
    let (one, two, tag) = (key("notes", 1), key("notes", 2), key("tags", 1));
    put(store, &one, live, r#"{"a":1}"#)?;
    put(store, &two, live, r#"{"a":1}"#)?;
    put(store, &two, live, r#"{"a":2}"#)?;
    put(store, &one, dead, r#"{"a":1}"#)?;
    put(store, &one, dead, r#"{"a":3}"#)?;
    put(store, &tag, live, "{}")?;
    put(store, &tag, dead, "{}")?;
    put(store, &tag, live, r#"{"b":1}"#)?;
    let (mut notes, mut tags) = (LiveSet::default(), LiveSet::default());
    notes.add(two.id(), &state(r#"{"a":2}"#));
    tags.add(tag.id(), &state(r#"{"b":1}"#));
    let expected = LiveSets::from([(name("notes"), (notes, Epoch(5))), (name("tags"), (tags, Epoch(3)))]);
    same("live sets", &said(store.live_sets())?, &expected)?;
    same("last epoch", &said(store.last_epoch(&name("notes")))?, &Epoch(5))?;
    same("last trigger", &said(store.last_trigger())?, &Index(8))
}

fn put_last<S: Store>(store: &mut S) -> Result<(), String> {
    let note = key("notes", 1);
    put(store, &note, live, r#"{"a":1,"title":"x"}"#)?;
    let last = put(store, &note, live, r#"{"a":1.0,"title":"ä\u0000\"","n":18446744073709551615}"#)?;
    same("entity", &said(store.entity(&note))?, &Some(Arc::new(last)))?;
    same("another one", &said(store.entity(&key("notes", 2)))?, &None)?;
    same("the same id elsewhere", &said(store.entity(&key("tags", 1)))?, &None)
}

fn tombstone<S: Store>(store: &mut S) -> Result<(), String> {
    let note = key("notes", 1);
    put(store, &note, live, r#"{"a":1}"#)?;
    let last = put(store, &note, dead, r#"{"a":2}"#)?;
    same("entity", &said(store.entity(&note))?, &Some(Arc::new(last.clone())))?;
    let rows = said(store.changes(&Cursors::new(), 9))?.rows;
    let told: Vec<&Version> = rows.iter().map(|row| &row.version).collect();
    same("rows", &told, &vec![&last.version])
}

fn epochs<S: Store>(store: &mut S) -> Result<(), String> {
    let next = |store: &mut S, of| said(store.next_epoch(&name(of)));
    let given = [next(store, "notes")?, next(store, "notes")?, next(store, "tags")?, next(store, "notes")?];
    same("epochs", &given, &[Epoch(1), Epoch(2), Epoch(1), Epoch(3)])
}

fn found<S: Store>(store: &S, fields: &[&str], values: &[&str]) -> Result<Vec<u128>, String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let ids = said(store.holders(&name("notes"), &owned(fields), &owned(values)))?;
    let mut ids: Vec<u128> = ids.into_iter().map(|id| id.as_u128()).collect();
    ids.sort_unstable();
    Ok(ids)
}

fn holders<S: Store>(store: &mut S) -> Result<(), String> {
    let title = |store: &S, value: &str| found(store, &["title"], &[value]);
    put(store, &key("notes", 1), live, r#"{"title":"x"}"#)?;
    put(store, &key("notes", 2), live, r#"{"title":"y"}"#)?;
    put(store, &key("notes", 3), live, r#"{"title":1}"#)?;
    same("x", &title(store, r#""x""#)?, &vec![1])?;
    same("the number 1", &title(store, "1")?, &vec![3])?;
    same("the text 1", &title(store, r#""1""#)?, &vec![])?;
    put(store, &key("notes", 1), live, r#"{"title":"y"}"#)?;
    same("x, left", &title(store, r#""x""#)?, &vec![])?;
    same("y, of two", &title(store, r#""y""#)?, &vec![1, 2])?;
    put(store, &key("notes", 2), dead, r#"{"title":"y"}"#)?;
    same("y, of one that is deleted", &title(store, r#""y""#)?, &vec![1])?;
    put(store, &key("notes", 2), live, r#"{"title":"y"}"#)?;
    same("y, of one that is back", &title(store, r#""y""#)?, &vec![1, 2])
}

fn scoped<S: Store>(store: &mut S) -> Result<(), String> {
    let folder = |n: u128| format!("\"{}\"", Uuid::from_u128(n));
    let note = |n: u128, number: u64| format!(r#"{{"in":{},"number":{number}}}"#, folder(n));
    put(store, &key("notes", 1), live, &note(1, 1))?;
    put(store, &key("notes", 2), live, &note(2, 1))?;
    put(store, &key("notes", 3), live, r#"{"number":1}"#)?;
    let of = |store: &S, n: u128, number: &str| found(store, &["in", "number"], &[&folder(n), number]);
    same("number 1 of folder 1", &of(store, 1, "1")?, &vec![1])?;
    same("number 1 of folder 2", &of(store, 2, "1")?, &vec![2])?;
    same("number 2 of folder 1", &of(store, 1, "2")?, &vec![])?;
    same("by the other key", &found(store, &["title"], &["1"])?, &vec![])
}

fn referrers<S: Store>(store: &mut S) -> Result<(), String> {
    let of = |store: &S, to: u128, from: &str, field: &str| {
        let ids = said(store.referrers(&key("folders", to), &name(from), field))?;
        let mut ids: Vec<u128> = ids.into_iter().map(|id| id.as_u128()).collect();
        ids.sort_unstable();
        Ok::<_, String>(ids)
    };
    let inside = |n: u128| format!(r#"{{"in":"{}"}}"#, Uuid::from_u128(n));
    put(store, &key("folders", 1), live, "{}")?;
    put(store, &key("folders", 2), live, &inside(1))?;
    put(store, &key("notes", 3), live, &inside(1))?;
    // Ids are read in any case.
    put(store, &key("notes", 0xABC), live, &inside(1).to_uppercase().replace("\"IN\"", "\"in\""))?;
    put(store, &key("tags", 4), live, &format!(r#"{{"at":"{}"}}"#, Uuid::from_u128(1)))?;
    same("folders in 1", &of(store, 1, "folders", "in")?, &vec![2])?;
    same("notes in 1", &of(store, 1, "notes", "in")?, &vec![3, 0xABC])?;
    same("tags at 1", &of(store, 1, "tags", "at")?, &vec![4])?;
    same("tags on 1", &of(store, 1, "tags", "on")?, &vec![])?;
    put(store, &key("notes", 3), live, &inside(2))?;
    put(store, &key("folders", 2), dead, &inside(1))?;
    same("notes in 1, one moved", &of(store, 1, "notes", "in")?, &vec![0xABC])?;
    same("notes in 2", &of(store, 2, "notes", "in")?, &vec![3])?;
    same("folders in 1, one deleted", &of(store, 1, "folders", "in")?, &vec![])
}

fn answers<S: Store>(store: &mut S) -> Result<(), String> {
    let stamp = |at, replica| Stamp { at: Millis(at), replica };
    let stamps = Stamps {
        created: Some(stamp(1, None)),
        turned: Some(stamp(3, Some(WRITER))),
        fields: vec![("a".to_owned(), stamp(2, Some(WRITER)))],
    };
    let accepted = |result| Outcome::Accepted { epoch: Some(Epoch(4)), result, overwrote: None };
    let outcomes = |reason: &str| Outcomes {
        bunch: BunchNumber(7),
        outcomes: vec![
            Outcome::Refused { reason: reason.to_owned() },
            accepted(Resulting::AsSent),
            accepted(Resulting::Live(State::empty(), stamps.clone())),
            accepted(Resulting::Gone(stamps.clone())),
            Outcome::Superseded {
                epoch: Epoch(3),
                state: None,
                stamps: stamps.clone(),
                writer: Some(WRITER),
            },
            Outcome::Retry,
        ],
    };
    let other = ReplicaId(Uuid::from_u128(0xB));
    said(store.record(WRITER, BunchNumber(7), Digest([1; 32]), &outcomes("a")))?;
    said(store.record(other, BunchNumber(7), Digest([2; 32]), &outcomes("b")))?;
    let of = |store: &S, replica, number| said(store.answer(replica, BunchNumber(number)));
    same("the first", &of(store, WRITER, 7)?, &Some((Digest([1; 32]), outcomes("a"))))?;
    same("another replica's", &of(store, other, 7)?, &Some((Digest([2; 32]), outcomes("b"))))?;
    same("another number's", &of(store, WRITER, 8)?, &None)
}

/// The ids and epochs of a page's rows.
fn brief(page: &Page) -> Vec<(String, u128, u64)> {
    let row = |row: &crate::algebra::FullRow| {
        (row.key.collection().to_string(), row.key.id().as_u128(), row.epoch.0)
    };
    page.rows.iter().map(row).collect()
}

fn filled<S: Store>(store: &mut S) -> Result<Vec<(String, u128, u64)>, String> {
    put(store, &key("tags", 9), live, "{}")?;
    for n in [1, 2, 3, 1, 4] {
        put(store, &key("notes", n), live, "{}")?;
    }
    put(store, &key("notes", 3), dead, "{}")?;
    let notes = [(2, 2), (1, 4), (4, 5), (3, 6)].map(|(id, epoch)| ("notes".to_owned(), id, epoch));
    Ok(notes.into_iter().chain([("tags".to_owned(), 9, 1)]).collect())
}

fn rows_once<S: Store>(store: &mut S) -> Result<(), String> {
    let expected = filled(store)?;
    let page = said(store.changes(&Cursors::new(), 9))?;
    same("rows", &brief(&page), &expected)?;
    same("more", &page.has_more, &false)?;
    let cursors = Cursors::from([(name("notes"), Epoch(6)), (name("tags"), Epoch(1))]);
    let told: Cursors = page.cursors.into_iter().filter(|(_, epoch)| epoch.0 > 0).collect();
    same("cursors", &told, &cursors)?;
    same("triggers until", &page.triggers_until, &Index(7))?;
    let above = said(store.changes(&Cursors::from([(name("notes"), Epoch(4))]), 9))?;
    let expected: Vec<_> = expected.into_iter().filter(|(of, _, epoch)| of == "tags" || *epoch > 4).collect();
    same("rows above 4", &brief(&above), &expected)
}

fn pages<S: Store>(store: &mut S) -> Result<(), String> {
    let expected = filled(store)?;
    for rows_max in 1..=6 {
        let (mut cursors, mut rows) = (Cursors::new(), Vec::new());
        for _ in 0..=expected.len() {
            let page = said(store.changes(&cursors, rows_max))?;
            if page.rows.len() > rows_max {
                return Err(format!("{} rows on a page of at most {rows_max}", page.rows.len()));
            }
            rows.extend(brief(&page));
            cursors = page.cursors;
            if !page.has_more {
                break;
            }
        }
        same(&format!("all pages of {rows_max}"), &rows, &expected)?;
    }
    Ok(())
}

fn passed_over<S: Store>(store: &mut S) -> Result<(), String> {
    for n in [1, 2, 2, 2] {
        put(store, &key("notes", n), live, "{}")?;
    }
    // Epochs that nothing was written at: they are spent all the same.
    said(store.next_epoch(&name("notes")))?;
    let page = said(store.changes(&Cursors::from([(name("notes"), Epoch(4))]), 9))?;
    same("rows", &page.rows, &Vec::new())?;
    same("cursor", &page.cursors.get(&name("notes")).copied(), &Some(Epoch(5)))
}

fn triggers<S: Store>(store: &mut S) -> Result<(), String> {
    filled(store)?;
    let found = said(store.triggers(Index(0), 99))?.ok_or("they are no longer kept")?;
    let brief: Vec<(u64, u128, bool, u64)> = found
        .iter()
        .map(|trigger| {
            let is_delete = trigger.action == Action::Delete;
            (trigger.index.0, trigger.key.id().as_u128(), is_delete, trigger.epoch.0)
        })
        .collect();
    let expected = vec![
        (1, 9, false, 1),
        (2, 1, false, 1),
        (3, 2, false, 2),
        (4, 3, false, 3),
        (5, 1, false, 4),
        (6, 4, false, 5),
        (7, 3, true, 6),
    ];
    same("triggers", &brief, &expected)?;
    let senders: Vec<Option<Uuid>> = found.iter().map(|trigger| trigger.sender).collect();
    same("senders", &senders, &vec![Some(WRITER.0); 7])
}

fn triggers_on<S: Store>(store: &mut S) -> Result<(), String> {
    filled(store)?;
    let indexes = |store: &S, above, most| {
        let found = said(store.triggers(Index(above), most))?;
        Ok::<_, String>(found.map(|found| found.iter().map(|trigger| trigger.index.0).collect::<Vec<_>>()))
    };
    same("two above 2", &indexes(store, 2, 2)?, &Some(vec![3, 4]))?;
    same("above 5", &indexes(store, 5, 9)?, &Some(vec![6, 7]))?;
    same("above the last", &indexes(store, 7, 9)?, &Some(vec![]))?;
    same("far above", &indexes(store, u64::MAX, 9)?, &Some(vec![]))
}
