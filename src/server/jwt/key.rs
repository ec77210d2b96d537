//! The key that tokens are checked by, as it stands in a file. What it is decides the algorithm.
//!
//! Never takes something public for a shared secret: whoever can read it could sign.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// The most bytes of a key's file: several times the largest RSA key in PEM.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The least bytes of a shared secret: as many as the hash has (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// The least bytes of an RSA modulus: 2048 bits (RFC 7518, 3.3).
const RSA_BYTES_MIN: usize = 256;

/// And the most that can be checked: 8192 bits.
const RSA_BYTES_MAX: usize = 1_024;

/// How public keys begin that are not in PEM: as JSON, as base64 of what PEM holds, as OpenSSH has them.
const PUBLIC: [&str; 8] = ["{", "[", "MII", "MIG", "MFkw", "MCow", "ssh-", "ecdsa-sha2-"];

/// What kind of key it is, as X.509 names it: the inside of `AlgorithmIdentifier`.
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const P256: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// Why a file holds no key to check tokens by.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwtKeyError {
    /// It cannot be read.
    #[error("the key of JWTs in {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("the key of JWTs in {path}: {why}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: &'static str,
    },
}

/// Reads a key, and says which algorithm it is for.
pub(super) fn read(path: &Path) -> Result<(Algorithm, DecodingKey), JwtKeyError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let size = read.map_err(|source| JwtKeyError::Io { path: path.to_owned(), source })?;
    let key = if u64::try_from(size).is_ok_and(|size| size <= FILE_BYTES_MAX) {
        key(&bytes)
    } else {
        Err("this is larger than any key; a public key in PEM or a shared secret is needed")
    };
    key.map_err(|why| JwtKeyError::Key { path: path.to_owned(), why })
}

/// An algorithm's name.
pub(super) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "none",
    }
}

fn key(bytes: &[u8]) -> Result<(Algorithm, DecodingKey), &'static str> {
    let is_pem = bytes.windows(10).any(|window| window == b"-----BEGIN");
    if is_pem { public(bytes) } else { secret(bytes) }
}

fn public(pem: &[u8]) -> Result<(Algorithm, DecodingKey), &'static str> {
    if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
        return Err(
            "this is a private key: leave it where tokens are signed, and give the server its public one \
                    (openssl pkey -in KEY -pubout)",
        );
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(
        |_| "there is no PUBLIC KEY in it; of a certificate it is `openssl x509 -in FILE -noout -pubkey`",
    )?;
    let shape = "the PUBLIC KEY in it is not whole";
    let (outer, rest) = tagged(SEQUENCE, &der).ok_or(shape)?;
    let (kind, key) = tagged(SEQUENCE, outer).ok_or(shape)?;
    let (key, behind) = tagged(BIT_STRING, key).ok_or(shape)?;
    // A string of bits begins with how many of its last byte are none of it.
    let key = key.strip_prefix(&[0]).filter(|_| rest.is_empty() && behind.is_empty()).ok_or(shape)?;
    match kind {
        RSA => {
            let bytes = modulus_bytes(key).ok_or(shape)?;
            if !(RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&bytes) {
                return Err("an RSA key has 2048 to 8192 bits; make another one");
            }
            Ok((Algorithm::RS256, DecodingKey::from_rsa_der(key)))
        }
        P256 if key.len() == 65 && key.first() == Some(&4) => {
            Ok((Algorithm::ES256, DecodingKey::from_ec_der(key)))
        }
        ED25519 if key.len() == 32 => Ok((Algorithm::EdDSA, DecodingKey::from_ed_der(key))),
        P256 | ED25519 => Err(shape),
        _ => Err("the public key is neither RSA (RS256) nor on P-256 (ES256) nor Ed25519 (EdDSA)"),
    }
}

fn secret(bytes: &[u8]) -> Result<(Algorithm, DecodingKey), &'static str> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let is_der = tagged(SEQUENCE, bytes).is_some_and(|(_, rest)| rest.is_empty());
    let begin = bytes.trim_ascii_start();
    if is_der || PUBLIC.iter().any(|public| begin.starts_with(public.as_bytes())) {
        return Err(
            "this looks like a public key that is not in PEM, and as a shared secret everybody would know it; \
                    write it as PEM (-----BEGIN PUBLIC KEY-----)",
        );
    }
    if bytes.len() < SECRET_BYTES_MIN {
        return Err("a shared secret has at least 32 bytes (openssl rand -hex 32 makes one)");
    }
    Ok((Algorithm::HS256, DecodingKey::from_secret(bytes)))
}

/// How many bytes the modulus of an RSA key has, without the zeros before it.
fn modulus_bytes(key: &[u8]) -> Option<usize> {
    let (numbers, rest) = tagged(SEQUENCE, key)?;
    let (modulus, exponent) = tagged(INTEGER, numbers)?;
    let (_, behind) = tagged(INTEGER, exponent)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    (rest.is_empty() && behind.is_empty()).then_some(modulus.len() - zeros)
}

/// What a value of DER holds, and what stands behind it.
fn tagged(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(*short), rest),
        long => {
            // More than two bytes would say more than the file holds.
            let (digits, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(digits, _)| digits.len() <= 2)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(length).filter(|_| *first == tag)
}
