//! The files of a merge: told apart before they are opened, read, and asked what they hold.

use std::path::{Path, PathBuf};

use crate::algebra::{Collection, EntityKey, Existence, Schema, State, Version, key_values};
use crate::cli::failure::Failure;
use crate::cli::progress::Progress;
use crate::journal::{self, Options};
use crate::merge::{Pair, Resolutions};
use crate::replica::{Checked, Error, Replica};

/// The destination and the sources, all opened to be read.
pub(super) struct Files {
    pub(super) dest: Replica,
    pub(super) sources: Vec<Replica>,
    /// Of the destination, then of each source.
    names: Vec<String>,
}

/// An entity as one of the files has it.
pub(super) struct Found {
    /// 0 is the destination.
    file: usize,
    pub(super) version: Version,
}

impl Files {
    /// Opens all of them; none is written.
    pub(super) fn open(into: &Path, sources: &[PathBuf]) -> Result<Self, Failure> {
        require_distinct(into, sources)?;
        let names = std::iter::once(into).chain(sources.iter().map(PathBuf::as_path));
        let names = names.map(|path| path.display().to_string()).collect();
        let sources = sources.iter().map(|path| opened(path)).collect::<Result<_, _>>()?;
        Ok(Files { dest: opened(into)?, sources, names })
    }

    /// What merging comes to with these decisions.
    pub(super) fn check(&self, decided: &Resolutions) -> Result<Checked, Failure> {
        let mut progress = Progress::new("entities compared");
        let sources: Vec<&Replica> = self.sources.iter().collect();
        Ok(self.dest.check_merge(&sources, decided, &mut |read| progress.at(read))?)
    }

    pub(super) fn schema(&self) -> &Schema {
        self.dest.schema()
    }

    /// The name of the file that something was found in.
    pub(super) fn name_of(&self, found: &Found) -> &str {
        self.names.get(found.file).map_or("", String::as_str)
    }

    fn replicas(&self) -> impl Iterator<Item = (usize, &Replica)> {
        (0..).zip(std::iter::once(&self.dest)).chain((1..).zip(&self.sources))
    }

    /// The two of a clash, each as it is in the file that it clashes with.
    pub(super) fn sides(&self, pair: &Pair) -> Result<(Option<Found>, Option<Found>), Failure> {
        let (sources, mut dests) = (self.found(&pair.source)?, self.found(&pair.dest)?);
        if pair.source == pair.dest {
            // Both sides are of one id: as the first file has it, and as one has it that does not have it so.
            dests.sort_by_key(|one| one.file);
            let dest = dests.into_iter().next();
            let differs = |one: &Found| dest.as_ref().is_none_or(|dest| one.version != dest.version);
            return Ok((sources.into_iter().find(differs), dest));
        }
        // Where it came from is a source, if it is in one.
        let (mut from, own): (Vec<Found>, Vec<Found>) = sources.into_iter().partition(|one| one.file > 0);
        from.extend(own);
        let is_match = |source: &Found, dest: &Found| {
            let states = (source.version.existence.live(), dest.version.existence.live());
            matches!(states, (Some(source), Some(dest)) if self.key_of(pair, source, dest).is_some())
        };
        let places = from.iter().enumerate().find_map(|(at, source)| {
            dests
                .iter()
                .position(|dest| dest.file != source.file && is_match(source, dest))
                .map(|to| (at, to))
        });
        let (at, to) = places.unwrap_or((0, 0));
        Ok((from.into_iter().nth(at), dests.into_iter().nth(to)))
    }

    /// An entity in each file that knows it, those where it lives first.
    fn found(&self, key: &EntityKey) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        for (file, replica) in self.replicas() {
            let version = replica.entity(key)?.version;
            if version.existence != Existence::Absent {
                found.push(Found { file, version });
            }
        }
        found.sort_by_key(|one| !one.version.existence.is_live());
        Ok(found)
    }

    /// The unique key that two have in common, references aside: what they refer to may count as one.
    pub(super) fn key_of(&self, pair: &Pair, source: &State, dest: &State) -> Option<&[String]> {
        let declared = self.schema().collection(pair.source.collection())?;
        let is_common = |fields: &&[String]| {
            let is_reference = |field: &str| declared.reference_of(field).is_some();
            key_values(source, fields).is_some()
                && key_values(dest, fields).is_some()
                && fields.iter().all(|field| source.raw(field) == dest.raw(field) || is_reference(field))
        };
        let is_same = |fields: &&[String]| key_values(source, fields) == key_values(dest, fields);
        let mut common: Vec<&[String]> = declared.unique_keys().filter(is_common).collect();
        common.sort_by_key(|fields| !is_same(fields));
        common.first().copied()
    }

    /// What refers to an entity in any file, and lives there.
    pub(super) fn children(&self, of: &EntityKey) -> Result<Vec<(EntityKey, State)>, Failure> {
        let mut found: Vec<(EntityKey, State)> = Vec::new();
        for (from, field, _) in self.schema().referrers(of.collection()) {
            for (_, replica) in self.replicas() {
                for child in replica.children(of, from, field)? {
                    if !found.iter().any(|(key, _)| *key == child)
                        && let Some(state) = replica.get(&child)?
                    {
                        found.push((child, state));
                    }
                }
            }
        }
        Ok(found)
    }

    /// What one of a clash refers to, by every field.
    pub(super) fn parents<'f>(
        &'f self,
        key: &EntityKey,
        state: &'f State,
    ) -> impl Iterator<Item = EntityKey> + 'f {
        let declared = self.schema().collection(key.collection());
        let references = declared.into_iter().flat_map(Collection::references);
        references
            .filter_map(|(field, reference)| crate::algebra::referred(state, field, reference).ok().flatten())
    }
}

fn opened(path: &Path) -> Result<Replica, Failure> {
    Replica::open_to_read(path, Options::new()).map_err(|error| {
        let place = path.display();
        let why = match error {
            Error::NotAReplica { .. } => format!("{place} is a journal, but no replica"),
            Error::Journal { source: journal::Error::Missing { .. } } => {
                format!("there is no replica at {place}")
            }
            Error::Journal { source: journal::Error::Locked { .. } } => {
                format!("the replica {place} is open elsewhere; close it there, or wait")
            }
            Error::Journal { source: journal::Error::NotAJournal { why, .. } } => {
                format!("{place} is no replica, or is damaged: {why}; `foldlog verify {place}` tells more")
            }
            error => error.to_string(),
        };
        Failure::Failed(format!("{why}; nothing was merged"))
    })
}

/// Refuses a file that is named twice, by whatever names.
fn require_distinct(into: &Path, sources: &[PathBuf]) -> Result<(), Failure> {
    let mut seen = vec![(into, identity(into))];
    for source in sources {
        let one = identity(source);
        let same = seen.iter().position(|(_, other)| one.is_some() && *other == one);
        if let Some((at, (other, _))) = same.and_then(|at| Some((at, seen.get(at)?))) {
            let (source, other) = (source.display().to_string(), other.display().to_string());
            return Err(Failure::Usage(match (at, source == other) {
                (0, true) => Error::MergesItself { place: source }.to_string(),
                (0, false) => format!(
                    "{source} is the destination {other} by another name; name the files that go into it"
                ),
                (_, true) => Error::MergesTwice { place: source }.to_string(),
                (_, false) => format!("{other} and {source} are one file; once is enough"),
            }));
        }
        seen.push((source, one));
    }
    Ok(())
}

/// What tells a file from others, whatever it is called; nothing where there is none.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// What tells a file from others, links resolved; nothing where there is none.
#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}
