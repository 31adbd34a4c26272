//! Topic filters (MQTT 5.0, section 4.7): what matches what.

/// Why a text is no topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// It is empty or has a U+0000.
    #[error("it is empty")]
    Empty,
    /// A wildcard is not a whole level.
    #[error("'+' and '#' each stand alone between slashes")]
    Mixed,
    /// Something follows `#`.
    #[error("'#' is the last level")]
    NotLast,
}

/// Checks a filter: `#` stands alone as the last level, `+` alone as any level.
///
/// # Errors
/// What is wrong with it.
pub fn check_filter(filter: &str) -> Result<(), InvalidFilter> {
    if filter.is_empty() || filter.contains('\0') {
        return Err(InvalidFilter::Empty);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains(['+', '#']) && level.len() > 1 {
            return Err(InvalidFilter::Mixed);
        }
        if level == "#" && levels.peek().is_some() {
            return Err(InvalidFilter::NotLast);
        }
    }
    Ok(())
}

/// Whether a filter matches a topic. A wildcard at its beginning matches no topic that begins with `$`.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(filter), Some(level)) if filter == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        let yes = [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "sport/tennis"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("+/tennis/#", "sport/tennis"),
            ("$SYS/#", "$SYS/monitor"),
            ("$SYS/monitor/+", "$SYS/monitor/clients"),
        ];
        let no = [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("Accounts", "ACCOUNTS"),
            ("accounts", "accounts/"),
            ("#", "$SYS/monitor"),
            ("+/monitor/clients", "$SYS/monitor/clients"),
        ];
        yes.iter().for_each(|(filter, topic)| assert!(matches(filter, topic), "{filter} {topic}"));
        no.iter().for_each(|(filter, topic)| assert!(!matches(filter, topic), "{filter} {topic}"));
    }

    #[test]
    fn what_is_no_filter_is_told_apart() {
        for right in ["#", "+", "/", "a/+/b", "a/#", "+/+/#"] {
            assert_eq!(check_filter(right), Ok(()), "{right}");
        }
        assert_eq!(check_filter(""), Err(InvalidFilter::Empty));
        assert_eq!(check_filter("a/b#"), Err(InvalidFilter::Mixed));
        assert_eq!(check_filter("a+/b"), Err(InvalidFilter::Mixed));
        assert_eq!(check_filter("a/#/b"), Err(InvalidFilter::NotLast));
    }
}
