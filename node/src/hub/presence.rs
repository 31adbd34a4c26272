//! Who is here: how many players of each show have an open inbox, on this node and on all.
//!
//! Derived, never stored: an inbox ends with its connection, so a player who goes, with or without a
//! word, counts no longer a second later. Behind a broker, [`Attendance`] has those who say that they are
//! here. What other nodes have they announce like their other small
//! facts; a node that dies takes its count along. A show that is not among a node's largest is not told
//! to the others.

use super::Attendance;
use crate::engine::{Inboxes, Present};
use crdt_state::{EventId, NodeId};
use gossip::network::Network;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

/// What a member says of the players who are with it: `event=count,event=count`.
const HERE_KEY: &str = "here";
/// Shows that a node tells of: some 20 bytes each go to every member.
const SHOWS_TOLD: usize = 8;
/// Most players of one show that a member is believed to have: more than a node can.
const COUNT_MAX: u64 = 10_000_000;
/// Between two looks: 1 s, as often as counts are shown.
const LOOK: Duration = Duration::from_secs(1);

/// Counts, tells and hears. It outlives a panic of its task.
pub struct Presence {
    me: NodeId,
    inboxes: Arc<Inboxes>,
    attendance: Arc<Attendance>,
    network: Network,
    said: String,
    present: watch::Sender<Arc<Present>>,
}

impl Presence {
    /// A counter, and where its counts are read.
    #[must_use]
    pub fn new(
        me: NodeId,
        (inboxes, attendance): (Arc<Inboxes>, Arc<Attendance>),
        network: Network,
    ) -> (Self, watch::Receiver<Arc<Present>>) {
        let (present, seen) = watch::channel(Arc::default());
        (Presence { me, inboxes, attendance, network, said: String::new(), present }, seen)
    }

    /// Looks again and again.
    pub async fn run(&mut self) {
        loop {
            sleep(LOOK).await;
            self.look();
        }
    }

    fn look(&mut self) {
        let mut all = self.inboxes.present();
        let served = self.inboxes.serves();
        self.attendance.count(|player| served.has_player(player), &mut all);
        self.tell(&all);
        let members = self.network.members();
        let members = members.borrow();
        for member in members.iter().filter(|member| member.live && member.node != self.me) {
            let said = member.kvs.get(HERE_KEY).map_or("", String::as_str);
            read(said).for_each(|(event, count)| *all.entry(event).or_default() += count);
        }
        self.present.send_if_modified(|present| {
            let is_new = **present != all;
            if is_new {
                *present = Arc::new(all);
            }
            is_new
        });
    }

    fn tell(&mut self, own: &Present) {
        let said = text(own);
        if said != self.said {
            match self.network.announce(HERE_KEY, &said) {
                Ok(()) => self.said = said,
                Err(error) => warn!(%error, "the members are not told who is here"),
            }
        }
    }
}

fn text(present: &Present) -> String {
    let mut shows: Vec<_> = present.iter().collect();
    shows.sort_by_key(|(event, count)| (std::cmp::Reverse(**count), **event));
    shows.truncate(SHOWS_TOLD);
    let told = shows.iter().map(|(event, count)| format!("{event}={count}"));
    told.collect::<Vec<_>>().join(",")
}

/// What of a member's word can be read, and no more of it than a member says.
fn read(said: &str) -> impl Iterator<Item = (EventId, u64)> {
    said.split(',').take(SHOWS_TOLD).filter_map(|show| {
        let (event, count) = show.split_once('=')?;
        let count: u64 = count.parse().ok()?;
        Some((event.parse().ok()?, count.min(COUNT_MAX)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_damaged_or_arbitrary_word_never_panics(
            any_text in "\\PC*",
            at in any::<prop::sample::Index>(),
            with in "\\PC{0,3}",
        ) {
            let whole = text(&Present::from([(EventId(1), 20), (EventId(2), 300)]));
            let at = at.index(whole.len());
            for said in [any_text, format!("{}{with}{}", &whole[..at], &whole[at + 1..])] {
                let heard: Vec<_> = read(&said).collect();
                prop_assert!(heard.len() <= SHOWS_TOLD);
                prop_assert!(heard.iter().all(|(_, count)| *count <= COUNT_MAX));
            }
        }
    }

    #[test]
    fn what_is_told_is_read_and_the_largest_come_first() {
        let present: Present = (1..=20).map(|event| (EventId(event), event * 10)).collect();
        let heard: Vec<_> = read(&text(&present)).collect();
        assert_eq!(heard.len(), SHOWS_TOLD);
        assert_eq!(heard[0], (EventId(20), 200));
        assert_eq!(read(&text(&Present::new())).count(), 0);
    }

    #[test]
    fn nonsense_counts_nobody_and_no_member_counts_without_end() {
        assert_eq!(read("x=1,=,00000000000000ff,00000000000000ff=-1").count(), 0);
        let endless = format!("{}={}", EventId(1), u64::MAX);
        assert_eq!(read(&endless).collect::<Vec<_>>(), [(EventId(1), COUNT_MAX)]);
        let many = vec![format!("{}=1", EventId(1)); 1_000].join(",");
        assert_eq!(read(&many).count(), SHOWS_TOLD);
    }
}
