//! A run of a question as its kind looks at it, and the names and numbers that go with runs.

use super::{Key, Question};
use crate::Cell;
use crate::event::{EventState, Ruling};
use crate::id::PlayerId;

/// A run of a question, as a kind looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The event.
    pub state: &'a EventState,
    /// Which run.
    pub instance: u32,
    /// Which question, as an index into the script.
    pub number: u16,
    /// The question itself.
    pub question: &'a Question,
}

impl<'a> Facts<'a> {
    /// The run of the question that an instance shows.
    #[must_use]
    pub fn of(state: &'a EventState, instance: u32) -> Option<Self> {
        let (number, question) = state.question_of(instance)?;
        Some(Facts { state, instance, number, question })
    }

    /// The same run with another question of the script.
    #[must_use]
    pub fn at(&self, number: u16) -> Option<Self> {
        let question = self.state.script()?.questions.get(usize::from(number))?;
        Some(Facts { number, question, ..*self })
    }

    /// How long it was open for each player, in milliseconds, extensions included.
    #[must_use]
    pub fn open_ms(&self) -> u32 {
        self.state.open_ms(self.instance).saturating_sub(self.question.window_ms())
    }

    /// A player's answer as it is judged: what came in the time that a host granted beyond the others' is
    /// worth what an answer at the deadline is, and not late.
    #[must_use]
    pub fn judged(&self, player: PlayerId, cell: Cell) -> Cell {
        let (open_ms, elapsed_ms) = (self.open_ms(), cell.elapsed_ms());
        let is_granted =
            || elapsed_ms <= open_ms.saturating_add(self.state.named.people.extra_ms(player));
        if elapsed_ms > open_ms && is_granted() { cell.at(open_ms) } else { cell }
    }

    /// The key that holds: the host's correction, or else the script's, and what was accepted beside it.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let mut key = self.sole_key()?;
        if let (Key::Texts(texts), Some(ruling)) = (&mut key, self.ruling()) {
            let accepted = ruling.accepted().filter(|_| !crate::planted!(AcceptedForgotten));
            texts.extend(accepted.cloned());
        }
        Some(key)
    }

    /// The host's correction, or else the script's key, without what was accepted beside it.
    #[must_use]
    pub fn sole_key(&self) -> Option<Key> {
        // The far side may have ruled on another kind of question under this number.
        let fits = |key: &&Key| self.question.task.check_key(key).is_ok();
        let ruled = self.ruling().and_then(Ruling::key).filter(fits);
        ruled.cloned().or_else(|| self.question.task.key())
    }

    /// What hosts ruled: on what was shown, not on what the far side of a partition was shown.
    fn ruling(&self) -> Option<&'a Ruling> {
        let shown = self.state.question_of(self.instance).map(|(number, _)| number);
        let is_shown = shown.is_none_or(|number| number == self.number);
        self.state.rulings.of(self.instance).filter(|_| is_shown)
    }

    /// The mask of the correct options.
    #[must_use]
    pub fn mask(&self) -> u32 {
        match self.key() {
            Some(Key::Choices(choices)) => mask(&choices),
            _ => 0,
        }
    }

    /// Every answer to this question, aliases read as one.
    pub fn answers(&self) -> impl Iterator<Item = (PlayerId, Cell, Option<&'a str>)> + '_ {
        let (instance, number, state) = (self.instance, self.number, self.state);
        let (mut all, texts) = (Vec::new(), state.has_texts(instance, number));
        state.each_held(instance, |handle, question, cell| {
            if question == number {
                all.push((handle, cell));
            }
        });
        all.into_iter().map(move |(handle, cell)| {
            let player = state.players.id_at(handle);
            let text = || state.held_text(instance, number, state.players.rows_of(player));
            (player, cell, texts.then(text).flatten())
        })
    }

    /// Every answer's cell.
    pub(super) fn each_cell(&self, mut each: impl FnMut(Cell)) {
        self.state.each_held(self.instance, |_, question, cell| {
            if question == self.number {
                each(cell);
            }
        });
    }

    /// The same, with the answers of players who do not count any more.
    pub(super) fn each_cell_kept(&self, mut each: impl FnMut(Cell)) {
        self.state.each_kept(self.instance, |_, question, cell| {
            if question == self.number {
                each(cell);
            }
        });
    }

    /// How many answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        let mut count = 0;
        self.each_cell(|_| count += 1);
        count
    }

    /// How many answers have each bit.
    #[must_use]
    pub fn count_bits(&self, options: usize) -> Vec<u64> {
        let mut counts = vec![0; options];
        self.each_cell(|cell| {
            for (option, count) in counts.iter_mut().enumerate() {
                *count += u64::from(cell.value() >> option & 1);
            }
        });
        counts
    }

    /// What one of the run's counters says.
    #[must_use]
    pub fn counter(&self, option: usize) -> u64 {
        self.state.named.total(&counter_name(self.instance, option))
    }
}

/// The name of a run's counter.
#[must_use]
pub fn counter_name(instance: u32, option: usize) -> String {
    format!("run/{instance}/{option}")
}

/// The name of the counter of receipts to a run that were overruled.
#[must_use]
pub fn superseded_name(instance: u32) -> String {
    format!("superseded/{instance}")
}

/// The run that a counter belongs to, if it is one of a run.
#[must_use]
pub fn counter_run(name: &str) -> Option<u32> {
    name.strip_prefix("run/")?.split_once('/')?.0.parse().ok()
}

/// The indexes of a mask.
#[must_use]
pub fn bits(mask: u32) -> Vec<u8> {
    (0..24).filter(|option| mask >> option & 1 == 1).collect()
}

/// The mask of indexes.
#[must_use]
pub fn mask(choices: &[u8]) -> u32 {
    choices.iter().fold(0, |mask, choice| mask | 1 << u32::from(*choice).min(31))
}
