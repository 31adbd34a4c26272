//! The coin: heads or tails.

use super::file::{Object, Report, Table};
use super::{Draw, Entry, Facts, Given, Invalid, Key, Kind, Nothing, PATH, Question, Taken};
use crate::stage::Phase;
use serde::{Deserialize, Serialize};

/// A tossed coin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Coin {
    /// Whether it fell on tails.
    pub tails: bool,
}

/// What a right guess gives.
const POINTS: u32 = 100;

impl Kind for Coin {
    const NAME: &'static str = "coin";
    const FIELDS: &'static [&'static str] = &["tails"];
    const PHASES: &'static [Phase] = PATH;
    type View = Nothing;
    type Results = Nothing;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        Some(Coin { tails: entry.flag("tails", report) })
    }

    fn write(&self, out: &mut Table) {
        out.put("tails", self.tails);
    }

    fn view(&self, _: bool) -> Nothing {
        Nothing {}
    }

    fn guess(_: &Nothing, _: Option<&Nothing>, draw: Draw<'_>) -> Given {
        Given::guessed(2, false, draw)
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        Ok(Taken::value(1 << given.one_of(2)?))
    }

    fn key(&self) -> Option<Key> {
        Some(Key::Choices(vec![u8::from(self.tails)]))
    }

    fn check_key(&self, key: &Key) -> Result<(), Invalid> {
        match key {
            Key::Choices(choices) if matches!(choices[..], [0 | 1]) => Ok(()),
            _ => Err(Invalid("a coin falls on one side".to_owned())),
        }
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        facts.count_bits(2)
    }

    fn results(&self, _: &Facts<'_>) -> Nothing {
        Nothing {}
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        for entry in entries {
            let is_right = entry.answer.is_some_and(|cell| cell.value() == facts.mask());
            entry.judge(facts.question, (is_right, i64::from(is_right) * i64::from(POINTS)));
        }
    }

    fn full_points(&self, _: &Question) -> Option<u32> {
        Some(POINTS)
    }

    fn rule(&self, _: &Question) -> Option<String> {
        Some(format!("a right guess gives {POINTS} points, at whatever time"))
    }
}
