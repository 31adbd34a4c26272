//! Tokens: proof of a player's join, of a host's or co-host's role for one event, of the operator's role.
//!
//! A token is postcard claims followed by their HMAC-SHA256, base64url without padding, behind a
//! prefix that names its role. The signing key is derived from a cluster key and a label, for hosts
//! and players also from the event, so a token of one role or event never passes for another. Every
//! node of a cluster makes the same token for the same claims and accepts any node's, without a
//! word between them. Tokens do not expire: they are valid for the event's life; taking one back is
//! the replicated state's business, not this file's.

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crdt_state::{EventId, PlayerId, Row};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Longest token that is looked at, in bytes; no name that a player may have makes a longer one.
const TOKEN_BYTES_MAX: usize = 1_024;
/// HMAC-SHA256's.
const TAG_BYTES: usize = 32;
/// First byte of the signed claims: their layout.
const FORMAT: u8 = 1;

/// What a player's token proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerClaim {
    /// The event that was joined.
    pub event: EventId,
    /// Who joined.
    pub player: PlayerId,
    /// The row that the player was given.
    pub row: Row,
    /// The name as the player gave it.
    pub name: String,
    /// Counts the tokens issued for this row, so that one can be revoked and another issued.
    pub issue: u32,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has another role's prefix, or none.
    #[error("not a {wanted} token: those begin with {prefix:?}")]
    OtherRole {
        /// The role that was asked for.
        wanted: &'static str,
        /// The prefix of that role's tokens.
        prefix: &'static str,
    },
    /// It is too long to be one.
    #[error("a token has at most {TOKEN_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not base64url, or its claims do not decode.
    #[error("the token is cut off or garbled")]
    Malformed,
    /// No key of this cluster made it.
    #[error("the token was not made by this cluster")]
    Forged,
}

/// A role: the prefix of its tokens and the label of its keys.
struct Role {
    name: &'static str,
    prefix: &'static str,
}

const PLAYER: Role = Role { name: "player", prefix: "slp_" };
const HOST: Role = Role { name: "host", prefix: "slh_" };
const CO_HOST: Role = Role { name: "co-host", prefix: "slc_" };
/// No token at all: the names of inboxes.
const INBOX: Role = Role { name: "inbox", prefix: "" };
const OPS: Role = Role { name: "ops", prefix: "slo_" };

/// Makes and checks tokens under a ring of cluster keys.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    /// The first one signs, all are accepted. Never empty. Clones share them.
    roots: Arc<watch::Sender<Vec<hmac::Key>>>,
    /// What is derived from them for the players of shows, of which each answer's token is one.
    of_players: Arc<ArcSwap<PlayerKeys>>,
}

/// The keys of players' tokens, by show: one for each root.
type PlayerKeys = BTreeMap<EventId, Vec<hmac::Key>>;

/// Shows whose keys are kept derived: more than a node carries at a time. All go when there are more.
const PLAYER_KEYS_MAX: usize = 256;

/// Tells one cluster key from another, and gives neither away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyMark(u64);

impl TokenKeys {
    /// Keys for a ring of cluster keys, the one in use first.
    ///
    /// # Panics
    /// If the ring is empty: a node without a cluster key does not start.
    #[must_use]
    pub fn new(cluster_keys: &[[u8; 32]]) -> Self {
        assert!(!cluster_keys.is_empty(), "a node has at least one cluster key");
        let roots = Arc::new(watch::Sender::new(roots(cluster_keys)));
        TokenKeys { roots, of_players: Arc::default() }
    }

    /// Follows the ring: from now on its first key signs, and all of its keys are accepted. An
    /// empty ring changes nothing.
    pub fn replace(&self, cluster_keys: &[[u8; 32]]) {
        if !cluster_keys.is_empty() {
            self.roots.send_modify(|kept| {
                *kept = roots(cluster_keys);
                self.of_players.store(Arc::default());
            });
        }
    }

    /// Whether the key that made a token is still accepted.
    #[must_use]
    pub fn honours(&self, key: KeyMark) -> bool {
        self.roots().iter().any(|root| mark(root) == key)
    }

    /// The ring, to be told of changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Vec<hmac::Key>> {
        self.roots.subscribe()
    }

    fn roots(&self) -> watch::Ref<'_, Vec<hmac::Key>> {
        self.roots.borrow()
    }

    /// A player's token.
    #[must_use]
    pub fn player(&self, claim: &PlayerClaim) -> String {
        self.sign(&PLAYER, Some(claim.event), claim)
    }

    /// What a player's token proves.
    ///
    /// # Errors
    /// When it proves nothing here.
    pub fn check_player(&self, token: &str) -> Result<PlayerClaim, TokenError> {
        let bytes = decode(&PLAYER, token)?;
        let (signed, tag) = parts(&bytes)?;
        let claim: PlayerClaim = claims(signed)?;
        let is_good =
            |keys: &Vec<hmac::Key>| keys.iter().any(|key| hmac::verify(key, signed, tag).is_ok());
        if !self.of_players.load().get(&claim.event).is_some_and(is_good) {
            self.check::<PlayerClaim>(&PLAYER, token, |claim| Some(claim.event))?;
            self.derive_for(claim.event);
        }
        Ok(claim)
    }

    /// Keeps the keys of a show's players derived. While this is under way the ring stays as it is: what is
    /// taken out of it is gone here too.
    fn derive_for(&self, event: EventId) {
        let roots = self.roots();
        let keys: Vec<_> = roots.iter().map(|root| derive(root, &PLAYER, Some(event))).collect();
        self.of_players.rcu(|kept| {
            let mut kept = PlayerKeys::clone(kept);
            if kept.len() >= PLAYER_KEYS_MAX {
                kept.clear();
            }
            kept.insert(event, keys.clone());
            kept
        });
    }

    /// The token of the hosts of `event`: the same on every node.
    #[must_use]
    pub fn host(&self, event: EventId) -> String {
        self.sign(&HOST, Some(event), &event)
    }

    /// The event whose host this token makes, and the key that it rests on.
    ///
    /// # Errors
    /// When it proves nothing here.
    pub fn check_host(&self, token: &str) -> Result<(EventId, KeyMark), TokenError> {
        self.check(&HOST, token, |event: &EventId| Some(*event))
    }

    /// The token of a co-host of `event`: it counts for as long as `member` is among the co-hosts.
    #[must_use]
    pub fn co_host(&self, event: EventId, member: &str) -> String {
        self.sign(&CO_HOST, Some(event), &(event, member))
    }

    /// The event and the invitation that a co-host's token rests on, and the key.
    ///
    /// # Errors
    /// When it proves nothing here.
    pub fn check_co_host(&self, token: &str) -> Result<((EventId, String), KeyMark), TokenError> {
        self.check(&CO_HOST, token, |(event, _): &(EventId, String)| Some(*event))
    }

    /// The operator's token: the same on every node.
    #[must_use]
    pub fn ops(&self) -> String {
        self.sign(&OPS, None, &())
    }

    /// The key that an operator's token rests on.
    ///
    /// # Errors
    /// When it proves nothing here.
    pub fn check_ops(&self, token: &str) -> Result<KeyMark, TokenError> {
        self.check(&OPS, token, |()| None).map(|((), key)| key)
    }

    /// The names of a player's inbox at a broker, where nothing but the name keeps strangers out: one
    /// for each key of the ring, the one in use first, so that a change of keys loses no message.
    #[must_use]
    pub fn inboxes(&self, player: PlayerId) -> Vec<String> {
        let name = |root: &hmac::Key| {
            let key = derive(root, &INBOX, None);
            let tag = hmac::sign(&key, &player.0.to_be_bytes());
            let half: [u8; 16] = tag.as_ref()[..16].try_into().expect("SHA-256 gives 32 bytes");
            format!("{:032x}", u128::from_be_bytes(half))
        };
        self.roots().iter().map(name).collect()
    }

    fn sign<C: Serialize>(&self, role: &Role, event: Option<EventId>, claims: &C) -> String {
        let mut bytes = postcard::to_stdvec(&(FORMAT, claims)).expect("claims are plain values");
        let key = derive(&self.roots()[0], role, event);
        bytes.extend_from_slice(hmac::sign(&key, &bytes).as_ref());
        format!("{}{}", role.prefix, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Decodes before it verifies, because the key depends on the event that the claims name; what
    /// was decoded is handed out only after its signature was found good.
    fn check<C>(
        &self,
        role: &Role,
        token: &str,
        event_of: impl Fn(&C) -> Option<EventId>,
    ) -> Result<(C, KeyMark), TokenError>
    where
        C: for<'de> Deserialize<'de>,
    {
        let bytes = decode(role, token)?;
        let (signed, tag) = parts(&bytes)?;
        let claims = claims(signed)?;
        let event = event_of(&claims);
        let good = |root: &&_| hmac::verify(&derive(root, role, event), signed, tag).is_ok();
        let key = self.roots().iter().find(good).map(mark);
        key.map(|key| (claims, key)).ok_or(TokenError::Forged)
    }
}

fn mark(root: &hmac::Key) -> KeyMark {
    let tag = hmac::sign(root, b"starling key mark v1");
    KeyMark(u64::from_be_bytes(tag.as_ref()[..8].try_into().expect("SHA-256 gives 32 bytes")))
}

fn roots(cluster_keys: &[[u8; 32]]) -> Vec<hmac::Key> {
    cluster_keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect()
}

/// What is signed, and the tag behind it.
fn parts(bytes: &[u8]) -> Result<(&[u8], &[u8]), TokenError> {
    let signed_bytes = bytes.len().checked_sub(TAG_BYTES).ok_or(TokenError::Malformed)?;
    Ok(bytes.split_at(signed_bytes))
}

/// The role's bytes behind its prefix.
fn decode(role: &Role, token: &str) -> Result<Vec<u8>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong { bytes: token.len() });
    }
    let body = token
        .strip_prefix(role.prefix)
        .ok_or(TokenError::OtherRole { wanted: role.name, prefix: role.prefix })?;
    URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError::Malformed)
}

fn claims<C: for<'de> Deserialize<'de>>(signed: &[u8]) -> Result<C, TokenError> {
    match postcard::take_from_bytes::<(u8, C)>(signed) {
        Ok(((FORMAT, claims), [])) => Ok(claims),
        _ => Err(TokenError::Malformed),
    }
}

/// One step of a key derivation in counter mode (NIST SP 800-108), HMAC-SHA256 as the function.
fn derive(root: &hmac::Key, role: &Role, event: Option<EventId>) -> hmac::Key {
    let mut input = hmac::Context::with_key(root);
    input.update(b"starling token v1\0");
    input.update(role.name.as_bytes());
    input.update(&[0]);
    input.update(&event.map_or([0; 8], |event| event.0.to_be_bytes()));
    hmac::Key::new(hmac::HMAC_SHA256, input.sign().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::Origin;
    use proptest::prelude::*;

    fn keys() -> TokenKeys {
        TokenKeys::new(&[[7; 32]])
    }

    /// The key that an operator's token of these keys rests on.
    fn ops(keys: &TokenKeys) -> KeyMark {
        keys.check_ops(&keys.ops()).unwrap()
    }

    fn ada() -> PlayerClaim {
        let row = Row { origin: Origin(9), number: 4 };
        PlayerClaim { event: EventId(1), player: PlayerId(2), row, name: "Ada".into(), issue: 0 }
    }

    #[test]
    fn a_token_proves_what_was_claimed() {
        assert_eq!(keys().check_player(&keys().player(&ada())), Ok(ada()));
        let key = keys().check_ops(&keys().ops()).unwrap();
        assert_eq!(keys().check_host(&keys().host(EventId(5))), Ok((EventId(5), key)));
        let co_host = keys().co_host(EventId(5), "7 Bea");
        assert_eq!(keys().check_co_host(&co_host), Ok(((EventId(5), "7 Bea".into()), key)));
        assert!(keys().check_host(&co_host.replace("slc_", "slh_")).is_err());
    }

    #[test]
    fn an_inbox_has_a_name_for_each_key_that_only_the_cluster_can_tell() {
        let both = TokenKeys::new(&[[8; 32], [7; 32]]);
        let names = both.inboxes(PlayerId(2));
        assert_eq!(names[1..], keys().inboxes(PlayerId(2)));
        assert_ne!(names[0], names[1]);
        assert_ne!(keys().inboxes(PlayerId(3)), keys().inboxes(PlayerId(2)));
        assert!(names.iter().all(|name| name.len() == 32));
    }

    #[test]
    fn every_node_makes_the_same_host_token() {
        assert_eq!(keys().host(EventId(5)), keys().host(EventId(5)));
        assert_ne!(keys().host(EventId(5)), keys().host(EventId(6)));
    }

    #[test]
    fn a_role_never_passes_for_another() {
        let host = keys().host(EventId(1));
        assert!(matches!(keys().check_ops(&host), Err(TokenError::OtherRole { .. })));
        let dressed = host.replace("slh_", "slp_");
        assert!(keys().check_player(&dressed).is_err());
        let ops = keys().ops().replace("slo_", "slh_");
        assert!(keys().check_host(&ops).is_err());
    }

    #[test]
    fn an_event_in_the_claims_cannot_be_swapped() {
        let one = postcard::to_stdvec(&(FORMAT, EventId(1))).unwrap();
        let mut bytes = decode(&HOST, &keys().host(EventId(1))).unwrap();
        let two = postcard::to_stdvec(&(FORMAT, EventId(2))).unwrap();
        bytes.splice(..one.len(), two);
        let swapped = format!("slh_{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(keys().check_host(&swapped), Err(TokenError::Forged));
    }

    #[test]
    fn a_ring_accepts_the_old_key_and_signs_with_the_new() {
        let ring = TokenKeys::new(&[[8; 32], [7; 32]]);
        assert_eq!(ring.check_player(&keys().player(&ada())), Ok(ada()));
        assert_eq!(keys().check_player(&ring.player(&ada())), Err(TokenError::Forged));
    }

    #[test]
    fn a_ring_that_changes_changes_every_clone() {
        let (keys, old) = (keys(), keys().player(&ada()));
        let clone = keys.clone();
        keys.replace(&[[8; 32], [7; 32]]);
        assert_eq!(clone.check_player(&old), Ok(ada()));
        assert_eq!(clone.player(&ada()), TokenKeys::new(&[[8; 32]]).player(&ada()));
        let both = [ops(&keys), ops(&TokenKeys::new(&[[7; 32]]))].map(|key| clone.honours(key));
        assert_eq!(both, [true, true]);
        keys.replace(&[[8; 32]]);
        assert_eq!(clone.check_player(&old), Err(TokenError::Forged));
        let both = [ops(&keys), ops(&TokenKeys::new(&[[7; 32]]))].map(|key| clone.honours(key));
        assert_eq!(both, [true, false], "what rests on a removed key does so no longer");
        keys.replace(&[]);
        assert!(clone.check_player(&clone.player(&ada())).is_ok());
    }

    #[test]
    fn a_cut_off_token_is_malformed() {
        let token = keys().ops();
        assert_eq!(keys().check_ops("slo_"), Err(TokenError::Malformed));
        assert_eq!(keys().check_ops(&token[..12]), Err(TokenError::Malformed));
        let long = "slo_".to_owned() + &"A".repeat(2_000);
        assert_eq!(keys().check_ops(&long), Err(TokenError::TooLong { bytes: 2_004 }));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_never_a_panic(body in "\\PC*", bytes: Vec<u8>) {
            for rest in [body, URL_SAFE_NO_PAD.encode(bytes)] {
                let of = |prefix: &str| format!("{prefix}{rest}");
                prop_assert!(keys().check_player(&of("")).is_err());
                prop_assert!(keys().check_player(&of("slp_")).is_err());
                prop_assert!(keys().check_host(&of("slh_")).is_err());
                prop_assert!(keys().check_ops(&of("slo_")).is_err());
            }
        }

        #[test]
        fn any_changed_character_is_noticed(at in 4usize..100, to in "[A-Za-z0-9_-]") {
            let token = keys().player(&ada());
            let at = 4 + (at - 4) % (token.len() - 4);
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assume!(changed != token);
            prop_assert!(keys().check_player(&changed).is_err());
        }

        #[test]
        fn any_claim_survives(event: u64, player: u128, origin: u64, number: u32,
                              name in "\\PC{0,40}", issue: u32) {
            let row = Row { origin: Origin(origin), number };
            let claim =
                PlayerClaim { event: EventId(event), player: PlayerId(player), row, name, issue };
            prop_assert_eq!(keys().check_player(&keys().player(&claim)), Ok(claim));
        }
    }
}
