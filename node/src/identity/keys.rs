//! The platform's keys, and what they say of a token.
//!
//! A key is good for one algorithm, which its type decides: `oct` HS256, `RSA` RS256, `OKP` with
//! `Ed25519` EdDSA. A token is checked only with keys of the algorithm in its header and of its key
//! id, so a public key is never taken for a secret, and `none` finds no key.

use super::claims::Claims;
use super::{IdentityError, provider};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;

/// Longest JWKS document.
pub const DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Keys of one document that are looked at: ten times what platforms publish.
pub const KEYS_MAX: usize = 32;
/// Longest token. Arbitrary: above what proxies let through in a header.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;
/// RFC 7518, section 3.2: a key as long as the hash at least.
const SECRET_BYTES_MIN: usize = 32;
/// RFC 7518, section 3.3.
const MODULUS_BYTES_MIN: usize = 256;

/// Why a document has no keys for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is longer than any such document.
    #[error("the document has more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLong,
    /// It is not a JWKS document.
    #[error("not a JWKS document: {reason}")]
    Malformed {
        /// What the reader of JSON says.
        reason: String,
    },
}

/// One key.
#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// All keys of a platform at one time. At most [`KEYS_MAX`].
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// How many keys of the document are of no use here.
    pub skipped: usize,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// What of a token's header is looked at.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl KeySet {
    /// Reads a JWKS document. Keys that are of no use are passed over; if none is left, then the platform has
    /// taken all of them back and no token is good.
    ///
    /// # Errors
    /// If it is none.
    pub fn read(document: &[u8]) -> Result<Self, KeysError> {
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        let Document { keys: all } = serde_json::from_slice(document)
            .map_err(|error| KeysError::Malformed { reason: error.to_string() })?;
        let count = all.len();
        let keys: Vec<Key> = all.into_iter().filter_map(Key::read).take(KEYS_MAX).collect();
        provider::install();
        Ok(KeySet { skipped: count - keys.len(), keys })
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What a token says, if one of the keys signed it.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn open(&self, token: &str) -> Result<Claims, IdentityError> {
        let Header { alg, kid, crit } = header(token)?;
        let algorithm = match alg.as_str() {
            "HS256" => Algorithm::HS256,
            "RS256" => Algorithm::RS256,
            "EdDSA" => Algorithm::EdDSA,
            _ => return Err(IdentityError::Algorithm),
        };
        if crit.is_some() {
            return Err(IdentityError::Algorithm);
        }
        let fits = |key: &&Key| key.algorithm == algorithm && (kid.is_none() || key.id == kid);
        let mut error = IdentityError::KeyUnknown;
        for key in self.keys.iter().filter(fits) {
            match decode::<Claims>(token, &key.key, &signature_only(algorithm)) {
                Ok(token) => return Ok(token.claims),
                Err(why) => error = reason(why.kind()),
            }
        }
        Err(error)
    }
}

impl Key {
    fn read(value: Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let (algorithm, stated) = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(key) => {
                let secret = URL_SAFE_NO_PAD.decode(&key.value).ok()?;
                (secret.len() >= SECRET_BYTES_MIN).then_some(())?;
                (Algorithm::HS256, KeyAlgorithm::HS256)
            }
            AlgorithmParameters::RSA(key) => {
                let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
                (modulus.len() >= MODULUS_BYTES_MIN).then_some(())?;
                (Algorithm::RS256, KeyAlgorithm::RS256)
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        let common = &jwk.common;
        let other_use =
            common.public_key_use.as_ref().is_some_and(|to| *to != PublicKeyUse::Signature);
        if other_use || common.key_algorithm.is_some_and(|alg| alg != stated) {
            return None;
        }
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Key { id: jwk.common.key_id, algorithm, key })
    }
}

/// Time, audience and issuer are looked at afterwards, by a clock that is the node's own.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims = HashSet::new();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn reason(kind: &ErrorKind) -> IdentityError {
    match kind {
        ErrorKind::InvalidSignature => IdentityError::Forged,
        ErrorKind::InvalidAlgorithm => IdentityError::Algorithm,
        ErrorKind::Json(_) | ErrorKind::InvalidClaimFormat(_) => IdentityError::Claims,
        _ => IdentityError::Malformed,
    }
}

fn header(token: &str) -> Result<Header, IdentityError> {
    let parts: Vec<&str> = token.split('.').take(4).collect();
    let [header, _, _] = parts[..] else { return Err(IdentityError::Malformed) };
    if token.len() > TOKEN_BYTES_MAX {
        return Err(IdentityError::Malformed);
    }
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| IdentityError::Malformed)?;
    serde_json::from_slice(&header).map_err(|_| IdentityError::Malformed)
}

/// Whether a text is meant as such a token, good or bad: JSON in base64 begins so.
#[must_use]
pub fn looks_like(text: &str) -> bool {
    text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}
