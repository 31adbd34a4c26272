//! A node on real ground: sockets, files, signals.

use super::certificate::CertificateFile;
use super::discover::start_discovery;
use super::hook::Hook;
use super::http::{HttpLimits, Pages};
use super::{Ground, Node, StartError, links, start};
use crate::api::metrics::Source;
use crate::broker::dial::AuthorityError;
use crate::config::{Bound, NodeConfig, TlsIdentity};
use crate::edge::{Accept, TcpAccept, Tls, TlsAccept, TlsError};
use crate::env::Env;
use crate::store::{OpenError, open_file};
use crate::supervise::WhenExhausted;
use futures_util::future::join_all;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::{info, warn};

/// How long open requests may hold up the end: 2 s, longer than any of them takes.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Why a node did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener for players or hosts could not be bound.
    #[error("{error} ({flag})")]
    Listen {
        /// The flag that gave the address.
        flag: &'static str,
        /// Why not.
        error: crate::edge::BindError,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate that it made for itself could not be written.
    #[error("the certificate of --tls-self-signed cannot be written: {0}")]
    Certificate(io::Error),
    /// The peers' socket could not be bound.
    #[error("{0}; choose another address with --peer")]
    Peers(#[from] gossip::network::OpenError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The node could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The broker's certificate could not be checked.
    #[error(transparent)]
    Broker(#[from] AuthorityError),
    /// Its tasks could not be kept up.
    #[error(
        "the node's tasks panicked too often; the log says where. Start it again: it finds its state"
    )]
    Fallen,
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
    let listeners = Listeners::bind(&config)?;
    let bound = listeners.bound(peer)?;
    let Listeners { mqtt, http, secure, certificate } = listeners;
    let (mut players, mut pages) = (vec![Box::new(mqtt) as Box<dyn Accept>], Vec::new());
    pages.push(Box::new(http) as Box<dyn Accept>);
    if let Some((tls, mqtts, https)) = secure {
        players.extend(mqtts.map(|mqtts| Box::new(TlsAccept::new(mqtts, tls.clone())) as _));
        pages.extend(https.map(|https| Box::new(TlsAccept::new(https, tls)) as Box<dyn Accept>));
    }
    let ground = Ground {
        socket,
        runtime: Arc::new(quinn::TokioRuntime),
        advertise: resolve(&config.advertised(peer)).await?,
        seeds: Vec::new(),
        links: links(&config, &bound),
        players,
        store,
    };
    tokio::pin!(stop);
    // It does not start before its disk takes what it must remember; whoever tires of that can end it.
    let node = tokio::select! {
        node = start(&config, &env, ground) => node?,
        stopped = &mut stop => return Ok(stopped?),
    };
    node.stand_behind(&config, &env)?;
    start_hook(&config, &node);
    start_discovery(&config, &node);
    let served = CancellationToken::new();
    let serving = serve_pages(&node, pages, &served);
    listening(&bound)?;
    let (https, mqtts) = (bound.https.map(display), bound.mqtts.map(display));
    let Bound { http, mqtt, peer, .. } = &bound;
    info!(name = %config.name, %http, https, %mqtt, mqtts, %peer, "listening");
    if let Some(certificate) = &certificate {
        let certificate = certificate.path().display();
        info!(%certificate, "made a certificate for itself: clients trust it by this file (--cafile)");
    }
    let fallen = tokio::select! {
        stopped = &mut stop => {
            stopped?;
            false
        }
        () = node.supervisor.fallen() => true,
    };
    info!("stopping");
    served.cancel();
    node.stop().await;
    let all_over = join_all(serving.iter().map(CancellationToken::cancelled));
    if timeout(STOP_PATIENCE, all_over).await.is_err() {
        warn!("open requests were cut off");
    }
    if fallen { Err(RunError::Fallen) } else { Ok(()) }
}

/// Keeps up the listeners for pages until `stop`; gives what tells of each that it is over.
fn serve_pages(
    node: &Node,
    listeners: Vec<Box<dyn Accept>>,
    stop: &CancellationToken,
) -> Vec<CancellationToken> {
    let branch = node.supervisor.branch("pages", WhenExhausted::Escalate);
    let serve = |(number, accept)| {
        let (router, limits) = (node.router(stop.clone()), HttpLimits::default());
        let (pages, over) = Pages::new(accept, router, limits, stop.clone(), branch.clone());
        branch.keep_with("pages", &format!("http {number}"), pages, |pages| Box::pin(pages.run()));
        over
    };
    listeners.into_iter().enumerate().map(serve).collect()
}

/// Has the operator's command hear of members, if there is one.
fn start_hook(config: &NodeConfig, node: &Node) {
    if let Some(command) = &config.on_member_event {
        let hook = Arc::new(Hook::new(command.clone()));
        node.metrics.register(Arc::clone(&hook) as Arc<dyn Source>);
        tokio::spawn(hook.run(node.member_events.feed()));
    }
}

/// Everything that players and hosts connect to.
struct Listeners {
    mqtt: TcpAccept,
    http: TcpAccept,
    /// Who the node is, MQTT and HTTP under TLS.
    secure: Option<(Tls, Option<TcpAccept>, Option<TcpAccept>)>,
    /// What it made for itself.
    certificate: Option<CertificateFile>,
}

impl Listeners {
    fn bind(config: &NodeConfig) -> Result<Self, RunError> {
        let bind =
            |flag, addr| TcpAccept::bind(addr).map_err(|error| RunError::Listen { flag, error });
        let secure = |flag, addr: Option<SocketAddr>| addr.map(|addr| bind(flag, addr)).transpose();
        let tls = config.tls.identity.as_ref().map(|identity| identify(identity, config));
        let (tls, certificate) = tls.transpose()?.unzip();
        let (mqtts, https) =
            (secure("--mqtts", config.tls.mqtts)?, secure("--https", config.tls.https)?);
        Ok(Listeners {
            mqtt: bind("--mqtt", config.mqtt)?,
            http: bind("--http", config.http)?,
            secure: tls.map(|tls| (tls, mqtts, https)),
            certificate: certificate.flatten(),
        })
    }

    fn bound(&self, peer: SocketAddr) -> io::Result<Bound> {
        let (mqtts, https) = match &self.secure {
            Some((_, mqtts, https)) => (mqtts.as_ref(), https.as_ref()),
            None => (None, None),
        };
        Ok(Bound {
            peer,
            http: self.http.local_address()?,
            mqtt: self.mqtt.local_address()?,
            https: https.map(TcpAccept::local_address).transpose()?,
            mqtts: mqtts.map(TcpAccept::local_address).transpose()?,
            certificate: self.certificate.as_ref().map(|file| file.path().to_owned()),
        })
    }
}

/// Who the node is under TLS, and the certificate if it made one.
fn identify(
    identity: &TlsIdentity,
    config: &NodeConfig,
) -> Result<(Tls, Option<CertificateFile>), RunError> {
    match identity {
        TlsIdentity::Files { chain, key } => Ok((Tls::from_files(chain, key)?, None)),
        TlsIdentity::SelfSigned => {
            let host = config.advertise.as_deref().unwrap_or("localhost");
            let (tls, pem) = Tls::self_signed(host)?;
            let file = CertificateFile::write(&pem, config.data.as_deref());
            Ok((tls, Some(file.map_err(RunError::Certificate)?)))
        }
    }
}

async fn resolve(host: &str) -> Result<SocketAddr, RunError> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    lookup_host(host).await?.next().ok_or_else(|| missing().into())
}
