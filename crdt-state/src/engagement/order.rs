//! Everybody in the order of a key, smallest first, as one sorted list.
//!
//! Scores lie close together: of a key's 64 bits some thirty differ. They are squeezed together, packed with
//! the handle into one word, and sorted digit by digit. The list answers both ways: who stands at a place,
//! and, by bisection, at which place a key stands. So no table by handle has to be written, all over a
//! memory that no core's cache holds.

use crate::players::Handle;

/// Bits of a digit, at most: counters for it fit a core's own cache.
const DIGIT_MAX: u32 = 12;

/// What some keys have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    all: u64,
    any: u64,
}

impl Default for Span {
    fn default() -> Self {
        Span { all: u64::MAX, any: 0 }
    }
}

impl FromIterator<u64> for Span {
    fn from_iter<I: IntoIterator<Item = u64>>(keys: I) -> Self {
        let with = |span: Span, key| Span { all: span.all & key, any: span.any | key };
        keys.into_iter().fold(Span::default(), with)
    }
}

impl Span {
    pub(super) fn and(self, other: Span) -> Span {
        Span { all: self.all & other.all, any: self.any | other.any }
    }
}

/// Which bits of a key's two halves differ at all, and how many a handle needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Squeeze {
    low: u32,
    high: u32,
    handle: u32,
}

impl Squeeze {
    /// If they fit one word.
    fn new(span: Span, handles: usize) -> Option<Self> {
        let differ = span.any & !span.all;
        let [low, high] = [differ as u32, (differ >> 32) as u32].map(bits);
        let handle = bits(handles.saturating_sub(1) as u32);
        (low + high + handle <= u64::BITS).then_some(Squeeze { low, high, handle })
    }

    fn key(self, key: u64) -> u64 {
        (key >> 32 & mask(self.high)) << self.low | key & mask(self.low)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) enum Order {
    /// Squeezed keys with handles.
    Words(Squeeze, Vec<u64>),
    /// Keys that differ in too many bits.
    Pairs(Vec<(u64, Handle)>),
}

impl Default for Order {
    fn default() -> Self {
        Order::Pairs(Vec::new())
    }
}

impl Order {
    /// An empty one for `count` keys within `span`, of handles below `handles`.
    pub(super) fn new(span: Span, handles: usize, count: usize) -> Self {
        match Squeeze::new(span, handles) {
            Some(squeeze) => Order::Words(squeeze, Vec::with_capacity(count)),
            None => Order::Pairs(Vec::with_capacity(count)),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, key: u64, handle: Handle) {
        match self {
            Order::Words(squeeze, words) => {
                words.push(squeeze.key(key) << squeeze.handle | u64::from(handle));
            }
            Order::Pairs(pairs) => pairs.push((key, handle)),
        }
    }

    /// Brings what was pushed into order: from here on it can be asked.
    pub(super) fn sort(&mut self) {
        match self {
            Order::Words(squeeze, words) => sort(words, squeeze.handle, squeeze.low + squeeze.high),
            Order::Pairs(pairs) => pairs.sort_unstable(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Order::Words(_, words) => words.len(),
            Order::Pairs(pairs) => pairs.len(),
        }
    }

    /// How many stand before this key, if it is here.
    pub(super) fn before(&self, key: u64) -> Option<usize> {
        let (key, place) = match self {
            Order::Words(squeeze, words) => {
                let key = squeeze.key(key);
                (key, words.partition_point(|word| word >> squeeze.handle < key))
            }
            Order::Pairs(pairs) => (key, pairs.partition_point(|(of, _)| *of < key)),
        };
        (place < self.len() && self.at(place).0 == key).then_some(place)
    }

    /// Everybody, with something that only equals share.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Handle)> {
        (0..self.len()).map(|place| self.at(place))
    }

    pub(super) fn at(&self, place: usize) -> (u64, Handle) {
        match self {
            Order::Words(squeeze, words) => {
                let word = words[place];
                (word >> squeeze.handle, (word & mask(squeeze.handle)) as Handle)
            }
            Order::Pairs(pairs) => pairs[place],
        }
    }
}

/// How many bits a number has.
fn bits(number: u32) -> u32 {
    u32::BITS - number.leading_zeros()
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// Sorts words by the `bits` bits above the lowest `shift`, and otherwise keeps their order.
fn sort(words: &mut Vec<u64>, shift: u32, bits: u32) {
    let digits = bits.div_ceil(DIGIT_MAX);
    let width = bits.div_ceil(digits.max(1));
    let digit = |word: u64, nth: u32| (word >> (shift + nth * width) & mask(width)) as usize;
    let mut starts = vec![[0u32; 1 << DIGIT_MAX]; digits as usize];
    for word in words.iter() {
        (0..digits).zip(&mut starts).for_each(|(nth, starts)| starts[digit(*word, nth)] += 1);
    }
    let mut spare = vec![0; words.len()];
    for (nth, starts) in (0..digits).zip(&mut starts) {
        let mut sum = 0;
        starts.iter_mut().for_each(|start| sum += std::mem::replace(start, sum));
        for word in words.iter() {
            let start = &mut starts[digit(*word, nth)];
            spare[*start as usize] = *word;
            *start += 1;
        }
        std::mem::swap(words, &mut spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> impl Strategy<Value = Vec<u64>> {
        let close =
            (0..40u64, 0..3u64).prop_map(|(low, high)| ((u64::MAX << 32) - (high << 32)) | low);
        prop_oneof![
            proptest::collection::vec(close, 0..80),
            proptest::collection::vec(any::<u64>(), 0..80),
        ]
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_keys_both_ways(keys in keys()) {
            let mut order = Order::new(keys.iter().copied().collect(), keys.len(), keys.len());
            (0..).zip(&keys).for_each(|(handle, key)| order.push(*key, handle));
            order.sort();
            let mut wanted: Vec<(u64, Handle)> = keys.iter().copied().zip(0..).collect();
            wanted.sort_unstable();
            let handles: Vec<Handle> = order.iter().map(|(_, handle)| handle).collect();
            let listed: Vec<Handle> = wanted.iter().map(|(_, handle)| *handle).collect();
            prop_assert_eq!(handles, listed);
            for key in &keys {
                let before = keys.iter().filter(|other| *other < key).count();
                prop_assert_eq!(order.before(*key), Some(before));
            }
        }

        #[test]
        fn digits_sort_as_comparisons_do(
            mut words in proptest::collection::vec(any::<u64>(), 0..80),
            shift in 0..30u32,
            bits in 0..34u32,
        ) {
            words.iter_mut().for_each(|word| *word &= mask(shift + bits));
            let mut wanted = words.clone();
            wanted.sort_by_key(|word| word >> shift);
            sort(&mut words, shift, bits);
            prop_assert_eq!(words, wanted);
        }
    }
}
