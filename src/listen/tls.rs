//! TLS: 1.2 and 1.3, from a certificate chain and its key.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

use crate::error::{Error, Result};

/// TLS from a certificate chain and its key, both PEM files, for these protocols (ALPN; may be none).
///
/// # Errors
/// `Broken`, with a hint, when a file cannot be read or the two do not belong together.
pub fn tls(cert: &Path, key: &Path, protocols: &[&[u8]]) -> Result<TlsAcceptor> {
    let failed = |what: &str, path: &Path, cause: &dyn std::fmt::Display| {
        Error::Broken(format!(
            "{what} {}: {cause}\nhint: it must be a PEM file that this user may read",
            path.display()
        ))
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| failed("tls_cert", cert, &e))?;
    if chain.is_empty() {
        return Err(failed("tls_cert", cert, &"holds no certificate"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| failed("tls_key", key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|e| failed("tls_cert", cert, &format!("does not fit {}: {e}", key.display())))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
