//! SQLite's session extension, as little of it as a judge needs.
//!
//! The functions are in the bundled library (`LIBSQLITE3_FLAGS` in `.cargo/config.toml`); rusqlite only
//! declares them when it is built with libclang, so they are declared here.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use rusqlite::Connection;
use rusqlite::ffi::{self, SQLITE_DELETE, SQLITE_INSERT, SQLITE_OK, SQLITE_ROW, SQLITE_UPDATE};

enum Session {}
enum Group {}
enum Iter {}

unsafe extern "C" {
    fn sqlite3session_create(db: *mut ffi::sqlite3, schema: *const c_char, out: *mut *mut Session) -> c_int;
    fn sqlite3session_attach(session: *mut Session, table: *const c_char) -> c_int;
    fn sqlite3session_changeset(session: *mut Session, len: *mut c_int, bytes: *mut *mut c_void) -> c_int;
    fn sqlite3session_delete(session: *mut Session);
    fn sqlite3changegroup_new(out: *mut *mut Group) -> c_int;
    fn sqlite3changegroup_add(group: *mut Group, len: c_int, bytes: *mut c_void) -> c_int;
    fn sqlite3changegroup_output(group: *mut Group, len: *mut c_int, bytes: *mut *mut c_void) -> c_int;
    fn sqlite3changegroup_delete(group: *mut Group);
    fn sqlite3changeset_start(out: *mut *mut Iter, len: c_int, bytes: *mut c_void) -> c_int;
    fn sqlite3changeset_next(iter: *mut Iter) -> c_int;
    fn sqlite3changeset_op(
        iter: *mut Iter,
        table: *mut *const c_char,
        columns: *mut c_int,
        op: *mut c_int,
        indirect: *mut c_int,
    ) -> c_int;
    fn sqlite3changeset_old(iter: *mut Iter, column: c_int, out: *mut *mut ffi::sqlite3_value) -> c_int;
    fn sqlite3changeset_new(iter: *mut Iter, column: c_int, out: *mut *mut ffi::sqlite3_value) -> c_int;
    fn sqlite3changeset_finalize(iter: *mut Iter) -> c_int;
}

/// What SQLite says became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    Insert,
    Update,
    Delete,
}

/// One row's net change: per column the new value, none where the change does not touch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) table: String,
    pub(crate) id: String,
    pub(crate) net: Net,
    pub(crate) columns: Vec<Option<Option<String>>>,
}

/// Runs some statements under a session of their own and gives what it recorded.
pub(crate) fn recorded(db: &Connection, work: impl FnOnce()) -> Vec<u8> {
    // Safety: the session lives no longer than the connection, and is closed before this returns; the
    // bytes are copied before SQLite's own are freed.
    unsafe {
        let mut session = null_mut();
        check(sqlite3session_create(db.handle(), c"main".as_ptr(), &raw mut session));
        for table in [c"notes", c"tags"] {
            check(sqlite3session_attach(session, table.as_ptr()));
        }
        work();
        let (mut len, mut bytes) = (0, null_mut());
        check(sqlite3session_changeset(session, &raw mut len, &raw mut bytes));
        sqlite3session_delete(session);
        taken(len, bytes)
    }
}

/// Combines changesets in order and lists the net changes.
pub(crate) fn combined(changesets: &mut [Vec<u8>]) -> Vec<Change> {
    // Safety: every buffer outlives the call that reads it; the group and the iterator are closed here.
    unsafe {
        let mut group = null_mut();
        check(sqlite3changegroup_new(&raw mut group));
        for changeset in changesets.iter_mut() {
            let len = c_int::try_from(changeset.len()).unwrap();
            check(sqlite3changegroup_add(group, len, changeset.as_mut_ptr().cast()));
        }
        let (mut len, mut bytes) = (0, null_mut());
        check(sqlite3changegroup_output(group, &raw mut len, &raw mut bytes));
        sqlite3changegroup_delete(group);
        listed(taken(len, bytes))
    }
}

/// Safety: `bytes` is a buffer of `len` bytes that SQLite allocated, or null.
unsafe fn taken(len: c_int, bytes: *mut c_void) -> Vec<u8> {
    if bytes.is_null() {
        return Vec::new();
    }
    unsafe {
        let copy = std::slice::from_raw_parts(bytes.cast::<u8>(), usize::try_from(len).unwrap()).to_vec();
        ffi::sqlite3_free(bytes);
        copy
    }
}

fn listed(mut changeset: Vec<u8>) -> Vec<Change> {
    let mut changes = Vec::new();
    // Safety: the iterator reads `changeset`, which lives until it is closed; values are copied before
    // the next step.
    unsafe {
        let mut iter = null_mut();
        let len = c_int::try_from(changeset.len()).unwrap();
        check(sqlite3changeset_start(&raw mut iter, len, changeset.as_mut_ptr().cast()));
        while sqlite3changeset_next(iter) == SQLITE_ROW {
            let (mut table, mut columns, mut op, mut indirect) = (null(), 0, 0, 0);
            check(sqlite3changeset_op(
                iter,
                &raw mut table,
                &raw mut columns,
                &raw mut op,
                &raw mut indirect,
            ));
            let net = match op {
                SQLITE_INSERT => Net::Insert,
                SQLITE_UPDATE => Net::Update,
                SQLITE_DELETE => Net::Delete,
                other => panic!("an unknown kind of change: {other}"),
            };
            // The key is among the old values, save of an insert.
            let id =
                value(iter, 0, if net == Net::Insert { sqlite3changeset_new } else { sqlite3changeset_old });
            let new = |column| match net {
                Net::Delete => None,
                Net::Insert | Net::Update => value(iter, column, sqlite3changeset_new),
            };
            changes.push(Change {
                table: CStr::from_ptr(table).to_str().unwrap().to_owned(),
                id: id.flatten().expect("a key is text"),
                net,
                columns: (1..columns).map(new).collect(),
            });
        }
        check(sqlite3changeset_finalize(iter));
    }
    changes
}

type Reader = unsafe extern "C" fn(*mut Iter, c_int, *mut *mut ffi::sqlite3_value) -> c_int;

/// Safety: the iterator stands on a change.
unsafe fn value(iter: *mut Iter, column: c_int, read: Reader) -> Option<Option<String>> {
    unsafe {
        let mut found = null_mut();
        check(read(iter, column, &raw mut found));
        if found.is_null() {
            return None;
        }
        let text = ffi::sqlite3_value_text(found);
        Some((!text.is_null()).then(|| CStr::from_ptr(text.cast()).to_str().unwrap().to_owned()))
    }
}

fn check(code: c_int) {
    assert_eq!(code, SQLITE_OK, "SQLite's session extension");
}
