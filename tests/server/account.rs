//! An account that is erased.

use foldlog::algebra::Ask;
use foldlog::codec::wire::Event;
use foldlog::journal::Durability;
use foldlog::sync::{Compared, Next, Want};

use super::Server;
use super::now;
use super::sync::{create, engine, key, sync};

#[test]
fn an_erased_account_is_gone_with_its_tokens_and_a_stale_client_does_not_bring_it_back() {
    let server = Server::new();
    let (anna, ben) = (server.client("anna"), server.client("ben"));
    let mut device = engine();
    device.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    sync(&mut device, &anna);
    let mut stream = anna.listen(None);
    let response = anna.send("DELETE", "/v1/account", &[], b"");
    assert_eq!((response.status, response.text().as_str()), (204, ""));
    // Its tokens are good for nothing, and its streams end.
    assert_eq!(anna.get("/v1/digests").status, 401);
    while let Some(event) = stream.next_told() {
        // One that was just beginning may still say that what it knew is gone.
        assert!(matches!(event, Event::Resync { .. }), "{event:?}");
    }
    assert!(server.tokens.list().unwrap().iter().all(|token| token.account == "ben"));
    assert_eq!(ben.get("/v1/digests").status, 200);
    // The stale device stops, with all that it has.
    device.replica().commit(&[create(3)], Durability::Durable).unwrap();
    device.want_only(Want::SYNC);
    let Next::Ask(request) = device.next(now()).unwrap() else { panic!("nothing is asked") };
    device.answer(request.number, anna.ask(&request.ask).unwrap(), now(), 7).unwrap();
    assert_eq!(device.next(now()).unwrap(), Next::Unauthorised);
    // Under the same name there is another account, where nothing is.
    let anew = server.client("anna");
    let rows = anew.ask(&Ask::Reads { keys: vec![key(1), key(2)] }).unwrap();
    assert_eq!(rows, foldlog::algebra::Answer::Rows(Vec::new()));
    device.authorised().unwrap();
    assert_eq!(sync(&mut device, &anew), Compared::default());
    let live: Vec<_> =
        device.replica().list(key(1).collection()).unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(live, [key(3).id()], "what was unsent, and nothing that was erased");
}
