//! What a question asks for: an option, a word to type, or a stake on an option.
//!
//! For everybody who plays or judges an answer is a choice; of what is typed it is the place of the word among
//! [`WORDS`]. So all forms are read in one way, and one fact of a player stands in one bit.

use crdt_state::PlayerId;
use crdt_state::engagement::Given;
use serde::{Deserialize, Serialize};

use crate::mix::Draw;

/// What a question asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// One of its options.
    #[default]
    Choice,
    /// One of as many words as there are options, of which one is accepted.
    Typed,
    /// A stake on an option. Nothing is correct until a host says what came true.
    Prediction,
}

/// What people type. No two are one apart from typing errors.
const WORDS: [&str; 4] = ["amber", "basalt", "cedar", "dune"];
/// The most that may be staked, and what everybody may.
pub(crate) const STAKE_MAX: u32 = 700;
pub(crate) const CREDIT: u32 = 60;

impl Form {
    pub(crate) fn is_choice(&self) -> bool {
        *self == Self::Choice
    }

    /// Whether something of it is kept until the reveal.
    pub(crate) fn has_key(self) -> bool {
        self != Self::Prediction
    }

    /// What a player sends who chooses that.
    pub(crate) fn given(self, player: PlayerId, instance: u32, choice: u8) -> Given {
        let given = Given { choices: vec![choice], ..Given::default() };
        match self {
            Self::Choice => given,
            Self::Typed => Given { text: word(choice).map(str::to_owned), ..Given::default() },
            Self::Prediction => Given { stake: Some(stake(player, instance, choice)), ..given },
        }
    }
}

/// The word that stands for a choice; none for what is no option of any question.
pub(crate) fn word(choice: u8) -> Option<&'static str> {
    WORDS.get(usize::from(choice)).copied()
}

/// The choice that a word stands for.
pub(crate) fn choice_of(text: &str) -> Option<u8> {
    WORDS.iter().position(|word| *word == text).map(|place| place as u8)
}

/// What is held, as a choice: of what was typed its word's.
pub(crate) fn held(choices: Vec<u8>, text: Option<&str>) -> Vec<u8> {
    text.and_then(choice_of).map_or(choices, |choice| vec![choice])
}

/// What a player stakes on an option: a function of these, so that nobody need remember it.
pub(crate) fn stake(player: PlayerId, instance: u32, choice: u8) -> u32 {
    let (high, low) = ((player.0 >> 64) as u64, player.0 as u64);
    let draw = Draw::new(high, &[STAKE, low, instance.into(), choice.into()]);
    1 + draw.up_to(0, u64::from(STAKE_MAX) - 1) as u32
}

/// The name of the die of stakes.
const STAKE: u64 = u64::from_be_bytes(*b"a stake!");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_the_choice_that_it_stands_for() {
        for choice in 0..4 {
            let given = Form::Typed.given(PlayerId(1), 1, choice);
            assert_eq!(held(given.choices, given.text.as_deref()), [choice]);
        }
        assert_eq!(Form::Typed.given(PlayerId(1), 1, 15).text, None);
        assert_eq!(held(vec![3], None), [3]);
    }

    #[test]
    fn stakes_are_within_what_may_be_staked_and_differ() {
        let all = (0..200).map(|player| stake(PlayerId(player), 2, 1));
        assert!(all.clone().all(|stake| (1..=STAKE_MAX).contains(&stake)));
        assert!(
            all.clone().any(|stake| stake <= CREDIT) && all.clone().any(|stake| stake > CREDIT)
        );
        assert_ne!(stake(PlayerId(1), 2, 1), stake(PlayerId(1), 3, 1));
    }
}
