//! Why a connection between two nodes came to nothing or ended.
//!
//! One word for each cause, shared by the close code on the wire, the counter, the log line and
//! the text of a peer's departure. What a peer claims is kept apart from what this node saw: codes
//! of 256 and above are never accepted from the wire.

use quinn::{ConnectionError, VarInt};

/// Why a connection between two nodes was refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[repr(u16)]
pub enum Reason {
    /// The node said goodbye and will not come back under this origin.
    #[error("the node left")]
    Left = 1,
    /// The pair is connected already; the node with the higher origin keeps the older connection.
    #[error("the pair is connected already")]
    Duplicate = 2,
    /// A newer connection or incarnation of the same node took this one's place.
    #[error("replaced by a newer connection of the same node")]
    Superseded = 3,
    /// A node reached itself through one of its own addresses.
    #[error("the address is the node's own")]
    OwnAddress = 4,
    /// The other node speaks another version of the wire format.
    #[error("another wire version")]
    WireVersion = 0x10,
    /// The other node belongs to another cluster.
    #[error("another cluster")]
    Cluster = 0x11,
    /// The settings that must be equal in the whole cluster differ.
    #[error("other cluster-wide settings")]
    Config = 0x12,
    /// The greeting could not be read or breaks a limit.
    #[error("a malformed greeting")]
    MalformedHello = 0x13,
    /// Another running process uses this node's own id: a copied data directory.
    #[error("another process has this node's id: a copied --data?")]
    NodeIdTaken = 0x14,
    /// An older incarnation of a node whose newer one is connected, or is told so by the newer one itself.
    #[error("an older incarnation of a connected node")]
    StaleIncarnation = 0x15,
    /// The greeting was not finished in time.
    #[error("the handshake took too long")]
    HandshakeTimeout = 0x16,
    /// Too many handshakes at once.
    #[error("too many handshakes at once")]
    Overloaded = 0x17,
    /// The cluster has as many members as it may have.
    #[error("the cluster has as many members as it may have")]
    Crowded = 0x18,
    /// A frame above the limit.
    #[error("a frame above the limit")]
    FrameTooBig = 0x20,
    /// A lane's stream ended inside a frame.
    #[error("a truncated frame")]
    FrameTruncated = 0x21,
    /// A stream of a use that this node does not know.
    #[error("a stream of unknown use")]
    UnknownStream = 0x22,
    /// A lane's stream ended although its connection goes on.
    #[error("a lane ended before its connection")]
    LaneEnded = 0x23,
    /// A second stream for the same lane.
    #[error("a lane was opened twice")]
    LaneTwice = 0x24,
    /// A frame whose content could not be read.
    #[error("a frame that cannot be read")]
    MalformedFrame = 0x25,
    /// A notice that could not be read.
    #[error("a notice that cannot be read")]
    MalformedNotice = 0x26,
    /// More in gossip than a node may announce.
    #[error("more announcements than a node may make")]
    Overgrown = 0x27,
    /// The certificate is not of this cluster's key.
    #[error("its cluster key is another one: compare `starling key --fingerprint`")]
    Untrusted = 0x100,
    /// The other end speaks another protocol over QUIC.
    #[error("another protocol")]
    OtherProtocol = 0x101,
    /// Nothing was heard for the idle time-out.
    #[error("nothing was heard for too long")]
    Silent = 0x102,
    /// The process behind the address has forgotten the connection: it restarted.
    #[error("the process restarted")]
    Reset = 0x103,
    /// The connection ended for a cause that has no word of its own.
    #[error("the connection broke")]
    Broken = 0x104,
}

/// The first code that stands for something seen here and is therefore no peer's to claim.
const FIRST_LOCAL: u16 = 0x100;

/// TLS alerts travel as QUIC transport errors `0x100 + alert`.
const TLS_ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// The TLS alert `no_application_protocol` as a QUIC transport error.
const NO_APPLICATION_PROTOCOL: u64 = 0x178;

impl Reason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Reason; 26] = [
        Reason::Left,
        Reason::Duplicate,
        Reason::Superseded,
        Reason::OwnAddress,
        Reason::WireVersion,
        Reason::Cluster,
        Reason::Config,
        Reason::MalformedHello,
        Reason::NodeIdTaken,
        Reason::StaleIncarnation,
        Reason::HandshakeTimeout,
        Reason::Overloaded,
        Reason::Crowded,
        Reason::FrameTooBig,
        Reason::FrameTruncated,
        Reason::UnknownStream,
        Reason::LaneEnded,
        Reason::LaneTwice,
        Reason::MalformedFrame,
        Reason::MalformedNotice,
        Reason::Overgrown,
        Reason::Untrusted,
        Reason::OtherProtocol,
        Reason::Silent,
        Reason::Reset,
        Reason::Broken,
    ];

    /// The code that travels when a connection is closed for this reason.
    #[must_use]
    pub fn code(self) -> VarInt {
        VarInt::from_u32(self as u16 as u32)
    }

    /// What an ended connection's error means.
    #[must_use]
    pub fn of(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Reason::Silent,
            ConnectionError::Reset => Reason::Reset,
            ConnectionError::VersionMismatch => Reason::OtherProtocol,
            ConnectionError::TransportError(error) => Self::of_transport(error.code.into()),
            ConnectionError::ConnectionClosed(close) => Self::of_transport(close.error_code.into()),
            ConnectionError::ApplicationClosed(close) => Self::claimed(close.error_code),
            ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => Reason::Broken,
        }
    }

    fn of_transport(code: u64) -> Self {
        match code {
            NO_APPLICATION_PROTOCOL => Reason::OtherProtocol,
            code if TLS_ALERTS.contains(&code) => Reason::Untrusted,
            _ => Reason::Broken,
        }
    }

    fn claimed(code: VarInt) -> Self {
        let known = |reason: &&Reason| (**reason as u16) < FIRST_LOCAL && reason.code() == code;
        Self::ALL.iter().find(known).copied().unwrap_or(Reason::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_code_and_is_listed_in_order() {
        assert!(Reason::ALL.windows(2).all(|pair| (pair[0] as u16) < pair[1] as u16));
    }

    #[test]
    fn a_peer_cannot_claim_what_only_this_node_can_see() {
        assert_eq!(Reason::claimed(Reason::Cluster.code()), Reason::Cluster);
        assert_eq!(Reason::claimed(Reason::Silent.code()), Reason::Broken);
        assert_eq!(Reason::claimed(VarInt::from_u32(0xfff)), Reason::Broken);
    }
}
