//! Which names and words of players a show takes and shows, beyond what can be shown at all.
//!
//! The filter is the ingress node's decision, like every join: what it refuses never becomes state, so it need
//! not be the same on every node. A host switches it off with the setting `name_filter`. What is typed to be
//! judged is taken whatever it says; it only is not shown.
//!
//! To look costs 2 to 10 us for a name, 30 us for a text of 200 bytes, and ten times that for one that is made to cost
//! (release build). So the event's owner does not look where somebody has on the way: a name is looked at on its
//! player's connection, words in the shard of their slot; and what is shown ten times a second is looked at once.

use super::core::EventCore;
use crate::service::view::Refusal;
use crdt_state::engagement::{Facts, Taken, Task, TaskResults};
use crdt_state::named::NAME_FILTER;
use crdt_state::{PlayerId, name};
use rustrict::{Censor, Type};
use std::collections::BTreeMap;

impl EventCore {
    /// The name as it will be shown.
    ///
    /// # Errors
    /// `name_empty`, `name_long`, `name_control`, `name_mixed`, `name_profane`.
    pub(super) fn check_name(&self, typed: &str, abuse: Option<bool>) -> Result<String, Refusal> {
        let name = check_form(typed)?;
        if self.is_filtering() && abuse.unwrap_or_else(|| is_profane(&name)) {
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
        abuse: Option<bool>,
    ) -> Result<(), Refusal> {
        let Some(text) = shown_words(task, taken) else { return Ok(()) };
        if self.state().named.people.is_muted(player) {
            return Err(Refusal::new("muted", "a host takes no words from you"));
        }
        // Whatever is moderated somebody looks at before everybody does.
        let is_filtered = self.is_filtering() && !task.is_moderated();
        if is_filtered && abuse.unwrap_or_else(|| is_abuse(task, text)) {
            return Err(Refusal::new("text_profane", "these words are not shown here")
                .hint("say it in other words"));
        }
        Ok(())
    }

    /// What the answers of a run come to, as everybody may see it.
    pub(super) fn shown_results(&self, facts: &Facts<'_>) -> TaskResults {
        let mut results = facts.question.task.results(facts);
        if self.is_filtering() {
            results.sift(&|text| !self.looked_at.borrow_mut().is_profane(text));
        }
        results
    }

    fn is_filtering(&self) -> bool {
        self.state().named.setting(NAME_FILTER) != Some("off")
    }
}

/// Whether a name is abuse, as it will be shown; nothing of one that no show takes.
pub(crate) fn look_at_name(typed: &str) -> Option<bool> {
    check_form(typed).ok().map(|name| is_profane(&name))
}

/// Whether the words that were taken are abuse; nothing where there are none, or nobody is shown them unseen.
pub(super) fn look_at_words(task: &Task, taken: &Taken) -> Option<bool> {
    let text = shown_words(task, taken)?;
    (!task.is_moderated()).then(|| is_abuse(task, text))
}

/// What was typed to be shown.
fn shown_words<'a>(task: &Task, taken: &'a Taken) -> Option<&'a str> {
    match taken {
        Taken::Post(text) | Taken::Answer { text: Some(text), .. } if !task.judges_words() => {
            Some(text)
        }
        _ => None,
    }
}

fn is_abuse(task: &Task, text: &str) -> bool {
    match task.has_words_apart() {
        true => text.split(", ").any(is_profane),
        false => is_profane(text),
    }
}

/// Words that were looked at, so that a view does not look at them again.
#[derive(Debug, Default)]
pub(super) struct LookedAt(BTreeMap<String, bool>);

/// Words whose verdict is kept: more than are shown at once, and some hundred kilobytes.
const LOOKED_AT_MAX: usize = 2_048;

impl LookedAt {
    fn is_profane(&mut self, text: &str) -> bool {
        if let Some(known) = self.0.get(text) {
            return *known;
        }
        if self.0.len() >= LOOKED_AT_MAX {
            self.0.clear();
        }
        let found = is_profane(text);
        self.0.insert(text.to_owned(), found);
        crdt_state::bounded!(LookedAt, self.0.len(), LOOKED_AT_MAX);
        found
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
    use super::{LOOKED_AT_MAX, LookedAt, NAMES, NAMES_ALONE, is_profane, look_at_name};

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
    fn what_was_looked_at_is_known_and_takes_no_room_without_end() {
        let mut looked_at = LookedAt::default();
        for _ in 0..2 {
            assert!(looked_at.is_profane("fuck") && !looked_at.is_profane("duck"));
        }
        assert_eq!(looked_at.0.len(), 2);
        for number in 0..3 * LOOKED_AT_MAX {
            assert!(!looked_at.is_profane(&format!("swan {number}")));
            assert!(looked_at.0.len() <= LOOKED_AT_MAX);
        }
    }

    #[test]
    fn a_name_is_looked_at_as_it_will_be_shown() {
        assert_eq!(look_at_name("  fuck \u{a0} you "), Some(true));
        assert_eq!(look_at_name("Ada"), Some(false));
        assert_eq!(look_at_name(" "), None, "no show takes it");
    }

    #[test]
    fn a_number_after_a_name_is_a_number() {
        let numbered = (0..2_000).map(|number| format!("player {number}"));
        let refused: Vec<String> = numbered.filter(|name| is_profane(name)).collect();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
