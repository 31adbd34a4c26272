//! Standing behind what others take: fences around unreachable nodes, and what receipts make of them.
//!
//! A receipt is firm because another node stands behind the answer. Whoever calls a result settled must
//! know of every such answer, though links may be silent and nodes unheard. So each node says in its
//! control lane where its standing ends: once a round is closed, it fences off what an unreachable node
//! took in it and has not sealed ([`Fence`]). An acknowledgement counts only where all that its sender had
//! said by then has been applied; so the node that was fenced off reads the fence before it can count a
//! later acknowledgement, and its receipt waits until every node holds the answer.
//!
//! The same for a node of which the others learnt too late: those who had sealed the round before they
//! knew it do not stand behind what it took in that round. And a node stands behind nobody's
//! answers before a majority knows it, and it what they had fenced ([`Delta::Vouch`]).
//!
//! A node that comes back may have forgotten the last moments before it went down, and with them what it
//! stood behind. So it fences nothing off in the rounds that it finds, beyond what it had fenced before:
//! without its word they are not settled, as if it were gone. What this rests on is that a node's disk
//! is kept: fences are on it before anybody hears them.

use super::backed::{Behind, Waiting};
use super::core::EventCore;
use super::io::Output;
use super::owed;
use crdt_state::delta::{Delta, Fence};
use crdt_state::event::Sheet;
use crdt_state::{Dot, Heads, Lane, LaneId, Mono, NodeId, Origin, PlayerId};
use std::collections::{BTreeMap, BTreeSet};

/// Of how many rounds the answers are remembered as they were when this node fenced.
const FENCED_ROUNDS: usize = 2;

/// What this node knows of who stands behind whose answers.
#[derive(Debug, Default)]
pub struct Standing {
    /// The node of each incarnation that was seen to know of this one, and the first round that it had not
    /// sealed by then.
    knew_from: BTreeMap<Origin, (NodeId, u32)>,
    /// Receipts whose level was reached by nodes that do not stand behind them.
    pub(super) waiting: Waiting,
    /// Rounds in which this node fenced, and the answers that it had by then.
    fenced: BTreeMap<u32, BTreeMap<u16, Sheet>>,
    /// The first round of which this node cannot have forgotten anything.
    whole_from: u32,
}

impl EventCore {
    /// Says that this node stands behind what others take from now on, once it may.
    pub(super) fn vouch_when_due(&mut self, now: Mono) {
        let me = self.identity.origin;
        let is_done = self.enrolled_at.is_none() || self.state().is_vouching(me);
        if is_done || self.is_behind(now) || !self.keeps_promises {
            return;
        }
        if self.replica.may_be_firm() {
            self.forget_nothing_from_here();
            let known = self.state().fences().iter();
            let known = known.filter(|(_, fence)| fence.instance != Fence::FOR_GOOD);
            let known = known.map(|(_, fence)| (fence.instance, fence.node, fence.origin));
            let adopted: BTreeSet<_> =
                known.filter(|(_, node, _)| *node != self.identity.node).collect();
            let fences = adopted
                .into_iter()
                .filter_map(|(instance, node, origin)| self.new_fence(instance, node, origin));
            let mut deltas: Vec<Delta> = fences.map(Delta::Fence).collect();
            deltas.push(Delta::Vouch);
            self.write_control(now, deltas);
            self.outputs.push_back(Output::Flush);
            self.tell_enrolled();
        }
    }

    /// The fences that this node lacks around whoever is out of its reach and has not sealed a round.
    pub(super) fn missing_fences(&self, instance: u32) -> Vec<Fence> {
        let state = self.state();
        let is_away = |node: NodeId| !self.is_here(node);
        // In every turn while a round is closed, mostly with everybody in reach.
        if !state.enrolled().any(|(_, node, _)| is_away(node)) {
            return Vec::new();
        }
        // Whether it had another life a newcomer knows only once it has heard all.
        if !state.is_vouching(self.identity.origin) && !self.has_control_of_peers() {
            return Vec::new();
        }
        let unsealed = state.unsealed(instance, self.heads());
        let unsealed = unsealed.filter(|(origin, _)| !state.is_forgotten(*origin));
        let away =
            unsealed.filter_map(|(origin, node)| Some((origin, node.filter(|n| is_away(*n))?)));
        away.filter_map(|(origin, node)| self.new_fence(instance, node, origin)).collect()
    }

    /// Remembers what is here, as that behind which this node stands.
    pub(super) fn remember_fenced(&mut self, instance: u32) {
        let sheets = self.carried.state.answers_of(instance);
        self.standing.fenced.entry(instance).or_insert(sheets);
        while self.standing.fenced.len() > FENCED_ROUNDS {
            self.standing.fenced.pop_first();
        }
    }

    /// Of a round that is known by now a node that came back may have forgotten something.
    pub(super) fn forget_nothing_from_here(&mut self) {
        let newest = self.state().instances().last().map_or(0, |(instance, _)| instance);
        if self.has_forgotten {
            self.standing.whole_from = newest + 1;
        }
    }

    /// The newest round of which this node may have forgotten something: 0 if there is none.
    pub(super) fn forgotten_until(&self) -> u32 {
        if !self.has_forgotten {
            return 0;
        }
        let newest = || self.state().instances().last().map_or(0, |(instance, _)| instance);
        let vouches = self.state().is_vouching(self.identity.origin);
        if vouches { self.standing.whole_from.saturating_sub(1) } else { newest() }
    }

    /// A fence around one lane, unless this incarnation has put one up or cannot know where it stands.
    fn new_fence(&self, instance: u32, node: NodeId, origin: Origin) -> Option<Fence> {
        let state = self.state();
        let is_own =
            |writer: Origin| writer == self.identity.origin || self.formers.contains(&writer);
        let own = state.fences().around(instance, node).filter(|(writer, _)| is_own(*writer));
        let own: Vec<_> = own.collect();
        if own.iter().any(|(by, lanes)| *by == self.identity.origin && lanes.contains_key(&origin))
        {
            return None;
        }
        let may_have_forgotten = self.has_forgotten
            && (instance < self.standing.whole_from || !state.is_vouching(self.identity.origin));
        if own.is_empty() && may_have_forgotten {
            return None;
        }
        let stood_behind = own.iter().filter_map(|(_, lanes)| lanes.get(&origin)).max().copied();
        // Where the node was fenced off before, nothing of a lane that was not named is within; nor has
        // anybody counted the word of a newcomer that stands behind nothing yet.
        let is_fresh = !self.has_forgotten && !state.is_vouching(self.identity.origin);
        let head = match own.is_empty() && !is_fresh {
            true => self.heads().get(&LaneId::bulk(origin)),
            false => stood_behind.unwrap_or(0),
        };
        Some(Fence { instance, node, origin, head })
    }

    /// Notices which peers have come to know of this node.
    pub(super) fn note_who_knows(&mut self) {
        let Some(seq) = self.enrolled_at else { return };
        let new = self.connected.iter().filter(|(peer, _)| {
            !self.standing.knew_from.contains_key(peer)
                && self.replica.counted_head(**peer, Lane::Control) >= seq
        });
        let state = &self.carried.state;
        let known = new.map(|(peer, node)| (*peer, (*node, state.newest_sealed(*peer) + 1)));
        let known: Vec<_> = known.collect();
        self.standing.knew_from.extend(known);
    }

    /// Whether no result of a round can be final without this node: somebody who takes part knew of it before sealing
    /// the round, and names it in that seal. Of the creator and of a node in place of its own former origin
    /// everybody knows.
    pub(super) fn is_reckoned_with(&self, instance: u32) -> bool {
        let mut known = self.standing.knew_from.values();
        self.is_exempt() || known.any(|(_, from)| *from <= instance)
    }

    /// Whether a receipt whose level is reached is firm. If it is not, it waits until every node holds
    /// the answer, or enough stand behind it where another node took it.
    pub(super) fn stands(&mut self, ticket: u64, waiting: &owed::Waiting) -> bool {
        if self.standing.waiting.has(ticket) {
            return false;
        }
        if matches!(waiting, owed::Waiting::Command { outcome: "already", .. }) {
            return self.stands_with_others(ticket);
        }
        let Some(instance) = waiting.of_run() else { return true };
        let me = self.identity.origin;
        let is_others = waiting.others(me).any(|player| !self.is_within(instance, player));
        if !is_others && waiting.instance().is_none() {
            return true; // no result waits for it, so nobody fences it off
        }
        let head = self.heads().get(&LaneId::bulk(self.identity.origin));
        if !is_others && self.is_vouched_for(instance, head) {
            return true;
        }
        crdt_state::sometimes!(ReceiptFencedOff);
        match is_others {
            true => {
                let behind = Behind::Others { instance, heads: self.heads_of(Lane::Bulk) };
                self.standing.waiting.push(ticket, behind);
            }
            false => self.wait_for_all(ticket),
        }
        false
    }

    /// Whether a step that another node made is held by as many as are promised; if not, it waits for them.
    fn stands_with_others(&mut self, ticket: u64) -> bool {
        let heads = self.heads_of(Lane::Control);
        let stands = self.copies_now() <= 2 || self.is_backed(true, owed::NO_RUN, &heads);
        if !stands {
            self.standing.waiting.push(ticket, Behind::Others { instance: owed::NO_RUN, heads });
        }
        stands
    }

    /// Has a receipt wait until every node has all that this one took.
    pub(super) fn wait_for_all(&mut self, ticket: u64) {
        let own = LaneId::bulk(self.identity.origin);
        let behind = Behind::Own(Heads::from(Dot::new(own, self.heads().get(&own))));
        self.standing.waiting.push(ticket, behind);
    }

    /// Whether this node has fenced anything off in a round, in this life or a former one.
    pub(super) fn has_fenced(&self, instance: u32) -> bool {
        let is_own =
            |writer: Origin| writer == self.identity.origin || self.formers.contains(&writer);
        self.state().fences().of(instance).into_iter().any(|(_, writer)| is_own(writer))
    }

    /// Whether this node stands behind what it holds of a player: its word counts, and it has not fenced in
    /// this round, or the answer was here before it did.
    pub(super) fn stands_behind(&self, instance: u32, player: PlayerId) -> bool {
        let state = self.state();
        if !state.is_vouching(self.identity.origin) {
            return false;
        }
        if !self.has_fenced(instance) {
            return true;
        }
        let rows: Vec<_> = state.players.rows_of(player).collect();
        let Some((question, cell)) = state.held(instance, rows.iter().copied()) else {
            return true;
        };
        let before = self.standing.fenced.get(&instance).and_then(|sheets| sheets.get(&question));
        let had = |sheet: &Sheet| {
            let cells =
                rows.iter().filter_map(|row| Some(sheet.0.get(&row.origin)?.get(row.number)));
            cells.into_iter().any(|had| had == cell)
        };
        before.is_some_and(had)
    }

    /// Whether enough nodes stand behind this node's answers to a round, up to a head of its bulk lane.
    fn is_vouched_for(&self, instance: u32, head: u64) -> bool {
        let knew_late = self.standing.knew_from.values().any(|(_, from)| *from > instance);
        let is_calm = !self.state().fences().has(instance) && !knew_late;
        if is_calm || crdt_state::planted!(FenceIgnored) {
            return true;
        }
        let own = (self.identity.node, self.identity.origin);
        let vouchers = self.replica.vouchers(Lane::Bulk, head);
        let vouchers = vouchers.filter_map(|peer| self.standing.knew_from.get(&peer));
        let in_time = vouchers.filter(|(_, from)| *from <= instance).map(|(node, _)| *node);
        let standing = in_time.filter(|node| !self.is_fenced_off_by(*node, instance, own, head));
        let others: BTreeSet<NodeId> =
            standing.filter(|node| *node != self.identity.node).collect();
        let nodes = self.counted_nodes();
        // Whoever does not know yet that a node has left counts its fence for one of many.
        let fencers = self.fencers(instance).filter(|node| !nodes.contains(node)).count();
        others.len() + 1 >= self.copies(nodes.len() + fencers)
            && self.was_known_in_time(instance, &nodes)
    }

    /// The other nodes that have fenced anything off in a round, each once.
    fn fencers(&self, instance: u32) -> impl Iterator<Item = NodeId> {
        let state = self.state();
        let writers = state.fences().of(instance).filter_map(|(_, by)| state.node_of(by));
        writers.filter(|node| *node != self.identity.node).collect::<BTreeSet<_>>().into_iter()
    }

    /// Whether a node has fenced off what a life of another took in a round, up to a head of its bulk lane.
    pub(super) fn is_fenced_off_by(
        &self,
        node: NodeId,
        instance: u32,
        (taker, life): (NodeId, Origin),
        head: u64,
    ) -> bool {
        let state = self.state();
        let fences = state.fences().around(instance, taker);
        let mut of_node = fences.filter(|(writer, _)| state.node_of(*writer) == Some(node));
        of_node.any(|(_, lanes)| lanes.get(&life).is_none_or(|within| *within < head))
    }

    /// Whether a majority of those who count knew of this node before they sealed a round. Who has left is none of
    /// them: the others may have sealed without its word.
    fn was_known_in_time(&self, instance: u32, counted: &BTreeSet<NodeId>) -> bool {
        let knew = self.standing.knew_from.values().filter(|(_, from)| *from <= instance);
        let knew = knew.map(|(node, _)| *node).chain([self.identity.node]);
        let knew: BTreeSet<NodeId> = knew.filter(|node| counted.contains(node)).collect();
        self.is_exempt() || knew.len() * 2 > counted.len()
    }
}
