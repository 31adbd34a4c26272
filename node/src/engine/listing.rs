//! The catalogue on one node, as a state machine without IO: the same replication as an event's, under
//! a reserved id.

use super::carried::refused;
use bytes::Bytes;
use crdt_state::catalogue::{Catalogue, List, encode};
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use crdts::{CmRDT, CvRDT};
use gossip::replication::{
    self, AckLevel, Alarm, ApplyError, Config, EnrolmentState, Message, PART_BYTES_MAX, Replica,
    Replicated,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The catalogue with its account of what was applied.
#[derive(Debug, Default)]
pub struct Listed {
    catalogue: Catalogue,
    content: Heads,
}

impl Replicated for Listed {
    fn apply(
        &mut self,
        from: LaneId,
        seq: u64,
        _age: Duration,
        _now: Mono,
        entry: &[u8],
    ) -> Result<(), ApplyError> {
        self.catalogue.apply(from.origin, entry).map_err(|error| refused(&error))?;
        self.content.apply(Dot::new(from, seq));
        Ok(())
    }

    fn cut(&self, _now: Mono) -> Vec<Bytes> {
        let whole = postcard::to_stdvec(&(&self.content, &self.catalogue))
            .expect("our own types always encode into memory");
        whole.chunks(PART_BYTES_MAX).map(Bytes::copy_from_slice).collect()
    }

    fn restore(&mut self, _now: Mono, _age: Duration, parts: &[Bytes]) -> Result<(), ApplyError> {
        let (content, catalogue): (Heads, Catalogue) = postcard::from_bytes(&parts.concat())
            .map_err(|error| ApplyError::Malformed { reason: format!("a snapshot: {error}") })?;
        self.catalogue.merge(catalogue);
        self.content.merge(content);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.catalogue.digest()
    }

    fn content(&self) -> Option<Heads> {
        Some(self.content.clone())
    }
}

/// What the catalogue tells the world.
#[derive(Debug)]
pub enum ListingOutput {
    /// A listing is known to enough nodes, or has waited long enough for it.
    Listed {
        /// Its ticket.
        ticket: u64,
    },
    /// Send this to a peer; it may be dropped when the way is full.
    Send {
        /// To whom.
        to: Origin,
        /// On which stream.
        lane: Lane,
        /// What.
        message: Message,
    },
    /// Keep an entry.
    Persist {
        /// Its lane.
        id: LaneId,
        /// Its number.
        seq: u64,
        /// Its bytes.
        entry: Bytes,
    },
    /// Keep a snapshot in place of everything before its heads.
    PersistCut {
        /// The vector of the cut.
        heads: Heads,
        /// The snapshot.
        parts: Vec<Bytes>,
    },
    /// A fact that an operator has to know.
    Alarm(Alarm),
}

/// The catalogue.
#[derive(Debug)]
pub struct ListingCore {
    origin: Origin,
    ack: AckLevel,
    listed: Listed,
    replica: Replica,
    outputs: VecDeque<ListingOutput>,
}

impl ListingCore {
    /// A catalogue over what the store had: nothing, or its content and entries.
    #[must_use]
    pub fn resume(
        origin: Origin,
        node: NodeId,
        ack: AckLevel,
        config: Config,
        listed: Listed,
        logs: Vec<(LaneId, u64, Vec<Bytes>)>,
    ) -> Self {
        let heads = listed.content.clone();
        let mut replica = Replica::resume(origin, config, heads, logs);
        let me = BTreeMap::from([(node, BTreeSet::from([origin]))]);
        replica.set_enrolled(me, EnrolmentState::Exempt);
        ListingCore { origin, ack, listed, replica, outputs: VecDeque::new() }
    }

    /// Lists an event, or changes its listing.
    pub fn list(&mut self, now: Mono, ticket: u64, mut list: List) {
        list.lamport = self.listed.catalogue.next_lamport();
        let entry = Bytes::from(encode(&list));
        self.listed.catalogue.take(self.origin, list);
        let id = LaneId::control(self.origin);
        let dot = self.listed.content.inc(id);
        self.listed.content.apply(dot);
        let seq = self.replica.commit(now, Lane::Control, entry.clone());
        self.outputs.push_back(ListingOutput::Persist { id, seq, entry });
        self.replica.await_receipt(now, ticket, Lane::Control, seq, self.ack);
    }

    /// Takes in what happened between this node and its peers, or the passing of time.
    pub fn replicate(&mut self, now: Mono, input: replication::Input) {
        self.replica.handle_input(now, input, &mut self.listed);
        while let Some(output) = self.replica.poll_output() {
            self.outputs.push_back(match output {
                replication::Output::Send { to, lane, message } => {
                    ListingOutput::Send { to, lane, message }
                }
                replication::Output::Applied { id, seq, entry } => {
                    ListingOutput::Persist { id, seq, entry }
                }
                replication::Output::Restored { heads, parts } => {
                    ListingOutput::PersistCut { heads, parts }
                }
                replication::Output::Receipt { ticket, .. } => ListingOutput::Listed { ticket },
                replication::Output::Alarm(alarm) => ListingOutput::Alarm(alarm),
            });
        }
    }

    /// The next thing to be done outside, in order; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<ListingOutput> {
        self.outputs.pop_front()
    }

    /// When a passing of time is wanted, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.replica.poll_timeout()
    }

    /// Every event that this cluster knows.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.listed.catalogue
    }
}
