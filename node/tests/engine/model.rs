//! The reference model: what players were promised, and what must be true of every core because of it.

use crate::asks::{choice_in, receipt_in};
use crate::world::World;
use crdt_state::engagement::fold;
use crdt_state::event::Rulings;
use crdt_state::{EventState, PlayerId, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// What a player was told to be held: elapsed milliseconds and choice.
type Told = (u32, u8);
/// A player's answer in one round.
type Key = (PlayerId, u32);
/// No show has more runs.
const INSTANCES: u32 = 60;
/// A result as people see it: who chose what when, and what it gave.
type Result = Vec<(PlayerId, u32, u32, i64)>;

/// What was asked, promised and shown so far.
#[derive(Debug, Default)]
pub struct Model {
    asked: BTreeMap<Key, BTreeSet<u8>>,
    accepted: BTreeMap<Key, BTreeSet<Told>>,
    firm: BTreeMap<Key, BTreeSet<Told>>,
    /// With what hosts had ruled by then.
    finals: BTreeMap<u32, (Rulings, Result)>,
    stages: Vec<Stage>,
    /// Messages that took a promise back in favour of an earlier answer.
    pub superseded: u64,
}

impl Model {
    /// A player sends an answer.
    pub fn on_ask(&mut self, player: PlayerId, instance: u32, choice: u8) {
        self.asked.entry((player, instance)).or_default().insert(choice);
    }

    /// A node starts anew: it may know less than before its crash.
    pub fn on_start(&mut self, at: usize) {
        self.stages[at] = Stage::default();
    }

    /// Reads all that was said since the last call, and looks at every core.
    ///
    /// # Panics
    /// When a stage went back, an answer that nobody gave is told, or a final result changed.
    pub fn observe(&mut self, world: &mut World) {
        for (_, player, message) in std::mem::take(&mut world.inbox) {
            for instance in 1..=INSTANCES {
                let Some(receipt) = receipt_in(&message, instance) else { continue };
                let (key, told) = ((player, instance), (receipt.elapsed_ms, receipt.choice));
                assert!(self.asked[&key].contains(&receipt.choice), "{key:?} {receipt:?}");
                self.superseded += u64::from(receipt.status == "superseded");
                if receipt.status == "accepted" {
                    self.accepted.entry(key).or_default().insert(told);
                }
                if receipt.firm {
                    self.firm.entry(key).or_default().insert(told);
                }
            }
        }
        self.stages.resize(world.count(), Stage::default());
        for at in world.alive() {
            let state = world.core(at).state();
            assert!(state.stage() >= self.stages[at], "node {at}: a stage only grows");
            self.stages[at] = state.stage();
            self.check_finals(world, at);
        }
        assert!(world.alarms.is_empty(), "{:?}", world.alarms);
    }

    /// Judges a core at the end, when all is healed.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn judge(&self, state: &EventState) {
        for ((player, instance), promises) in &self.firm {
            let held = held(state, *player, *instance);
            let (elapsed, _) = held.unwrap_or_else(|| panic!("{player} {instance}: {promises:?}"));
            if asked_twice(state, *instance) {
                continue;
            }
            let least = promises.first().expect("a set of promises is not empty").0;
            assert!(elapsed <= least, "{player} {instance}: {held:?} after {promises:?}");
        }
        for ((player, instance), accepted) in &self.accepted {
            let held = held(state, *player, *instance).filter(|_| !asked_twice(state, *instance));
            let Some(held) = held else { continue };
            assert!(self.asked[&(*player, *instance)].contains(&held.1), "nobody chose {held:?}");
            if self.firm.get(&(*player, *instance)).is_some_and(|firm| firm.is_superset(accepted)) {
                let least = accepted.first().expect("as above").0;
                assert!(held.0 <= least, "the earliest counts: {held:?} of {accepted:?}");
            }
        }
        for instance in state.instances().map(|(instance, _)| instance) {
            let result = result_of(state, instance);
            let players: BTreeSet<_> = result.iter().map(|(player, ..)| *player).collect();
            assert_eq!(players.len(), result.len(), "a player counts once");
            let counts = state.tally(instance);
            // Texts have no options to be counted by, and a tally is of the question that is shown.
            if !counts.is_empty() && !asked_twice(state, instance) {
                assert_eq!(counts.iter().sum::<u64>(), result.len() as u64);
            }
        }
    }

    /// How many firm promises there were.
    pub fn promises(&self) -> usize {
        self.firm.values().map(BTreeSet::len).sum()
    }

    /// How many rounds came to a final result.
    pub fn finals(&self) -> usize {
        self.finals.len()
    }

    fn check_finals(&mut self, world: &World, at: usize) {
        let (state, heads) = (world.core(at).state(), world.core(at).heads());
        let over = |instance: &u32| state.stage() > Stage::new(*instance, crdt_state::Phase::Open);
        let known = state.instances().map(|(instance, _)| instance).filter(over);
        let sealed = known.filter(|i| state.unsealed(*i, heads).next().is_none());
        for instance in sealed.filter(|i| !state.has_orphans(*i)) {
            // A stake depends on what earlier runs gave, and so on what was ruled of them.
            let (ruling, result) = (state.rulings.clone(), result_of(state, instance));
            let first = self.finals.entry(instance);
            let (ruled, first) = first.or_insert_with(|| (ruling.clone(), result.clone()));
            let (before, after) = (answers_of(first), answers_of(&result));
            assert_eq!(before, after, "node {at}: the answers of final round {instance} changed");
            if *ruled == ruling {
                assert_eq!(*first, result, "node {at}: the final result of {instance} changed");
            }
        }
    }
}

fn held(state: &EventState, player: PlayerId, instance: u32) -> Option<Told> {
    let rows = || state.players.rows_of(player);
    let (number, cell) = state.held(instance, rows())?;
    let question = state.script()?.questions.get(usize::from(number))?;
    let chosen = question.task.given(cell.value(), None).choices.first().copied();
    let typed = || state.held_text(instance, number, rows()).map(choice_in);
    Some((cell.elapsed_ms(), chosen.or_else(typed)?))
}

/// Whether some side ran another question under this number than the one that is shown: what counts is then
/// the answer to the latter, whenever the other was given.
fn asked_twice(state: &EventState, instance: u32) -> bool {
    let shown = state.question_of(instance).map(|(number, _)| number);
    state.answers_of(instance).keys().any(|number| Some(*number) != shown)
}

/// What no ruling changes: who chose what when.
fn answers_of(result: &Result) -> Vec<(PlayerId, u32, u32)> {
    result.iter().map(|(player, elapsed_ms, value, _)| (*player, *elapsed_ms, *value)).collect()
}

fn result_of(state: &EventState, instance: u32) -> Result {
    let mut result = Result::new();
    fold(
        state,
        |of| of == instance,
        |_, outcomes| {
            result.extend(outcomes.iter().filter_map(|(player, outcome)| {
                let (_, cell) = outcome.answer?;
                Some((*player, cell.elapsed_ms(), cell.value(), outcome.points))
            }));
        },
    );
    result
}
