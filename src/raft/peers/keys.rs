//! Keys: what a node proves itself with at the peer port, and what a cluster's certificates hang on.
//!
//! The cluster's one secret gives the key of its authority (HKDF-SHA-256, RFC 5869), so every node can issue its own
//! certificate and nothing has to be handed out. The node's own key is drawn with its data directory and pinned in the
//! membership: whoever has the secret alone can be nobody who is a member. All keys are Ed25519 (RFC 8032).

use hkdf::Hkdf;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519};
use sha2::Sha256;
use tokio_rustls::rustls::pki_types::{CertificateDer, Der, PrivatePkcs8KeyDer, TrustAnchor};

use crate::error::{Error, Result};

/// The name that every node's certificate carries: which node it is says the pinned key.
pub const SERVER_NAME: &str = "node.sojourn";
/// The authority's name.
const AUTHORITY_NAME: &str = "sojourn cluster";

/// A PKCS #8 Ed25519 private key (RFC 8410) up to the seed.
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The body of a SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) up to the key.
const SPKI_ED25519: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A public key: what a certificate is known by.
pub type PublicKey = [u8; 32];

/// A private key. Never printed.
pub struct PrivateKey(KeyPair);

impl PrivateKey {
    /// The key of 32 random bytes.
    ///
    /// # Panics
    /// Never: every seed is a key.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        let mut pkcs8 = PKCS8_ED25519.to_vec();
        pkcs8.extend_from_slice(seed);
        let der = PrivatePkcs8KeyDer::from(pkcs8);
        Self(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("every seed is an Ed25519 key"))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        self.0.public_key_raw().try_into().expect("an Ed25519 key has 32 bytes")
    }

    /// As rustls wants it.
    pub fn der(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der())
    }

    /// A certificate that nobody signed but the key itself: what the holder of a join token shows.
    ///
    /// # Errors
    /// `Broken`, when the certificate cannot be made.
    pub fn self_signed(&self) -> Result<CertificateDer<'static>> {
        let made = leaf().and_then(|params| params.self_signed(&self.0));
        made.map(|certificate| certificate.der().clone()).map_err(|e| Error::broken("a certificate", e))
    }
}

/// What signs the certificates of a cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key: PublicKey,
}

impl Authority {
    /// The authority of the cluster whose secret this is.
    pub fn of(secret: &[u8]) -> Self {
        let mut seed = [0; 32];
        Hkdf::<Sha256>::new(None, secret)
            .expand(b"sojourn peer authority", &mut seed)
            .expect("32 bytes can be derived");
        let key = PrivateKey::of_seed(&seed);
        let public = key.public();
        let mut params = CertificateParams::default();
        params.distinguished_name = authority_name();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        Self { issuer: Issuer::new(params, key.0), key: public }
    }

    /// Its public key: what trust in its certificates hangs on.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// A certificate for a node's key.
    ///
    /// # Errors
    /// `Broken`, when the certificate cannot be made.
    pub fn issue(&self, node: &PrivateKey) -> Result<CertificateDer<'static>> {
        let made = leaf().and_then(|params| params.signed_by(&node.0, &self.issuer));
        made.map(|certificate| certificate.der().clone()).map_err(|e| Error::broken("a certificate", e))
    }
}

/// Trust in whatever the authority with this key has signed.
pub fn anchor(authority: &PublicKey) -> TrustAnchor<'static> {
    let mut spki = SPKI_ED25519.to_vec();
    spki.extend_from_slice(authority);
    TrustAnchor { subject: Der::from(subject()), subject_public_key_info: Der::from(spki), name_constraints: None }
}

/// The key of a certificate.
///
/// # Errors
/// Whatever holds no Ed25519 key is no certificate of a node.
pub fn key_of(certificate: &CertificateDer<'_>) -> Result<PublicKey> {
    let refused = || Error::Forbidden("no certificate of a node".into());
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| refused())?;
    let spki = parsed.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&[0x30, 0x2a]).and_then(|body| body.strip_prefix(&SPKI_ED25519));
    key.and_then(|key| key.try_into().ok()).ok_or_else(refused)
}

fn authority_name() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, AUTHORITY_NAME);
    name
}

/// The authority's name as it stands in certificates: one common name, a UTF-8 string.
fn subject() -> Vec<u8> {
    let text = AUTHORITY_NAME.as_bytes();
    let length = text.len() as u8;
    let mut der = vec![0x31, length + 9, 0x30, length + 7, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, length];
    der.extend_from_slice(text);
    der
}

fn leaf() -> std::result::Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_the_key_it_was_issued_for() {
        let (authority, node) = (Authority::of(&[7; 32]), PrivateKey::of_seed(&[1; 32]));
        let certificate = authority.issue(&node).expect("issued");
        assert_eq!(key_of(&certificate).expect("a key"), node.public());
        assert_eq!(key_of(&node.self_signed().expect("signed")).expect("a key"), node.public());
    }

    #[test]
    fn one_secret_makes_one_authority() {
        assert_eq!(Authority::of(&[7; 32]).key(), Authority::of(&[7; 32]).key());
        assert_ne!(Authority::of(&[7; 32]).key(), Authority::of(&[8; 32]).key());
    }

    /// RFC 8032, 7.1, test 1.
    #[test]
    fn seeds_give_the_keys_of_the_standard() {
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
            0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let public = PrivateKey::of_seed(&seed).public();
        assert_eq!(public[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(public[28..], [0xf7, 0x07, 0x51, 0x1a]);
    }
}
