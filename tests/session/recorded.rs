//! Recording changes and combining them.
//!
//! The functions are in the bundled library (`LIBSQLITE3_FLAGS` in `.cargo/config.toml`); rusqlite only declares them when
//! it is built with libclang, so they are declared here.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use rusqlite::Connection;
use rusqlite::ffi::{self, SQLITE_OK};

enum Session {}
enum Group {}

unsafe extern "C" {
    fn sqlite3session_create(db: *mut ffi::sqlite3, schema: *const c_char, out: *mut *mut Session) -> c_int;
    fn sqlite3session_attach(session: *mut Session, table: *const c_char) -> c_int;
    fn sqlite3session_changeset(session: *mut Session, len: *mut c_int, bytes: *mut *mut c_void) -> c_int;
    fn sqlite3session_delete(session: *mut Session);
    fn sqlite3changegroup_new(out: *mut *mut Group) -> c_int;
    fn sqlite3changegroup_add(group: *mut Group, len: c_int, bytes: *mut c_void) -> c_int;
    fn sqlite3changegroup_output(group: *mut Group, len: *mut c_int, bytes: *mut *mut c_void) -> c_int;
    fn sqlite3changegroup_delete(group: *mut Group);
}

/// Runs some statements under a session of their own and gives what it recorded of these tables.
pub(crate) fn recorded(db: &Connection, tables: &[&CStr], work: impl FnOnce()) -> Vec<u8> {
    // Safety: the session lives no longer than the connection, and is closed before this returns; the
    // bytes are copied before SQLite's own are freed.
    unsafe {
        let mut session = null_mut();
        check(sqlite3session_create(db.handle(), c"main".as_ptr(), &raw mut session));
        for table in tables {
            check(sqlite3session_attach(session, table.as_ptr()));
        }
        work();
        let (mut len, mut bytes) = (0, null_mut());
        check(sqlite3session_changeset(session, &raw mut len, &raw mut bytes));
        sqlite3session_delete(session);
        taken(len, bytes)
    }
}

/// Changesets that were combined, with all that SQLite holds for it.
pub(crate) struct Combined {
    group: *mut Group,
    bytes: *mut c_void,
    len: usize,
}

/// Combines changesets in order into one.
pub(crate) fn combined(changesets: &mut [Vec<u8>]) -> Combined {
    // Safety: every buffer outlives the call that reads it; the group goes with what is given back.
    unsafe {
        let mut group = null_mut();
        check(sqlite3changegroup_new(&raw mut group));
        for changeset in changesets.iter_mut() {
            let len = c_int::try_from(changeset.len()).unwrap();
            check(sqlite3changegroup_add(group, len, changeset.as_mut_ptr().cast()));
        }
        let (mut len, mut bytes) = (0, null_mut());
        check(sqlite3changegroup_output(group, &raw mut len, &raw mut bytes));
        Combined { group, bytes, len: usize::try_from(len).unwrap() }
    }
}

impl Combined {
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.bytes.is_null() {
            return &[];
        }
        // Safety: SQLite allocated so many, and they are freed with this.
        unsafe { std::slice::from_raw_parts(self.bytes.cast(), self.len) }
    }
}

impl Drop for Combined {
    fn drop(&mut self) {
        // Safety: both are SQLite's and freed nowhere else.
        unsafe {
            ffi::sqlite3_free(self.bytes);
            sqlite3changegroup_delete(self.group);
        }
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

pub(crate) fn check(code: c_int) {
    assert_eq!(code, SQLITE_OK, "SQLite's session extension");
}
