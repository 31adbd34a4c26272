//! Folding an event again from its state, and comparing every file with what comes out, to the byte.
//!
//! The fold is the node's own; nothing of what the files say goes into it. So a changed byte in a result is
//! found without trusting the hashes, and one in the state changes what is folded or cannot be read.

use super::manifest::{MANIFEST, Manifest};
use super::{Format, LINES, STATE, WriteError, files};
use crate::engine::{EventCore, StateError};
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

/// What came of folding again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The folder's manifest.
    pub manifest: Manifest,
    /// The export as it should be.
    pub lines: String,
    /// How many files were compared.
    pub compared: usize,
    /// Where the folder says something else.
    pub differences: Vec<Difference>,
}

/// A file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub file: String,
    /// The first byte that differs, from 0.
    pub byte: usize,
    /// Its line, from 1, where the file has lines.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { file, byte, line, message } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: byte {byte}: {message}"),
            None => write!(f, "{file}: byte {byte}: {message}"),
        }
    }
}

/// A folder that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file of it cannot be read.
    #[error("cannot read {name}: {source}")]
    Unreadable {
        /// Which.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its manifest is none.
    #[error("{MANIFEST} is no manifest: {0}")]
    Manifest(#[from] serde_json::Error),
    /// Its state is none of this version.
    #[error("{STATE} cannot be folded: {0}")]
    State(#[from] StateError),
    /// What was folded cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Folds the event of a folder again and compares all files.
///
/// # Errors
/// If the folder lacks its manifest or its state, or they cannot be read.
pub fn replay(folder: &Path) -> Result<Replay, ReplayError> {
    let read = |name: &str| {
        std::fs::read(folder.join(name))
            .map_err(|source| ReplayError::Unreadable { name: name.to_owned(), source })
    };
    let manifest: Manifest = serde_json::from_slice(&read(MANIFEST)?)?;
    let state = read(STATE)?;
    let (core, pin) = EventCore::from_state(&state)?;
    let lines = String::from_utf8(core.export(&pin).into()).expect("our own lines are text");
    let expected = expected(&manifest, &lines)?;
    let mut differences = Vec::from_iter(check_manifest(&manifest, &core));
    for file in &manifest.files {
        let found = read(&file.name)?;
        differences.extend(compare(&file.name, &found, expected.get(&file.name)));
        if !file.is(&found) && differences.iter().all(|known| known.file != file.name) {
            let message = format!("its SHA-256 is not the one in {MANIFEST}");
            differences.push(Difference { file: file.name.clone(), byte: 0, line: None, message });
        }
    }
    let compared = manifest.files.len();
    Ok(Replay { manifest, lines, compared, differences })
}

/// Every file that the manifest names and that follows from the lines.
fn expected(manifest: &Manifest, lines: &str) -> Result<BTreeMap<String, Vec<u8>>, WriteError> {
    let mut expected = BTreeMap::new();
    for format in Format::value_variants() {
        let extension = format.to_possible_value().expect("no format is hidden");
        let ending = format!(".{}", extension.get_name());
        if manifest.files.iter().any(|file| file.name.ends_with(&ending)) {
            expected.extend(files(lines, *format)?);
        }
    }
    Ok(expected)
}

fn check_manifest(manifest: &Manifest, core: &EventCore) -> Option<Difference> {
    let message = if manifest.heads != core.export_heads() {
        "the version vector is not that of the state"
    } else if manifest.event != core.event().to_string() {
        "the event is not that of the state"
    } else if !manifest.files.iter().any(|file| file.name == LINES) {
        "it does not name the export in JSON lines"
    } else {
        return None;
    };
    let (file, message) = (MANIFEST.to_owned(), message.to_owned());
    Some(Difference { file, byte: 0, line: None, message })
}

/// The first byte in which a file is not what it should be.
fn compare(name: &str, found: &[u8], expected: Option<&Vec<u8>>) -> Option<Difference> {
    let expected = expected?;
    if found == expected {
        return None;
    }
    let byte = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let has_lines = [".jsonl", ".json", ".csv"].iter().any(|ending| name.ends_with(ending));
    let line = has_lines.then(|| found[..byte].iter().filter(|byte| **byte == b'\n').count() + 1);
    let message = match (found.get(byte), expected.get(byte)) {
        (Some(_), Some(_)) if has_lines => {
            let (found, expected) = (line_at(found, byte), line_at(expected, byte));
            format!("the file says {found}, the fold says {expected}")
        }
        (Some(found), Some(expected)) => format!("0x{found:02x} should be 0x{expected:02x}"),
        (None, _) => format!("the file ends here, {} bytes are missing", expected.len() - byte),
        (_, None) => format!("the file should end here, {} bytes are too many", found.len() - byte),
    };
    Some(Difference { file: name.to_owned(), byte, line, message })
}

/// The line around a byte, cut.
fn line_at(bytes: &[u8], at: usize) -> String {
    let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| at + n);
    let line = String::from_utf8_lossy(&bytes[start..end]);
    let cut: String = line.trim_end().chars().take(LINE_CHARS_MAX).collect();
    format!("{cut:?}")
}

/// How much of a line a message repeats, in characters.
const LINE_CHARS_MAX: usize = 300;
