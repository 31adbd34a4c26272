//! Points, correct time and rank of every player, kept dense and folded anew only where something changed.
//!
//! The scoreboard is a cache of a pure fold: beside every block of rows it keeps the sums and a print of
//! all that went into them (the rows' digest, the digest of every counted column's block, the rules). A
//! block is folded again when its print differs, so that a late answer or a late player costs one block
//! and not the whole event. Whatever the way here, the sums are those of a fold from nothing; a
//! property test says so. What hosts said of players (who is out, what was awarded) comes on top when
//! ranks are made, and never into the sums.
//!
//! Handles are a state's own: a scoreboard belongs to the one state that it is updated from.

use super::fold::is_aside;
use super::{Alone, Facts, Standing, fold as fold_in_order};
use crate::column::{BLOCK, Cell};
use crate::event::EventState;
use crate::event::fold::Sheets;
use crate::id::PlayerId;
use crate::players::{Handle, PlayersBlock};
use std::cell::OnceCell;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// A player's sums. Each stops at its largest value: four billion points, fifty days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Score {
    points: u32,
    correct_ms: u32,
}

impl Score {
    #[inline]
    fn add(&mut self, rule: &Alone, cell: Cell) {
        let (is_correct, points) = rule.judge(cell);
        if is_correct {
            self.points = self.points.saturating_add(points);
            self.correct_ms = self.correct_ms.saturating_add(cell.elapsed_ms());
        }
    }

    /// With what hosts gave and took; nobody falls below nothing.
    fn awarded(self, points: i64) -> Score {
        let sum = i64::from(self.points).saturating_add(points).clamp(0, u32::MAX.into());
        Score { points: sum as u32, ..self }
    }

    /// Smaller is better; of two parts, so that their bits can be squeezed.
    fn key(self) -> u64 {
        u64::from(u32::MAX - self.points) << 32 | u64::from(self.correct_ms)
    }
}

/// The sums beside a block of rows, and what they were folded from.
#[derive(Debug, Clone, Default)]
struct Sums {
    print: u64,
    scores: Vec<Score>,
}

/// An instance that counts.
struct Counted<'a> {
    sheets: Sheets<'a>,
    /// By question.
    rules: Vec<(u16, Alone)>,
}

impl<'a> Counted<'a> {
    /// The run, if each of its answers stands alone.
    fn of(state: &'a EventState, instance: u32) -> Option<Self> {
        let (sheets, shown) = (state.sheets_of(instance), Facts::of(state, instance)?);
        let numbers = std::iter::once(shown.number).chain(sheets.questions());
        let rule = |number: u16| {
            let facts = shown.at(number)?;
            Some((number, facts.question.task.alone(&facts)?))
        };
        let rules = numbers.map(rule).collect::<Option<Vec<_>>>()?;
        Some(Counted { sheets, rules })
    }

    #[inline]
    fn rule(&self, number: u16) -> Option<&Alone> {
        self.rules.iter().find(|(of, _)| *of == number).map(|(_, rule)| rule)
    }
}

/// What hosts said: who does not count, and what was awarded; both by the row that speaks, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Masks {
    out: Vec<Handle>,
    awarded: Vec<(Handle, i64)>,
}

impl Masks {
    fn of(state: &EventState) -> Self {
        Masks { out: state.kicked_handles(), awarded: state.awarded_handles() }
    }

    /// What a player comes to; nothing for one who does not count.
    fn apply(&self, handle: Handle, score: Score) -> Option<Score> {
        if !self.out.is_empty() && self.out.binary_search(&handle).is_ok() {
            return None;
        }
        if self.awarded.is_empty() {
            return Some(score);
        }
        let held = self.awarded.binary_search_by_key(&handle, |(handle, _)| *handle);
        Some(held.map_or(score, |at| score.awarded(self.awarded[at].1)))
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Scoreboard {
    blocks: Vec<Sums>,
    /// Of players with several rows, by the row that speaks.
    aliased: Vec<(Handle, Score)>,
    masks: Masks,
    /// Everybody, best first; equals in no particular order.
    order: Vec<Handle>,
    /// By handle; 0 where there is nobody.
    ranks: Vec<u32>,
    /// Of each group of equals, best first, the rank and the smallest id; made when it is asked for.
    groups: OnceCell<Vec<(u32, PlayerId)>>,
}

impl Scoreboard {
    /// Brings it up to date. Only instances for which `counts` holds are folded.
    pub fn update(&mut self, state: &EventState, counts: impl Fn(u32) -> bool) {
        let counts = |instance: &u32| counts(*instance) && !is_aside(state, *instance);
        let instances = state.instances().map(|(instance, _)| instance).filter(counts);
        let instances: Vec<u32> = instances.collect();
        let counted = instances.iter().map(|instance| Counted::of(state, *instance));
        match counted.collect::<Option<Vec<_>>>() {
            Some(counted) => self.update_blocks(state, &counted),
            None => self.update_in_order(state, &instances),
        }
    }

    /// Streaks, lives, texts and stakes depend on more than a cell: everything is folded in order then.
    fn update_in_order(&mut self, state: &EventState, instances: &[u32]) {
        self.blocks.clear();
        self.blocks.resize_with(state.players.blocks().len(), Sums::default);
        for (sums, block) in self.blocks.iter_mut().zip(state.players.blocks()) {
            sums.scores.resize(block.len(), Score::default());
        }
        self.aliased.clear();
        for (player, so_far) in fold_in_order(state, |i| instances.contains(&i), |_, _| {}) {
            let handle = state.players.handle_of(player).expect("a player has a row");
            let points = so_far.points.clamp(0, i64::from(u32::MAX)) as u32;
            let correct_ms = so_far.correct_ms.min(u64::from(u32::MAX)) as u32;
            let score = Score { points, correct_ms };
            self.blocks[handle as usize / BLOCK].scores[handle as usize % BLOCK] = score;
        }
        for rows in state.players.aliased() {
            let speaks = rows[0] as usize;
            self.aliased.push((rows[0], self.blocks[speaks / BLOCK].scores[speaks % BLOCK]));
        }
        self.masks = Masks::of(state);
        self.rank(state);
    }

    fn update_blocks(&mut self, state: &EventState, counted: &[Counted<'_>]) {
        let rules = print_rules(counted);
        self.blocks.resize_with(state.players.blocks().len(), Sums::default);
        let mut changed = false;
        for (sums, block) in self.blocks.iter_mut().zip(state.players.blocks()) {
            let print = print_block(rules, &block, counted);
            if sums.print != print {
                sums.print = print;
                fold(&mut sums.scores, &block, counted);
                changed = true;
            }
        }
        let aliased = fold_aliased(state, counted);
        let masks = Masks::of(state);
        if changed || aliased != self.aliased || masks != self.masks {
            self.aliased = aliased;
            self.masks = masks;
            self.rank(state);
        }
    }

    /// How many players count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// A player's place.
    #[must_use]
    pub fn of(&self, state: &EventState, player: PlayerId) -> Option<Standing> {
        let handle = state.players.handle_of(player)?;
        let rank = *self.ranks.get(handle as usize).filter(|rank| **rank > 0)?;
        Some(self.standing(handle, player, rank))
    }

    /// The first `count` players; equals are listed by player id.
    #[must_use]
    pub fn top(&self, state: &EventState, count: usize) -> Vec<Standing> {
        // Whole groups of equals, so that it is the smallest ids which are listed.
        let cut =
            self.order.get(count.saturating_sub(1)).map(|handle| self.ranks[*handle as usize]);
        let within = |handle: &&Handle| cut.is_none_or(|cut| self.ranks[**handle as usize] <= cut);
        let mut listed: Vec<Standing> = self
            .order
            .iter()
            .take_while(within)
            .map(|handle| {
                let player = state.players.id_at(*handle);
                self.standing(*handle, player, self.ranks[*handle as usize])
            })
            .collect();
        let key = |standing: &Standing| (standing.rank, standing.player);
        if count > 0 && count < listed.len() {
            listed.select_nth_unstable_by_key(count - 1, key);
        }
        listed.truncate(count);
        listed.sort_unstable_by_key(key);
        listed
    }

    /// A player's place between those right above and below: of equals the one with the smallest id.
    #[must_use]
    pub fn around(&self, state: &EventState, player: PlayerId) -> Vec<Standing> {
        let Some(own) = self.of(state, player) else { return Vec::new() };
        let groups = self.groups.get_or_init(|| self.group(state));
        let at = groups.partition_point(|(rank, _)| *rank < own.rank);
        let above = at.checked_sub(1).map(|at| groups[at].1);
        let below = groups.get(at + 1).map(|(_, player)| *player);
        let all = [above, Some(player), below].into_iter().flatten();
        all.filter_map(|player| self.of(state, player)).collect()
    }

    fn group(&self, state: &EventState) -> Vec<(u32, PlayerId)> {
        let mut groups: Vec<(u32, PlayerId)> = Vec::new();
        for handle in &self.order {
            let (rank, player) = (self.ranks[*handle as usize], state.players.id_at(*handle));
            match groups.last_mut() {
                Some((last, smallest)) if *last == rank => *smallest = player.min(*smallest),
                _ => groups.push((rank, player)),
            }
        }
        groups
    }

    fn standing(&self, handle: Handle, player: PlayerId, rank: u32) -> Standing {
        let aliased = self.aliased.binary_search_by_key(&handle, |(handle, _)| *handle);
        let score = match aliased {
            Ok(at) => self.aliased[at].1,
            Err(_) => self.blocks[handle as usize / BLOCK].scores[handle as usize % BLOCK],
        };
        let Score { points, correct_ms } = self.masks.apply(handle, score).unwrap_or_default();
        let (points, correct_ms) = (u64::from(points), u64::from(correct_ms));
        Standing { player, points, correct_ms, rank }
    }

    /// Competition ranks: equals share one, and the next one skips.
    ///
    /// Scores lie close together: of a key's 64 bits some thirty differ. They are squeezed together, packed
    /// with the handle into one word, and sorted digit by digit.
    fn rank(&mut self, state: &EventState) {
        self.groups.take();
        let (mut all, mut any, mut last) = (u64::MAX, 0, 0);
        self.each_key(state, |key, handle| {
            (all, any, last) = (all & key, any | key, last.max(handle));
        });
        let differ = any & !all;
        let [low, high, handles] = [differ as u32, (differ >> 32) as u32, last].map(bits);
        if low + high + handles > u64::BITS {
            let mut keyed = Vec::with_capacity(state.players.count());
            self.each_key(state, |key, handle| keyed.push((key, handle)));
            keyed.sort_unstable();
            return self.assign(keyed.into_iter());
        }
        let mut words = Vec::with_capacity(state.players.count());
        self.each_key(state, |key, handle| {
            let key = (key >> 32 & mask(high)) << low | key & mask(low);
            words.push(key << handles | u64::from(handle));
        });
        sort(&mut words, handles, low + high);
        let keyed = |word| (word >> handles, (word & mask(handles)) as Handle);
        self.assign(words.into_iter().map(keyed));
    }

    /// Calls `each` with every player's key, which is smaller for who is better.
    fn each_key(&self, state: &EventState, mut each: impl FnMut(u64, Handle)) {
        for (sums, block) in self.blocks.iter().zip(state.players.blocks()) {
            for at in block.alone().flatten().filter(|at| block.is_present(*at)) {
                let handle = block.first + at as Handle;
                if let Some(score) = self.masks.apply(handle, sums.scores[at]) {
                    each(score.key(), handle);
                }
            }
        }
        for (handle, score) in &self.aliased {
            if let Some(score) = self.masks.apply(*handle, *score) {
                each(score.key(), *handle);
            }
        }
    }

    /// Gives out ranks to players in order.
    fn assign(&mut self, keyed: impl ExactSizeIterator<Item = (u64, Handle)>) {
        self.ranks.clear();
        self.ranks.resize(self.blocks.len() * BLOCK, 0);
        self.order.clear();
        self.order.reserve_exact(keyed.len());
        let (mut rank, mut last) = (0, None);
        for (place, (key, handle)) in keyed.enumerate() {
            if last != Some(key) {
                (rank, last) = (place as u32 + 1, Some(key));
            }
            self.ranks[handle as usize] = rank;
            self.order.push(handle);
        }
    }
}

/// What decides, beside answers and rows, what they give.
fn print_rules(counted: &[Counted<'_>]) -> u64 {
    let mut hash = Xxh3::new();
    for Counted { sheets, rules } in counted {
        (sheets.shown(), rules).hash(&mut hash);
    }
    hash.finish()
}

fn print_block(rules: u64, block: &PlayersBlock<'_>, counted: &[Counted<'_>]) -> u64 {
    let mut hash = Xxh3::new();
    hash.write_u64(rules);
    hash.write_u64(block.digest());
    block.alone().for_each(|range| (range.start, range.end).hash(&mut hash));
    for instance in counted {
        for digest in instance.sheets.digests(block.origin(), block.number()) {
            hash.write_u64(digest);
        }
    }
    hash.finish() | 1 // never that of sums which were not folded
}

fn fold(scores: &mut Vec<Score>, block: &PlayersBlock<'_>, counted: &[Counted<'_>]) {
    scores.clear();
    scores.resize(block.len(), Score::default());
    for instance in counted {
        if let Some((question, cells)) = instance.sheets.only(block) {
            // Rows that are absent, or not alone, get a sum that nobody reads.
            if let Some(rule) = instance.rule(question) {
                scores.iter_mut().zip(cells).for_each(|(score, cell)| score.add(rule, *cell));
            }
            continue;
        }
        instance.sheets.each_alone(block, |at, question, cell| {
            if let Some(rule) = instance.rule(question) {
                scores[at].add(rule, cell);
            }
        });
    }
}

fn fold_aliased(state: &EventState, counted: &[Counted<'_>]) -> Vec<(Handle, Score)> {
    let score = |rows: &[Handle]| {
        let mut score = Score::default();
        for instance in counted {
            let sheets = &instance.sheets;
            let held = rows.iter().filter_map(|row| sheets.held(state.players.row_at(*row)));
            if let Some((question, cell)) = sheets.best(held)
                && let Some(rule) = instance.rule(question)
            {
                score.add(rule, cell);
            }
        }
        (rows[0], score)
    };
    state.players.aliased().map(score).collect()
}

/// How many bits a number has.
fn bits(number: u32) -> u32 {
    u32::BITS - number.leading_zeros()
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

/// Bits of a digit: counters for it fit a core's own cache.
const DIGIT: u32 = 11;

/// Sorts words by the `bits` bits above the lowest `shift`, and otherwise keeps their order.
fn sort(words: &mut Vec<u64>, shift: u32, bits: u32) {
    let mut spare = vec![0; words.len()];
    for shift in (shift..shift + bits).step_by(DIGIT as usize) {
        let digit = |word: u64| (word >> shift & mask(DIGIT)) as usize;
        let mut starts = [0u32; 1 << DIGIT];
        words.iter().for_each(|word| starts[digit(*word)] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for word in words.iter() {
            let start = &mut starts[digit(*word)];
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

    proptest! {
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
