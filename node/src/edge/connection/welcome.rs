//! How a client comes in: its CONNECT, the session that it may find, its CONNACK.
//!
//! A session is what can be derived from state (the topics that a player of that id is subscribed to,
//! and an inbox that is projected anew), so a client finds it on any node. What a broker would keep
//! beyond that, packet ids in flight, does not move: whatever was not acknowledged is sent again by
//! its sender, and means the same.

use super::{Closed, Connection, Done, RESPONSE_TOPICS};
use crate::edge::Edge;
use crate::edge::acl::{Access, Subject};
use crate::edge::counters::{ActiveSession, ConnectResult};
use crate::edge::packet::{Connect, Outbound, Protocol, Replay, Welcome, Wish};
use crate::edge::sessions::Seated;
use crate::identity::Bearer;
use crate::service::{Feed, Players};
use bytes::Bytes;
use crdt_state::PlayerId;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A client that has been welcomed.
pub(super) struct Session<'a> {
    pub(super) seated: Seated,
    /// Counts while it lives.
    _active: ActiveSession<'a>,
}

impl<'a> Session<'a> {
    pub(super) fn begin(edge: &'a Edge, client_id: &str, clean: bool) -> Self {
        let _active = ActiveSession::begin(edge.counters());
        Session { seated: edge.sessions().take(client_id, clean), _active }
    }
}

/// A client that comes, with the session that it found and who it has proven to be.
pub(super) struct Arrival {
    client_id: String,
    welcome: Welcome,
    /// Whether it starts afresh.
    clean: bool,
    session: Vec<(String, Feed)>,
    bearer: Option<Arc<Bearer>>,
}

/// A client whose CONNECT the node has to be asked about.
struct Newcomer {
    client_id: String,
    welcome: Welcome,
    clean: bool,
    password: Option<Bytes>,
}

impl<IO> Connection<'_, IO>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn on_connect(&mut self, connect: Connect) -> Result<(), Closed> {
        let (clean, password) = (connect.clean, connect.password.clone());
        let (client_id, welcome) = self.introduce(connect);
        if self.edge.sessions().is_draining() {
            return Err(Closed::Drained);
        }
        self.edge.meter_connect(self.remote).map_err(Closed::Deferred)?;
        if clean && password.is_none() {
            check_client_id(&client_id, None)?;
            let (session, bearer) = (Vec::new(), None);
            return self.on_arrived(Arrival { client_id, welcome, clean, session, bearer });
        }
        self.settling = true;
        let players = self.edge.players();
        let newcomer = Newcomer { client_id, welcome, clean, password };
        self.work.push(Box::pin(async move {
            Done::Arrived(newcomer.arrive(&**players).await.map(Box::new))
        }));
        Ok(())
    }

    pub(super) fn on_arrived(&mut self, arrival: Arrival) -> Result<(), Closed> {
        let Arrival { client_id, mut welcome, clean, mut session, bearer } = arrival;
        self.settling = false;
        let subject = Subject { client_id: &client_id, bearer: bearer.as_deref() };
        session
            .retain(|(topic, _)| self.edge.check_access(subject, Access::Subscribe, topic).is_ok());
        welcome.session_present = !session.is_empty();
        // A player's session is there as soon as there is something to derive it from, and until the show is
        // over: a client that was told 0 would have dropped its own part of it.
        if session.is_empty() && client_id.parse::<PlayerId>().is_err() {
            welcome.session_expiry_s = Some(0);
        }
        let player = bearer.as_ref().and_then(|bearer| bearer.player);
        welcome.player = player.map(|player| player.to_string());
        self.send(&Outbound::Connack(welcome))?;
        for (filter, feed) in session {
            let wish = Wish {
                filter,
                qos: 1,
                retain_as_published: false,
                replay: Replay::Always,
                no_local: false,
                id: None,
                has_options: false,
            };
            self.feeds.add(wish, Some(feed), self.takes_alias);
        }
        let edge = self.edge;
        edge.counters().connect(self.guard.protocol(), ConnectResult::Accepted);
        self.session = Some(Session::begin(edge, &client_id, clean));
        bearer.map_or(Ok(()), |bearer| self.bear(&bearer))
    }

    /// Takes in what a client says of itself.
    pub(super) fn introduce(&mut self, connect: Connect) -> (String, Welcome) {
        let limits = self.edge.limits();
        let v5 = self.guard.protocol() == Some(Protocol::V5);
        let keep_alive_s = limits.keep_alive(connect.keep_alive_s).filter(|_| v5);
        let seconds = keep_alive_s.unwrap_or(connect.keep_alive_s);
        let silence_ms = u64::from(seconds) * 1500;
        self.silence_max = (seconds > 0).then_some(Duration::from_millis(silence_ms));
        if let Some(bytes) = connect.packet_bytes_max {
            self.peer_bytes_max = bytes as usize;
        }
        self.takes_alias = connect.alias_maximum > 0;
        self.deliveries = super::Deliveries::new(connect.receive_maximum);
        self.will = connect.will;
        self.expires = connect.session_expiry_s > 0;
        // The session's end is the latest moment for a will.
        let delay_s = connect.will_delay_s.min(connect.session_expiry_s);
        self.will_delay = Duration::from_secs(delay_s.into()).min(limits.will_delay_max);
        let named = !connect.client_id.is_empty();
        let name = if named { connect.client_id } else { self.edge.new_name() };
        let response_topic = format!("{RESPONSE_TOPICS}{name}");
        let welcome = Welcome {
            client_id: (v5 && !named).then(|| name.clone()),
            keep_alive_s,
            receive_maximum: limits.in_flight_max.get(),
            response_topic: connect.wants_response_topic.then_some(response_topic),
            ..Welcome::default()
        };
        // A name that was given can be guessed; no client can send one with a zero, and take over.
        (if named { name } else { format!("\0{name}") }, welcome)
    }

    pub(super) fn client_id(&self) -> &str {
        self.session.as_ref().map_or("", |session| session.seated.client_id())
    }
}

impl Newcomer {
    /// Finds out who comes, and what session there is for them.
    async fn arrive(self, players: &dyn Players) -> Result<Arrival, Closed> {
        let Newcomer { client_id, welcome, clean, password } = self;
        let bearer = match password {
            Some(password) => players.authenticate(&password).await.map_err(Closed::Unproven)?,
            None => None,
        };
        check_client_id(&client_id, bearer.as_deref())?;
        let mut session = Vec::new();
        let topics = if clean { Vec::new() } else { players.session(&client_id).await };
        for topic in topics {
            // What is no longer there is no part of the session.
            if let Ok(feed) = players.subscribe(bearer.as_deref(), &topic, None).await {
                session.push((topic, feed));
            }
        }
        Ok(Arrival { client_id, welcome, clean, session, bearer })
    }
}

/// A vouched-for player's id can be known by others: they neither take over its connection nor find its
/// session.
fn check_client_id(client_id: &str, bearer: Option<&Bearer>) -> Result<(), Closed> {
    let player = client_id.parse::<PlayerId>().ok().filter(|player| player.is_vouched());
    match player {
        Some(player) if !bearer.is_some_and(|bearer| bearer.is(player)) => {
            Err(Closed::ClientIdVouched)
        }
        _ => Ok(()),
    }
}
