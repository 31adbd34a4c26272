//! What a kind of engagement is: the one trait that all of them implement.
//!
//! Secrecy: [`Kind::View`] and [`Kind::Results`] are built without the key, and have no field for it.

use super::file::{Object, Report, Table};
use super::qa::PostView;
use super::{
    Alone, Case, Entry, Facts, Gave, Given, Invalid, Key, Question, Reason, Script, Taken, bits,
    key,
};
use crate::event::EventState;
use crate::id::PlayerId;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The phases that most kinds go through.
pub const PATH: &[Phase] =
    &[Phase::Intro, Phase::Open, Phase::Closed, Phase::Tallies, Phase::Reveal, Phase::Board];
/// The phases of a kind that has nothing to reveal and gives no points.
pub const PATH_WITHOUT_KEY: &[Phase] = &[Phase::Intro, Phase::Open, Phase::Closed, Phase::Tallies];

/// A kind of engagement.
pub trait Kind: Sized + 'static {
    /// The word for it in show files and views; the name of its folder.
    const NAME: &'static str;
    /// The fields of a question of this kind, beside those of every question.
    const FIELDS: &'static [&'static str];
    /// Its state machine: the phases that a run goes through, in order.
    const PHASES: &'static [Phase];
    /// Whether its results are shown while it is open. True where they are the point of it.
    const LIVE: bool = false;
    /// Whether what a player gives is one answer, of which an export has a line; else it is posts, votes or taps.
    const ONE_ANSWER: bool = true;
    /// Whether what is typed is judged by a key, and taken whatever it says; else everybody may be shown it.
    const JUDGES_WORDS: bool = false;
    /// Whether what is typed are words apart, with a comma between: they only meet in one answer.
    const WORDS_APART: bool = false;
    /// Whether its salt decides what comes of it, so that nobody may know the salt while anybody can still act.
    const DRAWN: bool = false;
    /// Whether who is right has answered right, so that how soon decides between equals; else it is chance, others or
    /// the world that decide.
    const TIMED: bool = true;
    /// Whether what is tapped is a reaction, which hosts switch off for all and mute for one.
    const REACTION: bool = false;
    /// What players see from the opening on. It has no field for the key.
    type View: Serialize;
    /// What everybody sees from the tallies on, beside the counts. It has no field for the key either.
    type Results: Serialize;

    /// Reads the kind's own fields; what is wrong with them is in the report.
    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self>;

    /// Whether it can be asked in a show with these teams.
    ///
    /// # Errors
    /// When it cannot, in words for the author.
    fn check_teams(&self, _teams: &[String]) -> Result<(), Invalid> {
        Ok(())
    }

    /// Writes the kind's own fields.
    fn write(&self, out: &mut Table);

    /// What players see; `announced` while the question is read out and its options are still hidden.
    fn view(&self, announced: bool) -> Self::View;

    /// What players see of it as one question of a script. The default is what they see of it alone.
    fn view_in(&self, _script: &Script, _number: u16, announced: bool) -> Self::View {
        self.view(announced)
    }

    /// The options that a player chooses from, where an answer is one of them or several.
    fn offered(_view: &Self::View) -> &[String] {
        &[]
    }

    /// Whether a player may choose several of what is offered.
    fn takes_several(_view: &Self::View) -> bool {
        false
    }

    /// What somebody gives who knows nothing: the crowd of a rehearsal. `draw` gives a number below another.
    fn guess(view: &Self::View, results: Option<&Self::Results>, draw: Draw<'_>) -> Given;

    /// What the state holds of what a player sent.
    ///
    /// # Errors
    /// When this kind does not take that, in words for the player.
    fn take(&self, given: &Given) -> Result<Taken, Invalid>;

    /// What a player gave of whom this value is held, and this text if there is one: for receipts, results, reasons
    /// and exports. The default is for values that are masks of options.
    fn given(&self, value: u32, text: Option<&str>) -> Gave {
        Gave { text: text.map(str::to_owned), ..Gave::choices(bits(value), self.options()) }
    }

    /// What can be chosen, where the task is a choice.
    fn options(&self) -> &[String] {
        &[]
    }

    /// What is secret before the reveal, if anything is.
    fn key(&self) -> Option<Key> {
        None
    }

    /// Whether a host may put this key in place of the script's.
    ///
    /// # Errors
    /// When it cannot be one, in words for the host.
    fn check_key(&self, _key: &Key) -> Result<(), Invalid> {
        Err(Invalid(format!("a {} has no key", Self::NAME)))
    }

    /// A key, as a person would say it.
    fn key_in_words(&self, key: &Key) -> String {
        key::in_words(key, self.options())
    }

    /// Whether a typed text is right by a key, where texts are judged.
    fn is_accepted(&self, _key: &Key, _text: &str) -> bool {
        false
    }

    /// What hosts may change of a closed run, beside what they may of every run. The default is another key,
    /// where [`check_key`](Kind::check_key) takes the script's own.
    fn amendments(&self) -> &'static [Amendment] {
        let is_key = self.key().is_some_and(|key| self.check_key(&key).is_ok());
        if is_key { &[Amendment::Rescore] } else { &[] }
    }

    /// How many posts a player may write, where [`Taken::Post`] is taken.
    fn posts_max(&self) -> usize {
        0
    }

    /// Whether hosts let posts through before anybody sees them.
    fn is_moderated(&self) -> bool {
        false
    }

    /// On which side a player taps who has not tapped yet, where [`Taken::Count`] is taken and it is not the player who
    /// says so: which of the run's counters the taps go to. It is held of the player as an answer is, so that nothing
    /// which comes after the round is closed changes who was on it.
    fn side_of(&self, _state: &EventState, _player: PlayerId) -> Option<u32> {
        None
    }

    /// How many gave each answer.
    fn counts(&self, facts: &Facts<'_>) -> Vec<u64>;

    /// What else the answers come to.
    fn results(&self, facts: &Facts<'_>) -> Self::Results;

    /// Leaves out of results the texts that are not to be shown, where they were taken whatever they say.
    fn sift(_results: &mut Self::Results, _is_shown: &dyn Fn(&str) -> bool) {}

    /// The posts in results, for hosts to moderate.
    fn posts(_results: &Self::Results) -> &[PostView] {
        &[]
    }

    /// How to judge an answer by its cell alone, where nothing else matters: no streak, no text, no other
    /// player. Such rounds are folded block by block; `score` must give the same.
    fn alone(&self, _facts: &Facts<'_>) -> Option<Alone> {
        None
    }

    /// Gives every player what the round gives. The default gives nothing to anybody.
    fn score(&self, _facts: &Facts<'_>, _entries: &mut [Entry<'_>]) {}

    /// How points come about, in words for players; nothing of a kind that gives none.
    fn rule(&self, question: &Question) -> Option<String>;

    /// What a right answer gives that comes at once, where that is fixed beforehand: nothing of a kind that gives no
    /// points, or gives those that players staked.
    fn full_points(&self, question: &Question) -> Option<u32> {
        self.rule(question).map(|_| question.points)
    }

    /// Why a player has what the run gave, by what `score` gave; nothing where the reason is that no answer
    /// counts. The default knows right and wrong answers only.
    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        match self.rule(case.facts.question) {
            None => Some(Reason::nothing(without_points(Self::NAME))),
            Some(rule) => case.by_outcome(&rule),
        }
    }
}

pub(super) fn without_points(kind: &str) -> String {
    format!("a round of the kind {kind} gives no points")
}

/// Draws a number below its argument, which is above zero.
pub type Draw<'a> = &'a mut dyn FnMut(u32) -> u32;

/// What hosts may change of a closed run of some kinds only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amendment {
    /// Another key in place of the script's.
    Rescore,
    /// A text that is right too.
    Accept,
    /// What came true.
    Resolve,
}

/// What a kind shows that shows nothing of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}
