//! Show files: what an author writes and the script that a node runs.
//!
//! Reading a file either gives a script that keeps every cap of
//! [`caps`](crdt_state::engagement::script::caps), or *all* of its problems at once, each with
//! its place: an author corrects a file in one go. `docs/show-format.md` is the description for
//! authors; every message made here is listed there. Deliberately absent: comments, includes and
//! any other extension of JSON, so that every tool that writes JSON can write a show.

pub mod import;
mod json;
mod report;

pub use crdt_state::engagement::script::caps::{AUTOPILOT_MS, PROBLEMS_MAX};
pub use crdt_state::engagement::script::{FORMAT, OPEN_MS_DEFAULT, POINTS_DEFAULT};
pub use report::{describe, refused};

use crate::service::view::Problem;
use crdt_state::caps::CREATE_BYTES_MAX;
use crdt_state::delta::Create;
use crdt_state::engagement::Script;
use report::{Places, Report};

/// A show of twelve questions to try Starling with.
pub const SAMPLE: &str = include_str!("../../shows/sample.json");

/// Bytes of a show file: room for as many questions as the caps allow, of a kilobyte each. The show itself may take
/// [`CREATE_BYTES_MAX`], which leaves a file room for its indentation.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads a show file.
///
/// # Errors
/// Every problem of the file, by its place in it; a syntax error alone, since nothing after it can
/// be understood. At most [`PROBLEMS_MAX`] problems are listed, then how many more there are.
pub fn parse(text: &str) -> Result<Script, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut report = Report::default();
    if text.len() > FILE_BYTES_MAX {
        let length = text.len();
        report.add(
            0,
            "",
            format!("the file has {length} bytes, at most {FILE_BYTES_MAX} are read"),
        );
        return Err(report::problems(report, &Places::Text(text)));
    }
    let root = json::read(text, &|_| {}, &mut report);
    let script = root.and_then(|root| Script::read(&root, &mut report));
    finish(script, report, &Places::Text(text))
}

/// The script, if nothing was found wrong on the way and nodes can carry it.
fn finish(
    script: Option<Script>,
    mut report: Report,
    places: &Places<'_>,
) -> Result<Script, Vec<Problem>> {
    let script = script.filter(|_| report.is_empty());
    let bytes = script.as_ref().map_or(0, Create::bytes_of);
    if bytes > CREATE_BYTES_MAX {
        let message =
            format!("nodes keep the show in {bytes} bytes, and carry at most {CREATE_BYTES_MAX}");
        report.add(0, "", message);
    }
    match script {
        Some(script) if report.is_empty() => Ok(script),
        _ => Err(report::problems(report, places)),
    }
}

/// The show file of a script: `parse(&to_json(script))` is the script again but for its salts, as long as
/// it keeps the caps.
#[must_use]
pub fn to_json(script: &Script) -> String {
    json::write(&script.write())
}

#[cfg(test)]
mod tests;
