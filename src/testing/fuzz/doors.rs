//! Hostile bytes where a client and a server meet others: packed bodies, files of tokens and keys, tokens, addresses.

use super::scratch::Scratch;
use crate::algebra::Millis;
use crate::client::{Address, Credentials, arrived};
use crate::server::{Jwt, JwtExpected, TokenFile, Tokens, unpacked};

/// No body has more bytes than this here, however small it is packed.
const BYTES_MAX: usize = 64 * 1024;
/// A secret that both sides share.
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Millis = Millis(1_700_000_000_000);

/// Reads arbitrary bytes as one of these: the first says as which.
///
/// # Panics
/// If a body is longer than it may be or depends on the pieces in which it comes, a refusal does not name its file, or
/// a token that nobody signed is good.
pub fn doors(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    match which % 5 {
        0 => bodies(rest),
        1 => tokens(rest),
        2 => keys(rest),
        3 => signed(rest),
        _ => addresses(rest),
    }
}

fn bodies(data: &[u8]) {
    let there = unpacked(data, BYTES_MAX);
    assert!(there.is_none_or(|text| text.len() <= BYTES_MAX), "a body is longer than it may be");
    for encoding in [None, Some("gzip")] {
        let whole = arrived(encoding, BYTES_MAX, [data]).ok();
        let pieces = arrived(encoding, BYTES_MAX, data.chunks(7)).ok();
        assert!(whole.as_ref().is_none_or(|body| body.len() <= BYTES_MAX), "a body is longer than it may be");
        assert_eq!(whole, pieces, "a body in pieces is another one");
    }
}

fn tokens(data: &[u8]) {
    let file = Scratch::new(data);
    let tokens = TokenFile::new(file.path());
    let named = |words: String| assert!(words.contains(&file.path().display().to_string()), "{words}");
    match tokens.list() {
        Ok(all) => {
            for token in all {
                let guessed = format!("foldlog_{}_{}", token.id, "0".repeat(64));
                let account = tokens.account_of(&guessed, NOW).ok().flatten();
                assert_eq!(account, None, "nobody was given {guessed}");
            }
        }
        Err(error) => named(error.to_string()),
    }
    assert!(std::fs::read(file.path()).is_ok_and(|now| now == data), "reading tokens changed them");
}

fn keys(data: &[u8]) {
    let file = Scratch::new(data);
    match Jwt::read(file.path(), JwtExpected::default()) {
        Ok(jwt) => assert!(jwt.check("e30.e30.", NOW).is_err(), "nobody signed this"),
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains(&file.path().display().to_string()), "{words}");
        }
    }
}

/// Nobody guesses a signature.
fn signed(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let file = Scratch::new(SECRET);
    let jwt = Jwt::read(file.path(), JwtExpected::default()).expect("a secret that is long enough");
    let refused = jwt.check(token, NOW).expect_err("nobody signed this");
    assert!(!refused.to_string().is_empty());
}

fn addresses(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Credentials::token(text);
    if let Ok(address) = text.parse::<Address>() {
        let again = address.to_string().parse::<Address>();
        assert_eq!(again.ok(), Some(address), "{text} is written and read as another address");
    }
}
