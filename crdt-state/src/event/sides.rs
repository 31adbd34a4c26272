//! What does not fit a cell: typed texts beside their cells, posts, and the votes for them.
//!
//! A typed text stands beside the very cell that it belongs to and joins by the same order, so that the
//! smallest cell and its text are always one answer. On the wire a batch names each text once; here equal
//! texts of a sheet share their bytes. (An index per origin into a table would need the cell to name its
//! origin, and a cell has room for 16 bits of it only: two origins could be taken for one.)

use super::votes::{Of, Votes};
use crate::caps;
use crate::column::Cell;
use crate::delta::{self, Posts, Texts};
use crate::engagement::PostId;
use crate::id::{Origin, PlayerId, Row};
use crate::lattice::{Min, Pointwise};
use crate::named::Bounded;
use crdts::CvRDT;
use serde::{Deserialize, Serialize, Serializer};
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

/// Who wrote a post, when in milliseconds since the opening, and what.
type Content = (u32, PlayerId, Arc<str>);

/// A player's post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post<'a> {
    content: Option<&'a Content>,
    votes: Option<&'a BTreeSet<Row>>,
}

impl<'a> Post<'a> {
    /// Who, when in milliseconds since the opening, and what; nothing while only votes are here.
    #[must_use]
    pub fn content(&self) -> Option<(u32, PlayerId, &'a str)> {
        self.content.map(|(elapsed, player, text)| (*elapsed, *player, &**text))
    }

    /// The rows that support it.
    pub fn votes(&self) -> impl Iterator<Item = Row> + use<'a> {
        self.votes.into_iter().flatten().copied()
    }

    /// Whether one of these rows supports it.
    #[must_use]
    pub fn has_vote(&self, mut rows: impl Iterator<Item = Row>) -> bool {
        self.votes.is_some_and(|votes| rows.any(|row| votes.contains(&row)))
    }
}

/// Everything beside the columns. Of more posts than [`caps::POSTS_MAX`] those stay that have the smallest runs and
/// ids, on every node; of votes likewise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Sides {
    texts: Pointwise<(u32, u16), TextSheet>,
    /// Two nodes that took one post keep the first.
    posts: Bounded<Of, Min<Content>, { caps::POSTS_MAX }>,
    votes: Votes<{ caps::VOTES_MAX }>,
}

/// As it is written: each post with its votes.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Sides")]
struct Stored<T = Pointwise<(u32, u16), TextSheet>, P = BTreeMap<Of, (Min<Content>, BTreeSet<Row>)>>
{
    texts: T,
    posts: P,
}

impl TryFrom<Stored> for Sides {
    type Error = &'static str;

    fn try_from(Stored { texts, posts }: Stored) -> Result<Self, Self::Error> {
        let mut sides = Sides { texts, ..Sides::default() };
        if posts.values().filter(|(content, _)| content.0.is_some()).count() > caps::POSTS_MAX {
            return Err("more posts than an event may have");
        }
        for (of, (content, votes)) in posts {
            if let Some(content) = content.0
                && let Some(held) = sides.posts.at(of)
            {
                held.observe(content);
            }
            sides.votes.extend(of, votes);
        }
        Ok(sides)
    }
}

impl Serialize for Sides {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let none = BTreeSet::new();
        let posts =
            self.all_posts().map(|(of, post)| (of, (post.content, post.votes.unwrap_or(&none))));
        let posts: BTreeMap<Of, (Option<&Content>, &BTreeSet<Row>)> = posts.collect();
        Stored { texts: &self.texts, posts }.serialize(to)
    }
}

impl Sides {
    /// Takes in typed texts.
    pub fn take_texts(&mut self, origin: Origin, texts: Texts) {
        if texts.rows.is_empty() {
            return;
        }
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
            if let Some(held) = self.posts.at((posts.instance, post)) {
                held.observe((elapsed_ms, player, text.into()));
            }
        }
    }

    /// Takes in votes.
    pub fn take_votes(&mut self, votes: delta::Votes) {
        for (post, row) in votes.votes {
            self.votes.insert((votes.instance, post), row);
        }
    }

    /// The typed texts of a question in an instance.
    #[must_use]
    pub fn texts(&self, instance: u32, question: u16) -> Option<&TextSheet> {
        self.texts.0.get(&(instance, question))
    }

    /// The posts of an instance, by their ids.
    pub fn posts(&self, instance: u32) -> impl Iterator<Item = (PostId, Post<'_>)> {
        let posts = self.posts.range((instance, 0)..=(instance, PostId::MAX));
        posts.map(|(of, content)| (of.1, self.with_votes(*of, content.0.as_ref())))
    }

    /// Every text that somebody typed, in sheets and posts.
    pub(crate) fn all_texts(&self) -> impl Iterator<Item = &str> {
        let sheets = self.texts.0.values().flat_map(|sheet| sheet.0.values());
        let posts = self.posts.iter().filter_map(|(_, content)| content.0.as_ref());
        sheets.map(|(_, text)| &**text).chain(posts.map(|(.., text)| &**text))
    }

    /// One post.
    #[must_use]
    pub fn post(&self, instance: u32, post: PostId) -> Option<Post<'_>> {
        let of = (instance, post);
        let content = self.posts.get(&of).and_then(|content| content.0.as_ref());
        let post = self.with_votes(of, content);
        (post.content.is_some() || post.votes.is_some()).then_some(post)
    }

    /// Whether honest nodes take no more posts: at half of what there may be, so that two sides that do not hear
    /// each other stay below it together.
    #[must_use]
    pub fn is_full_of_posts(&self) -> bool {
        self.posts.is_full()
    }

    /// As [`Sides::is_full_of_posts`], of votes.
    #[must_use]
    pub fn is_full_of_votes(&self) -> bool {
        self.votes.is_full()
    }

    /// How many posts were not kept for want of room, and how many votes.
    pub(super) fn beyond(&self) -> [u64; 2] {
        [self.posts.beyond(), self.votes.beyond()]
    }

    /// How many texts were typed.
    pub(super) fn typed(&self) -> usize {
        self.texts.0.values().map(|sheet| sheet.0.len()).sum()
    }

    fn with_votes<'a>(&'a self, of: Of, content: Option<&'a Content>) -> Post<'a> {
        Post { content, votes: self.votes.of(of) }
    }

    /// Every post of which anything is here, in order.
    fn all_posts(&self) -> impl Iterator<Item = (Of, Post<'_>)> {
        let of: BTreeSet<Of> = self
            .posts
            .iter()
            .map(|(of, _)| *of)
            .chain(self.votes.iter().map(|(of, _)| *of))
            .collect();
        of.into_iter().filter_map(|of| Some((of, self.post(of.0, of.1)?)))
    }
}

impl std::hash::Hash for Sides {
    fn hash<H: std::hash::Hasher>(&self, hash: &mut H) {
        for (key, sheet) in &self.texts.0 {
            (key, &sheet.0).hash(hash);
        }
        let none = BTreeSet::new();
        for (key, post) in self.all_posts() {
            (key, post.content, post.votes.unwrap_or(&none)).hash(hash);
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
        self.votes.merge(other.votes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A post as it has always been written.
    type Written = (Option<Content>, Vec<Row>);

    #[test]
    fn posts_and_votes_are_written_together() {
        let mut sides = Sides::default();
        let row = |number| Row { origin: Origin(7), number };
        let posts =
            vec![(3, 10, PlayerId(1), "why?".to_owned()), (5, 20, PlayerId(2), "how?".to_owned())];
        sides.take_posts(Posts { instance: 1, posts });
        sides.take_votes(delta::Votes { instance: 1, votes: vec![(5, row(2)), (4, row(1))] });
        let bytes = postcard::to_stdvec(&sides).unwrap();
        let (_, all): (BTreeMap<(u32, u16), TextSheet>, BTreeMap<Of, Written>) =
            postcard::from_bytes(&bytes).unwrap();
        let seen = |(of, (content, rows)): (Of, Written)| (of.1, content.is_some(), rows.len());
        let all: Vec<_> = all.into_iter().map(seen).collect();
        assert_eq!(all, [(3, true, 0), (4, false, 1), (5, true, 1)]);
        assert_eq!(postcard::from_bytes(&bytes), Ok(sides));
    }
}
