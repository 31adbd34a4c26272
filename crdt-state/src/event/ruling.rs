//! What hosts ruled on a run: skipped, void, another key, another accepted text, a post's fate, a pause.
//!
//! Rulings change the fold, never an answer. Each is a lattice of its own: what a host may take back is the
//! last write by (Lamport, origin), what nobody takes back only grows.

use crate::engagement::{Key, PostId};
use crate::id::{Lamport, Origin};
use crate::lattice::{Max, Pointwise};
use crdts::CvRDT;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;

/// The last write of a register by (Lamport, origin).
pub type Last<T> = Max<Option<(Lamport, Origin, T)>>;

/// One ruling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// The run was left before its end and gives nothing.
    Skip,
    /// The run gives nothing, or does again.
    Void(bool),
    /// This key holds in place of the script's. For a prediction it is what came true: nothing, if the
    /// prediction is cancelled.
    Key(Key),
    /// This text is accepted too.
    Accept(String),
    /// What becomes of a post.
    Post(PostId, Fate),
    /// The run's time stands still from now on, or goes on.
    Pause {
        /// The number of pauses and resumptions: while it is odd time stands still.
        epoch: u32,
        /// For how long it has stood still by then, in milliseconds, as far as who rules knows.
        held_ms: u32,
    },
}

/// What becomes of a post.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nobody has looked at it.
    #[default]
    Waiting,
    /// Everybody may see it.
    Shown,
    /// Nobody may.
    Hidden,
    /// It has been answered.
    Answered,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Waiting => "waiting",
            Fate::Shown => "shown",
            Fate::Hidden => "hidden",
            Fate::Answered => "answered",
        })
    }
}

impl Fate {
    /// Whether players see it.
    #[must_use]
    pub fn is_seen(self) -> bool {
        matches!(self, Fate::Shown | Fate::Answered)
    }
}

/// All rulings on one run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    skipped: Max<bool>,
    voided: Last<bool>,
    key: Last<Key>,
    accepted: BTreeSet<String>,
    posts: Pointwise<PostId, Last<Fate>>,
    pauses: Max<u32>,
    held_ms: Max<u32>,
    /// Every ruling on what the run gives.
    marks: BTreeSet<(Lamport, Origin)>,
}

impl Ruling {
    /// Whether it was left before its end.
    #[must_use]
    pub fn is_skipped(&self) -> bool {
        self.skipped.0
    }

    /// Whether it was declared void.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.voided.0.is_some_and(|(_, _, void)| void)
    }

    /// Whether it gives nothing, for whatever reason.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        self.is_skipped() || self.is_void()
    }

    /// The key in place of the script's.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.key.0.as_ref().map(|(_, _, key)| key)
    }

    /// When that key was put in place, as far as an order hint can tell.
    #[must_use]
    pub fn key_since(&self) -> Option<Lamport> {
        self.key.0.as_ref().map(|(lamport, ..)| *lamport)
    }

    /// Texts that are accepted too.
    pub fn accepted(&self) -> impl Iterator<Item = &String> {
        self.accepted.iter()
    }

    /// What became of a post.
    #[must_use]
    pub fn fate(&self, post: PostId) -> Fate {
        let fate = self.posts.0.get(&post).and_then(|last| last.0);
        fate.map_or(Fate::Waiting, |(_, _, fate)| fate)
    }

    /// Pauses and resumptions so far.
    #[must_use]
    pub fn pauses(&self) -> u32 {
        self.pauses.0
    }

    /// For how long its time has stood still in pauses that are over, in milliseconds, by the longest account
    /// of those who ended one. A node that heard of a pause too late knows by it what it missed.
    #[must_use]
    pub fn held_ms(&self) -> u32 {
        self.held_ms.0
    }

    /// How often hosts have ruled on what the run gives: void or not, another key, one more accepted text.
    #[must_use]
    pub fn marks(&self) -> u64 {
        self.marks.len() as u64
    }

    fn take(&mut self, (lamport, origin): (Lamport, Origin), rule: Rule) {
        if matches!(rule, Rule::Void(_) | Rule::Key(_) | Rule::Accept(_)) {
            self.marks.insert((lamport, origin));
        }
        match rule {
            Rule::Skip => drop(self.skipped.observe(true)),
            Rule::Void(void) => drop(self.voided.observe(Some((lamport, origin, void)))),
            Rule::Key(key) => drop(self.key.observe(Some((lamport, origin, key)))),
            Rule::Accept(text) => drop(self.accepted.insert(text)),
            Rule::Post(post, fate) => {
                self.posts.at(post).observe(Some((lamport, origin, fate)));
            }
            Rule::Pause { epoch, held_ms } => {
                self.pauses.observe(epoch);
                self.held_ms.observe(held_ms);
            }
        }
    }
}

impl CvRDT for Ruling {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.skipped.merge(other.skipped);
        self.voided.merge(other.voided);
        self.key.merge(other.key);
        self.accepted.extend(other.accepted);
        self.posts.merge(other.posts);
        self.pauses.merge(other.pauses);
        self.held_ms.merge(other.held_ms);
        self.marks.extend(other.marks);
    }
}

/// All rulings of an event, by instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rulings(Pointwise<u32, Ruling>);

impl Rulings {
    /// The kind of delta that brings one, for whoever cannot read a snapshot with some.
    pub const KIND: u16 = 33;
    /// The [version](crate::version) that brought them.
    pub const SINCE: u16 = 2;

    /// Whether nothing was ruled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// What was ruled on a run.
    #[must_use]
    pub fn of(&self, instance: u32) -> Option<&Ruling> {
        self.0.0.get(&instance)
    }

    /// Takes in a ruling.
    pub fn take(&mut self, instance: u32, mark: (Lamport, Origin), rule: Rule) {
        self.0.at(instance).take(mark, rule);
    }

    /// Every run on which something was ruled.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Ruling)> {
        self.0.0.iter().map(|(instance, ruling)| (*instance, ruling))
    }
}

impl std::hash::Hash for Ruling {
    fn hash<H: std::hash::Hasher>(&self, hash: &mut H) {
        (self.skipped.0, self.voided.0, &self.key.0, &self.accepted).hash(hash);
        (self.pauses.0, self.held_ms.0).hash(hash);
        self.marks.hash(hash);
        for (post, fate) in &self.posts.0 {
            (post, fate.0).hash(hash);
        }
    }
}

impl CvRDT for Rulings {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}
