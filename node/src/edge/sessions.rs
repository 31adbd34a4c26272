//! Who is connected here, by client id: so that a newcomer takes over from a connection that is still
//! half there, and a node that drains can send everybody elsewhere.
//!
//! A map per shard of client ids, each behind a lock of its own that is held for one look-up: no lock
//! is shared by all connections. A client without a name of its own is given one that nobody has.

use crate::identity::Bearer;
use futures_util::task::AtomicWaker;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::task::Context;
use std::time::Duration;
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64;

/// All sessions of this node.
#[derive(Debug)]
pub(super) struct Sessions {
    shards: [Mutex<Shard>; SHARDS],
    draining: AtomicBool,
    elsewhere: RwLock<Elsewhere>,
}

/// By what a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket, with or without TLS.
    WebSocket,
}

/// Where else clients may go, by what they have come: who came under TLS is not sent to a plain port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// `host:port` for MQTT over TCP.
    pub tcp: Vec<String>,
    /// `host:port` for MQTT under TLS.
    pub tls: Vec<String>,
    /// URLs for MQTT over WebSocket.
    pub websocket: Vec<String>,
}

impl Elsewhere {
    /// Whether there is no other place at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.tls.is_empty() && self.websocket.is_empty()
    }

    fn by(&self, transport: Transport) -> &[String] {
        match transport {
            Transport::Tcp => &self.tcp,
            Transport::Tls => &self.tls,
            Transport::WebSocket => &self.websocket,
        }
    }
}

type Shard = BTreeMap<Arc<str>, Arc<Seat>>;

/// What a connection is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Another connection has its client id now.
    TakenOver,
    /// The node is going: use another.
    Drained,
    /// What it has proven was taken back.
    Revoked,
    /// As [`Order::TakenOver`], by somebody who starts afresh: its session is over.
    Ended,
}

/// A connection's ear.
#[derive(Debug, Default)]
struct Seat {
    order: AtomicU8,
    waker: AtomicWaker,
    /// Whose it has proven to be.
    bearer: OnceLock<Arc<Bearer>>,
}

/// A taken client id; given back when dropped.
#[derive(Debug)]
pub(super) struct Seated {
    sessions: Arc<Sessions>,
    client_id: Arc<str>,
    seat: Arc<Seat>,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions {
            shards: std::array::from_fn(|_| Mutex::default()),
            draining: AtomicBool::new(false),
            elsewhere: RwLock::default(),
        }
    }
}

impl Sessions {
    /// Takes a client id, from whoever has it; `clean` says that no session of theirs is gone on with.
    pub(super) fn take(self: &Arc<Self>, client_id: &str, clean: bool) -> Seated {
        let client_id: Arc<str> = client_id.into();
        let seat = Arc::new(Seat::default());
        let before = self.shard(&client_id).insert(Arc::clone(&client_id), Arc::clone(&seat));
        if let Some(before) = before {
            before.tell(if clean { Order::Ended } else { Order::TakenOver });
        }
        Seated { sessions: Arc::clone(self), client_id, seat }
    }

    /// Whether newcomers are to be sent elsewhere.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Where else a client may go; clients are spread over what there is.
    pub(super) fn elsewhere(&self, client_id: &str, transport: Transport) -> Option<String> {
        let all = self.elsewhere.read().unwrap_or_else(PoisonError::into_inner);
        let all = all.by(transport);
        let turn = xxh3_64(client_id.as_bytes()) as usize;
        all.get(turn.checked_rem(all.len())?).cloned()
    }

    /// Sends everybody elsewhere, shard by shard over about `within`, so that the others are not
    /// stormed, until [`Sessions::undrain`].
    pub(super) async fn drain(&self, elsewhere: Elsewhere, within: Duration) {
        *self.elsewhere.write().unwrap_or_else(PoisonError::into_inner) = elsewhere;
        self.draining.store(true, Ordering::Release);
        for shard in self.shards.iter().take_while(|_| self.is_draining()) {
            let seats: Vec<_> = lock(shard).values().cloned().collect();
            if !seats.is_empty() {
                seats.iter().for_each(|seat| seat.tell(Order::Drained));
                sleep(within / SHARDS as u32).await;
            }
        }
    }

    /// Takes newcomers again, and sends away nobody more.
    pub(super) fn undrain(&self) {
        self.draining.store(false, Ordering::Release);
    }

    /// Ends the connections of those whom `is_revoked` finds.
    pub(super) fn end_revoked(&self, is_revoked: impl Fn(&Bearer) -> bool) {
        for shard in &self.shards {
            let ended = |seat: &&Arc<Seat>| seat.bearer.get().is_some_and(|it| is_revoked(it));
            lock(shard).values().filter(ended).for_each(|seat| seat.tell(Order::Revoked));
        }
    }

    fn shard(&self, client_id: &str) -> MutexGuard<'_, Shard> {
        lock(&self.shards[xxh3_64(client_id.as_bytes()) as usize % SHARDS])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    fn tell(&self, order: Order) {
        // The first order stands.
        let _ =
            self.order.compare_exchange(0, order as u8 + 1, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }
}

impl Seated {
    /// What was told; whoever is told nothing is woken when something comes.
    pub(super) fn poll_order(&self, cx: &Context<'_>) -> Option<Order> {
        self.seat.waker.register(cx.waker());
        match self.seat.order.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Order::TakenOver),
            2 => Some(Order::Drained),
            3 => Some(Order::Revoked),
            _ => Some(Order::Ended),
        }
    }

    /// Whose it is from now on; the first one stays.
    pub(super) fn bear(&self, bearer: Arc<Bearer>) {
        // As said.
        let _ = self.seat.bearer.set(bearer);
    }

    /// Whose it has proven to be.
    pub(super) fn bearer(&self) -> Option<&Arc<Bearer>> {
        self.seat.bearer.get()
    }

    /// The client id.
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut shard = self.sessions.shard(&self.client_id);
        if shard.get(&self.client_id).is_some_and(|seat| Arc::ptr_eq(seat, &self.seat)) {
            shard.remove(&self.client_id);
        }
    }
}

/// As many as there are slots' second digits, four times: two connections seldom meet.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Events, Role};
    use crdt_state::PlayerId;
    use std::task::Waker;

    fn order(seated: &Seated) -> Option<Order> {
        seated.poll_order(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_newcomer_takes_over_and_stays_when_the_old_one_goes() {
        let sessions = Arc::new(Sessions::default());
        let (old, other) = (sessions.take("ada", false), sessions.take("bob", false));
        assert_eq!(order(&old), None);
        let new = sessions.take("ada", false);
        assert_eq!((order(&old), order(&other)), (Some(Order::TakenOver), None));
        drop(old);
        let newest = sessions.take("ada", false);
        assert_eq!((order(&new), order(&newest)), (Some(Order::TakenOver), None));
        let afresh = sessions.take("ada", true);
        assert_eq!((order(&newest), order(&afresh)), (Some(Order::Ended), None));
        drop((new, newest, afresh));
        assert!(sessions.shard("ada").get("ada").is_none(), "nothing is left behind");
    }

    #[test]
    fn whose_token_is_taken_back_is_told_and_nobody_else() {
        let sessions = Arc::new(Sessions::default());
        let of = |player| {
            let (role, events) = (Role::Player, Events::All);
            let player = Some(PlayerId(player));
            let (name, token, co_host, key) = (None, None, None, None);
            Arc::new(Bearer { role, player, name, events, token, co_host, key })
        };
        let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| sessions.take(name, false));
        ada.bear(of(1));
        bob.bear(of(2));
        bob.bear(of(1));
        sessions.end_revoked(|bearer| bearer.is(PlayerId(1)));
        assert_eq!(order(&ada), Some(Order::Revoked));
        assert_eq!((order(&bob), order(&eve)), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_is_sent_elsewhere_and_spread() {
        let sessions = Arc::new(Sessions::default());
        let seated: Vec<_> = (0..100).map(|n| sessions.take(&format!("c{n}"), false)).collect();
        let nodes = vec!["n2:1883".to_owned(), "n3:1883".to_owned()];
        let secure = vec!["n2:8883".to_owned()];
        let (tcp, tls, websocket) = (nodes.clone(), secure, Vec::new());
        sessions.drain(Elsewhere { tcp, tls, websocket }, Duration::from_secs(1)).await;
        assert!(seated.iter().all(|seated| order(seated) == Some(Order::Drained)));
        let to_n2 = seated.iter().filter(|it| {
            sessions.elsewhere(it.client_id(), Transport::Tcp).as_ref() == Some(&nodes[0])
        });
        assert!((25..75).contains(&to_n2.count()));
        assert_eq!(sessions.elsewhere("c1", Transport::Tls).as_deref(), Some("n2:8883"));
        assert_eq!(sessions.elsewhere("c1", Transport::WebSocket), None);
        assert!(sessions.is_draining());
        sessions.undrain();
        assert!(!sessions.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_been_sent_away_stays_when_the_node_changes_its_mind() {
        let sessions = Arc::new(Sessions::default());
        let seated: Vec<_> = (0..100).map(|n| sessions.take(&format!("c{n}"), false)).collect();
        let draining = Arc::clone(&sessions);
        let drain =
            async move { draining.drain(Elsewhere::default(), Duration::from_secs(64)).await };
        let drain = tokio::spawn(drain);
        sleep(Duration::from_secs(20)).await;
        sessions.undrain();
        drain.await.unwrap();
        let sent = seated.iter().filter(|seated| order(seated) == Some(Order::Drained)).count();
        assert!((10..90).contains(&sent), "{sent} of 100 were sent away");
    }
}
