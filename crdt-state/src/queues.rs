//! How full the queues of a node get: what the simulator holds against their bounds.
//!
//! Whoever puts something into a queue, or takes more on, says with [`bounded!`] how much it holds by then and how much
//! it may hold at most. As a mark does, this costs nothing in what ships. The simulator reads it after each turn, so that
//! no queue is too long even for a moment.
//!
//! Deliberately absent: what its type bounds, such as a channel, and what every show has as much of as it has players.
//!
//! [`bounded!`]: crate::bounded

use std::fmt;

macro_rules! queues {
    ($($(#[$doc:meta])* $name:ident: $holds:literal,)*) => {
        /// Something that a node holds, and never more of it than it may.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Queue {
            $($(#[$doc])* $name,)*
        }

        impl Queue {
            /// All of them.
            pub const ALL: [Queue; [$($holds),*].len()] = [$(Queue::$name),*];

            /// What it holds, in words.
            #[must_use]
            pub const fn holds(self) -> &'static str {
                match self {
                    $(Queue::$name => $holds,)*
                }
            }
        }
    };
}

queues! {
    /// Replication: what a peer was pushed on one lane and has not acknowledged.
    Pushed: "bytes on their way to a peer on one lane",
    /// Replication: the lanes of which something is here.
    Lanes: "lanes",
    /// Replication: the lanes of which a peer has told how far it has them.
    PeerLanes: "lanes of a peer",
    /// Replication: ranges that were asked for.
    Pulls: "pulls under way on one kind of lane",
    /// Replication: lanes of which the ages were asked for.
    AgePulls: "pulls of ages under way",
    /// Replication: snapshots on their way to peers.
    Cuts: "cuts held for peers",
    /// Replication: the parts of a snapshot that have come.
    Staged: "bytes of a snapshot that is not whole",
    /// Replication: moments at which receipts leave as provisional.
    Deadlines: "deadlines of receipts",
    /// Network: what waits for a peer.
    LaneFrames: "frames for a peer on one lane",
    /// The same.
    LaneBytes: "bytes of frames for a peer on one lane",
    /// Network: where nodes may be.
    Addresses: "addresses",
    /// Network: addresses that are being dialled.
    Dials: "dials",
    /// Gossip: incarnations that it names.
    Members: "incarnations that gossip names",
    /// Gossip: what one of them says of itself, or others of it.
    MemberKeys: "keys of a member",
    /// Engine: of one player, once one more that was asked for waits.
    Repeats: "receipts of a player for one answer that wait",
    /// Engine: what was turned away, to be explained.
    TurnedAway: "answers turned away",
    /// Engine: verdicts on words that are shown.
    LookedAt: "words that were looked at",
    /// Engine: what a shard has taken out of its queue.
    Slips: "answers at a shard",
    /// Engine: where one player is told.
    Inboxes: "inboxes of a player",
    /// Hub: whose publishes are metered.
    Metered: "players in one shard of a meter",
    /// Hub: events that are let go of.
    Goodbyes: "events that are left at once",
    /// Edge: clients.
    Connections: "connections of clients",
    /// Edge: what a client has asked and not been told.
    InFlight: "questions of a client under way",
    /// Edge: what a client has subscribed to.
    Subscriptions: "subscriptions of a client",
    /// Edge: what a client has sent and nobody looked at.
    Unread: "bytes of a client that are not looked at",
    /// Edge: what waits for a client of which more is read.
    Answers: "bytes for a client that is read on",
    /// Edge: what waits for a client that is shown something newer.
    Feeds: "bytes for a client that is shown more",
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.holds())
    }
}

/// How full a queue was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// How much it held.
    pub held: u64,
    /// How much it may hold.
    pub most: u64,
}

impl Fill {
    /// Whether it held more than it may.
    #[must_use]
    pub fn is_over(self) -> bool {
        self.held > self.most
    }

    /// Whether less room was left than another time.
    #[must_use]
    pub fn is_fuller_than(self, other: Fill) -> bool {
        let room = |fill: Fill| i128::from(fill.most) - i128::from(fill.held);
        room(self) < room(other)
    }
}

/// How full each queue was when it was fullest, in the order of [`Queue::ALL`]; nothing where nothing was put.
pub type Fullest = [Option<Fill>; Queue::ALL.len()];

#[cfg(feature = "marks")]
mod seen {
    use super::{Fill, Fullest, Queue};
    use std::cell::Cell;

    // A bit for each.
    const _: () = assert!(Queue::ALL.len() <= u64::BITS as usize);

    thread_local! {
        static FULLEST: [Cell<Option<Fill>>; Queue::ALL.len()] =
            const { [const { Cell::new(None) }; Queue::ALL.len()] };
        /// Those that are fuller than ever, and than they may be.
        static OVERGROWN: Cell<u64> = const { Cell::new(0) };
    }

    /// Notes how full a queue is.
    pub fn note(queue: Queue, held: usize, most: usize) {
        let fill = Fill { held: held as u64, most: most as u64 };
        FULLEST.with(|all| {
            let fullest = &all[queue as usize];
            if fullest.get().is_none_or(|known| fill.is_fuller_than(known)) {
                fullest.set(Some(fill));
                if fill.is_over() {
                    OVERGROWN.set(OVERGROWN.get() | 1 << queue as u32);
                }
            }
        });
    }

    /// The queues that have held more than they may, and than ever before, since this was last asked in this thread.
    #[must_use]
    pub fn take_overgrown() -> Vec<(Queue, Fill)> {
        let overgrown = OVERGROWN.replace(0);
        if overgrown == 0 {
            return Vec::new();
        }
        let is_overgrown = |queue: &Queue| overgrown & (1 << *queue as u32) != 0;
        FULLEST.with(|all| {
            let fill = |queue: Queue| Some((queue, all[queue as usize].get()?));
            Queue::ALL.into_iter().filter(is_overgrown).filter_map(fill).collect()
        })
    }

    /// How full each queue was in this thread since this was last asked.
    #[must_use]
    pub fn take_fullest() -> Fullest {
        OVERGROWN.set(0);
        FULLEST.with(|all| std::array::from_fn(|queue| all[queue].take()))
    }
}

#[cfg(feature = "marks")]
pub use seen::{note, take_fullest, take_overgrown};

/// Notes how full a queue is: nothing, without the feature `marks`.
#[cfg(not(feature = "marks"))]
#[inline]
pub const fn note(_: Queue, _: usize, _: usize) {}

/// Says how much a queue holds, and how much it may hold at most.
#[macro_export]
macro_rules! bounded {
    ($queue:ident, $held:expr, $most:expr) => {
        if $crate::marks::LIVE {
            $crate::queues::note($crate::queues::Queue::$queue, $held, $most);
        }
    };
}

#[cfg(all(test, feature = "marks"))]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_told_of_once_it_holds_too_much_and_whenever_it_is_worse() {
        let _ = take_fullest();
        crate::bounded!(Pulls, 4, 4);
        assert_eq!(take_overgrown(), []);
        crate::bounded!(Pulls, 5, 4);
        crate::bounded!(Cuts, 1, 4);
        assert_eq!(take_overgrown(), [(Queue::Pulls, Fill { held: 5, most: 4 })]);
        crate::bounded!(Pulls, 5, 4);
        assert_eq!(take_overgrown(), [], "nothing new");
        crate::bounded!(Pulls, 7, 4);
        assert_eq!(take_overgrown(), [(Queue::Pulls, Fill { held: 7, most: 4 })]);
        let fullest = take_fullest();
        assert_eq!(fullest[Queue::Pulls as usize], Some(Fill { held: 7, most: 4 }));
        assert_eq!(fullest[Queue::Cuts as usize], Some(Fill { held: 1, most: 4 }));
        assert_eq!(take_fullest(), Fullest::default());
    }
}
