//! The edge as its listeners share it, and the one cap on connections that holds for all of them.

use super::acl::{Access, Acl, Denied, Subject};
use super::connection::{Closed, serve};
use super::open::{Broker, OpenLimits};
use super::rates::jittered;
use super::sessions::{Elsewhere, Sessions, Transport};
use super::{Counters, Limits, Meter, Meters, Remote};
use crate::identity::Bearer;
use crate::service::{ConnectionId, Players};
use crate::supervise::Supervisor;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// What every listener needs to serve a connection. Clones share everything.
#[derive(Clone)]
pub struct Edge {
    players: Arc<dyn Players>,
    limits: Arc<Limits>,
    counters: Arc<Counters>,
    sessions: Arc<Sessions>,
    rates: Arc<Rates>,
    /// Who may use which topic.
    acl: Arc<Acl>,
    /// What is behind it in the open profile, in place of the players' node.
    open: Option<Arc<Broker>>,
    /// Makes the names that it gives its own.
    nonce: u64,
    /// By what its clients come.
    transport: Transport,
    /// Where panics of connections end.
    supervisor: Option<Supervisor>,
}

/// What is metered for all connections together.
struct Rates {
    connects: Meter,
    address_connects: Meters<IpAddr>,
    publishes: Meter,
}

impl Edge {
    /// An edge in front of `players`.
    #[must_use]
    pub fn new(players: Arc<dyn Players>, limits: Limits) -> Self {
        let rates = Arc::new(Rates {
            connects: Meter::new(limits.connects),
            address_connects: Meters::new(limits.address_connects),
            publishes: Meter::new(limits.publishes),
        });
        let (counters, sessions) = (Arc::default(), Arc::default());
        let (limits, acl) = (Arc::new(limits), Arc::default());
        let (open, nonce, transport, supervisor) = (None, 0, Transport::Tcp, None);
        Edge { players, limits, counters, sessions, rates, acl, open, nonce, transport, supervisor }
    }

    /// The same for clients that come by `transport`.
    #[must_use]
    pub fn over(self, transport: Transport) -> Self {
        Edge { transport, ..self }
    }

    /// The same, where clients without a name are given one that no other edge gives: `nonce` is random.
    #[must_use]
    pub fn with_nonce(self, nonce: u64) -> Self {
        Edge { nonce, ..self }
    }

    /// The same as a general broker: clients are served by it, and never by the players' node.
    /// [`Edge::keep_open`] has to run beside it.
    #[must_use]
    pub fn with_open_profile(self, limits: OpenLimits) -> Self {
        let (acl, counters) = (Arc::clone(&self.acl), Arc::clone(&self.counters));
        let open = Some(Arc::new(Broker::new(limits, acl, counters)));
        Edge { open, ..self }
    }

    /// Does what the open profile's broker has to do by itself, for as long as it is polled.
    pub async fn keep_open(&self) {
        match &self.open {
            Some(broker) => broker.keep().await,
            None => std::future::pending().await,
        }
    }

    /// The same, where only those use a topic whom `acl` lets.
    ///
    /// # Panics
    /// After [`Edge::with_open_profile`], whose broker judges by the rules that it was made with.
    #[must_use]
    pub fn with_acl(self, acl: Acl) -> Self {
        assert!(self.open.is_none(), "rules are there before the broker that goes by them");
        Edge { acl: Arc::new(acl), ..self }
    }

    /// The same, with each connection's panic contained and counted by `supervisor`.
    #[must_use]
    pub fn supervised(self, supervisor: Supervisor) -> Self {
        Edge { supervisor: Some(supervisor), ..self }
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// What it grants.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A place for one more connection, or a counted no when all are taken.
    #[must_use]
    pub fn admit(&self) -> Option<Admission> {
        let taken = self.counters.connection_opened();
        let admission = Admission { counters: Arc::clone(&self.counters) };
        if taken > self.limits.connections_max {
            self.counters.connection_refused();
            return None;
        }
        let (taken, most) = (taken as usize, self.limits.connections_max as usize);
        crdt_state::bounded!(Connections, taken, most);
        Some(admission)
    }

    /// Serves one admitted connection to its end.
    pub async fn serve<IO>(&self, io: IO, remote: impl Into<Remote>, admission: Admission) -> Closed
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // Boxed: each state of what is around it would carry room for all of it.
        let serving = Box::pin(serve(io, remote, self));
        let closed = match &self.supervisor {
            Some(supervisor) => supervisor.contain(serving).await.unwrap_or_else(|| {
                self.counters.closed(Closed::Panicked);
                Closed::Panicked
            }),
            None => serving.await,
        };
        drop(admission);
        closed
    }

    /// Sends all clients to other nodes over about `within`, and every newcomer too from now on.
    pub async fn drain(&self, elsewhere: Elsewhere, within: Duration) {
        self.sessions.drain(elsewhere, within).await;
    }

    /// Takes clients again: nobody more is sent away, and newcomers are let in.
    pub fn undrain(&self) {
        self.sessions.undrain();
    }

    /// Ends the connections of all who have proven to be somebody whom `is_revoked` finds.
    pub fn end_revoked(&self, is_revoked: impl Fn(&Bearer) -> bool) {
        self.sessions.end_revoked(is_revoked);
    }

    /// Whether one more client may come from `remote`; if not, when it should try again.
    pub(super) fn meter_connect(&self, remote: SocketAddr) -> Result<(), Duration> {
        let of_address = self.rates.address_connects.take(network_of(remote.ip()));
        let metered = of_address.and_then(|()| self.rates.connects.take());
        metered.map_err(|wait| jittered(wait, self.counters.connect_deferred()))
    }

    /// Whether one more publish is taken; if not, when it would be.
    pub(super) fn meter_publish(&self) -> Result<(), Duration> {
        self.rates.publishes.take().inspect_err(|_| self.counters.publish_flooded())
    }

    /// Whether somebody may use a topic.
    pub(super) fn check_access(
        &self,
        subject: Subject<'_>,
        access: Access,
        topic: &str,
    ) -> Result<(), Denied> {
        self.acl.check(subject, access, topic).inspect_err(|_| self.counters.denied(access))
    }

    pub(super) fn open(&self) -> Option<&'_ Arc<Broker>> {
        self.open.as_ref()
    }

    /// A name for a client without one: nobody else has it, here or on another node.
    pub(super) fn new_name(&self) -> String {
        format!("player-{:016x}-{}", self.nonce, self.counters.next_client_number())
    }

    /// The name of one more connection.
    pub(super) fn new_connection(&self) -> ConnectionId {
        ConnectionId(self.counters.next_connection_number())
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn players(&self) -> &Arc<dyn Players> {
        &self.players
    }

    pub(super) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }
}

/// Whose an address is: of IPv6 a whole /64 is one subscriber's.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
        four => four,
    }
}

/// A taken place; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    counters: Arc<Counters>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.counters.connection_closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscribers_addresses_count_as_one() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
