//! Lists of addresses as files and commands give them: `host:port` per line, `#` begins a comment.

use super::{DiscoveryError, Found};
use tokio::net::lookup_host;

/// The longest list that is read: a thousand nodes with long names.
pub(super) const LIST_BYTES_MAX: usize = 64 << 10;

/// Characters of a bad line that are repeated.
const QUOTED_CHARS: usize = 60;

/// Adds every address of a list; names are looked up. Goes on after a bad line, and tells of the
/// first one.
pub(super) async fn read_list(text: &str, found: &mut Found) -> Result<(), DiscoveryError> {
    let mut first = Ok(());
    for (index, line) in text.lines().enumerate() {
        let entry = line.split('#').next().unwrap_or_default().trim();
        if entry.is_empty() {
            continue;
        }
        let outcome = match is_host_and_port(entry) {
            true => resolve(entry, found).await,
            false => Err(DiscoveryError::Line {
                line: index + 1,
                text: entry.chars().take(QUOTED_CHARS).collect(),
            }),
        };
        first = first.and(outcome);
    }
    first
}

/// Looks one `host:port` up with the system's resolver.
pub(super) async fn resolve(host: &str, found: &mut Found) -> Result<(), DiscoveryError> {
    let addresses = lookup_host(host).await;
    let failed =
        |why: std::io::Error| DiscoveryError::Name { name: host.to_owned(), why: why.to_string() };
    found.extend(addresses.map_err(failed)?);
    Ok(())
}

/// Whether a text has the shape of `host:port`.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    let plain = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '/');
    plain && parts.and_then(|(_, port)| port.parse::<u16>().ok()).is_some_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[tokio::test]
    async fn good_lines_count_whatever_stands_beside_them() {
        let mut found = Found::default();
        let text = "# nodes\n127.0.0.1:1 # first\n\nnonsense\n[::1]:2\n127.0.0.1:0\n127.0.0.1:3";
        let error = read_list(text, &mut found).await.unwrap_err();
        assert_eq!(error.to_string(), "line 4 is not host:port: \"nonsense\"");
        let found: Vec<_> = found.iter().map(|address| address.to_string()).collect();
        assert_eq!(found, ["127.0.0.1:1", "127.0.0.1:3", "[::1]:2"]);
    }

    proptest! {
        #[test]
        fn any_text_has_a_shape_or_not_and_never_panics(text in "\\PC*") {
            let _ = is_host_and_port(&text);
        }
    }
}
