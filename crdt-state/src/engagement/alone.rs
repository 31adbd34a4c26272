//! Judging an answer by its cell alone: what a fold over a million players does ten million times.

use super::scoring::{Late, Partial, Scoring};
use crate::Cell;

/// The rule of one run for choices that score only when they are exact, in the form of numbers.
///
/// Judging has no branch and no division: whether an answer is correct cannot be predicted, and a division
/// costs as much as all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alone {
    key: u32,
    full: u32,
    open_ms: u32,
    full_ms: u32,
    late_from: u32,
    decay: Decay,
}

/// Points that fall in a line: `(start - elapsed * slope) / divisor`, the division as a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Decay {
    start: u64,
    slope: u64,
    reciprocal: u64,
    shift: u32,
}

impl Decay {
    /// From `full` down to `min_percent` of it, rounded to the nearest; nothing where numbers are larger
    /// than any show's.
    fn new(full: u32, open_ms: u32, min_percent: u8) -> Option<Self> {
        let (points, length) = (u64::from(full), u64::from(open_ms));
        let divisor = 100 * length;
        let start = points.checked_mul(divisor)?.checked_add(50 * length)?;
        // With N bits of the largest dividend and L of the divisor, ceil(2^(N+L) / divisor) is too large
        // by less than 2^L parts of it: too little to reach the next quotient (Granlund and Montgomery,
        // "Division by invariant integers using multiplication", PLDI 1994, theorem 4.2).
        let shift = (u64::BITS - start.leading_zeros()) + (u64::BITS - divisor.leading_zeros());
        let reciprocal = 1_u128.checked_shl(shift)?.div_ceil(u128::from(divisor));
        let slope = points * u64::from(100 - min_percent.min(100));
        Some(Decay { start, slope, reciprocal: u64::try_from(reciprocal).ok()?, shift })
    }

    #[inline]
    fn at(&self, elapsed_ms: u32) -> u32 {
        let left = self.start - u64::from(elapsed_ms) * self.slope;
        ((u128::from(left) * u128::from(self.reciprocal)) >> self.shift) as u32
    }
}

impl Alone {
    /// The rule, if nothing but the cell matters.
    #[must_use]
    pub fn new(scoring: &Scoring, full: u32, open_ms: u32, key: u32) -> Option<Self> {
        let is_alone = scoring.partial == Partial::Exact
            && scoring.wrong == 0
            && scoring.streak.iter().all(|bonus| *bonus == 0);
        let late_from = if scoring.late == Late::Nothing { open_ms } else { u32::MAX };
        let open_ms = open_ms.max(1);
        let decay = Decay::new(full, open_ms, scoring.min_percent)?;
        is_alone.then_some(Alone { key, full, open_ms, full_ms: scoring.full_ms, late_from, decay })
    }

    /// Whether an answer is correct, and what it gives; the same as [`Scoring::choice`]. The empty cell is
    /// not correct.
    #[inline]
    #[must_use]
    pub fn judge(&self, cell: Cell) -> (bool, u32) {
        let is_correct = cell.value() == self.key && !cell.is_empty();
        let elapsed_ms = cell.elapsed_ms().min(self.open_ms);
        let decayed = self.decay.at(elapsed_ms);
        let points = if elapsed_ms < self.full_ms { self.full } else { decayed };
        let counts = is_correct & (cell.elapsed_ms() <= self.late_from);
        (is_correct, points & u32::from(counts).wrapping_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;
    use crate::engagement::script::caps::{OPEN_MS, POINTS_MAX};
    use proptest::prelude::*;

    /// Points, the length, and when: those of shows, and the largest that there are.
    fn numbers() -> impl Strategy<Value = (u32, u32, u32)> {
        let most = (0..=POINTS_MAX, 1..=6 * OPEN_MS.end(), 0..=Cell::ELAPSED_MS_MAX);
        prop_oneof![(0..3_000u32, 1..60_000u32, 0..70_000u32), most]
    }

    proptest! {
        #[test]
        fn an_answer_alone_gives_what_the_rule_gives(
            (full, open_ms, elapsed_ms) in numbers(),
            (value, key) in (1..4u32, 1..4u32),
            (min_percent, full_ms) in (0..=100u8, 0..2_000u32),
            late in prop_oneof![Just(Late::AtDeadline), Just(Late::Nothing)],
        ) {
            let scoring = Scoring { min_percent, full_ms, late, ..Scoring::default() };
            let alone = Alone::new(&scoring, full, open_ms, key).expect("nothing else matters");
            let (correct, points) = alone.judge(Cell::new(elapsed_ms, Origin(1), value));
            let wanted = scoring.choice(full, (open_ms, elapsed_ms), value, key);
            prop_assert_eq!((correct, i64::from(points)), wanted);
        }
    }
}
