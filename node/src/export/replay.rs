//! Folding an event again from its state, and comparing every file with what comes out, to the byte.
//!
//! The fold is the node's own; nothing of what the files say goes into it. So a changed byte in a result is
//! found without trusting the hashes, and one in the state changes what is folded or cannot be read. Of the
//! manifest only the choice of formats is believed: it is made again like every other file, and what lies
//! in the folder beside them follows from nothing.

use super::manifest::{MANIFEST, Manifest, folder};
use super::{Format, Proof, STATE, WriteError};
use crate::engine::{EventCore, StateError};
use clap::ValueEnum;
use crdt_state::EventState;
use crdt_state::engagement::raffle::RaffleRecord;
use crdt_state::event::Ruling;
use serde::Serialize;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What came of folding again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The manifest as it should be.
    pub manifest: Manifest,
    /// The export as it should be.
    pub lines: String,
    /// How many files were made again and compared: all but the state.
    pub compared: usize,
    /// The rounds that hosts have set aside: they verify like any other, and give nothing.
    pub aside: Vec<Aside>,
    /// Where the folder says something else.
    pub differences: Vec<Difference>,
}

/// A round that gives nothing, by a host's ruling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Aside {
    /// Which run.
    pub round: u32,
    /// The kind of its question.
    pub kind: &'static str,
    /// What it asked.
    pub question: String,
    /// Whether it was left before its end; else it was declared void.
    pub skipped: bool,
    /// Whether it was revealed all the same.
    pub revealed: bool,
    /// Whether somebody was drawn in it.
    pub drawn: bool,
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aside { round, kind, question, skipped, revealed, drawn } = self;
        let how = if *skipped { "was skipped" } else { "is void" };
        let what = match (revealed, drawn) {
            (false, _) => "it gives nothing",
            (true, true) => "whoever was drawn gets nothing",
            (true, false) => "what was revealed gives nothing",
        };
        write!(f, "round {round}, the {kind} {question:?}, {how}: {what}")
    }
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

impl Difference {
    /// One of a file as a whole.
    fn whole(file: &str, message: &str) -> Self {
        Difference { file: file.to_owned(), byte: 0, line: None, message: message.to_owned() }
    }
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
    /// Its show has drawn no raffle then.
    #[error("round {0} is no raffle that was drawn")]
    Raffle(u32),
    /// What was folded cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Folds the event of a folder again and compares all files.
///
/// # Errors
/// If the folder lacks its manifest or its state, or they cannot be read.
pub fn replay(path: &Path) -> Result<Replay, ReplayError> {
    let found: Manifest = serde_json::from_slice(&read(path, MANIFEST)?)?;
    let state = read(path, STATE)?;
    let (core, pin) = EventCore::from_state(&state)?;
    let lines = String::from_utf8(core.export(&pin).into()).expect("our own lines are text");
    let proof = Proof { lines, state, heads: core.export_heads() };
    let (manifest, expected) = folder(&proof, &formats_of(&found))?;
    let mut differences = Vec::new();
    for (name, expected) in &expected {
        match read(path, name) {
            Ok(found) => differences.extend(compare(name, &found, expected)),
            Err(ReplayError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
                differences.push(Difference::whole(name, "the file is missing"));
            }
            Err(error) => return Err(error),
        }
    }
    let beside =
        names_in(path)?.into_iter().filter(|name| expected.iter().all(|(it, _)| it != name));
    let message = format!("nothing of it follows from the event; {MANIFEST} may not list it");
    differences.extend(beside.map(|name| Difference::whole(&name, &message)));
    let (compared, aside) = (expected.len() - 1, aside_of(core.state()));
    Ok(Replay { manifest, lines: proof.lines, compared, aside, differences })
}

/// All that it takes to draw a raffle of the folder's event again, however large it was: what nodes hand out of
/// smaller ones.
///
/// # Errors
/// If the folder lacks its state, or no raffle was drawn in that round.
pub fn raffle(path: &Path, round: u32) -> Result<RaffleRecord, ReplayError> {
    let (core, _) = EventCore::from_state(&read(path, STATE)?)?;
    let entrants = core.entrants(round).ok_or(ReplayError::Raffle(round))?;
    Ok(entrants.record())
}

/// The rounds of an event that hosts have set aside.
fn aside_of(state: &EventState) -> Vec<Aside> {
    let aside = |(round, ruling): (u32, &Ruling)| {
        let (_, question) = state.question_of(round).filter(|_| ruling.is_aside())?;
        Some(Aside {
            round,
            kind: question.task.name(),
            question: question.text.clone(),
            skipped: ruling.is_skipped(),
            revealed: state.has_revealed(round),
            drawn: question.task.is_drawn() && state.has_revealed(round),
        })
    };
    state.rulings.iter().filter_map(aside).collect()
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, ReplayError> {
    std::fs::read(folder.join(name))
        .map_err(|source| ReplayError::Unreadable { name: name.to_owned(), source })
}

/// The formats of which a folder says to have files.
fn formats_of(manifest: &Manifest) -> Vec<Format> {
    let is_listed = |name: &&str| manifest.files.iter().any(|file| file.name == **name);
    let all = Format::value_variants().iter().copied();
    all.filter(|format| format.names().iter().any(is_listed)).collect()
}

/// What lies in a folder. Hidden files are left out: systems put their own there.
fn names_in(folder: &Path) -> Result<Vec<String>, ReplayError> {
    let unreadable =
        |source| ReplayError::Unreadable { name: folder.display().to_string(), source };
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let name = |entry: io::Result<std::fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names = entries.map(name).collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

/// The first byte in which a file is not what it should be.
fn compare(name: &str, found: &[u8], expected: &[u8]) -> Option<Difference> {
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
