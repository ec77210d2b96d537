//! Devices that come with signed tokens.

use std::sync::Arc;

use foldlog::algebra::Schema;
use foldlog::authority::{Account, MemoryAuthority};
use foldlog::codec::wire::Event;
use foldlog::journal::Durability;
use foldlog::server::{FileOrJwt, Jwt, JwtExpected, Options, TokenFile, serve};
use foldlog::sync::Compared;

use super::http::Client;
use super::now;
use super::sync::{create, engine, key, sync};

/// Made by OpenSSL.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAcx7QxKi5/D12+Ny0iIlTv7ya64DWTXFqyw/6+W8OSJg=\n-----END PUBLIC KEY-----\n";

/// `{"sub":"anna","exp":4102444800}`.
const TOKEN: &str = "\
    eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm5hIiwiZXhwIjo0MTAyNDQ0ODAwfQ.AjaWCTjpXlbNdC7-\
    4sX7u2fUN6Fs7wjBdYXpmH9FCe1tu9qguyCXo7b1bjfiw1khvgSIC49u9eG63e-MpIstDQ";

#[test]
fn a_signed_token_speaks_for_its_subject_and_an_erased_account_begins_anew_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("login.pem");
    std::fs::write(&path, KEY).unwrap();
    let jwt = Jwt::read(path, JwtExpected::default()).unwrap();
    let file = TokenFile::new(folder.path().join("tokens"));
    let issued = file.issue(&Account::new("anna").unwrap(), now(), None).unwrap().bearer;
    let authority = Arc::new(MemoryAuthority::new(Schema::default()));
    let tokens = Arc::new(FileOrJwt { file, jwt });
    let server = serve("127.0.0.1:0", authority, tokens, Options::default(), None).unwrap();
    let (signed, kept) =
        (Client::new(server.address(), TOKEN.to_owned()), Client::new(server.address(), issued));
    // Both tokens are of one account.
    let (mut phone, mut laptop) = (engine(), engine());
    phone.replica().commit(&[create(1), create(2)], Durability::Durable).unwrap();
    sync(&mut phone, &signed);
    sync(&mut laptop, &kept);
    assert_eq!(laptop.replica().list(key(1).collection()).unwrap().len(), 2);
    let bent = TOKEN.replacen("eyJz", "eyJy", 1);
    assert_ne!(bent, TOKEN);
    assert_eq!(signed.with(&bent).get("/v1/digests").status, 401);

    let mut stream = signed.listen(None);
    phone.replica().commit(&[create(3)], Durability::Durable).unwrap();
    assert_eq!(signed.send("DELETE", "/v1/account", &[], b"").status, 204);
    assert_eq!(kept.get("/v1/digests").status, 401, "what is kept of tokens is gone");
    assert_eq!(signed.get("/v1/digests").text(), r#"{"collections":{}}"#, "what was signed stays signed");
    assert!(matches!(stream.next_told(), Some(Event::Resync { .. })), "who listens is told to begin anew");
    assert_eq!(sync(&mut phone, &signed), Compared::default());
    let live: Vec<_> =
        phone.replica().list(key(1).collection()).unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(live, [key(3).id()], "what was unsent, and nothing that was erased");
}
