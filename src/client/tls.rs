//! What https is spoken with: rustls with ring, and the roots of the system or those compiled in.

use super::address::Address;
use super::error::Error;

/// Whether this build speaks https at all.
pub(super) const IS_SPOKEN: bool = cfg!(any(feature = "tls-webpki", feature = "tls-platform"));

/// Refuses an address that this build cannot speak to.
pub(super) fn require(address: &Address) -> Result<(), Error> {
    if address.is_https() && !IS_SPOKEN {
        return Err(Error::NoTls { address: address.to_string() });
    }
    Ok(())
}

/// What the blocking connection speaks it with.
#[cfg(all(feature = "client", any(feature = "tls-webpki", feature = "tls-platform")))]
pub(super) fn blocking() -> ureq::tls::TlsConfig {
    use ureq::tls::{RootCerts, TlsConfig};

    #[cfg(feature = "tls-platform")]
    let roots = RootCerts::PlatformVerifier;
    #[cfg(not(feature = "tls-platform"))]
    let roots = RootCerts::WebPki;
    TlsConfig::builder().root_certs(roots).build()
}

/// What the other connection speaks it with.
#[cfg(all(feature = "client-async", any(feature = "tls-webpki", feature = "tls-platform")))]
pub(super) fn asynchronous() -> Result<rustls::ClientConfig, Error> {
    use std::sync::Arc;

    let setup = |error: rustls::Error| Error::Setup { why: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(setup)?;
    #[cfg(feature = "tls-platform")]
    let config =
        rustls_platform_verifier::BuilderVerifierExt::with_platform_verifier(config).map_err(setup)?;
    #[cfg(not(feature = "tls-platform"))]
    let config = config.with_root_certificates(
        webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect::<rustls::RootCertStore>(),
    );
    Ok(config.with_no_client_auth())
}
