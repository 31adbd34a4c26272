//! An operator's own platform: it signs tokens in three ways and publishes its keys, in a file or over
//! HTTP. Keys come and go as a test wants.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{hmac, rsa};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who it is in its tokens.
pub const ISSUER: &str = "https://id.example";

/// A key that signs.
pub struct SigningKey {
    id: String,
    how: How,
}

enum How {
    Hs256(Vec<u8>),
    Rs256(Box<RsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// A secret that the nodes know too.
    #[must_use]
    pub fn hs256(id: &str) -> Self {
        let secret = format!("a secret of the platform's that nobody guesses: {id}");
        SigningKey { id: id.to_owned(), how: How::Hs256(secret.into_bytes()) }
    }

    /// The one RSA key of all tests, which guards nothing else; it takes long to make one.
    ///
    /// # Panics
    /// Never: the key is part of the source.
    #[must_use]
    pub fn rs256(id: &str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(include_bytes!("rsa.pk8")).expect("it is an RSA key");
        SigningKey { id: id.to_owned(), how: How::Rs256(Box::new(pair)) }
    }

    /// A new Ed25519 key.
    ///
    /// # Panics
    /// If the system has no entropy.
    #[must_use]
    pub fn eddsa(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("there is entropy");
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).expect("it was just made");
        SigningKey { id: id.to_owned(), how: How::EdDsa(pair) }
    }

    /// The word for its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self.how {
            How::Hs256(_) => "HS256",
            How::Rs256(_) => "RS256",
            How::EdDsa(_) => "EdDSA",
        }
    }

    /// What is published of it.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.how {
            How::Hs256(secret) => json!({ "kty": "oct", "kid": self.id, "k": text(secret) }),
            How::Rs256(pair) => {
                let public = rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
                let (n, e) = (text(&public.n), text(&public.e));
                json!({ "kty": "RSA", "kid": self.id, "use": "sig", "alg": "RS256", "n": n, "e": e })
            }
            How::EdDsa(pair) => {
                let x = text(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x })
            }
        }
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = json!({ "alg": self.algorithm(), "typ": "JWT", "kid": self.id });
        self.sign_with(&header, claims)
    }

    /// A token with any header.
    ///
    /// # Panics
    /// If the system has no entropy.
    #[must_use]
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = match &self.how {
            How::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            How::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let (random, message) = (SystemRandom::new(), message.as_bytes());
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("there is entropy");
                signature
            }
            How::EdDsa(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A token without a signature, as no platform issues it.
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.", message(&json!({ "alg": "none", "typ": "JWT" }), claims))
}

/// A token whose public key was taken for a secret.
#[must_use]
pub fn confused(public: &SigningKey, secret: &[u8], claims: &Value) -> String {
    let message = message(&json!({ "alg": "HS256", "kid": public.id }), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// The document of some keys.
#[must_use]
pub fn jwks(keys: &[&SigningKey]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// The claims of a player, good for an hour.
#[must_use]
pub fn claims(subject: &str, event: &str) -> Value {
    json!({
        "sub": subject, "iss": ISSUER, "aud": "starling", "name": format!("{subject} Vouched"),
        "event": event, "exp": now_s() + 3_600, "jti": format!("{subject}-1"),
    })
}

/// The same with one claim changed.
#[must_use]
pub fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

/// Seconds since 1970.
///
/// # Panics
/// If the clock stands before.
#[must_use]
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs()
}

/// A web server with one document, which counts how often it is fetched.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    document: Arc<Mutex<String>>,
    fetches: Arc<AtomicUsize>,
}

impl KeyServer {
    /// Starts it; it runs as long as the process.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn start(document: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let document = Arc::new(Mutex::new(document));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (served, count) = (Arc::clone(&document), Arc::clone(&fetches));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let head = BufReader::new(&stream).lines().map_while(Result::ok);
                head.take_while(|line| !line.is_empty()).for_each(drop);
                let body = served.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Whoever asked may have gone.
                let _ = (&stream).write_all(reply.as_bytes());
            }
        });
        KeyServer { address, document, fetches }
    }

    /// Where the document is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// Publishes another document.
    pub fn publish(&self, document: String) {
        *self.document.lock().unwrap_or_else(PoisonError::into_inner) = document;
    }

    /// How often it was fetched.
    #[must_use]
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}
