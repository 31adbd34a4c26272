//! How connections come about: dialled or accepted, greeted within a time limit, then linked.

use super::addresses::LostLink;
use super::handshake::{Greeting, Hello, Verdict};
use super::identity::SERVER_NAME;
use super::link::{Link, NewLink, run_link};
use super::links::Duplicates;
use super::reason::Reason;
use super::stats::Attempt;
use super::twins::Twins;
use super::{Shared, lock};
use crdt_state::NodeId;
use quinn::{Connecting, Connection, Incoming};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

/// Dials whatever address no link covers, for as long as the node stays.
pub(super) async fn dial_addresses(shared: Arc<Shared>) {
    loop {
        let (due, next) = shared.take_due_addresses();
        for address in due {
            shared.spawn("dial", dial(shared.clone(), address));
        }
        tokio::select! {
            biased;
            () = shared.closing() => return,
            () = shared.redial.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// Takes in connections until the node leaves; beyond the limit of handshakes they are refused.
pub(super) async fn accept_connections(shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(shared.config.tuning.handshakes_max));
    loop {
        let incoming = tokio::select! {
            biased;
            () = shared.closing() => return,
            incoming = shared.endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        if is_scarce(&handshakes, shared.config.tuning.handshakes_max)
            && !incoming.remote_address_validated()
            && incoming.may_retry()
        {
            // Whoever has made that address up is never heard of again, and has taken no place.
            shared.counters.retries.count();
            let _ = incoming.retry();
            continue;
        }
        let Ok(permit) = handshakes.clone().try_acquire_owned() else {
            shared.counters.count_end(Attempt::Call, Reason::Overloaded);
            incoming.refuse();
            continue;
        };
        let accepting = accept(shared.clone(), incoming);
        shared.spawn("handshake", async move {
            accepting.await;
            drop(permit);
        });
    }
}

/// Whether places for handshakes are running out: from half of them on a caller proves its address first.
fn is_scarce(handshakes: &Semaphore, most: usize) -> bool {
    handshakes.available_permits() <= most / 2
}

async fn dial(shared: Arc<Shared>, address: SocketAddr) {
    shared.counters.dials.count();
    let dialled = async {
        let connecting = match lock(&shared.client).clone() {
            Some(client) => shared.endpoint.connect_with(client, address, SERVER_NAME),
            None => shared.endpoint.connect(address, SERVER_NAME),
        };
        let connecting = connecting.map_err(|_| Reason::Broken)?;
        let connection = connect(&shared, connecting).await?;
        within_limit(&shared, &connection, greet_as_dialler(&shared, &connection, address)).await
    };
    let dialled = dialled.await;
    shared.note_misfit(address, dialled.err());
    if dialled != Err(Reason::StaleIncarnation) {
        lock(&shared.twins).note_other_answer(address);
    }
    if let Err(reason) = dialled {
        if needs_an_operator(reason) {
            tracing::warn!(%address, %reason, "the dial gave no link: this will not mend itself");
        } else {
            tracing::debug!(%address, %reason, "the dial gave no link");
        }
        shared.counters.count_end(Attempt::Dial, reason);
        let jitter = shared.jitter();
        lock(&shared.addresses).failed(address, Instant::now(), jitter);
    }
    shared.redial.notify_one();
}

async fn accept(shared: Arc<Shared>, incoming: Incoming) {
    let from = incoming.remote_address();
    shared.counters.accepted.count();
    let accepted = async {
        let connecting = incoming.accept().map_err(|error| Reason::of(&error))?;
        let connection = connect(&shared, connecting).await?;
        within_limit(&shared, &connection, greet_as_acceptor(&shared, &connection)).await
    };
    if let Err(reason) = accepted.await {
        if reason == Reason::NodeIdTaken {
            // The caller is the newer one of the two.
            shared.on_displaced(from);
        }
        if reason != Reason::Duplicate {
            tracing::warn!(%from, %reason, "a connection was refused");
        }
        shared.counters.count_end(Attempt::Call, reason);
    }
}

async fn connect(shared: &Shared, connecting: Connecting) -> Result<Connection, Reason> {
    timeout(shared.config.tuning.handshake_timeout, connecting)
        .await
        .map_err(|_| Reason::Silent)?
        .map_err(|error| Reason::of(&error))
}

/// Bounds a greeting in time; a failed one closes its connection and tells the peer why.
async fn within_limit(
    shared: &Shared,
    connection: &Connection,
    greeting: impl Future<Output = Result<(), Reason>>,
) -> Result<(), Reason> {
    let greeted = timeout(shared.config.tuning.handshake_timeout, greeting).await;
    let greeted = greeted.unwrap_or(Err(Reason::HandshakeTimeout));
    if let Err(reason) = greeted {
        let told = connection.close_reason().map(|error| Reason::of(&error));
        if told == Some(Reason::StaleIncarnation) {
            shared.on_displaced(connection.remote_address());
        }
        connection.close(reason.code(), reason.to_string().as_bytes());
    }
    greeted
}

async fn greet_as_dialler(
    shared: &Arc<Shared>,
    connection: &Connection,
    address: SocketAddr,
) -> Result<(), Reason> {
    let mut greeting = Greeting::open(connection).await?;
    greeting.send_hello(&shared.hello).await?;
    let theirs = greeting.receive_hello(&shared.hello).await?;
    shared.on_answer(address, &theirs)?;
    shared.check_newest(&theirs)?;
    if greeting.receive_verdict().await? == Verdict::LinkedAlready {
        return Err(Reason::Duplicate);
    }
    if shared.hello.decides_over(&theirs) {
        shared.admit(connection, theirs, Duplicates::KeepOlder)?;
        greeting.send_go().await
    } else {
        shared.admit(connection, theirs, Duplicates::TakeNewer)
    }
}

async fn greet_as_acceptor(shared: &Arc<Shared>, connection: &Connection) -> Result<(), Reason> {
    let mut greeting = Greeting::accept(connection).await?;
    let theirs = greeting.receive_hello(&shared.hello).await?;
    shared.check_newest(&theirs)?;
    greeting.send_hello(&shared.hello).await?;
    if !shared.hello.decides_over(&theirs) {
        greeting.send_verdict(Verdict::Welcome).await?;
        greeting.receive_go().await?;
        return shared.admit(connection, theirs, Duplicates::TakeNewer);
    }
    match shared.admit(connection, theirs, Duplicates::KeepOlder) {
        Ok(()) => greeting.send_verdict(Verdict::Welcome).await,
        Err(Reason::Duplicate) => {
            greeting.send_verdict(Verdict::LinkedAlready).await?;
            connection.closed().await;
            Err(Reason::Duplicate)
        }
        Err(reason) => Err(reason),
    }
}

impl Shared {
    /// The addresses to dial now, and when to look again at the latest.
    pub(super) fn take_due_addresses(&self) -> (Vec<SocketAddr>, Instant) {
        let now = Instant::now();
        let mut addresses = lock(&self.addresses);
        let links = lock(&self.links);
        let due = addresses.take_due(now, |address, answered| {
            links.at_address(address).is_some()
                || answered.is_some_and(|origin| links.with_origin(origin).is_some())
        });
        let idle = now + self.config.tuning.redial_max;
        (due, addresses.next_due(now).unwrap_or(idle).min(idle))
    }

    /// Remembers a dial that only an operator can mend, until the same address gives another answer.
    fn note_misfit(&self, address: SocketAddr, refused: Option<Reason>) {
        let mut misfit = lock(&self.misfit);
        match refused {
            Some(reason) if needs_an_operator(reason) => *misfit = Some((address, reason)),
            _ if misfit.is_some_and(|(held, _)| held == address) => *misfit = None,
            _ => {}
        }
    }

    /// A node answered at a dialled address; it may be this one.
    fn on_answer(&self, address: SocketAddr, theirs: &Hello) -> Result<(), Reason> {
        let mut addresses = lock(&self.addresses);
        if theirs.origin == self.hello.origin {
            addresses.is_own(address);
            return Err(Reason::OwnAddress);
        }
        addresses.answered(address, theirs.origin, Instant::now());
        Ok(())
    }

    /// Makes a greeted connection a link, perhaps in the place of an older one.
    fn admit(
        self: &Arc<Self>,
        connection: &Connection,
        peer: Hello,
        duplicates: Duplicates,
    ) -> Result<(), Reason> {
        if *self.closing.borrow() {
            return Err(Reason::Left);
        }
        self.check_room(peer.node)?;
        let (advertise, node, origin) = (peer.advertise, peer.node, peer.origin);
        let (link, outgoing) = Link::new(self, peer, connection.clone());
        let predecessor = lock(&self.links).admit(&link, duplicates)?;
        if let Some(old) = &predecessor {
            self.note_replacement(old, &link);
            old.close(Reason::Superseded);
        }
        self.counters.links_made.count();
        self.remember(advertise, node);
        self.membership.note_back(origin);
        self.spawn("link", run_link(self.clone(), NewLink { link, outgoing, predecessor }));
        Ok(())
    }

    /// Counts a link that stood and was heard from when a newer life of its node took its place: the former one
    /// may have died in this moment, or lives on. If it lives it calls, and [`check_newest`](Self::check_newest)
    /// raises the alarm.
    fn note_replacement(&self, old: &Link, new: &Link) {
        let was_heard = old.is_open() && old.silence() < self.config.tuning.suspect_after;
        if was_heard && old.peer.origin != new.peer.origin {
            self.counters.lives_replaced.count();
            let Hello { name, node, advertise, .. } = &new.peer;
            let former = old.peer.advertise;
            tracing::warn!(%name, %node, addr = %advertise, %former,
                "a newer life of a node took the place of one that was heard a moment ago");
        }
    }

    /// Refuses the older of two incarnations and raises the alarm: it lives, or it would not greet.
    fn check_newest(&self, theirs: &Hello) -> Result<(), Reason> {
        let newer = lock(&self.links).newer_than(theirs).cloned();
        let Some(newer) = newer else { return Ok(()) };
        let Hello { node, name, advertise: linked, .. } = newer.peer.clone();
        let twins = Twins { node, name, linked, refused: theirs.advertise };
        let Twins { name, refused, .. } = &twins;
        tracing::debug!(%node, name, %linked, %refused, "the older of two incarnations called");
        if lock(&self.twins).note_twins(twins.clone(), Instant::now()) {
            tracing::error!(%node, name, %linked, %refused,
                "two processes have the same node id: a copied data directory? the older one is refused");
        }
        Err(Reason::StaleIncarnation)
    }

    /// This incarnation was refused by `by` because a newer one of the same node lives.
    pub(super) fn on_displaced(&self, by: SocketAddr) {
        if lock(&self.twins).note_refusal(by, Instant::now()) {
            tracing::error!(%by,
                "another process has this node's id and is newer: a copied data directory? it takes \
                 this one's place everywhere; stop this one or the other");
        }
    }

    /// Whether a node may come in: whoever is known may, a stranger only while there is room.
    fn check_room(&self, node: NodeId) -> Result<(), Reason> {
        let full = self.membership.incarnations() >= self.config.tuning.incarnations_max;
        let known = || self.members.borrow().iter().any(|member| member.node == node);
        if full && !known() { Err(Reason::Crowded) } else { Ok(()) }
    }

    /// Keeps a peer's address in the book, or drops it if the peer said goodbye.
    pub(super) fn on_link_end(&self, peer: &Hello, lived: Duration, reason: Reason) {
        if reason == Reason::Left {
            self.membership.note_left(peer.origin);
            lock(&self.addresses).forget(peer.node, Some(peer.origin));
        } else {
            let lost = LostLink { address: peer.advertise, origin: peer.origin, lived };
            let jitter = self.jitter();
            lock(&self.addresses).lost(lost, Instant::now(), jitter);
        }
        self.membership.refresh_soon();
        self.redial.notify_one();
    }
}

/// Whether an end means that two nodes are set up to differ, so that dialling again is of no use.
fn needs_an_operator(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Untrusted
            | Reason::Cluster
            | Reason::Config
            | Reason::WireVersion
            | Reason::OtherProtocol
            | Reason::NodeIdTaken
    )
}
