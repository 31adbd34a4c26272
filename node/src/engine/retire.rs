//! Leaving an event in order.
//!
//! A node that goes away for good says so, and nobody waits for it any more: no majority counts it and every
//! result can be `final` without it. That is safe because of what it does before it goes:
//!
//! - It takes no more, from players or from peers. So it acknowledges nothing that it has not got by now, and
//!   knows of nobody whom its last entry does not name: whoever counts its word for a receipt, or for an
//!   enrolment, is told of below.
//! - Its last entry, on disk before anybody hears it, seals its lanes for good, those of its former lives too, and
//!   puts a last fence around every lane of others ([`Fence::FOR_GOOD`]): so far it may have stood behind what they
//!   took. Who judges whether a result is settled has all that is within these fences, or waits for it. A lane
//!   that is sealed for good is no exception: who judges may not have heard that.
//! - It stays until as many others hold all that it holds as make a receipt firm, or all who stay: its own copy
//!   goes with it. Whoever is about to go away too does not stay.
//!
//! A node leaves only while two others stand behind receipts, and never when it may have forgotten what it stood
//! behind; else it goes as if it crashed. Where all leave each other at once, whoever comes back must be known to
//! a majority of all that ever stood behind receipts, see [`EventCore::elders`].
//!
//! A node that comes back after this is a newcomer, under a new origin as always. It takes no answers until a
//! majority knows of it, since nobody's result waits for it before.

use super::core::EventCore;
use super::io::{Input, Output, Reply};
use crate::service::view::Refusal;
use crdt_state::delta::{Delta, Fence, Seal};
use crdt_state::{LaneId, Mono, NodeId, Origin};
use gossip::replication::{self, Message};
use std::collections::{BTreeMap, BTreeSet};

/// Other nodes that must stay when one leaves. With one alone, who comes back could do nothing without it.
const STAYING: usize = 2;

/// Who waits until a node may go.
#[derive(Debug, Default)]
pub struct Leaving {
    /// By ticket: how many other nodes must hold everything, at least, and which do not count because they go too.
    waiting: BTreeMap<u64, (usize, BTreeSet<NodeId>)>,
}

impl EventCore {
    /// Has this node leave the event. Replies once `copies` other nodes hold all that it holds, those not counted that
    /// are `going` themselves. A node that takes no part has nothing to say, and never will: an event that arrives
    /// while it goes must not wait for it.
    pub(super) fn retire(
        &mut self,
        now: Mono,
        ticket: u64,
        copies: usize,
        going: BTreeSet<NodeId>,
    ) {
        if self.enrolled_at.is_none() {
            self.leaving.get_or_insert_default();
            let why = "this node takes no part in the event";
            return self.refuse(ticket, Refusal::new("not_possible", why));
        }
        if let Err(refusal) = self.check_retire(&going) {
            return self.refuse(ticket, refusal);
        }
        let staying = self.staying(&going).len();
        let firm = self.copies_now().min(staying);
        let copies = copies.max(firm);
        if self.leaving.is_none() {
            self.say_goodbye(now);
        }
        self.leaving.get_or_insert_default().waiting.insert(ticket, (copies, going));
    }

    /// Whether this node could leave the event now, to so many others at least.
    #[must_use]
    pub fn may_leave(&self, copies: usize, going: &BTreeSet<NodeId>) -> bool {
        let takes_part = self.enrolled_at.is_some() && self.leaving.is_none();
        takes_part && self.staying(going).len() >= copies && self.check_retire(going).is_ok()
    }

    fn check_retire(&self, going: &BTreeSet<NodeId>) -> Result<(), Refusal> {
        let no = |why: &str| Err(Refusal::new("not_possible", why));
        if self.leaving.is_some() {
            return Ok(());
        }
        if !self.keeps_promises {
            return no("the disk does not keep a last word");
        }
        if self.may_have_forgotten() {
            return no("this node may have forgotten behind which answers it stood");
        }
        if self.unsealed_formers().next().is_some() && !self.has_compared_formers() {
            return no("others may hold more of a former life of this node");
        }
        if self.staying(going).len() < STAYING {
            return no("there are too few other nodes to leave the event to");
        }
        Ok(())
    }

    /// The other nodes in reach that stand behind receipts and have not left, nor are about to.
    fn staying(&self, going: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let stays = |(peer, node): &(&Origin, &NodeId)| {
            **node != self.identity.node
                && !going.contains(node)
                && self.state().is_vouching(**peer)
                && !self.state().is_retired(**peer)
        };
        self.connected.iter().filter(stays).map(|(_, node)| *node).collect()
    }

    /// Whether a former life of this node stood behind answers that it may not know any more, in a round that
    /// somebody has not sealed.
    fn may_have_forgotten(&self) -> bool {
        let until = self.forgotten_until();
        let others = |(_, node): &(Origin, Option<NodeId>)| *node != Some(self.identity.node);
        until > 0 && self.state().unsealed(until, self.heads()).any(|lane| others(&lane))
    }

    fn say_goodbye(&mut self, now: Mono) {
        self.commit_bulk(now);
        let (me, knows) = (self.identity.origin, self.unnamed().collect());
        let mut deltas: Vec<Delta> = self.last_words().map(Delta::Fence).collect();
        let formers = self.unsealed_formers();
        let formers = formers.filter_map(|former| self.missing_seal(former, Seal::FOR_GOOD));
        deltas.extend(formers.map(Delta::Seal));
        let (head, control) =
            (self.heads().get(&LaneId::bulk(me)), self.heads().get(&LaneId::control(me)));
        let seal = Seal { origin: me, instance: Seal::FOR_GOOD, head, control, knows };
        deltas.push(Delta::Seal(seal));
        self.write_control(now, deltas);
        self.outputs.push_back(Output::Flush);
        self.leaving = Some(Leaving::default());
        self.tell_enrolled();
        for ticket in self.director.give_up() {
            self.refuse(ticket, leaving());
        }
    }

    /// How far this node may have stood behind each lane of another node that has anything or may still. That one
    /// is sealed for good stands in a third lane, of which who judges may not have heard.
    fn last_words(&self) -> impl Iterator<Item = Fence> {
        let fence = |(origin, node): (Origin, NodeId)| {
            let head = self.heads().get(&LaneId::bulk(origin));
            let fence = Fence { instance: Fence::FOR_GOOD, node, origin, head };
            (head > 0 || !self.state().is_retired(origin)).then_some(fence)
        };
        let others = self.state().enrolled().map(|(origin, node, _)| (origin, node));
        others.filter(|(_, node)| *node != self.identity.node).filter_map(fence)
    }

    /// What a node that leaves makes of an input: it hears who comes and goes, who has what, and serves.
    pub(super) fn handle_leaving(&mut self, now: Mono, input: Input) {
        match input {
            Input::Retire { ticket, copies, going } => self.retire(now, ticket, copies, going),
            Input::Project { player } => self.project(player),
            Input::Replication(replication::Input::Message { message, .. })
                if brings_content(&message) => {}
            Input::Replication(input) => self.replicate(now, input),
            Input::Timeout => {}
            request => request.ticket().into_iter().for_each(|to| self.refuse(to, leaving())),
        }
    }

    /// Ends a turn of a node that leaves.
    pub(super) fn settle_leaving(&mut self, now: Mono) {
        self.replicate(now, replication::Input::Timeout);
        self.settle_fenced();
        self.tell_repeated();
        let holders = self.holders_of_all();
        let Some(leaving) = &mut self.leaving else { return };
        let is_done = |(copies, going): &mut (usize, BTreeSet<NodeId>)| {
            *copies <= holders.difference(going).count()
        };
        let done = leaving.waiting.extract_if(.., |_, wanted| is_done(wanted));
        for ticket in done.map(|(ticket, _)| ticket).collect::<Vec<_>>() {
            self.reply(ticket, Reply::Retired);
        }
    }

    /// The other nodes that have not left and are known to hold all that is here.
    fn holders_of_all(&self) -> BTreeSet<NodeId> {
        let holds = |(peer, _): &(&Origin, &NodeId)| {
            let theirs = self.replica.peer_heads(**peer);
            !self.state().is_retired(**peer) && theirs.is_some_and(|theirs| theirs >= self.heads())
        };
        self.others().filter(holds).map(|(_, node)| *node).collect()
    }

    /// Whether all that the nodes which left in order may have stood behind of a lane is here.
    pub(super) fn has_last_words(&self, of: NodeId, origin: Origin) -> bool {
        let here = self.heads().get(&LaneId::bulk(origin));
        let words = self.state().fences().last_words(of);
        words.filter_map(|(_, lanes)| lanes.get(&origin)).all(|head| *head <= here)
    }

    /// The nodes of which a majority must know a newcomer: the others that stand behind receipts and take part.
    /// Where all of them have left, nobody who is here can say who came since: then all that ever did, this
    /// node's former lives counted, but for those that an operator gave up.
    pub(super) fn elders(&self, nodes: &BTreeMap<NodeId, BTreeSet<Origin>>) -> BTreeSet<NodeId> {
        let state = self.state();
        let vouches = |origin: &Origin| state.is_vouching(*origin);
        let others = nodes.iter().filter(|(node, _)| **node != self.identity.node);
        let elders: BTreeSet<NodeId> =
            others.filter(|(_, of)| of.iter().any(vouches)).map(|(node, _)| *node).collect();
        if !elders.is_empty() {
            return elders;
        }
        let ever = state.enrolled().filter(|(origin, ..)| {
            vouches(origin) && *origin != self.identity.origin && !state.is_forgotten(*origin)
        });
        ever.map(|(_, node, _)| node).collect()
    }
}

/// Whether a message of a peer would change what is here.
fn brings_content(message: &Message) -> bool {
    matches!(
        message,
        Message::Entries { .. } | Message::SnapshotHead { .. } | Message::SnapshotPart { .. }
    )
}

fn leaving() -> Refusal {
    Refusal::new("overloaded", "this node is leaving").hint("use another node")
}
