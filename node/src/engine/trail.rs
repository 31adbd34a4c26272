//! Notes of the audit trail: every step and every command, in the entry that carries it.

use super::core::EventCore;
use super::views::stage_view;
use crate::service::view::{CommandRequest, LogLine, Refusal};
use crdt_state::caps::VALUE_BYTES_MAX;
use crdt_state::delta::Delta;
use crdt_state::named::{BEGAN_MS, Change, Note, NumberChange, PLAYERS_PEAK};
use crdt_state::{Mono, Origin, Stage};
use std::collections::BTreeMap;

/// Who proposes a step when its time has come.
pub(super) const DIRECTOR: &str = "director";

impl EventCore {
    /// Whether hosts may still rule and state facts: nothing is done that the trail has no room for. Steps
    /// are always made, or else a show could not be ended.
    pub(super) fn check_trail(&self) -> Result<(), Refusal> {
        if self.state().named.trail.is_full() {
            let refusal = Refusal::new("limit_reached", "the audit trail of this event is full");
            return Err(refusal.hint("go on with a new event"));
        }
        Ok(())
    }

    /// Writes what a host does together with its note, and has the reply wait for both; `told` is to what
    /// or whom it is done, and where the show stands after it.
    pub(super) fn write_noted(
        &mut self,
        now: Mono,
        ticket: u64,
        request: &CommandRequest,
        told: (String, Stage),
        mut deltas: Vec<Delta>,
    ) {
        deltas.push(self.note(now, &request.by, &request.command.word(), told.0, told.1));
        if let Some(error) = deltas.iter().find_map(|delta| delta.check().err()) {
            let refusal =
                Refusal::new("value_invalid", format!("no node could read this: {error}"));
            return self.refuse(ticket, refusal.hint("something in it is too long or too large"));
        }
        if let Some(refusal) = self.unread(&deltas) {
            return self.refuse(ticket, refusal);
        }
        let seq = self.write_control(now, deltas);
        self.commanded(now, ticket, seq);
    }

    /// Why these changes cannot be written, if one is of a version that not all who take part read: whoever
    /// met it would stop replicating.
    fn unread(&self, deltas: &[Delta]) -> Option<Refusal> {
        let since = deltas.iter().map(Delta::since).max().unwrap_or_default();
        if since > self.rules.versions.newest {
            return Some(Refusal::new("version", format!("this node reads no version {since}")));
        }
        if self.state().all_read() >= since {
            return None;
        }
        let behind: Vec<&str> = self.state().behind(since).into_iter().collect();
        let why = format!("not every node reads version {since} yet: {}", behind.join(", "));
        Some(
            Refusal::new("version", why)
                .hint("update those nodes, or forget them if they are gone"),
        )
    }

    /// The note that `by` has done something, and that the show stands at `stage` after it.
    pub(super) fn note(&self, now: Mono, by: &str, act: &str, of: String, stage: Stage) -> Delta {
        Delta::Named(Change::Note(Note {
            lamport: self.state().next_lamport(),
            wall_ms: self.wall_ms(now),
            by: cut(by.to_owned()),
            act: act.to_owned(),
            of: cut(of),
            stage,
        }))
    }

    /// What goes with a step of the show: its note, and what is observed at every step.
    pub(super) fn with_step(&mut self, now: Mono, to: Stage) -> Vec<Delta> {
        let by = self.director.by.take();
        let by = by.as_deref().unwrap_or(DIRECTOR);
        let mut deltas = vec![self.note(now, by, &step_word(to), String::new(), to)];
        let named = &self.state().named;
        let (players, peak) = (self.state().head_count(), named.most.get(PLAYERS_PEAK));
        if peak.is_none_or(|peak| players > peak.0) {
            let most = NumberChange { name: PLAYERS_PEAK.to_owned(), value: players };
            deltas.push(Delta::Named(Change::Most(most)));
        }
        if to == Stage::LOBBY {
            let least = NumberChange { name: BEGAN_MS.to_owned(), value: self.wall_ms(now) };
            deltas.push(Delta::Named(Change::Least(least)));
        }
        deltas
    }

    fn wall_ms(&self, now: Mono) -> u64 {
        self.identity.born_ms + now.as_millis() as u64
    }

    /// The audit trail, in order. A step is made once, however many directors proposed it: who did so beside
    /// the first is told in its line.
    #[must_use]
    pub fn log(&self) -> Vec<LogLine> {
        let state = self.state();
        let names: BTreeMap<Origin, &str> = state.enrolled().map(|(o, _, n)| (o, n)).collect();
        let mut lines: Vec<LogLine> = Vec::with_capacity(state.named.trail.len());
        let mut steps: BTreeMap<Stage, usize> = BTreeMap::new();
        for (origin, note) in state.named.trail.iter() {
            let node = names.get(&origin).map_or_else(|| origin.to_string(), |n| (*n).to_owned());
            if is_step(note) {
                let first = *steps.entry(note.stage).or_insert(lines.len());
                if let Some(line) = lines.get_mut(first).filter(|_| note.by == DIRECTOR) {
                    line.also.push(node);
                    continue;
                }
            }
            lines.push(LogLine {
                lamport: note.lamport,
                wall_ms: note.wall_ms,
                node,
                origin,
                by: note.by.clone(),
                act: note.act.clone(),
                of: note.of.clone(),
                stage: stage_view(note.stage),
                also: Vec::new(),
            });
        }
        lines
    }
}

/// What the trail calls a step to `stage`.
fn step_word(stage: Stage) -> String {
    format!("{:?}", stage.phase).to_lowercase()
}

fn is_step(note: &Note) -> bool {
    note.of.is_empty() && note.act == step_word(note.stage)
}

/// As much of a text as a note can hold.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
    text
}
