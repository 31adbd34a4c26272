//! What does not fit a cell: typed texts beside their cells, posts, and the votes for them.
//!
//! A typed text stands beside the very cell that it belongs to and joins by the same order, so that the
//! smallest cell and its text are always one answer. On the wire a batch names each text once; here equal
//! texts of a sheet share their bytes. (An index per origin into a table would need the cell to name its
//! origin, and a cell has room for 16 bits of it only: two origins could be taken for one.)

use crate::column::Cell;
use crate::delta::{Posts, Texts, Votes};
use crate::engagement::PostId;
use crate::id::{Origin, PlayerId, Row};
use crate::lattice::{Min, Pointwise};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

/// A typed text with the cell that it belongs to.
type Typed = (Cell, Arc<str>);

/// Typed texts of one question in one instance, by row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextSheet(BTreeMap<Row, Typed>);

impl TextSheet {
    fn join(&mut self, row: Row, typed: Typed) {
        let held = self.0.entry(row).or_insert_with(|| typed.clone());
        if typed < *held {
            *held = typed;
        }
    }

    /// The text of the smallest cell.
    #[must_use]
    pub fn of(&self, rows: impl IntoIterator<Item = Row>) -> Option<&str> {
        let typed = rows.into_iter().filter_map(|row| self.0.get(&row));
        typed.min().map(|(_, text)| &**text)
    }
}

impl CvRDT for TextSheet {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (row, typed) in other.0 {
            self.join(row, typed);
        }
    }
}

/// A player's post.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// Who, when in milliseconds since the opening, and what. Two nodes that took one post keep the first.
    content: Min<(u32, PlayerId, Arc<str>)>,
    votes: BTreeSet<Row>,
}

impl Post {
    /// Who, when in milliseconds since the opening, and what; nothing while only votes are here.
    #[must_use]
    pub fn content(&self) -> Option<(u32, PlayerId, &str)> {
        self.content.0.as_ref().map(|(elapsed, player, text)| (*elapsed, *player, &**text))
    }

    /// The rows that support it.
    pub fn votes(&self) -> impl Iterator<Item = Row> + '_ {
        self.votes.iter().copied()
    }

    /// Whether one of these rows supports it.
    #[must_use]
    pub fn has_vote(&self, mut rows: impl Iterator<Item = Row>) -> bool {
        rows.any(|row| self.votes.contains(&row))
    }
}

impl CvRDT for Post {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.content.merge(other.content);
        self.votes.extend(other.votes);
    }
}

/// Everything beside the columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    texts: Pointwise<(u32, u16), TextSheet>,
    posts: Pointwise<(u32, PostId), Post>,
}

impl Sides {
    /// Takes in typed texts.
    pub fn take_texts(&mut self, origin: Origin, texts: Texts) {
        let shared: Vec<Arc<str>> = texts.texts.iter().map(|text| text.as_str().into()).collect();
        let sheet = self.texts.at((texts.instance, texts.question));
        for (number, elapsed_ms, value, index) in texts.rows {
            let row = Row { origin: texts.rows_of, number };
            let text = Arc::clone(&shared[index as usize]);
            sheet.join(row, (Cell::new(elapsed_ms, origin, value), text));
        }
    }

    /// Takes in posts.
    pub fn take_posts(&mut self, posts: Posts) {
        for (post, elapsed_ms, player, text) in posts.posts {
            let content = (elapsed_ms, player, text.into());
            self.posts.at((posts.instance, post)).content.observe(content);
        }
    }

    /// Takes in votes.
    pub fn take_votes(&mut self, votes: Votes) {
        for (post, row) in votes.votes {
            self.posts.at((votes.instance, post)).votes.insert(row);
        }
    }

    /// The typed texts of a question in an instance.
    #[must_use]
    pub fn texts(&self, instance: u32, question: u16) -> Option<&TextSheet> {
        self.texts.0.get(&(instance, question))
    }

    /// The posts of an instance, by their ids.
    pub fn posts(&self, instance: u32) -> impl Iterator<Item = (PostId, &Post)> {
        let all = (instance, 0)..=(instance, PostId::MAX);
        self.posts.0.range(all).map(|((_, id), post)| (*id, post))
    }

    /// Every text that somebody typed, in sheets and posts.
    pub(crate) fn all_texts(&self) -> impl Iterator<Item = &str> {
        let sheets = self.texts.0.values().flat_map(|sheet| sheet.0.values());
        let posts = self.posts.0.values().filter_map(|post| post.content());
        sheets.map(|(_, text)| &**text).chain(posts.map(|(.., text)| text))
    }

    /// One post.
    #[must_use]
    pub fn post(&self, instance: u32, post: PostId) -> Option<&Post> {
        self.posts.0.get(&(instance, post))
    }
}

impl std::hash::Hash for Sides {
    fn hash<H: std::hash::Hasher>(&self, hash: &mut H) {
        for (key, sheet) in &self.texts.0 {
            (key, &sheet.0).hash(hash);
        }
        for (key, post) in &self.posts.0 {
            (key, &post.content.0, &post.votes).hash(hash);
        }
    }
}

impl CvRDT for Sides {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        self.texts.merge(other.texts);
        self.posts.merge(other.posts);
    }
}
