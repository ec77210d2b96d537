//! An open conflict as it is told: in one line, as JSON, or with its sides beside each other.

use serde_json::json;

use super::beside::{Column, beside};
use crate::algebra::{EntityKey, Existence, Millis, State, Version};
use crate::cli::failure::Failure;
use crate::cli::show::ShowLine;
use crate::cli::words;
use crate::replica::{Conflict, ConflictKind, Replica};

/// So many fields are named in a line; the rest are counted.
const FIELDS_NAMED_MAX: usize = 4;

/// An open conflict, and what has the unique key that it is about.
pub(in crate::cli) struct Seen {
    pub(in crate::cli) conflict: Conflict,
    holder: Option<Version>,
}

impl Seen {
    /// All that are open.
    pub(in crate::cli) fn all(replica: &Replica) -> Result<Vec<Self>, Failure> {
        replica.conflicts()?.into_iter().map(|conflict| Seen::with_holder(replica, conflict)).collect()
    }

    /// That of an entity, if one is open.
    pub(super) fn of(replica: &Replica, key: &EntityKey) -> Result<Option<Self>, Failure> {
        replica.conflict(key)?.map(|conflict| Seen::with_holder(replica, conflict)).transpose()
    }

    fn with_holder(replica: &Replica, conflict: Conflict) -> Result<Self, Failure> {
        let holder = match &conflict.kind {
            ConflictKind::Concurrent { .. } => None,
            ConflictKind::Clash { holder, .. } => Some(replica.entity(holder)?.version),
        };
        Ok(Seen { conflict, holder })
    }

    /// What the entity was before both sides changed it, if they did.
    fn before(&self) -> Option<&Version> {
        match &self.conflict.kind {
            ConflictKind::Concurrent { before } => Some(before),
            ConflictKind::Clash { before, .. } => before.as_ref(),
        }
    }

    /// In one line.
    pub(super) fn words(&self) -> String {
        let Conflict { key, kind, local, remote } = &self.conflict;
        let mut told = Vec::new();
        if let ConflictKind::Clash { unique, values, holder, .. } = kind {
            let (fields, values) = (unique.join(", "), values.join(", "));
            told.push(format!("wants ({fields}) = ({values}), which {holder} has"));
        }
        if let Some(before) = self.before() {
            // A delete is held because of what goes with it, too.
            let is_about_others = !local.existence.is_live() && remote.existence == before.existence;
            let theirs =
                if is_about_others { "changed what refers to it".to_owned() } else { done(before, remote) };
            told.push(format!("local {}, remote {theirs}", done(before, local)));
        }
        format!("{key}  {}", words::shown(&told.join("; ")))
    }

    /// As a line of JSON.
    pub(super) fn line(&self) -> String {
        let Conflict { key, kind, local, remote } = &self.conflict;
        let line = ShowLine::of(key);
        let line = match kind {
            ConflictKind::Concurrent { .. } => line.with("conflict", "\"concurrent\""),
            ConflictKind::Clash { unique, values, holder, .. } => line
                .with("conflict", "\"clash\"")
                .with("unique", &json!(unique).to_string())
                .with("values", &format!("[{}]", values.join(",")))
                .with("holder", &json!(holder.id().to_string()).to_string()),
        };
        let line = line
            .with("base", &self.before().map_or_else(|| "null".to_owned(), as_json))
            .with("local", &as_json(local))
            .with("remote", &as_json(remote));
        match &self.holder {
            Some(holder) => line.with("held_by", &as_json(holder)),
            None => line,
        }
        .end()
    }

    /// All that there is to tell: what it is, its sides, and when they were changed.
    pub(super) fn told(&self, width: usize, now: Millis) -> Vec<String> {
        let mut lines = vec![self.words()];
        lines.extend(self.beside(width));
        let ages: Vec<String> = self
            .columns()
            .iter()
            .filter_map(|column| Some((column.title, column.version.stamps.latest()?)))
            .map(|(title, stamp)| format!("{title} {} ago", words::span(now.0.saturating_sub(stamp.at.0))))
            .collect();
        if !ages.is_empty() {
            lines.push(format!("last changed: {}", ages.join(", ")));
        }
        lines
    }

    /// Its sides beside each other, in lines of a width.
    pub(in crate::cli) fn beside(&self, width: usize) -> Vec<String> {
        let unique = match &self.conflict.kind {
            ConflictKind::Concurrent { .. } => &[][..],
            ConflictKind::Clash { unique, .. } => unique,
        };
        beside(&self.columns(), unique, width)
    }

    fn columns(&self) -> Vec<Column<'_>> {
        let Conflict { local, remote, .. } = &self.conflict;
        let mut columns = match self.before() {
            Some(before) => {
                vec![Column::of("base", before), Column::side("local", local), Column::side("remote", remote)]
            }
            // Only what this side would send is in conflict.
            None => vec![Column::of("remote", remote), Column::side("local", local)],
        };
        columns.extend(self.holder.as_ref().map(|holder| Column::of("holder", holder)));
        columns
    }
}

/// What a side did since.
fn done(before: &Version, side: &Version) -> String {
    match (before.existence.live(), &side.existence) {
        (_, Existence::Absent) => "not there".to_owned(),
        (_, Existence::Dead(_)) => "deleted".to_owned(),
        (None, Existence::Live(_)) => "made it".to_owned(),
        (Some(before), Existence::Live(state)) => {
            let changes = before.changes_to(state);
            let names: Vec<String> = changes.iter().map(|(name, _)| name).collect();
            let named = names.iter().take(FIELDS_NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
            match names.len() {
                0 => "as it was".to_owned(),
                number if number > FIELDS_NAMED_MAX => {
                    format!("changed {named} and {} more", number - FIELDS_NAMED_MAX)
                }
                _ => format!("changed {named}"),
            }
        }
    }
}

fn as_json(version: &Version) -> String {
    let is = match version.existence {
        Existence::Absent => "absent",
        Existence::Live(_) => "live",
        Existence::Dead(_) => "dead",
    };
    let state = version.existence.state().map_or("null", State::as_json);
    let at = json!(version.stamps.latest().map(|stamp| stamp.at.0));
    format!(r#"{{"is":"{is}","state":{state},"changed_at":{at}}}"#)
}
