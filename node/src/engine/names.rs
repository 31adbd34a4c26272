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
        let name = check_form(typed)?;
        if self.is_filtering() && is_profane(&name) {
            return Err(another("name_profane", "this name is not shown here".to_owned()));
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
        // Whatever is moderated somebody looks at before everybody does.
        let is_filtered = self.is_filtering() && !task.is_moderated();
        let is_bad = || match task.has_words_apart() {
            true => text.split(", ").any(is_profane),
            false => is_profane(text),
        };
        if is_filtered && is_bad() {
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

/// The name as it will be shown, whoever says it.
///
/// # Errors
/// `name_empty`, `name_long`, `name_control`, `name_mixed`.
pub(super) fn check_form(typed: &str) -> Result<String, Refusal> {
    name::check_name(typed).map_err(|error| another(error.code(), error.to_string()))
}

fn another(code: &str, message: String) -> Refusal {
    Refusal::new(code, message).hint("choose another name")
}

/// Whether a text is abuse or swearing; the library looks through spacing, accents and digits by itself. What is
/// merely bodily or mild is not: people ask about breast cancer, and say damn.
///
/// A number apart from words is a number: read as letters, one `player 455` in a hundred would be refused. And
/// names of people that hide a word are names.
fn is_profane(text: &str) -> bool {
    if NAMES_ALONE.contains(&&*text.trim().to_lowercase()) {
        return false;
    }
    let found = Censor::from_str(&without_names(text)).analyze();
    let abuse = (Type::PROFANE | Type::OFFENSIVE | Type::MEAN) & Type::MODERATE_OR_HIGHER;
    found.is(abuse) || found.is(Type::SEXUAL & Type::SEVERE)
}

/// A text without its numbers and without the names in it that the library takes for something else.
fn without_names(text: &str) -> String {
    let is_clean = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_number = !core.is_empty() && core.chars().all(|c| c.is_ascii_digit());
        is_number || NAMES.binary_search(&&*core.to_lowercase()).is_ok()
    };
    let words = text.split_whitespace().filter(|word| !is_clean(word));
    words.collect::<Vec<_>>().join(" ")
}

/// Family and given names in which the library finds a word, in the order of their bytes.
const NAMES: [&str; 67] = [
    "alcock",
    "analise",
    "anushka",
    "arsène",
    "ashit",
    "assad",
    "assaf",
    "assange",
    "bich",
    "bonner",
    "bích",
    "cockburn",
    "cocker",
    "cockroft",
    "cumming",
    "cummings",
    "dickinson",
    "dickman",
    "dickson",
    "dikshit",
    "dyke",
    "facker",
    "fagan",
    "faggioli",
    "fagin",
    "focke",
    "fuchs",
    "fuk",
    "fuku",
    "fukuda",
    "fukuyama",
    "hancock",
    "handcock",
    "harshit",
    "hiscock",
    "hitchcock",
    "hoa",
    "hoang",
    "hoare",
    "hooker",
    "hòa",
    "kock",
    "kumar",
    "kunta",
    "kuntz",
    "kuntze",
    "lifshitz",
    "lipshitz",
    "lovecock",
    "morón",
    "nazia",
    "nazim",
    "niger",
    "niggemann",
    "peniston",
    "phuc",
    "phuoc",
    "phuong",
    "phúc",
    "raper",
    "semenov",
    "shitara",
    "slutsky",
    "spick",
    "titus",
    "wankel",
    "wilcock",
];

/// Given names that are words beside others.
const NAMES_ALONE: [&str; 3] = ["dick", "fanny", "ho"];

#[cfg(test)]
mod tests {
    use super::{NAMES, NAMES_ALONE, is_profane};

    #[test]
    fn swearing_is_found_in_its_disguises_and_names_of_places_are_not() {
        for name in ["fuck you", "FuCk", "f u c k", "sh1thead", "fuck 17", "a55"] {
            assert!(is_profane(name), "{name}");
        }
        for name in ["suck my dick", "kill yourself", "you asshole", "Hancock fuck", "f u c k 455"]
        {
            assert!(is_profane(name), "{name}");
        }
        for name in ["Ada", "Scunthorpe", "Essex", "Player 17", "Crowd 1", "Zoë", "Dr. Cassandra"]
        {
            assert!(!is_profane(name), "{name}");
        }
    }

    #[test]
    fn names_of_people_and_questions_of_an_audience_are_taken() {
        let alone = NAMES_ALONE.iter().map(|name| (*name).to_owned());
        let named = NAMES.iter().map(|name| format!("{name} Smith"));
        let asked = [
            "Is the talk about breast cancer recorded?",
            "Why did the sexual health budget shrink?",
            "Damn, how good was that?",
            "Will Ms. Hancock and Dr. Hitchcock speak again in 2027?",
            "Nguyen Phuc",
        ];
        let asked = asked.map(str::to_owned);
        let numbers = (0..2_000).map(|number| format!("What about number {}?", number * 499));
        let all = alone.chain(named).chain(asked).chain(numbers);
        let refused: Vec<String> = all.filter(|text| is_profane(text)).collect();
        assert!(refused.is_empty(), "{refused:?}");
        assert!(NAMES.is_sorted(), "they are searched by halves");
    }

    #[test]
    fn a_number_after_a_name_is_a_number() {
        let numbered = (0..2_000).map(|number| format!("player {number}"));
        let refused: Vec<String> = numbered.filter(|name| is_profane(name)).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
