//! What a client can do wrong.

use mqtt_protocol_core::mqtt::result_code::MqttError;

/// Why a client's bytes are not taken. Each ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing follows a length that cannot be read.
    #[error("the packet's length takes more than four bytes")]
    LengthMalformed,
    /// Known from the header; such a packet is never buffered.
    #[error("the packet is larger than the limit")]
    Oversized,
    /// The first packet has to be a CONNECT.
    #[error("the first packet is no CONNECT")]
    ConnectExpected,
    /// Only 3.1.1 and 5 are spoken.
    #[error("the protocol's version is neither 3.1.1 nor 5")]
    VersionUnsupported,
    /// MQTT 3.1.1, section 3.1.3.1.
    #[error("an empty client id needs a clean session")]
    ClientIdMissing,
    /// It would be kept for as long as the connection.
    #[error("the client id is too long")]
    ClientIdLong,
    /// It would be kept for as long as the connection, if an alias stands for it.
    #[error("no topic here is so long")]
    TopicLong,
    /// It would be kept for as long as the connection.
    #[error("the will is too large")]
    WillLarge,
    /// MQTT 5.0, section 4.12.
    #[error("extended authentication is not supported")]
    AuthenticationUnsupported,
    /// MQTT 5.0, section 2.1.3.
    #[error("reserved flags are set")]
    FlagsReserved,
    /// MQTT 5.0, section 2.2.1.
    #[error("the packet id is zero")]
    PacketIdZero,
    /// MQTT 5.0, section 4.7.3.
    #[error("the topic is empty")]
    TopicEmpty,
    /// MQTT 5.0, section 3.3.2.1.
    #[error("the topic of a publish has wildcards")]
    TopicWildcard,
    /// MQTT 5.0, section 4.7.1.
    #[error("the topic filter is malformed")]
    FilterMalformed,
    /// The CONNACK said that there are none.
    #[error("subscription identifiers are not supported")]
    SubscriptionIdUnsupported,
    /// Too many QoS 2 publishes of one client wait for their PUBREL.
    #[error("too many publishes wait for their release")]
    ReleasesPending,
    /// The state machine's verdict; the byte is MQTT 5's reason.
    #[error("{}", in_words(*.0))]
    Protocol(u8),
    /// A defect of the state machine.
    #[error("the protocol's state machine panicked")]
    Panicked,
}

impl Fault {
    /// One of each kind.
    pub const ALL: [Fault; 18] = [
        Fault::LengthMalformed,
        Fault::Oversized,
        Fault::ConnectExpected,
        Fault::VersionUnsupported,
        Fault::ClientIdMissing,
        Fault::ClientIdLong,
        Fault::TopicLong,
        Fault::WillLarge,
        Fault::AuthenticationUnsupported,
        Fault::FlagsReserved,
        Fault::PacketIdZero,
        Fault::TopicEmpty,
        Fault::TopicWildcard,
        Fault::FilterMalformed,
        Fault::SubscriptionIdUnsupported,
        Fault::ReleasesPending,
        Fault::Protocol(PROTOCOL_ERROR),
        Fault::Panicked,
    ];

    /// Its kind in a word, for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Fault::LengthMalformed => "length_malformed",
            Fault::Oversized => "oversized",
            Fault::ConnectExpected => "connect_expected",
            Fault::VersionUnsupported => "version_unsupported",
            Fault::ClientIdMissing => "client_id_missing",
            Fault::ClientIdLong => "client_id_long",
            Fault::TopicLong => "topic_long",
            Fault::WillLarge => "will_large",
            Fault::AuthenticationUnsupported => "authentication_unsupported",
            Fault::FlagsReserved => "flags_reserved",
            Fault::PacketIdZero => "packet_id_zero",
            Fault::TopicEmpty => "topic_empty",
            Fault::TopicWildcard => "topic_wildcard",
            Fault::FilterMalformed => "filter_malformed",
            Fault::SubscriptionIdUnsupported => "subscription_id_unsupported",
            Fault::ReleasesPending => "releases_pending",
            Fault::Protocol(_) => "protocol",
            Fault::Panicked => "panicked",
        }
    }

    /// The reason that MQTT 5 gives for it.
    #[must_use]
    pub fn reason(self) -> u8 {
        match self {
            Fault::LengthMalformed
            | Fault::FlagsReserved
            | Fault::PacketIdZero
            | Fault::FilterMalformed => 0x81,
            Fault::ConnectExpected | Fault::TopicEmpty => PROTOCOL_ERROR,
            Fault::VersionUnsupported => 0x84,
            Fault::ClientIdMissing | Fault::ClientIdLong => 0x85,
            Fault::AuthenticationUnsupported => 0x8c,
            Fault::TopicWildcard | Fault::TopicLong => 0x90,
            Fault::ReleasesPending => 0x93,
            Fault::Oversized | Fault::WillLarge => 0x95,
            Fault::SubscriptionIdUnsupported => 0xa1,
            Fault::Protocol(reason) => reason,
            Fault::Panicked => 0x80,
        }
    }
}

impl From<MqttError> for Fault {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::PacketTooLarge => Fault::Oversized,
            MqttError::UnsupportedProtocolVersion => Fault::VersionUnsupported,
            // Of a CONNECT whose fields cannot be read: whether they are good is not the state machine's question.
            MqttError::ClientIdentifierNotValid | MqttError::BadUserNameOrPassword => {
                Fault::Protocol(MALFORMED)
            }
            // Codes above one byte are the library's own; they all mean a broken packet.
            other => Fault::Protocol(u8::try_from(other as u16).unwrap_or(0x81)),
        }
    }
}

/// What is wrong by one of MQTT 5's reasons (section 2.4), for the person who writes the client.
fn in_words(reason: u8) -> &'static str {
    match reason {
        MALFORMED => "the packet is malformed: its bytes are not what its type and length say",
        PROTOCOL_ERROR => "the packet is not allowed here, or says something twice or out of range",
        0x84 => "the protocol's version is neither 3.1.1 nor 5",
        0x85 => "the client id is not valid",
        0x8c => "extended authentication is not supported",
        0x8f => "the topic filter is not valid",
        0x90 => "the topic is not valid",
        0x91 => "the packet id is in use",
        0x92 => "there is no such packet id",
        0x93 => "more publishes are under way than the receive maximum allows",
        0x94 => "the topic alias is 0, above the maximum, or stands for no topic yet",
        0x95 => "the packet is larger than the limit",
        0x99 => "the payload is not in the format that its publish names",
        _ => "the packet breaks the protocol",
    }
}

/// MQTT 5.0, section 4.13.1.
pub(super) const PROTOCOL_ERROR: u8 = 0x82;
/// MQTT 5.0, section 4.13: Malformed Packet.
pub(super) const MALFORMED: u8 = 0x81;
