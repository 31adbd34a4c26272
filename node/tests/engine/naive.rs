//! What players have and where they stand by the published rules alone, written down as a person would
//! work it out: no columns, no blocks, no caches, nothing of the product's own folds.

use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::{Key, Question, Task};
use crdt_state::event::Ruling;
use crdt_state::{Cell, EventState, PlayerId};
use std::collections::{BTreeMap, BTreeSet};

/// Points, and the sum of the times of correct answers in milliseconds.
pub type Sums = (i64, u64);

/// What somebody answered: to which question, what, when, and what was typed.
struct Answer {
    question: u16,
    value: u32,
    elapsed_ms: u32,
    text: Option<String>,
}

/// Points, time and competition rank of everybody, over the runs for which `counts` holds; `awards` come
/// on top.
pub fn standings(
    state: &EventState,
    counts: impl Fn(u32) -> bool,
    awards: &BTreeMap<PlayerId, i64>,
) -> BTreeMap<PlayerId, (u64, u64, u32)> {
    let mut all: BTreeMap<PlayerId, Sums> = state.counted().map(|id| (id, (0, 0))).collect();
    for instance in state.instances().map(|(instance, _)| instance).filter(|i| counts(*i)) {
        let before = all.clone();
        for (player, correct, points, elapsed_ms) in run(state, instance, &before) {
            let sums = all.get_mut(&player).expect("whoever answers has joined");
            sums.0 = (sums.0 + points).max(0);
            sums.1 += if correct { u64::from(elapsed_ms) } else { 0 };
        }
    }
    let total =
        |player, points: i64| (points + awards.get(player).copied().unwrap_or(0)).max(0) as u64;
    let all: BTreeMap<_, _> =
        all.iter().map(|(player, (points, ms))| (*player, (total(player, *points), *ms))).collect();
    let ahead = |of: &(u64, u64)| {
        all.values().filter(|(points, ms)| *points > of.0 || *points == of.0 && *ms < of.1).count()
    };
    all.iter().map(|(player, of)| (*player, (of.0, of.1, ahead(of) as u32 + 1))).collect()
}

/// Who was right in a run, what it gave, and when the answer was given.
fn run(
    state: &EventState,
    instance: u32,
    before: &BTreeMap<PlayerId, Sums>,
) -> Vec<(PlayerId, bool, i64, u32)> {
    // What was answered, and what hosts said of it, may be here before the show or the round that it is to.
    let is_known = state.question_of(instance).is_some();
    if !is_known || state.is_aside(instance) {
        return Vec::new();
    }
    let answers: Vec<_> =
        before.keys().filter_map(|id| Some((*id, answer(state, instance, *id)?))).collect();
    let asked: BTreeSet<u16> = answers.iter().map(|(_, answer)| answer.question).collect();
    let mut outcomes = Vec::new();
    for number in asked {
        let question = &state.script().expect("there is a show").questions[usize::from(number)];
        let given: Vec<_> = answers.iter().filter(|(_, given)| given.question == number).collect();
        let Some(key) = key(state, instance, number, question) else { continue };
        match &question.task {
            Task::Prediction(bet) => {
                let stake = |id: &PlayerId, answer: &Answer| {
                    let owned = before[id].0.max(i64::from(bet.credit));
                    i64::from(answer.value >> 4).min(owned)
                };
                let right = |answer: &Answer| key == Key::Choices(vec![(answer.value & 15) as u8]);
                let pot = |wanted: bool| -> i64 {
                    let of = given.iter().filter(|(_, answer)| right(answer) == wanted);
                    of.map(|(id, answer)| stake(id, answer)).sum()
                };
                let (won, lost) = (pot(true), pot(false));
                for (id, answer) in given.iter().filter(|_| won > 0) {
                    let mine = stake(id, answer);
                    let points = if right(answer) { lost * mine / won } else { -mine };
                    // To bet early is no merit.
                    outcomes.push((*id, right(answer), points, 0));
                }
            }
            task => outcomes.extend(given.iter().map(|(id, answer)| {
                let is_right = is_right(task, &key, answer);
                let points = if is_right { points(state.open_ms(instance), answer) } else { 0 };
                (*id, is_right, points, answer.elapsed_ms)
            })),
        }
    }
    outcomes
}

fn answer(state: &EventState, instance: u32, player: PlayerId) -> Option<Answer> {
    let rows = || state.players.rows_of(player);
    let (question, cell): (u16, Cell) = state.held(instance, rows())?;
    let text = state.held_text(instance, question, rows()).map(str::to_owned);
    Some(Answer { question, value: cell.value(), elapsed_ms: cell.elapsed_ms(), text })
}

/// The host's last word on the question that was shown, or else the script's; and what is right too.
fn key(state: &EventState, instance: u32, number: u16, question: &Question) -> Option<Key> {
    let shown = state.question_of(instance).is_some_and(|(shown, _)| shown == number);
    let ruling = state.rulings.of(instance).filter(|_| shown);
    let ruled = ruling.and_then(|ruling| ruling.key().cloned());
    match (&question.task, ruled) {
        (Task::Quiz(Quiz::Typed { accepted, .. }), ruled) => {
            let mut texts = match ruled {
                Some(Key::Texts(texts)) => texts,
                _ => accepted.clone(),
            };
            texts.extend(ruling.into_iter().flat_map(Ruling::accepted).cloned());
            Some(Key::Texts(texts))
        }
        (Task::Prediction(_), Some(Key::Choices(choices))) => Some(Key::Choices(choices)),
        (Task::Quiz(_), Some(Key::Choices(choices))) if !choices.is_empty() => {
            Some(Key::Choices(choices))
        }
        (Task::Quiz(Quiz::Choice { correct, .. }), _) => {
            Some(Key::Choices((0..16).filter(|option| correct >> option & 1 == 1).collect()))
        }
        _ => None,
    }
}

fn is_right(task: &Task, key: &Key, answer: &Answer) -> bool {
    match (task, key) {
        (Task::Quiz(Quiz::Typed { .. }), Key::Texts(texts)) => {
            answer.text.as_ref().is_some_and(|text| texts.contains(text))
        }
        (_, Key::Choices(choices)) => {
            let chosen = |option: &u8| answer.value >> option & 1 == 1;
            let chosen: Vec<u8> = (0..16).filter(chosen).collect();
            chosen == *choices
        }
        _ => false,
    }
}

/// A thousand, of which half falls away in a line over the time that a round is open.
fn points(open_ms: u32, answer: &Answer) -> i64 {
    let (open, elapsed) = (i64::from(open_ms), i64::from(answer.elapsed_ms.min(open_ms)));
    if elapsed < 500 { 1_000 } else { (1_000 * (2 * open - elapsed) + open) / (2 * open) }
}
