//! Questions as requests.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::map::{Query, cursors, generation, write_cursors, write_generation};
use crate::algebra::{Ask, Bunch, CollectionName, EntityKey, Index, ReplicaId};
use crate::codec::lines::list::each_named;
use crate::codec::lines::object::Object;
use crate::codec::lines::write::{Writer, write_list};
use crate::codec::lines::{Line, Problem, ReadList};

/// How many rows or triggers are answered at once where a request does not say.
pub(crate) const COUNT_DEFAULT: usize = 1_000;

/// What is asked, by the path it is asked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// `POST /v1/bunches`.
    Bunches,
    /// `POST /v1/changes`.
    Changes,
    /// `POST /v1/reads`.
    Reads,
    /// `GET /v1/triggers`.
    Triggers,
    /// `GET /v1/digests`.
    Digests,
}

impl Route {
    /// All of them.
    pub const ALL: [Route; 5] =
        [Route::Bunches, Route::Changes, Route::Reads, Route::Triggers, Route::Digests];

    /// The route on which something is asked.
    #[must_use]
    pub fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Deliver { .. } => Route::Bunches,
            Ask::Changes { .. } => Route::Changes,
            Ask::Reads { .. } => Route::Reads,
            Ask::Triggers { .. } => Route::Triggers,
            Ask::LiveSets { .. } => Route::Digests,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Route::Bunches => "/v1/bunches",
            Route::Changes => "/v1/changes",
            Route::Reads => "/v1/reads",
            Route::Triggers => "/v1/triggers",
            Route::Digests => "/v1/digests",
        }
    }

    /// Whether its requests have a body (and are posted) or a query (and are got).
    #[must_use]
    pub fn has_body(self) -> bool {
        match self {
            Route::Bunches | Route::Changes | Route::Reads => true,
            Route::Triggers | Route::Digests => false,
        }
    }
}

/// A question as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where it is asked.
    pub route: Route,
    /// The body of what is posted, the query of what is got.
    pub text: String,
}

impl Request {
    /// The request that asks this.
    #[must_use]
    pub fn of(ask: &Ask) -> Self {
        Request { route: Route::of(ask), text: text(ask) }
    }

    /// What it asks.
    ///
    /// # Errors
    /// What the text is refused for.
    pub fn ask(&self) -> Result<Ask, Problem> {
        match self.route {
            Route::Bunches => deliver(&self.text),
            Route::Changes => changes(&self.text),
            Route::Reads => reads(&self.text),
            Route::Triggers => triggers(&self.text),
            Route::Digests => {
                let query = Query::read(&self.text, &["generation"])?;
                Ok(Ask::LiveSets { generation: query.generation()? })
            }
        }
    }
}

fn text(ask: &Ask) -> String {
    let mut out = String::new();
    match ask {
        Ask::Deliver { replica, bunch, generation } => {
            let mut writer = Writer::new(&mut out);
            writer.id("replica", replica.0);
            write_generation(&mut writer, *generation);
            bunch.write_line(writer.member("bunch"));
            writer.end();
        }
        Ask::Changes { cursors, floors, generation, rows_max } => {
            let mut writer = Writer::new(&mut out);
            write_cursors(&mut writer, "cursors", cursors);
            write_cursors(&mut writer, "floors", floors);
            write_generation(&mut writer, *generation);
            writer.whole("rows", count(*rows_max));
            writer.end();
        }
        Ask::Reads { keys } => {
            let mut lists: BTreeMap<&CollectionName, Vec<Uuid>> = BTreeMap::new();
            for key in keys {
                lists.entry(key.collection()).or_default().push(key.id());
            }
            let lists =
                lists.into_iter().map(|(collection, ids)| ReadList { collection: collection.clone(), ids });
            let lists: Vec<ReadList> = lists.collect();
            let mut writer = Writer::new(&mut out);
            write_list(writer.member("reads"), &lists, ReadList::write_line);
            writer.end();
        }
        Ask::Triggers { above, generation, triggers_max } => {
            out.push_str(&format!("above={above}&limit={triggers_max}"));
            if let Some(generation) = generation {
                out.push_str(&format!("&generation={}", generation.0));
            }
        }
        Ask::LiveSets { generation } => {
            if let Some(generation) = generation {
                out.push_str(&format!("generation={}", generation.0));
            }
        }
    }
    out
}

fn deliver(text: &str) -> Result<Ask, Problem> {
    let object = Object::read(text, "the request", &["replica", "generation", "bunch"])?;
    let bunch = Bunch::from_line(object.need("bunch")?)?;
    Ok(Ask::Deliver { replica: ReplicaId(object.id("replica")?), bunch, generation: generation(&object)? })
}

fn changes(text: &str) -> Result<Ask, Problem> {
    let object = Object::read(text, "the request", &["cursors", "floors", "generation", "rows"])?;
    let floors = if object.get("floors").is_some() { cursors(&object, "floors")? } else { BTreeMap::new() };
    let rows_max = limit(object.optional_whole("rows")?);
    Ok(Ask::Changes {
        cursors: cursors(&object, "cursors")?,
        floors,
        generation: generation(&object)?,
        rows_max,
    })
}

fn reads(text: &str) -> Result<Ask, Problem> {
    let object = Object::read(text, "the request", &["reads"])?;
    let lists = each_named("reads", "list", object.need("reads")?, ReadList::from_line)?;
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for list in lists {
        if !seen.insert(list.collection.clone()) {
            return Err(Problem::Shape { why: "a collection stands twice in \"reads\"; each has one list" });
        }
        for id in list.ids {
            keys.push(EntityKey::new(list.collection.clone(), id)?);
        }
    }
    Ok(Ask::Reads { keys })
}

fn triggers(text: &str) -> Result<Ask, Problem> {
    let query = Query::read(text, &["above", "generation", "limit"])?;
    let above = Index(query.whole("above")?.unwrap_or(0));
    Ok(Ask::Triggers { above, generation: query.generation()?, triggers_max: limit(query.whole("limit")?) })
}

fn limit(said: Option<u64>) -> usize {
    said.map_or(COUNT_DEFAULT, |count| usize::try_from(count).unwrap_or(usize::MAX))
}

fn count(most: usize) -> u64 {
    u64::try_from(most).unwrap_or(u64::MAX)
}
