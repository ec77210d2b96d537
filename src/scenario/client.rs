//! A client of a scenario: a replica, its engine, and the medium it lives on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

use super::link::Link;
use super::volatile::Volatile;
use crate::algebra::{
    Answer, Ask, Bunch, EntityKey, Group, Index, Limits, Millis, Operation, ReplicaId, Schema,
};
use crate::journal::{Durability, Options};
use crate::replica::{self, Replica};
use crate::sync::{self, Engine, Next, Want};

/// Where a client's file is.
#[derive(Debug)]
enum Place {
    Memory(Volatile),
    File { folder: PathBuf, name: String, lives: u32 },
}

pub(super) struct Client {
    place: Place,
    schema: Schema,
    id: ReplicaId,
    clock: Arc<AtomicU64>,
    pub(super) engine: Engine,
    /// The last bunch that was sealed.
    pub(super) sent: Option<Bunch>,
    /// The authority's last answer to a bunch.
    answered: Option<Answer>,
    pub(super) reads: Vec<EntityKey>,
    heard: Index,
    /// Operations of a group that has not ended.
    group: Option<(String, Vec<Operation>)>,
}

/// What a client cannot do: an error of the replica or the engine.
pub(super) type Refused = sync::Error;

impl Client {
    pub(super) fn new(
        name: &str,
        folder: Option<PathBuf>,
        schema: &Schema,
        clock: &Arc<AtomicU64>,
    ) -> Result<Self, Refused> {
        let id = ReplicaId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()));
        let place = match folder {
            None => Place::Memory(Volatile::default()),
            Some(folder) => Place::File { folder, name: name.to_owned(), lives: 0 },
        };
        let engine = opened(&place, schema, id, clock)?;
        Ok(Client {
            place,
            schema: schema.clone(),
            id,
            clock: Arc::clone(clock),
            engine,
            sent: None,
            answered: None,
            reads: Vec::new(),
            heard: Index(0),
            group: None,
        })
    }

    pub(super) fn replica(&self) -> &Replica {
        self.engine.replica()
    }

    fn now(&self) -> Millis {
        Millis(self.clock.load(Ordering::Relaxed))
    }

    pub(super) fn is_in_group(&self) -> bool {
        self.group.is_some()
    }

    /// Carries an operation out, now or when its group ends; another group has [ended](Client::end_group) before.
    pub(super) fn operate(&mut self, operation: Operation, group: Option<String>) -> Result<(), Refused> {
        let Some(group) = group else { return self.commit(&[operation]) };
        self.group.get_or_insert_with(|| (group, Vec::new())).1.push(operation);
        Ok(())
    }

    /// Ends the group that is open, unless it is this one.
    pub(super) fn end_group(&mut self, unless: Option<&str>) -> Result<(), Refused> {
        match self.group.take_if(|(open, _)| Some(open.as_str()) != unless) {
            Some((name, operations)) => self.commit_group(&name, operations),
            None => Ok(()),
        }
    }

    /// A transaction of its own, even where a group of that name was there before.
    fn commit_group(&self, name: &str, operations: Vec<Operation>) -> Result<(), Refused> {
        let appended = self.replica().journal().status().map_err(replica::Error::from)?.appended;
        let group = Group::new(&format!("{name} after {appended}")).map_err(replica::Error::from)?;
        let grouped: Vec<Operation> =
            operations.into_iter().map(|operation| operation.in_group(group.clone())).collect();
        self.commit(&grouped)
    }

    fn commit(&self, operations: &[Operation]) -> Result<(), Refused> {
        self.replica().commit(operations, Durability::Durable)?;
        Ok(())
    }

    pub(super) fn seal(&mut self) -> Result<(), Refused> {
        if let Some(bunch) = self.replica().seal(Limits::default())? {
            self.sent = Some(bunch);
        }
        Ok(())
    }

    /// The authority receives the open bunch, if there is one.
    pub(super) fn deliver(&mut self, link: &mut Link) -> Result<(), Refused> {
        let open = self.replica().journal().open_bunch().map_err(replica::Error::from)?;
        if let Some(bunch) = open {
            let generation = self.replica().standing()?.generation;
            let ask = Ask::Deliver { replica: self.replica().id(), bunch, generation };
            self.answered = Some(link.answer(&ask, self.now()));
        }
        Ok(())
    }

    /// The client receives the last answer; one that it received before changes nothing.
    pub(super) fn answer(&mut self) -> Result<(), Refused> {
        let Some(answer) = self.answered.clone() else { return Ok(()) };
        if self.replica().journal().open_bunch().map_err(replica::Error::from)?.is_some() {
            self.engine.online()?;
            if let Next::Ask(request) = self.engine.next(self.now())? {
                self.engine.answer(request.number, answer, self.now(), 0)?;
            }
        } else if let Answer::Delivered(outcomes) = answer {
            self.replica().settle(&outcomes)?;
        }
        Ok(())
    }

    /// Does what is wanted, until there is nothing more to ask.
    pub(super) fn run(&mut self, link: &mut Link, want: Want) -> Result<(), Refused> {
        self.engine.want_only(want);
        if want.reads {
            self.reads.clear();
        }
        while let Next::Ask(request) = self.engine.next(self.now())? {
            match &request.ask {
                Ask::Deliver { bunch, .. } => self.sent = Some(bunch.clone()),
                Ask::Reads { keys } => self.reads.extend(keys.iter().cloned()),
                Ask::Changes { .. } | Ask::Triggers { .. } | Ask::LiveSets { .. } => {}
            }
            let answer = link.answer(&request.ask, self.now());
            if matches!(request.ask, Ask::Deliver { .. }) {
                self.answered = Some(answer.clone());
            }
            self.engine.answer(request.number, answer, self.now(), 0)?;
        }
        Ok(())
    }

    pub(super) fn init(&mut self, link: &mut Link) -> Result<(), Refused> {
        self.run(link, Want::default())?;
        self.engine.start_over()?;
        self.run(link, Want::DOWN)
    }

    pub(super) fn hear(
        &mut self,
        link: &Link,
        lose: &[u64],
        twice: bool,
        reverse: bool,
    ) -> Result<(), Refused> {
        let new = link.triggers_above(self.heard);
        self.heard = new.last().map_or(self.heard, |trigger| trigger.index);
        let mut heard: Vec<_> = new.into_iter().filter(|trigger| !lose.contains(&trigger.index.0)).collect();
        if twice {
            heard.extend(heard.clone());
        }
        if reverse {
            heard.reverse();
        }
        self.replica().journal().receive(&heard).map_err(replica::Error::from)?;
        Ok(())
    }

    /// All that is not durable is gone.
    pub(super) fn crash(&mut self) -> Result<(), Refused> {
        match &mut self.place {
            Place::Memory(storage) => *storage = storage.crashed(),
            Place::File { folder, name, lives } => {
                let before = path(folder, name, *lives);
                *lives += 1;
                // As a killed process leaves it: copied while it is open.
                let copied = std::fs::copy(&before, path(folder, name, *lives));
                copied.map_err(|source| {
                    replica::Error::from(crate::journal::Error::Io {
                        doing: "a file cannot be copied".to_owned(),
                        source,
                    })
                })?;
            }
        }
        self.engine = opened(&self.place, &self.schema, self.id, &self.clock)?;
        Ok(())
    }
}

fn path(folder: &std::path::Path, name: &str, lives: u32) -> PathBuf {
    folder.join(format!("{name}.{lives}.redb"))
}

fn opened(place: &Place, schema: &Schema, id: ReplicaId, clock: &Arc<AtomicU64>) -> Result<Engine, Refused> {
    let clock = Arc::clone(clock);
    let options = Options::new()
        .cache_bytes(1 << 20)
        .schema(schema.clone())
        .replica(id)
        .clock(move || clock.load(Ordering::Relaxed));
    let replica = match place {
        Place::Memory(storage) => {
            options.on(storage.clone()).map_err(replica::Error::from).and_then(Replica::of)
        }
        Place::File { folder, name, lives } => Replica::create(path(folder, name, *lives), options),
    };
    Ok(Engine::new(replica?, sync::Options::default()))
}
