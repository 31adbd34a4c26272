//! Points of one answer, and standings as a fold over all answers.
//!
//! A score is a pure function of the answers that are held, never an increment: retries, reconnects
//! and two nodes taking one player cannot count twice, and a corrected key is a new fold.

use super::Question;
use crate::Cell;
use crate::engagement::Scoreboard;
use crate::event::EventState;
use crate::id::PlayerId;

/// Below this, in milliseconds, an answer counts as immediate: nobody reads that fast, but nobody
/// should lose points to a slow phone either (Kahoot's published rule).
pub const IMMEDIATE_MS: u64 = 500;

/// The points of an answer: `P` up to [`IMMEDIATE_MS`], then falling in a line to `P / 2` at the end,
/// rounded to the nearest; 0 for a wrong one. A choice of several scores only when it is exact.
///
/// Integer form of `P * (1 - (t / T) / 2)`, so that every node gets the same number.
#[must_use]
pub fn points(question: &Question, open_ms: u32, elapsed_ms: u32, choice: u16) -> u32 {
    if choice != question.correct {
        return 0;
    }
    let (full, length) = (u64::from(question.points), u64::from(open_ms.max(1)));
    let elapsed = u64::from(elapsed_ms).min(length);
    if elapsed < IMMEDIATE_MS {
        return question.points;
    }
    ((full * (2 * length - elapsed) + length) / (2 * length)) as u32
}

/// What one player got in one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The held choice.
    pub choice: u16,
    /// When it was given.
    pub elapsed_ms: u32,
    /// Whether it is correct.
    pub correct: bool,
    /// What it gives.
    pub points: u32,
}

/// One player's place among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub player: PlayerId,
    /// Sum of points.
    pub points: u64,
    /// Sum of the response times of correct answers, in milliseconds: the tie-break.
    pub correct_ms: u64,
    /// Competition rank: 1, 2, 2, 4.
    pub rank: u32,
}

/// What an answer to a question gives.
#[must_use]
pub fn outcome_of(question: &Question, open_ms: u32, cell: Cell) -> Outcome {
    let (choice, elapsed_ms) = (cell.choice(), cell.elapsed_ms());
    let points = points(question, open_ms, elapsed_ms, choice);
    Outcome { choice, elapsed_ms, correct: choice == question.correct, points }
}

/// The outcome of one player in one instance; nothing if there is no answer.
#[must_use]
pub fn outcome(state: &EventState, instance: u32, player: PlayerId) -> Option<Outcome> {
    let (question, cell) = state.held(instance, state.players.rows_of(player))?;
    let question = state.script()?.questions.get(usize::from(question))?;
    Some(outcome_of(question, state.open_ms(instance), cell))
}

/// All players in the order of the leaderboard: by points, then by total correct response time; equals
/// share a rank and are listed by player id. Only instances for which `counts` holds are folded. A fold
/// from nothing; who asks again and again keeps a [`Scoreboard`].
#[must_use]
pub fn standings(state: &EventState, counts: impl Fn(u32) -> bool) -> Vec<Standing> {
    let mut board = Scoreboard::default();
    board.update(state, counts);
    board.top(state, usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(points: u32) -> Question {
        Question {
            text: "?".into(),
            options: vec!["a".into(), "b".into()],
            correct: 0b10,
            open_ms: 30_000,
            points,
            explanation: None,
            multiple: false,
        }
    }

    #[test]
    fn the_published_example_scores_967() {
        assert_eq!(points(&question(1000), 30_000, 2_000, 0b10), 967);
        assert_eq!(points(&question(1000), 30_000, 499, 0b10), 1000);
        assert_eq!(points(&question(1000), 30_000, 30_000, 0b10), 500);
        assert_eq!(points(&question(1000), 30_000, 31_000, 0b10), 500);
        assert_eq!(points(&question(1000), 30_000, 10, 0b01), 0);
    }
}
