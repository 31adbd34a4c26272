//! Access rules: who may use which topic.
//!
//! A file of lines, the first one that fits decides; what none fits is allowed. Rules only take away:
//! what Starling itself refuses (another player's slot, somebody's inbox, a command without a host's
//! token) no rule allows. Pure text and comparison; who a client is, the connection knows.
//!
//! ```text
//! # who            may        topics
//! deny   guest     subscribe  live/#
//! allow  all       subscribe  inbox/%p
//! deny   all       publish    react/#
//! ```

use super::filter::{InvalidFilter, check_filter};
use crate::identity::{Bearer, Role};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Most rules of a file: each is looked at for each message. Arbitrary.
const RULES_MAX: usize = 256;
/// Longest file, in bytes: all rules at the length of a long line.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The rules of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acl(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// In the file, from 1.
    line: usize,
    allows: bool,
    who: Who,
    /// `None` for both.
    access: Option<Access>,
    /// `%c` in it stands for the client's id, `%p` for the player's.
    filter: String,
}

/// For whom a rule is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    All,
    /// Who has proven nothing.
    Guest,
    Role(Role),
    Client(String),
}

/// What somebody does with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Publishes to it.
    Publish,
    /// Subscribes to it.
    Subscribe,
}

/// Who wants to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What the client calls itself.
    pub client_id: &'a str,
    /// What its connection has proven.
    pub bearer: Option<&'a Bearer>,
}

/// A rule that says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of this node's access rules does not allow that")]
pub struct Denied {
    /// Which, from 1.
    pub line: usize,
}

/// Everything that is wrong with a file of rules, in order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct AclErrors(pub Vec<AclError>);

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct AclError {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// See [`AclError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not four words.
    #[error("a rule is `allow|deny WHO publish|subscribe|both TOPICS`, this has {0} words")]
    Words(usize),
    /// The first word.
    #[error("{0:?} is neither allow nor deny")]
    Effect(String),
    /// The second word.
    #[error("{0:?} is nobody: all, guest, player, host, ops or client:ID")]
    Who(String),
    /// The third word.
    #[error("{0:?} is none of publish, subscribe, both")]
    Access(String),
    /// The fourth word.
    #[error("{0:?} is no topic filter: {1}")]
    Filter(String, InvalidFilter),
    /// The file as a whole.
    #[error("the file is longer than {RULES_MAX} rules or {FILE_BYTES_MAX} bytes")]
    TooLong,
}

impl fmt::Display for AclErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("; "))
    }
}

impl FromStr for Acl {
    type Err = AclErrors;

    fn from_str(text: &str) -> Result<Self, AclErrors> {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        if text.len() > FILE_BYTES_MAX {
            return Err(AclErrors(vec![AclError { line: 1, problem: Problem::TooLong }]));
        }
        for (line, text) in (1..).zip(text.lines()) {
            let words: Vec<&str> = text.split_whitespace().collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            match rule(line, &words) {
                Ok(_) if rules.len() == RULES_MAX => {
                    errors.push(AclError { line, problem: Problem::TooLong });
                    break;
                }
                Ok(rule) => rules.push(rule),
                Err(problem) => errors.push(AclError { line, problem }),
            }
        }
        if errors.is_empty() { Ok(Acl(rules)) } else { Err(AclErrors(errors)) }
    }
}

fn rule(line: usize, words: &[&str]) -> Result<Rule, Problem> {
    let [effect, who, access, filter] = *words else { return Err(Problem::Words(words.len())) };
    let allows = match effect {
        "allow" => true,
        "deny" => false,
        other => return Err(Problem::Effect(other.to_owned())),
    };
    let access = match access {
        "publish" => Some(Access::Publish),
        "subscribe" => Some(Access::Subscribe),
        "both" => None,
        other => return Err(Problem::Access(other.to_owned())),
    };
    let invalid = |error| Problem::Filter(filter.to_owned(), error);
    check_filter(filter).map_err(invalid)?;
    Ok(Rule { line, allows, who: named(who)?, access, filter: filter.to_owned() })
}

fn named(who: &str) -> Result<Who, Problem> {
    Ok(match who {
        "all" => Who::All,
        "guest" => Who::Guest,
        "player" => Who::Role(Role::Player),
        "host" => Who::Role(Role::Host),
        "ops" => Who::Role(Role::Ops),
        other => match other.strip_prefix("client:").filter(|id| !id.is_empty()) {
            Some(id) => Who::Client(id.to_owned()),
            None => return Err(Problem::Who(other.to_owned())),
        },
    })
}

impl Acl {
    /// Whether there are no rules at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `subject` may use a topic.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn check(&self, subject: Subject<'_>, access: Access, topic: &str) -> Result<(), Denied> {
        let fits = |rule: &&Rule| {
            rule.access.is_none_or(|only| only == access)
                && rule.who.is(subject)
                && rule.names(subject, topic)
        };
        match self.0.iter().find(fits) {
            Some(rule) if !rule.allows => Err(Denied { line: rule.line }),
            _ => Ok(()),
        }
    }
}

impl Rule {
    /// A wildcard of a rule fits every topic, those that begin with `$` too: a rule is no subscription.
    fn names<'a>(&'a self, subject: Subject<'a>, topic: &str) -> bool {
        let player = subject.bearer.and_then(|bearer| bearer.player);
        // What is put in is compared level by level: an id with a wildcard or a slash stands for itself.
        let id = |level: &'a str| match level {
            "%c" => Some(Cow::Borrowed(subject.client_id)),
            "%p" => player.map(|player| Cow::Owned(player.to_string())),
            _ => Some(Cow::Borrowed(level)),
        };
        let mut levels = topic.split('/');
        for level in self.filter.split('/') {
            match (level, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (level, Some(said)) if id(level).as_deref() == Some(said) => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

impl Who {
    fn is(&self, subject: Subject<'_>) -> bool {
        match self {
            Who::All => true,
            Who::Guest => subject.bearer.is_none(),
            Who::Role(role) => subject.bearer.is_some_and(|bearer| bearer.role == *role),
            Who::Client(id) => subject.client_id == id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Events;
    use crdt_state::PlayerId;

    fn player(number: u128) -> Bearer {
        let (role, player) = (Role::Player, Some(PlayerId(number)));
        let (name, token, co_host, key) = (None, None, None, None);
        Bearer { role, player, name, events: Events::All, token, co_host, key }
    }

    const GUEST: Subject<'_> = Subject { client_id: "c1", bearer: None };

    #[test]
    fn the_first_rule_that_fits_decides_and_what_none_fits_is_allowed() {
        let text = "# who may what\n\nallow client:c1 subscribe live/7\ndeny guest both live/#\n";
        let acl: Acl = text.parse().unwrap();
        let other = Subject { client_id: "c2", ..GUEST };
        assert_eq!(acl.check(GUEST, Access::Subscribe, "live/7"), Ok(()));
        assert_eq!(acl.check(other, Access::Subscribe, "live/7"), Err(Denied { line: 4 }));
        assert_eq!(acl.check(GUEST, Access::Publish, "live/7"), Err(Denied { line: 4 }));
        assert_eq!(acl.check(other, Access::Publish, "answer/00"), Ok(()));
        let ada = player(1);
        let known = Subject { bearer: Some(&ada), ..other };
        assert_eq!(acl.check(known, Access::Subscribe, "live/7"), Ok(()));
    }

    #[test]
    fn rules_name_clients_and_players_by_what_they_are() {
        let text = "allow all subscribe reply/%c\nallow player subscribe inbox/%p\ndeny all both #";
        let acl: Acl = text.parse().unwrap();
        let (ada, bob) = (player(1), player(2));
        let inbox = format!("inbox/{}", PlayerId(1));
        let may = |bearer, topic: &str| {
            acl.check(Subject { bearer, ..GUEST }, Access::Subscribe, topic).is_ok()
        };
        assert!(may(Some(&ada), &inbox) && !may(Some(&bob), &inbox) && !may(None, &inbox));
        assert!(may(None, "reply/c1") && !may(None, "reply/c2") && !may(None, "reply/c1/x"));
        // A client whose id is a wildcard is not everybody.
        let joker = Subject { client_id: "+", bearer: None };
        assert!(acl.check(joker, Access::Subscribe, "reply/c1").is_err());
    }

    #[test]
    fn all_that_is_wrong_with_a_file_is_told_at_once() {
        let text =
            "permit all both #\nallow bob both #\nallow all read #\ndeny all both a/#/b\nallow";
        let AclErrors(errors) = text.parse::<Acl>().unwrap_err();
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5]);
        let said = AclErrors(errors).to_string();
        for part in ["\"permit\"", "\"bob\"", "\"read\"", "\"a/#/b\"", "this has 1 words"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let rules = "deny all both a\n".repeat(RULES_MAX);
        assert!(rules.parse::<Acl>().is_ok());
        let one_more = rules + "deny all both a\n";
        assert!(one_more.parse::<Acl>().unwrap_err().to_string().contains("longer"));
        assert!("#".repeat(FILE_BYTES_MAX + 1).parse::<Acl>().is_err());
    }
}
