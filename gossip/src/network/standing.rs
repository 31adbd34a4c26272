//! What a node says of itself: it starts, is ready, drains, or leaves.
//!
//! A word bears a number that the node raises whenever it says another one, so that a word heard
//! on the direct link and one that gossip brings late are put in order: the higher number counts.

use serde::{Deserialize, Serialize};

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// It runs, and is not yet to be sent players.
    Starting,
    /// It takes players.
    Ready,
    /// It is on its way out and takes nobody new; it may change its mind.
    Draining,
    /// It will not come back under its present origin.
    Left,
}

impl Standing {
    const ALL: [Standing; 4] =
        [Standing::Starting, Standing::Ready, Standing::Draining, Standing::Left];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Standing::Starting => "starting",
            Standing::Ready => "ready",
            Standing::Draining => "draining",
            Standing::Left => "left",
        }
    }
}

/// A word and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) number: u64,
    pub(super) standing: Standing,
}

impl Said {
    /// The first word of every life.
    pub(super) const FIRST: Said = Said { number: 0, standing: Standing::Starting };

    /// The node is gone for good, on its last word or an operator's.
    pub(super) const GONE: Said = Said { number: u64::MAX, standing: Standing::Left };

    /// What is said next.
    pub(super) fn next(self, standing: Standing) -> Said {
        Said { number: self.number.saturating_add(1), standing }
    }

    /// As the value of a key in gossip.
    pub(super) fn text(self) -> String {
        format!("{} {}", self.number, self.standing.word())
    }

    /// Reads [`text`](Self::text); whatever else a peer may have written counts as its first word.
    pub(super) fn read(text: &str) -> Said {
        let parts = text.split_once(' ').and_then(|(number, word)| {
            let standing = Standing::ALL.into_iter().find(|standing| standing.word() == word)?;
            Some(Said { number: number.parse().ok()?, standing })
        });
        parts.unwrap_or(Said::FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_survives_gossip_and_the_later_one_counts() {
        let ready = Said::FIRST.next(Standing::Ready);
        let draining = ready.next(Standing::Draining);
        let again = draining.next(Standing::Ready);
        for said in [Said::FIRST, ready, draining, again, Said::GONE] {
            assert_eq!(Said::read(&said.text()), said);
        }
        assert_eq!(draining.max(again), again);
        assert_eq!(Said::GONE.next(Standing::Ready).max(Said::GONE), Said::GONE);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_never_a_panic(text in "\\PC*") {
            let _ = Said::read(&text);
        }
    }
}
