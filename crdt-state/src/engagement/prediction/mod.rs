//! The prediction: players stake points on what will happen. It is locked when it closes, and resolved or
//! cancelled by a host at any time after that, however many rounds later.
//!
//! Whoever staked on what came true takes the others' stakes, in proportion to the own one; the others lose
//! theirs. Until it is resolved, and when it is cancelled or nobody was right, it gives nothing. All of
//! this is a fold: resolving twice pays once.
//!
//! Nobody stakes more than rounds before have given, or the credit. Awards cannot be staked: they belong to no
//! round, and one that is made later would change what everybody has won.

use super::file::{Object, Report, Table};
use super::reason::loss;
use super::{
    Amendment, Case, Draw, Entry, Facts, Gave, Given, Invalid, Key, Kind, PATH_WITHOUT_KEY,
    Question, Reason, SoFar, Taken,
};
use crate::Cell;
use crate::id::PlayerId;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;

/// What a prediction asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Prediction {
    /// What may happen.
    pub options: Vec<String>,
    /// The most that may be staked.
    pub stake_max: u32,
    /// What even a player without points may stake.
    pub credit: u32,
}

/// What players see of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionView {
    /// What may happen; empty during the intro.
    pub options: Vec<String>,
    /// The most that may be staked.
    pub stake_max: u32,
    /// What even a player without points may stake.
    pub credit: u32,
}

/// What a prediction comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionResults {
    /// What is staked on each option.
    pub stakes: Vec<u64>,
    /// What a host said came true; empty when the prediction is cancelled, absent before.
    pub came_true: Option<Vec<u8>>,
}

/// Bits of a value that hold the option; the rest hold the stake.
const OPTION_BITS: u32 = 4;
/// The most that fits the rest.
const STAKE_MAX: u32 = (1 << 20) - 1;

impl Kind for Prediction {
    const NAME: &'static str = "prediction";
    const FIELDS: &'static [&'static str] = &["options", "stake_max", "credit"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    const TIMED: bool = false;
    type View = PredictionView;
    type Results = PredictionResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        let options = entry.options("options", &(2..=10), report);
        let stake_max = entry.whole("stake_max", 1..=STAKE_MAX, report);
        let credit = entry.whole("credit", 0..=STAKE_MAX, report);
        let stake_max = stake_max.unwrap_or_else(|| credit.unwrap_or(0).max(1_000));
        let credit = credit.unwrap_or_else(|| stake_max.min(100));
        if credit > stake_max {
            let message = format!("{credit} is more than the {stake_max} that may be staked");
            entry.report("credit", message, report);
        }
        Some(Prediction { options: options?, stake_max, credit })
    }

    fn write(&self, out: &mut Table) {
        out.put("options", self.options.as_slice());
        out.put("stake_max", self.stake_max);
        out.put("credit", self.credit);
    }

    fn view(&self, announced: bool) -> PredictionView {
        let options = if announced { Vec::new() } else { self.options.clone() };
        PredictionView { options, stake_max: self.stake_max, credit: self.credit }
    }

    fn offered(view: &PredictionView) -> &[String] {
        &view.options
    }

    fn guess(view: &PredictionView, _: Option<&PredictionResults>, draw: Draw<'_>) -> Given {
        let stake = Some(draw(view.credit.min(view.stake_max) + 1));
        Given { stake, ..Given::guessed(view.options.len(), false, draw) }
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        let option = given.one_of(self.options.len())?;
        let stake = given.stake.unwrap_or_else(|| self.credit.min(self.stake_max));
        if stake > self.stake_max {
            return Err(Invalid(format!(
                "{stake} is more than the {} that may be staked",
                self.stake_max
            )));
        }
        Ok(Taken::value(stake << OPTION_BITS | u32::from(option)))
    }

    fn given(&self, value: u32, _: Option<&str>) -> Gave {
        let (stake, on) =
            (value >> OPTION_BITS, Gave::choices(vec![option_of(value)], &self.options));
        Gave { words: format!("{stake} on {}", on.words), stake: Some(stake), ..on }
    }

    fn check_key(&self, key: &Key) -> Result<(), Invalid> {
        match key {
            Key::Choices(choices)
                if choices.iter().all(|choice| usize::from(*choice) < self.options.len()) =>
            {
                Ok(())
            }
            _ => Err(Invalid("name the option that came true, or none to cancel".to_owned())),
        }
    }

    fn amendments(&self) -> &'static [Amendment] {
        &[Amendment::Resolve]
    }

    fn options(&self) -> &[String] {
        &self.options
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        let mut counts = vec![0; self.options.len()];
        for (_, cell, _) in facts.answers() {
            if let Some(count) = counts.get_mut(usize::from(option_of(cell.value()))) {
                *count += 1;
            }
        }
        counts
    }

    fn results(&self, facts: &Facts<'_>) -> PredictionResults {
        let mut stakes = vec![0; self.options.len()];
        let before = OnceCell::new();
        for (player, cell, _) in facts.answers() {
            let points = || points_of(before.get_or_init(|| points_before(facts)), player);
            if let Some(sum) = stakes.get_mut(usize::from(option_of(cell.value()))) {
                *sum += self.staked(cell, points);
            }
        }
        let came_true = facts.key().map(|key| match key {
            Key::Choices(choices) => choices,
            _ => Vec::new(),
        });
        PredictionResults { stakes, came_true }
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        let Some(Key::Choices(came_true)) = facts.key() else { return };
        let stake = |entry: &Entry<'_>| {
            entry.answer.map_or(0, |cell| self.staked(cell, || entry.so_far.points))
        };
        let stakes: Vec<u64> = entries.iter().map(stake).collect();
        let is_right = |entry: &Entry<'_>| {
            entry.answer.is_some_and(|cell| came_true.contains(&option_of(cell.value())))
        };
        let pool = Pool::of(entries.iter().zip(&stakes).map(|(e, stake)| (is_right(e), *stake)));
        if pool.right == 0 {
            return;
        }
        for (entry, stake) in entries.iter_mut().zip(stakes) {
            entry.outcome.correct = is_right(entry);
            let won = pool.won(stake) as i64;
            let points = if entry.outcome.correct { won } else { -(stake as i64) };
            entry.outcome.points = points;
            entry.outcome.bonus = points.max(0);
        }
    }

    /// What others have staked, which nobody knows beforehand.
    fn full_points(&self, _: &Question) -> Option<u32> {
        None
    }

    fn rule(&self, _: &Question) -> Option<String> {
        let Prediction { credit, stake_max, .. } = self;
        Some(format!(
            "who staked on what comes true keeps the stake and splits those of the others in proportion to their \
             own, rounded down; who did not loses it; a stake is at most {stake_max}, and no more than rounds have \
             given the player, or {credit}"
        ))
    }

    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        let (cell, points) = (case.cell?, case.outcome.points);
        let came_true = match case.facts.key() {
            Some(Key::Choices(choices)) => choices,
            _ => {
                return Some(Reason::nothing(
                    "nothing is paid: no host has said yet what came true",
                ));
            }
        };
        if came_true.is_empty() {
            return Some(Reason::nothing(
                "nothing is paid: it is cancelled, and every stake comes back",
            ));
        }
        let before = case.before();
        let had = |player| points_of(&before, player);
        let staked = |player, cell| self.staked(cell, || had(player));
        let all = case.all.iter().filter_map(|(player, outcome)| {
            let (_, cell) = outcome.answer.filter(|(number, _)| *number == case.facts.number)?;
            Some((came_true.contains(&option_of(cell.value())), staked(*player, cell)))
        });
        let (pool, stake) = (Pool::of(all), staked(case.player, cell));
        let limit = self.limit_in_words(cell, stake, had(case.player));
        if pool.right == 0 {
            return Some(Reason::nothing(
                "nothing is paid: nobody was right, and every stake comes back",
            ));
        }
        let reason = pool.reason(case.outcome.correct, stake, points);
        Some(Reason { arithmetic: limit + &reason.arithmetic, ..reason })
    }
}

/// What is staked in a run.
struct Pool {
    /// On what did not come true.
    wrong: u64,
    /// On what came true.
    right: u64,
}

impl Pool {
    /// Of every stake, and whether it is on what came true.
    fn of(stakes: impl Iterator<Item = (bool, u64)>) -> Self {
        stakes.fold(Pool { wrong: 0, right: 0 }, |pool, (is_right, stake)| match is_right {
            true => Pool { right: pool.right + stake, ..pool },
            false => Pool { wrong: pool.wrong + stake, ..pool },
        })
    }

    /// What a stake on what came true wins.
    fn won(&self, stake: u64) -> u64 {
        let won = u128::from(self.wrong) * u128::from(stake) / u128::from(self.right.max(1));
        won as u64
    }

    fn reason(&self, is_right: bool, stake: u64, points: i64) -> Reason {
        let Pool { wrong, right } = self;
        if !is_right {
            let verdict = format!("the stake of {stake} is lost");
            return Reason { arithmetic: format!("{verdict}: {}", loss(stake, points)), verdict };
        }
        Reason {
            arithmetic: format!(
                "{wrong} were staked on what did not come true, {right} on what did, {stake} of them the own: \
                 {wrong} * {stake} / {right}, rounded down = {points}"
            ),
            verdict: format!("the stake of {stake} comes back, with {points} of the others'"),
        }
    }
}

impl Prediction {
    /// Why a stake is not what was given, if it is not; who had so many points.
    fn limit_in_words(&self, cell: Cell, stake: u64, points: i64) -> String {
        let given = u64::from(cell.value() >> OPTION_BITS);
        let credit = self.credit;
        match stake < given {
            true => format!(
                "{given} were staked by whom rounds had given {points} points and who may stake {credit} in any case, so \
                 that it counts as: {stake}; "
            ),
            false => String::new(),
        }
    }

    /// What a player with so many points really staked: no more than there was. The points are only asked
    /// for where the credit is not enough.
    fn staked(&self, cell: Cell, points: impl FnOnce() -> i64) -> u64 {
        let (stake, credit) = (u64::from(cell.value() >> OPTION_BITS), u64::from(self.credit));
        let is_covered = stake <= credit || crate::planted!(StakeBeyondPoints);
        if is_covered { stake } else { stake.min((points() as u64).max(credit)) }
    }
}

/// What every player had before a run.
fn points_before(facts: &Facts<'_>) -> Vec<(PlayerId, SoFar)> {
    super::fold(facts.state, |instance| instance < facts.instance, |_, _| {})
}

fn points_of(all: &[(PlayerId, SoFar)], player: PlayerId) -> i64 {
    let found = all.binary_search_by_key(&player, |(id, _)| *id);
    found.map_or(0, |at| all[at].1.points)
}

fn option_of(value: u32) -> u8 {
    (value & ((1 << OPTION_BITS) - 1)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engagement::quiz::Quiz;
    use crate::engagement::testing::{Player, play, started};
    use crate::engagement::{Task, fold};

    fn prediction() -> Prediction {
        let options = ["rain", "sun"].map(str::to_owned).to_vec();
        Prediction { options, stake_max: 1_000, credit: 100 }
    }

    fn staked(option: u8, stake: u32) -> Player {
        Player::gives(Given { stake: Some(stake), ..Given::choices(&[option]) })
    }

    #[test]
    fn winners_take_the_losers_stakes_in_proportion_and_only_once() {
        let players = [staked(0, 60), staked(0, 30), staked(1, 90), Player::silent()];
        let key = Key::Choices(vec![0]);
        let once = play(prediction(), &players, std::slice::from_ref(&key));
        assert_eq!(once, [60, 30, 0, 0], "who had nothing staked a credit, and owes nothing");
        assert_eq!(play(prediction(), &players, &[key.clone(), key]), once);
    }

    #[test]
    fn who_gives_no_stake_stakes_what_may_be() {
        let kind = Prediction { stake_max: 50, ..prediction() };
        let taken = kind.take(&Given::choices(&[1])).expect("the credit is too much");
        assert_eq!(taken, Taken::value(50 << OPTION_BITS | 1));
        let taken = prediction().take(&Given::choices(&[1])).expect("the credit is staked");
        assert_eq!(taken, Taken::value(100 << OPTION_BITS | 1));
    }

    #[test]
    fn a_stake_is_no_more_than_the_player_had() {
        let players = [staked(0, 900), staked(1, 100)];
        assert_eq!(play(prediction(), &players, &[Key::Choices(vec![1])]), [0, 100]);
    }

    #[test]
    fn the_stakes_that_are_shown_are_those_that_are_paid() {
        let (options, correct) = (["a", "b"].map(str::to_owned).to_vec(), 0b1);
        let quiz = Task::Quiz(Quiz::Choice { options, correct, multiple: false });
        let plays = |choice, option, stake| {
            let stakes = Given { stake: Some(stake), ..Given::choices(&[option]) };
            Player(vec![Some(Given::choices(&[choice])), Some(stakes)])
        };
        let players = [plays(0, 0, 1_000), plays(1, 0, 1_000), plays(1, 1, 1_000), plays(0, 1, 30)];
        let state = started(&[quiz, Task::Prediction(prediction())], &players);
        let points: Vec<i64> =
            fold(&state, |_| true, |_, _| {}).iter().map(|(_, so_far)| so_far.points).collect();
        assert_eq!(points, [970, 0, 0, 970], "nothing is resolved yet");
        let facts = Facts::of(&state, 2).expect("it has opened");
        let results = prediction().results(&facts);
        assert_eq!(results.stakes, [1_070, 130], "who has nothing stakes the credit");
    }

    #[test]
    fn what_is_cancelled_open_or_foreseen_by_nobody_gives_nothing() {
        let players = [staked(0, 50), staked(0, 50)];
        for keys in [vec![], vec![Key::Choices(vec![])], vec![Key::Choices(vec![1])]] {
            assert_eq!(play(prediction(), &players, &keys), [0, 0]);
        }
    }
}
