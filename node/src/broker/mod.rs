//! The players' edge behind an MQTT broker that is there already: the same node, another door.
//!
//! Each node is one client of the broker. [`slots`] says which topics it takes from there, and what
//! players publish goes the very way it goes from the built-in edge: through the hub to the event's
//! owner. The broker carries the connections; nodes keep deciding. What differs for a player is in
//! `node/docs/broker.md`: the broker's PUBACK proves nothing, the receipt is the message in the inbox,
//! and the inbox has a name that only the cluster can tell.
//!
//! | part | does |
//! |---|---|
//! | [`slots`] | whose slot is whose; pure |
//! | [`wire`] | MQTT as a client, both versions; pure |
//! | [`session`] | everything on one connection, within bounds |
//! | [`bridge`] | connections one after another, members, goodbye |
//! | [`desk`] | one message of a player, to the hub and back |
//! | [`live`] | the retained live states |
//! | [`gone`] | which nodes are gone; pure |
//! | [`estate`] | what nodes that are gone leave behind |
//! | [`ended`] | why a connection ended, and what to do about it |

pub mod bridge;
pub mod desk;
pub mod dial;
pub mod ended;
pub mod estate;
pub mod gone;
pub mod live;
pub mod session;
pub mod settings;
pub mod slots;
pub mod state;
pub mod wire;

pub use settings::{
    BrokerConfig, BrokerUrl, PagesUrl, ParseBrokerUrlError, ParsePagesUrlError, Password,
};
pub use state::BrokerState;

use crate::engine::Outlet;
use crate::env::Env;
use crate::hub::{Hub, Owners};
use crate::supervise::Supervisor;
use crate::token::TokenKeys;
use bridge::Bridge;
use bytes::Bytes;
use crdt_state::{NodeId, PlayerId};
use desk::Desk;
use dial::{AuthorityError, Dialler};
use gossip::network::Network;
use live::{Lives, Shelf};
use session::Letter;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wire::{Outgoing, Protocol};

/// Messages for players that wait for the broker; those beyond are dropped and counted, and their
/// players ask again. Arbitrary: about a second's worth, some 16 MB.
const LETTERS_MAX: usize = 32_768;

/// What of a node its bridge to a broker needs.
pub struct Parts {
    /// Who it is.
    pub node: NodeId,
    /// The name of its cluster.
    pub cluster: String,
    /// Where messages are taken.
    pub hub: Arc<Hub>,
    /// The events that it carries.
    pub owners: Owners,
    /// The other members.
    pub network: Network,
    /// Names inboxes.
    pub tokens: TokenKeys,
    /// Keeps the bridge up.
    pub supervisor: Supervisor,
}

/// A running bridge.
pub struct Behind {
    /// How the node stands with its broker.
    pub state: Arc<BrokerState>,
    /// Where players' pages connect to it.
    pub pages: Vec<PagesUrl>,
    stop: CancellationToken,
    stopped: CancellationToken,
}

impl Behind {
    /// Hands the node's slots over to others and says goodbye to the broker.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.stopped.cancelled().await;
    }
}

/// Puts a node behind a broker. It is connected to in its own time: a node without its broker is a
/// node all the same.
///
/// # Errors
/// When the broker's certificate authorities cannot be read.
pub fn start(config: BrokerConfig, parts: Parts, env: &Env) -> Result<Behind, AuthorityError> {
    let Parts { node, cluster, hub, owners, network, tokens, supervisor } = parts;
    let dialler = Dialler::new(&config)?;
    let client_id = config.client_id.clone().unwrap_or_else(|| format!("starling-{node}"));
    let state = Arc::new(BrokerState::new(config.urls[0].to_string(), client_id.clone()));
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let pages = config.pages.clone();
    let (letter, letters) = mpsc::channel(LETTERS_MAX);
    let (speaking, listening) = watch::channel(None);
    let slots = hub.open_outlet(Arc::new(Outbox { letter, tokens, state: Arc::clone(&state) }));
    let shelf = Arc::new(Shelf::default());
    let bridge = Bridge {
        config,
        node,
        client_id,
        group: format!("starling-{cluster}"),
        dialler,
        desk: Desk::new(Arc::clone(&hub), supervisor.clone(), stop.clone()),
        network,
        letters,
        shelf: Arc::clone(&shelf),
        speaking,
        slots,
        state: Arc::clone(&state),
        random: env.random("broker"),
        protocol: Protocol::V5,
        connections: 0,
        stop: stop.clone(),
        stopped: stopped.clone().drop_guard(),
        spawn: Arc::clone(&env.spawn),
        supervisor: supervisor.clone(),
        watch: gone::Watch::default(),
        settled: BTreeSet::new(),
    };
    supervisor.keep_with("broker", "bridge", bridge, |bridge| Box::pin(bridge.run()));
    let lives = Lives::new(owners, shelf, listening);
    supervisor.keep_with("broker", "live states", lives, |lives| Box::pin(lives.run()));
    hub.stands_behind(Arc::clone(&state));
    Ok(Behind { state, pages, stop, stopped })
}

/// Where the engine's messages for players leave to the broker.
struct Outbox {
    letter: mpsc::Sender<Letter>,
    tokens: TokenKeys,
    state: Arc<BrokerState>,
}

impl Outlet for Outbox {
    fn send(&self, player: PlayerId, payload: &Bytes) -> bool {
        let names = self.tokens.inboxes(player);
        let sent = names.into_iter().all(|name| {
            let topic = format!("inbox/{name}");
            let payload = payload.clone();
            self.letter
                .try_send(Outgoing { topic, payload, retain: false, correlation: None })
                .is_ok()
        });
        if !sent {
            self.state.counts.dropped.fetch_add(1, Relaxed);
        }
        sent
    }
}
