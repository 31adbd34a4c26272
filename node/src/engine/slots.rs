//! A set of slots: players' shares of the load, by hash.

use crdt_state::PlayerId;
use std::fmt;
use std::str::FromStr;

/// How many slots there are.
pub const SLOTS: usize = crdt_state::id::SLOTS as usize;

/// A set of slots. Its text is 64 hexadecimal digits, the last one for the slots 0 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots([u64; SLOTS / 64]);

impl Slots {
    /// None of them.
    pub const NONE: Slots = Slots([0; SLOTS / 64]);
    /// All of them.
    pub const ALL: Slots = Slots([u64::MAX; SLOTS / 64]);

    /// Whether a slot is among them.
    #[must_use]
    pub fn has(&self, slot: u8) -> bool {
        self.0[usize::from(slot) / 64] >> (slot % 64) & 1 == 1
    }

    /// Whether the slot of a player is among them.
    #[must_use]
    pub fn has_player(&self, player: PlayerId) -> bool {
        u8::try_from(player.slot()).is_ok_and(|slot| self.has(slot))
    }

    /// Adds a slot.
    pub fn insert(&mut self, slot: u8) {
        self.0[usize::from(slot) / 64] |= 1 << (slot % 64);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: u8) {
        self.0[usize::from(slot) / 64] &= !(1 << (slot % 64));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Slots::NONE
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let slots = *self;
        (0..=u8::MAX).filter(move |slot| slots.has(*slot))
    }

    /// Those that are among `others`.
    #[must_use]
    pub fn among(&self, others: &Slots) -> Slots {
        Slots(std::array::from_fn(|word| self.0[word] & others.0[word]))
    }

    /// Those that are not among `others`.
    #[must_use]
    pub fn without(&self, others: &Slots) -> Slots {
        Slots(std::array::from_fn(|word| self.0[word] & !others.0[word]))
    }
}

impl FromIterator<u8> for Slots {
    fn from_iter<I: IntoIterator<Item = u8>>(slots: I) -> Self {
        let mut set = Slots::NONE;
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:016x}"))
    }
}

/// The text is not a set of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a set of slots is 64 hexadecimal digits")]
pub struct ParseSlotsError;

impl FromStr for Slots {
    type Err = ParseSlotsError;

    fn from_str(text: &str) -> Result<Self, ParseSlotsError> {
        if text.len() != SLOTS / 4 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ParseSlotsError);
        }
        let mut words = [0; SLOTS / 64];
        for (word, digits) in words.iter_mut().rev().zip(text.as_bytes().chunks_exact(16)) {
            let digits = std::str::from_utf8(digits).map_err(|_| ParseSlotsError)?;
            *word = u64::from_str_radix(digits, 16).map_err(|_| ParseSlotsError)?;
        }
        Ok(Slots(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_set_survives_its_text(slots in prop::collection::btree_set(any::<u8>(), 0..300)) {
            let set: Slots = slots.iter().copied().collect();
            prop_assert_eq!(set.to_string().parse(), Ok(set));
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), slots.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_damaged_or_arbitrary_text_never_panics(
            text in "\\PC*",
            at in 0..SLOTS / 4,
            with in "\\PC{0,2}",
        ) {
            let whole = Slots::NONE.to_string();
            for text in [text, format!("{}{with}{}", &whole[..at], &whole[at + 1..])] {
                if let Ok(set) = text.parse::<Slots>() {
                    prop_assert_eq!(set.to_string(), text.to_lowercase());
                }
            }
        }
    }

    #[test]
    fn what_is_no_set_of_slots_is_refused() {
        for text in ["", "0", &"g".repeat(64), &"+".repeat(64)] {
            assert_eq!(text.parse::<Slots>(), Err(ParseSlotsError));
        }
    }
}
