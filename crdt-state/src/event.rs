//! The state of one event: a product of small lattices, dropped as a whole when the event is archived.
//!
//! Invariant kept by whoever calls [`EventState::apply`]: entries of a lane arrive strictly in order and
//! once, so that the content is exactly what the heads say. Nothing inside is pruned by time: there
//! are no tombstones and no clocks, which removes the class of bugs that hurts every peer system most.

mod digest;
mod rounds;

pub use rounds::{Round, Rounds, Sealed};

use crate::column::{Cell, Column};
use crate::delta::{self, DecodeError, Delta};
use crate::engagement::quiz::{Question, Script};
use crate::id::{Heads, Lamport, LaneId, NodeId, Origin, Row};
use crate::lattice::{Max, Min, Pointwise};
use crate::named::Named;
use crate::players::{Player, Players};
use crate::stage::{Phase, Stage};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

/// Answers of one question in one instance, a column for every origin that numbered rows.
pub type Sheet = Pointwise<Origin, Column>;

/// Everything that is replicated of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventState {
    /// What is played, as the first creation said.
    script: Min<(Lamport, Origin, Arc<Script>)>,
    /// Where the show stands.
    stage: Max<Stage>,
    /// What is known of every instance.
    rounds: Rounds,
    /// The origins that take part, and the node that each is an incarnation of.
    enrolled: BTreeMap<Origin, (NodeId, String)>,
    /// The largest order hint that was seen.
    lamport: Max<Lamport>,
    /// Flags, counters, sets and settings.
    pub named: Named,
    /// Who plays.
    pub players: Players,
    /// What they answered, by (instance, question).
    sheets: Pointwise<(u32, u16), Sheet>,
}

impl EventState {
    /// Takes in one entry of a lane, whole or not at all.
    ///
    /// # Errors
    /// When the entry cannot be read, or is in another's name; the state is then unchanged.
    pub fn apply(&mut self, from: LaneId, entry: &[u8]) -> Result<Vec<Delta>, DecodeError> {
        let deltas = delta::decode(entry)?;
        if !deltas.iter().all(|delta| delta.is_by(from.origin)) {
            return Err(DecodeError::Malformed { what: "a change is written in another's name" });
        }
        for delta in &deltas {
            self.take(from.origin, delta.clone());
        }
        Ok(deltas)
    }

    /// Takes in one delta that `origin` wrote.
    pub fn take(&mut self, origin: Origin, delta: Delta) {
        match delta {
            Delta::Create(create) => {
                self.lamport.observe(create.lamport);
                self.script.observe((create.lamport, origin, Arc::new(create.script)));
            }
            Delta::Enrol(enrol) => {
                self.enrolled.entry(origin).or_insert((enrol.node, enrol.name));
            }
            Delta::Advance(advance) => {
                self.lamport.observe(advance.lamport);
                self.stage.observe(advance.to);
                self.rounds.advance(origin, &advance);
            }
            Delta::Extend(extend) => {
                self.rounds.at(extend.instance).open_ms.merge(Max(extend.open_ms));
            }
            Delta::Seal(seal) => self.rounds.seal(&seal),
            Delta::Named(change) => {
                self.lamport.observe(change.lamport().unwrap_or_default());
                self.named.take(origin, change);
            }
            Delta::Joins(joins) => {
                for join in joins {
                    self.players.insert(join.row, Player { id: join.player, name: join.name });
                }
            }
            Delta::Answers(answers) => {
                let sheet = self.sheets.at((answers.instance, answers.question));
                let column = sheet.at(answers.rows_of);
                for (row, elapsed_ms, value) in answers.rows {
                    column.join(row, Cell::new(elapsed_ms, origin, value));
                }
            }
        }
    }

    /// What is played; nothing before the creation has arrived.
    #[must_use]
    pub fn script(&self) -> Option<&Arc<Script>> {
        self.script.0.as_ref().map(|(_, _, script)| script)
    }

    /// The origin whose creation holds.
    #[must_use]
    pub fn creator(&self) -> Option<Origin> {
        self.script.0.as_ref().map(|(_, origin, _)| *origin)
    }

    /// Where the show stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage.0
    }

    /// An order hint larger than everything seen.
    #[must_use]
    pub fn next_lamport(&self) -> Lamport {
        (self.lamport.0 + 1).min(crate::caps::LAMPORT_MAX)
    }

    /// What is known of an instance.
    #[must_use]
    pub fn round(&self, instance: u32) -> Option<&Round> {
        self.rounds.get(instance)
    }

    /// Every instance so far, in order.
    pub fn instances(&self) -> impl Iterator<Item = (u32, &Round)> {
        self.rounds.iter()
    }

    /// The question that an instance runs.
    #[must_use]
    pub fn question_of(&self, instance: u32) -> Option<(u16, &Question)> {
        let number = self.rounds.get(instance)?.question()?;
        Some((number, self.script()?.questions.get(usize::from(number))?))
    }

    /// How long an instance is open in all, in milliseconds.
    #[must_use]
    pub fn open_ms(&self, instance: u32) -> u32 {
        self.rounds.get(instance).map_or(0, |round| round.open_ms.0)
    }

    /// The origins that take part, with their nodes.
    pub fn enrolled(&self) -> impl Iterator<Item = (Origin, NodeId, &str)> {
        self.enrolled.iter().map(|(origin, (node, name))| (*origin, *node, name.as_str()))
    }

    /// Whether an origin takes part.
    #[must_use]
    pub fn is_enrolled(&self, origin: Origin) -> bool {
        self.enrolled.contains_key(&origin)
    }

    /// The heads with which `origin` sealed `instance`, by that round's seal or a later one's.
    #[must_use]
    pub fn sealed(&self, origin: Origin, instance: u32) -> Option<Sealed> {
        self.rounds.sealed(origin, instance)
    }

    /// Whether `origin` has sealed `instance` and everything it sealed is within `heads`.
    #[must_use]
    pub fn is_sealed(&self, origin: Origin, instance: u32, heads: &Heads) -> bool {
        self.sealed(origin, instance).is_some_and(|sealed| sealed.is_within(origin, heads))
    }

    /// The enrolled origins whose seal of `instance` is missing or not covered by `heads`.
    pub fn unsealed<'a>(
        &'a self,
        instance: u32,
        heads: &'a Heads,
    ) -> impl Iterator<Item = (Origin, NodeId)> + 'a {
        self.enrolled()
            .filter(move |(origin, _, _)| !self.is_sealed(*origin, instance, heads))
            .map(|(origin, node, _)| (origin, node))
    }

    /// The answer held for one row in an instance: that of the question shown, or else the earliest of
    /// those given to another question on the far side of a partition.
    #[must_use]
    pub fn held(&self, instance: u32, rows: impl IntoIterator<Item = Row>) -> Option<(u16, Cell)> {
        let shown = self.rounds.get(instance).and_then(Round::question);
        let rows: Vec<Row> = rows.into_iter().collect();
        self.sheets
            .0
            .range((instance, 0)..=(instance, u16::MAX))
            .map(|((_, question), sheet)| (*question, smallest(sheet, &rows)))
            .filter(|(_, cell)| !cell.is_empty())
            .min_by_key(|(question, cell)| (Some(*question) != shown, *cell))
    }

    /// How many answers an instance has for each option, aliases counted once.
    #[must_use]
    pub fn tally(&self, instance: u32) -> Vec<u64> {
        let options = self.question_of(instance).map_or(0, |(_, question)| question.options.len());
        let mut counts = vec![0; options];
        for (_, rows) in self.players.iter() {
            let Some((_, cell)) = self.held(instance, rows.iter().copied()) else { continue };
            for (option, count) in counts.iter_mut().enumerate() {
                *count += u64::from(cell.choice() >> option & 1);
            }
        }
        counts
    }

    /// How many players have answered in an instance, aliases counted once.
    #[must_use]
    pub fn answered(&self, instance: u32) -> u64 {
        let held = |rows: &std::collections::BTreeSet<Row>| {
            self.held(instance, rows.iter().copied()).is_some()
        };
        self.players.iter().filter(|(_, rows)| held(rows)).count() as u64
    }

    /// Whether answers are taken in `instance` in this view.
    #[must_use]
    pub fn is_open(&self, instance: u32) -> bool {
        self.stage() == Stage::new(instance, Phase::Open)
    }
}

fn smallest(sheet: &Sheet, rows: &[Row]) -> Cell {
    let cell = |row: &Row| sheet.0.get(&row.origin).map_or(Cell::EMPTY, |c| c.get(row.number));
    rows.iter().map(cell).min().unwrap_or_default()
}

impl CvRDT for EventState {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.script.merge(other.script);
        self.stage.merge(other.stage);
        self.rounds.merge(other.rounds);
        for (origin, node) in other.enrolled {
            self.enrolled.entry(origin).or_insert(node);
        }
        self.lamport.merge(other.lamport);
        self.named.merge(other.named);
        self.players.merge(other.players);
        self.sheets.merge(other.sheets);
    }
}
