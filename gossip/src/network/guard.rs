//! What of a peer's gossip reaches chitchat: not too much at a time, and not too many members.
//!
//! chitchat takes up every member that a digest names and answers with a digest of all of them,
//! which must fit into one message: some 1,100 members. So members are counted before it sees
//! them, and a message that would bring more than there may be is dropped whole.

use super::reason::Reason;
use chitchat::{ChitchatId, Deserializable};
use crdt_state::NodeId;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// Gossip messages a second that a peer may send: an honest one sends up to 30 in a large cluster.
const MESSAGES_PER_SECOND: f64 = 64.0;

/// Messages that may come at once: those of a stall of two seconds.
const BURST: f64 = 128.0;

/// Bytes before the digest of a message: magic number, version, kind.
const HEADER_BYTES: usize = 4;

/// The kinds of messages that carry a digest: SYN and SYN-ACK.
const WITH_DIGEST: [u8; 2] = [0, 1];

/// How much more one peer may send now.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Budget { left: BURST, at: now }
    }

    /// Whether another message is within the budget, which it then uses.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let refill = (now - self.at).as_secs_f64() * MESSAGES_PER_SECOND;
        (self.left, self.at) = ((self.left + refill).min(BURST), now);
        let within = self.left >= 1.0;
        self.left -= f64::from(u8::from(within));
        within
    }
}

/// The incarnations that chitchat knows or is about to.
#[derive(Debug, Default)]
pub(super) struct Crowd(BTreeSet<ChitchatId>);

impl Crowd {
    /// Starts over from what chitchat really knows.
    pub(super) fn replace(&mut self, known: BTreeSet<ChitchatId>) {
        self.0 = known;
    }

    /// Counts in whoever `message` names.
    ///
    /// # Errors
    /// [`Reason::Crowded`] if they would be more than `max`, [`Reason::MalformedFrame`] if the
    /// message cannot be read; nobody is counted in then.
    pub(super) fn admit(&mut self, message: &[u8], max: usize) -> Result<(), Reason> {
        let named = named(message).ok_or(Reason::MalformedFrame)?;
        let new: BTreeSet<_> = named.into_iter().filter(|id| !self.0.contains(id)).collect();
        if !new.is_empty() && self.0.len() + new.len() > max {
            return Err(Reason::Crowded);
        }
        self.0.extend(new);
        Ok(())
    }
}

/// Whom a message's digest names, as chitchat writes it; `None` if it is not of our making.
fn named(message: &[u8]) -> Option<Vec<ChitchatId>> {
    let kind = *message.get(HEADER_BYTES - 1)?;
    if !WITH_DIGEST.contains(&kind) {
        return Some(Vec::new());
    }
    let mut rest = &message[HEADER_BYTES..];
    let count = u16::deserialize(&mut rest).ok()?;
    let mut ids = Vec::new();
    for _ in 0..count {
        let id = ChitchatId::deserialize(&mut rest).ok()?;
        id.node_id.parse::<NodeId>().ok()?;
        for _ in ["heartbeat", "collected version", "newest version"] {
            u64::deserialize(&mut rest).ok()?;
        }
        ids.push(id);
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chitchat::Serializable;
    use std::time::Duration;

    fn syn(nodes: std::ops::Range<u64>) -> Vec<u8> {
        let mut message = vec![0, 0, 0, 0];
        (nodes.clone().count() as u16).serialize(&mut message);
        for node in nodes {
            let addr = "127.0.0.1:1".parse().unwrap();
            ChitchatId::new(NodeId(node).to_string(), 1, addr).serialize(&mut message);
            (0..3).for_each(|_| 7_u64.serialize(&mut message));
        }
        message
    }

    #[test]
    fn members_are_counted_once_and_never_beyond_the_limit() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.admit(&syn(0..5), 8), Ok(()));
        assert_eq!(crowd.admit(&syn(0..8), 8), Ok(()));
        assert_eq!(crowd.admit(&syn(0..9), 8), Err(Reason::Crowded));
        assert_eq!(crowd.admit(&syn(2..7), 8), Ok(()), "the known are always welcome");
        crowd.replace(BTreeSet::new());
        assert_eq!(crowd.admit(&syn(0..8), 8), Ok(()));
    }

    #[test]
    fn a_foreign_or_cut_digest_is_malformed() {
        let mut crowd = Crowd::default();
        let whole = syn(0..3);
        for cut in HEADER_BYTES..whole.len() {
            assert_eq!(crowd.admit(&whole[..cut], 8), Err(Reason::MalformedFrame), "{cut}");
        }
        let mut named = vec![0, 0, 0, 0];
        1_u16.serialize(&mut named);
        ChitchatId::new("a name", 1, "127.0.0.1:1".parse().unwrap()).serialize(&mut named);
        (0..3).for_each(|_| 7_u64.serialize(&mut named));
        assert_eq!(crowd.admit(&named, 8), Err(Reason::MalformedFrame));
        assert_eq!(crowd.admit(&[0, 0, 0, 2, 255], 8), Ok(()), "no digest, nobody named");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_to_what_a_peer_may_send() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let taken = |budget: &mut Budget, now| (0..1_000).filter(|_| budget.take(now)).count();
        assert_eq!(taken(&mut budget, start), 128);
        assert_eq!(taken(&mut budget, start + Duration::from_secs(1)), 64);
        assert_eq!(taken(&mut budget, start + Duration::from_secs(60)), 128);
    }
}
