//! An event as JSON lines, written so that nodes with equal heads write equal bytes.
//!
//! Nothing in it depends on the node that writes: no reachability, no time of day. Nodes are named only that all
//! wait for, and in the notes of the audit trail, whose names and calendars are replicated with them. Lines, in
//! this order: one `event`, then per instance a `question`, its `tally`, then every `player`, every `answer`,
//! every `post` and every `vote`, each sorted by its own key, and at last every `note`.

use super::core::EventCore;
use super::views::correct_of;
use super::views::stage_view;
use crate::service::view::LogLine;
use bytes::Bytes;
use crdt_state::engagement::qa::{ToldPost, told_posts, voters};
use crdt_state::engagement::raffle::Entrants;
use crdt_state::engagement::{
    Facts, Key, Outcome, Thousandths, commitment, fold, key_text, ranked, run_salt, superseded_name,
};
use crdt_state::event::Fate;
use crdt_state::{PlayerId, Row};
use serde::Serialize;

/// The version of the lines' shape.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Event {
        schema: u32,
        event: String,
        pin: &'a str,
        title: &'a str,
        stage: crate::service::view::StageView,
        status: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
        revision: u64,
    },
    Question {
        instance: u32,
        number: u32,
        text: &'a str,
        options: &'a [String],
        correct: Vec<u8>,
        kind: &'static str,
        answer: String,
        open_ms: u32,
        /// Nothing of a question that gives none.
        #[serde(skip_serializing_if = "Option::is_none")]
        points: Option<u32>,
        voided: bool,
        /// Receipts that an earlier answer of the same player at another node overruled.
        #[serde(skip_serializing_if = "is_zero")]
        superseded: u64,
        status: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
        revision: u64,
        #[serde(flatten)]
        secret: Secret,
    },
    Tally {
        instance: u32,
        counts: Vec<u64>,
        status: &'static str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
        revision: u64,
    },
    Player {
        player: PlayerId,
        name: String,
        rows: Vec<Row>,
        points: u64,
        rank: u32,
        correct_ms: u64,
        #[serde(skip_serializing_if = "is_zero")]
        awarded: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        team: Option<&'a str>,
    },
    Answer {
        instance: u32,
        player: PlayerId,
        choices: Vec<u8>,
        elapsed_ms: u32,
        /// Nothing where nothing is right or wrong, or nobody knows yet.
        #[serde(skip_serializing_if = "Option::is_none")]
        correct: Option<bool>,
        points: i64,
        #[serde(skip_serializing_if = "is_zero")]
        bonus: i64,
        /// What was given, in words.
        words: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        estimate: Option<Thousandths>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stake: Option<u32>,
        #[serde(flatten)]
        left: Left,
        /// Only of an answer from the far side of a partition that ran another question.
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// What a run gave or took of a player whose answer it does not rest on: a prize for being left, a side's win, a
    /// life.
    Given {
        instance: u32,
        player: PlayerId,
        points: i64,
        #[serde(skip_serializing_if = "is_zero")]
        bonus: i64,
        #[serde(flatten)]
        left: Left,
    },
    /// What a player wrote for all.
    Post {
        instance: u32,
        post: String,
        player: PlayerId,
        elapsed_ms: u32,
        text: &'a str,
        votes: u64,
        fate: Fate,
    },
    /// Who supports a post: as many as its votes.
    Vote { instance: u32, post: &'a str, player: PlayerId },
    /// Who did what, where and when.
    Note(LogLine),
}

/// What is left to a player of an elimination.
#[derive(Serialize)]
struct Left {
    #[serde(skip_serializing_if = "Option::is_none")]
    lives: Option<u32>,
    /// How often the player has come back by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    revived: Option<u32>,
}

impl Left {
    fn of(outcome: &Outcome) -> Self {
        let Outcome { lives, revived, .. } = *outcome;
        Left { lives, revived: lives.map(|_| revived) }
    }
}

fn put_given(out: &mut Vec<u8>, instance: u32, player: PlayerId, outcome: &Outcome) {
    let Outcome { points, bonus, lives, .. } = *outcome;
    if points != 0 || bonus != 0 || lives.is_some() {
        put(out, &Line::Given { instance, player, points, bonus, left: Left::of(outcome) });
    }
}

/// What anybody needs to check that a key was fixed before it was asked for, from the reveal on.
#[derive(Default, Serialize)]
struct Secret {
    #[serde(skip_serializing_if = "Option::is_none")]
    commitment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The tickets of a raffle that belong to players who were taken out: they have no other line.
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<Vec<String>>,
}

impl Secret {
    fn of(facts: &Facts<'_>) -> Self {
        let Some(key) = facts.question.task.key() else { return Secret::default() };
        if !facts.state.has_revealed(facts.instance) {
            return Secret::default();
        }
        Secret {
            commitment: commitment(facts.question, facts.instance),
            salt: Some(run_salt(facts.question, facts.instance)),
            key: Some(key_text(&key)),
            out: Entrants::of(facts).map(|entrants| entrants.out()),
        }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl EventCore {
    /// The whole event. Only closed rounds are scored; `status` is `open` before the first, `final`
    /// once every origin that takes part has sealed the newest and all that it sealed is here, `forgotten` if
    /// only nodes have not that an operator gave up, else `partial`.
    #[must_use]
    pub fn export(&self, pin: &str) -> Bytes {
        let mut out = Vec::new();
        let closed = self.newest_closed();
        self.export_event(&mut out, pin, closed);
        for instance in self.state().instances().map(|(i, _)| i).filter(|i| *i <= closed) {
            self.export_question(&mut out, instance);
        }
        self.export_players(&mut out, closed);
        self.export_posts(&mut out, closed);
        self.log().into_iter().for_each(|note| put(&mut out, &Line::Note(note)));
        Bytes::from(out)
    }

    fn export_event(&self, out: &mut Vec<u8>, pin: &str, closed: u32) {
        let title = self.title().unwrap_or_default();
        let line = Line::Event {
            schema: SCHEMA,
            event: self.identity.event.to_string(),
            pin,
            title: &title,
            stage: stage_view(self.state().stage()),
            status: self.exported_status(closed),
            missing: if closed > 0 { self.missing(closed) } else { Vec::new() },
            revision: self.state().board_revision(),
        };
        put(out, &line);
    }

    fn exported_status(&self, instance: u32) -> &'static str {
        if instance == 0 { "open" } else { self.complete_status(instance).unwrap_or("partial") }
    }

    fn export_question(&self, out: &mut Vec<u8>, instance: u32) {
        let Some(facts) = Facts::of(self.state(), instance) else { return };
        let (question, key) = (facts.question, facts.key());
        let revision = self.state().revision_of(instance);
        let (status, missing) = (self.exported_status(instance), self.missing(instance));
        let line = Line::Question {
            instance,
            number: u32::from(facts.number) + 1,
            text: &question.text,
            options: question.task.options(),
            correct: key.as_ref().map(correct_of).unwrap_or_default(),
            kind: question.task.name(),
            answer: key.map(|key| question.in_words(&key)).unwrap_or_default(),
            open_ms: facts.open_ms(),
            points: question.task.gives_points(question).then_some(question.points),
            voided: self.state().is_aside(instance),
            superseded: self.state().named.total(&superseded_name(instance)),
            status,
            missing: missing.clone(),
            revision,
            secret: Secret::of(&facts),
        };
        put(out, &line);
        let counts = self.state().tally(instance);
        put(out, &Line::Tally { instance, counts, status, missing, revision });
    }

    fn export_players(&self, out: &mut Vec<u8>, closed: u32) {
        let (state, mut answers) = (self.state(), Vec::new());
        let all = fold(
            state,
            |instance| instance <= closed,
            |instance, outcomes| {
                let shown = state.question_of(instance).map(|(number, _)| number);
                let run = Facts::of(state, instance);
                // Of what hosts set aside or cancelled nobody is right or wrong.
                let is_aside = state.is_aside(instance);
                let is_judged = |number| {
                    let key = run.and_then(|run| run.at(number)).and_then(|facts| facts.key());
                    let is_cancelled = matches!(&key, Some(Key::Choices(none)) if none.is_empty());
                    key.is_some() && !is_cancelled && !is_aside
                };
                let is_shown_judged = shown.is_some_and(is_judged);
                for (player, outcome) in outcomes {
                    let Some((number, cell)) = outcome.answer else {
                        put_given(&mut answers, instance, *player, outcome);
                        continue;
                    };
                    let gave = self.gave(*player, (instance, number), cell);
                    let is_judged = match shown == Some(number) {
                        true => is_shown_judged,
                        false => is_judged(number),
                    };
                    let line = Line::Answer {
                        instance,
                        player: *player,
                        choices: gave.choices,
                        elapsed_ms: cell.elapsed_ms(),
                        correct: is_judged.then_some(outcome.correct),
                        points: outcome.points,
                        bonus: outcome.bonus,
                        words: gave.words,
                        text: gave.text,
                        estimate: gave.number,
                        stake: gave.stake,
                        left: Left::of(outcome),
                        number: (shown != Some(number)).then(|| u32::from(number) + 1),
                    };
                    put(&mut answers, &line);
                }
            },
        );
        let awarded = state.named.awarded();
        let mut all = ranked(state, all);
        all.sort_by_key(|standing| standing.player);
        for standing in all {
            let line = Line::Player {
                player: standing.player,
                name: state.shown_name(standing.player).unwrap_or_default(),
                rows: state.players.rows_of(standing.player).collect(),
                points: standing.points,
                rank: standing.rank,
                correct_ms: standing.correct_ms,
                awarded: awarded.get(&standing.player).copied().unwrap_or(0),
                team: self.team_name(standing.player),
            };
            put(out, &line);
        }
        out.extend(answers);
    }

    /// Every post of the closed rounds, the earliest first, and after them in the same order who supports them; like
    /// answers, without those of players who are out.
    fn export_posts(&self, out: &mut Vec<u8>, closed: u32) {
        let mut supported = Vec::new();
        let instances = self.state().instances().map(|(instance, _)| instance);
        for facts in
            instances.take_while(|of| *of <= closed).filter_map(|of| Facts::of(self.state(), of))
        {
            let instance = facts.instance;
            for told in told_posts(&facts) {
                let ToldPost { id, player, elapsed_ms, text, votes, fate } = told;
                let post = format!("{id:016x}");
                for player in voters(&facts, id) {
                    put(&mut supported, &Line::Vote { instance, post: &post, player });
                }
                put(out, &Line::Post { instance, post, player, elapsed_ms, text, votes, fate });
            }
        }
        out.extend(supported);
    }
}

fn put(out: &mut Vec<u8>, line: &Line) {
    serde_json::to_writer(&mut *out, line).expect("our own lines always encode into memory");
    out.push(b'\n');
}
