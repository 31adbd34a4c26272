//! Signatures of tokens, checked by `ring`.
//!
//! The `jsonwebtoken` crate leaves cryptography to a provider; this one knows three algorithms and signs
//! nothing. A key of one family never checks a signature of another: the verifier is made from the
//! key's own kind, and a kind that does not fit is an error before a signature is looked at.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{Error as Wrong, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};
use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

/// Has this process check tokens with `ring`. Whoever comes second finds it done.
pub(super) fn install() {
    // Nothing else in this process installs one.
    let _ = RING.install_default();
}

static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// A key that checks signatures of its one algorithm.
enum RingKey {
    Hs256(hmac::Key),
    Rs256 { n: Vec<u8>, e: Vec<u8> },
    EdDsa(UnparsedPublicKey<Vec<u8>>),
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let key = match (algorithm, key.family(), key.kind()) {
        (Algorithm::HS256, AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => {
            RingKey::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))
        }
        (Algorithm::RS256, AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RingKey::Rs256 { n: n.clone(), e: e.clone() }
        }
        (Algorithm::EdDSA, AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(public)) => {
            RingKey::EdDsa(UnparsedPublicKey::new(&signature::ED25519, public.clone()))
        }
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    Ok(Box::new(key))
}

impl Verifier<Vec<u8>> for RingKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), Wrong> {
        let outcome = match self {
            RingKey::Hs256(key) => hmac::verify(key, message, signature),
            RingKey::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            RingKey::EdDsa(key) => key.verify(message, signature),
        };
        outcome.map_err(|_| Wrong::new())
    }
}

impl JwtVerifier for RingKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            RingKey::Hs256(_) => Algorithm::HS256,
            RingKey::Rs256 { .. } => Algorithm::RS256,
            RingKey::EdDsa(_) => Algorithm::EdDSA,
        }
    }
}
