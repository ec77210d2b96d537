//! Opening an engine's file, and telling clearly why it cannot be.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Builder, Database, DatabaseError, StorageError};

use super::guard::discarded;
use super::overlay::Overlay;
use super::{Arced, Backend, FileBackend, Storage, lists, newborn};

/// Where something is kept.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    File {
        path: PathBuf,
        may_create: bool,
    },
    /// A file that is never written: what would be is kept in memory.
    ReadOnly {
        path: PathBuf,
    },
    Storage(Arced),
}

/// Why nothing could be opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// There is no such file.
    Missing,
    /// Another handle, perhaps of another process, has it open.
    InUse,
    /// It is something else, or damaged beyond opening.
    Unfit { why: String },
    /// The system said no.
    Io { doing: String, source: io::Error },
}

impl Origin {
    /// Its name for people.
    pub(crate) fn place(&self) -> String {
        match self {
            Origin::File { path, .. } | Origin::ReadOnly { path } => path.display().to_string(),
            Origin::Storage(_) => "in its storage".to_owned(),
        }
    }

    /// Whether a new one may be made where there is none.
    pub(crate) fn may_create(&self) -> bool {
        match self {
            Origin::File { may_create, .. } => *may_create,
            Origin::ReadOnly { .. } => false,
            Origin::Storage(_) => true,
        }
    }

    /// The same, to be opened again: never made anew, what was opened there is there.
    pub(crate) fn once_more(&self) -> Origin {
        match self {
            Origin::File { path, .. } => Origin::File { path: path.clone(), may_create: false },
            Origin::ReadOnly { path } => Origin::ReadOnly { path: path.clone() },
            Origin::Storage(storage) => Origin::Storage(Arc::clone(storage)),
        }
    }

    /// Opens it, or makes an empty database there if that may be.
    pub(crate) fn open(&self, builder: &Builder) -> Result<Database, NotOpened> {
        match self {
            Origin::File { path, may_create } => open_file(builder, path, *may_create),
            Origin::ReadOnly { path } => open_to_read(builder, path),
            Origin::Storage(storage) => {
                newborn::clear(storage).map_err(|source| NotOpened::Io {
                    doing: "the storage cannot be read".to_owned(),
                    source,
                })?;
                let backend = Backend::new(Arc::clone(storage));
                let db = builder.create_with_backend(backend);
                let db = db.map_err(|error| refused(&self.place(), error))?;
                let found = storage
                    .len()
                    .and_then(|len| lists::why_damaged(len, |offset, out| storage.read(offset, out)));
                writable(db, found.map_err(|source| unopened(&self.place(), source)))
            }
        }
    }
}

fn open_file(builder: &Builder, path: &Path, may_create: bool) -> Result<Database, NotOpened> {
    let place = path.display().to_string();
    let io = |source| unopened(&place, source);
    let is_there = match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(io(io::ErrorKind::IsADirectory.into())),
        Ok(found) if !found.is_file() => {
            return Err(NotOpened::Unfit { why: "it is no regular file".to_owned() });
        }
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(io(error)),
    };
    let db = match (may_create, is_there) {
        (true, true) => {
            newborn::clear_file(path).map_err(io)?;
            create_file(builder, path)
        }
        (true, false) => create_file(builder, path),
        (false, true) => {
            if let Some(why) = newborn::why_nothing_is_in_file(path).map_err(io)? {
                return Err(NotOpened::Unfit { why: why.to_owned() });
            }
            let file = OpenOptions::new().read(true).write(true).open(path);
            opened(builder, file, false)
        }
        (false, false) => return Err(NotOpened::Missing),
    };
    let db = db.map_err(|error| refused(&place, error))?;
    if cfg!(windows) {
        // Nobody reads a file there that somebody has open for writing.
        return Ok(db);
    }
    let found = File::open(path).and_then(|file| lists::why_damaged_in(&file));
    writable(db, found.map_err(io))
}

/// Opens the engine's file, or makes one if there is none or it is empty.
pub(crate) fn create_file(builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    opened(builder, file, true)
}

fn opened(builder: &Builder, file: io::Result<File>, may_be_empty: bool) -> Result<Database, DatabaseError> {
    builder.create_with_backend(FileBackend::new(file?, may_be_empty)?)
}

/// Opens a file of which no byte is ever written, not even to recover it. Every page of it is compared with its checksum,
/// for nobody is there to set aside what is damaged.
fn open_to_read(builder: &Builder, path: &Path) -> Result<Database, NotOpened> {
    let place = path.display().to_string();
    let io = |source| NotOpened::Io { doing: format!("{place} cannot be read"), source };
    let overlay = Overlay::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => NotOpened::Missing,
        io::ErrorKind::WouldBlock => NotOpened::InUse,
        io::ErrorKind::InvalidInput => NotOpened::Unfit { why: source.to_string() },
        _ => io(source),
    })?;
    let len = overlay.len().map_err(io)?;
    let nothing = newborn::why_nothing_is_in(len, |offset, out| overlay.read(offset, out));
    if let Some(why) = nothing.map_err(io)? {
        return Err(NotOpened::Unfit { why: why.to_owned() });
    }
    let overlay: Arced = Arc::new(overlay);
    let db = builder.create_with_backend(Backend::new(Arc::clone(&overlay)));
    let db = db.map_err(|error| refused(&place, error))?;
    let found =
        overlay.len().and_then(|len| lists::why_damaged(len, |offset, out| overlay.read(offset, out)));
    let mut db = writable(db, found.map_err(io))?;
    let why = match db.check_integrity() {
        Ok(true) => return Ok(db),
        Ok(false) => "the engine's own pages are damaged".to_owned(),
        Err(error) => error.to_string(),
    };
    discarded(db);
    Err(NotOpened::Unfit { why })
}

/// Lets go of a database that must not be written to, for the lists that it would write by are damaged.
fn writable(db: Database, found: Result<Option<&'static str>, NotOpened>) -> Result<Database, NotOpened> {
    let error = match found {
        Ok(None) => return Ok(db),
        Ok(Some(why)) => NotOpened::Unfit { why: why.to_owned() },
        Err(error) => error,
    };
    discarded(db);
    Err(error)
}

/// What the system said, with what to do.
fn unopened(place: &str, source: io::Error) -> NotOpened {
    let hint = match source.kind() {
        io::ErrorKind::NotFound => "the folder that it is to be in must be there",
        io::ErrorKind::PermissionDenied => "whoever runs this must be allowed to read and write it",
        _ => return NotOpened::Io { doing: format!("{place} cannot be opened"), source },
    };
    let source = io::Error::new(source.kind(), format!("{source}; {hint}"));
    NotOpened::Io { doing: format!("{place} cannot be opened"), source }
}

/// What the engine said when it did not open something, in our words.
pub(crate) fn refused(place: &str, error: DatabaseError) -> NotOpened {
    match error {
        DatabaseError::DatabaseAlreadyOpen => NotOpened::InUse,
        DatabaseError::UpgradeRequired(version) => NotOpened::Unfit {
            why: format!("its engine's format {version} is older than this program reads"),
        },
        DatabaseError::RepairAborted => NotOpened::Unfit { why: "it could not be recovered".to_owned() },
        DatabaseError::Storage(StorageError::Io(source)) => match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                NotOpened::Unfit { why: source.to_string() }
            }
            _ => unopened(place, source),
        },
        DatabaseError::Storage(StorageError::Corrupted(why)) => NotOpened::Unfit { why },
        other => NotOpened::Unfit { why: other.to_string() },
    }
}
