//! The state of one event: a product of small lattices, dropped as a whole when the event is archived.
//!
//! Invariant kept by whoever calls [`EventState::apply`]: entries of a lane arrive strictly in order and
//! once, so that the content is exactly what the heads say. Nothing inside is pruned by time: there
//! are no tombstones and no clocks, which removes the class of bugs that hurts every peer system most.

mod digest;
mod drafts;
mod fences;
pub(crate) mod fold;
mod forgotten;
mod masks;
mod revision;
mod room;
mod rounds;
mod ruling;
mod sides;
mod slices;
mod votes;

pub use fences::Fences;
pub use forgotten::{Forgotten, ForgottenOrigins};
pub use room::{BEYOND, Beyond};
pub use rounds::{Round, Rounds, Sealed};
pub use ruling::{Fate, Last, Rule, Ruling, Rulings};
pub use sides::{Post, Sides, TextSheet};
pub use slices::{PIECE_BYTES_MAX, Piece, Slice};

use crate::column::{Cell, Column};
use crate::delta::{
    self, Answers, AnswersFrame, Create, DecodeError, Delta, Frame, Join, Seal, Texts,
};
use crate::engagement::{Question, Script};
use crate::id::{Heads, Lamport, LaneId, NodeId, Origin, PlayerId, Row};
use crate::lattice::{Max, Min, Pointwise};
use crate::named::Named;
use crate::players::{Player, Players};
use crate::stage::{Phase, Stage};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

/// Answers of one question in one instance, a column for every origin that numbered rows.
pub type Sheet = Pointwise<Origin, Column>;

/// What an entry brought, as far as anybody may have to react to it.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// Players; those named have another row too.
    Joins {
        /// Whose answers may now be read together with others.
        aliased: Vec<PlayerId>,
    },
    /// Answers; those to the rows named may be held in place of others.
    Answers {
        /// Which run.
        instance: u32,
        /// Rows for which an answer was held before, or whose player has another row, or all rows
        /// where the instance has more than one question.
        contested: Vec<Row>,
    },
    /// Anything else.
    Other(Delta),
}

/// Everything that is replicated of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventState {
    /// What is played, as the first creation said.
    script: Min<(Lamport, Origin, Arc<Script>)>,
    /// Creations of which parts have come.
    drafts: drafts::Drafts,
    /// Where the show stands.
    stage: Max<Stage>,
    /// What is known of every instance.
    rounds: Rounds,
    /// The origins that take part, the node that each is an incarnation of, and the newest version that it
    /// reads.
    enrolled: BTreeMap<Origin, (NodeId, String, u16)>,
    /// The origins that may stand behind what others take.
    vouching: BTreeSet<Origin>,
    /// The origins that an operator gave up.
    forgotten: ForgottenOrigins,
    /// The largest order hint that was seen.
    lamport: Max<Lamport>,
    /// Flags, counters, sets and settings.
    pub named: Named,
    /// Who plays.
    pub players: Players,
    /// What they answered, by (instance, question).
    sheets: Pointwise<(u32, u16), Sheet>,
    /// What does not fit a cell.
    pub sides: Sides,
    /// What hosts ruled.
    pub rulings: Rulings,
    /// What is held of that which has a cap.
    #[serde(skip)]
    held: room::Held,
}

impl EventState {
    /// Takes in one entry of a lane, whole or not at all.
    ///
    /// # Errors
    /// When the entry cannot be read, is in another's name, or would have the event hold more than it may; the state is
    /// then unchanged.
    pub fn apply(&mut self, from: LaneId, entry: &[u8]) -> Result<Vec<Taken>, DecodeError> {
        let frames = delta::frames(entry)?;
        if !frames.iter().all(|frame| frame.is_by(from.origin)) {
            return Err(DecodeError::Malformed { what: "a change is written in another's name" });
        }
        self.make_room(&frames, entry.len())?;
        Ok(frames.into_iter().map(|frame| self.take_frame(from.origin, frame)).collect())
    }

    fn take_frame(&mut self, origin: Origin, frame: Frame<'_>) -> Taken {
        match frame {
            Frame::Answers(answers) => self.take_answers(origin, &answers),
            Frame::Delta(Delta::Joins(joins)) => {
                let several = |join: Join| self.join(&join).then_some(join.player);
                Taken::Joins { aliased: joins.into_iter().filter_map(several).collect() }
            }
            Frame::Delta(Delta::Texts(texts)) => {
                let (instance, rows_of) = (texts.instance, texts.rows_of);
                let row =
                    |(number, ..): &(u32, u32, u32, u32)| Row { origin: rows_of, number: *number };
                let contested = texts.rows.iter().map(row).collect();
                self.take_texts(origin, texts);
                Taken::Answers { instance, contested }
            }
            Frame::Delta(delta) => {
                self.take(origin, delta.clone());
                Taken::Other(delta)
            }
        }
    }

    fn take_answers(&mut self, origin: Origin, answers: &AnswersFrame<'_>) -> Taken {
        let AnswersFrame { instance, question, rows_of, .. } = *answers;
        let mut contested = Vec::new();
        if !answers.is_empty() {
            let column = self.sheets.at((instance, question)).at(rows_of);
            let cell = |(row, elapsed, value)| (row, Cell::new(elapsed, origin, value));
            column.join_all(answers.rows().map(cell), |row| contested.push(row));
        }
        let questions = self.sheets.0.range((instance, 0)..=(instance, u16::MAX)).count();
        let row = |number| Row { origin: rows_of, number };
        if questions > 1 {
            contested = answers.rows().map(|(row, ..)| row).collect();
        } else if self.players.has_aliases() {
            let aliased = |number: &u32| self.players.is_aliased(row(*number));
            contested.extend(answers.rows().map(|(row, ..)| row).filter(aliased));
        }
        Taken::Answers { instance, contested: contested.into_iter().map(row).collect() }
    }

    /// Takes in one answer unless its player has given one; what is held already.
    pub fn offer(&mut self, instance: u32, question: u16, row: Row, cell: Cell) -> Option<Cell> {
        let mut sheets = self.sheets.0.range_mut((instance, 0)..=(instance, u16::MAX));
        if let (Some((key, sheet)), None) = (sheets.next(), sheets.next())
            && *key == (instance, question)
            && !self.players.has_aliases()
        {
            let column = sheet.at(row.origin);
            let held = column.get(row.number);
            if held.is_empty() {
                column.join(row.number, cell);
            }
            return (!held.is_empty()).then_some(held);
        }
        let player = self.players.get(row).map(|player| player.id);
        let rows: Vec<Row> = player.into_iter().flat_map(|id| self.players.rows_of(id)).collect();
        if let Some((_, held)) = self.held(instance, rows) {
            return Some(held);
        }
        self.take_answer(instance, question, row, cell);
        None
    }

    fn take_texts(&mut self, origin: Origin, texts: Texts) {
        for (number, elapsed_ms, value, _) in &texts.rows {
            let row = Row { origin: texts.rows_of, number: *number };
            let cell = Cell::new(*elapsed_ms, origin, *value);
            self.take_answer(texts.instance, texts.question, row, cell);
        }
        self.sides.take_texts(origin, texts);
    }

    /// What was typed with the answer that is held for these rows.
    #[must_use]
    pub fn held_text(
        &self,
        instance: u32,
        question: u16,
        rows: impl IntoIterator<Item = Row>,
    ) -> Option<&str> {
        self.sides.texts(instance, question)?.of(rows)
    }

    /// Whether anything was typed in answer to a question.
    #[must_use]
    pub fn has_texts(&self, instance: u32, question: u16) -> bool {
        self.sides.texts(instance, question).is_some()
    }

    /// Takes in one answer, which `cell` holds; the cell that was held before.
    pub fn take_answer(&mut self, instance: u32, question: u16, row: Row, cell: Cell) -> Cell {
        self.sheets.at((instance, question)).at(row.origin).join(row.number, cell)
    }

    /// Takes in one row; tells whether its player has another one too.
    pub fn join(&mut self, join: &Join) -> bool {
        self.players.insert(join.row, Player { id: join.player, name: &join.name })
    }

    fn create(&mut self, origin: Origin, create: Create) {
        self.lamport.observe(create.lamport);
        self.script.observe((create.lamport, origin, Arc::new(create.script)));
    }

    /// Takes in one delta that `origin` wrote.
    pub fn take(&mut self, origin: Origin, delta: Delta) {
        match delta {
            Delta::Create(create) => self.create(origin, create),
            Delta::CreatePart(part) => {
                if let Some((origin, create)) = self.drafts.take(origin, part) {
                    self.create(origin, create);
                }
            }
            Delta::Enrol(enrol) => {
                let said = (enrol.node, enrol.name, enrol.reads);
                self.enrolled.entry(origin).or_insert(said);
            }
            Delta::Advance(advance) => {
                self.lamport.observe(advance.lamport);
                self.stage.observe(advance.to);
                if crate::planted!(StageOverwritten) {
                    self.stage.0 = advance.to;
                }
                self.rounds.advance(origin, &advance);
            }
            Delta::Extend(extend) => {
                let open_ms = &mut self.rounds.at(extend.instance).open_ms;
                open_ms.merge(Max(extend.open_ms));
                if crate::planted!(DeadlineByMinimum) {
                    open_ms.0 = open_ms.0.min(extend.open_ms / 2);
                }
            }
            Delta::Seal(seal) => self.rounds.seal(&seal),
            Delta::Fence(fence) => self.rounds.fence(origin, &fence),
            Delta::Vouch => {
                self.vouching.insert(origin);
            }
            Delta::Forget(forget) => self.forgotten.take(&forget),
            Delta::Named(change) => {
                self.lamport.observe(change.lamport().unwrap_or_default());
                self.named.take(origin, change);
            }
            Delta::Joins(joins) => {
                for join in joins {
                    self.join(&join);
                }
            }
            Delta::Answers(answers) => {
                let Answers { instance, question, rows_of, rows } = answers;
                for (number, elapsed_ms, value) in rows {
                    let row = Row { origin: rows_of, number };
                    self.take_answer(instance, question, row, Cell::new(elapsed_ms, origin, value));
                }
            }
            Delta::Texts(texts) => self.take_texts(origin, texts),
            Delta::Posts(posts) => self.sides.take_posts(posts),
            Delta::Votes(votes) => self.sides.take_votes(votes),
            Delta::Ruling(change) => {
                self.lamport.observe(change.lamport);
                self.rulings.take(change.instance, (change.lamport, origin), change.rule);
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
        self.lamport.0.saturating_add(1).min(crate::caps::LAMPORT_MAX)
    }

    /// What is known of an instance.
    #[must_use]
    pub fn round(&self, instance: u32) -> Option<&Round> {
        self.rounds.get(instance)
    }

    /// Every instance so far, in order.
    pub fn instances(&self) -> impl DoubleEndedIterator<Item = (u32, &Round)> {
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
        self.enrolled.iter().map(|(origin, (node, name, _))| (*origin, *node, name.as_str()))
    }

    /// Whether an origin takes part.
    #[must_use]
    pub fn is_enrolled(&self, origin: Origin) -> bool {
        self.enrolled.contains_key(&origin)
    }

    /// The newest [version](crate::version) that all who take part read, those aside that never write again
    /// or were given up. Of somebody who takes part by hearsay nobody knows.
    #[must_use]
    pub fn all_read(&self) -> u16 {
        let enrolled = self.enrolled.iter().filter(|(origin, _)| self.is_awaited(**origin));
        let least = enrolled.map(|(_, (_, _, reads))| *reads).min();
        let unknown = self
            .hearsay()
            .any(|origin| self.is_awaited(origin))
            .then_some(crate::Versions::THIS.oldest);
        least.into_iter().chain(unknown).min().unwrap_or(crate::Versions::THIS.newest)
    }

    /// The names of the nodes that read less than this version, as far as [`EventState::all_read`] counts
    /// them.
    pub fn behind(&self, version: u16) -> BTreeSet<&str> {
        let behind = self.enrolled.iter().filter(|(_, (_, _, reads))| *reads < version);
        behind
            .filter(|(origin, _)| self.is_awaited(**origin))
            .map(|(_, (_, name, _))| name.as_str())
            .collect()
    }

    /// Whether an origin may stand behind what others take.
    #[must_use]
    pub fn is_vouching(&self, origin: Origin) -> bool {
        self.vouching.contains(&origin)
    }

    /// The origins that may stand behind what others take.
    #[must_use]
    pub fn vouching(&self) -> &BTreeSet<Origin> {
        &self.vouching
    }

    /// Who stands behind how much of what was taken in which run.
    #[must_use]
    pub fn fences(&self) -> &Fences {
        self.rounds.fences()
    }

    /// The newest run that `origin` has sealed, but for the seal for good; 0 if none.
    #[must_use]
    pub fn newest_sealed(&self, origin: Origin) -> u32 {
        self.rounds.newest_sealed(origin)
    }

    /// The node that an origin is an incarnation of, if its enrolment is known.
    #[must_use]
    pub fn node_of(&self, origin: Origin) -> Option<NodeId> {
        self.enrolled.get(&origin).map(|(node, ..)| *node)
    }

    /// The answers of an instance as they are now, by question; shares memory with the state.
    #[must_use]
    pub fn answers_of(&self, instance: u32) -> BTreeMap<u16, Sheet> {
        let sheets = self.sheets.0.range((instance, 0)..=(instance, u16::MAX));
        sheets.map(|((_, question), sheet)| (*question, sheet.clone())).collect()
    }

    /// Whether answers to an instance are here whose rows are not: nobody can say yet whose they are, and
    /// they count for nobody. A row may come in another lane than its answers.
    #[must_use]
    pub fn has_orphans(&self, instance: u32) -> bool {
        let sheets = self.sheets.0.range((instance, 0)..=(instance, u16::MAX));
        let mut columns = sheets.flat_map(|(_, sheet)| &sheet.0);
        columns.any(|(origin, column)| {
            let row = |number| Row { origin: *origin, number };
            column.iter().any(|(number, _)| self.players.get(row(number)).is_none())
        })
    }

    /// Origins that take part by the word of a seal, but not by their own as far as is known here.
    pub fn hearsay(&self) -> impl Iterator<Item = Origin> {
        self.rounds.known().filter(|origin| !self.is_enrolled(*origin))
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

    /// Whether `origin` never writes again.
    #[must_use]
    pub fn is_retired(&self, origin: Origin) -> bool {
        self.sealed(origin, Seal::FOR_GOOD).is_some()
    }

    /// Whether `origin` may have more to give: it writes again, and nobody gave it up.
    #[must_use]
    pub fn is_awaited(&self, origin: Origin) -> bool {
        !self.is_retired(origin) && !self.is_forgotten(origin)
    }

    /// The origins that were ever forgotten.
    #[must_use]
    pub fn forgotten(&self) -> &ForgottenOrigins {
        &self.forgotten
    }

    /// Whether an operator gave `origin` up and it has not come back.
    #[must_use]
    pub fn is_forgotten(&self, origin: Origin) -> bool {
        self.forgotten.get(origin).is_some_and(Forgotten::is_given_up)
    }

    /// The origins whose seal of `instance` is missing or not covered by `heads`, forgotten ones included,
    /// and the node of each. Those that take part by the word of a seal only are among them, and have no
    /// node yet.
    pub fn unsealed<'a>(
        &'a self,
        instance: u32,
        heads: &'a Heads,
    ) -> impl Iterator<Item = (Origin, Option<NodeId>)> + 'a {
        let enrolled = self.enrolled().map(|(origin, node, _)| (origin, Some(node)));
        enrolled
            .chain(self.hearsay().map(|origin| (origin, None)))
            .filter(move |(origin, _)| !self.is_sealed(*origin, instance, heads))
            .filter(move |_| {
                !crate::planted!(FinalByOne)
                    || !self.enrolled().any(|(one, ..)| self.is_sealed(one, instance, heads))
            })
    }

    /// Whether answers are taken in `instance` in this view.
    #[must_use]
    pub fn is_open(&self, instance: u32) -> bool {
        self.stage() == Stage::new(instance, Phase::Open)
    }
}

impl CvRDT for EventState {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.script.merge(other.script);
        for (origin, create) in self.drafts.merge(other.drafts) {
            self.create(origin, create);
        }
        self.stage.merge(other.stage);
        self.rounds.merge(other.rounds);
        for (origin, node) in other.enrolled {
            self.enrolled.entry(origin).or_insert(node);
        }
        self.vouching.extend(other.vouching);
        self.forgotten.merge(other.forgotten);
        self.lamport.merge(other.lamport);
        self.named.merge(other.named);
        self.players.merge(other.players);
        self.sheets.merge(other.sheets);
        self.sides.merge(other.sides);
        self.rulings.merge(other.rulings);
        self.forget_count();
    }
}
