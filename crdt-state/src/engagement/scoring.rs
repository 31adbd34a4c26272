//! One rule for the points of an answer, in integers, so that every node gets the same number.
//!
//! It covers what the products on the market do: a maximum that falls in a line to a share of itself, a
//! plateau at the start, credit for a part of a choice of several, a price of a wrong answer, a bonus for
//! streaks, and what an answer within the grace after the deadline is worth.

use super::file::{Object, Report, Table, Value, What, number, whole};
use serde::{Deserialize, Serialize};

/// How an answer is scored, apart from the most that it can give.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scoring {
    /// What is left of the points at the deadline, in hundredths; 100 means that time does not count.
    pub min_percent: u8,
    /// Below this, in milliseconds, an answer counts as immediate: nobody reads that fast, but nobody
    /// should lose points to a slow phone either.
    pub full_ms: u32,
    /// What a part of the correct options gives.
    pub partial: Partial,
    /// What a wrong answer costs.
    pub wrong: u32,
    /// What the second, third, ... correct answer in a row adds; the last one repeats.
    pub streak: Vec<u32>,
    /// What an answer within the grace after the deadline is worth.
    pub late: Late,
}

/// What a part of the correct options gives.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Partial {
    /// Nothing: exactly the correct set scores.
    #[default]
    Exact,
    /// The share of the correct options that were chosen, less that of wrong ones.
    Proportional,
    /// Up to this for every correct option, nothing if a wrong one is among them (Kahoot: 500).
    PerOption(u32),
}

impl Partial {
    /// Whether a choice of `mask` is the `key`, and what it is worth before time takes its share.
    #[must_use]
    pub fn worth(self, full: u32, mask: u32, key: u32) -> (bool, u32) {
        let (hits, misses) = ((mask & key).count_ones(), (mask & !key).count_ones());
        let worth = match self {
            Partial::PerOption(each) if misses == 0 => each.saturating_mul(hits),
            Partial::Proportional => {
                let share = u64::from(hits.saturating_sub(misses));
                (u64::from(full) * share / u64::from(key.count_ones().max(1))) as u32
            }
            _ if mask == key => full,
            _ => 0,
        };
        (mask == key, worth)
    }
}

/// What an answer within the grace after the deadline is worth.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Late {
    /// What an answer at the deadline is worth.
    #[default]
    AtDeadline,
    /// Nothing.
    Nothing,
}

impl Default for Scoring {
    /// Kahoot's published rule (support article 115002303908): full points below half a second, then
    /// falling in a line to half of them.
    fn default() -> Self {
        Scoring {
            min_percent: 50,
            full_ms: 500,
            partial: Partial::Exact,
            wrong: 0,
            streak: Vec::new(),
            late: Late::AtDeadline,
        }
    }
}

impl Scoring {
    /// What is left of `full` points for an answer at `elapsed_ms` of `open_ms`, rounded to the nearest.
    ///
    /// With half left at the end this is `(P * (2T - t) + T) / 2T`, Kahoot's formula in integers.
    #[must_use]
    pub fn decayed(&self, full: u32, open_ms: u32, elapsed_ms: u32) -> u32 {
        if elapsed_ms > open_ms && self.late == Late::Nothing {
            return 0;
        }
        let (points, length) = (u128::from(full), u128::from(open_ms.max(1)));
        let elapsed = u128::from(elapsed_ms).min(length);
        if elapsed < u128::from(self.full_ms) {
            return full;
        }
        let lost = u128::from(100 - self.min_percent.min(100));
        let half = if crate::planted!(PointsRoundedDown) { 0 } else { 50 * length };
        ((points * (100 * length - lost * elapsed) + half) / (100 * length)) as u32
    }

    /// What a choice of `mask` gives where `key` is correct, and whether it is exactly that.
    #[must_use]
    pub fn choice(&self, full: u32, time: (u32, u32), mask: u32, key: u32) -> (bool, i64) {
        self.given(self.partial.worth(full, mask, key), time)
    }

    /// What an answer gives of what it is worth after so long: time takes its share, and what is not right
    /// and worth nothing has its price.
    #[must_use]
    pub fn given(&self, (is_right, worth): (bool, u32), time: (u32, u32)) -> (bool, i64) {
        let points = i64::from(self.decayed(worth, time.0, time.1));
        let is_wrong = worth == 0 && !is_right;
        (is_right, if is_wrong { -i64::from(self.wrong) } else { points })
    }

    /// What the `nth` correct answer in a row adds.
    #[must_use]
    pub fn bonus(&self, nth: u32) -> u32 {
        let at = nth.checked_sub(2).map(|at| at as usize);
        at.and_then(|at| self.streak.get(at).or(self.streak.last())).copied().unwrap_or(0)
    }

    /// Reads the field `scoring`; what it leaves out is as in `default`.
    pub fn read(entry: &Object<'_>, default: &Scoring, report: &mut Report) -> Scoring {
        let read = |value: &Value, path: &str, report: &mut Report| {
            let table = Object::read(value, path, &FIELDS, report)?;
            let percent = table.whole("min_percent", 0..=100, report);
            let late = [("deadline", Late::AtDeadline), ("nothing", Late::Nothing)];
            Some(Scoring {
                min_percent: percent.map_or(default.min_percent, |percent| percent as u8),
                full_ms: table.whole("full_ms", 0..=600_000, report).unwrap_or(default.full_ms),
                partial: table.optional("partial", report, partial).unwrap_or(default.partial),
                wrong: table.whole("wrong", 0..=100_000, report).unwrap_or(default.wrong),
                streak: table.optional("streak", report, streak).unwrap_or(default.streak.clone()),
                late: match table.field("late") {
                    None => default.late,
                    Some(_) => table.word("late", &late, report),
                },
            })
        };
        entry.optional("scoring", report, read).unwrap_or_else(|| default.clone())
    }

    /// Writes the field `scoring` unless it is the default.
    pub fn write(&self, out: &mut Table) {
        let usual = Scoring::default();
        if *self == usual {
            return;
        }
        let mut table = Table::default();
        table.put_unless("min_percent", u32::from(self.min_percent), &u32::from(usual.min_percent));
        table.put_unless("full_ms", self.full_ms, &usual.full_ms);
        match self.partial {
            Partial::Exact => {}
            Partial::Proportional => table.put("partial", "proportional"),
            Partial::PerOption(each) => table.put("partial", each),
        }
        table.put_unless("wrong", self.wrong, &0);
        if !self.streak.is_empty() {
            table.put("streak", self.streak.as_slice());
        }
        if self.late == Late::Nothing {
            table.put("late", "nothing");
        }
        out.put("scoring", table.done());
    }
}

fn partial(value: &Value, path: &str, report: &mut Report) -> Option<Partial> {
    match &value.what {
        What::Text(word) if word == "exact" => Some(Partial::Exact),
        What::Text(word) if word == "proportional" => Some(Partial::Proportional),
        What::Number(_) => whole(value, path, &(1..=100_000), report).map(Partial::PerOption),
        _ => {
            let wanted = "expected \"exact\", \"proportional\" or the points per correct option";
            report.at(value, path, wanted);
            None
        }
    }
}

fn streak(value: &Value, path: &str, report: &mut Report) -> Option<Vec<u32>> {
    let What::List(list) = &value.what else {
        super::file::wrong_type(value, path, "a list", report);
        return None;
    };
    if list.len() > STREAK_MAX {
        report.at(value, path, format!("{} steps, at most {STREAK_MAX} fit", list.len()));
    }
    let each = |(index, value)| whole(value, &format!("{path}[{index}]"), &(0..=100_000), report);
    list.iter().enumerate().map(each).collect()
}

/// A number with up to three decimals, in thousandths.
pub(super) fn thousandths(value: &Value, path: &str, report: &mut Report) -> Option<i64> {
    let (written, number) = number(value, path, report)?;
    let exact = number * 1e3;
    if (exact - exact.round()).abs() > 1e-6 {
        report.at(value, path, format!("{written} is finer than a thousandth"));
    }
    Some(exact.round() as i64)
}

const FIELDS: [&str; 6] = ["min_percent", "full_ms", "partial", "wrong", "streak", "late"];
/// Steps of a streak's bonus. Arbitrary: products on the market stop at six.
const STREAK_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_scores_967() {
        let rule = Scoring::default();
        assert_eq!(rule.decayed(1000, 30_000, 2_000), 967);
        assert_eq!(rule.decayed(1000, 30_000, 499), 1000);
        assert_eq!(rule.decayed(1000, 30_000, 30_000), 500);
        assert_eq!(rule.decayed(1000, 30_000, 31_000), 500);
        assert_eq!(rule.choice(1000, (30_000, 10), 0b01, 0b10), (false, 0));
    }

    #[test]
    fn the_integer_form_is_kahoots_rounded_to_the_nearest() {
        let rule = Scoring::default();
        for length in [5_000_u32, 10_000, 20_000, 30_000, 60_000, 90_000, 120_000, 240_000] {
            for elapsed in (500..=length).step_by(7) {
                for full in [0_u32, 1_000, 2_000] {
                    let (t, len) = (u64::from(elapsed), u64::from(length));
                    let wanted = (u64::from(full) * (2 * len - t) + len) / (2 * len);
                    assert_eq!(u64::from(rule.decayed(full, length, elapsed)), wanted);
                }
            }
        }
    }

    #[test]
    fn parts_of_a_choice_give_what_the_rule_says() {
        let rule = |partial| Scoring { partial, min_percent: 100, wrong: 7, ..Scoring::default() };
        let of = |partial, mask| rule(partial).choice(900, (10_000, 5_000), mask, 0b111);
        assert_eq!(of(Partial::Exact, 0b011), (false, -7));
        assert_eq!(of(Partial::Exact, 0b111), (true, 900));
        assert_eq!(of(Partial::Proportional, 0b011), (false, 600));
        assert_eq!(of(Partial::Proportional, 0b1011), (false, 300));
        assert_eq!(of(Partial::Proportional, 0b1000), (false, -7));
        assert_eq!(of(Partial::PerOption(500), 0b011), (false, 1_000));
        assert_eq!(of(Partial::PerOption(500), 0b1011), (false, -7));
        assert_eq!(of(Partial::PerOption(500), 0b111), (true, 1_500));
    }

    /// What time takes from it does not make an answer wrong.
    #[test]
    fn a_partly_right_answer_that_is_late_gives_nothing_and_costs_nothing() {
        let partial = Partial::Proportional;
        let rule = Scoring { partial, late: Late::Nothing, wrong: 50, ..Scoring::default() };
        let of = |elapsed_ms, mask| rule.choice(900, (10_000, elapsed_ms), mask, 0b111);
        assert_eq!(of(10_000, 0b011), (false, 300));
        assert_eq!(of(10_001, 0b011), (false, 0), "partly right");
        assert_eq!(of(10_001, 0b111), (true, 0));
        assert_eq!(of(10_001, 0b1000), (false, -50));
        let to_nothing = Scoring { min_percent: 0, ..rule };
        assert_eq!(to_nothing.choice(900, (10_000, 10_000), 0b011, 0b111), (false, 0));
    }

    #[test]
    fn a_streak_grows_and_its_last_step_repeats() {
        let rule = Scoring { streak: vec![100, 200, 300], ..Scoring::default() };
        let bonuses: Vec<u32> = (0..7).map(|nth| rule.bonus(nth)).collect();
        assert_eq!(bonuses, [0, 0, 100, 200, 300, 300, 300]);
    }

    #[test]
    fn an_answer_in_the_grace_may_be_worth_nothing() {
        let rule = Scoring { late: Late::Nothing, ..Scoring::default() };
        assert_eq!((rule.decayed(10, 1_000, 1_000), rule.decayed(10, 1_000, 1_001)), (5, 0));
    }
}
