//! Who somebody is, as the operator's own platform vouches for it.
//!
//! A platform signs tokens (JWT, RFC 7519: HS256, RS256 or EdDSA) for its users, and publishes the keys as
//! a JWKS document (RFC 7517) in a file or under a URL. A node takes such a token wherever it takes one of
//! its own: in a CONNECT, in a join, in a request. What the token says is [`claims`]'s; whether to
//! believe it is [`keys`]'s: a key fixes its algorithm, whatever a token's header wants, so that no
//! signature ever counts under another one. [`source`] keeps the keys fresh.
//!
//! Deliberately absent: `none`, keys inside of tokens (`jwk`, `jku`, `x5u`), encrypted tokens, and any
//! state about sessions: a token proves who comes in, and a connection outlives it. Taking one back
//! is the catalogue's.

pub mod bearer;
pub mod claims;
pub mod keys;
mod provider;
pub mod source;

pub use bearer::{Bearer, Events, Role};
pub use keys::{KeySet, KeysError};
pub use source::{Identities, KeySource};

use std::time::Duration;

/// What a node is told about the platform that vouches for its players and hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityConfig {
    /// Where the platform's keys are.
    pub keys: KeySource,
    /// What every token must be meant for (`aud`).
    pub audience: String,
    /// Who must have issued every token (`iss`); anybody who has one of the keys without it.
    pub issuer: Option<String>,
    /// How far clocks may be apart. Default 30 s: arbitrary, well above what synchronised clocks differ.
    pub leeway: Duration,
}

impl IdentityConfig {
    /// The audience of tokens that are meant for Starling.
    pub const AUDIENCE: &'static str = "starling";
    /// See [`IdentityConfig::leeway`].
    pub const LEEWAY: Duration = Duration::from_secs(30);

    /// Takes tokens under these keys, with defaults for all else.
    #[must_use]
    pub fn new(keys: KeySource) -> Self {
        let audience = Self::AUDIENCE.to_owned();
        IdentityConfig { keys, audience, issuer: None, leeway: Self::LEEWAY }
    }
}

/// Why a token does not count here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is too long or not three parts of base64url with JSON in them.
    #[error("this is not a token that can be read")]
    Malformed,
    /// Its header asks for what is not done here.
    #[error("tokens are signed with HS256, RS256 or EdDSA, and nothing critical beyond")]
    Algorithm,
    /// No known key has its key id and algorithm.
    #[error("no key of the platform's has this token's key id and algorithm")]
    KeyUnknown,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Forged,
    /// Its claims are not of the documented shape.
    #[error("the token's claims are incomplete or not of the documented kind")]
    Claims,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    Early,
    /// It is meant for something else.
    #[error("the token is meant for another audience")]
    Audience,
    /// Somebody else issued it.
    #[error("the token comes from another issuer")]
    Issuer,
    /// It or its subject was taken back.
    #[error("the token was revoked")]
    Revoked,
    /// No platform is configured.
    #[error("this node knows no platform whose tokens it could take")]
    Unconfigured,
    /// The platform's keys could not be had yet.
    #[error("the platform's keys could not be fetched yet")]
    KeysMissing,
    /// It is a co-host's, and the show that knows of the invitation is not here yet.
    #[error("the show that this token is of is still arriving here")]
    Arriving,
}

impl IdentityError {
    /// All of them.
    pub const ALL: [IdentityError; 13] = [
        IdentityError::Malformed,
        IdentityError::Algorithm,
        IdentityError::KeyUnknown,
        IdentityError::Forged,
        IdentityError::Claims,
        IdentityError::Expired,
        IdentityError::Early,
        IdentityError::Audience,
        IdentityError::Issuer,
        IdentityError::Revoked,
        IdentityError::Unconfigured,
        IdentityError::KeysMissing,
        IdentityError::Arriving,
    ];

    /// The stable word of the refusal.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            IdentityError::Malformed => "token_malformed",
            IdentityError::Algorithm => "token_algorithm",
            IdentityError::KeyUnknown => "token_key_unknown",
            IdentityError::Forged => "token_forged",
            IdentityError::Claims => "token_claims",
            IdentityError::Expired => "token_expired",
            IdentityError::Early => "token_early",
            IdentityError::Audience => "token_audience",
            IdentityError::Issuer => "token_issuer",
            IdentityError::Revoked => "token_revoked",
            IdentityError::Unconfigured => "identity_unconfigured",
            IdentityError::KeysMissing => "identity_unavailable",
            IdentityError::Arriving => "overloaded",
        }
    }

    /// A way out.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            IdentityError::Malformed => "send the token as the platform gave it, and nothing else",
            IdentityError::Algorithm => "have the platform sign with HS256, RS256 or EdDSA",
            IdentityError::KeyUnknown => "put the signing key into the JWKS that --jwt-keys names",
            IdentityError::Forged => "get a new token from the platform",
            IdentityError::Claims => "it needs sub, exp and aud; see node/docs/identity.md",
            IdentityError::Expired => "get a new token from the platform",
            IdentityError::Early => "wait, or have the platform's clock looked at",
            IdentityError::Audience => "the claim aud has to be what --jwt-audience says",
            IdentityError::Issuer => "the claim iss has to be what --jwt-issuer says",
            IdentityError::Revoked => "it has been taken back: ask whom you had it from",
            IdentityError::Unconfigured => "start the nodes with --jwt-keys",
            IdentityError::KeysMissing => "try again in some seconds",
            IdentityError::Arriving => "try again in a moment, or use another node",
        }
    }

    /// What a CONNACK of MQTT 5 says: 0x86 for what is no good token at all, 0x87 for one that does not
    /// let its bearer in, 0x88 where it cannot be told yet.
    #[must_use]
    pub fn connect_reason(self) -> u8 {
        match self {
            IdentityError::Malformed
            | IdentityError::Algorithm
            | IdentityError::KeyUnknown
            | IdentityError::Forged
            | IdentityError::Claims
            | IdentityError::Unconfigured => 0x86,
            IdentityError::Expired
            | IdentityError::Early
            | IdentityError::Audience
            | IdentityError::Issuer
            | IdentityError::Revoked => 0x87,
            IdentityError::KeysMissing | IdentityError::Arriving => 0x88,
        }
    }
}
