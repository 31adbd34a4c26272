//! The options that commands share: what a seed means, and how values are written.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum as _;
use node::config::Ack;

use super::Failed;
use crate::kept::Kept;
use crate::schedule::{Kinds, Schedule, Unmet, Wanted};
use crate::sweep::Draws;
use crate::verdict::{Fidelity, WIRE_PLAYERS_MAX};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Given {
    /// What is run; by default a quiz, or a swarm once sizes are given.
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// How much of a node is real; by default as a file says, else all.
    #[arg(long, value_enum)]
    pub(super) fidelity: Option<Fidelity>,
    /// Nodes at the beginning; by default the seed draws 3 to 7.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=99))]
    nodes: Option<u8>,
    /// Players; by default the seed draws 10 to 190. Wire fidelity takes 10,000 at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    players: Option<u32>,
    /// How many must hold what a node promises; by default mostly one more, as the seed draws.
    #[arg(long, value_enum)]
    ack: Option<Ack>,
    /// What may go wrong: none, all, or some kinds as in crash,cut,loss. Each of them does then, if the cluster that is
    /// drawn is large enough and the fidelity has a part for it: what does not happen is said, with the reason.
    #[arg(long, value_name = "KINDS")]
    faults: Option<Kinds>,
    /// Real seconds before a run is given up as stuck.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    real_limit: u64,
}

/// One schedule: of a file, or of a seed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Source {
    /// A schedule, or what a sweep has kept of a failure; without it, what the seed draws. The options that say what a
    /// seed draws are not for a file.
    file: Option<PathBuf>,
    /// The seed whose schedule is taken.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    seed: Option<u64>,
    #[command(flatten)]
    pub(super) given: Given,
}

impl Source {
    /// The schedule, and how much of a node is real: as was asked for, else as a file says.
    pub(super) fn schedule(&self) -> Result<(Schedule, Fidelity), Failed> {
        self.given.schedule(self.file.as_deref(), self.seed.unwrap_or_default())
    }
}

/// The schedule of a file, and how much of a node is real: as was asked for, else as the file says.
pub(super) fn read(file: &Path, asked: Option<Fidelity>) -> Result<(Schedule, Fidelity), Failed> {
    let kept = Kept::read(file).map_err(|why| Failed::file(file, why))?;
    let fidelity = asked.or(kept.fidelity).unwrap_or_default();
    fidelity.check(&kept.schedule).map_err(|why| Failed::file(file, why))?;
    Ok((kept.schedule, fidelity))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scenario {
    /// Three nodes and a hundred players through a crash and a partition.
    Quiz,
    /// As many nodes and players, and as many faults, as the seed draws.
    Swarm,
    /// The simulator's own trial, without a node.
    Mesh,
}

impl Given {
    /// The schedule of a file, or the one that the seed draws, and how much of a node is real. Says what of it does not
    /// happen.
    ///
    /// # Errors
    /// If the options contradict the file, or each other.
    pub(super) fn schedule(
        &self,
        file: Option<&Path>,
        seed: u64,
    ) -> Result<(Schedule, Fidelity), Failed> {
        let (schedule, fidelity) = match file {
            Some(file) => {
                self.leave_to(file)?;
                read(file, self.fidelity)?
            }
            None => (self.draws()?.schedule(seed), self.fidelity()),
        };
        let asked = self.faults.unwrap_or(Kinds::NONE);
        let unmet = schedule.unmet(asked, fidelity);
        unmet.iter().for_each(|unmet| eprintln!("{unmet}"));
        Ok((schedule, fidelity))
    }

    /// A file is a whole schedule: whoever says more of it would be heard by nobody.
    fn leave_to(&self, file: &Path) -> Result<(), Failed> {
        let given = self.of_a_draw();
        if given.is_empty() {
            return Ok(());
        }
        let given = given.join(", ");
        Err(Failed::file(
            file,
            format!(
                "a file is a whole schedule, which {given} would not change: leave that out, edit the file, \
                 or have a schedule drawn by giving --seed in place of the file"
            ),
        ))
    }

    /// The options that are there of those that say what a seed draws.
    pub(super) fn of_a_draw(&self) -> Vec<&'static str> {
        let there = [
            ("--scenario", self.scenario.is_some()),
            ("--nodes", self.nodes.is_some()),
            ("--players", self.players.is_some()),
            ("--ack", self.ack.is_some()),
            ("--faults", self.faults.is_some()),
        ];
        there.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
    }

    pub(super) fn scenario(&self) -> Scenario {
        self.scenario.unwrap_or(if self.chooses() { Scenario::Swarm } else { Scenario::Quiz })
    }

    /// Whether something is fixed that a seed draws else.
    fn chooses(&self) -> bool {
        let sizes = self.nodes.is_some() || self.players.is_some();
        sizes || self.ack.is_some() || self.faults.is_some()
    }

    pub(super) fn fidelity(&self) -> Fidelity {
        self.fidelity.unwrap_or_default()
    }

    pub(super) fn real_limit(&self) -> Duration {
        Duration::from_secs(self.real_limit)
    }

    /// What does not happen, and to how many of these seeds, of the kinds that were named.
    pub(super) fn unmet(&self, seeds: impl Iterator<Item = u64>) -> BTreeMap<Unmet, usize> {
        let mut unmet = BTreeMap::new();
        let named = self.faults.filter(|kinds| *kinds != Kinds::ALL);
        let (Some(named), Ok(draws)) = (named, self.draws()) else { return unmet };
        for seed in seeds {
            for of_seed in draws.schedule(seed).unmet(named, self.fidelity()) {
                *unmet.entry(of_seed).or_default() += 1;
            }
        }
        unmet
    }

    /// How seeds become schedules.
    ///
    /// # Errors
    /// If the options contradict each other.
    pub(super) fn draws(&self) -> Result<Draws, Failed> {
        let Self { nodes, players, ack, faults, .. } = *self;
        let wanted = Wanted { nodes, players, ack };
        if self.fidelity() == Fidelity::Wire && players.is_some_and(|it| it > WIRE_PLAYERS_MAX) {
            let what = format!("--fidelity wire takes {WIRE_PLAYERS_MAX} players at most");
            return Err(Failed::Usage(what));
        }
        if let Some((nodes, kinds)) = nodes.zip(faults) {
            enough_for(nodes, kinds)?;
        }
        match self.scenario() {
            Scenario::Swarm => {
                Ok(faults.map_or(Draws::Swarm(wanted), |kinds| Draws::Chosen(wanted, kinds)))
            }
            _ if self.chooses() => {
                let what = "--nodes, --players, --ack and --faults are for --scenario swarm";
                Err(Failed::Usage(what.to_owned()))
            }
            Scenario::Quiz => Ok(Draws::Classic),
            Scenario::Mesh => {
                let what = "the mesh is no show, and has no schedule: it is for `run --scenario mesh --seed N`";
                Err(Failed::Usage(what.to_owned()))
            }
        }
    }

    /// These options again, where they are not the usual ones; begins with a blank.
    pub(super) fn again(&self) -> String {
        let mut line = match self.scenario() {
            Scenario::Quiz => String::new(),
            Scenario::Swarm => " --scenario swarm".to_owned(),
            Scenario::Mesh => " --scenario mesh".to_owned(),
        };
        for (name, value) in [("nodes", self.nodes.map(u32::from)), ("players", self.players)] {
            line += &value.map_or(String::new(), |value| format!(" --{name} {value}"));
        }
        if let Some(ack) = self.ack.and_then(|ack| ack.to_possible_value()) {
            line += &format!(" --ack {}", ack.get_name());
        }
        if let Some(kinds) = self.faults {
            line += &format!(" --faults {kinds}");
        }
        line + &again_in(self.fidelity())
    }
}

/// The options that choose a fidelity and a planted bug, unless they are the usual ones.
fn again_in(fidelity: Fidelity) -> String {
    match fidelity {
        Fidelity::Wire => planted(),
        Fidelity::Message => spelt_out(fidelity),
    }
}

/// The options that choose a fidelity, whichever it is, and a planted bug.
pub(super) fn spelt_out(fidelity: Fidelity) -> String {
    format!(" --fidelity {}{}", format!("{fidelity:?}").to_lowercase(), planted())
}

#[cfg(feature = "planted")]
fn planted() -> String {
    crate::planting::planted_in_all().map_or(String::new(), |bug| format!(" --plant {bug:?}"))
}

#[cfg(not(feature = "planted"))]
fn planted() -> String {
    String::new()
}

/// A kind of trouble that is named does happen among so many nodes.
pub(super) fn enough_for(nodes: u8, kinds: Kinds) -> Result<(), Failed> {
    let beyond = kinds.beyond(nodes);
    if beyond == Kinds::NONE {
        return Ok(());
    }
    let least = beyond.nodes_min();
    Err(Failed::Usage(format!(
        "--nodes {nodes} is too few for --faults {beyond}: leave that out, or give --nodes {least}"
    )))
}

/// `1..=50`, or `50` for the same.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let wrong = || format!("{text:?} is no range of seeds: expected as in 1..=50, or 50");
    let (first, last) = text.split_once("..=").unwrap_or(("1", text));
    let (first, last) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first <= last { Ok(first..=last) } else { Err(wrong()) }
}

/// `90s`, `10m`, `1.5h`, `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time: expected as in 250ms, 18.3s, 10m, 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, ms) in [("250ms", 250), ("18.3s", 18_300), ("10m", 600_000), ("1.5h", 5_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "m", "-1s", "1 s", "1.2.3s", "1d", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seeds_are_a_range_or_a_count() {
        assert_eq!(seeds("3..=9"), Ok(3..=9));
        assert_eq!(seeds("50"), Ok(1..=50));
        for text in ["", "0", "5..=1", "1..9", "a..=b"] {
            assert!(seeds(text).is_err(), "{text}");
        }
    }
}
