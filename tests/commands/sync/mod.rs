//! The command as its user meets it over a network: a server, two devices, and a server that dies at any moment.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod https;
mod served;

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use foldlog::algebra::{CollectionName, EntityKey, Operation, State};
use foldlog::client::{Connection, Credentials, Driver, Options};
use foldlog::journal::{self, Durability};
use foldlog::replica::Replica;
use foldlog::{Uuid, sync};
use served::{Served, done, foldlog, refused};

const LISTENING_MAX: Duration = Duration::from_secs(20);

#[test]
fn two_devices_of_an_account_end_up_alike_and_what_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let served = Served::at(folder, "127.0.0.1:0");
    let token = done(folder, &["token", "create", "anna"]);
    std::fs::write(folder.join("anna.token"), &token).unwrap();
    let sync = |replica: &str| {
        let args =
            ["sync", replica, "--url", &served.url, "--token-file", "anna.token", "--compare", "--json"];
        serde_json::from_str::<serde_json::Value>(&done(folder, &args)).unwrap()
    };
    done(folder, &["replica", "init", "phone"]);
    done(folder, &["replica", "init", "laptop"]);
    let id = done(folder, &["replica", "put", "phone", "notes", r#"{"title":"milk"}"#]);
    let note = format!("notes/{}", id.trim());
    let first = sync("phone");
    assert_eq!((first["sent"].as_u64(), first["same"].as_bool()), (Some(1), Some(true)));
    assert_eq!(sync("laptop")["rows"], 1);
    done(folder, &["replica", "delete", "phone", &note]);
    done(folder, &["replica", "patch", "laptop", &note, r#"{"done":true}"#]);
    sync("phone");
    sync("laptop");
    sync("phone");
    for replica in ["phone", "laptop"] {
        let state = done(folder, &["replica", "get", replica, &note]);
        assert_eq!(state.trim(), r#"{"done":true,"title":"milk"}"#, "construction prevails on demolition");
    }
    // What a person does wrong.
    let url = served.url.as_str();
    for (args, says, code) in [
        (&["sync", "phone", "--url", url][..], "FOLDLOG_TOKEN", 2),
        (&["sync", "phone", "--url", url, "--token", "x"], "refuses the credentials", 1),
        (&["sync", "phone", "--url", "localhost", "--token", "x"], "http://", 2),
        (&["sync", "nothing", "--url", url, "--token", "x"], "replica init", 1),
        (&["sync", "phone", "--url", "http://127.0.0.1:1", "--token", "x"], "nobody answers", 1),
        (&["serve", "--listen", "127.0.0.1:0"], "open elsewhere", 1),
        (&["token", "revoke", "nothing"], "token list", 1),
    ] {
        let (said, found) = refused(folder, args);
        assert!(said.contains(says) && found == Some(code), "{args:?}: {found:?} {said}");
    }
    // Once the token is revoked nobody gets in with it, without a restart.
    let listed = done(folder, &["token", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!(listed["account"], "anna");
    done(folder, &["token", "revoke", listed["id"].as_str().unwrap()]);
    refused(folder, &["sync", "phone", "--url", url, "--token-file", "anna.token"]);
}

/// `{"sub":"anna","exp":4102444800,"aud":"notes","iss":"login"}`, signed by HS256 and the secret below.
const SIGNED: &str = "\
    eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwLCJhdWQiOiJub3RlcyI\
    sImlzcyI6ImxvZ2luIn0.wKW-ZVByx_jmZf4lHYz7C8kdHAR8CjAh1T7BynWF360";

#[test]
fn who_has_a_token_that_another_program_signed_syncs_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let serve =
        ["--listen", "127.0.0.1:0", "--jwt-key", "login.key", "--jwt-audience", "notes", "--jwt-issuer"];
    let (said, code) = refused(folder, &[&["serve"], &serve[..], &["login"]].concat());
    assert!(said.contains("login.key") && code == Some(1), "{said}");
    assert!(!folder.join("authority.redb").exists());
    std::fs::write(folder.join("login.key"), "too short").unwrap();
    let (said, _) = refused(folder, &[&["serve"], &serve[..], &["login"]].concat());
    assert!(said.contains("login.key") && said.contains("32 bytes"), "{said}");
    let (said, code) = refused(folder, &["serve", "--jwt-audience", "notes"]);
    assert!(said.contains("--jwt-key") && code == Some(2), "{said}");
    std::fs::write(folder.join("login.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(folder.join("token"), SIGNED).unwrap();
    done(folder, &["replica", "init", "phone"]);
    done(folder, &["replica", "put", "phone", "notes", r#"{"title":"milk"}"#]);
    for (issuer, is_good) in [("another", false), ("login", true)] {
        let served = Served::with(folder, &[&serve[..], &[issuer]].concat());
        let sync = ["sync", "phone", "--url", &served.url, "--token-file", "token"];
        assert_eq!(foldlog(folder, &sync).status.success(), is_good, "{issuer}");
    }
}

#[test]
fn a_server_that_is_killed_at_any_moment_loses_nothing_that_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The same address after every death.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let token = done(folder, &["token", "create", "anna"]);
    let device = || {
        let replica = Replica::in_memory(journal::Options::new()).unwrap();
        let url = format!("http://{address}").parse().unwrap();
        let credentials = Credentials::token(token.trim()).unwrap();
        let connection = Connection::new(url, credentials, Options::new()).unwrap();
        Driver::new(replica, sync::Options::default(), connection)
    };
    let (mut phone, mut laptop) = (device(), device());
    let notes = CollectionName::new("notes").unwrap();
    let mut written = 0;
    let mut acknowledged = 0;
    for round in 0..12_u64 {
        let served = Served::at(folder, &address);
        let new: Vec<Operation> = (0..50)
            .map(|n| {
                let id = Uuid::from_u128(u128::from(round * 50 + n + 1));
                let state = State::from_json(&format!(r#"{{"n":{n},"round":{round}}}"#)).unwrap();
                Operation::create(EntityKey::new(notes.clone(), id).unwrap(), state)
            })
            .collect();
        phone.replica().commit(&new, Durability::Durable).unwrap();
        written += new.len();
        // Killed while it works, a little later each time.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(round * 2));
            drop(served);
        });
        if let Ok(synced) = phone.sync() {
            acknowledged += synced.operations_sent;
        }
        killer.join().unwrap();
    }
    let _served = Served::at(folder, &address);
    let begun = Instant::now();
    let mut synced = phone.compare();
    while synced.is_err() && begun.elapsed() < LISTENING_MAX {
        synced = phone.compare();
    }
    assert_eq!(synced.unwrap().is_same(), Some(true));
    assert_eq!(laptop.compare().unwrap().is_same(), Some(true));
    assert_eq!(laptop.replica().list(&notes).unwrap().len(), written);
    assert_eq!(phone.replica().unsent().unwrap(), []);
    println!("{acknowledged} of {written} operations were acknowledged before a death, none was lost");
}

#[test]
fn where_the_authority_takes_less_at_once_more_requests_go_and_what_is_too_long_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let args = ["--listen", "127.0.0.1:0", "--max-body-bytes", "100000", "--max-operations", "70"];
    let served = Served::with(folder, &args);
    std::fs::write(folder.join("token"), done(folder, &["token", "create", "anna"])).unwrap();
    done(folder, &["replica", "init", "phone"]);
    let replica = Replica::open(folder.join("phone"), journal::Options::new()).unwrap();
    // Text that packs badly, so that what is packed is too long as well: the server answers before it has all.
    let mut random = blake3::Hasher::new();
    let mut note = |bytes: usize| {
        random.update(b"more");
        let mut text = vec![0; bytes / 2];
        random.finalize_xof().fill(&mut text);
        let text: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = Uuid::new_v4();
        let key = EntityKey::new(CollectionName::new("notes").unwrap(), id).unwrap();
        (id, Operation::create(key, State::from_json(&format!(r#"{{"text":"{text}"}}"#)).unwrap()))
    };
    let mut all: Vec<Operation> = (0..400).map(|_| note(4_000).1).collect();
    let (long, operation) = note(300_000);
    all.push(operation);
    replica.commit(&all, Durability::Durable).unwrap();
    drop(replica);
    let args = ["sync", "phone", "--url", &served.url, "--token-file", "token", "--json"];
    let synced: serde_json::Value = serde_json::from_str(&done(folder, &args)).unwrap();
    assert_eq!((synced["sent"].as_u64(), synced["parked"].as_u64()), (Some(400), Some(1)), "{synced}");
    let parked = done(folder, &["parked", "phone"]);
    assert!(parked.contains(&long.to_string()) && parked.contains("takes at once"), "{parked}");
    done(folder, &["replica", "init", "laptop"]);
    done(folder, &["sync", "laptop", "--url", &served.url, "--token-file", "token"]);
    assert_eq!(done(folder, &["replica", "list", "laptop"]).lines().count(), 400);
}

#[cfg(unix)]
#[test]
fn more_clients_may_be_connected_than_a_program_is_given_files_at_first() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    let folder = tempfile::tempdir().unwrap();
    let limited =
        format!("ulimit -S -n 64 && exec {:?} serve --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_foldlog"));
    let mut shell = Command::new("sh");
    shell.current_dir(folder.path()).args(["-c", &limited]);
    let served = Served::of(&mut shell);
    let address = served.url.strip_prefix("http://").unwrap();
    let mut open = Vec::new();
    for n in 0..200 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let mut piece = [0; 12];
        stream.read_exact(&mut piece).unwrap_or_else(|error| panic!("connection {n}: {error}"));
        assert_eq!(&piece, b"HTTP/1.1 200");
        open.push(stream);
    }
}

#[test]
fn an_address_that_cannot_be_listened_on_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, todo) in [
        (taken.as_str(), "another server"),
        ("nonsense", "such as 127.0.0.1:8470"),
        ("192.0.2.1:1", "such as"),
    ] {
        let (said, code) = refused(folder.path(), &["serve", "--listen", address]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(address) && said.contains(todo), "{said}");
    }
}
