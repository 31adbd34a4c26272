//! What a node hands out for a folder of results: the lines, and in one more line the state that they
//! were folded from.
//!
//! The state stands apart because equal states may be encoded to different bytes: the lines of two nodes
//! are equal, their states only mean the same.

use super::manifest::Head;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// An export with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The export in JSON lines.
    pub lines: String,
    /// The state, as [`replay`](super::replay) reads it.
    pub state: Vec<u8>,
    /// The version vector of both.
    pub heads: Vec<Head>,
}

#[derive(Serialize, Deserialize)]
struct StateLine {
    r#type: String,
    heads: Vec<Head>,
    base64: String,
}

/// What a node sent is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node sent no export with its state: {0}")]
pub struct ProofError(String);

impl Proof {
    /// The proof as it travels.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let line = StateLine {
            r#type: "state".to_owned(),
            heads: self.heads.clone(),
            base64: STANDARD.encode(&self.state),
        };
        let mut bytes = self.lines.clone().into_bytes();
        serde_json::to_writer(&mut bytes, &line).expect("our own line encodes into memory");
        bytes.push(b'\n');
        bytes
    }

    /// A proof that arrived.
    ///
    /// # Errors
    /// If its last line does not hold the state.
    pub fn decode(text: &str) -> Result<Self, ProofError> {
        let broken = |error: String| ProofError(error);
        let whole = text.strip_suffix('\n').unwrap_or(text);
        let start = whole.rfind('\n').map_or(0, |at| at + 1);
        let line: StateLine =
            serde_json::from_str(&whole[start..]).map_err(|error| broken(error.to_string()))?;
        if line.r#type != "state" {
            return Err(broken("its last line is no state".to_owned()));
        }
        let state = STANDARD.decode(line.base64).map_err(|error| broken(error.to_string()))?;
        Ok(Proof { lines: text[..start].to_owned(), state, heads: line.heads })
    }
}
