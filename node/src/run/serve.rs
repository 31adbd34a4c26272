//! A node on real ground: sockets, files, signals.

use super::{Ground, Node, StartError, links, start};
use crate::config::{BindError, Bound, NodeConfig};
use crate::edge::{Accept, TcpAccept};
use crate::env::Env;
use crate::store::{OpenError, open_file};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, lookup_host};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long open requests may hold up the end: 2 s, longer than any of them takes.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Why a node did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Players' listener could not be bound.
    #[error("{0} (--mqtt)")]
    Players(#[from] crate::edge::BindError),
    /// The peers' socket could not be bound.
    #[error("{0}; choose another address with --peer")]
    Peers(#[from] gossip::network::OpenError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The node could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A peer's name does not lead to an address.
    #[error("--join {peer}: {source}; give host:port of a peer's --peer address")]
    Join {
        /// What was given.
        peer: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no entropy.
    #[error("the system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
    /// Everything else that the system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs a node until `stop` is over; `listening` is called once, with the bound addresses.
///
/// # Errors
/// When it cannot start, with a way out.
pub async fn serve(
    config: NodeConfig,
    listening: impl FnOnce(&Bound) -> io::Result<()>,
    stop: impl Future<Output = io::Result<()>>,
) -> Result<(), RunError> {
    let env = Env::system().map_err(RunError::Entropy)?;
    let store = config.data.as_deref().map(open_file).transpose()?;
    let (socket, peer) = gossip::network::open_socket(config.peer)?;
    let players = TcpAccept::bind(config.mqtt)?;
    let http = bind_http(config.http).await?;
    let bound = Bound { peer, http: http.local_addr()?, mqtt: players.local_address()? };
    let ground = Ground {
        socket,
        runtime: Arc::new(quinn::TokioRuntime),
        advertise: resolve(&config.advertised(peer)).await?,
        seeds: seeds(&config).await?,
        links: links(&config, &bound),
        players: vec![Box::new(players) as Box<dyn Accept>],
        store,
    };
    let node = start(&config, &env, ground).await?;
    let served = CancellationToken::new();
    let serving = tokio::spawn(serve_http(http, &node, served.clone()));
    listening(&bound)?;
    info!(name = %config.name, http = %bound.http, mqtt = %bound.mqtt, peer = %bound.peer, "listening");
    stop.await?;
    info!("stopping");
    served.cancel();
    node.stop().await;
    if timeout(STOP_PATIENCE, serving).await.is_err() {
        warn!("open requests were cut off");
    }
    Ok(())
}

async fn bind_http(addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| BindError { flag: "--http", addr, source })
}

fn serve_http(
    listener: TcpListener,
    node: &Node,
    stop: CancellationToken,
) -> impl Future<Output = io::Result<()>> + Send + 'static {
    let router = node.router(stop.clone());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    async move {
        let graceful =
            axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned());
        graceful.await
    }
}

/// The addresses of the peers to look for first. A name may stand for several.
async fn seeds(config: &NodeConfig) -> Result<Vec<SocketAddr>, RunError> {
    let mut seeds = Vec::new();
    for peer in &config.join {
        let found = lookup_host(peer).await;
        let found = found.map_err(|source| RunError::Join { peer: peer.clone(), source })?;
        seeds.extend(found);
    }
    Ok(seeds)
}

async fn resolve(host: &str) -> Result<SocketAddr, RunError> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    lookup_host(host).await?.next().ok_or_else(|| missing().into())
}
