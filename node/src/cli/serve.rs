//! `starling serve`: from flags and environment to a running node.

use super::broker::BrokerArgs;
use super::key::KeySource;
use super::{Exit, Failure, files, parts};
use crate::config::{
    Ack, Bound, CLUSTER_NAME, ClusterConfig, LET_GO_AFTER, MqttProfile, NodeConfig, RateConfig,
    TlsConfig, TlsIdentity,
};
use crate::edge::{Acl, Limits};
use crate::identity::IdentityConfig;
use clap::{Args, ValueEnum};
use gossip::discovery::Strategy;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;
use tracing::info;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Name of this node, for people [default: the host's name]
    #[arg(long, env = "STARLING_NAME")]
    name: Option<String>,
    #[command(flatten)]
    key: KeySource,
    /// Name of the cluster; clusters with other names stay apart even under one key
    #[arg(long, value_name = "NAME", env = "STARLING_CLUSTER", default_value = CLUSTER_NAME)]
    cluster: String,
    /// Folder for this node's store; without it everything is kept in memory
    #[arg(long, value_name = "DIR", env = "STARLING_DATA")]
    data: Option<PathBuf>,
    /// Where to listen for peers (UDP); port 0 takes any free one
    #[arg(long, value_name = "ADDR", env = "STARLING_PEER", default_value = "127.0.0.1:7946")]
    peer: SocketAddr,
    /// Where to listen for pages, API and MQTT over WebSocket (TCP)
    #[arg(long, value_name = "ADDR", env = "STARLING_HTTP", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where to listen for MQTT (TCP)
    #[arg(long, value_name = "ADDR", env = "STARLING_MQTT", default_value = "127.0.0.1:1883")]
    mqtt: SocketAddr,
    /// Where to listen for pages, API and MQTT over WebSocket under TLS 1.3 (TCP); players are sent there
    #[arg(long, value_name = "ADDR", env = "STARLING_HTTPS")]
    https: Option<SocketAddr>,
    /// Where to listen for MQTT under TLS 1.3 (TCP)
    #[arg(long, value_name = "ADDR", env = "STARLING_MQTTS")]
    mqtts: Option<SocketAddr>,
    /// PEM file with the certificate chain for --https and --mqtts
    #[arg(long, value_name = "FILE", env = "STARLING_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// PEM file with the certificate's key
    #[arg(long, value_name = "FILE", env = "STARLING_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make a certificate to try out --https and --mqtts; clients trust it by its file, self-signed.pem in
    /// --data, or without that a temporary one that the log names
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
    /// Host name or address under which others reach this node [default: the ones it listens on]
    #[arg(long, value_name = "HOST", env = "STARLING_ADVERTISE")]
    advertise: Option<String>,
    /// host:port of peers to look for, names looked up again and again; any one leads to all
    #[arg(long, value_name = "ADDR", env = "STARLING_JOIN", value_delimiter = ',')]
    join: Vec<String>,
    /// Where to look for peers, over and over (repeat the flag for more): dns://NAME:PORT,
    /// srv://NAME, file:PATH, exec:CMD, multicast://GROUP:PORT, local:NAME; see
    /// node/docs/operations.md. In the variable one per line
    #[arg(long, value_name = "HOW", env = "STARLING_DISCOVER", value_delimiter = '\n')]
    discover: Vec<String>,
    /// Command that the shell runs for every member event: JSON on its stdin, the event's word in
    /// STARLING_EVENT, the member's name in STARLING_MEMBER; one at a time, 10 s each
    #[arg(long, value_name = "CMD", env = "STARLING_ON_MEMBER_EVENT")]
    on_member_event: Option<String>,
    /// How many other nodes hold an answer before its receipt is firm; the same on every node
    #[arg(long, value_name = "LEVEL", env = "STARLING_ACK", value_enum, default_value_t)]
    ack: Ack,
    /// For how long after its deadline a round still takes answers; the same on every node
    #[arg(long, value_name = "MS", env = "STARLING_GRACE_MS", default_value_t = 250)]
    grace_ms: u64,
    /// Where players are: embedded, on this node's own MQTT listeners, or behind a broker as well
    #[arg(long, value_name = "HOW", env = "STARLING_EDGE", value_enum, default_value_t)]
    edge: EdgeKind,
    #[command(flatten)]
    broker: BrokerArgs,
    /// Let go of a show that three others carry once nobody has come to this node for it for so long; twice as long each
    /// time that somebody came back
    #[arg(long, value_name = "S", env = "STARLING_LET_GO_AFTER_S", default_value_t = LET_GO_AFTER.as_secs())]
    let_go_after_s: u64,
    /// Players that may connect a second; those beyond are told when to try again. 0: no limit
    #[arg(long, value_name = "N", env = "STARLING_CONNECTS_PER_S", default_value_t = 20_000)]
    connects_per_s: u32,
    /// Players that may connect a second from one address. 0: no limit
    #[arg(long, value_name = "N", env = "STARLING_ADDRESS_CONNECTS_PER_S", default_value_t = 0)]
    address_connects_per_s: u32,
    /// Messages of players that are taken a second. 0: no limit
    #[arg(long, value_name = "N", env = "STARLING_PUBLISHES_PER_S", default_value_t = 0)]
    publishes_per_s: u32,
    /// Messages of one player that are taken a second, three times as many at once. 0: no limit
    #[arg(long, value_name = "N", env = "STARLING_PLAYER_PUBLISHES_PER_S", default_value_t = 20)]
    player_publishes_per_s: u32,
    /// Longest keep-alive, in seconds, that a client of MQTT 5 gets, whatever it asks for: one that is gone
    /// without a word is noticed after one and a half times as long. 0: what it asks for
    #[arg(long, value_name = "S", env = "STARLING_KEEP_ALIVE_MAX_S", default_value_t = 0)]
    keep_alive_max_s: u16,
    /// File that says who may use which MQTT topic; see node/docs/mqtt.md
    #[arg(long, value_name = "FILE", env = "STARLING_ACL")]
    acl: Option<PathBuf>,
    /// Whom MQTT serves: players, or (open) any client on this machine, as a small general broker for
    /// trying out clients and conformance suites; refused where anything listens off loopback
    #[arg(long, value_name = "WHOM", env = "STARLING_MQTT_PROFILE", value_enum, default_value_t)]
    mqtt_profile: MqttProfile,
    #[command(flatten)]
    identity: IdentityArgs,
    /// How to write the log to stderr [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", env = "STARLING_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    /// Write the bound addresses here as JSON once the node listens
    #[arg(long, value_name = "FILE", env = "STARLING_READY_FILE")]
    ready_file: Option<PathBuf>,
}

/// Whose tokens are taken.
#[derive(Debug, Args)]
struct IdentityArgs {
    /// JWKS document, a file or a URL, with the keys of the platform whose tokens (JWT: HS256, RS256,
    /// EdDSA) let players into closed shows; see node/docs/identity.md
    #[arg(long, value_name = "FILE|URL", env = "STARLING_JWT_KEYS")]
    jwt_keys: Option<String>,
    /// What every such token must be meant for, its claim `aud`
    #[arg(long, value_name = "NAME", env = "STARLING_JWT_AUDIENCE",
        default_value = IdentityConfig::AUDIENCE)]
    jwt_audience: String,
    /// Who must have issued every such token, its claim `iss` [default: anybody with a key]
    #[arg(long, value_name = "NAME", env = "STARLING_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// How far the platform's clock may be off, for `exp` and `nbf`
    #[arg(long, value_name = "S", env = "STARLING_JWT_LEEWAY_S", default_value_t = 30)]
    jwt_leeway_s: u64,
}

impl IdentityArgs {
    fn config(&self) -> Option<IdentityConfig> {
        let keys = self.jwt_keys.as_deref().filter(|keys| !keys.is_empty())?;
        let Ok(keys) = keys.parse::<crate::identity::KeySource>();
        Some(IdentityConfig {
            keys,
            audience: self.jwt_audience.clone(),
            issuer: self.jwt_issuer.clone().filter(|issuer| !issuer.is_empty()),
            leeway: Duration::from_secs(self.jwt_leeway_s),
        })
    }
}

/// Where players are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum EdgeKind {
    /// On the node's own listeners.
    #[default]
    Embedded,
    /// Behind an MQTT broker that is there already.
    Broker,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// Runs a node until it is told to stop.
pub(super) fn run(args: &ServeArgs) -> Result<Exit, Failure> {
    let mut config = args.config()?;
    if let Some(folder) = &config.data {
        check_data(folder)?;
    }
    start_log(args.log_format);
    bound_by_files(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::of(Exit::Failed, "cannot start the runtime"))?;
    let listening = |bound: &Bound| match &args.ready_file {
        Some(file) => write_ready(file, bound),
        None => Ok(()),
    };
    runtime
        .block_on(parts::run_node(config, listening))
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok(Exit::Done)
}

/// Lets as many connect as there are files for.
fn bound_by_files(config: &mut NodeConfig) {
    let files = files::raise();
    let players = files::for_players(files);
    if players < config.connections_max {
        info!(players, files, "fewer may connect than usual: raise the limit of open files");
        config.connections_max = players;
    }
}

impl ServeArgs {
    /// The configuration that the flags and the environment make.
    pub(super) fn config(&self) -> Result<NodeConfig, Failure> {
        let grace = Duration::from_millis(self.grace_ms);
        let config = NodeConfig {
            name: self.name.clone().unwrap_or_else(host_name),
            data: self.data.clone(),
            key: self.key.read()?,
            cluster_name: self.cluster.clone(),
            peer: self.peer,
            http: self.http,
            mqtt: self.mqtt,
            tls: self.tls(),
            advertise: self.advertise.clone(),
            join: peers(&self.join),
            discover: strategies(&self.discover)?,
            on_member_event: self.on_member_event.clone().filter(|command| !command.is_empty()),
            identity: self.identity.config(),
            rates: RateConfig {
                connects_per_s: self.connects_per_s,
                address_connects_per_s: self.address_connects_per_s,
                publishes_per_s: self.publishes_per_s,
                player_publishes_per_s: self.player_publishes_per_s,
            },
            keep_alive_max_s: NonZeroU16::new(self.keep_alive_max_s),
            connections_max: Limits::default().connections_max,
            acl: self.acl()?,
            mqtt_profile: self.mqtt_profile,
            broker: match self.edge {
                EdgeKind::Embedded => None,
                EdgeKind::Broker => Some(self.broker.config()?),
            },
            let_go_after: Duration::from_secs(self.let_go_after_s),
            cluster: ClusterConfig { ack: self.ack, grace, ..ClusterConfig::default() },
            versions: crdt_state::Versions::THIS,
        };
        config.validated().map_err(|error| Failure::new(Exit::Invalid, error.to_string()))
    }
}

impl ServeArgs {
    /// The access rules. An empty variable in the environment means none.
    fn acl(&self) -> Result<Acl, Failure> {
        let Some(file) = self.acl.as_ref().filter(|file| !file.as_os_str().is_empty()) else {
            return Ok(Acl::default());
        };
        let invalid = |error: String| {
            Failure::new(Exit::Invalid, format!("--acl {}: {error}", file.display()))
        };
        let text = fs::read_to_string(file).map_err(|error| invalid(error.to_string()))?;
        text.parse::<Acl>().map_err(|error| invalid(error.to_string()))
    }

    fn tls(&self) -> TlsConfig {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        let files = files.map(|(chain, key)| TlsIdentity::Files { chain, key });
        let made = self.tls_self_signed.then_some(TlsIdentity::SelfSigned);
        TlsConfig { https: self.https, mqtts: self.mqtts, identity: files.or(made) }
    }
}

/// The peers to join. An empty variable in the environment means none.
fn peers(join: &[String]) -> Vec<String> {
    let peers = join.iter().map(|peer| peer.trim().to_owned());
    peers.filter(|peer| !peer.is_empty()).collect()
}

/// The ways to look for peers. An empty variable in the environment means none.
fn strategies(texts: &[String]) -> Result<Vec<Strategy>, Failure> {
    let texts = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    texts.map(|text| text.parse().map_err(Failure::of(Exit::Invalid, "--discover"))).collect()
}

/// The machine's name as far as it can be a node's; `node` where there is none.
fn host_name() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fits = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    let name: String = text.trim().chars().filter(fits).take(32).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

/// Finds out before anything else runs whether the store can be kept there.
fn check_data(folder: &Path) -> Result<(), Failure> {
    let writable = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    writable.map(drop).map_err(|error| {
        let message = format!("cannot keep data in --data {}: {error}", folder.display());
        Failure::new(Exit::Invalid, message).hint(
            "give a folder that this user may write, or leave --data out to keep all in memory",
        )
    })
}

fn start_log(format: Option<LogFormat>) {
    let filter = EnvFilter::try_from_env("STARLING_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stderr().is_terminal();
    let fallback = if terminal { LogFormat::Text } else { LogFormat::Json };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format.unwrap_or(fallback) {
        LogFormat::Text => log.with_ansi(terminal).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Written aside and renamed, so that whoever waits for it never reads half of it.
fn write_ready(file: &Path, bound: &Bound) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut part = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    serde_json::to_writer(&mut part, bound)?;
    part.flush()?;
    part.persist(file)?;
    Ok(())
}
