//! One secret makes a cluster: every key and certificate of a node is derived from it.
//!
//! The cluster key is stretched by HKDF (RFC 5869) into the seed of an Ed25519 certificate
//! authority, which therefore is the same to the byte on every node without any node having sent
//! it. Each node issues itself a certificate under it, with validity dates that no clock enters.
//! The authority's name carries an id of the key, so that a foreign cluster is an unknown issuer
//! and not a puzzling bad signature.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use ring::hkdf;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name that every node's certificate bears: nodes are told apart by their greeting.
pub(super) const SERVER_NAME: &str = "peer.starling.internal";

/// The application protocol. Another one at the other end is refused within TLS.
const ALPN: &[u8] = b"starling/1";

/// Separates keys derived for Starling from any other use of the same secret.
const SALT: &[u8] = b"starling-cluster-v1";

/// PKCS#8 version 1 around a raw Ed25519 seed (RFC 8410, section 7).
const ED25519_PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The secret that makes nodes one cluster: 32 random bytes. Its text never appears in output.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; 32]);

/// The text is not a cluster key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// Neither notation has this length.
    #[error(
        "a cluster key is 64 hexadecimal digits or 44 characters of base64, not {chars} characters"
    )]
    Length {
        /// How long the text is, without surrounding white space.
        chars: usize,
    },
    /// The length fits, a character does not.
    #[error("the cluster key is not {notation}")]
    Notation {
        /// What its length says it should be.
        notation: &'static str,
    },
}

impl ClusterKey {
    /// A key of the given bytes, which must come from a good source of randomness.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        ClusterKey(bytes)
    }

    /// The key itself, for those who derive from it.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The key as 64 hexadecimal digits, to be shown once to whoever made it.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex(&self.0)
    }

    /// A key of its own for one purpose, for example to sign tokens. Equal labels give equal keys
    /// on every node; no derived key tells anything about another.
    ///
    /// # Panics
    /// Never: HKDF-SHA256 can always give 32 bytes.
    #[must_use]
    pub fn derive(&self, label: &str) -> [u8; 32] {
        let mut key = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
            .extract(&self.0)
            .expand(&[label.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(&mut key))
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        key
    }

    /// The key's public id: tells keys apart and reveals nothing of them.
    #[must_use]
    pub fn cluster(&self) -> [u8; 8] {
        *self.derive("cluster-id").first_chunk().expect("32 bytes hold 8")
    }

    /// The key's public id as 16 hexadecimal digits, for people.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&self.cluster())
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterKey({})", self.fingerprint())
    }
}

impl FromStr for ClusterKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let text = text.trim();
        match text.len() {
            64 => from_hex(text).ok_or(ParseKeyError::Notation { notation: "hexadecimal" }),
            43 | 44 => from_base64(text).ok_or(ParseKeyError::Notation { notation: "base64" }),
            _ => Err(ParseKeyError::Length { chars: text.chars().count() }),
        }
        .map(ClusterKey)
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |index: usize| char::from(pair[index]).to_digit(16);
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    Some(bytes)
}

fn from_base64(text: &str) -> Option<[u8; 32]> {
    let engine = if text.len() == 44 { STANDARD } else { STANDARD_NO_PAD };
    engine.decode(text).ok()?.try_into().ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The node's certificates or TLS settings could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The TLS settings were not accepted.
    #[error("the TLS settings were not accepted")]
    Tls(#[from] rustls::Error),
    /// The cluster's authority cannot verify clients.
    #[error("the verifier of certificates could not be built")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// TLS has no cipher suite that QUIC needs.
    #[error("TLS lacks a cipher suite that QUIC needs")]
    CipherSuite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// Both directions of the mutual TLS of one node.
pub(super) struct TlsConfigs {
    pub(super) server: Arc<QuicServerConfig>,
    pub(super) client: Arc<QuicClientConfig>,
}

/// The TLS settings of one life of one node: TLS 1.3 only, a certificate demanded of both ends,
/// no session resumption (all nodes share one server name, so a ticket would mostly be shown to
/// the wrong node). The first key is the one in use: it signs the node's own certificate; others
/// are believed under any of them.
///
/// # Panics
/// If there is no key.
pub(super) fn tls_configs(keys: &[ClusterKey]) -> Result<TlsConfigs, IdentityError> {
    let (in_use, others) = keys.split_first().expect("a ring is never empty");
    let certificates = Certificates::issue(in_use)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = &[&rustls::version::TLS13];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificates.authority)?;
    for key in others {
        roots.add(authority(key)?)?;
    }
    let roots = Arc::new(roots);
    let chain = vec![certificates.own];
    let own_key = PrivateKeyDer::Pkcs8(certificates.own_key);

    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), own_key.clone_key())?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.send_tls13_tickets = 0;

    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, own_key)?;
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = rustls::client::Resumption::disabled();

    Ok(TlsConfigs {
        server: Arc::new(QuicServerConfig::try_from(server)?),
        client: Arc::new(QuicClientConfig::try_from(client)?),
    })
}

/// The authority that all nodes share and the certificate that this node issued to itself.
struct Certificates {
    authority: CertificateDer<'static>,
    own: CertificateDer<'static>,
    own_key: PrivatePkcs8KeyDer<'static>,
}

impl Certificates {
    fn issue(key: &ClusterKey) -> Result<Self, rcgen::Error> {
        let authority_key = ed25519(key.derive("authority-ed25519-seed"))?;
        let params = authority_params(key);
        let authority = params.self_signed(&authority_key)?.der().clone();
        let own_key = KeyPair::generate_for(&PKCS_ED25519)?;
        let issuer = Issuer::new(params, authority_key);
        let own = leaf_params()?.signed_by(&own_key, &issuer)?.der().clone();
        let own_key = PrivatePkcs8KeyDer::from(own_key.serialize_der());
        Ok(Certificates { authority, own, own_key })
    }
}

/// The authority that a key stands for.
fn authority(key: &ClusterKey) -> Result<CertificateDer<'static>, rcgen::Error> {
    let authority_key = ed25519(key.derive("authority-ed25519-seed"))?;
    Ok(authority_params(key).self_signed(&authority_key)?.der().clone())
}

fn ed25519(seed: [u8; 32]) -> Result<KeyPair, rcgen::Error> {
    let der = [ED25519_PKCS8_PREFIX.as_slice(), &seed].concat();
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)
}

fn authority_params(key: &ClusterKey) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = format!("starling cluster {}", key.fingerprint());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![SERVER_NAME.to_string()])?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> ClusterKey {
        ClusterKey::from_bytes([byte; 32])
    }

    #[test]
    fn every_node_derives_the_same_authority_to_the_byte() {
        let (one, other) = (Certificates::issue(&key(1)), Certificates::issue(&key(1)));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.authority, other.authority);
        assert_ne!(one.own, other.own, "each node has a key of its own");
        assert_ne!(one.authority, Certificates::issue(&key(2)).unwrap().authority);
    }

    #[test]
    fn a_key_is_read_in_both_notations() {
        let key = ClusterKey::from_bytes(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(key.reveal().parse(), Ok(key.clone()));
        assert_eq!(key.reveal().to_uppercase().parse(), Ok(key.clone()));
        assert_eq!(format!(" {}\n", STANDARD.encode(key.0)).parse(), Ok(key.clone()));
        assert_eq!(STANDARD_NO_PAD.encode(key.0).parse(), Ok(key));
    }

    #[test]
    fn a_malformed_key_is_refused_with_what_is_wrong() {
        let parse = |text: &str| text.parse::<ClusterKey>().unwrap_err();
        assert_eq!(parse("secret"), ParseKeyError::Length { chars: 6 });
        assert_eq!(parse(&"g".repeat(64)), ParseKeyError::Notation { notation: "hexadecimal" });
        assert_eq!(parse(&"é".repeat(32)), ParseKeyError::Notation { notation: "hexadecimal" });
        assert_eq!(parse(&"!".repeat(44)), ParseKeyError::Notation { notation: "base64" });
        assert_eq!(parse(&"A".repeat(44)), ParseKeyError::Notation { notation: "base64" });
    }

    #[test]
    fn labels_and_keys_derive_apart_and_repeatably() {
        assert_eq!(key(1).derive("tokens"), key(1).derive("tokens"));
        assert_ne!(key(1).derive("tokens"), key(1).derive("other"));
        assert_ne!(key(1).derive("tokens"), key(2).derive("tokens"));
        assert_eq!(key(1).fingerprint().len(), 16);
    }

    #[test]
    fn a_key_is_never_printed() {
        assert!(!format!("{:?}", key(0xab)).contains("abab"));
    }
}
