//! Points and standings as a fold over all answers.
//!
//! A score is a pure function of what is held, never an increment: retries, reconnects and two nodes taking
//! one player cannot count twice, and a corrected key is a new fold. Runs are folded in order, since a
//! streak, a life and a stake depend on what came before.

use super::scoring::Late;
use super::{Facts, Question};
use crate::Cell;
use crate::column::BLOCK;
use crate::event::EventState;
use crate::id::PlayerId;

/// What one player got in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The held answer and the question it was given to.
    pub answer: Option<(u16, Cell)>,
    /// Whether it is correct.
    pub correct: bool,
    /// What it gives, bonus included; below zero where a wrong answer has a price, and never more than there is.
    pub points: i64,
    /// The part of the points that a streak, a prize or a pool adds.
    pub bonus: i64,
    /// Lives left after an elimination's round.
    pub lives: Option<u32>,
    /// How often the player has come back in that elimination by then.
    pub revived: u32,
    /// Whether the player has answered any round of that elimination by then.
    pub took_part: bool,
}

impl Outcome {
    /// Whether the player is in an elimination after its round: who has answered none of its rounds has lives as all
    /// others have, and no part in it.
    #[must_use]
    pub fn is_survivor(&self) -> bool {
        self.lives > Some(0) && self.took_part
    }
}

/// What one player has before a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoFar {
    /// Points; never below zero.
    pub points: i64,
    /// Sum of the response times of correct answers, in milliseconds.
    pub correct_ms: u64,
    /// Correct answers in a row.
    pub streak: u32,
    /// Lives left in the elimination whose first question has the number [`SoFar::elimination`].
    pub lives: Option<u32>,
    /// How often the player came back in it.
    pub revived: u32,
    /// Which elimination that is.
    pub elimination: u16,
    /// Whether the player has answered any round of it.
    pub took_part: bool,
}

/// One player in one run, as a kind scores it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who.
    pub player: PlayerId,
    /// The held answer as it is [judged](Facts::judged), if there is one.
    pub answer: Option<Cell>,
    /// What was typed.
    pub text: Option<&'a str>,
    /// What the player has before; a kind may change streaks and lives, never points.
    pub so_far: &'a mut SoFar,
    /// What the run gives.
    pub outcome: &'a mut Outcome,
}

impl Entry<'_> {
    /// Gives what a correct or wrong answer gives, the bonus of a streak included. Whoever has not
    /// answered gets nothing and loses the streak.
    pub fn judge(&mut self, question: &Question, (correct, points): (bool, i64)) {
        self.so_far.streak = if correct { self.so_far.streak + 1 } else { 0 };
        // Where what is late gives nothing, it gives no bonus either; the streak goes on.
        let is_late = points == 0 && question.scoring.late == Late::Nothing;
        let paid = correct && question.points > 0 && !is_late;
        let bonus = if paid { question.scoring.bonus(self.so_far.streak) } else { 0 };
        self.outcome.correct = correct;
        self.outcome.bonus = i64::from(bonus);
        self.outcome.points = points + i64::from(bonus);
    }
}

/// One player's place among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub player: PlayerId,
    /// Sum of points, never below zero.
    pub points: u64,
    /// Sum of the response times of correct answers, in milliseconds: the tie-break.
    pub correct_ms: u64,
    /// Competition rank: 1, 2, 2, 4.
    pub rank: u32,
}

/// Folds the runs for which `counts` holds, in order, and shows each one's outcomes to `visit`, in the order
/// of the players. Returns what every player who counts has at the end, awards aside. Runs that a host set
/// aside give nothing.
pub fn fold(
    state: &EventState,
    counts: impl Fn(u32) -> bool,
    mut visit: impl FnMut(u32, &[(PlayerId, Outcome)]),
) -> Vec<(PlayerId, SoFar)> {
    let people = People::of(state);
    let mut all: Vec<_> = people.ids.iter().map(|id| (*id, SoFar::default())).collect();
    for (instance, _) in state.instances().filter(|(instance, _)| counts(*instance)) {
        let outcomes = people.fold_one(state, instance, &mut all);
        visit(instance, &outcomes);
    }
    all
}

/// All players who count in the order of their ids, and where each one's answers are found.
struct People {
    ids: Vec<PlayerId>,
    /// By the handle of the row that speaks for a player: the place in `ids`.
    places: Vec<u32>,
}

impl People {
    fn of(state: &EventState) -> Self {
        let ids: Vec<PlayerId> = state.counted().collect();
        let mut places = vec![0; state.players.blocks().len() * BLOCK];
        for (place, id) in ids.iter().enumerate() {
            let handle = state.players.handle_of(*id).expect("an id that is listed has a row");
            places[handle as usize] = place as u32;
        }
        People { ids, places }
    }

    fn fold_one(
        &self,
        state: &EventState,
        instance: u32,
        all: &mut [(PlayerId, SoFar)],
    ) -> Vec<(PlayerId, Outcome)> {
        let mut outcomes: Vec<_> = self.ids.iter().map(|id| (*id, Outcome::default())).collect();
        state.each_held(instance, |handle, question, cell| {
            let place = self.places[handle as usize] as usize;
            outcomes[place].1.answer = Some((question, cell));
        });
        if !state.is_aside(instance) {
            for facts in questions_of(state, instance) {
                score_one(&facts, all, &mut outcomes);
            }
            let script = state.script();
            let is_timed = |number: u16| {
                let question = script.and_then(|script| script.questions.get(usize::from(number)));
                question.is_some_and(|question| question.task.is_timed())
            };
            let ruled = || state.rulings.of(instance).is_some();
            let again = crate::planted!(ScoreIncrements) && ruled();
            for ((_, so_far), (_, outcome)) in all.iter_mut().zip(&mut outcomes) {
                so_far.take(outcome, is_timed);
                so_far.points += if again { outcome.points } else { 0 };
            }
        }
        outcomes
    }
}

impl SoFar {
    /// Begins an elimination, unless it is the one that is going on.
    pub fn enter(&mut self, elimination: u16) {
        if self.lives.is_none() || self.elimination != elimination {
            (self.lives, self.revived, self.took_part) = (None, 0, false);
            self.elimination = elimination;
        }
    }

    /// Takes in what a run gave. Nobody owes anything: it takes no more than there is.
    fn take(&mut self, outcome: &mut Outcome, is_timed: impl Fn(u16) -> bool) {
        outcome.points = outcome.points.max(-self.points);
        self.points += outcome.points;
        let answer = outcome.answer.filter(|(number, _)| outcome.correct && is_timed(*number));
        self.correct_ms += u64::from(answer.map_or(0, |(_, cell)| cell.elapsed_ms()));
    }
}

/// The question that was shown, then those that were answered on the far side of a partition.
fn questions_of(state: &EventState, instance: u32) -> Vec<Facts<'_>> {
    let Some(shown) = Facts::of(state, instance) else { return Vec::new() };
    let sheets = state.sheets_of(instance);
    let others = sheets.questions().filter(|number| *number != shown.number);
    std::iter::once(shown).chain(others.filter_map(|number| shown.at(number))).collect()
}

fn score_one(
    facts: &Facts<'_>,
    all: &mut [(PlayerId, SoFar)],
    outcomes: &mut [(PlayerId, Outcome)],
) {
    let shown = facts.state.question_of(facts.instance).map(|(number, _)| number);
    let is_shown = shown == Some(facts.number);
    let texts = facts.state.has_texts(facts.instance, facts.number);
    let mut entries = Vec::with_capacity(all.len());
    for ((player, so_far), (_, outcome)) in all.iter_mut().zip(outcomes) {
        let answer = match outcome.answer {
            Some((number, cell)) if number == facts.number => Some(facts.judged(*player, cell)),
            None if is_shown => None,
            _ => continue,
        };
        // To find somebody's rows is dear, and mostly nobody types.
        let typed = (texts && answer.is_some()).then(|| facts.state.players.rows_of(*player));
        let text = typed.map(|rows| facts.state.held_text(facts.instance, facts.number, rows));
        entries.push(Entry { player: *player, answer, text: text.flatten(), so_far, outcome });
    }
    facts.question.task.score(facts, &mut entries);
}

/// What one player got in one run, for a run whose every answer stands [alone](super::Task::alone).
#[must_use]
pub fn outcome_alone(state: &EventState, instance: u32, player: PlayerId) -> Outcome {
    let answer = state.held(instance, state.players.rows_of(player));
    let mut outcome = Outcome { answer, ..Outcome::default() };
    let facts = Facts::of(state, instance).filter(|_| !state.is_aside(instance));
    if let (Some((number, cell)), Some(facts)) = (answer, facts)
        && let Some(alone) = facts.at(number).and_then(|facts| facts.question.task.alone(&facts))
    {
        let cell = facts.judged(player, cell);
        outcome.correct = alone.is_correct(cell);
        outcome.points = if outcome.correct { i64::from(alone.points(cell)) } else { 0 };
    }
    outcome
}

/// All players who count in the order of the leaderboard: by points, awards included, then by total correct
/// response time; equals share a rank and are listed by player id. Only instances for which `counts` holds
/// are folded. A fold from nothing; who asks again and again keeps a [`Scoreboard`](super::Scoreboard).
#[must_use]
pub fn standings(state: &EventState, counts: impl Fn(u32) -> bool) -> Vec<Standing> {
    ranked(state, fold(state, counts, |_, _| {}))
}

/// The standings of what a [`fold`] gave: awards come on top, and nobody falls below nothing.
#[must_use]
pub fn ranked(state: &EventState, mut all: Vec<(PlayerId, SoFar)>) -> Vec<Standing> {
    for (player, points) in state.named.awarded() {
        if let Ok(at) = all.binary_search_by_key(&player, |(id, _)| *id) {
            let so_far = &mut all[at].1;
            so_far.points = so_far.points.saturating_add(points);
        }
    }
    rank(&all)
}

/// Sorts and ranks.
#[must_use]
pub fn rank(all: &[(PlayerId, SoFar)]) -> Vec<Standing> {
    let standing = |(player, so_far): &(PlayerId, SoFar)| Standing {
        player: *player,
        points: so_far.points.max(0) as u64,
        correct_ms: so_far.correct_ms,
        rank: 0,
    };
    let mut all: Vec<Standing> = all.iter().map(standing).collect();
    let ms = |s: &Standing| if crate::planted!(TieBreakForgotten) { 0 } else { s.correct_ms };
    all.sort_by_key(|s| (std::cmp::Reverse(s.points), ms(s), s.player));
    let mut last = (0, u64::MAX, u64::MAX);
    for (place, standing) in all.iter_mut().enumerate() {
        let key = (standing.points, ms(standing));
        if (last.1, last.2) != key || crate::planted!(TiesNotShared) {
            last = (place as u32 + 1, key.0, key.1);
        }
        standing.rank = last.0;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(points: &[(u128, i64)]) -> Vec<(u128, u32)> {
        let so_far = |points| SoFar { points, correct_ms: 10, ..SoFar::default() };
        let all: Vec<_> = points.iter().map(|(id, p)| (PlayerId(*id), so_far(*p))).collect();
        rank(&all).iter().map(|s| (s.player.0, s.rank)).collect()
    }

    #[test]
    fn equals_share_a_rank_and_the_next_one_skips() {
        let all = [(4, 1), (3, 5), (2, 5), (1, 9)];
        assert_eq!(ranked(&all), [(1, 1), (2, 2), (3, 2), (4, 4)]);
    }

    #[test]
    fn players_without_points_are_ranked_too() {
        assert_eq!(ranked(&[(1, 0)]), [(1, 1)]);
        assert_eq!(ranked(&[(1, -5), (2, 0)]), [(1, 1), (2, 1)]);
    }
}
