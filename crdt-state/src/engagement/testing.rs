//! Small shows for the tests of kinds.

use super::{Given, Key, Outcome, Question, Script, Taken, Task, fold};
use crate::delta::{Advance, Answers, Create, Delta, Join, RulingChange, Texts};
use crate::event::{EventState, Rule};
use crate::id::{Origin, PlayerId, Row};
use crate::named::{Change, PlayerChange};
use crate::stage::{Phase, Stage};

/// The one node of the show.
pub const ME: Origin = Origin(1);

/// What a player gives, round by round.
pub struct Player(pub Vec<Option<Given>>);

impl Player {
    pub fn gives(given: Given) -> Self {
        Player(vec![Some(given)])
    }

    pub fn silent() -> Self {
        Player(vec![None])
    }
}

/// The points of one round of a kind, after these keys were ruled one after the other.
pub fn play(
    prediction: super::prediction::Prediction,
    players: &[Player],
    keys: &[Key],
) -> Vec<i64> {
    let mut state = started(&[Task::Prediction(prediction)], players);
    for (lamport, key) in keys.iter().enumerate() {
        let (lamport, rule) = (100 + lamport as u64, Rule::Key(key.clone()));
        state.take(ME, Delta::Ruling(RulingChange { lamport, instance: 1, rule }));
    }
    outcomes(&state)[0].iter().map(|outcome| outcome.points).collect()
}

/// The outcomes of all rounds.
pub fn play_all(tasks: &[Task], players: &[Player]) -> Vec<Vec<Outcome>> {
    outcomes(&started(tasks, players))
}

fn outcomes(state: &EventState) -> Vec<Vec<Outcome>> {
    let mut all = Vec::new();
    fold(state, |_| true, |_, round| all.push(round.iter().map(|(_, outcome)| *outcome).collect()));
    all
}

/// Kicks a player, or takes that back.
pub fn kick(state: &mut EventState, player: PlayerId, out: bool) {
    let mark = state.named.people.kick(ME, player, out).expect("it is not so yet");
    state.take(ME, Delta::Named(Change::Player(PlayerChange { player, mark })));
}

/// A text, as a player types it.
pub fn typed(text: &str) -> Given {
    Given { text: Some(text.to_owned()), ..Given::default() }
}

/// A number, as a player gives it.
pub fn counted(number: f64) -> Given {
    Given { number: Some(number), ..Given::default() }
}

/// A show of which every round has been opened and answered.
pub fn started(tasks: &[Task], players: &[Player]) -> EventState {
    let questions = tasks.iter().map(|task| Question::new("?", task.clone())).collect();
    asked(questions, players, |_| 600)
}

/// The same of these questions, every player's answers given after so many milliseconds of ten seconds.
pub fn asked(
    questions: Vec<Question>,
    players: &[Player],
    elapsed_ms: impl Fn(usize) -> u32,
) -> EventState {
    let mut state = EventState::default();
    let tasks: Vec<Task> = questions.iter().map(|question| question.task.clone()).collect();
    let script = Script::new("T", questions);
    state.take(ME, Delta::Create(Create { lamport: 1, script }));
    let row = |number| Row { origin: ME, number };
    let join = |number: u32| Join {
        row: row(number),
        player: PlayerId(u128::from(number)),
        name: format!("p{number}"),
    };
    state.take(ME, Delta::Joins((0..players.len() as u32).map(join).collect()));
    for (at, task) in tasks.iter().enumerate() {
        let (instance, question) = (at as u32 + 1, Some(at as u16));
        let to = Stage::new(instance, Phase::Open);
        let advance = Advance { lamport: 2, to, question, open_ms: Some(10_000) };
        state.take(ME, Delta::Advance(advance));
        for (number, player) in players.iter().enumerate() {
            let Some(Some(given)) = player.0.get(at) else { continue };
            let Ok(Taken::Answer { value, text }) = task.take(given) else { panic!("an answer") };
            let (question, row, elapsed_ms) = (at as u16, number as u32, elapsed_ms(number));
            state.take(
                ME,
                match text {
                    Some(text) => Delta::Texts(Texts {
                        instance,
                        question,
                        rows_of: ME,
                        texts: vec![text],
                        rows: vec![(row, elapsed_ms, value, 0)],
                    }),
                    None => {
                        let rows = vec![(row, elapsed_ms, value)];
                        Delta::Answers(Answers { instance, question, rows_of: ME, rows })
                    }
                },
            );
        }
    }
    state
}
