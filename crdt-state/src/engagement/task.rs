//! Tasks: what a question asks for, whatever its kind. Everything here only asks the kind.

use super::file::{self, Object, Report, Table, Value};
use super::kind::without_points;
use super::{
    Alone, Amendment, Case, Entry, Facts, Gave, Given, Invalid, Key, Kind, Question, Reason,
    Script, Taken, TaskResults, TaskView,
};
use crate::event::EventState;
use crate::id::PlayerId;
use crate::stage::Phase;
use serde::{Deserialize, Serialize};

macro_rules! tasks {
    ($($module:ident $variant:ident ($path:path)),* $(,)?) => {
        /// What a question asks for, by kind.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Task {
            $(#[doc = concat!("See `", stringify!($module), "`.")] $variant($path),)*
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

            /// See [`Kind::TIMED`].
            #[must_use]
            pub fn is_timed(&self) -> bool {
                match self {
                    $(Task::$variant(_) => <$path as Kind>::TIMED,)*
                }
            }

            /// See [`Kind::check_teams`].
            pub(super) fn check_teams(&self, teams: &[String]) -> Result<(), Invalid> {
                match self {
                    $(Task::$variant(kind) => kind.check_teams(teams),)*
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
    };
}

#[cfg(not(test))]
crate::for_each_kind!(tasks);
// The guide's example is a kind in the tests of this crate, and nowhere else.
#[cfg(test)]
crate::for_each_kind!(tasks, coin Coin (super::coin::Coin));

impl Task {
    /// The kind that an entry of a show file names; a quiz if it names none.
    pub(super) fn kind_of(value: &Value, path: &str, report: &mut Report) -> Option<KindName> {
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
