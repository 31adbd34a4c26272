//! Strategies by name, as operators write them.

use super::Discovery;
use super::dns::{Dns, Question};
use super::exec::Exec;
use super::file::Watched;
use super::list::is_host_and_port;
use super::local::Local;
use super::multicast::Multicast;
use super::names::Static;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name of `local`, in characters: it is the name of a folder.
const LOCAL_CHARS_MAX: usize = 64;

/// A strategy as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Static(String),
    Dns(Question, Option<SocketAddr>),
    File(PathBuf),
    Multicast(SocketAddr, Option<Ipv4Addr>),
    Exec(String),
    Local(String),
}

/// What strategies need to know of their node.
#[derive(Clone)]
pub struct Surroundings {
    /// Where others reach it.
    pub own: SocketAddr,
    /// Keys that calls are signed and believed under, the one in use first: derived from the
    /// cluster's.
    pub keys: Arc<dyn Fn() -> Vec<[u8; 32]> + Send + Sync>,
}

impl Strategy {
    /// The addresses of one peer: `host:port`.
    ///
    /// # Errors
    /// When it is not that.
    pub fn fixed(host: &str) -> Result<Self, ParseStrategyError> {
        if is_host_and_port(host) {
            return Ok(Strategy(Kind::Static(host.to_owned())));
        }
        Err(ParseStrategyError::new(host, "give host:port of a peer"))
    }

    /// Makes it ready to look.
    #[must_use]
    pub fn start(self, surroundings: Surroundings) -> Box<dyn Discovery> {
        match self.0 {
            Kind::Static(host) => Box::new(Static(host)),
            Kind::Dns(question, server) => Box::new(Dns::new(question, server)),
            Kind::File(path) => Box::new(Watched::new(path)),
            Kind::Multicast(group, interface) => {
                Box::new(Multicast::new(group, interface, surroundings))
            }
            Kind::Exec(command) => Box::new(Exec::new(command)),
            Kind::Local(name) => Box::new(Local::new(name, surroundings.own)),
        }
    }
}

/// The text is no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no way to find peers: {hint}")]
pub struct ParseStrategyError {
    /// What was given.
    pub text: String,
    /// What would do.
    pub hint: &'static str,
}

impl ParseStrategyError {
    fn new(text: &str, hint: &'static str) -> Self {
        ParseStrategyError { text: text.to_owned(), hint }
    }
}

const FORMS: &str = "use static://HOST:PORT, dns://NAME:PORT, srv://NAME, file:PATH, exec:CMD, \
                     multicast://GROUP:PORT or local:NAME";

impl FromStr for Strategy {
    type Err = ParseStrategyError;

    fn from_str(text: &str) -> Result<Self, ParseStrategyError> {
        let refused = |hint| ParseStrategyError::new(text, hint);
        let (scheme, rest) = text.split_once(':').ok_or_else(|| refused(FORMS))?;
        let body = rest.strip_prefix("//").unwrap_or(rest);
        let (main, options) = split_options(body);
        let kind = match scheme {
            "static" if is_host_and_port(body) => Kind::Static(body.to_owned()),
            "static" => return Err(refused("give static://HOST:PORT")),
            "dns" => {
                let (name, port) = main.rsplit_once(':').unwrap_or((main, ""));
                let port = port.parse().ok().filter(|port| *port != 0 && is_name(name));
                let port = port.ok_or_else(|| refused("give dns://NAME:PORT"))?;
                let question = Question::Addresses { name: name.to_owned(), port };
                let hint = "the only option is ?server=IP:PORT";
                Kind::Dns(question, option(options, "server").ok_or_else(|| refused(hint))?)
            }
            "srv" if is_name(main) => {
                let question = Question::Services { name: main.to_owned() };
                let hint = "the only option is ?server=IP:PORT";
                Kind::Dns(question, option(options, "server").ok_or_else(|| refused(hint))?)
            }
            "srv" => return Err(refused("give srv://_SERVICE._udp.DOMAIN")),
            "multicast" => {
                let group = main
                    .parse()
                    .ok()
                    .filter(|group: &SocketAddr| group.ip().is_multicast() && group.port() != 0);
                let hint = "give multicast://GROUP:PORT with an address of a multicast group";
                let group = group.ok_or_else(|| refused(hint))?;
                let hint = "the only option is ?interface=IP, with an IPv4 group";
                let interface = option(options, "interface").ok_or_else(|| refused(hint))?;
                Kind::Multicast(group, interface)
            }
            // Paths and commands are taken as they are.
            "file" if !rest.is_empty() => Kind::File(PathBuf::from(rest)),
            "exec" if !rest.trim().is_empty() => Kind::Exec(rest.to_owned()),
            "local" if is_local_name(rest) => Kind::Local(rest.to_owned()),
            "local" => return Err(refused("a name has 1 to 64 letters, digits, '-', '_' or '.'")),
            _ => return Err(refused(FORMS)),
        };
        Ok(Strategy(kind))
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Static(host) => write!(f, "static://{host}"),
            Kind::Dns(Question::Addresses { name, port }, _) => write!(f, "dns://{name}:{port}"),
            Kind::Dns(Question::Services { name }, _) => write!(f, "srv://{name}"),
            Kind::File(path) => write!(f, "file:{}", path.display()),
            Kind::Multicast(group, _) => write!(f, "multicast://{group}"),
            Kind::Exec(command) => write!(f, "exec:{command}"),
            Kind::Local(name) => write!(f, "local:{name}"),
        }
    }
}

fn split_options(text: &str) -> (&str, Option<&str>) {
    text.split_once('?').map_or((text, None), |(main, options)| (main, Some(options)))
}

/// The value of the only option that there may be: `Some(None)` without any, `None` if it is wrong.
fn option<T: FromStr>(options: Option<&str>, name: &str) -> Option<Option<T>> {
    let Some(text) = options else { return Some(None) };
    let value = text.strip_prefix(name)?.strip_prefix('=')?;
    value.parse().ok().map(Some)
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= 253 && text.chars().all(fits)
}

fn is_local_name(text: &str) -> bool {
    is_name(text) && text.len() <= LOCAL_CHARS_MAX && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::proptest;

    #[test]
    fn every_form_is_understood() {
        for text in [
            "static://n1.example:7946",
            "dns://nodes.example:7946",
            "srv://_starling._udp.example",
            "file:/etc/starling/nodes",
            "multicast://239.255.77.7:7947",
            "multicast://[ff02::7]:7947",
            "exec:cloud list | cut -f 2",
            "local:show",
        ] {
            assert_eq!(text.parse::<Strategy>().unwrap().to_string(), text);
        }
        let served: Strategy = "dns://a:1?server=127.0.0.1:53".parse().unwrap();
        assert!(matches!(served.0, Kind::Dns(_, Some(_))));
        let chosen: Strategy = "multicast://239.1.1.1:1?interface=10.0.0.1".parse().unwrap();
        assert!(matches!(chosen.0, Kind::Multicast(_, Some(_))));
        assert!(Strategy::fixed("n1:7946").is_ok());
    }

    #[test]
    fn whatever_cannot_be_is_refused_with_what_would_do() {
        for (text, hint) in [
            ("nonsense", "use static://"),
            ("http://a:1", "use static://"),
            ("dns://nodes", "dns://NAME:PORT"),
            ("dns://:1", "dns://NAME:PORT"),
            ("dns://a:1?ttl=3", "?server=IP:PORT"),
            ("srv://", "srv://_SERVICE"),
            ("multicast://10.0.0.1:1", "multicast group"),
            ("multicast://239.1.1.1:1?interface=eth0", "?interface=IP"),
            ("local:../x", "letters, digits"),
            ("local:", "letters, digits"),
            ("static://n1", "static://HOST:PORT"),
            ("exec: ", "use static://"),
            ("file:", "use static://"),
        ] {
            let error = text.parse::<Strategy>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
        }
        assert!(Strategy::fixed("n1").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_strategy_or_an_error_and_never_a_panic(
            scheme in "(static|dns|srv|file|exec|multicast|local|x)?", rest in "\\PC*",
        ) {
            let _ = format!("{scheme}:{rest}").parse::<Strategy>();
            let _ = format!("{scheme}://{rest}").parse::<Strategy>();
        }
    }
}
