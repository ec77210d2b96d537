//! Where an authority is: a checked URL.

use std::fmt;
use std::str::FromStr;

use super::error::Error;
use crate::algebra::shortened;

/// The longest URL: no authority needs more, and some servers take no more.
const URL_BYTES_MAX: usize = 2_000;

/// The URL of an authority: `https://sync.example.org`, `http://127.0.0.1:8080`, or with a path before those of the
/// wire, `https://example.org/notes`.
///
/// ```
/// use foldlog::client::Address;
///
/// let address: Address = "https://sync.example.org/".parse()?;
/// assert_eq!(address.to_string(), "https://sync.example.org");
/// assert!("sync.example.org".parse::<Address>().is_err());
/// # Ok::<(), foldlog::client::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host, port and path, without a slash behind.
    url: String,
    is_https: bool,
}

impl Address {
    /// Whether what is said there can be read by nobody in between.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The URL of one of its paths.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why: &'static str| Error::Address { given: shortened(text), why };
        if text.len() > URL_BYTES_MAX {
            return Err(refused("it is longer than 2,000 bytes"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            refused("it says no scheme; write https:// before it, or http:// on your own machine")
        })?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(refused("its scheme is neither https nor http")),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused(
                "it has a character that a URL spells otherwise: a name in its xn-- form, a space as %20",
            ));
        }
        if rest.contains(['?', '#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return Err(refused(
                "it ends with its path: no query, no fragment, nothing that a path does not take",
            ));
        }
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if place.contains('@') {
            return Err(refused("it names somebody; who asks is said by the token"));
        }
        require_place(place).map_err(refused)?;
        let (scheme, place) = (scheme.to_ascii_lowercase(), place.to_ascii_lowercase());
        Ok(Address { url: format!("{scheme}://{place}{}", path.trim_end_matches('/')), is_https })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Refuses what is no host, with or without a port.
fn require_place(place: &str) -> Result<(), &'static str> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or("its IPv6 address does not end: [::1]")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what stands in brackets is no IPv6 address");
            }
            match behind.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if behind.is_empty() => (host, None),
                None => return Err("behind an IPv6 address comes a colon and the port, or the path"),
            }
        }
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            // More than one colon is an IPv6 address that lost its brackets.
            let is_bare = port.is_some_and(|port| port.contains(':'));
            if is_bare || !host.bytes().all(is_name) {
                return Err("its host is no name and no address; an IPv6 address stands in brackets: [::1]");
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    match port.map(|port| (port, port.parse::<u16>())) {
        None | Some((_, Ok(1..))) => Ok(()),
        Some(_) => Err("its port is no number from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_with_or_without_port_and_path() {
        for (given, url) in [
            ("https://sync.example.org", "https://sync.example.org"),
            ("HTTPS://Sync.Example.org/", "https://sync.example.org"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80/a/B//", "http://[::1]:80/a/B"),
            ("http://a_b-c/%20x", "http://a_b-c/%20x"),
        ] {
            let address: Address = given.parse().unwrap();
            assert_eq!(address.at("/v1/reads"), format!("{url}/v1/reads"));
            assert_eq!(address.is_https(), url.starts_with("https"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (given, part) in [
            ("", "no scheme"),
            ("sync.example.org", "https://"),
            ("ftp://a", "neither"),
            ("http://", "no host"),
            ("http:///x", "no host"),
            ("http://a b", "%20"),
            ("http://ä", "xn--"),
            ("http://a?b", "no query"),
            ("http://a/#b", "no fragment"),
            ("http://me:secret@a", "token"),
            ("http://a:0", "port"),
            ("http://a:65536", "port"),
            ("http://a:", "port"),
            ("http://::1", "brackets"),
            ("http://[::1", "does not end"),
            ("http://[::1]x", "colon"),
            ("http://[x]", "no IPv6"),
            (&format!("http://{}", "a".repeat(2_000)), "longer"),
        ] {
            let refused = given.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains(part), "{given}: {refused}");
        }
    }
}
