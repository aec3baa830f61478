//! TLS: mutual, 1.3 only, and nobody unknown gets past the handshake.
//!
//! A certificate is good when the cluster's authority signed it *and* its key is pinned in the membership. The one
//! other that is let in is the key of a live join token, and all it may do is join. Whoever answers must be a node of
//! the cluster and, unless a token leads there, the very one that was called.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, ServerConfig,
    SignatureScheme, version,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::keys::{self, PrivateKey, PublicKey};
use super::papers::{Page, Papers, roots};
use crate::error::{Error, Result};

/// Who may knock.
pub trait Guests: Send + Sync + 'static {
    /// Whether this key is pinned in the membership.
    fn is_member(&self, key: &PublicKey) -> bool;
    /// Whether this key belongs to a join token that may be used.
    fn may_join(&self, key: &PublicKey) -> bool;
}

/// What calls peers.
#[derive(Clone)]
pub struct Dialer {
    pub connector: TlsConnector,
    papers: Option<Arc<Papers>>,
}

impl Dialer {
    /// What holds now: a connection that was made under something else is made anew.
    pub fn page(&self) -> Option<Arc<Page>> {
        self.papers.as_ref().map(|papers| papers.page())
    }
}

/// What accepts connections of peers.
#[derive(Clone)]
pub struct Lock {
    pub acceptor: TlsAcceptor,
    pub papers: Arc<Papers>,
}

/// What accepts connections of whom `guests` lets in.
///
/// # Errors
/// `Broken`, when TLS is not to be had.
pub fn lock(papers: &Arc<Papers>, guests: Arc<dyn Guests>) -> Result<Lock> {
    let hints = papers.page().clients.root_hint_subjects().to_vec();
    let doorkeeper = Doorkeeper { papers: papers.clone(), guests, hints };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|e| Error::broken("the peer port's TLS", e))?
        .with_client_cert_verifier(Arc::new(doorkeeper))
        .with_cert_resolver(papers.clone());
    // whoever was removed must not come back with a ticket
    config.send_tls13_tickets = 0;
    Ok(Lock { acceptor: TlsAcceptor::from(Arc::new(config)), papers: papers.clone() })
}

/// What connects to nodes of the cluster as a member.
///
/// # Errors
/// `Broken`, when TLS is not to be had.
pub fn connector(papers: &Arc<Papers>) -> Result<Dialer> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|e| Error::broken("TLS to peers", e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Nodes(papers.clone())))
        .with_client_cert_resolver(papers.clone());
    config.resumption = Resumption::disabled();
    Ok(Dialer { connector: TlsConnector::from(Arc::new(config)), papers: Some(papers.clone()) })
}

/// What connects to a node of the cluster with this authority as the holder of a join token's key.
///
/// # Errors
/// `Broken`, when no certificate can be made.
pub fn joiner(authority: &PublicKey, token: &PrivateKey) -> Result<Dialer> {
    let provider = Arc::new(ring::default_provider());
    let wrong = |e: &dyn fmt::Display| Error::broken("TLS to peers", e);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&[*authority]), provider.clone())
        .build()
        .map_err(|e| wrong(&e))?;
    let certificate = token.self_signed()?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .and_then(|builder| {
            builder
                .with_webpki_verifier(verifier)
                .with_client_auth_cert(vec![certificate], PrivateKeyDer::Pkcs8(token.der()))
        })
        .map_err(|e| wrong(&e))?;
    config.resumption = Resumption::disabled();
    Ok(Dialer { connector: TlsConnector::from(Arc::new(config)), papers: None })
}

/// Whether a connection failed because whoever answered is no node of the cluster that was called.
pub fn is_stranger(e: &std::io::Error) -> bool {
    let cause = e.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>());
    matches!(cause, Some(TlsError::InvalidCertificate(_)))
}

/// Takes whoever a trusted authority vouches for; which node it is, the link looks at.
struct Nodes(Arc<Papers>);

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nodes")
    }
}

impl ServerCertVerifier for Nodes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, TlsError> {
        let page = self.0.page();
        page.servers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.0.page().servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.0.page().servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.page().servers.supported_verify_schemes()
    }
}

/// Lets in members and those who may join.
struct Doorkeeper {
    papers: Arc<Papers>,
    guests: Arc<dyn Guests>,
    /// The name of every authority, which is the same.
    hints: Vec<DistinguishedName>,
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doorkeeper")
    }
}

impl ClientCertVerifier for Doorkeeper {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
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
        let verified = self.papers.page().clients.verify_client_cert(end_entity, intermediates, now);
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
        self.papers.page().clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, TlsError> {
        self.papers.page().clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.papers.page().clients.supported_verify_schemes()
    }
}
