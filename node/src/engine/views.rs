//! What people see of an event: folds over its state.
//!
//! Secrecy: a player's view is built from what its phase allows, out of types that have no field for
//! the correct answer before the reveal.

use super::core::EventCore;
use crate::service::view::{
    BoardLine, EventSummary, InboxMessage, LiveView, PhaseView, QuestionView, ResultView,
    RevealView, StageView, TeamLine,
};
use crdt_state::engagement::raffle::Entrants;
use crdt_state::engagement::{
    Facts, Gave, Key, Question, TEAM_INSTANCE, TeamStanding, commitment, held_choice, image_name,
    key_text, run_salt, team_standings,
};
use crdt_state::named::LOBBY_LOCK;
use crdt_state::{Mono, Phase, PlayerId, Stage};

/// Lines of the leaderboard that everybody sees.
const BOARD_LINES: usize = 10;

/// Of how many runs a player who comes is told what is held: the newest, and those before it that may still
/// be overruled. Arbitrary; an inbox holds 64 messages.
const PROJECTED_RUNS: usize = 4;

impl EventCore {
    /// What players see, out of what the screen sees: no running count while answers are taken.
    #[must_use]
    pub fn player_view(&self, mut screen: LiveView) -> LiveView {
        screen.crowd = None;
        if self.stage().phase == Phase::Open {
            screen.answered = screen.answered.filter(|_| crdt_state::planted!(RunningCount));
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
        let (age_ms, remaining_ms) = self.ages(now);
        let with_board = matches!(stage.phase, Phase::Board | Phase::Ended);
        let facts = instance.and_then(|i| Facts::of(state, i));
        let is_live = facts.is_some_and(|facts| facts.question.task.is_live());
        let from = if is_live { Phase::Open } else { Phase::Tallies };
        let counted = facts.filter(|_| past(from).is_some());
        LiveView {
            event: self.identity.event,
            pin: pin.to_owned(),
            title: self.title().unwrap_or_default(),
            revision: self.revision(),
            players: state.head_count(),
            locked: state.named.is_on(LOBBY_LOCK),
            stage: stage_view(stage),
            question: instance.and_then(|i| self.question_view(i)),
            age_ms,
            remaining_ms,
            starts_in_ms: self.starts_in_ms(now),
            answered: past(Phase::Open).map(|i| state.answered(i)),
            tallies: counted.map(|facts| facts.question.task.counts(&facts)),
            results: counted.map(|facts| self.shown_results(&facts)),
            reveal: past(reveal_from()).and_then(|i| self.reveal_view(i)),
            board: with_board.then(|| self.board()),
            teams: with_board.then(|| self.teams()).filter(|teams| !teams.is_empty()),
            paused: !stage.is_over() && self.is_paused(stage.instance),
            voided: instance.is_some_and(|i| state.is_aside(i)),
            result: self.shown_result(now),
            team_names: self.choosable_teams(),
            controls: self.controls(),
            crowd: Some(self.crowd()),
        }
    }

    /// How complete the shown result is, without all that is shown beside it.
    #[must_use]
    pub fn shown_result(&self, now: Mono) -> Option<ResultView> {
        self.result_instance().map(|instance| self.result_view(now, instance))
    }

    /// What was shown a moment ago, of the age that it has now.
    #[must_use]
    pub fn aged(&self, now: Mono, shown: LiveView) -> LiveView {
        let (age_ms, remaining_ms) = self.ages(now);
        LiveView { age_ms, remaining_ms, starts_in_ms: self.starts_in_ms(now), ..shown }
    }

    /// For how long the open round has been, and will be, in milliseconds.
    fn ages(&self, now: Mono) -> (Option<u64>, Option<u64>) {
        let stage = self.stage();
        let open = (stage.phase == Phase::Open).then_some(stage.instance);
        let age_ms = open.and_then(|instance| self.carried.elapsed_ms(now, instance));
        let left = |age| u64::from(self.state().open_ms(stage.instance)).saturating_sub(age);
        (age_ms, age_ms.map(left))
    }

    /// The event in a list.
    #[must_use]
    pub fn summary(&self, pin: &str) -> EventSummary {
        EventSummary {
            event: self.identity.event,
            pin: pin.to_owned(),
            title: self.title().unwrap_or_default(),
            stage: stage_view(self.stage()),
            players: self.state().head_count(),
            warnings: self.warnings(),
        }
    }

    /// What replication stopped for, in words.
    fn warnings(&self) -> Vec<String> {
        let halted = self.replica.is_halted();
        let halted = halted.then(|| "written by a newer version: update this node".to_owned());
        let lane = |id| {
            format!(
                "the lane {id:?} is quarantined, nothing more is taken from it: see the log, and \
                 \"Alarms\" in the operator's handbook"
            )
        };
        halted.into_iter().chain(self.replica.quarantined().map(lane)).collect()
    }

    /// The instance that the stage belongs to, if it is one of a question.
    pub(super) fn shown_instance(&self) -> Option<u32> {
        let stage = self.stage();
        (!stage.is_over() && stage.instance > 0).then_some(stage.instance)
    }

    /// The instance whose result is of interest: the shown one, or at the end the last one.
    fn result_instance(&self) -> Option<u32> {
        let closed = self.newest_closed();
        let shown = self.shown_instance().unwrap_or(closed);
        (closed > 0 && closed == shown).then_some(closed)
    }

    pub(super) fn question_view(&self, instance: u32) -> Option<QuestionView> {
        let state = self.state();
        let (number, question) = state.question_of(instance)?;
        let script = state.script()?;
        let announced = state.stage() == Stage::new(instance, Phase::Intro);
        let length_ms = state.open_ms(instance).saturating_sub(question.window_ms());
        let open_ms = if announced { question.open_ms } else { length_ms };
        Some(QuestionView {
            number: u32::from(number) + 1,
            of: script.questions.len() as u32,
            text: question.text.clone(),
            points: question.task.full_points(question),
            open_ms,
            image: question.image.clone(),
            image_path: self.image_name(number, question).map(|name| self.image_path(&name)),
            media_ms: question.media_ms,
            window_ms: question.media_ms.map(|_| question.window_ms()),
            commitment: if announced { None } else { commitment(question, instance) },
            task: script.view(number, announced)?,
        })
    }

    /// The name under which nodes serve a question's picture. Hashed once: a whole crowd asks by it.
    fn image_name(&self, number: u16, question: &Question) -> Option<String> {
        question.image.as_ref()?;
        let mut names = self.image_names.borrow_mut();
        let name = names.entry((number, question.salt));
        Some(name.or_insert_with(|| image_name(question).unwrap_or_default()).clone())
    }

    fn image_path(&self, name: &str) -> String {
        format!("/api/v1/images/{}/{name}", self.identity.event)
    }

    /// The address of a picture by the name under which nodes serve it, once its question was shown.
    #[must_use]
    pub fn image_of(&self, name: &str) -> Option<String> {
        let state = self.state();
        let shown = state.instances().filter_map(|(run, _)| state.question_of(run));
        let shown: Vec<(u16, &Question)> = shown.collect();
        let is_it = |(number, question): &(u16, &Question)| {
            self.image_name(*number, question).as_deref() == Some(name)
        };
        // The newest first: it is what a crowd asks for.
        let (_, question) = shown.into_iter().rev().find(is_it)?;
        question.image.clone()
    }

    fn reveal_view(&self, instance: u32) -> Option<RevealView> {
        let facts = Facts::of(self.state(), instance)?;
        let (question, key) = (facts.question, facts.key()?);
        let committed = question.task.key();
        if !question.task.phases().contains(&Phase::Reveal) {
            return None;
        }
        Some(RevealView {
            correct: correct_of(&key),
            answer: question.in_words(&key),
            explanation: question.explanation.clone(),
            key: committed.as_ref().map(key_text),
            salt: committed.is_some().then(|| run_salt(question, instance)),
            corrected: committed.is_some_and(|committed| committed != key),
        })
    }

    fn teams(&self) -> Vec<TeamLine> {
        let Some(script) = self.state().script() else { return Vec::new() };
        if script.teams.names.is_empty() {
            return Vec::new();
        }
        let line = |standing: TeamStanding| TeamLine {
            rank: standing.rank,
            name: script.teams.names[standing.team].clone(),
            points: standing.points,
            players: standing.players,
        };
        team_standings(self.state(), &self.scoreboard()).into_iter().map(line).collect()
    }

    fn board(&self) -> Vec<BoardLine> {
        let best = self.scoreboard().top(self.state(), BOARD_LINES);
        best.iter().map(|standing| self.board_line(standing, None)).collect()
    }

    /// Who entered a raffle, once it is revealed.
    #[must_use]
    pub fn entrants(&self, instance: u32) -> Option<Entrants> {
        Facts::of(self.state(), instance).and_then(|facts| Entrants::of(&facts))
    }

    /// What the newest revealed round gave a player, and where the player stands.
    #[must_use]
    pub fn result_of(&self, player: PlayerId) -> Option<InboxMessage> {
        self.result(player, self.newest_outcome(player)?)
    }

    /// What the prediction that was resolved last gave a player who had staked on it.
    #[must_use]
    pub fn resolved_for(&self, player: PlayerId) -> Option<InboxMessage> {
        self.result(player, self.resolved_outcome(player)?)
    }

    fn result(
        &self,
        player: PlayerId,
        (instance, outcome): (u32, crdt_state::engagement::Outcome),
    ) -> Option<InboxMessage> {
        let (state, board) = (self.state(), self.scoreboard());
        let standing = board.of(state, player)?;
        let gave = outcome.answer.map(|(number, cell)| self.gave(player, (instance, number), cell));
        let Gave { choices, text, number, stake, .. } = gave.unwrap_or_default();
        let shown = state.question_of(instance);
        let scores = shown.is_some_and(|(_, question)| question.task.gives_points(question));
        let around = board.around(state, player);
        let answered = outcome.answer.is_some();
        Some(InboxMessage::Result {
            event: self.identity.event,
            instance,
            answered,
            correct: outcome.correct,
            choices,
            text,
            number,
            stake,
            points: scores.then_some(outcome.points),
            bonus: outcome.bonus,
            lives: outcome.lives,
            team: self.team_name(player).map(str::to_owned),
            neighbours: around.iter().map(|it| self.board_line(it, Some(player))).collect(),
            total: standing.points,
            rank: standing.rank,
            players: board.len() as u64,
            revision: state.revision_of(instance),
            status: self.told_status(instance).to_owned(),
            missing: self.told_missing(instance),
        })
    }

    /// Says to a player who just came what is held of them: the team that was chosen, the receipt of the
    /// current round, and the result once it is revealed.
    pub(super) fn project(&mut self, player: PlayerId) {
        let state = self.state();
        // What the event is may come after its players and answers; whoever is here is greeted then.
        if state.script().is_none() || state.players.row_of(player).is_none() {
            return;
        }
        if state.named.people.is_marked(player) {
            let message = self.marked(player);
            self.tell_inbox(player, message);
        }
        if let Some(cell) = held_choice(self.state(), player) {
            let firm = !self.held.is_unfirm(TEAM_INSTANCE, player) && !self.rests_here_alone();
            let message = self.receipt(TEAM_INSTANCE, player, ("accepted", firm), cell);
            self.tell_inbox(player, message);
        }
        let (state, heads) = (self.state(), self.heads());
        let newest = state.instances().map(|(instance, _)| instance).next_back();
        let Some(newest) = newest else { return };
        let is_revealed = state.has_revealed(newest);
        // What may still be overruled is told too: it may be another node's word that the player has.
        let runs = state.instances().map(|(instance, _)| instance);
        let awaited = |of: &u32| *of == newest || state.unsealed(*of, heads).next().is_some();
        let runs: Vec<u32> = runs.filter(awaited).collect();
        for instance in &runs[runs.len().saturating_sub(PROJECTED_RUNS)..] {
            self.project_receipt(*instance, player);
        }
        if !is_revealed {
            return;
        }
        for message in [self.resolved_for(player), self.result_of(player)].into_iter().flatten() {
            self.tell_inbox(player, message);
        }
    }

    fn project_receipt(&mut self, instance: u32, player: PlayerId) {
        let held = self.state().held(instance, self.state().players.rows_of(player));
        let Some((_, cell)) = held else { return };
        let waits = self.held.is_unfirm(instance, player);
        let firm = self.has_promised(instance, player, cell)
            || !waits && self.is_within_or_will_be((instance, player), "accepted", cell);
        let message = self.receipt(instance, player, ("accepted", firm), cell);
        self.tell_inbox(player, message);
        self.note_told(instance, player, cell);
        if firm {
            self.promise(instance, player, cell);
        }
    }
}

/// The options that a key names.
pub(super) fn correct_of(key: &Key) -> Vec<u8> {
    match key {
        Key::Choices(choices) | Key::Order(choices) => choices.clone(),
        Key::Texts(_) | Key::Number(_) => Vec::new(),
    }
}

/// The first phase in which everybody may see the correct answer.
fn reveal_from() -> Phase {
    if crdt_state::planted!(EarlyReveal) { Phase::Closed } else { Phase::Reveal }
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
