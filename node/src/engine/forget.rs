//! Giving up a node that is gone for good.
//!
//! An operator says so; from then on no result waits for the node, no majority counts it, and every result
//! names it. Whatever it took and nobody heard comes late if it comes at all: then it is merged and
//! announced. A node that finds itself forgotten says that it is back, and counts again.

use super::core::EventCore;
use super::io::Output;
use super::owed::Waiting;
use crate::service::view::Refusal;
use crdt_state::caps::FORGETS_MAX;
use crdt_state::delta::{Delta, Forget};
use crdt_state::{Lane, LaneId, Mono, NodeId, Origin};
use std::collections::BTreeMap;

/// Origins whose answers would come late, and how far they were counted.
#[derive(Debug, Default)]
pub struct Lateness {
    counted: BTreeMap<Origin, u64>,
    /// Entries that came late so far.
    pub(super) entries: u64,
}

impl Lateness {
    /// People were shown a result without an origin, of which so much was counted.
    pub(super) fn watch(&mut self, origin: Origin, head: u64) {
        self.counted.entry(origin).or_insert(head);
    }

    /// How many entries have come late of an origin since this was last asked.
    fn grown(&mut self, heads: &crdt_state::Heads) -> Vec<(Origin, u64)> {
        let mut grown = Vec::new();
        for (origin, counted) in &mut self.counted {
            let head = heads.get(&LaneId::bulk(*origin));
            if head > *counted {
                grown.push((*origin, head - *counted));
                *counted = head;
            }
        }
        grown
    }
}

impl EventCore {
    /// Gives a node up: all its incarnations that may have more to give.
    pub(super) fn forget(&mut self, now: Mono, ticket: u64, node: NodeId) {
        match self.check_forget(node) {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(deltas) if deltas.is_empty() => {
                self.held.wait(ticket, Waiting::Forget { origins: 0 });
                self.on_receipt(ticket, true);
            }
            Ok(deltas) => {
                self.held.wait(ticket, Waiting::Forget { origins: deltas.len() });
                let seq = self.write_control(now, deltas);
                self.tell_enrolled();
                self.await_receipt(now, ticket, Lane::Control, seq);
            }
        }
    }

    fn check_forget(&self, node: NodeId) -> Result<Vec<Delta>, Refusal> {
        let state = &self.carried.state;
        if state.enrolled().all(|(_, of, _)| of != node) {
            return Err(Refusal::new("node_unknown", format!("no node {node} takes part here"))
                .hint("`starling members` lists the nodes"));
        }
        if self.is_here(node) {
            return Err(Refusal::new("node_alive", format!("the node {node} is here"))
                .hint("only a node that is gone for good can be forgotten; stop it first"));
        }
        let origins = state.enrolled().filter(|(_, of, _)| *of == node);
        let awaited = origins.filter(|(origin, ..)| {
            let times = state.forgotten().get(*origin).map_or(0, |known| known.length);
            state.is_awaited(*origin) && times < FORGETS_MAX
        });
        Ok(awaited.map(|(origin, ..)| Delta::Forget(self.next_word(origin, node))).collect())
    }

    /// The opposite of what is known of an origin.
    fn next_word(&self, origin: Origin, node: NodeId) -> Forget {
        let length = self.carried.state.forgotten().get(origin).map_or(0, |known| known.length);
        let head = self.carried.heads().get(&LaneId::bulk(origin));
        Forget { origin, node, length: length + 1, head }
    }

    /// Says that this node is back, where it finds itself forgotten.
    pub(super) fn say_that_we_are_back(&mut self, now: Mono) {
        let node = self.identity.node;
        let own = self.formers.iter().copied().chain([self.identity.origin]);
        let given_up = own.filter(|origin| self.carried.state.is_forgotten(*origin));
        let words: Vec<Delta> =
            given_up.map(|origin| Delta::Forget(self.next_word(origin, node))).collect();
        if !words.is_empty() && self.enrolled_at.is_some() {
            self.write_control(now, words);
            self.tell_enrolled();
        }
    }

    /// Announces answers that came after people were shown a result without them.
    pub(super) fn announce_late(&mut self) {
        let heads = self.carried.heads();
        for (origin, forgotten) in self.carried.state.forgotten().iter() {
            self.late.watch(origin, forgotten.head);
        }
        for (origin, entries) in self.late.grown(heads) {
            self.late.entries += entries;
            let mut enrolled = self.carried.state.enrolled();
            let name = enrolled.find(|(of, ..)| *of == origin).map(|(_, _, name)| name.to_owned());
            let node = name.unwrap_or_else(|| origin.to_string());
            self.outputs.push_back(Output::Late { node, entries });
        }
    }

    /// Remembers how far the origins are counted without which a result is shown.
    pub(super) fn watch_lateness(&mut self, instance: u32) {
        let heads = self.carried.heads();
        for (origin, _) in self.carried.state.unsealed(instance, heads) {
            if !self.is_reachable(origin) {
                self.late.watch(origin, heads.get(&LaneId::bulk(origin)));
            }
        }
    }
}
