//! TLS: mutual, 1.3 only, and nobody unknown gets past the handshake.
//!
//! A certificate is good when the cluster's authority signed it *and* its key is pinned in the membership. The one
//! other that is let in is the key of a live join token, and all it may do is join. Whoever answers must be a node of
//! the cluster and, unless a token leads there, the very one that was called.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    ServerConfig, SignatureScheme, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::keys::{self, Authority, PrivateKey, PublicKey};
use crate::error::{Error, Result};

/// Who may knock.
pub trait Guests: Send + Sync + 'static {
    /// Whether this key is pinned in the membership.
    fn is_member(&self, key: &PublicKey) -> bool;
    /// Whether this key belongs to a join token that may be used.
    fn may_join(&self, key: &PublicKey) -> bool;
}

/// What accepts connections of peers.
///
/// # Errors
/// `Broken`, when no certificate can be made.
pub fn acceptor(authority: &Authority, own: &PrivateKey, guests: Arc<dyn Guests>) -> Result<TlsAcceptor> {
    let provider = Arc::new(ring::default_provider());
    let members = WebPkiClientVerifier::builder_with_provider(roots(&authority.key()), provider.clone())
        .build()
        .map_err(|e| Error::broken("the peer port's TLS", e))?;
    let certificate = authority.issue(own)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .and_then(|builder| {
            builder
                .with_client_cert_verifier(Arc::new(Doorkeeper { members, guests }))
                .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(own.der()))
        })
        .map_err(|e| Error::broken("the peer port's TLS", e))?;
    // whoever was removed must not come back with a ticket
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What connects to nodes of the authority's cluster as a member.
///
/// # Errors
/// `Broken`, when no certificate can be made.
pub fn connector(authority: &Authority, own: &PrivateKey) -> Result<TlsConnector> {
    connecting(&authority.key(), authority.issue(own)?, own)
}

/// What connects to a node of the cluster with this authority as the holder of a join token's key.
///
/// # Errors
/// `Broken`, when no certificate can be made.
pub fn joiner(authority: &PublicKey, token: &PrivateKey) -> Result<TlsConnector> {
    connecting(authority, token.self_signed()?, token)
}

fn connecting(authority: &PublicKey, certificate: CertificateDer<'static>, own: &PrivateKey) -> Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let wrong = |e: &dyn fmt::Display| Error::broken("TLS to peers", e);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authority), provider.clone())
        .build()
        .map_err(|e| wrong(&e))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .and_then(|builder| {
            builder
                .with_webpki_verifier(verifier)
                .with_client_auth_cert(vec![certificate], PrivateKeyDer::Pkcs8(own.der()))
        })
        .map_err(|e| wrong(&e))?;
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(authority: &PublicKey) -> Arc<RootCertStore> {
    Arc::new(RootCertStore { roots: vec![keys::anchor(authority)] })
}

/// Lets in members and those who may join.
struct Doorkeeper {
    members: Arc<dyn ClientCertVerifier>,
    guests: Arc<dyn Guests>,
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doorkeeper")
    }
}

impl ClientCertVerifier for Doorkeeper {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.members.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> std::result::Result<ClientCertVerified, TlsError> {
        let refused = TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let key = keys::key_of(end_entity).map_err(|_| refused.clone())?;
        if self.guests.may_join(&key) {
            return Ok(ClientCertVerified::assertion());
        }
        let verified = self.members.verify_client_cert(end_entity, intermediates, now);
        match self.guests.is_member(&key) {
            true => verified,
            // whoever was a member once is told that it is one no longer; all others hear nothing
            false if verified.is_ok() => Err(TlsError::InvalidCertificate(CertificateError::Revoked)),
            false => Err(refused),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.members.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.members.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.members.supported_verify_schemes()
    }
}
