//! Engagement kinds: one folder each, as plug-in state machines over the shared phases.
//!
//! A kind is a type that implements [`Kind`]: what an author writes, which phases it goes through, what it
//! takes from players, what they see before and after the key is known, how answers become points and how that
//! is explained. Everything else (replication, receipts, deadlines, leaderboards, pages' frames) is common to
//! all. Adding one is a folder here, a script of the same name in `node/web/engagement`, and its entry in the
//! table [`for_each_kind`](crate::for_each_kind). `node/docs/kinds.md` shows it with an example, which the tests
//! of this module compile and play.
//!
//! Secrecy: [`Kind::View`] and [`Kind::Results`] are built without the key, and have no field for it.

mod alone;
#[cfg(test)]
mod coin;
pub mod elimination;
pub mod file;
mod fold;
mod given;
#[cfg(test)]
mod guide;
mod key;
mod order;
pub mod poll;
pub mod prediction;
pub mod qa;
pub mod quiz;
pub mod raffle;
pub mod rating;
pub mod reactions;
mod reason;
pub mod scoreboard;
pub mod scoring;
pub mod script;
pub mod survey;
mod teams;
#[cfg(test)]
mod testing;
pub mod tug;
pub mod word_cloud;

pub use alone::Alone;
pub(crate) use fold::is_aside;
pub use fold::{Entry, Outcome, SoFar, Standing, fold, outcome_alone, rank, ranked, standings};
pub use given::{Gave, Thousandths};
pub use key::{Key, commitment, image_name, key_text, run_salt};
pub use reason::{Case, Reason};
pub use scoreboard::Scoreboard;
pub use scoring::Scoring;
pub use script::{Question, Script, Teams};
pub use teams::{
    TEAM_CHOICES_MAX, TEAM_INSTANCE, TeamStanding, choice_after, choices_made, chosen_sizes,
    held_choice, team_of, team_standings,
};

use crate::Cell;
use crate::event::{EventState, Ruling};
use crate::id::PlayerId;
use crate::stage::Phase;
use file::{Object, Report, Table, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The table of kinds: calls a macro with `module Variant path` of each, and of more that are named. A new kind
/// is a new line here.
#[macro_export]
macro_rules! for_each_kind {
    ($call:ident $(, $more:ident $Variant:ident ($path:path))*) => {
        $call! {
            quiz Quiz ($crate::engagement::quiz::Quiz),
            poll Poll ($crate::engagement::poll::Poll),
            rating Rating ($crate::engagement::rating::Rating),
            prediction Prediction ($crate::engagement::prediction::Prediction),
            elimination Elimination ($crate::engagement::elimination::Elimination),
            word_cloud WordCloud ($crate::engagement::word_cloud::WordCloud),
            qa Qa ($crate::engagement::qa::Qa),
            reactions Reactions ($crate::engagement::reactions::Reactions),
            raffle Raffle ($crate::engagement::raffle::Raffle),
            tug Tug ($crate::engagement::tug::Tug),
            survey Survey ($crate::engagement::survey::Survey),
            $($more $Variant ($path),)*
        }
    };
}

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
    /// Whether what is tapped is a reaction, which hosts switch off for all and mute for one.
    const REACTION: bool = false;
    /// What players see from the opening on. It has no field for the key.
    type View: Serialize;
    /// What everybody sees from the tallies on, beside the counts. It has no field for the key either.
    type Results: Serialize;

    /// Reads the kind's own fields; what is wrong with them is in the report.
    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self>;

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

macro_rules! kinds {
    ($($module:ident $variant:ident ($path:path)),* $(,)?) => {
        /// What a question asks for, by kind.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Task {
            $(#[doc = concat!("See [`", stringify!($module), "`].")] $variant($path),)*
        }

        /// What players see from the opening on, by kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum TaskView {
            $(#[doc = concat!("See [`", stringify!($module), "`].")]
              $variant(<$path as Kind>::View),)*
        }

        /// What everybody sees from the tallies on, by kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum TaskResults {
            $(#[doc = concat!("See [`", stringify!($module), "`].")]
              $variant(<$path as Kind>::Results),)*
        }

        /// A row of the table of kinds.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum KindName {
            $($variant,)*
        }

        /// The words for all kinds.
        pub const KINDS: &[&str] = &[$(<$path as Kind>::NAME,)*];

        impl KindName {
            const ALL: &[(&str, KindName)] = &[$((<$path as Kind>::NAME, KindName::$variant),)*];

            pub(crate) fn fields(self) -> &'static [&'static str] {
                match self {
                    $(KindName::$variant => <$path as Kind>::FIELDS,)*
                }
            }

            pub(crate) fn read(self, entry: &Object<'_>, report: &mut Report) -> Option<Task> {
                match self {
                    $(KindName::$variant => {
                        <$path as Kind>::read(entry, report).map(Task::$variant)
                    })*
                }
            }
        }

        impl Task {
            /// The word for the kind.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::NAME,)*
                }
            }

            /// The phases that a run goes through.
            #[must_use]
            pub fn phases(&self) -> &'static [Phase] {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::PHASES,)*
                }
            }

            /// Whether its results are shown while it is open.
            #[must_use]
            pub fn is_live(&self) -> bool {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::LIVE,)*
                }
            }

            /// See [`Kind::write`].
            pub fn write(&self, out: &mut Table) {
                match self {
                    $(Task::$variant(kind) => kind.write(out),)*
                }
            }

            /// See [`Kind::view`].
            #[must_use]
            pub fn view(&self, announced: bool) -> TaskView {
                match self {
                    $(Task::$variant(kind) => TaskView::$variant(kind.view(announced)),)*
                }
            }

            /// See [`Kind::view_in`].
            #[must_use]
            pub fn view_in(&self, script: &Script, number: u16, announced: bool) -> TaskView {
                match self {
                    $(Task::$variant(kind) => {
                        TaskView::$variant(kind.view_in(script, number, announced))
                    })*
                }
            }

            /// See [`Kind::JUDGES_WORDS`].
            #[must_use]
            pub fn judges_words(&self) -> bool {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::JUDGES_WORDS,)*
                }
            }

            /// See [`Kind::WORDS_APART`].
            #[must_use]
            pub fn has_words_apart(&self) -> bool {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::WORDS_APART,)*
                }
            }

            /// See [`Kind::DRAWN`].
            #[must_use]
            pub fn is_drawn(&self) -> bool {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::DRAWN,)*
                }
            }

            /// See [`Kind::REACTION`].
            #[must_use]
            pub fn is_reaction(&self) -> bool {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::REACTION,)*
                }
            }

            /// See [`Kind::take`].
            ///
            /// # Errors
            /// When this kind does not take that.
            pub fn take(&self, given: &Given) -> Result<Taken, Invalid> {
                match self {
                    $(Task::$variant(kind) => kind.take(given),)*
                }
            }

            /// See [`Kind::given`].
            #[must_use]
            pub fn given(&self, value: u32, text: Option<&str>) -> Gave {
                match self {
                    $(Task::$variant(kind) => kind.given(value, text),)*
                }
            }

            /// See [`Kind::options`].
            #[must_use]
            pub fn options(&self) -> &[String] {
                match self {
                    $(Task::$variant(kind) => kind.options(),)*
                }
            }

            /// See [`Kind::key`].
            #[must_use]
            pub fn key(&self) -> Option<Key> {
                match self {
                    $(Task::$variant(kind) => kind.key(),)*
                }
            }

            /// See [`Kind::check_key`].
            ///
            /// # Errors
            /// When it cannot be a key of this task.
            pub fn check_key(&self, key: &Key) -> Result<(), Invalid> {
                match self {
                    $(Task::$variant(kind) => kind.check_key(key),)*
                }
            }

            /// See [`Kind::key_in_words`].
            #[must_use]
            pub fn key_in_words(&self, key: &Key) -> String {
                match self {
                    $(Task::$variant(kind) => kind.key_in_words(key),)*
                }
            }

            /// See [`Kind::is_accepted`].
            #[must_use]
            pub fn is_accepted(&self, key: &Key, text: &str) -> bool {
                match self {
                    $(Task::$variant(kind) => kind.is_accepted(key, text),)*
                }
            }

            /// See [`Kind::amendments`].
            #[must_use]
            pub fn amendments(&self) -> &'static [Amendment] {
                match self {
                    $(Task::$variant(kind) => kind.amendments(),)*
                }
            }

            /// See [`Kind::posts_max`].
            #[must_use]
            pub fn posts_max(&self) -> usize {
                match self {
                    $(Task::$variant(kind) => kind.posts_max(),)*
                }
            }

            /// See [`Kind::is_moderated`].
            #[must_use]
            pub fn is_moderated(&self) -> bool {
                match self {
                    $(Task::$variant(kind) => kind.is_moderated(),)*
                }
            }

            /// See [`Kind::side_of`].
            #[must_use]
            pub fn side_of(&self, state: &EventState, player: PlayerId) -> Option<u32> {
                match self {
                    $(Task::$variant(kind) => kind.side_of(state, player),)*
                }
            }

            /// See [`Kind::counts`].
            #[must_use]
            pub fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
                match self {
                    $(Task::$variant(kind) => kind.counts(facts),)*
                }
            }

            /// See [`Kind::results`].
            #[must_use]
            pub fn results(&self, facts: &Facts<'_>) -> TaskResults {
                match self {
                    $(Task::$variant(kind) => TaskResults::$variant(kind.results(facts)),)*
                }
            }

            /// See [`Kind::alone`].
            #[must_use]
            pub fn alone(&self, facts: &Facts<'_>) -> Option<Alone> {
                match self {
                    $(Task::$variant(kind) => kind.alone(facts),)*
                }
            }

            /// See [`Kind::score`].
            pub fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
                match self {
                    $(Task::$variant(kind) => kind.score(facts, entries),)*
                }
            }

            /// See [`Kind::rule`]; of a kind that gives no points that it gives none.
            #[must_use]
            pub fn rule(&self, question: &Question) -> String {
                let rule = match self {
                    $(Task::$variant(kind) => kind.rule(question),)*
                };
                rule.unwrap_or_else(|| without_points(self.name()))
            }

            /// Whether a round can give points: where it cannot, there is no [`Kind::rule`].
            #[must_use]
            pub fn gives_points(&self, question: &Question) -> bool {
                match self {
                    $(Task::$variant(kind) => kind.rule(question).is_some(),)*
                }
            }

            /// See [`Kind::full_points`].
            #[must_use]
            pub fn full_points(&self, question: &Question) -> Option<u32> {
                match self {
                    $(Task::$variant(kind) => kind.full_points(question),)*
                }
            }

            /// See [`Kind::explain`].
            #[must_use]
            pub fn explain(&self, case: &Case<'_>) -> Option<Reason> {
                match self {
                    $(Task::$variant(kind) => kind.explain(case),)*
                }
            }
        }

        impl TaskResults {
            /// See [`Kind::sift`].
            pub fn sift(&mut self, is_shown: &dyn Fn(&str) -> bool) {
                match self {
                    $(TaskResults::$variant(results) => <$path as Kind>::sift(results, is_shown),)*
                }
            }
        }

        impl TaskView {
            /// See [`Kind::offered`].
            #[must_use]
            pub fn offered(&self) -> &[String] {
                match self {
                    $(TaskView::$variant(view) => <$path as Kind>::offered(view),)*
                }
            }

            /// See [`Kind::takes_several`].
            #[must_use]
            pub fn takes_several(&self) -> bool {
                match self {
                    $(TaskView::$variant(view) => <$path as Kind>::takes_several(view),)*
                }
            }

            /// See [`Kind::ONE_ANSWER`].
            #[must_use]
            pub fn is_one_answer(&self) -> bool {
                match self {
                    $(TaskView::$variant(_) => <$path as Kind>::ONE_ANSWER,)*
                }
            }

            /// See [`Kind::guess`]; results of another kind are as good as none.
            pub fn guess(&self, results: Option<&TaskResults>, draw: Draw<'_>) -> Given {
                match self {
                    $(TaskView::$variant(view) => {
                        let results = match results {
                            Some(TaskResults::$variant(results)) => Some(results),
                            _ => None,
                        };
                        <$path as Kind>::guess(view, results, draw)
                    })*
                }
            }
        }
    };
}

#[cfg(not(test))]
for_each_kind!(kinds);
// The guide's example is a kind in the tests of this crate, and nowhere else.
#[cfg(test)]
for_each_kind!(kinds, coin Coin (coin::Coin));

impl Task {
    /// The kind that an entry of a show file names; a quiz if it names none.
    fn kind_of(value: &Value, path: &str, report: &mut Report) -> Option<KindName> {
        let file::What::Table(fields) = &value.what else {
            file::wrong_type(value, path, "an object", report);
            return None;
        };
        let Some(named) = fields.iter().find(|field| field.name == "kind") else {
            return Some(KindName::Quiz);
        };
        let path = format!("{path}.kind");
        let name = file::string(&named.value, &path, report)?;
        let found = KindName::ALL.iter().find(|(known, _)| *known == name);
        if found.is_none() {
            let message = format!("{} is none of {}", file::quote(name), KINDS.join(", "));
            report.at(&named.value, &path, message);
        }
        found.map(|(_, kind)| *kind)
    }

    /// The phase after `phase`, or nothing after the last.
    #[must_use]
    pub fn after(&self, phase: Phase) -> Option<Phase> {
        self.phases().iter().copied().find(|next| *next > phase)
    }
}

fn without_points(kind: &str) -> String {
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

/// What a player sent, whatever the kind makes of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Chosen options, in the order in which they were sent.
    pub choices: Vec<u8>,
    /// A text, as typed.
    pub text: Option<String>,
    /// A number.
    pub number: Option<f64>,
    /// What is staked.
    pub stake: Option<u32>,
    /// How many times.
    pub count: Option<u32>,
    /// Whose post is meant.
    pub post: Option<PostId>,
    /// For how long after the opening the player's stream was not there yet, in milliseconds, as the player
    /// says. Whoever takes it bounds it.
    pub shift_ms: Option<u32>,
    /// How long the question and the answer took on the player's line, in milliseconds, as the node has
    /// measured it; never what a player says.
    pub credit_ms: u32,
    /// Whether its words are abuse, where the node has looked already; never what a player says.
    pub abuse: Option<bool>,
}

impl Given {
    /// Chosen options and nothing else.
    #[must_use]
    pub fn choices(choices: &[u8]) -> Self {
        Given { choices: choices.to_vec(), ..Given::default() }
    }

    /// One of so many options by chance, or several.
    #[must_use]
    pub fn guessed(options: usize, several: bool, draw: Draw<'_>) -> Self {
        let count = options.min(usize::from(u8::MAX)) as u8;
        if count == 0 {
            return Given::default();
        }
        let first = draw(u32::from(count)) as u8;
        let choices = (0..count).filter(|option| *option == first || (several && draw(2) == 0));
        Given { choices: choices.collect(), ..Given::default() }
    }

    /// One of `options`.
    ///
    /// # Errors
    /// When it is not exactly one, or beyond them.
    pub fn one_of(&self, options: usize) -> Result<u8, Invalid> {
        match self.some_of(options, 1)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(Invalid("choose one option".to_owned())),
        }
    }

    /// At least one of `options`, at most `most`.
    ///
    /// # Errors
    /// When there is none, too many, or one beyond the options.
    pub fn some_of(&self, options: usize, most: usize) -> Result<Vec<u8>, Invalid> {
        let mut choices = self.choices.clone();
        choices.sort_unstable();
        choices.dedup();
        if choices.is_empty() {
            return Err(Invalid("no option is chosen".to_owned()));
        }
        if let Some(beyond) = choices.iter().find(|choice| usize::from(**choice) >= options) {
            return Err(Invalid(format!("there is no option {beyond}")));
        }
        if choices.len() > most {
            let chosen = choices.len();
            let takes = if most == 1 { "one".to_owned() } else { format!("at most {most}") };
            return Err(Invalid(format!(
                "{chosen} options are chosen, this question takes {takes}"
            )));
        }
        Ok(choices)
    }

    /// A text that can be shown, its white space made single.
    ///
    /// # Errors
    /// When there is none, it is empty, too long or holds control characters.
    pub fn typed(&self) -> Result<String, Invalid> {
        let text = self.text.as_deref().unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() {
            return Err(Invalid("no text is given".to_owned()));
        }
        if text.len() > script::caps::ANSWER_BYTES_MAX {
            let most = script::caps::ANSWER_BYTES_MAX;
            return Err(Invalid(format!("the text has {} bytes, at most {most} fit", text.len())));
        }
        if text.chars().any(|c| c.is_control() || crate::name::is_invisible(c)) {
            return Err(Invalid("the text contains a character that cannot be shown".to_owned()));
        }
        Ok(text)
    }
}

/// A post of a player: a hash of the run, the player and the text, so that a repetition is the same post.
pub type PostId = u64;

/// What the state holds of what a player sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The player's one answer to the round: the earliest holds.
    Answer {
        /// At most [`Cell::VALUE_MAX`].
        value: u32,
        /// What was typed, if the value does not say it.
        text: Option<String>,
    },
    /// One of several texts.
    Post(String),
    /// Support for somebody's post.
    Vote(PostId),
    /// So many more for a counter.
    Count {
        /// Which of the kind's counters.
        option: u8,
        /// How many.
        by: u32,
    },
}

impl Taken {
    /// An answer that its value says whole.
    #[must_use]
    pub fn value(value: u32) -> Self {
        Taken::Answer { value, text: None }
    }
}

/// A kind does not take what was sent, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

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
    fn each_cell(&self, mut each: impl FnMut(Cell)) {
        self.state.each_held(self.instance, |_, question, cell| {
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

/// What a kind shows that shows nothing of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}
