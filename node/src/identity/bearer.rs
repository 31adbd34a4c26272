//! What a checked token gives whoever bears it, whichever kind of token it was.

use crate::service::view::HOST;
use crate::token::KeyMark;
use crdt_state::catalogue::Suspect;
use crdt_state::{EventId, PlayerId, TokenId};
use ring::digest;
use serde::Serialize;

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Plays.
    Player,
    /// Drives the events that the token names, and may play in them.
    Host,
    /// Imports and archives shows, and reads everything; drives nothing and plays nothing.
    Ops,
}

/// The events that a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// All of them.
    All,
    /// These, at most [`EVENTS_MAX`](super::claims::EVENTS_MAX).
    These(Vec<EventId>),
}

impl Events {
    /// Whether that one is among them.
    #[must_use]
    pub fn has(&self, event: EventId) -> bool {
        match self {
            Events::All => true,
            Events::These(these) => these.contains(&event),
        }
    }
}

/// Somebody whose token was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// What the token gives.
    pub role: Role,
    /// Who it is as a player; nothing for the cluster's own tokens of hosts and operators.
    pub player: Option<PlayerId>,
    /// What the platform calls whom it vouches for.
    pub name: Option<String>,
    /// What the token is good for.
    pub events: Events,
    /// By which this one token can be taken back.
    pub token: Option<TokenId>,
    /// The invitation that a co-host's token rests on.
    pub co_host: Option<String>,
    /// The cluster key that a host's or an operator's own token rests on: without it they are nobody.
    pub key: Option<KeyMark>,
}

impl Bearer {
    /// Whether it gives the operator's role.
    #[must_use]
    pub fn is_ops(&self) -> bool {
        self.role == Role::Ops
    }

    /// Whether it lets its bearer drive an event.
    #[must_use]
    pub fn is_host(&self, event: EventId) -> bool {
        self.role == Role::Host && self.events.has(event)
    }

    /// Who it is that drives, as the audit trail tells it.
    #[must_use]
    pub fn called(&self) -> String {
        self.name.clone().unwrap_or_else(|| HOST.to_owned())
    }

    /// Whether it lets its bearer play in a closed show.
    #[must_use]
    pub fn may_play(&self, event: EventId) -> bool {
        self.role != Role::Ops && self.player.is_some() && self.events.has(event)
    }

    /// Whether it lets its bearer see a closed show.
    #[must_use]
    pub fn may_watch(&self, event: EventId) -> bool {
        self.role == Role::Ops || self.events.has(event)
    }

    /// Whether its bearer is that player.
    #[must_use]
    pub fn is(&self, player: PlayerId) -> bool {
        self.player == Some(player)
    }

    /// Everything by which it can be taken back.
    pub fn suspects(&self) -> impl Iterator<Item = Suspect> {
        let player = self.player.map(Suspect::Player);
        player.into_iter().chain(self.token.map(Suspect::Token))
    }
}

/// The player whom an issuer means by `sub`: the same in every event, on every node and for every client
/// that hashes the same words.
#[must_use]
pub fn player_of(issuer: &str, subject: &str) -> PlayerId {
    PlayerId::vouched(hash("starling player", issuer, subject))
}

/// The token that an issuer means by `jti`.
#[must_use]
pub fn token_of(issuer: &str, id: &str) -> TokenId {
    TokenId(hash("starling token", issuer, id))
}

/// The first 16 bytes of the SHA-256 of three lines.
fn hash(purpose: &str, issuer: &str, name: &str) -> u128 {
    let lines = format!("{purpose}\n{issuer}\n{name}");
    let hash = digest::digest(&digest::SHA256, lines.as_bytes());
    u128::from_be_bytes(hash.as_ref()[..16].try_into().expect("SHA-256 gives 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_the_same_player_everywhere_and_no_other_issuers() {
        let ada = player_of("https://id.example", "ada");
        // printf 'starling player\nhttps://id.example\nada' | sha256sum
        assert_eq!(ada.to_string(), "c4aeed8d93a9325b8bd1f5c2c105ed1d");
        assert!(ada.is_vouched());
        assert_ne!(ada, player_of("https://other.example", "ada"));
        assert!(!PlayerId(0xc105_ed1d << 32).is_vouched());
    }

    #[test]
    fn roles_give_what_they_say() {
        let event = EventId(1);
        let of = |role| {
            let (player, events) = (Some(player_of("", "ada")), Events::These(vec![event]));
            Bearer { role, player, name: None, events, token: None, co_host: None, key: None }
        };
        let (player, host, ops) = (of(Role::Player), of(Role::Host), of(Role::Ops));
        assert!(player.may_play(event) && !player.is_host(event) && !player.is_ops());
        assert!(host.may_play(event) && host.is_host(event) && !host.is_ops());
        assert!(!ops.may_play(event) && !ops.is_host(event) && ops.is_ops());
        let other = EventId(2);
        assert!(!player.may_play(other) && !host.is_host(other) && !host.may_watch(other));
        assert!(ops.may_watch(other));
    }
}
