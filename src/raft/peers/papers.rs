//! Papers: what this node shows its peers, and whose certificates it takes. Both may change while it runs.
//!
//! While the cluster's secret is rotated a node trusts two authorities. TLS asks here at every handshake, so that no
//! port has to be opened anew; connections ask at every turn whether the certificate that they began with still counts.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SigningKey};
use tokio_rustls::rustls::{RootCertStore, SignatureScheme};

use super::keys::{self, Authority, PrivateKey, PublicKey};
use crate::error::{Error, Result};

/// The papers of one node.
pub struct Papers {
    own: PrivateKey,
    signing: Arc<dyn SigningKey>,
    now: watch::Sender<Arc<Page>>,
}

/// What holds until the next turn.
pub struct Page {
    /// Whose certificate is shown.
    shows: PublicKey,
    trusts: Vec<PublicKey>,
    shown: Arc<CertifiedKey>,
    pub(super) clients: Arc<dyn ClientCertVerifier>,
    pub(super) servers: Arc<dyn ServerCertVerifier>,
}

impl Papers {
    /// The papers of a node with this key, in the cluster of this authority.
    ///
    /// # Errors
    /// `Broken`, when no certificate can be made.
    pub fn of(authority: &Authority, own: PrivateKey) -> Result<Arc<Self>> {
        let signing = ring::sign::any_eddsa_type(&own.der()).map_err(|e| Error::broken("the node's key", e))?;
        let page = page(authority, vec![authority.key()], (&own, &signing))?;
        Ok(Arc::new(Self { own, signing, now: watch::Sender::new(Arc::new(page)) }))
    }

    /// From now on a certificate of this authority is shown, and those of all of `trusts` are taken.
    ///
    /// # Errors
    /// `Broken`, when no certificate can be made; then nothing has changed.
    pub fn turn(&self, shows: &Authority, trusts: Vec<PublicKey>) -> Result<()> {
        let page = page(shows, trusts, (&self.own, &self.signing))?;
        self.now.send_replace(Arc::new(page));
        Ok(())
    }

    /// The key that pins this node.
    pub fn own(&self) -> PublicKey {
        self.own.public()
    }

    /// The authority whose certificate is shown, and those whose certificates are taken.
    pub fn sides(&self) -> (PublicKey, Vec<PublicKey>) {
        let page = self.page();
        (page.shows, page.trusts.clone())
    }

    /// Whether a trusted authority signed this certificate of a peer.
    pub fn vouch(&self, certificate: &CertificateDer<'_>) -> bool {
        self.page().clients.verify_client_cert(certificate, &[], UnixTime::now()).is_ok()
    }

    /// What holds now.
    pub fn page(&self) -> Arc<Page> {
        self.now.borrow().clone()
    }

    /// Hears of every turn.
    pub fn turns(&self) -> watch::Receiver<Arc<Page>> {
        self.now.subscribe()
    }
}

impl fmt::Debug for Papers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Papers")
    }
}

impl ResolvesServerCert for Papers {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.page().shown.clone())
    }
}

impl ResolvesClientCert for Papers {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.page().shown.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn page(shows: &Authority, trusts: Vec<PublicKey>, own: (&PrivateKey, &Arc<dyn SigningKey>)) -> Result<Page> {
    let wrong = |e: &dyn fmt::Display| Error::broken("TLS of peers", e);
    let (provider, roots) = (Arc::new(ring::default_provider()), roots(&trusts));
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let servers = WebPkiServerVerifier::builder_with_provider(roots, provider);
    Ok(Page {
        shows: shows.key(),
        trusts,
        shown: Arc::new(CertifiedKey::new(vec![shows.issue(own.0)?], own.1.clone())),
        clients: clients.build().map_err(|e| wrong(&e))?,
        servers: servers.build().map_err(|e| wrong(&e))?,
    })
}

/// Trust in these authorities alone.
pub fn roots(authorities: &[PublicKey]) -> Arc<RootCertStore> {
    Arc::new(RootCertStore { roots: authorities.iter().map(keys::anchor).collect() })
}
