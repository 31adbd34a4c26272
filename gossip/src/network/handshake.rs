//! The greeting: the first stream of every connection, before anything else is read or sent.
//!
//! ```text
//!     dialler                                acceptor
//!        |  Hello  ---------------------------> |  refuses: closes with a reason
//!        |  <---------------------------  Hello |  + verdict: welcome, or linked already
//!        |  Go  ------------------------------> |
//! ```
//!
//! **Invariant: of two connections between a pair, both nodes keep the same one.** The node with
//! the higher origin decides, and the other follows: when the acceptor decides, its verdict does;
//! when the dialler decides, it says `Go` only for a connection that it keeps, and the acceptor
//! links no earlier.
//!
//! A greeting is a length (two bytes), the newest and the oldest version that the node speaks (two bytes
//! each), and a postcard body. The versions stand outside the body so that a node with which there is none
//! in common is refused by name and not merely unreadable; with all others the newest that both know
//! is spoken.

use super::config::{ConfigError, NetworkConfig};
use super::reason::Reason;
use crdt_state::{NodeId, Origin, Versions};
use quinn::{Connection, RecvStream, SendStream};
use ring::digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The newest version of everything that nodes say to each other.
pub const WIRE_VERSION: u16 = Versions::THIS.newest;

/// The longest greeting, its versions included.
pub const HELLO_BYTES_MAX: usize = 4 << 10;

/// Bytes of a greeting's length.
const LENGTH_BYTES: usize = 2;
/// Bytes of one version within a greeting.
const VERSION_BYTES: usize = 2;

/// What each node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) cluster: [u8; 8],
    pub(super) config_hash: u64,
    pub(super) node: NodeId,
    pub(super) origin: Origin,
    pub(super) generation: u64,
    pub(super) name: String,
    /// Where the node is reached: its name in gossip, whatever address it was dialled at.
    pub(super) advertise: SocketAddr,
    pub(super) kvs: BTreeMap<String, String>,
    /// Stand in front of all this.
    #[serde(skip)]
    pub(super) versions: Versions,
}

impl Hello {
    /// The greeting of this node.
    pub(super) fn of(config: &NetworkConfig) -> Self {
        Hello {
            cluster: cluster_id(&config.cluster),
            config_hash: config.config_hash,
            node: config.node,
            origin: config.origin,
            generation: config.generation,
            name: config.name.clone(),
            advertise: config.advertise,
            kvs: config.kvs.clone(),
            versions: config.tuning.versions,
        }
    }

    /// Whether this node's own greeting is within the limit.
    pub(super) fn check_size(&self) -> Result<(), ConfigError> {
        match self.encode().len() - LENGTH_BYTES {
            bytes if bytes > HELLO_BYTES_MAX => {
                Err(ConfigError::Greeting { bytes, limit: HELLO_BYTES_MAX })
            }
            _ => Ok(()),
        }
    }

    /// Whether this node, the acceptor or the dialler, has the last word on this pair.
    pub(super) fn decides_over(&self, theirs: &Hello) -> bool {
        self.origin > theirs.origin
    }

    /// Whether this is an earlier life of the same node than the other. Two processes that were started from the
    /// same copy of a store may bear the same generation; then the origin decides, so that one of them stays.
    pub(super) fn is_older_than(&self, other: &Hello) -> bool {
        self.node == other.node && (self.generation, self.origin) < (other.generation, other.origin)
    }

    fn encode(&self) -> Vec<u8> {
        let body =
            postcard::to_stdvec(self).expect("a greeting has no part that cannot be encoded");
        let bytes = (2 * VERSION_BYTES + body.len()).min(usize::from(u16::MAX)) as u16;
        let Versions { oldest, newest } = self.versions;
        [&bytes.to_be_bytes()[..], &newest.to_be_bytes(), &oldest.to_be_bytes(), &body].concat()
    }

    /// Reads what follows the length, as a node that speaks `own`.
    fn decode(bytes: &[u8], own: Versions) -> Result<Self, Reason> {
        let (newest, rest) =
            bytes.split_first_chunk::<VERSION_BYTES>().ok_or(Reason::MalformedHello)?;
        // Whoever names one version only speaks that one.
        let (oldest, body) = rest.split_first_chunk::<VERSION_BYTES>().unwrap_or((newest, rest));
        let [oldest, newest] = [oldest, newest].map(|version| u16::from_be_bytes(*version));
        let versions = Versions { oldest, newest };
        if own.meet(versions).is_none() {
            return Err(Reason::WireVersion);
        }
        let hello: Hello = postcard::from_bytes(body).map_err(|_| Reason::MalformedHello)?;
        let hello = Hello { versions, ..hello };
        let usable = hello.name.len() <= super::config::NAME_BYTES_MAX
            && !hello.advertise.ip().is_unspecified()
            && hello.advertise.port() != 0;
        usable.then_some(hello).ok_or(Reason::MalformedHello)
    }

    /// Whether a node that greets like this may become a peer. A twin of this very node may not; the older one
    /// hears that it is.
    fn check(&self, theirs: &Hello) -> Result<(), Reason> {
        if theirs.cluster != self.cluster {
            Err(Reason::Cluster)
        } else if theirs.config_hash != self.config_hash {
            Err(Reason::Config)
        } else if theirs.is_older_than(self) {
            Err(Reason::StaleIncarnation)
        } else if self.is_older_than(theirs) {
            Err(Reason::NodeIdTaken)
        } else {
            Ok(())
        }
    }
}

/// A cluster's name in a few bytes.
fn cluster_id(name: &str) -> [u8; 8] {
    let mut input = digest::Context::new(&digest::SHA256);
    input.update(b"starling cluster name v1\0");
    input.update(name.as_bytes());
    *input.finish().as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
}

/// The acceptor's answer to a greeting that it does not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    /// Let us be linked.
    Welcome = 1,
    /// We are, by an older connection, or we are one and the same.
    LinkedAlready = 2,
}

const GO: u8 = 1;

/// One end of the greeting's stream.
pub(super) struct Greeting {
    connection: Connection,
    to: SendStream,
    from: RecvStream,
}

impl Greeting {
    /// The dialler's end.
    pub(super) async fn open(connection: &Connection) -> Result<Self, Reason> {
        let (to, from) = connection.open_bi().await.map_err(|error| Reason::of(&error))?;
        Ok(Greeting { connection: connection.clone(), to, from })
    }

    /// The acceptor's end.
    pub(super) async fn accept(connection: &Connection) -> Result<Self, Reason> {
        let (to, from) = connection.accept_bi().await.map_err(|error| Reason::of(&error))?;
        Ok(Greeting { connection: connection.clone(), to, from })
    }

    pub(super) async fn send_hello(&mut self, own: &Hello) -> Result<(), Reason> {
        self.send(&own.encode()).await
    }

    /// Reads the other node's greeting and judges it.
    pub(super) async fn receive_hello(&mut self, own: &Hello) -> Result<Hello, Reason> {
        let mut length = [0; LENGTH_BYTES];
        self.receive(&mut length).await?;
        let bytes = usize::from(u16::from_be_bytes(length));
        if bytes > HELLO_BYTES_MAX {
            return Err(Reason::MalformedHello);
        }
        let mut body = vec![0; bytes];
        self.receive(&mut body).await?;
        let theirs = Hello::decode(&body, own.versions)?;
        own.check(&theirs)?;
        Ok(theirs)
    }

    pub(super) async fn send_verdict(&mut self, verdict: Verdict) -> Result<(), Reason> {
        self.send(&[verdict as u8]).await
    }

    pub(super) async fn receive_verdict(&mut self) -> Result<Verdict, Reason> {
        match self.receive_byte().await? {
            byte if byte == Verdict::Welcome as u8 => Ok(Verdict::Welcome),
            byte if byte == Verdict::LinkedAlready as u8 => Ok(Verdict::LinkedAlready),
            _ => Err(Reason::MalformedHello),
        }
    }

    pub(super) async fn send_go(&mut self) -> Result<(), Reason> {
        self.send(&[GO]).await
    }

    pub(super) async fn receive_go(&mut self) -> Result<(), Reason> {
        match self.receive_byte().await? {
            GO => Ok(()),
            _ => Err(Reason::MalformedHello),
        }
    }

    async fn receive_byte(&mut self) -> Result<u8, Reason> {
        let mut byte = [0];
        self.receive(&mut byte).await?;
        Ok(byte[0])
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.to.write_all(bytes).await.map_err(|_| self.broken())
    }

    async fn receive(&mut self, bytes: &mut [u8]) -> Result<(), Reason> {
        self.from.read_exact(bytes).await.map_err(|_| self.broken())
    }

    /// Why the stream failed: the connection's end if it ended, else the other node's fault.
    fn broken(&self) -> Reason {
        let end = self.connection.close_reason();
        end.map_or(Reason::MalformedHello, |error| Reason::of(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        Hello {
            cluster: [1; 8],
            config_hash: 2,
            node: NodeId(3),
            origin: Origin(4),
            generation: 5,
            name: "six".into(),
            advertise: "127.0.0.1:7".parse().unwrap(),
            kvs: BTreeMap::from([("http".into(), "http://127.0.0.1:8".into())]),
            versions: Versions::THIS,
        }
    }

    #[test]
    fn a_greeting_survives_its_encoding() {
        let wire = hello().encode();
        assert_eq!(usize::from(u16::from_be_bytes([wire[0], wire[1]])), wire.len() - 2);
        assert_eq!(Hello::decode(&wire[2..], Versions::THIS), Ok(hello()));
    }

    #[test]
    fn another_wire_version_is_named_whatever_follows_it() {
        assert_eq!(Hello::decode(&[0, 2, 99, 99], Versions::THIS), Err(Reason::WireVersion));
    }

    #[test]
    fn programs_of_two_versions_greet_each_other_if_they_have_one_in_common() {
        let of = |oldest, newest| Hello { versions: Versions { oldest, newest }, ..hello() };
        let greeted = |hello: &Hello, own| Hello::decode(&hello.encode()[2..], own);
        assert_eq!(greeted(&of(1, 2), Versions::FIRST), Ok(of(1, 2)));
        assert_eq!(greeted(&of(1, 1), Versions { oldest: 1, newest: 2 }), Ok(of(1, 1)));
        let later = greeted(&of(2, 3), Versions::FIRST);
        assert_eq!(
            later,
            Err(Reason::WireVersion),
            "the later one does not speak the first any more"
        );
    }

    #[test]
    fn each_difference_is_refused_for_its_own_reason() {
        let own = hello();
        let check = |change: fn(&mut Hello)| {
            let mut theirs = Hello { node: NodeId(30), origin: Origin(40), ..hello() };
            change(&mut theirs);
            own.check(&theirs)
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(check(|theirs| theirs.cluster[0] += 1), Err(Reason::Cluster));
        assert_eq!(check(|theirs| theirs.config_hash += 1), Err(Reason::Config));
        assert_eq!(check(|theirs| theirs.node = NodeId(3)), Err(Reason::NodeIdTaken));
        let older = check(|theirs| (theirs.node, theirs.generation) = (NodeId(3), 4));
        assert_eq!(older, Err(Reason::StaleIncarnation));
    }

    #[test]
    fn an_unreachable_peer_is_malformed() {
        let nowhere = Hello { advertise: "0.0.0.0:7".parse().unwrap(), ..hello() };
        assert_eq!(
            Hello::decode(&nowhere.encode()[2..], Versions::THIS),
            Err(Reason::MalformedHello)
        );
    }

    /// What is read is judged, and within the bounds of a greeting.
    fn read(bytes: &[u8]) {
        if let Ok(theirs) = Hello::decode(bytes, Versions::THIS) {
            let _ = hello().check(&theirs);
            assert!(theirs.name.len() <= super::super::config::NAME_BYTES_MAX);
            assert!(theirs.advertise.port() != 0);
        }
    }

    proptest! {
        #[test]
        fn a_damaged_or_arbitrary_greeting_never_panics(
            cut in any::<prop::sample::Index>(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            noise in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut wire = hello().encode().split_off(LENGTH_BYTES);
            let kept = cut.index(wire.len());
            prop_assert!(Hello::decode(&wire[..kept], Versions::THIS).is_err());
            read(&noise);
            // The versions, or what follows them would hardly ever be looked at.
            read(&[&wire[..2 * VERSION_BYTES], &noise].concat());
            for (at, with) in damage {
                let at = at.index(wire.len());
                wire[at] = with;
            }
            read(&wire);
        }
    }
}
