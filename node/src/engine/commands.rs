//! What a host can do, and from which stage.
//!
//! A command that makes a step carries the stage that the host's page showed. If the show still stands there,
//! the command is a proposal like the director's; if somebody has already made the same step, the host is
//! told so; if the show has moved elsewhere, nothing happens. Two hosts pressing one button therefore make
//! one step. Rulings and facts are beside, in `rulings` and `facts`.

use super::core::EventCore;
use super::owed::Waiting;
use super::views::{stage_of, stage_view};
use crate::service::view::{Command, CommandRequest, Refusal};
use crdt_state::delta::{Delta, Extend};
use crdt_state::named::LOBBY_LOCK;
use crdt_state::{Lane, LaneId, Mono, Phase, Stage};
use std::time::Duration;

/// Longest that a round may be open, extensions included, in milliseconds: an hour, arbitrary.
const OPEN_MS_MAX: u32 = 3_600_000;

/// How long a command waits for a stage that its page has seen on another node: 1 s, a few exchanges of
/// heads. Beyond it this node is cut off and says so.
const AHEAD_PATIENCE: Duration = Duration::from_secs(1);
/// Commands that wait so; one more is refused at once.
const AHEAD_MAX: usize = 64;
/// Commands that wait for the seals before a run's tallies; one more is refused at once.
const TALLIES_MAX: usize = 64;

impl EventCore {
    pub(super) fn command(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        let expected = stage_of(request.expected);
        let waits = expected > self.stage() && !request.command.is_fact();
        if waits && self.director.ahead.len() < AHEAD_MAX {
            let until = now + AHEAD_PATIENCE;
            self.director.ahead.push((until, ticket, request.clone()));
            return;
        }
        self.carry_out(now, ticket, request);
    }

    /// Carries out commands whose stage has been reached here, or that have waited long enough.
    pub(super) fn command_when_reached(&mut self, now: Mono) {
        let stage = self.stage();
        let (ready, waiting) = std::mem::take(&mut self.director.ahead)
            .into_iter()
            .partition(|(until, _, request)| stage_of(request.expected) <= stage || *until <= now);
        self.director.ahead = waiting;
        for (_, ticket, request) in ready {
            self.carry_out(now, ticket, &request);
        }
    }

    fn carry_out(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        if matches!(request.command, Command::Open | Command::Extend) && self.is_behind(now) {
            let refusal = Refusal::new("overloaded", "this node has just come back");
            return self
                .refuse(ticket, refusal.hint("press again in a moment, or on another node"));
        }
        match request.command {
            command if command.is_fact() => self.state_fact(now, ticket, request),
            Command::Extend => self.extend(now, ticket, request),
            Command::Skip | Command::Back => self.leave(now, ticket, request),
            Command::Pause | Command::Resume => self.pause(now, ticket, request),
            Command::Void
            | Command::Restore
            | Command::Rescore
            | Command::Accept
            | Command::Resolve
            | Command::Moderate => self.rule(now, ticket, request),
            _ => self.drive(now, ticket, request),
        }
    }

    fn drive(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        let (command, expected) = (request.command, stage_of(request.expected));
        let Some(to) = self.target(command, expected) else {
            return self.not_possible(ticket, command, expected);
        };
        let stage = self.stage();
        if stage == to {
            self.told_already(now, ticket, to);
        } else if stage != expected {
            self.stage_moved(ticket, expected);
        } else if let Some(left_ms) = self.window_left_ms(now, to) {
            self.window_open(ticket, left_ms);
        } else {
            self.director.by = Some(request.by.clone());
            match to.phase {
                Phase::Tallies => self.want_tallies(now, ticket, to.instance),
                _ => self.step(now, ticket, to),
            }
        }
    }

    /// For how long a host's close has yet to wait: where a stream's time opens a question, each player has the same
    /// time from when their own stream gets there, and what one has in hand is not a host's to cut. Nothing once
    /// all have answered, or where the time of the round is not known here.
    fn window_left_ms(&self, now: Mono, to: Stage) -> Option<u64> {
        let state = &self.carried.state;
        let question = state.question_of(to.instance).filter(|_| to.phase == Phase::Closed);
        question.filter(|(_, question)| question.window_ms() > 0)?;
        if state.answered(to.instance) >= state.head_count() {
            return None;
        }
        let elapsed_ms = self.carried.elapsed_ms(now, to.instance)?;
        let left_ms = u64::from(state.open_ms(to.instance)).saturating_sub(elapsed_ms);
        (left_ms > 0).then_some(left_ms)
    }

    fn window_open(&mut self, ticket: u64, left_ms: u64) {
        let message = format!("players whose stream is behind have {left_ms} ms left to answer");
        let hint = "the round closes by itself once their time is over; `skip` leaves it at once, for nothing";
        let stage = Some(stage_view(self.stage()));
        let refusal = Refusal::new("window_open", message).hint(hint);
        self.refuse(ticket, Refusal { stage, ..refusal });
    }

    /// Where a command leads from a stage; nothing where it makes no sense.
    pub(super) fn target(&self, command: Command, from: Stage) -> Option<Stage> {
        let within = |phase| Some(Stage::new(from.instance, phase));
        let has =
            |phase| self.following(from.instance, from.phase) == Stage::new(from.instance, phase);
        let is_last = from.phase >= Phase::Closed
            && self.following(from.instance, from.phase).instance != from.instance;
        let between = is_last || matches!(from.phase, Phase::Lobby | Phase::Reveal | Phase::Board);
        match (command, from.phase) {
            (Command::Abort | Command::End, _) if from.is_over() => None,
            (Command::Abort, _) => Some(Stage::ABORTED),
            (Command::End, _) => Some(Stage::ENDED),
            (Command::Lobby, Phase::Draft) => Some(Stage::LOBBY),
            (Command::Next, _) if between => Some(self.after(from.instance)),
            (Command::Open, Phase::Intro) => within(Phase::Open),
            (Command::Open, _) if between => match self.after(from.instance) {
                Stage::ENDED => None,
                next => Some(Stage::new(next.instance, Phase::Open)),
            },
            (Command::Close, Phase::Open) => within(Phase::Closed),
            (Command::Tallies, Phase::Closed) => within(Phase::Tallies),
            (Command::Reveal, Phase::Tallies) if has(Phase::Reveal) => within(Phase::Reveal),
            (Command::Leaderboard, Phase::Tallies | Phase::Reveal) if has(Phase::Board) => {
                within(Phase::Board)
            }
            _ => None,
        }
    }

    /// The commands that make sense now.
    pub(super) fn possible(&self) -> Vec<Command> {
        use Command::{
            Abort, Close, End, Extend, Leaderboard, Lobby, Lock, Next, Open, Reveal, Tallies,
            Unlock,
        };
        let stage = self.stage();
        let steps = [Lobby, Next, Open, Close, Tallies, Reveal, Leaderboard, End, Abort];
        let mut all: Vec<Command> =
            steps.into_iter().filter(|c| self.target(*c, stage).is_some()).collect();
        if stage.phase == Phase::Open {
            all.push(Extend);
        }
        all.extend(self.possible_rulings());
        if !stage.is_over() {
            let locked = self.carried.state.named.is_on(LOBBY_LOCK);
            all.push(if locked { Unlock } else { Lock });
        }
        all
    }

    /// Makes a step and has the reply wait for its receipt.
    pub(super) fn step(&mut self, now: Mono, ticket: u64, to: Stage) {
        let seq = self.advance(now, to);
        self.commanded(now, ticket, seq);
    }

    pub(super) fn commanded(&mut self, now: Mono, ticket: u64, seq: u64) {
        let stage = self.stage();
        self.held.wait(ticket, Waiting::Command { outcome: "applied", stage });
        self.await_receipt(now, ticket, Lane::Control, seq);
    }

    /// Has a host wait for a step that nobody has made yet: until it is, there is nothing to promise.
    fn want_tallies(&mut self, now: Mono, ticket: u64, instance: u32) {
        // Whoever still waits for another run's waits in vain.
        self.tallies_when_due(now);
        let waiting = self.director.wanted_tallies.take();
        let mut tickets = waiting.map_or_else(Vec::new, |(_, tickets)| tickets);
        if tickets.len() < TALLIES_MAX {
            tickets.push(ticket);
        } else {
            let refusal = Refusal::new("overloaded", "many hosts wait for these tallies already");
            self.refuse(ticket, refusal.hint("look at the stage and decide again"));
        }
        self.director.wanted_tallies = Some((instance, tickets));
        self.tallies_when_due(now);
    }

    /// Replies that somebody has made, or is making, the same step. If it was made here it may not be
    /// known elsewhere yet, so the reply waits for all that this node has written.
    pub(super) fn told_already(&mut self, now: Mono, ticket: u64, to: Stage) {
        crdt_state::sometimes!(StepTwice);
        let stage = self.stage().max(to);
        self.held.wait(ticket, Waiting::Command { outcome: "already", stage });
        match self.carried.heads().get(&LaneId::control(self.identity.origin)) {
            0 => self.on_receipt(ticket, true),
            head => self.await_receipt(now, ticket, Lane::Control, head),
        }
    }

    pub(super) fn stage_moved(&mut self, ticket: u64, expected: Stage) {
        let stage = self.stage();
        let (now, then) = (describe_stage(stage), describe_stage(expected));
        let message = format!("the show is {now} by now, not {then}");
        let refusal =
            Refusal::new("stage_moved", message).hint("look at the stage and decide again");
        self.refuse(ticket, Refusal { stage: Some(stage_view(stage)), ..refusal });
    }

    pub(super) fn not_possible(&mut self, ticket: u64, command: Command, expected: Stage) {
        let stage = self.stage();
        let message = format!("{} makes no sense {}", command.word(), describe_stage(expected));
        let words: Vec<String> = self.possible().into_iter().map(Command::word).collect();
        let possible = match &words[..] {
            // Nobody steps on from there; what the rounds give can be ruled on as before.
            [] => "the show is over: rulings by `instance` and facts are still possible".to_owned(),
            words => format!("possible {}: {}", describe_stage(stage), words.join(", ")),
        };
        let refusal = Refusal::new("not_possible", message).hint(possible);
        self.refuse(ticket, Refusal { stage: Some(stage_view(stage)), ..refusal });
    }

    fn extend(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        let (expected, ms) = (stage_of(request.expected), request.ms.unwrap_or(0));
        let stage = self.stage();
        if stage != expected {
            return self.stage_moved(ticket, expected);
        }
        if stage.phase != Phase::Open {
            return self.not_possible(ticket, Command::Extend, expected);
        }
        if ms == 0 {
            let refusal =
                Refusal::new("value_invalid", "extend needs `ms`, by how many milliseconds");
            return self.refuse(ticket, refusal.hint("10000 are ten seconds; see `--ms`"));
        }
        let Some(shown) = request.open_ms else {
            let refusal = Refusal::new("value_missing", "extend needs `open_ms`, what to add to");
            return self.refuse(ticket, refusal.hint("it is `question.open_ms` of the live state"));
        };
        let instance = stage.instance;
        let held = self.carried.state.open_ms(instance);
        let open_ms = self.extended(instance, shown, ms);
        if open_ms <= held {
            return self.told_already(now, ticket, stage);
        }
        let extend = Delta::Extend(Extend { instance, open_ms });
        let of = format!("{} to {open_ms} ms", self.round_in_words(instance));
        self.write_noted(now, ticket, request, (of, stage), vec![extend]);
    }

    /// How long a round is open once so much is added to what a page showed. It is a maximum like every
    /// length, so that one wish is one extension however often and wherever it arrives.
    fn extended(&self, instance: u32, shown: u32, ms: u32) -> u32 {
        let question = self.carried.state.question_of(instance);
        let window_ms = question.map_or(0, |(_, question)| question.window_ms());
        shown.saturating_add(window_ms).saturating_add(ms).min(OPEN_MS_MAX)
    }
}

/// A stage in the words of pages and commands.
pub(super) fn describe_stage(stage: Stage) -> String {
    let phase = stage_view(stage).phase.word();
    match stage.instance {
        0 => format!("in the {phase}"),
        _ if stage.is_over() => phase,
        instance => format!("at {instance}:{phase}"),
    }
}
