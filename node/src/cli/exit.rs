//! How a command ends: the code for scripts, the words for people.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, as `--help` lists them. 2 belongs to the parser of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed, in a way that has no code of its own.
    Failed = 1,
    /// No such event, PIN or file.
    NotFound = 3,
    /// A configuration or a show file is invalid.
    Invalid = 4,
    /// A token or a key was refused.
    Refused = 5,
    /// No answer in time.
    Unreachable = 6,
    /// The cluster works with less than it should have.
    Degraded = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// The code to exit with.
    pub exit: Exit,
    /// What is wrong, naming the values.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), hint: None }
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For `map_err`: `doing` names what was tried.
    pub fn of<E: fmt::Display>(exit: Exit, doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Failure::new(exit, format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
