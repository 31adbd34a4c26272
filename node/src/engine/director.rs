//! The director: on every node, it proposes the next stage when its time has come.
//!
//! All directors see the same state and propose the same step, staggered by rank so that usually one
//! proposal is enough; two are harmless, since a stage is a maximum. The order of ranks is a rendezvous
//! hash over the reachable nodes (Thaler and Ravishankar, 1998), different for every round, so no
//! node is special.

use super::carried::millis;
use super::core::EventCore;
use crate::service::view::CommandRequest;
use crdt_state::delta::{Advance, Delta};
use crdt_state::event::Round;
use crdt_state::{Mono, NodeId, Phase, Stage};
use std::time::Duration;

/// A node that restarted in an open round closes it this long after it has learnt that nobody knows when
/// it opened: 1 s, four times the interval at which peers exchange heads.
const ZERO_PATIENCE: Duration = Duration::from_secs(1);

/// What the director remembers.
#[derive(Debug)]
pub struct Director {
    /// The stage that was seen last, and since when. Nothing before the first look: a node that comes back knows
    /// no better than that the stage began when it came.
    seen: Stage,
    since: Option<Mono>,
    /// Hosts' wishes for a run's tallies that wait for seals.
    pub(super) wanted_tallies: Option<(u32, Vec<u64>)>,
    /// The host who makes the step that is under way; nobody if it is the director itself.
    pub(super) by: Option<String>,
    /// Commands given at a stage that another node has already shown and this one has not reached.
    pub(super) ahead: Vec<(Mono, u64, CommandRequest)>,
    /// When the set of connected peers last changed.
    pub(super) peers_since: Mono,
}

impl Director {
    /// A director that starts at `stage`.
    #[must_use]
    pub fn new(stage: Stage) -> Self {
        Director {
            seen: stage,
            since: None,
            wanted_tallies: None,
            by: None,
            ahead: Vec::new(),
            peers_since: Mono::ZERO,
        }
    }

    fn since(&self) -> Mono {
        self.since.unwrap_or_default()
    }

    /// Gives up all that waits, whose tickets are returned.
    pub(super) fn give_up(&mut self) -> Vec<u64> {
        let tallies = self.wanted_tallies.take().map(|(_, tickets)| tickets);
        let ahead = std::mem::take(&mut self.ahead);
        tallies
            .into_iter()
            .flatten()
            .chain(ahead.into_iter().map(|(_, ticket, _)| ticket))
            .collect()
    }
}

impl EventCore {
    /// Lets the director act on the current state.
    pub(super) fn direct(&mut self, now: Mono) {
        self.watch(now);
        self.command_when_reached(now);
        self.close_when_due(now);
        self.watch(now);
        self.seal_when_due(now);
        self.tallies_when_due(now);
        // A phase that has just begun lasts as long as any.
        self.watch(now);
        self.autopilot_when_due(now);
        self.watch(now);
    }

    /// Notices that the stage has moved.
    fn watch(&mut self, now: Mono) {
        let stage = self.stage();
        if stage == self.director.seen {
            self.director.since.get_or_insert(now);
            return;
        }
        self.director.seen = stage;
        self.director.since = Some(now);
        if stage >= Stage::new(stage.instance, Phase::Tallies) && self.newest_closed() > 0 {
            self.watch_lateness(self.newest_closed());
        }
        self.director.by = None;
        self.forget_receipts();
    }

    /// When something of the director's falls due.
    pub(super) fn director_due(&self) -> Option<Mono> {
        let stage = self.stage();
        let is_running = stage.phase == Phase::Open && !self.is_paused(stage.instance);
        let close = is_running.then(|| self.close_due(stage.instance));
        let tallies = self.tallies_due();
        let autopilot = self.autopilot_step().map(|(due, _)| due);
        let ahead = self.director.ahead.first().map(|(until, ..)| *until);
        [close, tallies, autopilot, ahead].into_iter().flatten().min()
    }

    /// When this node proposes to close the round.
    fn close_due(&self, instance: u32) -> Mono {
        match self.first_close_due(instance) {
            Some(first) => first + self.rules.stagger * self.rank(instance),
            None => self.close_due_without_zero(instance),
        }
    }

    /// When the first of all nodes does, if this one knows.
    fn first_close_due(&self, instance: u32) -> Option<Mono> {
        let zero = self.carried.zero(instance)?;
        let forgets = crdt_state::planted!(GraceForgotten);
        let length = i64::from(self.carried.state.open_ms(instance))
            + if forgets { 0 } else { millis(self.rules.grace) }
            + i64::from(self.extra_left_ms(instance));
        // A millisecond more, so that the last answer that is in time was taken before.
        let held = self.carried.held_ms(instance);
        Some(Duration::from_millis((zero + held + length + 1).max(0) as u64))
    }

    /// When this node, which does not know when the round opened, proposes to close it. While a peer may
    /// know, the close is the peer's: a node that comes back must not cut short a round that the others
    /// play. It waits a whole round then, which cannot be too early.
    fn close_due_without_zero(&self, instance: u32) -> Mono {
        let since = self.director.since();
        if self.is_alone() || self.replica.is_age_lost() {
            return since.max(self.director.peers_since) + ZERO_PATIENCE;
        }
        let length = Duration::from_millis(u64::from(self.carried.state.open_ms(instance)));
        since + length + self.rules.grace
    }

    /// This node's place among the reachable ones for an instance.
    fn rank(&self, instance: u32) -> u32 {
        let weight = |node: NodeId| rendezvous(self.identity.event.0, instance, node);
        let mine = (weight(self.identity.node), self.identity.node);
        // A node may be connected as two of its lives, and is one all the same.
        let is_first = |(nth, node): &(usize, NodeId)| {
            !self.connected.values().take(*nth).any(|earlier| earlier == node)
        };
        let others = self.connected.values().copied().enumerate().filter(is_first);
        others.filter(|(_, node)| (weight(*node), *node) < mine).count() as u32
    }

    fn close_when_due(&mut self, now: Mono) {
        let stage = self.stage();
        let is_running = stage.phase == Phase::Open && !self.is_paused(stage.instance);
        // Where this node stands among the others is looked up once it may be its turn.
        let may_be = self.first_close_due(stage.instance).is_none_or(|first| now >= first);
        if is_running && may_be && now >= self.close_due(stage.instance) {
            crdt_state::reachable!(RoundClosed);
            self.advance(now, Stage::new(stage.instance, Phase::Closed));
        }
    }

    /// Writes a step of the show, with its note.
    pub(super) fn advance(&mut self, now: Mono, to: Stage) -> u64 {
        crdt_state::always!(StepForward, to > self.stage());
        let mut deltas = vec![self.advance_to(to, self.question_for(to))];
        deltas.extend(self.with_step(now, to));
        self.write_control(now, deltas)
    }

    /// A step of the show to a run of `question`.
    pub(super) fn advance_to(&self, to: Stage, question: Option<u16>) -> Delta {
        let lamport = self.carried.state.next_lamport();
        let open_ms = question.filter(|_| to.phase == Phase::Open).and_then(|number| {
            Some(self.carried.state.script()?.questions.get(usize::from(number))?.length_ms())
        });
        Delta::Advance(Advance { lamport, to, question, open_ms })
    }

    /// Whether time stands still in a run.
    #[must_use]
    pub fn is_paused(&self, instance: u32) -> bool {
        let ruling = self.carried.state.rulings.of(instance);
        ruling.is_some_and(|ruling| ruling.pauses() % 2 == 1)
    }

    /// The question that an instance runs, or would run: the one after its predecessor's.
    pub(super) fn question_for(&self, to: Stage) -> Option<u16> {
        if to.is_over() || to.instance == 0 {
            return None;
        }
        let known = self.carried.state.round(to.instance).and_then(Round::question);
        let next = || match to.instance {
            1 => Some(0),
            instance => self.carried.state.round(instance - 1)?.question().map(|q| q + 1),
        };
        known.or_else(next)
    }

    /// The newest instance that takes no more answers in this view.
    pub(super) fn newest_closed(&self) -> u32 {
        let stage = self.stage();
        let closed = |instance: &u32| stage > Stage::new(*instance, Phase::Open);
        self.carried.state.instances().rev().map(|(i, _)| i).find(closed).unwrap_or(0)
    }

    /// Whether no other node takes part in the event.
    fn is_alone(&self) -> bool {
        self.carried.state.enrolled().all(|(_, node, _)| node == self.identity.node)
    }

    /// When tallies may be shown at the latest.
    fn tallies_due(&self) -> Option<Mono> {
        self.director.wanted_tallies.as_ref().map(|_| self.director.since() + self.rules.seal_wait)
    }

    pub(super) fn tallies_when_due(&mut self, now: Mono) {
        let is_due = Some(now) >= self.tallies_due();
        let Some((instance, tickets)) = self.director.wanted_tallies.take() else { return };
        let to = Stage::new(instance, Phase::Tallies);
        let stands = self.stage() == Stage::new(instance, Phase::Closed);
        if stands && !is_due && self.reachable_unsealed(instance) {
            self.director.wanted_tallies = Some((instance, tickets));
            return;
        }
        let mut tickets = tickets.into_iter();
        if stands && let Some(first) = tickets.next() {
            self.step(now, first, to);
        }
        tickets.for_each(|ticket| self.told_already(now, ticket, to));
    }

    /// For how long the lobby of a show that starts by itself still waits, in milliseconds.
    pub(super) fn starts_in_ms(&self, now: Mono) -> Option<u64> {
        let (due, _) = self.next_step().filter(|_| self.stage() == Stage::LOBBY)?;
        Some(due.saturating_sub(now).as_millis() as u64)
    }

    /// What autopilot does next, and when it is this node's turn to.
    fn autopilot_step(&self) -> Option<(Mono, Stage)> {
        let (due, to) = self.next_step()?;
        Some((due + self.rules.stagger * self.rank(self.stage().instance), to))
    }

    /// What autopilot does next, and when the first node does; nothing while a host drives or has paused. Time that
    /// stood still is waited for again.
    fn next_step(&self) -> Option<(Mono, Stage)> {
        let script = self.carried.state.script()?;
        let pace = Duration::from_millis(u64::from(script.autopilot_ms?));
        let stage = self.stage();
        if self.is_paused(stage.instance) {
            return None;
        }
        let lobby = script.lobby_ms.map(|ms| Duration::from_millis(u64::from(ms)));
        let (wait, to) = match stage.phase {
            Phase::Draft => lobby.map(|_| (Duration::ZERO, Stage::LOBBY))?,
            Phase::Lobby => (lobby?, self.after(0)),
            Phase::Open | Phase::Ended | Phase::Aborted => return None,
            phase => (pace, self.following(stage.instance, phase)),
        };
        let since = self.director.since();
        let held = self.carried.held_since(stage.instance, since);
        Some((since + wait + held, to))
    }

    /// The stage after a phase of a run, as its kind has it.
    pub(super) fn following(&self, instance: u32, phase: Phase) -> Stage {
        let question = self.carried.state.question_of(instance);
        match question.and_then(|(_, question)| question.task.after(phase)) {
            Some(next) => Stage::new(instance, next),
            None => self.after(instance),
        }
    }

    /// The stage after an instance's board: the next question's intro, or the end.
    pub(super) fn after(&self, instance: u32) -> Stage {
        // What is over has the last number of all.
        let Some(next) = instance.checked_add(1) else { return Stage::ENDED };
        let next = Stage::new(next, Phase::Intro);
        let questions = self.carried.state.script().map_or(0, |script| script.questions.len());
        match self.question_for(next) {
            Some(number) if usize::from(number) < questions => next,
            Some(number)
                if crdt_state::planted!(QuestionTooMany) && usize::from(number) == questions =>
            {
                next
            }
            _ => Stage::ENDED,
        }
    }

    fn autopilot_when_due(&mut self, now: Mono) {
        if let Some((due, to)) = self.autopilot_step()
            && now >= due
        {
            self.advance(now, to);
        }
    }
}

/// A node's weight for an instance: well mixed, the same on every node (SplitMix64's finalizer).
pub(super) fn rendezvous(event: u64, instance: u32, node: NodeId) -> u64 {
    let mut z = event ^ u64::from(instance).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ node.0;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
