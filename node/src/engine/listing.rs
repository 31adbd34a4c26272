//! The catalogue on one node, as a state machine without IO: the same replication as an event's, under
//! a reserved id.

use super::carried::refused;
use super::cut::check_claim;
use super::io::{Output, Reply};
use bytes::Bytes;
use crdt_state::catalogue::{Catalogue, Notice, encode};
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin};
use crdts::{CmRDT, CvRDT};
use gossip::replication::{
    self, AckLevel, ApplyError, Config, Cut, EnrolmentState, PART_BYTES_MAX, Replica, Replicated,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The catalogue with its account of what was applied.
#[derive(Debug, Default)]
pub struct Listed {
    catalogue: Catalogue,
    content: Heads,
    /// What was taken in since that was last asked.
    taken: Vec<Taken>,
}

/// What changed the catalogue.
#[derive(Debug)]
pub enum Taken {
    /// One change, and who wrote it.
    Notice(Origin, Notice),
    /// A snapshot: anything may have changed.
    Snapshot,
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
        let taken = self.catalogue.apply(from.origin, entry).map_err(|error| refused(&error))?;
        self.taken.push(Taken::Notice(from.origin, taken));
        self.content.apply(Dot::new(from, seq));
        Ok(())
    }

    fn cut(&self, _now: Mono) -> Box<dyn Cut> {
        let whole = postcard::to_stdvec(&(&self.content, &self.catalogue))
            .expect("our own types always encode into memory");
        Box::new(whole.chunks(PART_BYTES_MAX).map(Bytes::copy_from_slice).collect::<Vec<_>>())
    }

    fn restore(
        &mut self,
        _now: Mono,
        _age: Duration,
        claimed: Option<&Heads>,
        parts: &[Bytes],
    ) -> Result<(), ApplyError> {
        let (content, catalogue): (Heads, Catalogue) = postcard::from_bytes(&parts.concat())
            .map_err(|error| ApplyError::Malformed { reason: format!("a snapshot: {error}") })?;
        check_claim(claimed, &content)?;
        self.catalogue.merge(catalogue);
        self.content.merge(content);
        self.taken.push(Taken::Snapshot);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.catalogue.digest()
    }

    fn content(&self) -> Option<Heads> {
        Some(self.content.clone())
    }

    fn applied(&self, id: LaneId) -> Option<u64> {
        Some(self.content.get(&id))
    }
}

/// The catalogue.
#[derive(Debug)]
pub struct ListingCore {
    origin: Origin,
    ack: AckLevel,
    listed: Listed,
    replica: Replica,
    outputs: VecDeque<Output>,
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
        replica.set_enrolled(me, EnrolmentState::Exempt { seq: 0 });
        ListingCore { origin, ack, listed, replica, outputs: VecDeque::new() }
    }

    /// Takes nothing more from lanes of which the store remembers that they have two histories.
    #[must_use]
    pub fn quarantining(mut self, lanes: impl IntoIterator<Item = LaneId>) -> Self {
        self.replica.keep_quarantined(lanes);
        self
    }

    /// Lists an event or changes its listing, or turns somebody away.
    pub fn note(&mut self, now: Mono, ticket: u64, mut notice: Notice) {
        notice.set_lamport(self.listed.catalogue.next_lamport());
        let entry = Bytes::from(encode(&notice));
        self.listed.catalogue.take(self.origin, notice.clone());
        self.listed.taken.push(Taken::Notice(self.origin, notice));
        let id = LaneId::control(self.origin);
        let dot = self.listed.content.inc(id);
        self.listed.content.apply(dot);
        let seq = self.replica.commit(now, Lane::Control, entry.clone());
        self.outputs.push_back(Output::Persist { id, seq, entry });
        if !self.replica.await_receipt(now, ticket, Lane::Control, seq, self.ack) {
            let reply = Reply::Listed { firm: false };
            self.outputs.push_back(Output::Reply { ticket, reply });
        }
    }

    /// Takes in what happened between this node and its peers, or the passing of time.
    pub fn replicate(&mut self, now: Mono, input: replication::Input) {
        self.replica.handle_input(now, input, &mut self.listed);
        while let Some(output) = self.replica.poll_output() {
            self.outputs.push_back(match Output::of(output, now, &self.listed) {
                Ok(output) => output,
                Err((ticket, firm)) => Output::Reply { ticket, reply: Reply::Listed { firm } },
            });
        }
    }

    /// The next thing to be done outside, in order; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When a passing of time is wanted, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.replica.poll_timeout()
    }

    /// What was taken in since the last call.
    pub fn poll_taken(&mut self) -> Vec<Taken> {
        std::mem::take(&mut self.listed.taken)
    }

    /// What its replication has done.
    #[must_use]
    pub fn stats(&self) -> &replication::Stats {
        self.replica.stats()
    }

    /// Every event that this cluster knows.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.listed.catalogue
    }
}
