//! Who is there behind a broker, as far as players say so.
//!
//! Only the broker knows who is connected. So a player says it: whatever proves its sender is a word that
//! it is there, and the will that it leaves at the broker is the word that it has gone. Both come to the
//! node that holds the player's slot, and that node counts it. A word may name the connection that it is
//! said on, so that the will of an older one, which the broker publishes when the newer one takes over, takes nobody
//! away. A word is good for [`WORD`]: a broker that ends without publishing wills leaves nobody behind for
//! longer. Nothing of this is stored or told to other nodes; who takes a slot over counts its players again
//! from their next word on.

use crate::engine::Present;
use crdt_state::{EventId, PlayerId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// For how long a word is good. Players who have nothing else to say renew it after half of that.
const WORD: Duration = Duration::from_secs(600);
/// For how long who has gone is remembered: what was said before and is still on its way does not bring it
/// back. Longer than a message waits for its receipt.
const GONE: Duration = Duration::from_secs(30);
/// Shards, by slot: no lock is shared by all players.
const SHARDS: usize = 64;

/// What is known of one player in one show.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// On which connection, if it was said.
    on: Option<u64>,
    is_here: bool,
    until: Instant,
}

type Players = BTreeMap<(PlayerId, EventId), Heard>;

/// The players behind a broker who have said a word to this node.
#[derive(Debug)]
pub struct Attendance {
    shards: Vec<Mutex<Players>>,
}

impl Default for Attendance {
    fn default() -> Self {
        Attendance { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Attendance {
    /// A player has said a word, on that connection if it names one.
    pub(super) fn here(&self, player: PlayerId, event: EventId, on: Option<&str>) {
        let (on, now) = (on.map(named), Instant::now());
        let mut players = self.shard(player);
        let former = players.get(&(player, event)).copied().filter(|former| former.until > now);
        // Of who has gone only another connection is news.
        let is_late = |former: Heard| !former.is_here && (on.is_none() || on == former.on);
        if former.is_some_and(is_late) {
            return;
        }
        let on = on.or_else(|| former.and_then(|former| former.on));
        players.insert((player, event), Heard { on, is_here: true, until: now + WORD });
    }

    /// The connection of that name is over.
    pub(super) fn gone(&self, player: PlayerId, event: EventId, on: &str) {
        let (on, now) = (named(on), Instant::now());
        let mut players = self.shard(player);
        let former = players.get(&(player, event)).filter(|former| former.until > now);
        if former.and_then(|former| former.on).is_some_and(|newer| newer != on) {
            return;
        }
        let heard = Heard { on: Some(on), is_here: false, until: now + GONE };
        players.insert((player, event), heard);
    }

    /// Adds those who are there and are this node's to count.
    pub(super) fn count(&self, is_own: impl Fn(PlayerId) -> bool, present: &mut Present) {
        let now = Instant::now();
        for shard in &self.shards {
            let mut players = lock(shard);
            players.retain(|_, heard| heard.until > now);
            for ((player, event), heard) in &*players {
                if heard.is_here && is_own(*player) {
                    *present.entry(*event).or_default() += 1;
                }
            }
        }
    }

    fn shard(&self, player: PlayerId) -> MutexGuard<'_, Players> {
        lock(&self.shards[usize::from(player.slot()) % SHARDS])
    }
}

/// What is kept of a connection's name, which may be as long as a payload.
fn named(connection: &str) -> u64 {
    xxh3_64(connection.as_bytes())
}

fn lock(shard: &Mutex<Players>) -> MutexGuard<'_, Players> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const ADA: PlayerId = PlayerId(1);
    const SHOW: EventId = EventId(7);

    fn count(attendance: &Attendance) -> u64 {
        let mut present = Present::new();
        attendance.count(|_| true, &mut present);
        present.get(&SHOW).copied().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_is_good_for_its_time_and_each_one_renews_it() {
        let attendance = Attendance::default();
        attendance.here(ADA, SHOW, None);
        advance(WORD - Duration::from_secs(1)).await;
        attendance.here(ADA, SHOW, None);
        advance(WORD - Duration::from_secs(1)).await;
        assert_eq!(count(&attendance), 1);
        advance(Duration::from_secs(1)).await;
        assert_eq!(count(&attendance), 0);
        let held: usize = attendance.shards.iter().map(|shard| lock(shard).len()).sum();
        assert_eq!(held, 0, "nothing is kept of it");
    }

    #[tokio::test(start_paused = true)]
    async fn the_will_of_an_older_connection_takes_nobody_away() {
        let attendance = Attendance::default();
        attendance.here(ADA, SHOW, Some("first"));
        attendance.here(ADA, SHOW, Some("second"));
        attendance.gone(ADA, SHOW, "first");
        assert_eq!(count(&attendance), 1);
        attendance.here(ADA, SHOW, None);
        attendance.gone(ADA, SHOW, "second");
        assert_eq!(count(&attendance), 0);
        attendance.here(ADA, SHOW, Some("third"));
        assert_eq!(count(&attendance), 1, "back at once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_before_the_will_and_comes_after_it_brings_nobody_back() {
        let attendance = Attendance::default();
        attendance.gone(ADA, SHOW, "first");
        attendance.here(ADA, SHOW, Some("first"));
        attendance.here(ADA, SHOW, None);
        assert_eq!(count(&attendance), 0);
        advance(GONE).await;
        attendance.here(ADA, SHOW, None);
        assert_eq!(count(&attendance), 1, "a client that names no connection, later");
    }

    #[tokio::test(start_paused = true)]
    async fn each_show_and_each_nodes_players_are_counted_apart() {
        let attendance = Attendance::default();
        attendance.here(ADA, SHOW, Some("phone"));
        attendance.here(ADA, EventId(8), Some("laptop"));
        attendance.gone(ADA, EventId(8), "laptop");
        assert_eq!(count(&attendance), 1);
        let mut present = Present::new();
        attendance.count(|player| player != ADA, &mut present);
        assert_eq!(present, Present::new(), "another node holds the slot");
    }
}
