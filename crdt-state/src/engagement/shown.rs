//! What everybody sees of a task, whatever its kind: types without a field for the key.

use super::qa::PostView;
use super::{Draw, Given, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! shown {
    ($($module:ident $variant:ident ($path:path)),* $(,)?) => {
        /// What players see from the opening on, by kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum TaskView {
            $(#[doc = concat!("See `", stringify!($module), "`.")]
              $variant(<$path as Kind>::View),)*
        }

        /// What everybody sees from the tallies on, by kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum TaskResults {
            $(#[doc = concat!("See `", stringify!($module), "`.")]
              $variant(<$path as Kind>::Results),)*
        }

        impl TaskResults {
            /// See [`Kind::sift`].
            pub fn sift(&mut self, is_shown: &dyn Fn(&str) -> bool) {
                match self {
                    $(TaskResults::$variant(results) => <$path as Kind>::sift(results, is_shown),)*
                }
            }

            /// See [`Kind::posts`].
            #[must_use]
            pub fn posts(&self) -> &[PostView] {
                match self {
                    $(TaskResults::$variant(results) => <$path as Kind>::posts(results),)*
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
crate::for_each_kind!(shown);
// The guide's example is a kind in the tests of this crate, and nowhere else.
#[cfg(test)]
crate::for_each_kind!(shown, coin Coin (super::coin::Coin));
