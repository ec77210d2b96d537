//! Merging two files of a million entities of which one in a hundred differs, beside plain redb that copies both: scans
//! of the two files, inserts into a third one. Each in a process of its own, in turn.

mod memory;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use foldlog::Uuid;
use foldlog::algebra::{CollectionName, EntityKey, Operation, Patch, ReplicaId, Schema, State};
use foldlog::journal::{Durability, Options};
use foldlog::merge::Resolutions;
use foldlog::replica::Replica;
use memory::highest;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

const ENTITIES: u128 = 1_000_000;
/// One in so many differs.
const DIFFERS: u128 = 100;
const BATCH: usize = 10_000;
const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const SCHEMA: &str = r#"{"collections":{"units":{"unique":[["code"]]},
    "plots":{"unique":[["unit","number"]],"references":{"unit":{"to":"units","on_delete":"cascade"}}}}}"#;
const ROUNDS: usize = 3;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    if let (Some(task), Some(folder)) = (args.next(), args.next()) {
        return task_of(&task, Path::new(&folder));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::env::current_exe().expect("this program");
    let run = |task: &str| {
        let ended = Command::new(&own).arg(task).arg(folder.path()).output().expect("this program again");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8_lossy(&ended.stdout).trim().to_owned()
    };
    run("prepare");
    for _ in 0..ROUNDS {
        for (task, what) in [
            ("read", "plain redb reads both"),
            ("check", "check"),
            ("copy", "plain redb copies both"),
            ("merge", "merge"),
        ] {
            std::fs::copy(folder.path().join("desk"), folder.path().join("desk.again")).expect("room");
            println!("{what}: {}", run(task));
        }
    }
}

fn task_of(task: &str, folder: &Path) {
    let (desk, crew) = (folder.join("desk.again"), folder.join("crew"));
    match task {
        "prepare" => prepare(folder),
        "read" | "copy" => {
            let began = Instant::now();
            let rows = plain(&[desk, crew], (task == "copy").then(|| folder.join("copy")).as_deref());
            println!("{:.2} s, {}, {rows} rows", began.elapsed().as_secs_f64(), highest());
        }
        _ => {
            let open = |path: &Path| Replica::open(path, Options::new()).expect("a replica");
            let (desk, crew) = (open(&desk), open(&crew));
            let began = Instant::now();
            let nothing = Resolutions::default();
            let entities = if task == "check" {
                desk.check_merge(&[&crew], &nothing, &mut |_| {}).expect("readable").entities.len()
            } else {
                desk.merge(&[&crew], &nothing, &mut |_| {}).expect("mergeable").entities.len()
            };
            println!("{:.2} s, {}, {entities} entities", began.elapsed().as_secs_f64(), highest());
        }
    }
}

fn key(collection: &str, n: u128) -> EntityKey {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_le_bytes());
    EntityKey::new(CollectionName::new(collection).expect("a name"), id).expect("an id")
}

/// Two files: one has changed every hundredth entity and made some.
fn prepare(folder: &Path) {
    let options = |n| {
        let schema = Schema::from_json(SCHEMA).expect("a schema");
        Options::new().schema(schema).replica(ReplicaId(Uuid::from_u128(n)))
    };
    let write = |replica: &Replica, operations: &mut dyn Iterator<Item = Operation>| {
        loop {
            let batch: Vec<Operation> = operations.take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            replica.commit(&batch, Durability::Deferred).expect("room");
        }
        replica.journal().flush().expect("room");
    };
    let unit = |n: u128| key("units", n / 100);
    let made = |n: u128| {
        let text = "what somebody noted about this plot, a line or so long";
        let json =
            format!(r#"{{"unit":"{}","number":{},"note":"{text}","size":{n}}}"#, unit(n).id(), n % 100);
        Operation::create(key("plots", n), State::from_json(&json).expect("a state"))
            .at(1_000)
            .expect("a time")
    };
    let units = (0..ENTITIES / 100).map(|n| {
        let state = State::from_json(&format!(r#"{{"code":{n}}}"#)).expect("a state");
        Operation::create(key("units", n), state).at(1_000).expect("a time")
    });
    // The same operations make the same files but for who made them: so both are made by one.
    for name in ["desk", "crew"] {
        let replica = Replica::create(folder.join(name), options(1)).expect("room");
        write(&replica, &mut units.clone().chain((0..ENTITIES).map(made)));
        replica.journal().compact().expect("room");
        if name == "crew" {
            let patch = Patch::from_json(r#"{"note":"changed by the crew"}"#).expect("a patch");
            let changed = (0..ENTITIES / DIFFERS).map(|n| {
                let n = n * DIFFERS;
                if n.is_multiple_of(DIFFERS * 10) {
                    return Operation::delete(key("plots", n)).at(2_000).expect("a time");
                }
                Operation::patch(key("plots", n), patch.clone()).at(2_000).expect("a time")
            });
            write(&replica, &mut changed.into_iter());
        }
        replica.journal().suspend().expect("room");
    }
}

/// Reads all rows of the files' tables of entities, and writes them to another file, if one is named.
fn plain(files: &[std::path::PathBuf], into: Option<&Path>) -> u64 {
    let open = |path: &Path| Database::builder().set_cache_size(16 << 20).create(path).expect("a database");
    let copy = into.map(|path| {
        drop(std::fs::remove_file(path));
        open(path)
    });
    let txn = copy.as_ref().map(|copy| copy.begin_write().expect("one writer"));
    let mut rows = 0;
    {
        let mut target = txn.as_ref().map(|txn| txn.open_table(ROWS).expect("a table"));
        for path in files {
            let source = open(path);
            let txn = source.begin_read().expect("a reader");
            for name in ["base", "local"] {
                let table: redb::ReadOnlyTable<&[u8], &[u8]> =
                    txn.open_table(TableDefinition::new(name)).expect("a table");
                for row in table.iter().expect("rows") {
                    let (place, value) = row.expect("a row");
                    rows += 1;
                    match &mut target {
                        Some(target) => drop(target.insert(place.value(), value.value()).expect("room")),
                        None => assert!(!value.value().is_empty()),
                    }
                }
            }
        }
    }
    if let Some(txn) = txn {
        txn.commit().expect("room");
    }
    rows
}
