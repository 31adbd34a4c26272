//! Points, correct time and rank of every player, kept dense and folded anew only where something changed.
//!
//! The scoreboard is a cache of a pure fold: beside every block of rows it keeps the sums and a print of
//! all that went into them (the rows' digest, the edition of every counted column's block, the rules). A
//! block is folded again when its print differs, so that a late answer or a late player costs one block
//! and not the whole event; many blocks are folded on all cores. What hosts said of players (who is out, what
//! was awarded, what the time that was granted is worth) comes on top when ranks are made, and never into the
//! sums. Whatever the way here, the ranks are those of a fold from nothing; a property test says so.
//!
//! Handles are a state's own: a scoreboard belongs to the one state that it is updated from.

use super::order::{Order, Source, Span};
use super::{Alone, Facts, Standing, fold as fold_in_order};
use crate::column::{BLOCK, Cell};
use crate::event::EventState;
use crate::event::fold::Sheets;
use crate::id::{PlayerId, Row};
use crate::players::{Handle, PlayersBlock};
use rayon::prelude::*;
use std::cell::OnceCell;
use std::hash::{Hash, Hasher};
use std::ops::Range;
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
        if rule.is_correct(cell) {
            self.add_correct(rule, cell);
        }
    }

    #[inline]
    fn add_correct(&mut self, rule: &Alone, cell: Cell) {
        self.points = self.points.saturating_add(rule.points(cell));
        self.correct_ms = self.correct_ms.saturating_add(cell.elapsed_ms());
    }

    /// With what the time that a host granted is worth.
    fn granted(self, points: u32) -> Score {
        Score { points: self.points.saturating_add(points), ..self }
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
    /// Of the keys of all scores, also of those that nobody reads.
    span: Span,
    /// Whether there is a row beside every score: where it is known, nobody need look.
    is_whole: bool,
}

impl Sums {
    fn fold(&mut self, block: &PlayersBlock<'_>, counted: &[Counted<'_>]) {
        fold(&mut self.scores, block, counted);
        self.measure(block);
    }

    /// After its scores have changed.
    fn measure(&mut self, block: &PlayersBlock<'_>) {
        self.span = self.scores.iter().map(|score| score.key()).collect();
        self.is_whole = block.present(0..block.len()).all(|is_present| is_present);
    }
}

/// Blocks times runs from which on it pays to wake the other cores: some milliseconds of work.
const MANY: usize = 256;

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

/// What hosts said: who does not count, what was awarded, and what answers in time that was granted give
/// beside the sums; each by the row that speaks, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Masks {
    out: Vec<Handle>,
    awarded: Vec<(Handle, i64)>,
    granted: Vec<(Handle, u32)>,
}

impl Masks {
    fn of(state: &EventState) -> Self {
        let (out, awarded) = (state.kicked_handles(), state.awarded_handles());
        Masks { out, awarded, granted: Vec::new() }
    }

    /// Whether anything was said of any of these.
    fn touch(&self, handles: Range<Handle>) -> bool {
        fn any<T>(list: &[T], handles: &Range<Handle>, of: impl Fn(&T) -> Handle) -> bool {
            let from = list.partition_point(|entry| of(entry) < handles.start);
            list.get(from).is_some_and(|entry| of(entry) < handles.end)
        }
        any(&self.out, &handles, |handle| *handle)
            || any(&self.awarded, &handles, |(handle, _)| *handle)
            || any(&self.granted, &handles, |(handle, _)| *handle)
    }

    /// What a player comes to; nothing for one who does not count.
    fn apply(&self, handle: Handle, score: Score) -> Option<Score> {
        if self.out.binary_search(&handle).is_ok() {
            return None;
        }
        let granted = of(&self.granted, handle).map_or(score, |points| score.granted(points));
        Some(of(&self.awarded, handle).map_or(granted, |points| granted.awarded(points)))
    }
}

/// What a sorted list holds for a handle.
#[inline]
fn of<T: Copy>(list: &[(Handle, T)], handle: Handle) -> Option<T> {
    list.binary_search_by_key(&handle, |(handle, _)| *handle).ok().map(|at| list[at].1)
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Scoreboard {
    blocks: Vec<Sums>,
    /// Of players with several rows, by the row that speaks.
    aliased: Vec<(Handle, Score)>,
    masks: Masks,
    /// Everybody, best first; equals in no particular order.
    order: Order,
    /// Of each group of equals, best first, the rank and the smallest id; made when it is asked for.
    groups: OnceCell<Vec<(u32, PlayerId)>>,
}

impl Scoreboard {
    /// Brings it up to date. Only instances for which `counts` holds are folded.
    pub fn update(&mut self, state: &EventState, counts: impl Fn(u32) -> bool) {
        let counts = |instance: &u32| counts(*instance) && !state.is_aside(*instance);
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
        let blocks = self.blocks.iter_mut().zip(state.players.blocks());
        blocks.for_each(|(sums, block)| sums.measure(&block));
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
        let mut outdated = Vec::new();
        for (sums, block) in self.blocks.iter_mut().zip(state.players.blocks()) {
            let print = print_block(rules, &block, counted);
            if std::mem::replace(&mut sums.print, print) != print {
                outdated.push((sums, block));
            }
        }
        let changed = !outdated.is_empty();
        if outdated.len() * counted.len() < MANY {
            outdated.into_iter().for_each(|(sums, block)| sums.fold(&block, counted));
        } else {
            outdated.into_par_iter().for_each(|(sums, block)| sums.fold(&block, counted));
        }
        let aliased = fold_aliased(state, counted);
        let masks = Masks { granted: granted(state, counted), ..Masks::of(state) };
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
        self.order.len() == 0
    }

    /// A player's place in the state that this was last brought up to date with.
    #[must_use]
    pub fn of(&self, state: &EventState, player: PlayerId) -> Option<Standing> {
        let handle = state.players.handle_of(player)?;
        let score = self.score(handle)?;
        let rank = self.order.before(score.key())? as u32 + 1;
        Some(standing(player, score, rank))
    }

    /// The first `count` players; equals are listed by player id.
    #[must_use]
    pub fn top(&self, state: &EventState, count: usize) -> Vec<Standing> {
        let mut listed = Vec::new();
        for (rank, handle) in self.ranked() {
            // Whole groups of equals, so that it is the smallest ids which are listed.
            if rank as usize > count {
                break;
            }
            let score = self.score(handle).unwrap_or_default();
            listed.push(standing(state.players.id_at(handle), score, rank));
        }
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

    /// Calls `each` with the handle of the row that speaks for every player who counts, and the points.
    pub(super) fn each(&self, mut each: impl FnMut(Handle, u64)) {
        for (_, handle) in self.ranked() {
            each(handle, u64::from(self.score(handle).unwrap_or_default().points));
        }
    }

    fn group(&self, state: &EventState) -> Vec<(u32, PlayerId)> {
        let mut groups: Vec<(u32, PlayerId)> = Vec::new();
        for (rank, handle) in self.ranked() {
            let player = state.players.id_at(handle);
            match groups.last_mut() {
                Some((last, smallest)) if *last == rank => *smallest = player.min(*smallest),
                _ => groups.push((rank, player)),
            }
        }
        groups
    }

    /// Everybody with the rank, best first. Competition ranks: equals share one, and the next one skips.
    fn ranked(&self) -> impl Iterator<Item = (u32, Handle)> {
        let (mut rank, mut last) = (0, None);
        self.order.iter().enumerate().map(move |(place, (key, handle))| {
            if last != Some(key) {
                (rank, last) = (place as u32 + 1, Some(key));
            }
            (rank, handle)
        })
    }

    /// What a player who counts came to, by the row that speaks.
    fn score(&self, handle: Handle) -> Option<Score> {
        let aliased = self.aliased.binary_search_by_key(&handle, |(handle, _)| *handle);
        let score = match aliased {
            Ok(at) => self.aliased[at].1,
            Err(_) => {
                *self.blocks.get(handle as usize / BLOCK)?.scores.get(handle as usize % BLOCK)?
            }
        };
        self.masks.apply(handle, score)
    }

    fn rank(&mut self, state: &EventState) {
        self.groups.take();
        let (handles, count) = (self.blocks.len() * BLOCK, state.players.count());
        let before = std::mem::take(&mut self.order);
        let blocks: Vec<_> = self.blocks.iter().zip(state.players.blocks()).collect();
        let keys = Keys { blocks, aliased: &self.aliased, masks: &self.masks };
        self.order = before.of(&keys, self.span(), handles, count);
    }

    /// Of all keys that there are.
    fn span(&self) -> Span {
        let awarded = self.masks.awarded.iter().filter_map(|(handle, _)| self.score(*handle));
        let granted = self.masks.granted.iter().filter_map(|(handle, _)| self.score(*handle));
        let aliased = self.aliased.iter().map(|(_, score)| *score);
        let beside: Span = awarded.chain(granted).chain(aliased).map(Score::key).collect();
        self.blocks.iter().fold(beside, |span, sums| span.and(sums.span))
    }
}

/// The key of every player who counts, smaller for who is better: block by block, and at last of those with several
/// rows.
struct Keys<'a> {
    blocks: Vec<(&'a Sums, PlayersBlock<'a>)>,
    aliased: &'a [(Handle, Score)],
    masks: &'a Masks,
}

impl Source for Keys<'_> {
    fn parts(&self) -> usize {
        self.blocks.len() + 1
    }

    fn each(&self, parts: Range<usize>, mut push: impl FnMut(u64, Handle)) {
        let is_last = parts.end > self.blocks.len();
        for (sums, block) in &self.blocks[parts.start..parts.end.min(self.blocks.len())] {
            // Hosts speak of few players: of most blocks nobody need be looked up.
            let is_masked = self.masks.touch(block.first..block.first + BLOCK as Handle);
            for places in block.alone() {
                let all = places.clone().zip(&sums.scores[places]);
                for (at, score) in all.filter(|(at, _)| sums.is_whole || block.is_present(*at)) {
                    let handle = block.first + at as Handle;
                    let masked =
                        if is_masked { self.masks.apply(handle, *score) } else { Some(*score) };
                    if let Some(score) = masked {
                        push(score.key(), handle);
                    }
                }
            }
        }
        if is_last {
            for (handle, score) in self.aliased {
                if let Some(score) = self.masks.apply(*handle, *score) {
                    push(score.key(), *handle);
                }
            }
        }
    }
}

fn standing(player: PlayerId, score: Score, rank: u32) -> Standing {
    let (points, correct_ms) = (u64::from(score.points), u64::from(score.correct_ms));
    Standing { player, points, correct_ms, rank }
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
        for edition in instance.sheets.editions(block.origin(), block.number()) {
            hash.write_u64(edition);
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
                add(scores, cells, rule);
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

/// Adds what is beside each score. Whether an answer is correct cannot be predicted, so that a branch on it
/// would cost more than all the rest: first the correct ones are listed, then only these are looked at.
fn add(scores: &mut [Score], cells: &[Cell], rule: &Alone) {
    let (mut listed, mut count) = ([0u16; BLOCK], 0);
    for (at, cell) in (0..).zip(cells) {
        listed[count % BLOCK] = at;
        count += usize::from(rule.is_correct(*cell));
    }
    for at in listed[..count].iter().map(|at| usize::from(*at)) {
        if let (Some(score), Some(cell)) = (scores.get_mut(at), cells.get(at)) {
            score.add_correct(rule, *cell);
        }
    }
}

/// What the answers of those who have longer than the others give more than a fold by cells alone says: few
/// players, so one by one.
fn granted(state: &EventState, counted: &[Counted<'_>]) -> Vec<(Handle, u32)> {
    let more = |(player, extra_ms): (PlayerId, u32)| {
        let (handle, rows) = (state.players.handle_of(player)?, state.players.rows_of(player));
        let rows: Vec<Row> = rows.collect();
        let in_one = |instance: &Counted<'_>| {
            let held = rows.iter().filter_map(|row| instance.sheets.held(*row));
            let (question, cell) = instance.sheets.best(held)?;
            Some(instance.rule(question)?.granted(cell, extra_ms))
        };
        let points = counted.iter().filter_map(in_one).fold(0, u32::saturating_add);
        (points > 0).then_some((handle, points))
    };
    let mut granted: Vec<_> = state.named.people.extras().filter_map(more).collect();
    granted.sort_unstable();
    granted
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
