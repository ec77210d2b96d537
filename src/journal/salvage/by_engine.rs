//! A damaged file that the engine reads: all its own pages are as they should be, and only values in them are not.

use std::io::{self, Write};
use std::sync::Arc;

use redb::{Database, TableHandle};

use super::super::aside::{Known, Missing, salvaged};
use super::super::error::{Error, engine};
use super::super::lifecycle;
use super::super::newfile::NewFile;
use super::super::open::{require_journal, shielded};
use super::super::options::CACHE_BYTES_DEFAULT;
use super::super::tables::{META, Snapshot};
use super::super::verify::{Finding, Report, looked_over};
use super::{Made, Reading, Salvage, said};
use crate::storage::guard::{closed, discarded};
use crate::storage::overlay::Overlay;
use crate::storage::trees::{Directory, Trees};
use crate::storage::{Arced, Storage};

/// So much is copied at once.
const COPIED_BYTES: usize = 1 << 20;

/// The table by which an authority's file is known.
const AUTHORITY: &str = "authority";

impl Salvage<'_> {
    /// Salvages by the engine, or says why it cannot.
    pub(super) fn by_engine(&self, file: &Overlay) -> Result<Result<Made, String>, Error> {
        let recovered: Arced = Arc::new(file.again().map_err(|source| self.unread(source))?);
        let (db, finding) = match looked_over(Arc::clone(&recovered), &self.place) {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(said(error))),
        };
        let made = match finding {
            Some(why) => Ok(Err(why)),
            None => self.read_by_engine(&db, file, &recovered),
        };
        discarded(db);
        made
    }

    fn read_by_engine(
        &self,
        db: &Database,
        file: &Overlay,
        recovered: &dyn Storage,
    ) -> Result<Result<Made, String>, Error> {
        let named = shielded(&self.place, || {
            let snapshot = Snapshot::of(db)?;
            let tables = snapshot.txn.list_tables().map_err(engine)?;
            Ok(tables.map(|table| table.name().to_owned()).collect::<Vec<_>>())
        });
        let Ok(named) = named else { return Ok(Err("its tables cannot be read".to_owned())) };
        if !named.iter().any(|name| name == META.name()) {
            let is_authoritys = named.iter().any(|name| name == AUTHORITY);
            let why = if is_authoritys { OF_AUTHORITY } else { "it is a database of another program" };
            return Err(self.refused(why.to_owned()));
        }
        match shielded(&self.place, || require_journal(db, &self.place)) {
            Ok(()) => {}
            Err(error @ Error::Newer { .. }) => return Err(error),
            // The state may be gone, and the rest be there.
            Err(error) => return Ok(Err(said(error))),
        }
        let mut report = Report::default();
        report.check(db);
        let Some(Finding { place, what }) = report.findings.first() else {
            // The engine takes a last commit that is damaged for one that a crash cut off, and goes by the one before. What
            // was appended by it may lie somewhere all the same.
            if self.last_commit(file)? != self.last_commit(recovered)? {
                return Ok(Err("the last commit is not there as it was written".to_owned()));
            }
            return self.copied(file).map(Ok);
        };
        match self.rewritten(db, format!("{place}: {what}")) {
            Err(error @ Error::Newer { .. }) => Err(error),
            made => Ok(made.map_err(said)),
        }
    }

    /// What the header leads to.
    fn last_commit(&self, file: &dyn Storage) -> Result<Option<Directory>, Error> {
        let trees = Trees::of(file).map_err(|source| self.unread(source))?;
        Ok(trees.directories().into_iter().next().flatten())
    }

    /// What opens, in a new file.
    fn rewritten(&self, db: &Database, met: String) -> Result<Made, Error> {
        let new = self.new_file("salvaging")?;
        let target = new.database(CACHE_BYTES_DEFAULT)?;
        let kept = shielded(&self.place, || {
            let next_seq = lifecycle::next_seq(&Snapshot::of(db)?)?;
            let known = Known { now: self.now, next_seq, met: Some(met), missing: Missing::default() };
            salvaged(db, &target, known)
        });
        closed(target);
        let set_aside_before = kept?.map_or(0, |kept| kept.set_aside_before);
        Ok(Made { file: new, reading: Reading::Engine, judged: Vec::new(), set_aside_before })
    }

    /// The same bytes in a new file.
    fn copied(&self, file: &Overlay) -> Result<Made, Error> {
        let new = self.new_file("salvaging")?;
        let copied = copy(file, &new);
        copied.map_err(|source| Error::Io { doing: format!("{} cannot be copied", self.place), source })?;
        let (judged, set_aside_before) = (Vec::new(), u64::MAX);
        Ok(Made { file: new, reading: Reading::Copied, judged, set_aside_before })
    }

    pub(super) fn unread(&self, source: io::Error) -> Error {
        Error::Io { doing: format!("{} cannot be read", self.place), source }
    }
}

/// Why an authority's file is refused.
pub(super) const OF_AUTHORITY: &str = "it is an authority's file";

fn copy(file: &Overlay, new: &NewFile) -> io::Result<()> {
    let mut to = std::fs::OpenOptions::new().write(true).open(new.path())?;
    let (len, mut offset) = (file.len()?, 0);
    let mut chunk = vec![0; COPIED_BYTES];
    while offset < len {
        let bytes = usize::try_from(len - offset).unwrap_or(COPIED_BYTES).min(COPIED_BYTES);
        let chunk = chunk.get_mut(..bytes).unwrap_or_default();
        file.read(offset, chunk)?;
        to.write_all(chunk)?;
        offset += bytes as u64;
    }
    to.sync_all()
}
