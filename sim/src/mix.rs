//! Counter-based randomness: every draw is a function of names and counters, never of a shared
//! generator.
//!
//! Invariant: a draw depends only on the words it is named by. So to take away one fault, link or
//! disk does not roll the dice of the others anew, which is what lets a failing run be shrunk.
//! The finaliser is the one of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

/// The increment of SplitMix64: the golden ratio in 64 bits.
pub(crate) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scatters a word over all 64 bits; a bijection.
pub(crate) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Folds a word into a running value; the order of the words matters.
pub(crate) fn fold(state: u64, word: u64) -> u64 {
    mix(state.wrapping_add(GOLDEN) ^ word)
}

/// All the dice of one decision, such as the fate of the n-th datagram on a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The dice named by these words.
    pub(crate) fn new(seed: u64, name: &[u64]) -> Self {
        Self(name.iter().fold(mix(seed ^ GOLDEN), |state, word| fold(state, *word)))
    }

    /// The die number `index`, uniform in 0.0..1.0.
    pub(crate) fn unit(self, index: u64) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        (self.word(index) >> 11) as f64 / STEPS
    }

    /// The die number `index`, in 0..=`most`.
    pub(crate) fn up_to(self, index: u64, most: u64) -> u64 {
        ((u128::from(self.word(index)) * (u128::from(most) + 1)) >> 64) as u64
    }

    /// All 64 bits of the die number `index`.
    pub(crate) fn word(self, index: u64) -> u64 {
        fold(self.0, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_are_uniform_enough_and_named() {
        let draws: Vec<f64> = (0..10_000).map(|n| Draw::new(7, &[n]).unit(0)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5).abs() < 0.02, "the mean was {mean}");
        assert_ne!(Draw::new(7, &[1, 2]).unit(0), Draw::new(7, &[2, 1]).unit(0));
        assert_ne!(Draw::new(7, &[1]).unit(0), Draw::new(7, &[1]).unit(1));
    }

    #[test]
    fn bounded_dice_reach_both_ends() {
        let seen: std::collections::BTreeSet<u64> =
            (0..100).map(|n| Draw::new(1, &[n]).up_to(0, 2)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
