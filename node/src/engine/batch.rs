//! What was taken in one turn of an owner, until it leaves as one entry.

use crdt_state::Origin;
use crdt_state::delta::{Answers, Delta, Join, Posts, Texts, Votes};
use crdt_state::named::{Change, NumberChange};
use std::collections::BTreeMap;

/// Instance, question, and the origin that numbered the rows.
type Sheet = (u32, u16, Origin);

/// Typed answers: every text once, and by row the index of its text.
#[derive(Debug, Default)]
pub struct TypedRows {
    texts: Vec<String>,
    rows: Vec<(u32, u32, u32, u32)>,
}

/// What was taken in this turn and is not committed yet.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) joins: Vec<Join>,
    answers: BTreeMap<Sheet, Vec<(u32, u32, u32)>>,
    pub(super) texts: BTreeMap<Sheet, TypedRows>,
    pub(super) posts: BTreeMap<u32, Posts>,
    pub(super) votes: BTreeMap<u32, Votes>,
    /// The own running totals of counters.
    pub(super) counts: BTreeMap<String, u64>,
    /// Other changes, as they came.
    changes: Vec<Delta>,
    pub(super) rows: usize,
    pub(super) tickets: Vec<u64>,
}

impl Batch {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.tickets.is_empty()
    }

    pub(super) fn push(&mut self, sheet: Sheet, row: (u32, u32, u32)) {
        self.answers.entry(sheet).or_default().push(row);
        self.rows += 1;
    }

    pub(super) fn push_text(&mut self, sheet: Sheet, text: String, row: (u32, u32, u32)) {
        self.texts.entry(sheet).or_default().push(text, row);
        self.rows += 1;
    }

    /// Counts one more change that is to be committed.
    pub(super) fn grow(&mut self) {
        self.rows += 1;
    }

    /// One more change that is to be committed.
    pub(super) fn push_change(&mut self, change: Delta) {
        self.changes.push(change);
        self.rows += 1;
    }

    pub(super) fn take_deltas(&mut self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        if !self.joins.is_empty() {
            deltas.push(Delta::Joins(std::mem::take(&mut self.joins)));
        }
        for ((instance, question, rows_of), rows) in std::mem::take(&mut self.answers) {
            deltas.push(Delta::Answers(Answers { instance, question, rows_of, rows }));
        }
        for ((instance, question, rows_of), typed) in std::mem::take(&mut self.texts) {
            let TypedRows { texts, rows } = typed;
            deltas.push(Delta::Texts(Texts { instance, question, rows_of, texts, rows }));
        }
        deltas.extend(std::mem::take(&mut self.posts).into_values().map(Delta::Posts));
        deltas.extend(std::mem::take(&mut self.votes).into_values().map(Delta::Votes));
        for (name, total) in std::mem::take(&mut self.counts) {
            let change = Change::Total(NumberChange { name, value: total });
            deltas.push(Delta::Named(change));
        }
        deltas.append(&mut self.changes);
        self.rows = 0;
        deltas
    }
}

impl TypedRows {
    fn push(&mut self, text: String, (number, elapsed_ms, value): (u32, u32, u32)) {
        let known = self.texts.iter().position(|held| *held == text);
        let index = known.unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        self.rows.push((number, elapsed_ms, value, index as u32));
    }
}
