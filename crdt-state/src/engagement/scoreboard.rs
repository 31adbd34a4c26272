//! Points, correct time and rank of every player, kept dense and folded anew only where something changed.
//!
//! The scoreboard is a cache of a pure fold: beside every block of rows it keeps the sums and a print of
//! all that went into them (the rows' digest, the digest of every counted column's block, the rules). A
//! block is folded again when its print differs, so that a late answer or a late player costs one block
//! and not the whole event. Whatever the way here, the sums are those of a fold from nothing; a
//! property test says so.
//!
//! Handles are a state's own: a scoreboard belongs to the one state that it is updated from.

use super::quiz::{Question, Standing, outcome_of};
use crate::column::{BLOCK, Cell};
use crate::event::EventState;
use crate::event::fold::Sheets;
use crate::id::PlayerId;
use crate::players::{Handle, PlayersBlock};
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// A player's sums. Each stops at its largest value: four billion points, fifty days.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Score {
    points: u32,
    correct_ms: u32,
}

impl Score {
    fn add(&mut self, (question, open_ms): (&Question, u32), cell: Cell) {
        let outcome = outcome_of(question, open_ms, cell);
        if outcome.correct {
            self.points = self.points.saturating_add(outcome.points);
            self.correct_ms = self.correct_ms.saturating_add(outcome.elapsed_ms);
        }
    }

    /// Smaller is better.
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
    open_ms: u32,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Scoreboard {
    blocks: Vec<Sums>,
    /// Of players with several rows, by the row that speaks.
    aliased: Vec<(Handle, Score)>,
    /// Everybody, best first; equals in no particular order.
    order: Vec<Handle>,
    /// By handle; 0 where there is nobody.
    ranks: Vec<u32>,
}

impl Scoreboard {
    /// Brings it up to date. Only instances for which `counts` holds are folded.
    pub fn update(&mut self, state: &EventState, counts: impl Fn(u32) -> bool) {
        let counted: Vec<Counted<'_>> = state
            .instances()
            .filter(|(instance, _)| counts(*instance))
            .map(|(i, _)| Counted { sheets: state.sheets_of(i), open_ms: state.open_ms(i) })
            .collect();
        let questions = state.script().map_or(&[][..], |script| &script.questions);
        let rules = print_rules(&counted, questions);
        self.blocks.resize_with(state.players.blocks().len(), Sums::default);
        let mut changed = false;
        for (sums, block) in self.blocks.iter_mut().zip(state.players.blocks()) {
            let print = print_block(rules, &block, &counted);
            if sums.print != print {
                sums.print = print;
                fold(&mut sums.scores, &block, &counted, questions);
                changed = true;
            }
        }
        let aliased = fold_aliased(state, &counted, questions);
        if changed || aliased != self.aliased {
            self.aliased = aliased;
            self.rank(state);
        }
    }

    /// How many players there are.
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

    fn standing(&self, handle: Handle, player: PlayerId, rank: u32) -> Standing {
        let aliased = self.aliased.binary_search_by_key(&handle, |(handle, _)| *handle);
        let Score { points, correct_ms } = match aliased {
            Ok(at) => self.aliased[at].1,
            Err(_) => self.blocks[handle as usize / BLOCK].scores[handle as usize % BLOCK],
        };
        let (points, correct_ms) = (u64::from(points), u64::from(correct_ms));
        Standing { player, points, correct_ms, rank }
    }

    /// Competition ranks: equals share one, and the next one skips.
    fn rank(&mut self, state: &EventState) {
        let mut keyed = self.keyed(state);
        sort(&mut keyed);
        self.ranks.clear();
        self.ranks.resize(self.blocks.len() * BLOCK, 0);
        self.order.clear();
        let (mut rank, mut last) = (0, None);
        for (place, (key, handle)) in keyed.into_iter().enumerate() {
            if last != Some(key) {
                (rank, last) = (place as u32 + 1, Some(key));
            }
            self.ranks[handle as usize] = rank;
            self.order.push(handle);
        }
    }

    /// Every player's key, in the order of handles but for those with several rows.
    fn keyed(&self, state: &EventState) -> Vec<(u64, Handle)> {
        let mut keyed = Vec::with_capacity(state.players.count());
        for (sums, block) in self.blocks.iter().zip(state.players.blocks()) {
            for at in block.alone().flatten().filter(|at| block.is_present(*at)) {
                keyed.push((sums.scores[at].key(), block.first + at as Handle));
            }
        }
        keyed.extend(self.aliased.iter().map(|(handle, score)| (score.key(), *handle)));
        keyed
    }
}

/// What decides, beside answers and rows, what they give.
fn print_rules(counted: &[Counted<'_>], questions: &[Question]) -> u64 {
    let mut hash = Xxh3::new();
    for Counted { sheets, open_ms } in counted {
        (open_ms, sheets.shown()).hash(&mut hash);
        for question in sheets.questions() {
            let rules = questions.get(usize::from(question));
            let rules = rules.map(|rules| (rules.correct, rules.points));
            (question, rules).hash(&mut hash);
        }
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

fn fold(
    scores: &mut Vec<Score>,
    block: &PlayersBlock<'_>,
    counted: &[Counted<'_>],
    questions: &[Question],
) {
    scores.clear();
    scores.resize(block.len(), Score::default());
    for Counted { sheets, open_ms } in counted {
        sheets.each_alone(block, |at, question, cell| {
            if let Some(question) = questions.get(usize::from(question)) {
                scores[at].add((question, *open_ms), cell);
            }
        });
    }
}

fn fold_aliased(
    state: &EventState,
    counted: &[Counted<'_>],
    questions: &[Question],
) -> Vec<(Handle, Score)> {
    let score = |rows: &[Handle]| {
        let mut score = Score::default();
        for Counted { sheets, open_ms } in counted {
            let held = rows.iter().filter_map(|row| sheets.held(state.players.row_at(*row)));
            if let Some((question, cell)) = sheets.best(held)
                && let Some(question) = questions.get(usize::from(question))
            {
                score.add((question, *open_ms), cell);
            }
        }
        (rows[0], score)
    };
    state.players.aliased().map(score).collect()
}

/// Bits of a digit: counters for it fit a core's own cache.
const DIGIT: u32 = 11;

/// Sorts by key, digit by digit and only over the bits in which keys differ: scores lie close together.
fn sort(keyed: &mut Vec<(u64, Handle)>) {
    let (all, any) =
        keyed.iter().fold((u64::MAX, 0), |(all, any), (key, _)| (all & key, any | key));
    let mut differ = any & !all;
    let mut spare = vec![(0, 0); keyed.len()];
    while differ != 0 {
        let shift = differ.trailing_zeros();
        let digit = |key: u64| (key >> shift) as usize & ((1 << DIGIT) - 1);
        let mut starts = [0u32; 1 << DIGIT];
        keyed.iter().for_each(|(key, _)| starts[digit(*key)] += 1);
        let mut sum = 0;
        for start in &mut starts {
            sum += std::mem::replace(start, sum);
        }
        for entry in keyed.iter() {
            let start = &mut starts[digit(entry.0)];
            spare[*start as usize] = *entry;
            *start += 1;
        }
        std::mem::swap(keyed, &mut spare);
        differ &= !(((1 << DIGIT) - 1) << shift);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_sort_as_comparisons_do(
            keys in proptest::collection::vec(
                prop_oneof![any::<u64>(), (0..9u64).prop_map(|key| key << 30), 0..5u64], 0..80
            ),
        ) {
            let mut keyed: Vec<(u64, Handle)> = keys.into_iter().zip(0..).collect();
            let mut wanted = keyed.clone();
            wanted.sort_unstable();
            sort(&mut keyed);
            prop_assert_eq!(keyed, wanted);
        }
    }
}
