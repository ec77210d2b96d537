//! Certificates.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Error;

/// A certificate with its key, by which clients know the server.
#[derive(Clone)]
pub struct Certificate {
    pub(super) acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

impl Certificate {
    /// Reads a certificate with those that vouch for it, and its key: two files in PEM.
    ///
    /// # Errors
    /// A file that cannot be read, holds none, or a key that does not belong to the certificate.
    pub fn read(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, Error> {
        let (certificate, key) = (certificate.as_ref(), key.as_ref());
        let failed = |path: &Path, why: String| Error::Certificate { path: path.display().to_string(), why };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| failed(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(failed(certificate, "there is no certificate in it (PEM)".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
        let mut config = config.map_err(|error| failed(certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Certificate { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}
