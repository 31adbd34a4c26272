//! What people see of an event: folds over its state.
//!
//! Secrecy: a player's view is built from what its phase allows, out of types that have no field for
//! the correct answer before the reveal.

use super::core::EventCore;
use super::intake::{choices_of, receipt};
use super::io::Output;
use crate::service::view::{
    BoardLine, CarrierView, EventSummary, HostQuestion, HostView, InboxMessage, LiveView,
    PhaseView, QuestionView, RevealView, StageView,
};
use crdt_state::engagement::Scoreboard;
use crdt_state::engagement::quiz::{Standing, outcome};
use crdt_state::named::LOBBY_LOCK;
use crdt_state::{Mono, NodeId, Phase, PlayerId, Stage};
use std::cell::Ref;
use std::collections::BTreeMap;

/// Lines of the leaderboard that everybody sees.
const BOARD_LINES: usize = 10;

impl EventCore {
    /// What players see, out of what the screen sees: no running count while answers are taken.
    #[must_use]
    pub fn player_view(&self, mut screen: LiveView) -> LiveView {
        if self.stage().phase == Phase::Open {
            screen.answered = None;
        }
        screen
    }

    /// What the big screen sees: what players see, and how many have answered.
    #[must_use]
    pub fn screen_view(&self, now: Mono, pin: &str) -> LiveView {
        let state = self.state();
        let stage = state.stage();
        let instance = self.shown_instance();
        let past = |phase| instance.filter(|i| stage >= Stage::new(*i, phase));
        let open = (stage.phase == Phase::Open).then_some(stage.instance);
        let age_ms = open.and_then(|i| self.carried.elapsed_ms(now, i));
        let left = |age: u64| u64::from(state.open_ms(stage.instance)).saturating_sub(age);
        let with_board = matches!(stage.phase, Phase::Board | Phase::Ended);
        LiveView {
            event: self.identity.event,
            pin: pin.to_owned(),
            title: state.script().map(|script| script.title.clone()).unwrap_or_default(),
            revision: self.revision(),
            players: state.players.count() as u64,
            locked: state.named.is_on(LOBBY_LOCK),
            stage: stage_view(stage),
            question: instance.and_then(|i| self.question_view(i)),
            age_ms,
            remaining_ms: age_ms.map(left),
            answered: past(Phase::Open).map(|i| state.answered(i)),
            tallies: past(Phase::Tallies).map(|i| state.tally(i)),
            reveal: past(Phase::Reveal).and_then(|i| self.reveal_view(i)),
            board: with_board.then(|| self.board()),
            result: self.result_instance().map(|i| self.result_view(now, i)),
        }
    }

    /// What the host sees: what the screen sees, and the tallies as soon as the round is closed.
    #[must_use]
    pub fn host_view(&self, mut live: LiveView) -> HostView {
        if live.tallies.is_none() {
            let closed = self.shown_instance().filter(|i| self.newest_closed() >= *i);
            live.tallies = closed.map(|i| self.state().tally(i));
        }
        HostView {
            live,
            node: self.identity.name.clone(),
            next: self.possible(),
            questions: self.host_questions(),
            enrolled: self.carriers(),
        }
    }

    /// The event in a list.
    #[must_use]
    pub fn summary(&self, pin: &str) -> EventSummary {
        EventSummary {
            event: self.identity.event,
            pin: pin.to_owned(),
            title: self.state().script().map(|s| s.title.clone()).unwrap_or_default(),
            stage: stage_view(self.stage()),
            players: self.state().players.count() as u64,
        }
    }

    /// The instance that the stage belongs to, if it is one of a question.
    fn shown_instance(&self) -> Option<u32> {
        let stage = self.stage();
        (!stage.is_over() && stage.instance > 0).then_some(stage.instance)
    }

    /// The instance whose result is of interest: the shown one, or at the end the last one.
    fn result_instance(&self) -> Option<u32> {
        let closed = self.newest_closed();
        let shown = self.shown_instance().unwrap_or(closed);
        (closed > 0 && closed == shown).then_some(closed)
    }

    fn question_view(&self, instance: u32) -> Option<QuestionView> {
        let state = self.state();
        let (number, question) = state.question_of(instance)?;
        let announced = state.stage() == Stage::new(instance, Phase::Intro);
        let open_ms = if announced { question.open_ms } else { state.open_ms(instance) };
        Some(QuestionView {
            number: u32::from(number) + 1,
            of: state.script()?.questions.len() as u32,
            text: question.text.clone(),
            options: if announced { Vec::new() } else { question.options.clone() },
            multiple: question.multiple,
            points: question.points,
            open_ms,
        })
    }

    fn reveal_view(&self, instance: u32) -> Option<RevealView> {
        let (_, question) = self.state().question_of(instance)?;
        let correct = choices_of(question.correct);
        Some(RevealView { correct, explanation: question.explanation.clone() })
    }

    /// The leaderboard over what has been revealed. Brought up to date only when something that scores
    /// has changed: a wave of returning players asks for it a thousand times.
    #[must_use]
    pub fn scoreboard(&self) -> Ref<'_, Scoreboard> {
        let revision = Some(self.carried.scored_revision());
        if self.ranked.borrow().0 != revision {
            let stage = self.stage();
            let (of, board) = &mut *self.ranked.borrow_mut();
            board.update(self.state(), |instance| stage.has_revealed(instance));
            *of = revision;
        }
        Ref::map(self.ranked.borrow(), |(_, board)| board)
    }

    fn board(&self) -> Vec<BoardLine> {
        let line = |standing: Standing| BoardLine {
            rank: standing.rank,
            name: self.state().players.shown_name(standing.player).unwrap_or_default(),
            points: standing.points,
        };
        self.scoreboard().top(self.state(), BOARD_LINES).into_iter().map(line).collect()
    }

    fn host_questions(&self) -> Vec<HostQuestion> {
        let Some(script) = self.state().script() else { return Vec::new() };
        let host =
            |(index, question): (usize, &crdt_state::engagement::quiz::Question)| HostQuestion {
                number: index as u32 + 1,
                text: question.text.clone(),
                options: question.options.clone(),
                correct: choices_of(question.correct),
            };
        script.questions.iter().enumerate().map(host).collect()
    }

    fn carriers(&self) -> Vec<CarrierView> {
        let (closed, heads) = (self.newest_closed(), self.heads());
        let mut newest: BTreeMap<NodeId, CarrierView> = BTreeMap::new();
        for (origin, node, name) in self.state().enrolled() {
            let reachable = origin == self.identity.origin || self.connected.contains_key(&origin);
            let sealed = closed > 0 && self.state().is_sealed(origin, closed, heads);
            let view = CarrierView { node: name.to_owned(), origin, sealed, reachable };
            let held = newest.entry(node).or_insert_with(|| view.clone());
            if reachable && !held.reachable {
                *held = view;
            }
        }
        newest.into_values().collect()
    }

    /// A player's result of an instance, once it is revealed.
    #[must_use]
    pub fn result_of(&self, instance: u32, standing: &Standing, of: u64) -> InboxMessage {
        let outcome = outcome(self.state(), instance, standing.player);
        InboxMessage::Result {
            event: self.identity.event,
            instance,
            correct: outcome.is_some_and(|o| o.correct),
            choices: outcome.map(|o| choices_of(o.choice)).unwrap_or_default(),
            points: outcome.map_or(0, |o| o.points),
            total: standing.points,
            rank: standing.rank,
            players: of,
        }
    }

    /// Says to a player who just came what is held of them: the receipt of the current round, and the
    /// result once it is revealed.
    pub(super) fn project(&mut self, player: PlayerId) {
        let state = self.state();
        if state.players.row_of(player).is_none() {
            return;
        }
        let newest = state.instances().map(|(instance, _)| instance).last();
        let Some(instance) = newest else { return };
        let held = state.held(instance, state.players.rows_of(player));
        let revealed = state.stage().has_revealed(instance);
        if let Some((_, cell)) = held {
            let firm = !self.held.is_unfirm(instance, player) && !self.rests_here_alone();
            let message = receipt(self.identity.event, instance, "accepted", firm, cell);
            self.outputs.push_back(Output::Inbox { player, message });
        }
        if revealed {
            let board = self.scoreboard();
            let result = board
                .of(self.state(), player)
                .map(|standing| self.result_of(instance, &standing, board.len() as u64));
            drop(board);
            if let Some(message) = result {
                self.outputs.push_back(Output::Inbox { player, message });
            }
        }
    }
}

/// A stage in words.
#[must_use]
pub fn stage_view(stage: Stage) -> StageView {
    let phase = match stage.phase {
        Phase::Draft => PhaseView::Draft,
        Phase::Lobby => PhaseView::Lobby,
        Phase::Intro => PhaseView::Intro,
        Phase::Open => PhaseView::Open,
        Phase::Closed => PhaseView::Closed,
        Phase::Tallies => PhaseView::Tallies,
        Phase::Reveal => PhaseView::Reveal,
        Phase::Board => PhaseView::Board,
        Phase::Ended => PhaseView::Ended,
        Phase::Aborted => PhaseView::Aborted,
    };
    StageView { instance: stage.instance, phase }
}

/// A stage out of words.
#[must_use]
pub fn stage_of(view: StageView) -> Stage {
    let phase = match view.phase {
        PhaseView::Draft => Phase::Draft,
        PhaseView::Lobby => Phase::Lobby,
        PhaseView::Intro => Phase::Intro,
        PhaseView::Open => Phase::Open,
        PhaseView::Closed => Phase::Closed,
        PhaseView::Tallies => Phase::Tallies,
        PhaseView::Reveal => Phase::Reveal,
        PhaseView::Board => Phase::Board,
        PhaseView::Ended => Phase::Ended,
        PhaseView::Aborted => Phase::Aborted,
    };
    Stage { instance: view.instance, phase }
}
