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
mod facts;
pub mod file;
mod fold;
mod given;
#[cfg(test)]
mod guide;
mod key;
mod kind;
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
mod shown;
pub mod survey;
mod taken;
mod task;
mod teams;
#[cfg(test)]
mod testing;
pub mod tug;
pub mod word_cloud;

pub use alone::Alone;
pub use facts::{Facts, bits, counter_name, counter_run, mask, superseded_name};
pub use fold::{Entry, Outcome, SoFar, Standing, fold, outcome_alone, rank, ranked, standings};
pub use given::{Gave, Thousandths};
pub use key::{Key, commitment, image_name, key_text, run_salt};
pub use kind::{Amendment, Draw, Kind, Nothing, PATH, PATH_WITHOUT_KEY};
pub use reason::{Case, Reason};
pub use scoreboard::Scoreboard;
pub use scoring::Scoring;
pub use script::{Question, Script, Teams};
pub use shown::{TaskResults, TaskView};
pub use taken::{Given, Invalid, PostId, Taken};
pub use task::{KINDS, Task};
pub use teams::{
    TEAM_CHOICES_MAX, TEAM_INSTANCE, TeamStanding, choice_after, choices_made, chosen_sizes,
    held_choice, team_of, team_standings,
};

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
