//! An event as JSON lines, written so that nodes with equal heads write equal bytes.
//!
//! Nothing in it depends on the node that writes: no names of nodes, no reachability, no time of day.
//! Lines, in this order: one `event`, then per instance a `question`, its `tally`, and at last every
//! `player` and every `answer`, each sorted by its own key.

use super::core::EventCore;
use super::intake::choices_of;
use super::views::stage_view;
use bytes::Bytes;
use crdt_state::engagement::quiz::{outcome, standings};
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
    },
    Question {
        instance: u32,
        number: u32,
        text: &'a str,
        options: &'a [String],
        correct: Vec<u8>,
        open_ms: u32,
        points: u32,
        status: &'static str,
    },
    Tally {
        instance: u32,
        counts: Vec<u64>,
    },
    Player {
        player: PlayerId,
        name: String,
        rows: Vec<Row>,
        points: u64,
        rank: u32,
        correct_ms: u64,
    },
    Answer {
        instance: u32,
        player: PlayerId,
        choices: Vec<u8>,
        elapsed_ms: u32,
        correct: bool,
        points: u32,
    },
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
        for instance in self.state().instances().map(|(i, _)| i).filter(|i| *i <= closed) {
            self.export_answers(&mut out, instance);
        }
        Bytes::from(out)
    }

    fn export_event(&self, out: &mut Vec<u8>, pin: &str, closed: u32) {
        let line = Line::Event {
            schema: SCHEMA,
            event: self.identity.event.to_string(),
            pin,
            title: self.state().script().map_or("", |script| &script.title),
            stage: stage_view(self.state().stage()),
            status: self.exported_status(closed),
        };
        put(out, &line);
    }

    fn exported_status(&self, instance: u32) -> &'static str {
        if instance == 0 { "open" } else { self.complete_status(instance).unwrap_or("partial") }
    }

    fn export_question(&self, out: &mut Vec<u8>, instance: u32) {
        let Some((number, question)) = self.state().question_of(instance) else { return };
        let line = Line::Question {
            instance,
            number: u32::from(number) + 1,
            text: &question.text,
            options: &question.options,
            correct: choices_of(question.correct),
            open_ms: self.state().open_ms(instance),
            points: question.points,
            status: self.exported_status(instance),
        };
        put(out, &line);
        put(out, &Line::Tally { instance, counts: self.state().tally(instance) });
    }

    fn export_players(&self, out: &mut Vec<u8>, closed: u32) {
        let mut all = standings(self.state(), |instance| instance <= closed);
        all.sort_by_key(|standing| standing.player);
        for standing in all {
            let players = &self.state().players;
            let line = Line::Player {
                player: standing.player,
                name: players.shown_name(standing.player).unwrap_or_default(),
                rows: players.rows_of(standing.player).collect(),
                points: standing.points,
                rank: standing.rank,
                correct_ms: standing.correct_ms,
            };
            put(out, &line);
        }
    }

    fn export_answers(&self, out: &mut Vec<u8>, instance: u32) {
        for player in self.state().players.ids() {
            let Some(outcome) = outcome(self.state(), instance, player) else { continue };
            let line = Line::Answer {
                instance,
                player,
                choices: choices_of(outcome.choice),
                elapsed_ms: outcome.elapsed_ms,
                correct: outcome.correct,
                points: outcome.points,
            };
            put(out, &line);
        }
    }
}

fn put(out: &mut Vec<u8>, line: &Line) {
    serde_json::to_writer(&mut *out, line).expect("our own lines always encode into memory");
    out.push(b'\n');
}
