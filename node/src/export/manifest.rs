//! The list of a folder's files with their hashes, and the vector of what they were folded from.
//!
//! It follows from the lines, the state and the formats, like every other file: whoever folds again makes it
//! again, and compares it to the byte.

use super::{Files, Format, Proof, STATE, WriteError, files};
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
    /// How complete the results are: `final`, `forgotten`, `partial` or `open`. Never `settled`, which hangs on how many
    /// nodes are to hold an answer, and no file says that.
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
}

/// The files of a folder of results with their names, the manifest last, and what that says.
///
/// # Errors
/// As [`files`].
pub fn folder(proof: &Proof, formats: &[Format]) -> Result<(Manifest, Files), WriteError> {
    let mut all = vec![(STATE.to_owned(), proof.state.clone())];
    for format in [&[Format::Jsonl], formats].concat() {
        let is_new = |(name, _): &(String, Vec<u8>)| all.iter().all(|(known, _)| known != name);
        let made: Vec<_> = files(&proof.lines, format)?.into_iter().filter(is_new).collect();
        all.extend(made);
    }
    let manifest = manifest(proof, &all);
    let mut text = serde_json::to_vec_pretty(&manifest).expect("a manifest has text keys only");
    text.push(b'\n');
    all.push((MANIFEST.to_owned(), text));
    Ok((manifest, all))
}

fn manifest(proof: &Proof, all: &[(String, Vec<u8>)]) -> Manifest {
    let first: serde_json::Value =
        serde_json::from_str(proof.lines.lines().next().unwrap_or_default()).unwrap_or_default();
    let field = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
    Manifest {
        schema: 1,
        event: field("event"),
        title: field("title"),
        status: field("status"),
        heads: proof.heads.clone(),
        files: all.iter().map(|(name, content)| File::new(name, content)).collect(),
    }
}

fn sha256(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
