//! Tokens by hand: good ones of every algorithm, and all that is wrong with the others.

mod made;

use ring::hmac;

use super::*;
use crate::server::TokenFile;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const NOW_S: u64 = 1_800_000_000;
const NOW: Millis = Millis(NOW_S * 1_000);

fn jwt_of(key: impl AsRef<[u8]>, expected: JwtExpected) -> Result<Jwt, JwtKeyError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt.key");
    std::fs::write(&path, key).unwrap();
    Jwt::read(path, expected)
}

fn jwt(key: impl AsRef<[u8]>) -> Jwt {
    jwt_of(key, JwtExpected::default()).unwrap()
}

/// As RFC 4648 has it for URLs, without padding.
fn base64(bytes: impl AsRef<[u8]>) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let of = |three: &[u8]| {
        let bits = three
            .iter()
            .chain([0; 2].iter().skip(three.len() - 1))
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        (0..=three.len()).map(|n| char::from(letters[bits >> (18 - 6 * n) & 63])).collect::<String>()
    };
    bytes.as_ref().chunks(3).map(of).collect()
}

/// A token that is signed by a shared secret, whatever its header says.
fn token(header: &str, claims: &str, secret: &[u8]) -> String {
    let said = format!("{}.{}", base64(header), base64(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), said.as_bytes());
    format!("{said}.{}", base64(signature))
}

fn claims(claims: &str) -> String {
    token(r#"{"alg":"HS256","typ":"JWT"}"#, claims, SECRET.as_bytes())
}

fn why(jwt: &Jwt, token: &str) -> String {
    jwt.check(token, NOW).unwrap_err().to_string()
}

#[test]
fn what_others_signed_by_each_algorithm_is_understood_and_none_by_another_key() {
    let all = [
        (made::RSA, made::RSA_TOKEN, "RS256"),
        (made::P256, made::P256_TOKEN, "ES256"),
        (made::ED25519, made::ED25519_TOKEN, "EdDSA"),
    ];
    for (key, token, algorithm) in all {
        let jwt = jwt(key);
        assert_eq!((jwt.algorithm(), jwt.check(token, NOW).unwrap().as_str()), (algorithm, "anna"));
        for (_, of_another, other) in all.iter().filter(|(_, _, other)| *other != algorithm) {
            let why = why(&jwt, of_another);
            assert!(why.contains("another algorithm") && why.contains(algorithm), "{other}: {why}");
        }
        // Every part is signed; a last character may hold bits that mean nothing.
        for at in (0..token.len() - 2).step_by(7).filter(|at| token.as_bytes()[*at] != b'.') {
            let mut bent = token.as_bytes().to_vec();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(jwt.check(std::str::from_utf8(&bent).unwrap(), NOW).is_err(), "byte {at}");
        }
        assert!(why(&jwt, token.rsplit_once('.').unwrap().0).contains("no JWT"));
        assert!(why(&jwt, &format!("{}.", token.rsplit_once('.').unwrap().0)).contains("signature"));
    }
}

#[test]
fn what_standards_show_is_checked_as_they_say() {
    // RFC 7515, A.1: signed well, but it names nobody.
    let secret: &[u8] = &[
        3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84,
        201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195,
        119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
    ];
    let shown = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm\
                 NvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert!(why(&jwt(secret), shown).contains("`sub`"));
    assert!(why(&jwt(SECRET), shown).contains("signature"));
    // RFC 7519, 6.1, and RFC 8725, 2.1: a token that nobody signed, and one that is signed by what everybody knows.
    let claims = r#"{"sub":"anna","exp":4102444800}"#;
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(claims));
    for key in [SECRET, made::RSA, made::P256, made::ED25519] {
        let jwt = jwt(key);
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"None"}"#, r#"{"alg":""}"#, "{}"] {
            let (_, rest) = unsigned.split_once('.').unwrap();
            assert!(why(&jwt, &format!("{}.{rest}", base64(header))).contains("no JWT"), "{header}");
        }
        if key == SECRET {
            continue;
        }
        for known in [key.as_bytes(), key.trim().as_bytes()] {
            let forged = token(r#"{"alg":"HS256"}"#, claims, known);
            assert!(why(&jwt, &forged).contains("another algorithm"));
            let forged = token(&format!(r#"{{"alg":"{}"}}"#, jwt.algorithm()), claims, known);
            assert!(why(&jwt, &forged).contains("signature"));
        }
    }
    // RFC 7515, 4.1.11: what is critical and not known makes a token no good.
    let critical = token(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, claims, SECRET.as_bytes());
    assert!(why(&jwt(SECRET), &critical).contains("crit"));
    let another_hash = token(r#"{"alg":"HS512"}"#, claims, SECRET.as_bytes());
    assert!(why(&jwt(SECRET), &another_hash).contains("another algorithm"));
}

#[test]
fn a_token_is_good_while_it_says_so_give_or_take_the_clocks() {
    let jwt = jwt(SECRET);
    let good =
        |text: &str, s: u64| jwt.check(&claims(text), Millis(s * 1_000)).map(|account| account.to_string());
    let until = format!(r#"{{"sub":"anna","exp":{NOW_S}}}"#);
    assert_eq!(good(&until, NOW_S + JWT_LEEWAY_S - 1).unwrap(), "anna");
    let over = good(&until, NOW_S + JWT_LEEWAY_S).unwrap_err().to_string();
    assert!(over.contains("get another one"), "{over}");
    let from = format!(r#"{{"sub":"anna","exp":4102444800,"nbf":{NOW_S}.5}}"#);
    assert_eq!(good(&from, NOW_S - JWT_LEEWAY_S + 1).unwrap(), "anna");
    let early = good(&from, NOW_S - JWT_LEEWAY_S).unwrap_err().to_string();
    assert!(early.contains("clocks"), "{early}");
    for at in [0, 1, u64::MAX / 1_000] {
        assert_eq!(good(r#"{"sub":"anna","exp":1e300}"#, at).unwrap(), "anna");
    }
    for exp in ["0", "-1", "-1e300"] {
        assert!(good(&format!(r#"{{"sub":"anna","exp":{exp}}}"#), NOW_S).is_err(), "{exp}");
    }
}

#[test]
fn what_a_token_does_not_say_or_says_wrong_is_named() {
    let jwt = jwt(SECRET);
    for (text, named) in [
        (r#"{"exp":4102444800}"#, "`sub`"),
        (r#"{"sub":null,"exp":4102444800}"#, "`sub`"),
        (r#"{"sub":7,"exp":4102444800}"#, "no JWT"),
        (r#"{"sub":"anna"}"#, "`exp`"),
        (r#"{"sub":"anna","exp":"4102444800"}"#, "no JWT"),
        (r#"{"sub":"anna","exp":4102444800,"nbf":"x"}"#, "no JWT"),
        (r#"{"sub":"anna","sub":"ben","exp":4102444800}"#, "no JWT"),
        (r#"{"sub":"","exp":4102444800}"#, "account"),
        (r#"{"sub":"a\u0000b","exp":4102444800}"#, "account"),
        ("[]", "no JWT"),
        ("", "no JWT"),
    ] {
        let why = why(&jwt, &claims(text));
        assert!(why.contains(named), "{text}: {why}");
    }
    let long = format!(r#"{{"sub":"{}","exp":4102444800}}"#, "x".repeat(256));
    assert!(why(&jwt, &claims(&long)).contains("account"));
    let large = format!(r#"{{"sub":"anna","exp":4102444800,"x":"{}"}}"#, "x".repeat(JWT_BYTES_MAX));
    assert!(why(&jwt, &claims(&large)).contains("at most 8192 bytes"));
    for odd in ["", ".", "..", "...", "a.b.c", "ä.ä.ä", "e30.e30.e30", &"=".repeat(100)] {
        assert!(why(&jwt, odd).contains("no JWT"), "{odd}");
    }
}

#[test]
fn a_token_for_another_server_or_by_another_signer_is_refused() {
    let with = |audience: Option<&str>, issuer: Option<&str>| {
        let expected =
            JwtExpected { audience: audience.map(str::to_owned), issuer: issuer.map(str::to_owned) };
        jwt_of(SECRET, expected).unwrap()
    };
    let said = |more: &str| claims(&format!(r#"{{"sub":"anna","exp":4102444800{more}}}"#));
    let (plain, named, of) = (with(None, None), with(Some("notes"), None), with(None, Some("login")));
    for more in [r#","aud":"notes""#, r#","aud":["mail","notes"]"#] {
        assert!(named.check(&said(more), NOW).is_ok(), "{more}");
        // Who has no name is not meant.
        assert!(why(&plain, &said(more)).contains("--jwt-audience"), "{more}");
    }
    for more in
        [r#","aud":"mail""#, r#","aud":["mail"]"#, r#","aud":"""#, r#","aud":[]"#, r#","aud":"Notes""#]
    {
        assert!(why(&named, &said(more)).contains("--jwt-audience"), "{more}");
    }
    for more in ["", r#","aud":7"#, r#","aud":null"#] {
        assert!(why(&named, &said(more)).contains("`aud`"), "{more}");
    }
    assert!(of.check(&said(r#","iss":"login""#), NOW).is_ok());
    assert!(plain.check(&said(r#","iss":"login""#), NOW).is_ok());
    assert!(why(&of, &said(r#","iss":"another""#)).contains("--jwt-issuer"));
    assert!(why(&of, &said("")).contains("`iss`"));
}

#[test]
fn a_file_that_holds_no_key_is_named_with_what_to_do() {
    let body = made::RSA.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
    let cut = made::P256.replace("MFkw", "MFgw");
    for (key, todo) in [
        (private.as_bytes(), "-pubout"),
        (made::P384.as_bytes(), "P-256"),
        (made::RSA_SHORT.as_bytes(), "2048"),
        (cut.as_bytes(), "not whole"),
        (b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "no PUBLIC KEY"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "x509"),
        (body.as_bytes(), "not in PEM"),
        (br#"{"keys":[{"kty":"RSA","n":"0123456789abcdef0123456789"}]}"#, "not in PEM"),
        (&[&[0x30, 34][..], &[7; 34]].concat(), "not in PEM"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ anna@host", "not in PEM"),
        (b"", "32 bytes"),
        (b"0123456789abcdef0123456789abcde\n", "32 bytes"),
        (&[b'x'; 70_000], "larger"),
    ] {
        let error = jwt_of(key, JwtExpected::default()).unwrap_err().to_string();
        assert!(error.contains("jwt.key") && error.contains(todo), "{todo}: {error}");
    }
    let error = Jwt::read("/nowhere/jwt.key", JwtExpected::default()).unwrap_err();
    assert!(
        matches!(&error, JwtKeyError::Io { .. }) && error.to_string().contains("/nowhere/jwt.key"),
        "{error}"
    );
    // A line feed at the end is none of a secret.
    let token = claims(r#"{"sub":"anna","exp":4102444800}"#);
    assert!(jwt(format!("{SECRET}\r\n")).check(&token, NOW).is_ok());
    // Nor does a key show where somebody prints it.
    assert_eq!(format!("{:?}", jwt(SECRET)), "Jwt(HS256)");
}

#[test]
fn what_begins_as_a_token_of_the_file_is_looked_up_there_alone() {
    let folder = tempfile::tempdir().unwrap();
    let both = FileOrJwt { file: TokenFile::new(folder.path().join("tokens")), jwt: jwt(SECRET) };
    let (anna, ben) = (Account::new("anna").unwrap(), Account::new("ben").unwrap());
    let issued = both.file.issue(&ben, NOW, None).unwrap().bearer;
    let signed = claims(r#"{"sub":"anna","exp":4102444800}"#);
    let whose = |bearer: &str| both.account_of(bearer, NOW).unwrap();
    assert_eq!((whose(&issued), whose(&signed)), (Some(ben.clone()), Some(anna.clone())));
    assert_eq!(whose(&format!("foldlog_{signed}")), None);
    both.revoke_all(&ben).unwrap();
    both.revoke_all(&anna).unwrap();
    assert_eq!((whose(&issued), whose(&signed)), (None, Some(anna)));
}
