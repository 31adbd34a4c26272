//! What is yet to happen, in order.

use std::collections::{BTreeMap, VecDeque};

use crdt_state::{Origin, Period};
use gossip::replication::Message;
use node::engine::Word;

/// Virtual time in milliseconds.
pub(super) type Tick = u64;

/// Something that happens.
pub(super) enum Event {
    /// A message reaches a node, if it still lives this life.
    Deliver { to: u8, life: u32, way: Way, sent: Tick, message: Box<Message> },
    /// A node hears what another carries, if it still lives this life.
    Hear { to: u8, life: u32, from: Origin, word: Box<Word> },
    /// A core wanted to be woken.
    Wake { node: u8 },
    /// A node looks whether another is there.
    Sense { node: u8, peer: u8 },
    /// A node looks whether anybody wants the show.
    Look { node: u8, life: u32 },
    /// What came of leaving the show in a period.
    Goodbye { node: u8, life: u32, period: Period, said: bool },
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

/// Between whom a message goes: the sender's link, and the periods of sender and receiver that it is of.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) link: Origin,
    pub(super) theirs: Period,
    pub(super) ours: Period,
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

/// All that is yet to happen; what was scheduled first for a tick happens first.
#[derive(Default)]
pub(super) struct Queue {
    ticks: BTreeMap<Tick, VecDeque<Event>>,
    /// Of ticks that are over: thousands of them follow each other.
    spare: Vec<VecDeque<Event>>,
}

impl Queue {
    pub(super) fn push(&mut self, at: Tick, event: Event) {
        let spare = &mut self.spare;
        self.ticks.entry(at).or_insert_with(|| spare.pop().unwrap_or_default()).push_back(event);
    }

    /// The tick of what comes next.
    pub(super) fn next(&self) -> Option<Tick> {
        self.ticks.first_key_value().map(|(at, _)| *at)
    }

    /// What comes next, if it comes at this tick.
    pub(super) fn pop(&mut self, at: Tick) -> Option<Event> {
        let mut first = self.ticks.first_entry().filter(|first| *first.key() == at)?;
        let event = first.get_mut().pop_front();
        if first.get().is_empty() {
            self.spare.push(first.remove());
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_scheduled_first_for_a_tick_happens_first() {
        let mut queue = Queue::default();
        for (at, node) in [(2, 1), (1, 2), (2, 3), (1, 4)] {
            queue.push(at, Event::Wake { node });
        }
        let mut all = Vec::new();
        while let Some(at) = queue.next() {
            while let Some(event) = queue.pop(at) {
                let Event::Wake { node } = event else { panic!("nothing else was scheduled") };
                all.push((at, node));
                // Whatever follows from it in the same tick comes after what waits.
                if node == 2 {
                    queue.push(1, Event::Wake { node: 5 });
                }
            }
        }
        assert_eq!(all, [(1, 2), (1, 4), (1, 5), (2, 1), (2, 3)]);
    }
}
