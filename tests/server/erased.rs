//! An account that is erased while others of it are at work: nothing of it is left, and nobody is sent away for good
//! before it is gone.

use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use foldlog::algebra::{Answer, Ask, Millis};
use foldlog::authority::{Account, Authority, Error, MemoryAuthority};
use foldlog::journal::Durability;
use foldlog::server::{Options, TokenError, Tokens};
use foldlog::sync::{Next, Want};

use super::http::{Client, PATIENCE, read};
use super::room::begun;
use super::sync::{create, engine};
use super::{Server, memory, now};

/// What waits until it is told to go on, the first time; told of by who comes there.
struct Door {
    came: mpsc::Sender<()>,
    goes_on: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Door {
    /// A door, who comes there, and what opens it.
    fn new() -> (Door, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let ((came, comes), (open, goes_on)) = (mpsc::channel(), mpsc::channel());
        (Door { came, goes_on: Mutex::new(Some(goes_on)) }, comes, open)
    }

    fn pass(&self) {
        let goes_on = self.goes_on.lock().unwrap().take();
        if let Some(goes_on) = goes_on {
            self.came.send(()).unwrap();
            let _ = goes_on.recv_timeout(PATIENCE);
        }
    }
}

/// An authority with doors: behind what is erased, and before what streams read.
#[derive(Default)]
struct Doors {
    memory: MemoryAuthority,
    erased: Option<Door>,
    read: Option<Door>,
}

impl Authority for Doors {
    fn answer(&self, account: &Account, now: Millis, ask: &Ask) -> Result<Answer, Error> {
        if let (Some(door), Ask::Changes { .. }) = (&self.read, ask) {
            door.pass();
        }
        self.memory.answer(account, now, ask)
    }

    fn erase(&self, account: &Account) -> Result<bool, Error> {
        let erased = self.memory.erase(account);
        self.erased.iter().for_each(Door::pass);
        erased
    }
}

fn anna() -> Account {
    Account::new("anna").unwrap()
}

/// The first bunch of a new device, which knows of no generation.
fn first_bunch() -> Ask {
    let mut device = engine();
    device.replica().commit(&[create(1)], Durability::Durable).unwrap();
    device.want_only(Want::UP);
    let Next::Ask(request) = device.next(now()).unwrap() else { panic!("nothing is asked") };
    assert!(matches!(request.ask, Ask::Deliver { generation: None, .. }), "{:?}", request.ask);
    request.ask
}

fn erase(client: &Client) -> u16 {
    client.send("DELETE", "/v1/account", &[], b"").status
}

#[test]
fn who_erases_and_hangs_up_lets_nobody_in_between() {
    let (door, comes, open) = Door::new();
    let authority = Arc::new(Doors { memory: memory(), erased: Some(door), ..Doors::default() });
    let server = Server::over(authority.clone(), Options::default(), |tokens| tokens);
    let (phone, laptop) = (server.client("anna"), server.client("anna"));
    let mut asking = phone.connect();
    let head =
        format!("DELETE /v1/account HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", phone.bearer);
    asking.write_all(head.as_bytes()).unwrap();
    comes.recv_timeout(PATIENCE).unwrap();
    drop(asking);
    // The data are gone, the tokens are not yet.
    let bunch = first_bunch();
    for _ in 0..20 {
        let answer = laptop.ask(&bunch).unwrap();
        assert!(!matches!(answer, Answer::Delivered(_)), "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    open.send(()).unwrap();
    while laptop.ask(&bunch).unwrap() != Answer::Unauthorised {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.tokens.list().unwrap(), []);
    assert!(!authority.memory.erase(&anna()).unwrap(), "there is an account again");
}

#[test]
fn who_erases_what_is_being_erased_is_told_to_come_again() {
    let (door, comes, open) = Door::new();
    let authority = Arc::new(Doors { memory: memory(), erased: Some(door), ..Doors::default() });
    let server = Server::over(authority, Options::default(), |tokens| tokens);
    let (phone, laptop) = (server.client("anna"), server.client("anna"));
    let first = std::thread::spawn(move || erase(&phone));
    comes.recv_timeout(PATIENCE).unwrap();
    let second = laptop.send("DELETE", "/v1/account", &[], b"");
    assert_eq!((second.status, second.header("retry-after")), (503, Some("1")));
    open.send(()).unwrap();
    assert_eq!((first.join().unwrap(), erase(&laptop)), (204, 401));
}

#[test]
fn a_stream_that_reads_while_its_account_is_erased_does_not_make_it_again() {
    let (door, comes, open) = Door::new();
    let authority = Arc::new(Doors { memory: memory(), read: Some(door), ..Doors::default() });
    let server = Server::over(authority.clone(), Options::default(), |tokens| tokens);
    let (phone, laptop) = (server.client("anna"), server.client("anna"));
    let listening = std::thread::spawn(move || laptop.listen(None).next_told());
    comes.recv_timeout(PATIENCE).unwrap();
    let erasing = std::thread::spawn(move || erase(&phone));
    std::thread::sleep(Duration::from_millis(300));
    open.send(()).unwrap();
    assert_eq!(erasing.join().unwrap(), 204);
    assert_eq!(listening.join().unwrap(), None);
    assert!(!authority.memory.erase(&anna()).unwrap(), "there is an account again");
}

/// Tokens whose account is erased, with them, while one of them is looked at.
struct Late {
    tokens: Arc<dyn Tokens>,
    authority: Arc<MemoryAuthority>,
    is_late: Arc<AtomicBool>,
}

impl Tokens for Late {
    fn account_of(&self, bearer: &str, now: Millis) -> Result<Option<Account>, TokenError> {
        let found = self.tokens.account_of(bearer, now)?;
        if self.is_late.swap(false, Ordering::SeqCst) {
            self.authority.erase(&anna()).unwrap();
            self.tokens.revoke_all(&anna())?;
        }
        Ok(found)
    }

    fn revoke_all(&self, account: &Account) -> Result<(), TokenError> {
        self.tokens.revoke_all(account)
    }
}

#[test]
fn who_came_before_its_account_was_erased_and_goes_in_after_is_refused() {
    let (authority, is_late) = (Arc::new(memory()), Arc::new(AtomicBool::new(false)));
    let late = (authority.clone(), is_late.clone());
    let server = Server::over(authority.clone(), Options::default(), |tokens| {
        Arc::new(Late { tokens, authority: late.0, is_late: late.1 })
    });
    let laptop = server.client("anna");
    is_late.store(true, Ordering::SeqCst);
    assert_eq!(laptop.ask(&first_bunch()).unwrap(), Answer::Unauthorised);
    assert!(!authority.erase(&anna()).unwrap(), "there is an account again");
}

#[test]
fn while_an_account_may_still_stay_its_devices_are_told_to_come_again() {
    let server = Server::with(Options { ending_ms_max: 1_000, ..Options::default() });
    let (phone, laptop) = (server.client("anna"), server.client("anna"));
    // One whose body does not come keeps the account from being erased.
    let mut slow = begun(&laptop);
    let erasing = std::thread::spawn(move || erase(&phone));
    std::thread::sleep(Duration::from_millis(300));
    let refused = laptop.get("/v1/digests");
    let streams = laptop.listen(None).status;
    assert_eq!((refused.status, refused.header("retry-after"), streams), (503, Some("1"), 503));
    assert_eq!(erasing.join().unwrap(), 429);
    assert_eq!(laptop.get("/v1/digests").status, 200);
    slow.write_all(br#"{"cursors":{}}"#).unwrap();
    assert_eq!(read(&mut BufReader::new(slow)).unwrap().status, 200);
}
