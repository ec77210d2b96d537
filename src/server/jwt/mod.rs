//! Tokens that another program signs (JWT, RFC 7519): who has one speaks for the account that its `sub` names.
//!
//! | claim | |
//! |---|---|
//! | `sub` | the account; needed |
//! | `exp` | good until then; needed |
//! | `nbf` | good from then on, where it is there |
//! | `aud` | names this server, where the server has a name; else a token for somebody is for somebody else |
//! | `iss` | who signed, where the server knows a name |
//!
//! Never takes the algorithm from a token: it is that of the key. Nothing is kept of a token, so none is revoked: it is
//! good until `exp`. **An account that is erased begins anew, empty, with the next request that such a token comes with**;
//! a device that synced before is told to start over and brings nothing back but what it never sent. Whoever signs stops
//! signing for an erased account, and gives tokens a short life.

mod both;
mod key;
mod refused;
mod verify;

use std::path::Path;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;

pub use both::FileOrJwt;
pub use key::JwtKeyError;
pub use refused::JwtRefused;

use super::tokens::{TokenError, Tokens};
use crate::algebra::Millis;
use crate::authority::Account;

/// How far the clocks of who signs and who checks may be apart, in seconds: what clocks that are set by the network keep
/// to, many times over, and little beside a token's life.
pub const JWT_LEEWAY_S: u64 = 30;

/// The most bytes of a token: many times what signers put into one, and little enough to be checked at every request.
pub const JWT_BYTES_MAX: usize = 8 * 1024;

/// What a token has to say beside whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtExpected {
    /// The name of this server, which `aud` has to hold. Without one, a token that has an `aud` is refused: it is meant
    /// for somebody who has a name.
    pub audience: Option<String>,
    /// The name of who signs, which `iss` has to be.
    pub issuer: Option<String>,
}

/// Tokens that are signed by one key.
#[derive(Clone)]
pub struct Jwt {
    key: DecodingKey,
    validation: Validation,
}

/// What is read of a token's claims. Numbers may have fractions (RFC 7519, `NumericDate`).
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl Jwt {
    /// Reads the key from a file: a public one in PEM (RS256 from 2048 bits, ES256, EdDSA with Ed25519), or a secret of
    /// at least 32 bytes that both sides share (HS256; a line feed at its end is none of it).
    ///
    /// # Errors
    /// A file that cannot be read, or holds no such key.
    pub fn read(path: impl AsRef<Path>, expected: JwtExpected) -> Result<Self, JwtKeyError> {
        let (algorithm, key) = key::read(path.as_ref())?;
        verify::install();
        let mut validation = Validation::new(algorithm);
        // Time is an argument here, so it is looked at below.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.required_spec_claims.clear();
        if let Some(audience) = &expected.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(issuer) = &expected.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        Ok(Jwt { key, validation })
    }

    /// The algorithm that tokens are signed by: that of the key.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.validation.algorithms.first().copied().map_or("none", key::name)
    }

    /// Checks a token, and says whose it is.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn check(&self, token: &str, now: Millis) -> Result<Account, JwtRefused> {
        if token.len() > JWT_BYTES_MAX {
            return Err(JwtRefused::TooLarge { bytes: token.len() });
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        let decoded = decoded.map_err(|error| self.refused(error))?;
        if decoded.header.crit.is_some() {
            return Err(JwtRefused::Critical);
        }
        let missing = |claim: &str| JwtRefused::Claim { claim: claim.to_owned() };
        let Claims { sub, exp, nbf } = decoded.claims;
        let (sub, exp) = (sub.ok_or_else(|| missing("sub"))?, exp.ok_or_else(|| missing("exp"))?);
        if seconds(now.0.saturating_sub(JWT_LEEWAY_S * 1_000)) >= exp {
            return Err(JwtRefused::Expired { exp });
        }
        if let Some(nbf) = nbf.filter(|nbf| *nbf > seconds(now.0.saturating_add(JWT_LEEWAY_S * 1_000))) {
            return Err(JwtRefused::NotYet { nbf });
        }
        Ok(Account::new(&sub)?)
    }

    fn refused(&self, error: jsonwebtoken::errors::Error) -> JwtRefused {
        let why = crate::algebra::shortened(&error.to_string());
        match error.into_kind() {
            ErrorKind::InvalidSignature => JwtRefused::Signature,
            ErrorKind::InvalidAlgorithm => JwtRefused::Algorithm { expected: self.algorithm() },
            ErrorKind::InvalidAudience => JwtRefused::Audience,
            ErrorKind::InvalidIssuer => JwtRefused::Issuer,
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                JwtRefused::Claim { claim }
            }
            _ => JwtRefused::Malformed { why },
        }
    }
}

impl Tokens for Jwt {
    fn account_of(&self, bearer: &str, now: Millis) -> Result<Option<Account>, TokenError> {
        match self.check(bearer, now) {
            Ok(account) => Ok(Some(account)),
            Err(refused) => {
                tracing::debug!(%refused, "a token is not good");
                Ok(None)
            }
        }
    }

    /// Does nothing: what was signed stays signed. See above.
    fn revoke_all(&self, _: &Account) -> Result<(), TokenError> {
        Ok(())
    }
}

impl std::fmt::Debug for Jwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwt({})", self.algorithm())
    }
}

fn seconds(ms: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a time in ms is exact up to the year 287,000")]
    let ms = ms as f64;
    ms / 1_000.0
}

#[cfg(test)]
mod tests;
