//! Since when peers have been out of reach.
//!
//! Every start of a node is another peer. Of those that left for good nobody asks, and of others there are as many as an
//! event may have origins: however many come and go, this stays as small.

use crdt_state::{Mono, Origin, caps};
use std::collections::BTreeMap;

/// The peers that went, and when.
#[derive(Debug, Default)]
pub(super) struct Gone(BTreeMap<Origin, Mono>);

impl Gone {
    /// A peer goes. Those that `is_retired` are not kept, and beyond the cap not the one that went first.
    pub(super) fn note(&mut self, now: Mono, peer: Origin, is_retired: impl Fn(Origin) -> bool) {
        self.0.retain(|peer, _| !is_retired(*peer));
        if self.0.len() >= caps::ORIGINS_MAX {
            let first = self.0.iter().min_by_key(|(_, since)| **since).map(|(peer, _)| *peer);
            first.and_then(|first| self.0.remove(&first));
        }
        self.0.insert(peer, now);
    }

    /// A peer is back.
    pub(super) fn note_back(&mut self, peer: Origin) {
        self.0.remove(&peer);
    }

    /// Since when; from the start on, for who has never been here.
    pub(super) fn since(&self, peer: Origin) -> Mono {
        self.0.get(&peer).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_left_for_good_is_not_kept_and_the_others_are_bounded() {
        let (mut gone, mut now) = (Gone::default(), Mono::ZERO);
        let mut go = |gone: &mut Gone, peer: u64, is_retired: bool| {
            now += Duration::from_secs(1);
            gone.note(now, Origin(peer), |_| is_retired);
            now
        };
        for peer in 0..1_000 {
            go(&mut gone, peer, true);
        }
        assert_eq!(gone.0.len(), 1);
        let most = caps::ORIGINS_MAX as u64;
        let since: Vec<Mono> =
            (2_000..=2_000 + most).map(|peer| go(&mut gone, peer, false)).collect();
        assert_eq!(gone.0.len(), caps::ORIGINS_MAX);
        assert_eq!(gone.since(Origin(2_000)), Mono::ZERO, "it went first");
        assert_eq!(gone.since(Origin(2_000 + most)), since[most as usize]);
        gone.note_back(Origin(2_001));
        assert_eq!((gone.since(Origin(2_001)), gone.0.len()), (Mono::ZERO, caps::ORIGINS_MAX - 1));
    }
}
