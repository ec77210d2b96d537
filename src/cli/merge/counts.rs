//! What became of entities, counted and told one by one.

use serde_json::{Map, Value, json};

use crate::algebra::Existence;
use crate::cli::fold::object;
use crate::cli::words;
use crate::merge::Why;
use crate::replica::MergedEntity;

/// How many entities became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    created: u64,
    changed: u64,
    deleted: u64,
    returned: u64,
    /// Deleted before the destination ever saw them.
    never_seen: u64,
    kept: u64,
    redirected: u64,
    lost: u64,
    gone: u64,
}

impl Counts {
    pub(super) fn of(entities: &[MergedEntity]) -> Self {
        let mut counts = Counts::default();
        for entity in entities {
            let place = match (&entity.was, &entity.now) {
                (was, now) if was == now => &mut counts.kept,
                (Existence::Absent, Existence::Live(_)) => &mut counts.created,
                (Existence::Live(_), Existence::Live(_)) => &mut counts.changed,
                (Existence::Dead(_), Existence::Live(_)) => &mut counts.returned,
                (Existence::Live(_), _) => &mut counts.deleted,
                (Existence::Absent, _) => &mut counts.never_seen,
                (Existence::Dead(_), _) => &mut counts.kept,
            };
            *place += 1;
            let has = |is: fn(&Why) -> bool| u64::from(entity.why.iter().any(is));
            if entity.now.is_live() {
                counts.redirected += has(|why| matches!(why, Why::Redirected { .. }));
            }
            counts.lost += has(|why| matches!(why, Why::Lost { .. }));
            counts.gone += has(|why| matches!(why, Why::Gone { .. }));
        }
        counts
    }

    /// In words, only what there is.
    pub(super) fn words(&self) -> String {
        let parts = [
            (self.created, "new"),
            (self.changed, "changed"),
            (self.deleted, "deleted"),
            (self.returned, "back from deletion"),
            (self.never_seen, "deleted before they were ever seen there"),
        ];
        let among = [
            (self.lost, "lost a clash"),
            (self.gone, "gone with a loser"),
            (self.redirected, "referring to a winner now"),
        ];
        let said = |parts: &[(u64, &str)]| {
            let some = parts.iter().filter(|(number, _)| *number > 0);
            some.map(|(number, what)| format!("{} {what}", words::count(*number)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (said(&parts), said(&among)) {
            (parts, _) if parts.is_empty() => "nothing changes".to_owned(),
            (parts, among) if among.is_empty() => parts,
            (parts, among) => format!("{parts}; of these {among}"),
        }
    }

    pub(super) fn json(&self) -> Map<String, Value> {
        object(json!({
            "created": self.created, "changed": self.changed, "deleted": self.deleted, "returned": self.returned,
            "never_seen": self.never_seen, "kept": self.kept, "redirected": self.redirected, "lost": self.lost,
            "gone": self.gone,
        }))
    }
}

/// An entity with what became of it and why, for a machine.
pub(super) fn entity(entity: &MergedEntity) -> Value {
    json!({
        "entity": entity.key.to_string(),
        "was": existence(&entity.was),
        "now": existence(&entity.now),
        "why": entity.why.iter().map(why).collect::<Vec<_>>(),
    })
}

fn existence(existence: &Existence) -> &'static str {
    match existence {
        Existence::Absent => "absent",
        Existence::Live(_) => "live",
        Existence::Dead(_) => "deleted",
    }
}

fn why(why: &Why) -> Value {
    match why {
        Why::Joined => json!("joined"),
        Why::Decided => json!("decided"),
        Why::Modified => json!("modified"),
        Why::Returned { child } => json!({"returned": {"child": child.to_string()}}),
        Why::Dropped { field, to } => json!({"dropped": {"field": field, "to": to.to_string()}}),
        Why::Redirected { field, from, to } => {
            json!({"redirected": {"field": field, "from": from.to_string(), "to": to.to_string()}})
        }
        Why::Lost { to } => json!({"lost": {"to": to.to_string()}}),
        Why::Gone { with } => json!({"gone": {"with": with.to_string()}}),
    }
}
