//! Folding in memory: many operations become the fewest that do the same.

use foldlog::Uuid;
use foldlog::algebra::{BaseMap, CollectionName, EntityKey, Fold, Operation, Patch, State, plan};
use rusqlite::Connection;

use crate::session::{combined, recorded};
use crate::table::{Scale, Table, timed};
use crate::tanstack::{Tanstack, Update};

/// So many operations a changeset: a transaction of an application.
const CHANGESET: usize = 1_000;
const FIELDS: usize = 10;
const PATCHED: usize = 3;

/// One operation on an entity that is there: its number, and the values of the fields that it writes.
struct Act {
    entity: usize,
    fields: Vec<(usize, u64)>,
}

/// Whole states.
pub(crate) fn states(scale: Scale, table: &mut Table) {
    fold(scale, table, FIELDS);
}

/// Patches of 3 of 10 fields.
pub(crate) fn patches(scale: Scale, table: &mut Table) {
    fold(scale, table, PATCHED);
}

fn fold(scale: Scale, table: &mut Table, written: usize) {
    table.against("changegroup");
    let (entities, operations) = scale.of((50_000, 200_000), (1_000_000, 4_000_000));
    let acts: Vec<Act> = (0..operations).map(|n| act(n, entities, written)).collect();
    let name = CollectionName::new("notes").expect("a name");
    let log: Vec<Operation> = acts.iter().map(|act| operation(act, &name)).collect();
    let mut changesets = changesets(&acts, entities);
    let are_states = written == FIELDS;
    let upsert = are_states.then(|| Connection::open_in_memory().expect("a database"));
    let mut tanstack = are_states.then(|| Tanstack::with(acts.iter().map(state))).flatten();
    for _ in 0..scale.rounds() {
        let (took, folded) = timed(|| {
            let mut fold = Fold::new();
            fold.extend(&log);
            let planned = plan(fold.effects(), &BaseMap::new(false), None);
            (fold, planned)
        });
        table.note("foldlog", took, log.len());
        let planned = folded.1.operations.len();
        assert!(planned <= entities);
        drop(folded);

        let (took, combined) = timed(|| combined(&mut changesets));
        table.note("changegroup", took, log.len());
        assert!(combined.bytes().len() > entities);
        drop(combined);

        if let Some(db) = &upsert {
            db.execute_batch("DROP TABLE IF EXISTS net; CREATE TABLE net (id BLOB PRIMARY KEY, state TEXT)")
                .expect("a table");
            let (took, ()) = timed(|| laid_over(db, &log));
            table.note("upsert", took, log.len());
        }

        if let Some(tanstack) = &mut tanstack {
            let (took, left) = tanstack.merge();
            table.note("tanstack", took, log.len());
            assert_eq!(left, planned, "tanstack is left with as many as foldlog");
        }
    }
}

/// Lays each operation over its entity's row.
fn laid_over(db: &Connection, log: &[Operation]) {
    db.execute_batch("BEGIN").expect("a transaction");
    {
        let sql = "INSERT INTO net VALUES (?, ?) ON CONFLICT DO UPDATE SET state = excluded.state";
        let mut upsert = db.prepare(sql).expect("a statement");
        for operation in log {
            let state = operation.change.fields_json();
            upsert.execute((operation.key.id().as_bytes(), state)).expect("room");
        }
    }
    db.execute_batch("COMMIT").expect("room");
}

/// Draws that are the same in every run.
fn act(n: usize, entities: usize, written: usize) -> Act {
    let draw = |salt: u64| mixed_up(n as u64 * 16 + salt);
    let first = draw(1) as usize % FIELDS;
    let fields = (0..written).map(|field| ((first + field) % FIELDS, draw(2 + field as u64) % 1_000_000));
    Act { entity: draw(0) as usize % entities, fields: fields.collect() }
}

/// The finaliser of SplitMix64.
fn mixed_up(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}

fn id(entity: usize) -> Uuid {
    let of = |salt| u128::from(mixed_up(entity as u64 * 2 + salt));
    Uuid::from_u128(of(0) << 64 | of(1))
}

/// What an act that writes all fields makes of its entity.
fn state(act: &Act) -> Update<FIELDS> {
    let mut values = [0; FIELDS];
    for (field, value) in &act.fields {
        values[*field] = u32::try_from(*value).expect("below a million");
    }
    (id(act.entity), values)
}

fn operation(act: &Act, name: &CollectionName) -> Operation {
    let key = EntityKey::new(name.clone(), id(act.entity)).expect("an id");
    let fields: Vec<String> =
        act.fields.iter().map(|(field, value)| format!("\"f{field}\":{value}")).collect();
    let json = format!("{{{}}}", fields.join(","));
    if act.fields.len() == FIELDS {
        Operation::update(key, State::from_json(&json).expect("a state"))
    } else {
        Operation::patch(key, Patch::from_json(&json).expect("a patch"))
    }
}

/// The same changes, recorded by sessions on a table of all entities.
fn changesets(acts: &[Act], entities: usize) -> Vec<Vec<u8>> {
    let db = Connection::open_in_memory().expect("a database");
    let columns: Vec<String> = (0..FIELDS).map(|field| format!("f{field} INTEGER")).collect();
    db.execute_batch(&format!("CREATE TABLE notes (id BLOB PRIMARY KEY, {}); BEGIN", columns.join(",")))
        .expect("a table");
    {
        let mut insert = db.prepare("INSERT INTO notes (id) VALUES (?)").expect("a statement");
        for entity in 0..entities {
            insert.execute([id(entity).as_bytes()]).expect("room");
        }
    }
    let recorded = acts.chunks(CHANGESET).map(|acts| {
        recorded(&db, &[c"notes"], || {
            for act in acts {
                let set: Vec<String> = act.fields.iter().map(|(field, _)| format!("f{field}=?")).collect();
                let sql = format!("UPDATE notes SET {} WHERE id=?", set.join(","));
                let mut update = db.prepare_cached(&sql).expect("a statement");
                for (place, (_, value)) in (1..).zip(&act.fields) {
                    update.raw_bind_parameter(place, value.cast_signed()).expect("a value");
                }
                update.raw_bind_parameter(act.fields.len() + 1, id(act.entity).as_bytes()).expect("an id");
                update.raw_execute().expect("room");
            }
        })
    });
    recorded.collect()
}
