//! The exchange of heads, which repairs the loss of any other message, and the audit.
//!
//! Peers tell each other their vectors; a difference is a lack, and whoever lacks asks. Now and
//! then a vector carries the digest of the state at exactly that vector: a peer whose own vector
//! is equal compares, and a difference is an alarm and a repair.

use super::alarm::Alarm;
use super::config::Config;
use super::message::{Message, Span};
use super::peer::Claim;
use super::replica::Replica;
use super::replicated::Replicated;
use crdt_state::{Lane, LaneId, Mono, Origin};

/// When heads are told next and digests compared.
#[derive(Debug, Default)]
pub(super) struct Audit {
    heads_at: Mono,
    digest_at: Mono,
    /// The state's digest, for as long as nothing was applied; at most one interval.
    digest: Option<u64>,
}

impl Audit {
    pub(super) fn start(&mut self, now: Mono, config: &Config) {
        self.heads_at = now + config.heads_interval;
        self.digest_at = self.digest_at.max(now + config.heads_interval);
    }

    pub(super) fn forget_digest(&mut self) {
        self.digest = None;
    }

    fn digest(&mut self, state: &impl Replicated) -> u64 {
        *self.digest.get_or_insert_with(|| state.digest())
    }
}

impl Replica {
    pub(super) fn heads_due(&self) -> Option<Mono> {
        (!self.peers.is_empty()).then_some(self.audit.heads_at)
    }

    /// Tells everybody what is here, if it is time.
    pub(super) fn tell_heads(&mut self, now: Mono, state: &impl Replicated) {
        if self.peers.is_empty() || now < self.audit.heads_at {
            return;
        }
        self.check_content(state);
        self.audit.heads_at = now + self.config.heads_interval;
        let audit = now >= self.audit.digest_at;
        if audit {
            self.audit.digest_at = now + self.config.audit_interval;
            self.audit.forget_digest();
        }
        let peers: Vec<(Origin, bool)> =
            self.peers.iter().map(|(to, peer)| (*to, audit && peer.heads == self.heads)).collect();
        for (to, equal) in peers {
            let digest = equal.then(|| self.audit.digest(state));
            self.send_heads(to, digest);
        }
    }

    pub(super) fn send_heads(&mut self, to: Origin, digest: Option<u64>) {
        let spans = self.tails.iter().filter(|(_, tail)| tail.head() > 0);
        let lanes = spans.map(|(id, t)| Span { id, base: t.base(), head: t.head() }).collect();
        let tail_bytes = self.tails.bytes() as u64;
        self.send(to, Lane::Control, Message::Heads { lanes, tail_bytes, digest });
    }

    pub(super) fn on_heads(
        &mut self,
        now: Mono,
        from: Origin,
        lanes: &[Span],
        tail_bytes: u64,
        digest: Option<u64>,
        state: &impl Replicated,
    ) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.tail_bytes = tail_bytes;
        self.tails.look_again();
        let (own, others): (Vec<&Span>, Vec<&Span>) =
            lanes.iter().partition(|span| span.id.origin == self.me);
        others.iter().for_each(|span| peer.learn(span));
        self.weigh(from);
        for span in others {
            if span.head > self.heads.get(&span.id) {
                self.on_lack(now, span.id);
            }
        }
        let theirs = LaneId::control(from);
        let said = lanes.iter().find(|span| span.id == theirs).map_or(0, |span| span.head);
        for span in own {
            self.on_ack(now, from, span.id.lane, Claim { head: span.head, said });
        }
        self.trim();
        if let Some(theirs) = digest {
            self.compare(from, lanes, theirs, state);
        }
    }

    /// Whether a snapshot would be the shorter way to what a peer has. Looked at only when its
    /// heads come, since that compares two vectors.
    fn weigh(&mut self, from: Origin) {
        let outweighs = self.peers.get(&from).is_some_and(|peer| self.is_newcomer_to(peer));
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.outweighs = outweighs;
        }
    }

    /// Equal heads must mean equal digests.
    fn compare(&mut self, peer: Origin, lanes: &[Span], theirs: u64, state: &impl Replicated) {
        let equal = lanes.len() == self.heads.dots.len()
            && lanes.iter().all(|span| span.head == self.heads.get(&span.id));
        if !equal || self.halted {
            return;
        }
        self.stats.audits += 1;
        crdt_state::reachable!(Audited);
        let mine = self.audit.digest(state);
        if mine != theirs {
            self.alarm(Alarm::Divergence { peer, mine, theirs });
            self.repair.distrust(peer);
        }
    }
}
