//! What a node is told when it starts.
//!
//! [`ClusterConfig`] must be the same on every node of a cluster; all else in [`NodeConfig`] is the
//! node's own. A configuration goes through [`NodeConfig::validated`] before a node runs on it.

use crate::broker::BrokerConfig;
use crate::edge::{Acl, Limits, Rate};
use crate::identity::IdentityConfig;
use gossip::discovery::Strategy;
use gossip::network::ClusterKey;
use gossip::replication::AckLevel;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Longest name of a node, in characters: names stand in tables and on the host's page.
const NAME_CHARS_MAX: usize = 32;
/// How many seconds' worth a player may publish at once: a reconnect publishes several things.
const PLAYER_BURST: NonZeroU32 = NonZeroU32::new(3).expect("it is not zero");
/// Longest grace: beyond it a player could wait for a neighbour's reveal. Arbitrary.
const GRACE_MAX: Duration = Duration::from_secs(5);

/// For how long nobody must have wanted a show of which a node lets go: 10 min, as long as people leave a page open in
/// a pause. Arbitrary.
pub const LET_GO_AFTER: Duration = Duration::from_secs(600);

/// The name of a cluster that was not given one.
pub const CLUSTER_NAME: &str = "starling";

/// How many other nodes hold an answer before its receipt is firm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// None: a receipt survives the player's connection, not the node.
    Local,
    /// One more: a receipt survives any one node.
    #[default]
    Peer,
    /// Enough for a majority of all nodes that take the event's players, dead ones included.
    Majority,
}

impl From<Ack> for AckLevel {
    fn from(ack: Ack) -> Self {
        match ack {
            Ack::Local => AckLevel::Local,
            Ack::Peer => AckLevel::Peer,
            Ack::Majority => AckLevel::Majority,
        }
    }
}

/// Whom a node's MQTT listeners serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum MqttProfile {
    /// The players of its shows, on Starling's own topics.
    #[default]
    Players,
    /// Anybody on this machine, as a small general broker: for trying out clients and conformance suites.
    /// No show can be played there.
    Open,
}

/// What all nodes of a cluster must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// What makes a receipt firm.
    pub ack: Ack,
    /// For how long after its own deadline a node still takes answers, for those on their way when
    /// the round closed. At most 5 s. Default 250 ms: a slow mobile round trip, an honest guess.
    pub grace: Duration,
    /// For how long a receipt waits for its level before it leaves as provisional. Default 250 ms:
    /// below what a player feels as waiting.
    pub receipt_wait: Duration,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        let quarter = Duration::from_millis(250);
        ClusterConfig { ack: Ack::default(), grace: quarter, receipt_wait: quarter }
    }
}

/// What one node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Shown to people; unique in a cluster as far as people want to tell nodes apart.
    pub name: String,
    /// Where it keeps its store; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// What makes it a member of its cluster.
    pub key: Secret,
    /// The cluster's name: clusters with other names stay apart even under one key.
    pub cluster_name: String,
    /// Where it listens for peers (UDP).
    pub peer: SocketAddr,
    /// Where it listens for pages, API and MQTT over WebSocket (TCP).
    pub http: SocketAddr,
    /// Where it listens for MQTT (TCP).
    pub mqtt: SocketAddr,
    /// Where it listens for the same under TLS, and who it is there.
    pub tls: TlsConfig,
    /// The host under which others reach it; by default the address it listens on.
    pub advertise: Option<String>,
    /// `host:port` of peers to look for first; any one of them leads to all.
    pub join: Vec<String>,
    /// Where else to look for peers.
    pub discover: Vec<Strategy>,
    /// Run by the shell for every member event.
    pub on_member_event: Option<String>,
    /// Whom the operator's own platform vouches for; without it there are open shows only.
    pub identity: Option<IdentityConfig>,
    /// How often things may happen at the players' edge.
    pub rates: RateConfig,
    /// The longest keep-alive that a client of MQTT 5 gets, in seconds.
    pub keep_alive_max_s: Option<NonZeroU16>,
    /// Clients connected at once, over all listeners.
    pub connections_max: u64,
    /// Who may use which topic at the players' edge.
    pub acl: Acl,
    /// Whom its MQTT listeners serve.
    pub mqtt_profile: MqttProfile,
    /// The broker that it stands behind, if any.
    pub broker: Option<BrokerConfig>,
    /// For how long nobody must have come to it for a show that enough others carry before it lets go of it.
    pub let_go_after: Duration,
    /// What the whole cluster agrees on.
    pub cluster: ClusterConfig,
    /// What it speaks: what its program does, but in rehearsals of an upgrade.
    pub versions: crdt_state::Versions,
}

/// How often things may happen at the players' edge; 0 means as often as they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateConfig {
    /// Clients that may connect a second. Default 20,000: above what two cores accept (measured).
    pub connects_per_s: u32,
    /// Clients that may connect a second from one address. Default 0: an audience may share one.
    pub address_connects_per_s: u32,
    /// Publishes that are taken a second. Default 0.
    pub publishes_per_s: u32,
    /// Publishes of one player that are taken a second, three times as many at once. Default 20: a
    /// guess, ten times what a quick player does.
    pub player_publishes_per_s: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        RateConfig {
            connects_per_s: 20_000,
            address_connects_per_s: 0,
            publishes_per_s: 0,
            player_publishes_per_s: 20,
        }
    }
}

impl RateConfig {
    /// What one player may publish.
    #[must_use]
    pub fn player_publishes(&self) -> Option<Rate> {
        let rate = Rate::per_second(self.player_publishes_per_s)?;
        Some(Rate { burst: rate.burst.saturating_mul(PLAYER_BURST), ..rate })
    }

    /// What the edge grants its clients.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            connects: Rate::per_second(self.connects_per_s),
            address_connects: Rate::per_second(self.address_connects_per_s),
            publishes: Rate::per_second(self.publishes_per_s),
            ..Limits::default()
        }
    }
}

impl NodeConfig {
    /// A node in memory on free ports of the loopback interface.
    #[must_use]
    pub fn loopback(name: &str, key: Secret) -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        NodeConfig {
            name: name.to_owned(),
            data: None,
            key,
            cluster_name: CLUSTER_NAME.to_owned(),
            peer: free,
            http: free,
            mqtt: free,
            tls: TlsConfig::default(),
            advertise: None,
            join: Vec::new(),
            discover: Vec::new(),
            on_member_event: None,
            identity: None,
            rates: RateConfig::default(),
            keep_alive_max_s: None,
            connections_max: Limits::default().connections_max,
            acl: Acl::default(),
            mqtt_profile: MqttProfile::Players,
            broker: None,
            let_go_after: LET_GO_AFTER,
            cluster: ClusterConfig::default(),
            versions: crdt_state::Versions::THIS,
        }
    }

    /// Checks every value and how they fit each other.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub fn validated(self) -> Result<Self, ConfigError> {
        check_name(&self.name)?;
        check_cluster(&self.cluster_name)?;
        check_listeners(&self)?;
        check_advertise(&self)?;
        check_profile(&self)?;
        for peer in &self.join {
            check_join(peer)?;
        }
        if self.cluster.grace > GRACE_MAX {
            return Err(ConfigError::Grace { grace: self.cluster.grace });
        }
        Ok(self)
    }

    /// Its listeners for players and hosts, with their flags.
    fn tcp_listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let plain = [("--http", Some(self.http)), ("--mqtt", Some(self.mqtt))];
        let secure = [("--https", self.tls.https), ("--mqtts", self.tls.mqtts)];
        plain.into_iter().chain(secure).filter_map(|(flag, addr)| Some((flag, addr?)))
    }

    /// `host:port` under which others reach the listener that is bound to `bound`.
    #[must_use]
    pub fn advertised(&self, bound: SocketAddr) -> String {
        match self.advertise.as_deref() {
            Some(host) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                format!("[{host}]:{}", bound.port())
            }
            Some(host) => format!("{host}:{}", bound.port()),
            None => bound.to_string(),
        }
    }
}

/// TLS 1.3 towards players and hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// Where it listens for pages, API and MQTT over WebSocket under TLS (TCP).
    pub https: Option<SocketAddr>,
    /// Where it listens for MQTT under TLS (TCP).
    pub mqtts: Option<SocketAddr>,
    /// The certificate; needed as soon as there is a listener.
    pub identity: Option<TlsIdentity>,
}

/// Where a node's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsIdentity {
    /// From PEM files: the chain, the node's own certificate first, and its key.
    Files {
        /// The chain.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Made on every start, for development: clients have no reason to trust it.
    SelfSigned,
}

/// Why a node cannot run as it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `--name` is not a name.
    #[error(
        "--name {name:?}: a node's name has 1 to {NAME_CHARS_MAX} letters, digits, '-', '_' or '.'"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// `--cluster` is not a name.
    #[error(
        "--cluster {name:?}: a cluster's name has 1 to {NAME_CHARS_MAX} letters, digits, '-', '_' or '.'"
    )]
    Cluster {
        /// What was given.
        name: String,
    },
    /// Two listeners want one port.
    #[error("{one} and {two} are both {addr}: give one of them another port")]
    SamePort {
        /// The flag of one.
        one: &'static str,
        /// The flag of the other.
        two: &'static str,
        /// The address they share.
        addr: SocketAddr,
    },
    /// A listener under TLS has no certificate to show.
    #[error(
        "{flag} needs a certificate: give --tls-cert and --tls-key, or --tls-self-signed to try it out"
    )]
    CertificateMissing {
        /// The listener's flag.
        flag: &'static str,
    },
    /// It listens everywhere, and nobody could tell its players where that is.
    #[error(
        "{flag} {addr} listens on every address: name the one that others reach with --advertise HOST"
    )]
    AdvertiseMissing {
        /// The listener's flag.
        flag: &'static str,
        /// Its address.
        addr: SocketAddr,
    },
    /// `--advertise` is not a host.
    #[error("--advertise {host:?}: give a host name or an IP address, without a port or a scheme")]
    Advertise {
        /// What was given.
        host: String,
    },
    /// A general broker would be open to others than this machine.
    #[error(
        "--mqtt-profile open serves anybody who connects, so it listens on loopback only, and {flag} is \
         {addr}: give it a port of 127.0.0.1 or [::1]"
    )]
    OpenProfile {
        /// The listener's flag.
        flag: &'static str,
        /// Its address.
        addr: SocketAddr,
    },
    /// A general broker can carry no show.
    #[error("--mqtt-profile open cannot stand behind a broker: leave out --edge broker")]
    OpenBehindBroker,
    /// A general broker would take the place of a node that players are sent to.
    #[error(
        "--mqtt-profile open is a broker of its own, to which no player may be sent, so it joins no cluster: \
         leave out --join and --discover"
    )]
    OpenInCluster,
    /// `--join` has something other than an address in it.
    #[error("--join {peer:?}: give host:port of a peer's --peer address")]
    Join {
        /// What was given.
        peer: String,
    },
    /// The grace is too long.
    #[error("a grace of {grace:?} is longer than {GRACE_MAX:?}")]
    Grace {
        /// What was given.
        grace: Duration,
    },
}

/// Where a running node listens: with the ports that it was given where it asked for any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// For peers (UDP).
    pub peer: SocketAddr,
    /// For pages and API (TCP).
    pub http: SocketAddr,
    /// For MQTT (TCP).
    pub mqtt: SocketAddr,
    /// For pages and API under TLS (TCP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https: Option<SocketAddr>,
    /// For MQTT under TLS (TCP).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtts: Option<SocketAddr>,
    /// The file with the certificate that it made for itself (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
}

/// The cluster key: 32 random bytes that make a node a member. Never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Secret(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Its 64 hexadecimal digits, for the one place that hands a key to a person.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex(&self.0)
    }

    /// 16 hexadecimal digits that tell two keys apart and give neither away.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        ClusterKey::from_bytes(self.0).fingerprint()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.fingerprint())
    }
}

/// The text is not a cluster key. Says nothing of the text, which may be most of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster key is 64 hexadecimal digits; `starling key` makes one")]
pub struct ParseSecretError;

impl FromStr for Secret {
    type Err = ParseSecretError;

    fn from_str(text: &str) -> Result<Self, ParseSecretError> {
        let digits = text.trim().as_bytes();
        if digits.len() != 64 {
            return Err(ParseSecretError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).ok_or(ParseSecretError);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Secret(bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = is_plain(name);
    fits.then_some(()).ok_or_else(|| ConfigError::Name { name: name.to_owned() })
}

fn check_cluster(name: &str) -> Result<(), ConfigError> {
    let fits = is_plain(name);
    fits.then_some(()).ok_or_else(|| ConfigError::Cluster { name: name.to_owned() })
}

fn is_plain(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(fits)
}

fn check_listeners(config: &NodeConfig) -> Result<(), ConfigError> {
    let listeners: Vec<_> = config.tcp_listeners().collect();
    for (index, (one, addr)) in listeners.iter().enumerate() {
        let mut later = listeners[index + 1..].iter();
        if let Some((two, _)) = later.find(|(_, other)| other == addr && addr.port() != 0) {
            return Err(ConfigError::SamePort { one, two, addr: *addr });
        }
    }
    let secure = listeners.iter().map(|(flag, _)| *flag).find(|flag| flag.ends_with('s'));
    match (secure, &config.tls.identity) {
        (Some(flag), None) => Err(ConfigError::CertificateMissing { flag }),
        _ => Ok(()),
    }
}

fn check_advertise(config: &NodeConfig) -> Result<(), ConfigError> {
    if let Some(host) = &config.advertise {
        let named = host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        if host.is_empty() || !(named || host.parse::<IpAddr>().is_ok()) {
            return Err(ConfigError::Advertise { host: host.clone() });
        }
        return Ok(());
    }
    for (flag, addr) in [("--peer", config.peer)].into_iter().chain(config.tcp_listeners()) {
        if addr.ip().is_unspecified() {
            return Err(ConfigError::AdvertiseMissing { flag, addr });
        }
    }
    Ok(())
}

fn check_profile(config: &NodeConfig) -> Result<(), ConfigError> {
    if config.mqtt_profile != MqttProfile::Open {
        return Ok(());
    }
    if config.broker.is_some() {
        return Err(ConfigError::OpenBehindBroker);
    }
    if !(config.join.is_empty() && config.discover.is_empty()) {
        return Err(ConfigError::OpenInCluster);
    }
    match config.tcp_listeners().find(|(_, addr)| !addr.ip().is_loopback()) {
        Some((flag, addr)) => Err(ConfigError::OpenProfile { flag, addr }),
        None => Ok(()),
    }
}

fn check_join(peer: &str) -> Result<(), ConfigError> {
    let parts = peer.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match parts.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(port) if port != 0 => Ok(()),
        _ => Err(ConfigError::Join { peer: peer.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NodeConfig {
        NodeConfig::loopback("n1", Secret::new([1; 32]))
    }

    #[test]
    fn a_node_on_loopback_needs_nothing_else() {
        assert_eq!(config().validated(), Ok(config()));
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["", "two words", "ünï", &"x".repeat(33)] {
            let config = NodeConfig { name: name.into(), ..config() };
            assert!(matches!(config.validated(), Err(ConfigError::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn listening_everywhere_needs_an_advertised_host() {
        let everywhere = NodeConfig { http: "0.0.0.0:8080".parse().unwrap(), ..config() };
        let error = everywhere.clone().validated().unwrap_err();
        assert!(error.to_string().contains("--advertise"), "{error}");
        let named = NodeConfig { advertise: Some("quiz.example".into()), ..everywhere };
        assert_eq!(named.advertised(named.http), "quiz.example:8080");
        assert!(named.validated().is_ok());
    }

    #[test]
    fn a_general_broker_joins_no_cluster() {
        let open = NodeConfig { mqtt_profile: MqttProfile::Open, ..config() };
        let joins = NodeConfig { join: vec!["n2:7946".to_owned()], ..open.clone() };
        assert_eq!(joins.validated(), Err(ConfigError::OpenInCluster));
        let discover = vec!["local:here".parse().unwrap()];
        let looks = NodeConfig { discover: discover.clone(), ..open };
        let error = looks.validated().unwrap_err();
        assert!(error.to_string().contains("--join and --discover"), "{error}");
        assert!(NodeConfig { discover, ..config() }.validated().is_ok());
    }

    #[test]
    fn a_general_broker_listens_on_loopback_only() {
        let open = NodeConfig { mqtt_profile: MqttProfile::Open, ..config() };
        assert!(open.clone().validated().is_ok());
        let addr = "192.0.2.1:1883".parse().unwrap();
        let flag = "--mqtt";
        let off = NodeConfig { mqtt: addr, ..open.clone() };
        assert_eq!(off.validated(), Err(ConfigError::OpenProfile { flag, addr }));
        // Pages have MQTT over WebSocket.
        let everywhere = "0.0.0.0:8080".parse().unwrap();
        let off = NodeConfig { http: everywhere, advertise: Some("a".into()), ..open };
        let error = off.validated().unwrap_err().to_string();
        assert!(error.contains("--http") && error.contains("127.0.0.1"), "{error}");
    }

    #[test]
    fn an_advertised_host_has_no_scheme_and_no_port() {
        for host in ["http://a", "a:80", "", "a b"] {
            let config = NodeConfig { advertise: Some(host.into()), ..config() };
            assert!(config.validated().is_err(), "{host:?}");
        }
        let six = NodeConfig { advertise: Some("fd00::1".into()), ..config() };
        assert_eq!(six.advertised("[::]:80".parse().unwrap()), "[fd00::1]:80");
        assert!(six.validated().is_ok());
    }

    #[test]
    fn a_peer_to_join_has_a_port() {
        for peer in ["n2", "n2:", ":7946", "n2:0", "n2:99999"] {
            let config = NodeConfig { join: vec![peer.into()], ..config() };
            assert!(matches!(config.validated(), Err(ConfigError::Join { .. })), "{peer:?}");
        }
    }

    #[test]
    fn http_and_mqtt_need_their_own_ports() {
        let addr = "127.0.0.1:8080".parse().unwrap();
        let config = NodeConfig { http: addr, mqtt: addr, ..config() };
        let (one, two) = ("--http", "--mqtt");
        assert_eq!(config.validated(), Err(ConfigError::SamePort { one, two, addr }));
    }

    #[test]
    fn a_listener_under_tls_needs_a_certificate() {
        let tls = TlsConfig { mqtts: Some("127.0.0.1:0".parse().unwrap()), ..Default::default() };
        let bare = NodeConfig { tls: tls.clone(), ..config() };
        let error = bare.validated().unwrap_err();
        assert_eq!(error, ConfigError::CertificateMissing { flag: "--mqtts" });
        let tls = TlsConfig { identity: Some(TlsIdentity::SelfSigned), ..tls };
        assert!(NodeConfig { tls, ..config() }.validated().is_ok());
    }

    #[test]
    fn a_key_survives_its_text_and_hides_from_debug() {
        let key: Secret = format!(" {}\n", "0aF1".repeat(16)).parse().unwrap();
        assert_eq!(key.reveal(), "0af1".repeat(16));
        assert_eq!(key.reveal().parse(), Ok(key.clone()));
        assert!(!format!("{key:?}").contains("0af1"), "{key:?}");
        assert_eq!("0af1".parse::<Secret>(), Err(ParseSecretError));
        assert_eq!("+0".repeat(32).parse::<Secret>(), Err(ParseSecretError));
    }
}
