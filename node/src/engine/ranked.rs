//! Standings, brought up to date only when something that scores has changed: a wave of returning players
//! asks for them a thousand times.

use super::core::EventCore;
use crate::service::view::BoardLine;
use crdt_state::engagement::{
    Amendment, Facts, Outcome, Scoreboard, Standing, fold, outcome_alone,
};
use crdt_state::{EventState, Phase, PlayerId};
use std::cell::Ref;
use std::collections::{BTreeMap, BTreeSet};

/// The leaderboard, and what the newest revealed round gave, and the prediction that was resolved last.
#[derive(Debug, Default)]
pub struct Ranked {
    /// The scored revision at which it was brought up to date.
    of: Option<u64>,
    board: Scoreboard,
    newest: Option<Told>,
    /// The prediction that was resolved last, where it is not the newest round.
    resolved: Option<Told>,
}

/// A round whose outcome players are told.
#[derive(Debug)]
struct Told {
    instance: u32,
    /// By player; nothing where each answer stands alone and is judged when it is asked for.
    outcomes: Option<Vec<(PlayerId, Outcome)>>,
}

impl Told {
    fn of(&self, state: &EventState, player: PlayerId) -> (u32, Outcome) {
        let outcome = match &self.outcomes {
            None => outcome_alone(state, self.instance, player),
            Some(outcomes) => {
                let found = outcomes.binary_search_by_key(&player, |(id, _)| *id);
                found.map_or_else(|_| Outcome::default(), |at| outcomes[at].1)
            }
        };
        (self.instance, outcome)
    }
}

impl EventCore {
    /// The leaderboard over what has been revealed.
    #[must_use]
    pub fn scoreboard(&self) -> Ref<'_, Scoreboard> {
        self.update_ranked();
        Ref::map(self.ranked.borrow(), |ranked| &ranked.board)
    }

    /// A number that grows whenever a result that players are told may have changed.
    #[must_use]
    pub fn scored_revision(&self) -> u64 {
        self.carried.scored_revision()
    }

    /// The newest revealed round of which players are told what it gave, and what it gave one of them.
    pub(super) fn newest_outcome(&self, player: PlayerId) -> Option<(u32, Outcome)> {
        self.update_ranked();
        let ranked = self.ranked.borrow();
        Some(ranked.newest.as_ref()?.of(self.state(), player))
    }

    /// The prediction that was resolved last, and what it gave a player who had staked on it.
    pub(super) fn resolved_outcome(&self, player: PlayerId) -> Option<(u32, Outcome)> {
        self.update_ranked();
        let ranked = self.ranked.borrow();
        let resolved = ranked.resolved.as_ref()?.of(self.state(), player);
        Some(resolved).filter(|(_, outcome)| outcome.answer.is_some())
    }

    fn update_ranked(&self) {
        let revision = Some(self.carried.scored_revision());
        if self.ranked.borrow().of == revision {
            return;
        }
        let state = self.state();
        let (newest, resolved) = (self.newest_told(), self.last_resolved());
        let stands_alone = |instance| {
            let facts = Facts::of(state, instance);
            facts.is_some_and(|facts| facts.question.task.alone(&facts).is_some())
        };
        let folded: BTreeSet<u32> =
            newest.into_iter().filter(|it| !stands_alone(*it)).chain(resolved).collect();
        let mut outcomes = outcomes_of_all(state, &folded);
        let mut told = |instance| Told { instance, outcomes: outcomes.remove(&instance) };
        let ranked = &mut *self.ranked.borrow_mut();
        ranked.board.update(state, |instance| state.has_told(instance));
        (ranked.newest, ranked.resolved) = (newest.map(&mut told), resolved.map(told));
        ranked.of = revision;
    }

    fn newest_told(&self) -> Option<u32> {
        let state = self.state();
        let is_told = |instance: &u32| {
            let question = state.question_of(*instance);
            let phases = question.map_or(&[][..], |(_, question)| question.task.phases());
            let gives = phases.contains(&Phase::Reveal) || phases.contains(&Phase::Board);
            gives && state.has_revealed(*instance)
        };
        state.instances().map(|(instance, _)| instance).rfind(is_told)
    }

    /// No kind is told both by its reveal and by what a host says came true, so that this is never the newest.
    fn last_resolved(&self) -> Option<u32> {
        let state = self.state();
        let since = |(instance, _): (u32, _)| {
            let (_, question) = state.question_of(instance)?;
            let is_late = question.task.amendments().contains(&Amendment::Resolve);
            let since = state.rulings.of(instance)?.key_since()?;
            (is_late && state.has_revealed(instance)).then_some((since, instance))
        };
        state.instances().filter_map(since).max().map(|(_, instance)| instance)
    }

    /// A line of the board as everybody sees it, or as `reader` does, who is always named to themselves.
    pub(super) fn board_line(&self, standing: &Standing, reader: Option<PlayerId>) -> BoardLine {
        let is_named = self.shows_names() || reader == Some(standing.player);
        let name = || self.state().shown_name(standing.player).unwrap_or_default();
        BoardLine {
            rank: standing.rank,
            name: if is_named { name() } else { String::new() },
            points: standing.points,
        }
    }
}

/// What a run gave everybody who counts, by the same fold as the leaderboard.
pub(super) fn outcomes_of(state: &EventState, instance: u32) -> Vec<(PlayerId, Outcome)> {
    outcomes_of_all(state, &BTreeSet::from([instance])).remove(&instance).unwrap_or_default()
}

/// The same of several runs, by one fold.
fn outcomes_of_all(
    state: &EventState,
    instances: &BTreeSet<u32>,
) -> BTreeMap<u32, Vec<(PlayerId, Outcome)>> {
    let (mut found, Some(last)) = (BTreeMap::new(), instances.last()) else {
        return BTreeMap::new();
    };
    fold(
        state,
        |of| of <= *last,
        |of, outcomes| {
            if instances.contains(&of) {
                found.insert(of, outcomes.to_vec());
            }
        },
    );
    found
}
