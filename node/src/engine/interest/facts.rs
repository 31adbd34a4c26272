//! What the interest of a node hears and says.

use super::Word;
use crdt_state::{EventId, NodeId, Origin, Period};
use std::collections::BTreeSet;

/// What the world tells the interest of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heed {
    /// More events of the catalogue for which players may come, and whose state is gone for good; what was said of
    /// them before may be said again.
    Listed {
        /// The former.
        live: BTreeSet<EventId>,
        /// The latter.
        archived: BTreeSet<EventId>,
    },
    /// The nodes that live, this one included.
    Seen {
        /// All of them.
        living: BTreeSet<NodeId>,
        /// Those that take players.
        staying: BTreeSet<NodeId>,
    },
    /// Somebody has come for an event.
    Wanted {
        /// Which.
        event: EventId,
    },
    /// The nodes for which an event that is carried here waits.
    Awaited {
        /// Which event.
        event: EventId,
        /// The nodes that take part in it.
        nodes: BTreeSet<NodeId>,
    },
    /// What carried an event here could not be kept up, and never will be in this life of the node.
    Broken {
        /// Which.
        event: EventId,
    },
    /// The nodes that an operator gave up: all of them.
    GivenUp {
        /// Which.
        nodes: BTreeSet<NodeId>,
    },
    /// A peer is connected; if it already was, over a new link.
    PeerUp {
        /// The peer.
        peer: Origin,
        /// The node that it is an incarnation of.
        node: NodeId,
    },
    /// A peer is no longer connected.
    PeerDown {
        /// The peer.
        peer: Origin,
    },
    /// A peer said something.
    Word {
        /// The peer, as its link proved it.
        from: Origin,
        /// What it said.
        word: Word,
    },
    /// Nobody here has wanted an event for long that others carry as well.
    LetGo {
        /// Which.
        event: EventId,
    },
    /// What carried an event here in a period has left it in order: enough others hold all that it held.
    Left {
        /// Which event.
        event: EventId,
        /// Which period.
        period: Period,
    },
    /// It has not: it could not leave, or nobody has confirmed it in time.
    Unheard {
        /// Which event.
        event: EventId,
        /// Which period.
        period: Period,
    },
    /// This node leaves the cluster: nobody is to wait for it in one event more.
    Leaving,
    /// The time of [`super::Interest::poll_timeout`] has come.
    Timeout,
}

/// What the interest of a node tells the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Carry this event from now on.
    Begin {
        /// Which.
        event: EventId,
    },
    /// Drop this event as one.
    End {
        /// Which.
        event: EventId,
    },
    /// Leave this event in order, out of the reach of whoever comes for it.
    LetGo {
        /// Which.
        event: EventId,
    },
    /// This event is left, and wanted again before it was dropped: carry what is here of it on, in the next period.
    Renew {
        /// Which.
        event: EventId,
    },
    /// Carry this event no longer, and keep what the store has of it: the node's next life takes it up.
    Abandon {
        /// Which.
        event: EventId,
    },
    /// A connected peer carries an event that this node carries too; if it already did, over a new link.
    Up {
        /// Which.
        event: EventId,
        /// The peer.
        peer: Origin,
        /// In which of its periods.
        period: Period,
    },
    /// A peer is no longer connected, or no longer carries the event in a period.
    Down {
        /// Which.
        event: EventId,
        /// The peer.
        peer: Origin,
        /// In which of its periods.
        period: Period,
    },
    /// Nobody waits for a node any more in an event that is carried here and waited for it, unless it is here after all.
    Forget {
        /// In which event.
        event: EventId,
        /// Which node.
        node: NodeId,
    },
    /// Tell a peer; it may be lost.
    Tell {
        /// Whom.
        to: Origin,
        /// What.
        word: Word,
    },
}

/// Why an event is not begun, whoever comes for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Its state is gone for good.
    Archived,
    /// It could not be kept up here.
    Broken,
    /// The node carries as many others as it can.
    Full,
    /// The node leaves.
    Leaving,
}
