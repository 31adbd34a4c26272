//! The reference model: what players were promised, and what must be true of every core because of it.

use crate::asks::receipt_in;
use crate::world::World;
use crdt_state::engagement::fold;
use crdt_state::event::Ruling;
use crdt_state::{EventState, PlayerId, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// What a player was told to be held: elapsed milliseconds and choice.
type Told = (u32, u8);
/// A player's answer in one round.
type Key = (PlayerId, u32);
/// A result as people see it: who chose what when, and what it gave.
type Result = Vec<(PlayerId, u32, u32, i64)>;

/// What was asked, promised and shown so far.
#[derive(Debug, Default)]
pub struct Model {
    asked: BTreeMap<Key, BTreeSet<u8>>,
    accepted: BTreeMap<Key, BTreeSet<Told>>,
    firm: BTreeMap<Key, BTreeSet<Told>>,
    /// With what hosts had ruled by then.
    finals: BTreeMap<u32, (Option<Ruling>, Result)>,
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
            for instance in 1..=3 {
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
            let least = promises.first().expect("a set of promises is not empty").0;
            assert!(elapsed <= least, "{player} {instance}: {held:?} after {promises:?}");
        }
        for ((player, instance), accepted) in &self.accepted {
            let Some(held) = held(state, *player, *instance) else { continue };
            assert!(self.asked[&(*player, *instance)].contains(&held.1), "nobody chose {held:?}");
            if self.firm.get(&(*player, *instance)).is_some_and(|firm| firm.is_superset(accepted)) {
                let least = accepted.first().expect("as above").0;
                assert!(held.0 <= least, "the earliest counts: {held:?} of {accepted:?}");
            }
        }
        for instance in 1..=3 {
            let result = result_of(state, instance);
            let players: BTreeSet<_> = result.iter().map(|(player, ..)| *player).collect();
            assert_eq!(players.len(), result.len(), "a player counts once");
            assert_eq!(state.tally(instance).iter().sum::<u64>(), result.len() as u64);
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
            let (ruling, result) =
                (state.rulings.of(instance).cloned(), result_of(state, instance));
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
    let (_, cell) = state.held(instance, state.players.rows_of(player))?;
    Some((cell.elapsed_ms(), cell.choice().trailing_zeros() as u8))
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
