//! The runs of a show as hosts see them: what was asked, what holds of it, what can still be ruled.
//!
//! That a key was wrong is often found out questions later, so that a run is ruled on long after the show has
//! left it.

use super::core::EventCore;
use super::views::correct_of;
use crate::service::view::{Refusal, RoundLine, RoundView};
use crdt_state::engagement::{Amendment, Facts};
use crdt_state::event::Ruling;

/// Runs that a host's page is sent unasked, the newest ones: it may ask for the others.
const ROUNDS_SHOWN: usize = 100;
/// Runs of one question that are shown, the newest ones. Arbitrary: a question is asked again once or twice.
const ATTEMPTS_SHOWN: usize = 20;

impl EventCore {
    /// The newest runs, the last one first.
    pub(super) fn newest_rounds(&self) -> Vec<RoundLine> {
        let newest = self.state().instances().rev();
        newest.filter_map(|(instance, _)| self.round_line(instance)).take(ROUNDS_SHOWN).collect()
    }

    /// The runs of a question, counted from 1, the last one first.
    ///
    /// # Errors
    /// `question_unknown`.
    pub fn rounds_of(&self, number: u32) -> Result<Vec<RoundView>, Refusal> {
        let many = self.state().script().map_or(0, |script| script.questions.len());
        if number == 0 || number as usize > many {
            let message = format!("there is no question {number}, the show has {many}");
            return Err(Refusal::new("question_unknown", message));
        }
        let runs = self.state().instances().rev().filter_map(|(instance, _)| {
            let line = self.round_line(instance)?;
            (line.number == number).then(|| self.round_view(line)).flatten()
        });
        Ok(runs.take(ATTEMPTS_SHOWN).collect())
    }

    fn round_line(&self, instance: u32) -> Option<RoundLine> {
        let (number, question) = self.state().question_of(instance)?;
        let ruling = self.state().rulings.of(instance);
        let waits = question.task.amendments().contains(&Amendment::Resolve);
        Some(RoundLine {
            instance,
            number: u32::from(number) + 1,
            voided: self.state().is_aside(instance),
            resolved: waits.then(|| ruling.and_then(Ruling::key).is_some()),
            revision: self.state().revision_of(instance),
        })
    }

    fn round_view(&self, line: RoundLine) -> Option<RoundView> {
        let facts = Facts::of(self.state(), line.instance)?;
        let closed = (self.newest_closed() >= line.instance).then_some(&facts);
        let key = facts.key();
        Some(RoundView {
            question: self.question_view(line.instance)?,
            can: self.rulings_on(line.instance),
            correct: key.as_ref().map(correct_of).unwrap_or_default(),
            answer: key.map(|key| facts.question.in_words(&key)).unwrap_or_default(),
            answered: facts.answered(),
            tallies: closed.map(|facts| facts.question.task.counts(facts)),
            results: closed.map(|facts| self.shown_results(facts)),
            line,
        })
    }
}
