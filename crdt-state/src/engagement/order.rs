//! Everybody in the order of a key, smallest first, as one sorted list.
//!
//! Scores lie close together: of a key's 64 bits some thirty differ. They are squeezed together, packed with
//! the handle into one word, and sorted digit by digit. The list answers both ways: who stands at a place,
//! and, by bisection, at which place a key stands. So no table by handle has to be written, all over a
//! memory that no core's cache holds.

use crate::players::Handle;
use rayon::prelude::*;
use std::ops::Range;

/// Bits of a digit, at most: counters for it fit a core's own cache.
const DIGIT_MAX: u32 = 12;

/// Bits by which many words are dealt out before they are sorted: as many piles as a core's address tables cover.
const DEALT: u32 = 8;
const PILES: usize = 1 << DEALT;

/// From so many words on it pays to wake the other cores.
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

    /// Of how many bits a key is.
    fn bits(self) -> u32 {
        self.low + self.high
    }

    /// On which pile a word falls: its highest bits.
    #[inline]
    fn pile(self, word: u64) -> usize {
        (word >> (self.handle + self.bits().saturating_sub(DEALT))) as usize
    }

    #[inline]
    fn word(self, key: u64, handle: Handle) -> u64 {
        self.key(key) << self.handle | u64::from(handle)
    }

    #[inline]
    fn key(self, key: u64) -> u64 {
        (key >> 32 & mask(self.high)) << self.low | key & mask(self.low)
    }
}

/// Who is to be brought into order: in parts, so that every core has its share.
pub(super) trait Source: Sync {
    /// How many parts there are.
    fn parts(&self) -> usize;

    /// Calls `push` with the key and the handle of everybody in these parts.
    fn each(&self, parts: Range<usize>, push: impl FnMut(u64, Handle));
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
    /// That of everybody in `source`: some `count` keys within `span`, of handles below `handles`; in the memory of
    /// this one.
    pub(super) fn of(self, source: &impl Source, span: Span, handles: usize, count: usize) -> Self {
        let Some(squeeze) = Squeeze::new(span, handles) else {
            let mut pairs = Vec::with_capacity(count);
            source.each(0..source.parts(), |key, handle| pairs.push((key, handle)));
            pairs.sort_unstable();
            return Order::Pairs(pairs);
        };
        let mut words = match self {
            Order::Words(_, words) => words,
            Order::Pairs(_) => Vec::new(),
        };
        sort(source, squeeze, count, &mut words);
        Order::Words(squeeze, words)
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

/// Sorts the words of everybody in `source` by key, and otherwise keeps their order.
///
/// Many are dealt out by their highest bits; what falls together fits a core's own cache. Both is done on all cores
/// at once: each deals the parts that lie together, and has its own room on every pile. What falls where is counted
/// first; to make a word twice costs less than to keep it in between.
fn sort(source: &impl Source, squeeze: Squeeze, count: usize, words: &mut Vec<u64>) {
    if count < MANY {
        words.clear();
        words.reserve_exact(count);
        source.each(0..source.parts(), |key, handle| words.push(squeeze.word(key, handle)));
        return sort_digits(words, &mut Spare::default(), squeeze.handle, squeeze.bits());
    }
    let cores = rayon::current_num_threads();
    let parts = |core| source.parts() * core / cores..source.parts() * (core + 1) / cores;
    let counts = (0..cores).into_par_iter().map(|core| {
        let mut counts = vec![0u32; PILES];
        source
            .each(parts(core), |key, handle| counts[squeeze.pile(squeeze.word(key, handle))] += 1);
        counts
    });
    let counts: Vec<Vec<u32>> = counts.collect();
    words.resize(counts.iter().flatten().map(|count| *count as usize).sum(), 0);
    let (mut rooms, mut rest) = (Vec::new(), &mut words[..]);
    rooms.resize_with(cores, || Vec::with_capacity(PILES));
    for pile in 0..PILES {
        for (counts, rooms) in counts.iter().zip(&mut rooms) {
            rooms.push(take_first(&mut rest, counts[pile]).iter_mut());
        }
    }
    rooms.into_par_iter().enumerate().for_each(|(core, mut rooms)| {
        source.each(parts(core), |key, handle| {
            let word = squeeze.word(key, handle);
            if let Some(place) = rooms[squeeze.pile(word)].next() {
                *place = word;
            }
        });
    });
    let mut rest = &mut words[..];
    let size = |pile: usize| counts.iter().map(|counts| counts[pile]).sum();
    let piles: Vec<&mut [u64]> = (0..PILES).map(|pile| take_first(&mut rest, size(pile))).collect();
    let bits = squeeze.bits().saturating_sub(DEALT);
    piles.into_par_iter().for_each_init(Spare::default, |spare, pile| {
        sort_digits(pile, spare, squeeze.handle, bits);
    });
}

/// Takes the first words of a slice that has as many.
fn take_first<'w>(rest: &mut &'w mut [u64], count: u32) -> &'w mut [u64] {
    rest.split_off_mut(..count as usize).expect("what was counted is there")
}

/// What a core needs beside the words that it sorts, for one pile after the other.
#[derive(Default)]
struct Spare {
    words: Vec<u64>,
    starts: Vec<u32>,
}

/// Sorts words by the `bits` bits above the lowest `shift`, from the lowest digit to the highest.
fn sort_digits(words: &mut [u64], spare: &mut Spare, shift: u32, bits: u32) {
    if words.len() < 2 || bits == 0 {
        return;
    }
    // Counters cost as much as words: few words are sorted by small digits.
    let digit_max = DIGIT_MAX.min(u32::BITS - (words.len() as u32).leading_zeros()).max(4);
    let digits = bits.div_ceil(digit_max);
    let width = bits.div_ceil(digits);
    let digit = |word: u64, nth: u32| (word >> (shift + nth * width) & mask(width)) as usize;
    let Spare { words: spare, starts } = spare;
    if spare.len() < words.len() {
        spare.resize(words.len(), 0);
    }
    let spare = &mut spare[..words.len()];
    starts.clear();
    starts.resize((digits as usize) << width, 0);
    for word in words.iter() {
        (0..digits).zip(starts.chunks_exact_mut(1 << width)).for_each(|(nth, starts)| {
            starts[digit(*word, nth)] += 1;
        });
    }
    let (mut from, mut to) = (&mut *words, &mut *spare);
    for (nth, starts) in (0..digits).zip(starts.chunks_exact_mut(1 << width)) {
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

    /// Each is a part.
    struct All<'a>(&'a [(u64, Handle)]);

    impl Source for All<'_> {
        fn parts(&self) -> usize {
            self.0.len()
        }

        fn each(&self, parts: Range<usize>, mut push: impl FnMut(u64, Handle)) {
            self.0[parts].iter().for_each(|(key, handle)| push(*key, *handle));
        }
    }

    fn ordered(before: Order, keys: &[u64]) -> (Order, Vec<(u64, Handle)>) {
        let mut pairs: Vec<(u64, Handle)> = keys.iter().copied().zip(0..).collect();
        let span = keys.iter().copied().collect();
        let order = before.of(&All(&pairs), span, keys.len(), keys.len());
        pairs.sort_unstable();
        (order, pairs)
    }

    fn handles(order: &Order) -> Vec<Handle> {
        order.iter().map(|(_, handle)| handle).collect()
    }

    proptest! {
        #[test]
        fn it_is_the_order_of_keys_both_ways(one in keys(), other in keys()) {
            let mut order = Order::default();
            // The second is made in the memory of the first.
            for keys in [one, other] {
                let wanted;
                (order, wanted) = ordered(order, &keys);
                let wanted: Vec<Handle> = wanted.iter().map(|(_, handle)| *handle).collect();
                prop_assert_eq!(handles(&order), wanted);
                for key in &keys {
                    let before = keys.iter().filter(|other| *other < key).count();
                    prop_assert_eq!(order.before(*key), Some(before));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn many_are_ordered_on_all_cores_as_few_are(seed in any::<u64>(), bits in 1..44u32) {
            let mut mixed = seed;
            let mut draw = |_| {
                mixed = mixed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                // Most lie close together, as scores do.
                let wide = if mixed >> 60 == 0 { bits } else { bits / 2 };
                (mixed >> 19) & mask(wide)
            };
            let keys: Vec<u64> = (0..MANY + 100).map(&mut draw).collect();
            let (order, wanted) = ordered(Order::default(), &keys);
            prop_assert!(matches!(order, Order::Words(..)));
            prop_assert!(order.iter().map(|(_, handle)| handle).eq(wanted.iter().map(|(_, handle)| *handle)));
        }
    }
}
