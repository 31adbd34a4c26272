//! The link table: which peers this node is connected to.
//!
//! **Invariant: at most one link per origin, and at most one per node.** A link is in the table
//! from the moment it is admitted until the owner has been told of its end; who is admitted in the
//! place of another waits for that, so that the owner sees `PeerDown` of the old before `PeerUp`
//! of the new. A link whose connection has ended is in the table but is shown to nobody.

use super::handshake::Hello;
use super::link::Link;
use super::reason::Reason;
use crdt_state::Origin;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Who may take the place of a live link of the same origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// This node decides for the pair: it keeps the older connection while that is open.
    KeepOlder,
    /// The other node has decided for the newer one.
    TakeNewer,
}

/// All links, by the origin of the peer.
#[derive(Default)]
pub(super) struct Links {
    by_origin: BTreeMap<Origin, Arc<Link>>,
}

impl Links {
    /// Takes `link` in and returns the link whose place it takes.
    ///
    /// # Errors
    /// When the link in place is to stay.
    pub(super) fn admit(
        &mut self,
        link: &Arc<Link>,
        duplicates: Duplicates,
    ) -> Result<Option<Arc<Link>>, Reason> {
        let old = self.of_node(link).cloned();
        if let Some(old) = &old {
            check_replacement(old.is_open(), &old.peer, &link.peer, duplicates)?;
            self.by_origin.remove(&old.peer.origin);
        }
        self.by_origin.insert(link.peer.origin, link.clone());
        Ok(old)
    }

    /// Takes this very link out; one that took its place stays.
    pub(super) fn remove(&mut self, link: &Arc<Link>) {
        let origin = link.peer.origin;
        if self.by_origin.get(&origin).is_some_and(|held| Arc::ptr_eq(held, link)) {
            self.by_origin.remove(&origin);
        }
    }

    /// The open link to `origin`.
    pub(super) fn with_origin(&self, origin: Origin) -> Option<&Arc<Link>> {
        self.by_origin.get(&origin).filter(|link| link.is_open())
    }

    /// The open link to the node that advertises `address`. With two such nodes (a mistake of theirs)
    /// the one of the lower origin.
    pub(super) fn at_address(&self, address: SocketAddr) -> Option<&Arc<Link>> {
        self.iter().find(|link| link.peer.advertise == address)
    }

    /// Every open link, in the order of origins.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.by_origin.values().filter(|link| link.is_open())
    }

    /// Whether none is held, not even one that is ending.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_origin.is_empty()
    }

    /// The open link to a newer incarnation of the node that greets like this.
    pub(super) fn newer_than(&self, hello: &Hello) -> Option<&Arc<Link>> {
        self.iter().find(|link| hello.is_older_than(&link.peer))
    }

    fn of_node(&self, link: &Link) -> Option<&Arc<Link>> {
        self.by_origin.values().find(|held| held.peer.node == link.peer.node)
    }
}

/// Whether a link to `new` may take the place of one to `old`, both being the same node.
fn check_replacement(
    old_is_open: bool,
    old: &Hello,
    new: &Hello,
    duplicates: Duplicates,
) -> Result<(), Reason> {
    if !old_is_open {
        Ok(())
    } else if old.origin != new.origin {
        if new.is_older_than(old) { Err(Reason::StaleIncarnation) } else { Ok(()) }
    } else {
        match duplicates {
            Duplicates::KeepOlder => Err(Reason::Duplicate),
            Duplicates::TakeNewer => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::NodeId;

    fn hello(origin: u64, generation: u64) -> Hello {
        Hello {
            cluster: [0; 8],
            config_hash: 0,
            node: NodeId(1),
            origin: Origin(origin),
            generation,
            name: String::new(),
            advertise: "127.0.0.1:1".parse().unwrap(),
            kvs: BTreeMap::new(),
            versions: crdt_state::Versions::THIS,
        }
    }

    #[test]
    fn the_deciding_node_keeps_an_open_link_and_the_other_follows() {
        let (old, new) = (hello(1, 1), hello(1, 1));
        let check = |open, duplicates| check_replacement(open, &old, &new, duplicates);
        assert_eq!(check(true, Duplicates::KeepOlder), Err(Reason::Duplicate));
        assert_eq!(check(true, Duplicates::TakeNewer), Ok(()));
        assert_eq!(check(false, Duplicates::KeepOlder), Ok(()));
    }

    #[test]
    fn a_newer_incarnation_replaces_an_open_link_and_an_older_one_does_not() {
        let keep = Duplicates::KeepOlder;
        assert_eq!(check_replacement(true, &hello(9, 1), &hello(2, 2), keep), Ok(()));
        let stale = check_replacement(true, &hello(9, 2), &hello(2, 1), keep);
        assert_eq!(stale, Err(Reason::StaleIncarnation));
        assert_eq!(check_replacement(false, &hello(9, 2), &hello(2, 1), keep), Ok(()));
        let equal = (hello(9, 1), hello(2, 1));
        assert_eq!(check_replacement(true, &equal.1, &equal.0, keep), Ok(()));
        let flapping = check_replacement(true, &equal.0, &equal.1, keep);
        assert_eq!(flapping, Err(Reason::StaleIncarnation), "of equal ones one stays");
    }
}
