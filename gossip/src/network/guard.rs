//! What of a peer's gossip reaches chitchat: not too much at a time, not too many members, and not too much of one.
//!
//! chitchat takes up every member that a digest names and answers with a digest of all of them,
//! which must fit into one message: some 1,100 members. So members are counted before it sees
//! them, and a message that would bring more than there may be is dropped whole.
//!
//! It also takes up whatever anybody tells of a member. **What a node says of itself on its own link is worth more
//! than hearsay:** hearsay may fill half the keys that a node may have, and the other half is its own, so that nobody
//! can make another node's word too much. Hearsay beyond that is not taken in and does the node that it is about no
//! harm; a node that itself says more has its link ended.
//!
//! # What a peer can do that holds the key and lies
//!
//! It may say of itself whatever it likes. Of a third node:
//!
//! | it tells | what comes of it | until |
//! |---|---|---|
//! | more keys, or longer ones, than a node has | nothing: it is not taken in, and counted as `hearsay` | |
//! | what a message cannot be, or of more nodes than there may be | nothing: the message is dropped and counted | |
//! | that it leaves, drains or is ready | nothing where it is linked: its word on its own link counts; elsewhere it is believed | it is linked, or its gossip begins anew |
//! | heartbeats, versions or collected versions beyond its own | its own are not believed: it may seem dead, and what it announces is not heard | it sees itself named so, within a round of gossip or two, and [begins anew](super::slander) |
//! | a next life, or the same life at another place | that is shown, and dialled in vain | the node hears of it, and rises above that generation; of generations from the middle on hearsay is not taken in, so that there is always one above |
//! | other values for its keys, under numbers that it has itself, before it is heard itself | they are shown as its announcements | it announces that key again, or begins anew |
//! | heartbeats of a node that is dead | it is shown as living, and as without a link | the liar is silent for as long as a death takes |
//! | of nodes that there are not | they are shown, and dialled a few at a time; from the cap on strangers are refused, and there is an alarm | a grace after the liar is silent |
//!
//! Links and what goes over them, replication and receipts among it, take no part in this: they end by their own
//! silence, and origins are proven by their links. Whoever lies on and on makes a node's gossip begin anew every second,
//! then every 30 s at most, each counted (`gossip_slandered`). The way out is that of any leaked key: another one.

use super::reason::Reason;
use super::told::Part;
use chitchat::{ChitchatId, Serializable};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Gossip messages a second that a peer may send: an honest one sends up to 30 in a large cluster.
const MESSAGES_PER_SECOND: f64 = 64.0;

/// Messages that may come at once: those of a stall of two seconds.
const BURST: f64 = 128.0;

/// The longest digest: 60 KiB, so that with it at least 5 KiB of news fit into a message. Members with IPv6 addresses
/// reach it before they are too many.
const DIGEST_BYTES_MAX: usize = 60 << 10;

/// Numbers in a digest for each member: heartbeat, collected version, newest version.
const DIGEST_NUMBERS_BYTES: usize = 24;

/// Keys that hearsay may give a member: nearly twice what a node of ours can announce.
const HEARSAY_KEYS_MAX: usize = 64;

/// Keys that a member may have by its own word.
const KEYS_MAX: usize = 2 * HEARSAY_KEYS_MAX;

/// The highest generation that hearsay may give a node: half of all. A node that somebody else says to be of a higher
/// one than its own rises above that, and must always have room to.
const HEARSAY_GENERATION_MAX: u64 = u64::MAX / 2;

/// A key with its value: nearly twice what a node of ours can announce.
const ENTRY_BYTES_MAX: usize = 512;

/// How much more one peer may send now.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Budget { left: BURST, at: now }
    }

    /// Whether another message is within the budget, which it then uses.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let refill = (now - self.at).as_secs_f64() * MESSAGES_PER_SECOND;
        (self.left, self.at) = ((self.left + refill).min(BURST), now);
        let within = self.left >= 1.0;
        self.left -= f64::from(u8::from(within));
        within
    }
}

/// The incarnations that chitchat knows or is about to, and the keys of each.
#[derive(Debug, Default)]
pub(super) struct Crowd(BTreeMap<ChitchatId, BTreeSet<String>>);

impl Crowd {
    /// Starts over from what chitchat really knows.
    pub(super) fn replace(&mut self, known: BTreeMap<ChitchatId, BTreeSet<String>>) {
        self.0 = known;
    }

    /// Counts in whoever is named.
    ///
    /// # Errors
    /// [`Reason::Crowded`] if they would be more than `max`, or more than a digest can name; nobody is counted in
    /// then.
    pub(super) fn admit(&mut self, named: &[ChitchatId], max: usize) -> Result<(), Reason> {
        let new: BTreeSet<_> = named.iter().filter(|id| !self.0.contains_key(id)).collect();
        let bytes = |id: &ChitchatId| id.serialized_len() + DIGEST_NUMBERS_BYTES;
        let all = || self.0.keys().chain(new.iter().copied());
        let fit = || all().count() <= max && all().map(bytes).sum::<usize>() <= DIGEST_BYTES_MAX;
        if !new.is_empty() && !fit() {
            return Err(Reason::Crowded);
        }
        for id in new {
            self.0.insert(id.clone(), BTreeSet::new());
        }
        crdt_state::bounded!(Members, self.0.len(), max);
        Ok(())
    }

    /// Whether a member may have what it says of itself.
    pub(super) fn hear_own(&mut self, part: &Part) -> bool {
        self.hear(part, KEYS_MAX)
    }

    /// Whether a member may have what another says of it.
    pub(super) fn hear_hearsay(&mut self, part: &Part) -> bool {
        part.id.generation_id <= HEARSAY_GENERATION_MAX && self.hear(part, HEARSAY_KEYS_MAX)
    }

    fn hear(&mut self, part: &Part, keys_max: usize) -> bool {
        let mut nobody = BTreeSet::new();
        let known = self.0.get_mut(&part.id).unwrap_or(&mut nobody);
        let new = part.keys.difference(known).count();
        let fits = new == 0 || known.len() + new <= keys_max;
        let fits = fits && part.entry_bytes <= ENTRY_BYTES_MAX;
        if fits && new > 0 {
            known.extend(part.keys.iter().cloned());
        }
        crdt_state::bounded!(MemberKeys, known.len(), KEYS_MAX);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tuning;
    use super::*;
    use crdt_state::NodeId;
    use std::time::Duration;

    fn named(nodes: std::ops::Range<u64>) -> Vec<ChitchatId> {
        named_at("127.0.0.1:1", nodes)
    }

    fn named_at(addr: &str, nodes: std::ops::Range<u64>) -> Vec<ChitchatId> {
        let addr = addr.parse().unwrap();
        nodes.map(|node| ChitchatId::new(NodeId(node).to_string(), 1, addr)).collect()
    }

    #[test]
    fn members_are_counted_once_and_never_beyond_the_limit() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.admit(&named(0..5), 8), Ok(()));
        assert_eq!(crowd.admit(&named(0..8), 8), Ok(()));
        assert_eq!(crowd.admit(&named(0..9), 8), Err(Reason::Crowded));
        assert_eq!(crowd.admit(&named(2..7), 8), Ok(()), "the known are always welcome");
        crowd.replace(BTreeMap::new());
        assert_eq!(crowd.admit(&named(0..8), 8), Ok(()));
    }

    #[test]
    fn however_long_addresses_are_all_members_fit_into_one_message() {
        let most = Tuning::default().named_max();
        assert_eq!(Crowd::default().admit(&named(0..most as u64), most), Ok(()));
        let (mut crowd, mut members) = (Crowd::default(), named_at("[::1]:1", 0..most as u64));
        assert_eq!(crowd.admit(&members, most), Err(Reason::Crowded));
        while crowd.admit(&members, most).is_err() {
            members.pop();
        }
        assert!(members.len() > Tuning::default().incarnations_max, "{}", members.len());
        let bytes = |id: &ChitchatId| id.serialized_len() + DIGEST_NUMBERS_BYTES;
        assert!(members.iter().map(bytes).sum::<usize>() <= DIGEST_BYTES_MAX);
    }

    fn part(keys: std::ops::Range<u64>, entry_bytes: usize) -> Part {
        let keys = keys.map(|key| key.to_string());
        Part::of(named(2..3).remove(0), NodeId(2), keys.collect(), entry_bytes)
    }

    #[test]
    fn hearsay_fills_half_of_a_members_keys_and_leaves_the_other_to_its_own_word() {
        let mut crowd = Crowd::default();
        crowd.admit(&named(2..3), 8).unwrap();
        let half = HEARSAY_KEYS_MAX as u64;
        assert!(crowd.hear_hearsay(&part(0..half - 1, 99)));
        assert!(!crowd.hear_hearsay(&part(half..half + 2, 99)));
        assert!(crowd.hear_hearsay(&part(half..half + 1, 99)));
        assert!(!crowd.hear_hearsay(&part(0..half + 2, 99)));
        assert!(crowd.hear_own(&part(1_000..1_000 + half, 99)));
        assert!(crowd.hear_hearsay(&part(1_000..1_000 + half, 99)), "it is known by now");
        assert!(!crowd.hear_own(&part(2_000..2_001, 99)));
        assert!(!crowd.hear_own(&part(0..1, ENTRY_BYTES_MAX + 1)), "too long");
    }

    #[test]
    fn a_stranger_may_not_say_more_than_a_member() {
        let mut crowd = Crowd::default();
        assert!(crowd.hear_hearsay(&part(0..HEARSAY_KEYS_MAX as u64, 99)));
        assert!(!crowd.hear_hearsay(&part(0..HEARSAY_KEYS_MAX as u64 + 1, 99)));
        assert!(crowd.0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_to_what_a_peer_may_send() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let taken = |budget: &mut Budget, now| (0..1_000).filter(|_| budget.take(now)).count();
        assert_eq!(taken(&mut budget, start), 128);
        assert_eq!(taken(&mut budget, start + Duration::from_secs(1)), 64);
        assert_eq!(taken(&mut budget, start + Duration::from_secs(60)), 128);
    }
}
