//! What a node is told of the broker that it stands behind.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// MQTT's registered ports, plain and under TLS.
const PORTS: (u16, u16) = (1_883, 8_883);

/// Where a broker is, and who the node is to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// The nodes of the broker's cluster; they are tried in turn. Never empty.
    pub urls: Vec<BrokerUrl>,
    /// The user to sign in as.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<Password>,
    /// The name of the node's session; by default one that follows from the node's id.
    pub client_id: Option<String>,
    /// Whom the broker's certificate must be signed by; by default the system's authorities.
    pub ca: Option<PathBuf>,
    /// Where players' pages connect to the broker, tried in turn; empty where they connect to nodes.
    pub pages: Vec<PagesUrl>,
}

/// A password. Never printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// Where one node of a broker listens: `mqtt://HOST[:PORT]`, or `mqtts://` for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether it speaks TLS there.
    pub is_secure: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// The text is not where a broker is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--broker {text:?}: give mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS")]
pub struct ParseBrokerUrlError {
    /// What was given.
    text: String,
}

impl FromStr for BrokerUrl {
    type Err = ParseBrokerUrlError;

    fn from_str(text: &str) -> Result<Self, ParseBrokerUrlError> {
        let refused = || ParseBrokerUrlError { text: text.to_owned() };
        let (is_secure, rest) = match text.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(refused()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let default = if is_secure { PORTS.1 } else { PORTS.0 };
        let (host, port) = split_port(rest, default).ok_or_else(refused)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || port == 0 || !host.chars().all(fits) {
            return Err(refused());
        }
        Ok(BrokerUrl { is_secure, host, port })
    }
}

/// Where a broker takes MQTT 5 over WebSocket: `wss://HOST[:PORT][/PATH]`, or `ws://` without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagesUrl(String);

/// The text is not where pages can connect to a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "--broker-pages {text:?}: give wss://HOST:PORT/PATH, where the broker takes MQTT over WebSocket"
)]
pub struct ParsePagesUrlError {
    /// What was given.
    text: String,
}

impl FromStr for PagesUrl {
    type Err = ParsePagesUrlError;

    fn from_str(text: &str) -> Result<Self, ParsePagesUrlError> {
        let refused = || ParsePagesUrlError { text: text.to_owned() };
        let uri: axum::http::Uri = text.parse().map_err(|_| refused())?;
        let is_known = matches!(uri.scheme_str(), Some("ws" | "wss"));
        // Everybody reads it: no place for a name and a password.
        let has_host =
            uri.authority().is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'));
        if is_known && has_host { Ok(PagesUrl(text.to_owned())) } else { Err(refused()) }
    }
}

impl fmt::Display for PagesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn split_port(text: &str, default: u16) -> Option<(String, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => default,
            None => return None,
        };
        return Some((host.to_owned(), port));
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((text.to_owned(), default)),
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "mqtts" } else { "mqtt" };
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_its_text_and_has_a_port() {
        for (text, full) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://b.example:9/", "mqtts://b.example:9"),
            ("mqtts://[fd00::1]", "mqtts://[fd00::1]:8883"),
            ("mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884"),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), full);
            assert_eq!(full.parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_url_says_what_one_is() {
        for text in ["broker:1883", "http://b", "mqtt://", "mqtt://b:0", "mqtt://u@b", "mqtt://[b]"]
        {
            let error = text.parse::<BrokerUrl>().unwrap_err();
            assert!(error.to_string().contains("mqtts://HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn pages_are_sent_to_a_websocket_and_told_no_password() {
        for text in ["wss://b.example/mqtt", "ws://127.0.0.1:8083", "wss://[::1]:8084/mqtt?x=1"] {
            assert_eq!(text.parse::<PagesUrl>().unwrap().to_string(), text);
        }
        for text in
            ["b.example", "https://b", "wss://", "wss:///mqtt", "wss://u:p@b/mqtt", "ws://a b"]
        {
            let error = text.parse::<PagesUrl>().unwrap_err();
            assert!(error.to_string().contains("wss://HOST:PORT/PATH"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_hides_from_debug() {
        assert!(!format!("{:?}", Password("secret".into())).contains("secret"));
    }
}
