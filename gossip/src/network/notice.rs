//! What a node says to each peer directly, beside frames and gossip: its standing and the
//! cluster's keys.
//!
//! A notice is a one-way stream of its own: a version byte and a postcard body. Notices may overtake
//! each other and may be lost with their link: every part is a lattice, and gossip or the next link
//! brings it again.

use super::link::Link;
use super::reason::Reason;
use super::ring::{KeyRing, RingError};
use super::standing::Said;
use super::{Shared, endpoint, lock};
use crdt_state::Origin;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The longest notice, its version included.
pub(super) const NOTICE_BYTES_MAX: usize = 4 << 10;

/// The layout of a notice's body.
const VERSION: u8 = 1;

/// Something that every peer should know at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Notice {
    /// What the node says of itself.
    Standing(Said),
    /// The cluster's keys. It travels only where a certificate under one of them was shown.
    Keys(KeyRing),
}

impl Notice {
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = postcard::to_stdvec(self).expect("a notice is made of plain values");
        [&[VERSION], &body[..]].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Reason> {
        match bytes.split_first() {
            Some((&VERSION, body)) => {
                let (notice, rest) =
                    postcard::take_from_bytes(body).map_err(|_| Reason::MalformedNotice)?;
                if rest.is_empty() { Ok(notice) } else { Err(Reason::MalformedNotice) }
            }
            _ => Err(Reason::MalformedNotice),
        }
    }
}

impl Shared {
    /// Takes in what `link`'s peer says.
    pub(super) fn on_notice(self: &Arc<Self>, link: &Link, bytes: &[u8]) -> Result<(), Reason> {
        match Notice::decode(bytes)? {
            Notice::Standing(said) => self.membership.note_said(link.peer.origin, said),
            Notice::Keys(theirs) if theirs.is_sound() => self.on_ring(link.peer.origin, &theirs),
            Notice::Keys(_) => return Err(Reason::MalformedNotice),
        }
        self.counters.notices_received.count();
        Ok(())
    }

    /// Merges a peer's ring, and tells the peer if it lacks something.
    fn on_ring(self: &Arc<Self>, from: Origin, theirs: &KeyRing) {
        let own = self.change_ring(|ring| {
            ring.merge(theirs);
            Ok(())
        });
        let lacking = own.is_ok_and(|own| own != *theirs);
        let link = lock(&self.links).with_origin(from).cloned();
        if let Some(link) = link.filter(|_| lacking) {
            self.notify_ring(link);
        }
    }

    /// Changes the ring. What comes of it is believed and used at once for new connections, and
    /// told to everybody.
    pub(super) fn change_ring(
        self: &Arc<Self>,
        change: impl FnOnce(&mut KeyRing) -> Result<(), RingError>,
    ) -> Result<KeyRing, RingError> {
        let mut outcome = Ok(());
        let changed = self.ring.send_if_modified(|ring| {
            let mut next = ring.clone();
            outcome = change(&mut next);
            let changed = outcome.is_ok() && next != *ring && self.adopt(&next);
            if changed {
                *ring = next;
            }
            changed
        });
        outcome?;
        let ring = self.ring.borrow().clone();
        if changed {
            tracing::info!(keys = ring.describe(), "the ring of cluster keys changed");
            self.membership.refresh_soon();
            self.notify_all(&Notice::Keys(ring.clone()));
        }
        Ok(ring)
    }

    /// Has new connections made and accepted under a ring; those that stand go on.
    fn adopt(&self, ring: &KeyRing) -> bool {
        match endpoint::quic_configs(&self.config, &ring.keys()) {
            Ok((server, client)) => {
                self.endpoint.set_server_config(Some(server));
                *lock(&self.client) = Some(client);
                true
            }
            Err(error) => {
                tracing::error!(%error, "a ring of cluster keys cannot be used");
                false
            }
        }
    }

    /// Tells one peer all keys.
    pub(super) fn notify_ring(self: &Arc<Self>, link: Arc<Link>) {
        let ring = self.ring.borrow().clone();
        self.notify(link, &Notice::Keys(ring));
    }

    /// Tells every linked peer.
    pub(super) fn notify_all(self: &Arc<Self>, notice: &Notice) {
        let links: Vec<_> = lock(&self.links).iter().cloned().collect();
        for link in links {
            self.notify(link, notice);
        }
    }

    /// Tells one peer, in its own time.
    pub(super) fn notify(self: &Arc<Self>, link: Arc<Link>, notice: &Notice) {
        let bytes = notice.encode();
        self.spawn("notice", async move { link.send_notice(&bytes).await });
    }

    /// What a new peer is told first.
    pub(super) fn introduce(self: &Arc<Self>, link: &Arc<Link>) {
        self.notify(link.clone(), &Notice::Standing(self.membership.said()));
        self.notify_ring(link.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::identity::ClusterKey;
    use crate::network::standing::Standing;
    use proptest::prelude::*;

    fn notice() -> Notice {
        Notice::Standing(Said { number: 300, standing: Standing::Draining })
    }

    #[test]
    fn a_notice_survives_and_anything_after_it_does_not() {
        let mut wire = notice().encode();
        assert_eq!(Notice::decode(&wire), Ok(notice()));
        wire.push(0);
        assert_eq!(Notice::decode(&wire), Err(Reason::MalformedNotice));
        wire[0] = 9;
        assert_eq!(Notice::decode(&wire), Err(Reason::MalformedNotice));
    }

    fn keys() -> Notice {
        let key = |byte| ClusterKey::from_bytes([byte; 32]);
        let mut ring = KeyRing::new(&key(1));
        ring.install(&key(2)).unwrap();
        Notice::Keys(ring)
    }

    /// What is read is taken in as a link does.
    fn read(bytes: &[u8]) {
        let Ok(Notice::Keys(theirs)) = Notice::decode(bytes) else { return };
        if theirs.is_sound() {
            let mut own = KeyRing::new(&ClusterKey::from_bytes([1; 32]));
            own.merge(&theirs);
            assert!(!own.keys().is_empty());
            let key = ClusterKey::from_bytes([3; 32]);
            if own.install(&key).is_ok() {
                own.use_key(&key.fingerprint()).unwrap();
            }
            let _ = own.remove(&ClusterKey::from_bytes([2; 32]).fingerprint());
            assert!(!own.keys().is_empty());
        }
    }

    proptest! {
        #[test]
        fn a_damaged_or_arbitrary_notice_never_panics(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            for notice in [notice(), keys()] {
                let mut wire = notice.encode();
                for (at, byte) in &damage {
                    let at = at.index(wire.len());
                    wire[at] = *byte;
                }
                read(&wire);
                read(&wire[..cut.index(wire.len())]);
            }
            read(&[&[VERSION], &noise[..]].concat());
        }
    }
}
