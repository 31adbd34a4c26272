//! The simulator in a test of one's own.
//!
//! ```
//! use sim::schedule::Kind;
//! use sim::simulation::Simulation;
//!
//! // Four seeds of five nodes and two hundred players; only crashes and lost packets go wrong.
//! // Panics with the whole story and the command that replays it if any promise is not kept.
//! let runs = Simulation::builder()
//!     .nodes(5)
//!     .players(200)
//!     .faults([Kind::Crash, Kind::Loss])
//!     .seeds(1..=4)
//!     .run();
//! assert!(runs.iter().all(|run| run.outcome.value.asked > 200));
//! ```
//!
//! `SIM_SEED=17 cargo test the_name_of_the_test` runs that seed alone.

use std::env;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::failure::Failure;
use crate::kept::Kept;
use crate::run::Options;
use crate::schedule::{Kinds, Schedule, Wanted};
use crate::verdict::{Fidelity, Verdict, judge_in};

/// The variable that names the only seed to run.
pub const SEED: &str = "SIM_SEED";
/// Seeds of a simulation that does not say (arbitrary: a second or two in message fidelity).
const SEEDS: RangeInclusive<u64> = 1..=8;

/// What a test wants to see simulated.
#[derive(Clone, Debug)]
pub struct Simulation {
    wanted: Wanted,
    kinds: Kinds,
    seeds: RangeInclusive<u64>,
    fidelity: Fidelity,
    schedule: Option<Schedule>,
    real_limit: Duration,
}

impl Simulation {
    /// Whatever seeds draw: 3 to 7 nodes, 10 to 190 players, any trouble, in message fidelity.
    pub fn builder() -> Self {
        Self {
            wanted: Wanted::default(),
            kinds: Kinds::ALL,
            seeds: SEEDS,
            fidelity: Fidelity::Message,
            schedule: None,
            real_limit: Options::default().real_limit,
        }
    }

    /// One schedule, as a file has it.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn of_json(text: &str) -> Self {
        let kept = Kept::from_json(text).unwrap_or_else(|why| panic!("the schedule: {why}"));
        let fidelity = kept.fidelity.unwrap_or(Fidelity::Message);
        Self { fidelity, ..Self::of(kept.schedule) }
    }

    /// One schedule.
    pub fn of(schedule: Schedule) -> Self {
        Self { schedule: Some(schedule), ..Self::builder() }
    }

    /// How many nodes stand at the beginning.
    #[must_use]
    pub fn nodes(mut self, nodes: u8) -> Self {
        self.wanted.nodes = Some(nodes);
        self
    }

    /// How many play.
    #[must_use]
    pub fn players(mut self, players: u32) -> Self {
        self.wanted.players = Some(players);
        self
    }

    /// Which kinds of trouble there are; [`Kinds::NONE`] for none.
    #[must_use]
    pub fn faults(mut self, kinds: impl Into<Kinds>) -> Self {
        self.kinds = kinds.into();
        self
    }

    /// The seeds that are run.
    #[must_use]
    pub fn seeds(mut self, seeds: RangeInclusive<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// How much of a node is real.
    #[must_use]
    pub fn fidelity(mut self, fidelity: Fidelity) -> Self {
        self.fidelity = fidelity;
        self
    }

    /// Runs every seed, or the one in `SIM_SEED`, and returns what was seen.
    ///
    /// # Panics
    /// At the first seed on which a promise is not kept: with the story, what was violated, and how
    /// to run it again. And if a kind of trouble is named that does not happen among so few nodes, or in that fidelity:
    /// such a test would pass whatever becomes of it.
    #[track_caller]
    pub fn run(&self) -> Vec<Verdict> {
        self.check_kinds();
        match &self.schedule {
            Some(schedule) => vec![self.good(schedule.clone())],
            None => self.seeds_to_run().map(|seed| self.good(self.draw(seed))).collect(),
        }
    }

    #[track_caller]
    fn check_kinds(&self) {
        if self.schedule.is_some() {
            return;
        }
        let (fidelity, lacking) = (self.fidelity, self.kinds.lacking(self.fidelity.lacks()));
        assert!(lacking == Kinds::NONE, "{fidelity} fidelity has no part for {lacking}");
        let Some(nodes) = self.wanted.nodes else { return };
        let beyond = self.kinds.beyond(nodes);
        let least = beyond.nodes_min();
        assert!(beyond == Kinds::NONE, "{nodes} nodes are too few for {beyond}: it takes {least}");
    }

    fn seeds_to_run(&self) -> RangeInclusive<u64> {
        let Ok(text) = env::var(SEED) else { return self.seeds.clone() };
        let seed = text.parse().unwrap_or_else(|_| panic!("{SEED}={text:?} is no seed"));
        seed..=seed
    }

    fn draw(&self, seed: u64) -> Schedule {
        Schedule::draw_of(seed, self.wanted, self.kinds)
    }

    #[track_caller]
    fn good(&self, schedule: Schedule) -> Verdict {
        let seed = schedule.seed;
        let options = Options { real_limit: self.real_limit, ..Options::default() };
        let judged = judge_in(self.fidelity, schedule, options);
        let failure = Failure::of(&judged);
        match (judged, failure) {
            (Ok(verdict), None) => verdict,
            (Ok(verdict), Some(_)) => panic!("{verdict}\n{}", self.replay(seed)),
            (Err(why), _) => panic!("{why}\n{}", self.replay(seed)),
        }
    }

    /// How a failing seed is run again.
    fn replay(&self, seed: u64) -> String {
        if self.schedule.is_some() {
            return "the same schedule fails again".to_owned();
        }
        let thread = std::thread::current();
        format!("replay with: {SEED}={seed} cargo test {}", thread.name().unwrap_or_default())
    }
}
