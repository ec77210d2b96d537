//! Why a token is not good.

use thiserror::Error;

use super::JWT_BYTES_MAX;
use crate::authority::NoAccount;

/// Why a token is not good. Whoever sends it is not told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JwtRefused {
    /// It is no token at all.
    #[error("this is no JWT that is signed by a known algorithm: {why}")]
    Malformed {
        /// How that shows.
        why: String,
    },
    /// It is larger than any is.
    #[error("a JWT has at most {JWT_BYTES_MAX} bytes, but this one has {bytes}")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// It says another algorithm than the key's.
    #[error("the JWT is signed by another algorithm than the server's key is for, {expected}")]
    Algorithm {
        /// The key's.
        expected: &'static str,
    },
    /// Another key signed it, or nobody did.
    #[error("the JWT's signature is not by the server's key")]
    Signature,
    /// It asks for what is not known here.
    #[error("the JWT's header calls something critical (`crit`), and nothing of that is known here")]
    Critical,
    /// A claim is missing, or is not of its kind.
    #[error("the JWT's claim `{claim}` is missing, or is not of its kind")]
    Claim {
        /// Which.
        claim: String,
    },
    /// Its time is over.
    #[error("the JWT was good until {exp} (seconds since the Unix epoch): get another one")]
    Expired {
        /// What it says.
        exp: f64,
    },
    /// Its time has not come.
    #[error("the JWT is good from {nbf} on (seconds since the Unix epoch); are both clocks right?")]
    NotYet {
        /// What it says.
        nbf: f64,
    },
    /// It is meant for another server.
    #[error("the JWT's `aud` does not name this server; --jwt-audience says its name")]
    Audience,
    /// Somebody else signed it.
    #[error("the JWT's `iss` is not the one that --jwt-issuer says")]
    Issuer,
    /// Its subject cannot be an account.
    #[error("the JWT's `sub`: {source}")]
    Account {
        /// Why.
        #[from]
        source: NoAccount,
    },
}
