//! The newest retained message of each topic (MQTT 5.0, section 3.3.1.3).

use super::message::Message;
use super::{Full, Ledger};
use crate::edge::filter;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All of them. Invariant: none is empty, and their cost is in the ledger.
#[derive(Debug)]
pub(super) struct Retained {
    topics: BTreeMap<String, Arc<Message>>,
    most: usize,
}

impl Retained {
    pub(super) fn new(most: usize) -> Self {
        Retained { topics: BTreeMap::new(), most }
    }

    /// Keeps a message in place of its topic's former one; an empty one only removes that.
    pub(super) fn put(
        &mut self,
        now: u64,
        message: &Arc<Message>,
        ledger: &mut Ledger,
    ) -> Result<(), Full> {
        let former = self.topics.get(&message.topic).map_or(0, |former| former.cost());
        if message.payload.is_empty() {
            self.topics.remove(&message.topic);
            ledger.give(former);
            return Ok(());
        }
        if former == 0 {
            self.make_room(now, ledger)?;
        }
        ledger.exchange(former, message.cost())?;
        self.topics.insert(message.topic.clone(), Arc::clone(message));
        Ok(())
    }

    /// Those that a filter matches, in the order of topics.
    pub(super) fn matching(&self, now: u64, filter: &str) -> Vec<Arc<Message>> {
        let living = |message: &&Arc<Message>| !message.is_expired(now);
        if !filter.contains(['+', '#']) {
            return self.topics.get(filter).filter(living).cloned().into_iter().collect();
        }
        let matching = self.topics.values().filter(|it| filter::matches(filter, &it.topic));
        matching.filter(living).cloned().collect()
    }

    /// Lets go of what has expired.
    pub(super) fn forget_expired(&mut self, now: u64, ledger: &mut Ledger) {
        self.topics.retain(|_, message| {
            let living = !message.is_expired(now);
            if !living {
                ledger.give(message.cost());
            }
            living
        });
    }

    fn make_room(&mut self, now: u64, ledger: &mut Ledger) -> Result<(), Full> {
        if self.topics.len() >= self.most {
            self.forget_expired(now, ledger);
        }
        if self.topics.len() >= self.most {
            return Err(Full("it has as many retained messages as it takes"));
        }
        Ok(())
    }
}

#[cfg(test)]
impl Retained {
    /// Bytes of all of them.
    pub(super) fn cost(&self) -> usize {
        self.topics.values().map(|message| message.cost()).sum()
    }
}
