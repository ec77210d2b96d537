//! An authority on PostgreSQL taking bunches, beside raw upserts of as many rows.
//!
//! Both write to tables with the same columns, indexes and constraints (a unique key and a reference), on one server, in
//! turn: the authority takes bunches of operations, judges them and records the answers, epochs and triggers; the raw side
//! says one prepared `INSERT … SELECT unnest(…) … ON CONFLICT DO UPDATE` a transaction. First on a server that writes
//! through to the disk, then on one that does not, which shows what the disk hides.
//!
//! `cargo bench --features postgres,testing --bench postgres [-- BUNCHES [ROWS_A_BUNCH]]`

use std::time::{Duration, Instant};

use foldlog::Uuid;
use foldlog::algebra::{
    Answer, Ask, Bunch, BunchNumber, CollectionName, Digest, EntityKey, Epoch, Millis, Operation, Outcome,
    Patch, Planned, ReplicaId, Schema, Seq, State,
};
use foldlog::authority::postgres::{PostgresAuthority, PostgresOptions};
use foldlog::authority::{Account, Authority};
use foldlog::testing::postgres::Server;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

const BUNCHES: u64 = 100;
const ROWS: u64 = 50;
/// Each side has its turn so often.
const ROUNDS: u64 = 3;
const FOLDERS: u128 = 8;
const SCHEMA: &str = r#"{"collections":{"folders":{},"notes":{"unique":[["title"]],
    "references":{"in":{"to":"folders","on_delete":"cascade"}}}}}"#;

/// What is done to the rows.
#[derive(Clone, Copy)]
enum Doing {
    Create,
    Update,
    Patch,
}

fn main() {
    let mut numbers = std::env::args().filter_map(|text| text.parse().ok());
    let (bunches, rows) = (numbers.next().unwrap_or(BUNCHES), numbers.next().unwrap_or(ROWS));
    for (words, settings) in [("written through", &[][..]), ("not written through", &[("fsync", "off")][..])]
    {
        let server = Server::start(settings).expect("a server");
        println!("{words}: bunches of {rows}, {bunches} a turn, {ROUNDS} turns");
        measure(&server, bunches, rows);
    }
}

fn measure(server: &Server, bunches: u64, rows: u64) {
    let open = |namespace: &str| {
        let schema = Schema::from_json(SCHEMA).expect("a schema");
        let options = PostgresOptions::new().namespace(namespace);
        PostgresAuthority::open(server.url(), schema, options).expect("an authority")
    };
    let (authority, raw) = (open("foldlog"), open("raw"));
    let mut ours = Ours::new(&authority, rows);
    // The raw side has its tables from an authority, too, so that they are the same.
    Ours::new(&raw, rows);
    let mut raw = Raw::new(server, rows);
    for doing in [Doing::Create, Doing::Update, Doing::Patch] {
        let (mut one, mut other) = (Duration::ZERO, Duration::ZERO);
        let trips = authority.round_trips();
        for round in 0..ROUNDS {
            for bunch in 0..bunches {
                let place = round * bunches + bunch;
                one += timed(|| ours.bunch(doing, place));
                if place == 0 {
                    raw.take_marks();
                }
                other += timed(|| raw.bunch(doing, place));
            }
        }
        let all = ROUNDS * bunches * rows;
        let speed = |took: Duration| all as f64 / took.as_secs_f64();
        println!(
            "  {:8} {:>8.0} rows/s, raw {:>8.0}: {:.0} % ({:.2} and {:.2} ms a bunch, {:.1} round trips)",
            match doing {
                Doing::Create => "creates",
                Doing::Update => "updates",
                Doing::Patch => "patches",
            },
            speed(one),
            speed(other),
            100.0 * speed(one) / speed(other),
            one.as_secs_f64() * 1_000.0 / (ROUNDS * bunches) as f64,
            other.as_secs_f64() * 1_000.0 / (ROUNDS * bunches) as f64,
            (authority.round_trips() - trips) as f64 / (ROUNDS * bunches) as f64,
        );
    }
}

fn timed(doing: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    doing();
    begun.elapsed()
}

/// Ids that follow time, as an app's should.
fn id(place: u64, row: u64) -> Uuid {
    Uuid::from_u128(
        (0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(place)) << 16 | u128::from(row + 1),
    )
}

fn folder(row: u64) -> Uuid {
    Uuid::from_u128(1 + u128::from(row) % FOLDERS)
}

fn title(place: u64, row: u64) -> String {
    format!("note {place} {row}")
}

fn state(place: u64, row: u64, version: u64) -> String {
    let body = "some words that somebody wrote without a network, and that are sent later";
    let (folder, title) = (folder(row), title(place, row));
    format!(r#"{{"body":"{body} {version}","done":false,"in":"{folder}","title":"{title}"}}"#)
}

struct Ours<'a> {
    authority: &'a PostgresAuthority,
    account: Account,
    rows: u64,
    number: u64,
}

impl<'a> Ours<'a> {
    fn new(authority: &'a PostgresAuthority, rows: u64) -> Self {
        let account = Account::new("anna").expect("a name");
        let mut ours = Ours { authority, account, rows, number: 0 };
        let folders = CollectionName::new("folders").expect("a name");
        let folder = |n| EntityKey::new(folders.clone(), Uuid::from_u128(n)).expect("an id");
        let folders = (1..=FOLDERS).map(|n| Operation::create(folder(n), State::empty())).collect();
        ours.deliver(folders);
        ours
    }

    fn bunch(&mut self, doing: Doing, place: u64) {
        let notes = CollectionName::new("notes").expect("a name");
        let operations = (0..self.rows)
            .map(|row| {
                let key = EntityKey::new(notes.clone(), id(place, row)).expect("an id");
                let state = |version| State::from_json(&state(place, row, version)).expect("a state");
                match doing {
                    Doing::Create => Operation::create(key, state(1)),
                    Doing::Update => Operation::update(key, state(2)),
                    Doing::Patch => {
                        Operation::patch(key, Patch::from_json(r#"{"done":true}"#).expect("a patch"))
                    }
                }
            })
            .collect();
        self.deliver(operations);
    }

    fn deliver(&mut self, operations: Vec<Operation>) {
        self.number += 1;
        let planned = |(seq, operation): (u64, Operation)| Planned {
            operation: operation.at(1_000_000 + self.number).expect("a time"),
            base: None,
            first: Seq(seq),
            last: Seq(seq),
            operations: 1,
            touched: None,
        };
        let operations = (1..).zip(operations).map(planned).collect();
        let bunch = Bunch { number: BunchNumber(self.number), id: Digest([1; 32]), operations };
        let ask = Ask::Deliver { replica: ReplicaId(Uuid::from_u128(7)), bunch, generation: None };
        match self.authority.answer(&self.account, Millis(2_000_000), &ask).expect("an answer") {
            Answer::Delivered(outcomes) => {
                let accepted =
                    |outcome: &Outcome| matches!(outcome, Outcome::Accepted { epoch: Some(Epoch(_)), .. });
                assert!(outcomes.outcomes.iter().all(accepted), "{outcomes:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Raw {
    runtime: Runtime,
    client: Client,
    upsert: Statement,
    marks: Vec<u8>,
    rows: u64,
    epoch: i64,
}

impl Raw {
    fn new(server: &Server, rows: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let client = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(server.url(), NoTls).await.expect("a connection");
            tokio::spawn(connection);
            client
        });
        let asked = |text: &str| -> String {
            runtime.block_on(client.query_one(text, &[])).expect("an answer").get(0)
        };
        let live = asked("SELECT live FROM raw.collections WHERE name = 'notes'");
        let column = |kind: &str| -> String {
            let text = format!(
                "SELECT columns.name FROM raw.columns JOIN raw.collections ON number = collection WHERE kind = '{kind}' AND \
                 collections.name = 'notes'"
            );
            asked(&text)
        };
        let (title, folder) = (column("value"), column("reference"));
        let all = ["id", "epoch", "state_bytes", "state", "marks", "replica", "bunch", &title, &folder];
        let set: Vec<String> = all.iter().map(|column| format!("{column} = excluded.{column}")).collect();
        let upsert = format!(
            "INSERT INTO {live} (account, {}) SELECT 1, id, epoch, bytes, state::jsonb, marks, replica, bunch, title, folder \
             FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::text[], $5::bytea[], $6::uuid[], $7::bigint[], \
             $8::text[], $9::uuid[]) AS given (id, epoch, bytes, state, marks, replica, bunch, title, folder) ON CONFLICT \
             (account, id) DO UPDATE SET {}",
            all.join(", "),
            set.join(", ")
        );
        let upsert = runtime.block_on(client.prepare(&upsert)).expect("a statement");
        Raw { marks: Vec::new(), runtime, client, upsert, rows, epoch: 0 }
    }

    /// Takes over what the authority wrote beside a state just now, so that the rows are as long.
    fn take_marks(&mut self) {
        let asked = |text: &str| self.runtime.block_on(self.client.query_one(text, &[])).expect("an answer");
        let live: String = asked("SELECT live FROM foldlog.collections WHERE name = 'notes'").get(0);
        self.marks = asked(&format!("SELECT marks FROM {live} ORDER BY epoch DESC LIMIT 1")).get(0);
    }

    fn bunch(&mut self, doing: Doing, place: u64) {
        let version = match doing {
            Doing::Create => 1,
            Doing::Update => 2,
            Doing::Patch => 3,
        };
        let all = || 0..self.rows;
        let ids: Vec<Uuid> = all().map(|row| id(place, row)).collect();
        let epochs: Vec<i64> = (self.epoch + 1..).zip(all()).map(|(epoch, _)| epoch).collect();
        let states: Vec<String> = all().map(|row| state(place, row, version)).collect();
        let bytes: Vec<i32> = states.iter().map(|state| i32::try_from(state.len()).unwrap_or(0)).collect();
        let marks: Vec<&[u8]> = all().map(|_| self.marks.as_slice()).collect();
        let replicas: Vec<Uuid> = all().map(|_| Uuid::from_u128(7)).collect();
        let bunches: Vec<i64> = all().map(|_| 1).collect();
        let titles: Vec<String> = all().map(|row| format!("\"{}\"", title(place, row))).collect();
        let folders: Vec<Uuid> = all().map(folder).collect();
        self.epoch += i64::try_from(self.rows).unwrap_or(0);
        let given: [&(dyn ToSql + Sync); 9] =
            [&ids, &epochs, &bytes, &states, &marks, &replicas, &bunches, &titles, &folders];
        let said = self.client.execute(&self.upsert, &given);
        let written = self.runtime.block_on(said).expect("an upsert");
        assert_eq!(written, self.rows);
    }
}
