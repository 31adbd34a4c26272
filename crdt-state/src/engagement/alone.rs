//! Judging an answer by its cell alone: what a fold over a million players does ten million times.

use super::scoring::{Late, Partial, Scoring};
use crate::Cell;

/// The rule of one run for choices that score only when they are exact, in the form of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alone {
    key: u32,
    full: u32,
    open_ms: u32,
    full_ms: u32,
    min_percent: u8,
    is_late_nothing: bool,
}

impl Alone {
    /// The rule, if nothing but the cell matters and its numbers are those of a show.
    #[must_use]
    pub fn new(scoring: &Scoring, full: u32, open_ms: u32, key: u32) -> Option<Self> {
        let is_alone = scoring.partial == Partial::Exact
            && scoring.wrong == 0
            && scoring.streak.iter().all(|bonus| *bonus == 0);
        let fits = u64::from(full).checked_mul(101 * u64::from(open_ms.max(1))).is_some();
        (is_alone && fits).then_some(Alone {
            key,
            full,
            open_ms,
            full_ms: scoring.full_ms,
            min_percent: scoring.min_percent,
            is_late_nothing: scoring.late == Late::Nothing,
        })
    }

    /// Whether an answer is correct, as [`Scoring::choice`] says. The empty cell is not.
    #[inline]
    #[must_use]
    pub fn is_correct(&self, cell: Cell) -> bool {
        cell.value() == self.key && !cell.is_empty()
    }

    /// What a correct answer gives, as [`Scoring::choice`] says.
    #[inline]
    #[must_use]
    pub fn points(&self, cell: Cell) -> u32 {
        let elapsed_ms = cell.elapsed_ms();
        if elapsed_ms > self.open_ms && self.is_late_nothing {
            return 0;
        }
        self.decayed(elapsed_ms)
    }

    /// What an answer gives more to a player who has so much longer than the others.
    #[must_use]
    pub fn granted(&self, cell: Cell, extra_ms: u32) -> u32 {
        let granted = self.open_ms..=self.open_ms.saturating_add(extra_ms);
        let is_in_it = granted.contains(&cell.elapsed_ms()) && self.is_correct(cell);
        if is_in_it { self.decayed(self.open_ms) - self.points(cell) } else { 0 }
    }

    #[inline]
    fn decayed(&self, elapsed_ms: u32) -> u32 {
        let (points, length) = (u64::from(self.full), u64::from(self.open_ms.max(1)));
        let elapsed = u64::from(elapsed_ms).min(length);
        if elapsed < u64::from(self.full_ms) {
            return self.full;
        }
        let lost = u64::from(100 - self.min_percent.min(100));
        ((points * (100 * length - lost * elapsed) + 50 * length) / (100 * length)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_answer_alone_gives_what_the_rule_gives(
            (full, open_ms, elapsed_ms) in (0..3_000u32, 1..60_000u32, 0..70_000u32),
            (value, key) in (1..4u32, 1..4u32),
            (min_percent, full_ms) in (0..=100u8, 0..2_000u32),
            late in prop_oneof![Just(Late::AtDeadline), Just(Late::Nothing)],
        ) {
            let scoring = Scoring { min_percent, full_ms, late, ..Scoring::default() };
            let alone = Alone::new(&scoring, full, open_ms, key).expect("nothing else matters");
            let cell = Cell::new(elapsed_ms, Origin(1), value);
            let correct = alone.is_correct(cell);
            let points = if correct { alone.points(cell) } else { 0 };
            let wanted = scoring.choice(full, (open_ms, elapsed_ms), value, key);
            prop_assert_eq!((correct, i64::from(points)), wanted);
        }
    }
}
