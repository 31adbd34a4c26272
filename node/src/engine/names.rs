//! Which names and words of players a show takes and shows, beyond what can be shown at all.
//!
//! The filter is the ingress node's decision, like every join: what it refuses never becomes state, so it need
//! not be the same on every node. A host switches it off with the setting `name_filter`. What is typed to be
//! judged is taken whatever it says; it only is not shown.

use super::core::EventCore;
use crate::service::view::Refusal;
use crdt_state::engagement::{Facts, Taken, Task, TaskResults};
use crdt_state::named::NAME_FILTER;
use crdt_state::{PlayerId, name};
use rustrict::{Censor, Type};

impl EventCore {
    /// The name as it will be shown.
    ///
    /// # Errors
    /// `name_empty`, `name_long`, `name_control`, `name_mixed`, `name_profane`.
    pub(super) fn check_name(&self, typed: &str) -> Result<String, Refusal> {
        let another = |refusal: Refusal| refusal.hint("choose another name");
        let name = name::check_name(typed)
            .map_err(|error| another(Refusal::new(error.code(), error.to_string())))?;
        if self.is_filtering() && is_profane(&name) {
            return Err(another(Refusal::new("name_profane", "this name is not shown here")));
        }
        Ok(name)
    }

    /// Whether everybody may be shown what a player typed.
    ///
    /// # Errors
    /// `muted`, `text_profane`.
    pub(super) fn check_words(
        &self,
        player: PlayerId,
        task: &Task,
        taken: &Taken,
    ) -> Result<(), Refusal> {
        let (Taken::Post(text) | Taken::Answer { text: Some(text), .. }) = taken else {
            return Ok(());
        };
        if task.judges_words() {
            return Ok(());
        }
        if self.state().named.people.is_muted(player) {
            return Err(Refusal::new("muted", "a host takes no words from you"));
        }
        if self.is_filtering() && sayings(task, text).any(is_profane) {
            return Err(Refusal::new("text_profane", "these words are not shown here")
                .hint("say it in other words"));
        }
        Ok(())
    }

    /// What the answers of a run come to, as everybody may see it.
    pub(super) fn shown_results(&self, facts: &Facts<'_>) -> TaskResults {
        let mut results = facts.question.task.results(facts);
        if self.is_filtering() {
            results.sift(&|text| !is_profane(text));
        }
        results
    }

    fn is_filtering(&self) -> bool {
        self.state().named.setting(NAME_FILTER) != Some("off")
    }
}

/// What says something by itself: the words of a cloud only meet in one answer.
fn sayings<'text>(task: &Task, text: &'text str) -> impl Iterator<Item = &'text str> {
    let between = if matches!(task, Task::WordCloud(_)) { ", " } else { "\0" };
    text.split(between)
}

/// Whether the library finds words inappropriate; it looks through spacing, accents and digits by itself.
///
/// A number at the end, apart from the rest, is a number: read as letters, one `player 455` in a hundred
/// would be refused.
fn is_profane(name: &str) -> bool {
    let words = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = if words.ends_with([' ', '-', '_', '#']) { words } else { name };
    Censor::from_str(name).analyze().is(Type::INAPPROPRIATE)
}

#[cfg(test)]
mod tests {
    use super::is_profane;

    #[test]
    fn swearing_is_found_in_its_disguises_and_names_of_places_are_not() {
        for name in ["fuck you", "FuCk", "f u c k", "sh1thead", "fuck 17", "a55"] {
            assert!(is_profane(name), "{name}");
        }
        for name in ["Ada", "Scunthorpe", "Essex", "Player 17", "Crowd 1", "Zoë", "Dr. Cassandra"]
        {
            assert!(!is_profane(name), "{name}");
        }
    }

    #[test]
    fn a_number_after_a_name_is_a_number() {
        let numbered = (0..2_000).map(|number| format!("player {number}"));
        let refused: Vec<String> = numbered.filter(|name| is_profane(name)).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
