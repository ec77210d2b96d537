//! SQLite's session extension, as little of it as a judge needs: what is recorded, and what a combination of it says.

mod recorded;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

use rusqlite::Connection;
use rusqlite::ffi::{self, SQLITE_DELETE, SQLITE_INSERT, SQLITE_ROW, SQLITE_UPDATE};

use recorded::check;

enum Iter {}

unsafe extern "C" {
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
    recorded::recorded(db, &[c"notes", c"tags"], work)
}

/// Combines changesets in order and lists the net changes.
pub(crate) fn combined(changesets: &mut [Vec<u8>]) -> Vec<Change> {
    listed(recorded::combined(changesets).bytes().to_vec())
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
