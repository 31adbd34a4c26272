//! Everybody in the order of a key, smallest first, as one sorted list.
//!
//! Scores lie close together: of a key's 64 bits some thirty differ. They are squeezed together, packed with
//! the handle into one word, and sorted digit by digit. The list answers both ways: who stands at a place,
//! and, by bisection, at which place a key stands. So no table by handle has to be written, all over a
//! memory that no core's cache holds.

use crate::players::Handle;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

/// Bits of a digit, at most: counters for it fit a core's own cache.
const DIGIT_MAX: u32 = 12;

/// Bits by which many words are dealt out before they are sorted: as many piles as a core's address tables cover.
const DEALT: u32 = 8;

/// So many words are worth it.
const MANY: usize = 1 << 16;

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
    /// An empty one for `count` keys within `span`, of handles below `handles`, in the memory of this one.
    pub(super) fn anew(self, span: Span, handles: usize, count: usize) -> Self {
        let Some(squeeze) = Squeeze::new(span, handles) else {
            return Order::Pairs(Vec::with_capacity(count));
        };
        let mut words = match self {
            Order::Words(_, words) => words,
            Order::Pairs(_) => Vec::new(),
        };
        words.clear();
        words.reserve_exact(count);
        Order::Words(squeeze, words)
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
///
/// Many are first dealt out by their highest digit; what falls together fits a core's own cache, and is sorted
/// on all cores at once.
fn sort(words: &mut Vec<u64>, shift: u32, bits: u32) {
    let mut spare = vec![0; words.len()];
    if words.len() < MANY || bits <= DEALT {
        return sort_digits(words, &mut spare, shift, bits);
    }
    let rest = bits - DEALT;
    let ends = deal(words, &mut spare, |word| (word >> (shift + rest) & mask(DEALT)) as usize);
    std::mem::swap(words, &mut spare);
    let (mut piles, mut spares, mut from) = (&mut words[..], &mut spare[..], 0);
    let mut work = Vec::with_capacity(ends.len());
    for end in ends {
        let (pile, spare);
        (pile, piles) = piles.split_at_mut(end as usize - from);
        (spare, spares) = spares.split_at_mut(end as usize - from);
        work.push((pile, spare));
        from = end as usize;
    }
    work.into_par_iter().for_each(|(pile, spare)| sort_digits(pile, spare, shift, rest));
}

/// Copies words into `to` by their pile, in the order that they had; returns where each pile ends.
fn deal(words: &[u64], to: &mut [u64], pile: impl Fn(u64) -> usize) -> Vec<u32> {
    let mut starts = vec![0u32; 1 << DEALT];
    words.iter().for_each(|word| starts[pile(*word)] += 1);
    sum_up(&mut starts);
    scatter(words, to, &mut starts, pile);
    // Each pile's start has moved to its end.
    starts
}

/// Sorts from the lowest digit to the highest.
fn sort_digits(words: &mut [u64], spare: &mut [u64], shift: u32, bits: u32) {
    if words.len() < 2 {
        return;
    }
    // Counters cost as much as words: few words are sorted by small digits.
    let digit_max = DIGIT_MAX.min(u32::BITS - (words.len() as u32).leading_zeros()).max(4);
    let digits = bits.div_ceil(digit_max);
    let width = bits.div_ceil(digits.max(1));
    let digit = |word: u64, nth: u32| (word >> (shift + nth * width) & mask(width)) as usize;
    let mut starts = vec![vec![0u32; 1 << width]; digits as usize];
    for word in words.iter() {
        (0..digits).zip(&mut starts).for_each(|(nth, starts)| starts[digit(*word, nth)] += 1);
    }
    let (mut from, mut to) = (&mut *words, &mut *spare);
    for (nth, starts) in (0..digits).zip(&mut starts) {
        sum_up(starts);
        scatter(from, to, starts, |word| digit(word, nth));
        std::mem::swap(&mut from, &mut to);
    }
    if digits % 2 == 1 {
        words.copy_from_slice(spare);
    }
}

/// Makes of counts where each begins.
fn sum_up(counts: &mut [u32]) {
    let mut sum = 0;
    counts.iter_mut().for_each(|start| sum += std::mem::replace(start, sum));
}

fn scatter(from: &[u64], to: &mut [u64], starts: &mut [u32], digit: impl Fn(u64) -> usize) {
    for word in from {
        let start = &mut starts[digit(*word)];
        to[*start as usize] = *word;
        *start += 1;
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
            let span = keys.iter().copied().collect();
            let mut order = Order::default().anew(span, keys.len(), keys.len());
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
        fn many_are_dealt_out_and_sorted_as_few_are(seed in any::<u64>(), bits in 6..34u32) {
            let mut mixed = seed;
            let mut draw = |_| {
                mixed = mixed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                // Most lie close together, as scores do.
                let wide = if mixed >> 60 == 0 { bits } else { bits / 2 };
                (mixed >> 24) & mask(20 + wide)
            };
            let mut words: Vec<u64> = (0..MANY + 100).map(&mut draw).collect();
            let mut wanted = words.clone();
            wanted.sort_by_key(|word| word >> 20);
            sort(&mut words, 20, bits);
            prop_assert_eq!(words, wanted);
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
