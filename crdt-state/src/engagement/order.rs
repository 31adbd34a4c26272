//! Everybody in the order of a key, smallest first, as one sorted list.
//!
//! Scores lie close together: of a key's 64 bits some thirty differ. They are squeezed together, packed with
//! the handle into one word, and sorted digit by digit. The list answers both ways: who stands at a place,
//! and, by bisection, at which place a key stands. So no table by handle has to be written, all over a
//! memory that no core's cache holds. Where points alone decide there are few keys: handles are dealt out by
//! them, and need no word.

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

/// If a key has so many handles, on the average, then handles are dealt out by whole keys.
const SHARED: usize = 8;

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
    /// Of each squeezed key, and of the one after the last, where those begin who have it; and everybody.
    Few(Squeeze, Vec<u32>, Vec<Handle>),
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
        if squeeze.bits() < usize::BITS && count >> squeeze.bits() >= SHARED {
            let mut handles = match self {
                Order::Few(_, _, handles) => handles,
                _ => Vec::new(),
            };
            let of_key = |key| squeeze.key(key) as usize;
            let piles = 1 << squeeze.bits();
            let starts = deal(source, count, piles, of_key, |_, handle| handle, &mut handles);
            return Order::Few(squeeze, starts, handles);
        }
        let mut words = match self {
            Order::Words(_, words) => words,
            _ => Vec::new(),
        };
        sort(source, squeeze, count, &mut words);
        Order::Words(squeeze, words)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Order::Few(_, _, handles) => handles.len(),
            Order::Words(_, words) => words.len(),
            Order::Pairs(pairs) => pairs.len(),
        }
    }

    /// How many stand before this key, if it is here.
    pub(super) fn before(&self, key: u64) -> Option<usize> {
        match self {
            Order::Few(squeeze, starts, _) => {
                let key = squeeze.key(key) as usize;
                let (start, end) = (*starts.get(key)?, *starts.get(key + 1)?);
                (start < end).then_some(start as usize)
            }
            Order::Words(squeeze, words) => {
                let of = |word: u64| word >> squeeze.handle;
                first_of(words, squeeze.key(key), |word| of(*word))
            }
            Order::Pairs(pairs) => first_of(pairs, key, |(key, _)| *key),
        }
    }

    /// Everybody, with something that only equals share.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (u64, Handle)> + '_> {
        match self {
            Order::Few(_, starts, handles) => {
                let groups = (0..).zip(starts.windows(2));
                Box::new(groups.flat_map(|(key, bounds)| {
                    let group = &handles[bounds[0] as usize..bounds[1] as usize];
                    group.iter().map(move |handle| (key, *handle))
                }))
            }
            Order::Words(squeeze, words) => Box::new(
                words
                    .iter()
                    .map(|word| (word >> squeeze.handle, (word & mask(squeeze.handle)) as Handle)),
            ),
            Order::Pairs(pairs) => Box::new(pairs.iter().copied()),
        }
    }
}

/// The place of the first of a sorted list that has this key.
fn first_of<T>(list: &[T], key: u64, of: impl Fn(&T) -> u64) -> Option<usize> {
    let place = list.partition_point(|entry| of(entry) < key);
    (of(list.get(place)?) == key).then_some(place)
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
/// Many are dealt out by their highest bits; what falls together fits a core's own cache, and is sorted on all cores.
fn sort(source: &impl Source, squeeze: Squeeze, count: usize, words: &mut Vec<u64>) {
    if count < MANY {
        words.clear();
        words.reserve_exact(count);
        source.each(0..source.parts(), |key, handle| words.push(squeeze.word(key, handle)));
        return sort_digits(words, &mut Spare::default(), squeeze.handle, squeeze.bits());
    }
    let bits = squeeze.bits().saturating_sub(DEALT);
    let pile = |key| (squeeze.key(key) >> bits) as usize;
    let starts = deal(source, count, PILES, pile, |key, handle| squeeze.word(key, handle), words);
    let mut rest = &mut words[..];
    let sizes = starts.windows(2).map(|bounds| bounds[1] - bounds[0]);
    let piles: Vec<&mut [u64]> = sizes.map(|size| take_first(&mut rest, size)).collect();
    piles.into_par_iter().for_each_init(Spare::default, |spare, pile| {
        sort_digits(pile, spare, squeeze.handle, bits);
    });
}

/// Deals everybody in `source` out to as many piles, keeps their order on each, and says where each begins; and, at
/// last, where the last one ends.
///
/// Many are dealt on all cores at once: each deals the parts that lie together, and has its own room on every pile.
/// What falls where is counted first; to make a card twice costs less than to keep it in between.
fn deal<C: Default + Clone + Send>(
    source: &impl Source,
    count: usize,
    piles: usize,
    pile: impl Fn(u64) -> usize + Sync,
    card: impl Fn(u64, Handle) -> C + Sync,
    cards: &mut Vec<C>,
) -> Vec<u32> {
    let cores = if count < MANY { 1 } else { rayon::current_num_threads() };
    let parts = |core| source.parts() * core / cores..source.parts() * (core + 1) / cores;
    let counts = (0..cores).into_par_iter().map(|core| {
        let mut counts = vec![0u32; piles];
        source.each(parts(core), |key, _| counts[pile(key)] += 1);
        counts
    });
    let counts: Vec<Vec<u32>> = counts.collect();
    let mut starts = Vec::with_capacity(piles + 1);
    starts.extend((0..piles).map(|pile| counts.iter().map(|counts| counts[pile]).sum::<u32>()));
    starts.push(0);
    sum_up(&mut starts);
    cards.resize(starts[piles] as usize, C::default());
    let (mut rooms, mut rest) = (Vec::new(), &mut cards[..]);
    rooms.resize_with(cores, || Vec::with_capacity(piles));
    for pile in 0..piles {
        for (counts, rooms) in counts.iter().zip(&mut rooms) {
            rooms.push(take_first(&mut rest, counts[pile]).iter_mut());
        }
    }
    rooms.into_par_iter().enumerate().for_each(|(core, mut rooms)| {
        source.each(parts(core), |key, handle| {
            if let Some(place) = rooms[pile(key)].next() {
                *place = card(key, handle);
            }
        });
    });
    starts
}

/// Takes the first of a slice that has as many.
fn take_first<'c, C>(rest: &mut &'c mut [C], count: u32) -> &'c mut [C] {
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
            // So few that many share each.
            proptest::collection::vec((0..4u64).prop_map(|high| high << 32), 0..80),
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
                prop_assert_eq!(order.len(), keys.len());
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
            prop_assert!(!matches!(order, Order::Pairs(..)));
            prop_assert_eq!(matches!(order, Order::Few(..)), keys.len() >> bits >= SHARED);
            prop_assert!(order.iter().map(|(_, handle)| handle).eq(wanted.iter().map(|(_, handle)| *handle)));
        }
    }
}
