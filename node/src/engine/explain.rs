//! Why a player has the points that a round gave.
//!
//! All of it but the refusals is a fold over the replicated state, the same on every node. What a node turned
//! away only that node knows: it remembers the newest of each player, so many in all.

use super::core::EventCore;
use super::owed::level;
use super::ranked::outcomes_of;
use super::views::{correct_of, stage_view};
use crate::service::explain::{ExplainView, HeldView, TurnedAwayView};
use crate::service::view::Refusal;
use crdt_state::engagement::{Case, Facts, Gave, Reason};
use crdt_state::name::skeleton;
use crdt_state::{Cell, LaneId, Mono, Origin, PlayerId};
use std::collections::{BTreeMap, BTreeSet};

/// Answers turned away that an event remembers; beyond them the oldest rounds' are forgotten first.
const TURNED_AWAY_MAX: usize = 100_000;

/// What was turned away, by run and player.
#[derive(Debug, Default)]
pub struct TurnedAway(BTreeMap<(u32, PlayerId), Turned>);

#[derive(Debug, Clone)]
struct Turned {
    code: String,
    message: String,
    elapsed_ms: Option<u64>,
    times: u32,
}

impl TurnedAway {
    /// What was turned away of one run.
    pub(super) fn of_run(&self, run: u32) -> Self {
        let all = self.0.range((run, PlayerId(0))..=(run, PlayerId(u128::MAX)));
        TurnedAway(all.map(|(of, turned)| (*of, turned.clone())).collect())
    }

    /// Remembers a refusal; of several of one player to one run the newest, and how many there were.
    fn note(
        &mut self,
        instance: u32,
        player: PlayerId,
        elapsed_ms: Option<u64>,
        refusal: &Refusal,
    ) {
        let times = self.0.get(&(instance, player)).map_or(0, |turned| turned.times);
        let (code, message) = (refusal.code.clone(), refusal.message.clone());
        let turned = Turned { code, message, elapsed_ms, times: times.saturating_add(1) };
        self.0.insert((instance, player), turned);
        if self.0.len() > TURNED_AWAY_MAX {
            self.0.pop_first();
        }
        crdt_state::bounded!(TurnedAway, self.0.len(), TURNED_AWAY_MAX);
    }
}

impl EventCore {
    /// Remembers that an answer was turned away.
    pub(super) fn turn_away(
        &mut self,
        now: Mono,
        instance: u32,
        player: PlayerId,
        refusal: &Refusal,
    ) {
        // The number is the sender's own: runs that are not there would push out those that are.
        if instance > self.stage().instance {
            return;
        }
        let elapsed_ms = self.carried.elapsed_ms(now, instance);
        self.turned_away.note(instance, player, elapsed_ms, refusal);
    }

    /// The player whose id or shown name this is. Names are the same here that are the same to whoever joins: whatever
    /// their case, and whatever looks alike.
    #[must_use]
    pub fn find_player(&self, words: &str) -> Option<PlayerId> {
        let (state, players) = (self.state(), &self.state().players);
        if let Some(id) = words.parse::<PlayerId>().ok().filter(|id| players.row_of(*id).is_some())
        {
            return Some(id);
        }
        let (wanted, mut alike) = (skeleton(words), None);
        for id in players.ids() {
            let shown = state.shown_name(id).unwrap_or_default();
            if shown == words {
                return Some(id);
            }
            if alike.is_none() && skeleton(&shown) == wanted {
                alike = Some(id);
            }
        }
        alike
    }

    /// Why `player` has what run `instance` gave.
    ///
    /// # Errors
    /// `round_unknown`, `player_unknown`.
    pub fn explain(&self, words: &str, instance: u32) -> Result<ExplainView, Refusal> {
        let player = self.find_player(words).ok_or_else(|| {
            let message = format!("no player of this event has the id or the name {words:?}");
            Refusal::new("player_unknown", message)
                .hint("ids are 32 hex digits; the export lists them")
        })?;
        let state = self.state();
        let (number, question) = state.question_of(instance).ok_or_else(|| {
            Refusal::new("round_unknown", format!("there is no round {instance}"))
                .hint("rounds are counted from 1, a question that is asked again counts again")
        })?;
        let closed = instance <= self.newest_closed();
        let outcomes = if closed { outcomes_of(state, instance) } else { Vec::new() };
        let case = Case::of(state, instance, player, &outcomes).filter(|_| closed);
        let reason = case.as_ref().and_then(|case| self.reason(case));
        let (facts, held) = (Facts::of(state, instance), self.held_answer(player, instance));
        let key = facts.and_then(|facts| facts.key());
        Ok(ExplainView {
            event: self.event(),
            player,
            name: state.shown_name(player).unwrap_or_default(),
            round: instance,
            stage: stage_view(self.stage()),
            number: u32::from(number) + 1,
            question: question.text.clone(),
            open_ms: facts.map_or(0, |facts| facts.open_ms()),
            grace_ms: self.rules.grace.as_millis() as u64,
            credit_max_ms: self.rules.credit_max.as_millis() as u64,
            receipt: held.map(|held| self.held_view(player, instance, held)),
            refused: self.refusals(player, instance),
            correct: closed.then(|| key.as_ref().map(correct_of).unwrap_or_default()),
            revision: state.revision_of(instance),
            rule: case.map(|case| case.facts.question.task.rule(case.facts.question)),
            points: case.map(|case| case.outcome.points),
            verdict: match (case, &reason) {
                (Some(case), Some(reason)) => told(&case, &reason.verdict),
                _ => self.uncounted(player, instance, held.map(|(_, cell)| cell)),
            },
            arithmetic: reason.map(|reason| reason.arithmetic),
        })
    }

    /// Why a closed run gave a player what it gave; nothing where no answer counts.
    fn reason(&self, case: &Case<'_>) -> Option<Reason> {
        let (state, instance) = (self.state(), case.facts.instance);
        if state.is_aside(instance) {
            return Some(Reason::nothing("a host has set the round aside"));
        }
        if !state.counts(case.player) {
            return Some(Reason::nothing("a host has taken the player out"));
        }
        let is_turned_away = self.turned_away.0.contains_key(&(instance, case.player));
        if case.cell.is_none() && case.outcome.points == 0 && is_turned_away {
            return None;
        }
        case.facts.question.task.explain(case)
    }

    /// How it is with an answer that is not scored, or not yet.
    fn uncounted(&self, player: PlayerId, instance: u32, held: Option<Cell>) -> String {
        match (held, self.turned_away.0.get(&(instance, player))) {
            (Some(cell), _) => {
                let elapsed = cell.elapsed_ms();
                format!("an answer is held, given after {elapsed} ms; the round is not closed yet")
            }
            (None, Some(turned)) => {
                format!("no answer counts: it was turned away: {}", turned.message)
            }
            (None, None) => {
                "no answer counts: none has reached a node that this one has heard of".into()
            }
        }
    }

    /// The held answer and the question that it was given to.
    fn held_answer(&self, player: PlayerId, instance: u32) -> Option<(u16, Cell)> {
        self.state().held(instance, self.state().players.rows_of(player))
    }

    fn held_view(&self, player: PlayerId, instance: u32, (number, cell): (u16, Cell)) -> HeldView {
        let takers = self.state().enrolled().filter(|(origin, ..)| is_tagged(*origin, cell));
        let (level, held_by) = self.holding(player, instance).unwrap_or_default();
        HeldView {
            gave: self.gave(player, (instance, number), cell),
            elapsed_ms: cell.elapsed_ms(),
            taken_by: takers.map(|(_, _, name)| name.to_owned()).collect(),
            rows: self.state().players.rows_of(player).count(),
            level,
            held_by,
        }
    }

    /// How far the receipt for what is held of a player got, and the nodes that hold it. Only the event's owner knows:
    /// what is frozen has no peers.
    #[must_use]
    pub fn holding(
        &self,
        player: PlayerId,
        instance: u32,
    ) -> Option<(Option<String>, Vec<String>)> {
        let (_, cell) = self.held_answer(player, instance)?;
        let takers = self.state().enrolled().map(|(origin, ..)| origin);
        let takers = takers.filter(|origin| is_tagged(*origin, cell)).collect();
        Some((self.level_of(player, instance, cell), self.holders_of(&takers)))
    }

    /// How far the receipt for an answer got that this life of the node took; of others it knows nothing.
    fn level_of(&self, player: PlayerId, instance: u32, cell: Cell) -> Option<String> {
        let rests = self.held.is_unfirm(instance, player) || self.own_rests_here_alone();
        is_tagged(self.identity.origin, cell).then(|| level(!rests))
    }

    /// The nodes that hold all that is here of what these origins took: this one, and the peers that have said so.
    fn holders_of(&self, takers: &BTreeSet<Origin>) -> Vec<String> {
        let bulk = |origin: &Origin| LaneId::bulk(*origin);
        let all = takers.iter().map(|taker| (bulk(taker), self.heads().get(&bulk(taker))));
        let all: Vec<_> = all.collect();
        let has = |peer: &&Origin| {
            let heads = self.replica.peer_heads(**peer);
            heads.is_some_and(|heads| all.iter().all(|(id, head)| heads.get(id) >= *head))
        };
        let name = |peer: &Origin| {
            let mut known = self.state().enrolled().filter(|(origin, ..)| origin == peer);
            known.next().map_or_else(|| peer.to_string(), |(_, _, name)| name.to_owned())
        };
        let peers = self.connected.keys().filter(has).map(name);
        std::iter::once(self.identity.name.clone()).chain(peers).collect()
    }

    fn refusals(&self, player: PlayerId, instance: u32) -> Vec<TurnedAwayView> {
        let turned = self.turned_away.0.get(&(instance, player));
        let view = |turned: &Turned| TurnedAwayView {
            node: self.identity.name.clone(),
            code: turned.code.clone(),
            message: turned.message.clone(),
            elapsed_ms: turned.elapsed_ms,
            times: turned.times,
        };
        turned.map(view).into_iter().collect()
    }

    /// What a player gave whose answer to a question of a run is held.
    pub(super) fn gave(
        &self,
        player: PlayerId,
        (instance, number): (u32, u16),
        cell: Cell,
    ) -> Gave {
        let state = self.state();
        let question = state.script().and_then(|script| script.questions.get(usize::from(number)));
        let text = state.held_text(instance, number, state.players.rows_of(player));
        question.map(|question| question.task.given(cell.value(), text)).unwrap_or_default()
    }
}

/// Whether an answer may be of this origin: it keeps 16 bits of it.
fn is_tagged(origin: Origin, cell: Cell) -> bool {
    (origin.0 >> 48) as u16 == cell.tag()
}

fn told(case: &Case<'_>, verdict: &str) -> String {
    format!("{} points: {verdict}", case.outcome.points)
}
