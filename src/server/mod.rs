//! The server: an authority over HTTP. Knows nothing of how data is kept or conflicts are decided.
//!
//! ```text
//! connection ─→ route ─→ whose? ─→ room for one more? ─→ body, bounded ─→ the authority, on a thread of its own ─→ reply
//!                          401            429                413                        503
//! ```
//!
//! | what it never does | so |
//! |---|---|
//! | keep more of a request in memory than is allowed | a body is counted while it is read, and again while it is unpacked |
//! | wait for a client without an end | heads and bodies have their time, and so has whoever is to read an answer or a stream |
//! | tell one account of another | every question goes to the account of its token, and to no other |
//! | lose what was acknowledged | an answer leaves after the authority says that it is durable |
//!
//! Who may ask is said by [`Tokens`]: those of a [`TokenFile`], signed ones (`Jwt`, with the feature `jwt`), or both.
//! What it speaks is in [`codec::wire`](crate::codec::wire); it tells that itself, as an OpenAPI document.

mod body;
mod events;
mod hub;
#[cfg(feature = "jwt")]
mod jwt;
mod listen;
mod media;
mod metrics;
mod openapi;
mod options;
mod path;
mod router;
mod signal;
mod state;
mod tls;
mod tokens;
mod unread;

use thiserror::Error;

#[cfg(feature = "testing")]
pub(crate) use body::unpacked;
#[cfg(feature = "jwt")]
pub use jwt::{FileOrJwt, JWT_BYTES_MAX, JWT_LEEWAY_S, Jwt, JwtExpected, JwtKeyError, JwtRefused};
pub use listen::{Running, Waker, serve};
pub use options::{Options, STREAM_ALIVE_MS};
pub use signal::wait_for_signal;
pub use tls::Certificate;
pub use tokens::{Issued, Token, TokenError, TokenFile, Tokens};

/// Why a server cannot begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; {}", todo(source))]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A certificate or its key cannot be used.
    #[error("{path}: {why}")]
    Certificate {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// There are no threads to be had.
    #[error("the server's threads cannot be started: {source}")]
    Runtime {
        /// What the system says.
        #[from]
        source: std::io::Error,
    },
}

/// What to do about an address.
fn todo(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => "is another server running there?",
        std::io::ErrorKind::PermissionDenied => "a port from 1024 on needs no rights",
        _ => "give one of this machine's with a port, such as 127.0.0.1:8470",
    }
}
