//! Figures: what is measured on real clusters, each under a name.
//!
//! A figure runs real processes and real clients, prints one JSON object and renews its own table in
//! the README. It fails rather than tell a number that it could not measure whole. A new one adds its
//! module and a line to [`FIGURES`]; nothing else knows their names.

mod again;
mod applied;
mod audience;
pub mod edge;
mod engagements;
mod main_job;
mod readme;
pub mod replication;
mod simulator;
pub mod soak;
mod timings;
mod verdict;

pub use readme::write as write_readme;

use serde_json::{Map, Value};

/// All of them.
pub const FIGURES: &[Figure] = &[
    main_job::FIGURE,
    edge::FIGURE,
    replication::FIGURE,
    engagements::FIGURE,
    simulator::FIGURE,
    soak::FIGURE,
];

/// Parts of them, for finding out why a number is what it is. They have no place in the README.
const PARTS: &[Figure] = &[edge::ANSWERS];

/// Players where nobody says how many.
pub const PLAYERS_DEFAULT: usize = 2_000;

/// Something that can be measured.
#[derive(Debug)]
pub struct Figure {
    /// Its name on the command line and in the README's markers.
    pub name: &'static str,
    /// What it tells, in a line.
    pub about: &'static str,
    /// Measures. Every wait in it is bounded.
    pub run: fn(&Scale) -> Result<Report, String>,
}

/// How large the measured show is.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Players, spread evenly over the nodes.
    pub players: usize,
    /// Questions.
    pub questions: u32,
    /// For how long a crowd stays, where that is measured.
    pub minutes: u32,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Report {
    /// For programs: exactly the keys that the figure names.
    pub numbers: Map<String, Value>,
    /// For people: Markdown.
    pub table: String,
}

/// The figure called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().chain(PARTS).find(|figure| figure.name == name)
}

/// Every name with what it tells, a line each.
#[must_use]
pub fn describe() -> String {
    let lines = FIGURES
        .iter()
        .chain(PARTS)
        .map(|figure| format!("  {:<12}  {}", figure.name, figure.about));
    lines.collect::<Vec<_>>().join("\n")
}
