//! What is yet to happen, in order.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crdt_state::Origin;
use gossip::replication::Message;
use node::engine::Word;

/// Virtual time in milliseconds.
pub(super) type Tick = u64;

/// Something that happens.
pub(super) enum Event {
    /// A message reaches a node, if it still lives this life.
    Deliver { to: u8, life: u32, from: Origin, sent: Tick, message: Box<Message> },
    /// A node hears what another carries, if it still lives this life.
    Hear { to: u8, life: u32, from: Origin, word: Box<Word> },
    /// A core wanted to be woken.
    Wake { node: u8 },
    /// A node looks whether another is there.
    Sense { node: u8, peer: u8 },
    /// A player does what is due.
    Player { number: u32, act: Act },
    /// A host looks at the show.
    Host { number: u8 },
    /// A fault begins, goes on or ends.
    Fault { index: u16, step: u32 },
    /// Shards hand over what a crowd does.
    Crowd,
    /// Somebody looks at all nodes.
    Watch,
    /// Nodes are compared, once all is mended.
    Compare,
}

/// What a player does.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Connects, if there is no connection since.
    Connect { moves: u32 },
    /// Leaves a node for another.
    Move { moves: u32 },
    /// Joins once more.
    Join { moves: u32 },
    /// Answers on another node at the same time, with the same token.
    Elsewhere { instance: u32, choice: u8 },
    /// Answers; `choice` beyond all options stands for one's own.
    Answer { instance: u32, choice: u8 },
}

struct Entry {
    at: Tick,
    number: u64,
    event: Event,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// All that is yet to happen; what was scheduled first for a tick happens first.
#[derive(Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    scheduled: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Tick, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Entry { at, number: self.scheduled, event }));
    }

    /// The tick of what comes next.
    pub(super) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// What comes next, if it comes at this tick.
    pub(super) fn pop(&mut self, at: Tick) -> Option<Event> {
        (self.next()? == at).then(|| self.heap.pop())?.map(|Reverse(entry)| entry.event)
    }
}
