//! The list of a folder's files with their hashes, and the vector of what they were folded from.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// The name of the manifest.
pub const MANIFEST: &str = "manifest.json";

/// What a folder of results holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the manifest's shape.
    pub schema: u32,
    /// The event's id.
    pub event: String,
    /// Its title.
    pub title: String,
    /// How complete the results are: `final`, `settled`, `partial` or `open`.
    pub status: String,
    /// The version vector: the newest entry of every lane that is counted.
    pub heads: Vec<Head>,
    /// Every other file of the folder.
    pub files: Vec<File>,
}

/// The newest entry of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose lane.
    pub origin: String,
    /// `control` or `bulk`.
    pub lane: String,
    /// Its number.
    pub seq: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

impl File {
    /// The entry of a file.
    #[must_use]
    pub fn new(name: &str, content: &[u8]) -> Self {
        File { name: name.to_owned(), bytes: content.len() as u64, sha256: sha256(content) }
    }

    /// Whether this is the content.
    #[must_use]
    pub fn is(&self, content: &[u8]) -> bool {
        self.bytes == content.len() as u64 && self.sha256 == sha256(content)
    }
}

fn sha256(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
