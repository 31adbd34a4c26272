//! Why a connection to the broker ended, in words, with what an operator can do about it.

use super::wire::{Objection, WireError};
use std::io;
use std::time::Duration;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The network or TLS failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The broker closed it without a word.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker does not speak this version of MQTT.
    #[error("the broker does not speak MQTT {0}")]
    Version(&'static str),
    /// The broker refuses this client.
    #[error("the broker refuses the connection: {reason}")]
    Refused {
        /// In words.
        reason: String,
        /// What it is about.
        objection: Objection,
    },
    /// The broker ended it, with a reason.
    #[error("the broker ended the connection: {0}")]
    Goodbye(String),
    /// Another client came under the same name.
    #[error("another client has taken over this node's session")]
    TakenOver,
    /// What came is not MQTT, or not in its turn.
    #[error("the broker broke the protocol: {0}")]
    Wire(#[from] WireError),
    /// It went silent.
    #[error("the broker has not said a word for {0:?}")]
    Silent(Duration),
}

impl Ended {
    /// What an operator can do about it, if it is the operator's to mend.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Ended::Io(error) => Some(io_hint(error)),
            Ended::Closed | Ended::Wire(_) => Some(OTHER_PORT),
            Ended::Refused { objection, .. } => match objection {
                Objection::Identity => Some(
                    "check --broker-user and --broker-password-file against the broker's users",
                ),
                Objection::ClientId => Some("check --broker-client-id"),
                Objection::Version | Objection::Other => None,
            },
            Ended::TakenOver => Some(
                "give every node a session of its own: another --broker-client-id, or a data folder \
                 that no other node uses",
            ),
            Ended::Version(_) | Ended::Goodbye(_) | Ended::Silent(_) => None,
        }
    }
}

/// Whatever listens there does not understand what is said.
const OTHER_PORT: &str = "check that the broker speaks MQTT at this port, under TLS 1.3 for mqtts:// \
    and without TLS for mqtt://";

/// TLS tells its errors through the network's.
fn io_hint(error: &io::Error) -> &'static str {
    use rustls::{CertificateError, Error};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "give --broker the name that the broker's certificate bears",
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "the broker's certificate has expired: have it renewed",
        Some(Error::InvalidCertificate(_)) => {
            "name the authority that vouches for the broker's certificate with --broker-ca FILE"
        }
        Some(_) => OTHER_PORT,
        None if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ) =>
        {
            OTHER_PORT
        }
        None => "check --broker, and that the broker listens there and is reached from here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CertificateError, Error};

    #[test]
    fn whatever_an_operator_can_mend_says_how() {
        let refused = |objection| Ended::Refused { reason: "no".into(), objection };
        let untrusted = |why| io::Error::other(Error::InvalidCertificate(why)).into();
        for (ended, word) in [
            (io::Error::from(io::ErrorKind::ConnectionRefused).into(), "--broker,"),
            (untrusted(CertificateError::UnknownIssuer), "--broker-ca"),
            (untrusted(CertificateError::NotValidForName), "certificate bears"),
            (untrusted(CertificateError::Expired), "expired"),
            (io::Error::from(io::ErrorKind::UnexpectedEof).into(), "TLS"),
            (Ended::Closed, "mqtts://"),
            (refused(Objection::Identity), "--broker-password-file"),
            (refused(Objection::ClientId), "--broker-client-id"),
            (Ended::TakenOver, "--broker-client-id"),
        ] {
            let hint = ended.hint().unwrap_or_else(|| panic!("{ended}"));
            assert!(hint.contains(word), "{ended}: {hint}");
        }
        assert_eq!(refused(Objection::Other).hint(), None);
    }
}
