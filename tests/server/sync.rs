//! Devices that sync over connections.

use foldlog::Uuid;
use foldlog::algebra::{Answer, Ask, CollectionName, EntityKey, Millis, Operation, Patch, State};
use foldlog::journal::{Durability, Options};
use foldlog::replica::Replica;
use foldlog::sync::{self, Compared, Engine, Next, Taken, Want};

use super::Server;
use super::http::Client;

pub(crate) fn key(n: u128) -> EntityKey {
    EntityKey::new(CollectionName::new("notes").unwrap(), Uuid::from_u128(n)).unwrap()
}

pub(crate) fn create(n: u128) -> Operation {
    Operation::create(key(n), State::from_json(&format!(r#"{{"n":{n},"title":"note {n}"}}"#)).unwrap())
}

pub(crate) fn engine() -> Engine {
    Engine::new(
        Replica::in_memory(Options::new()).unwrap(),
        sync::Options { rows_max: 50, ..sync::Options::default() },
    )
}

/// Syncs, and compares what is live on both sides.
pub(crate) fn sync(engine: &mut Engine, client: &Client) -> Compared {
    engine.want_only(Want { compare: true, ..Want::SYNC });
    let mut last = None;
    for now in 0.. {
        let Next::Ask(request) = engine.next(Millis(now)).unwrap() else { break };
        let answer = client.ask(&request.ask).unwrap();
        if let Taken::Compared(compared) = engine.answer(request.number, answer, Millis(now), 7).unwrap() {
            last = Some(compared);
        }
    }
    last.unwrap()
}

#[test]
fn two_devices_end_up_with_what_the_server_holds() {
    let server = Server::new();
    let client = server.client("anna");
    let (mut phone, mut laptop) = (engine(), engine());
    let all: Vec<Operation> = (1..=120).map(create).collect();
    phone.replica().commit(&all, Durability::Durable).unwrap();
    assert_eq!(sync(&mut phone, &client), Compared::default());
    assert_eq!(sync(&mut laptop, &client), Compared::default());
    assert_eq!(laptop.replica().list(key(1).collection()).unwrap().len(), 120);
    // Both without a network.
    let patch = Patch::from_json(r#"{"done":true}"#).unwrap();
    phone.replica().commit(&[Operation::delete(key(1))], Durability::Durable).unwrap();
    laptop.replica().commit(&[Operation::patch(key(1), patch)], Durability::Durable).unwrap();
    for _ in 0..2 {
        assert_eq!(sync(&mut phone, &client), Compared::default());
        assert_eq!(sync(&mut laptop, &client), Compared::default());
    }
    for device in [&phone, &laptop] {
        let note = device.replica().get(&key(1)).unwrap().unwrap();
        assert_eq!(note.as_json(), r#"{"done":true,"n":1,"title":"note 1"}"#);
    }
}

#[test]
fn a_bunch_that_comes_again_is_answered_as_it_was() {
    let server = Server::new();
    let client = server.client("anna");
    let mut engine = engine();
    sync(&mut engine, &client);
    engine.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    engine.want_only(Want::UP);
    let Next::Ask(request) = engine.next(Millis(0)).unwrap() else { panic!("nothing is asked") };
    let first = client.ask(&request.ask).unwrap();
    assert!(matches!(first, Answer::Delivered(_)));
    assert_eq!(client.ask(&request.ask).unwrap(), first);
    engine.answer(request.number, first, Millis(0), 7).unwrap();
    assert_eq!(sync(&mut engine, &client), Compared::default());
}

#[test]
fn what_one_account_holds_is_for_no_other_there() {
    let server = Server::new();
    let (anna, ben) = (server.client("anna"), server.client("ben"));
    let mut engine_of_anna = engine();
    engine_of_anna.replica().commit(&[create(1)], Durability::Durable).unwrap();
    sync(&mut engine_of_anna, &anna);
    let read = |client: &Client, n| client.ask(&Ask::Reads { keys: vec![key(n)] }).unwrap();
    assert!(matches!(read(&anna, 1), Answer::Rows(rows) if rows.len() == 1));
    // Her note is to him as one that never was.
    assert_eq!(read(&ben, 1), read(&ben, 99));
    let mut engine_of_ben = engine();
    sync(&mut engine_of_ben, &ben);
    assert_eq!(engine_of_ben.replica().known().unwrap(), []);
    // The same id and the same unique title are free for him.
    engine_of_ben.replica().commit(&[create(1)], Durability::Durable).unwrap();
    assert_eq!(sync(&mut engine_of_ben, &ben), Compared::default());
    assert_eq!(engine_of_ben.replica().conflicts().unwrap(), []);
}
