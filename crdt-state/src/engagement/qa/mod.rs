//! Questions and answers: players post questions and support those of others; a host decides what is seen.
//!
//! A post is named by a hash of its run, author and text, and a vote by its player's row: whatever is sent
//! again, to whichever node, is the same post and the same vote.

use super::file::{Object, Report, Table};
use super::{Draw, Facts, Given, Invalid, Kind, PATH_WITHOUT_KEY, PostId, Question, Taken};
use crate::event::{Fate, Post};
use crate::id::PlayerId;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use xxhash_rust::xxh3::Xxh3;

/// What a round of questions and answers takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Qa {
    /// Whether a post is seen only after a host has let it through.
    pub moderated: bool,
    /// How many posts a player may write.
    pub posts: u32,
}

/// What players see of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QaView {
    /// Whether a post is seen only after a host has let it through.
    pub moderated: bool,
    /// How many posts a player may write.
    pub posts_max: u32,
}

/// A post as everybody sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PostView {
    /// Its id, in hexadecimal digits: JavaScript's numbers are too small for it.
    pub id: String,
    /// What it says.
    pub text: String,
    /// Who wrote it.
    pub name: String,
    /// How many support it.
    pub votes: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QaResults {
    /// The posts that may be seen, those with most votes first.
    pub posts: Vec<PostView>,
}

/// Posts that are shown at once: more than anybody reads.
const SHOWN: usize = 50;
/// Posts of one round; beyond it no more are taken.
pub const POSTS_MAX: usize = 10_000;

impl Kind for Qa {
    const NAME: &'static str = "qa";
    const FIELDS: &'static [&'static str] = &["moderated", "posts"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    const LIVE: bool = true;
    const ONE_ANSWER: bool = false;
    type View = QaView;
    type Results = QaResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        let moderated = entry.flag("moderated", report);
        let posts = entry.whole("posts", 1..=20, report).unwrap_or(3);
        Some(Qa { moderated, posts })
    }

    fn write(&self, out: &mut Table) {
        out.put_unless("moderated", self.moderated, &false);
        out.put("posts", self.posts);
    }

    fn view(&self, _: bool) -> QaView {
        QaView { moderated: self.moderated, posts_max: self.posts }
    }

    /// A question of one's own, or support for one that is shown.
    fn guess(_: &QaView, results: Option<&QaResults>, draw: Draw<'_>) -> Given {
        let posts = results.map_or(&[][..], |results| &results.posts);
        if !posts.is_empty() && draw(2) == 0 {
            let post = &posts[draw(posts.len() as u32) as usize];
            let post = PostId::from_str_radix(&post.id, 16).ok();
            return Given { post, ..Given::default() };
        }
        let text = format!("What about number {}?", draw(1_000_000));
        Given { text: Some(text), ..Given::default() }
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        match given.post {
            Some(post) => Ok(Taken::Vote(post)),
            None => given.typed().map(Taken::Post),
        }
    }

    fn posts_max(&self) -> usize {
        self.posts as usize
    }

    fn is_moderated(&self) -> bool {
        self.moderated
    }

    fn rule(&self, _: &Question) -> Option<String> {
        None
    }

    fn counts(&self, _: &Facts<'_>) -> Vec<u64> {
        Vec::new()
    }

    fn posts(results: &QaResults) -> &[PostView] {
        &results.posts
    }

    fn results(&self, facts: &Facts<'_>) -> QaResults {
        QaResults { posts: posts(facts, Fate::is_seen) }
    }
}

/// The id of a post.
#[must_use]
pub fn post_id(instance: u32, player: PlayerId, text: &str) -> PostId {
    let mut hash = Xxh3::new();
    (instance, player.0, text).hash(&mut hash);
    hash.finish()
}

/// A post with all that is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldPost<'a> {
    /// Its id.
    pub id: PostId,
    /// Who wrote it.
    pub player: PlayerId,
    /// When, in milliseconds since the opening.
    pub elapsed_ms: u32,
    /// What it says.
    pub text: &'a str,
    /// How many support it.
    pub votes: u64,
    /// What became of it.
    pub fate: Fate,
}

/// All posts of a run, the earliest first. Who is kicked has neither posts nor votes.
#[must_use]
pub fn told_posts<'a>(facts: &Facts<'a>) -> Vec<ToldPost<'a>> {
    let mut all = told(facts, |_| true);
    all.sort_by_key(|post| (post.elapsed_ms, post.id));
    all
}

/// The posts of a run whose fate is one of those wanted, those with most votes first, as many as are shown.
pub fn posts(facts: &Facts<'_>, is_wanted: impl Fn(Fate) -> bool) -> Vec<PostView> {
    let mut all = told(facts, is_wanted);
    all.sort_by_key(|post| (Reverse(post.votes), post.elapsed_ms, post.id));
    all.truncate(SHOWN);
    let view = |post: ToldPost<'_>| PostView {
        id: format!("{:016x}", post.id),
        text: post.text.to_owned(),
        name: facts.state.shown_name(post.player).unwrap_or_default(),
        votes: post.votes,
        fate: post.fate,
    };
    all.into_iter().map(view).collect()
}

fn told<'a>(facts: &Facts<'a>, is_wanted: impl Fn(Fate) -> bool) -> Vec<ToldPost<'a>> {
    let (state, fate) = (facts.state, fates(facts));
    let told = |(id, post): (PostId, Post<'a>)| {
        let fate = fate(id);
        let (elapsed_ms, player, text) = post.content().filter(|_| is_wanted(fate))?;
        let is_counted = state.counts(player);
        let votes = is_counted.then(|| who(facts, &post).len() as u64);
        votes.map(|votes| ToldPost { id, player, elapsed_ms, text, votes, fate })
    };
    state.sides.posts(facts.instance).filter_map(told).collect()
}

/// What became of each post of a run. Where nobody looks at posts first, none waits.
pub fn fates<'a>(facts: &Facts<'a>) -> impl Fn(PostId) -> Fate + use<'a> {
    let ruling = facts.state.rulings.of(facts.instance);
    let is_moderated = facts.question.task.is_moderated();
    move |post| match ruling.map_or(Fate::Waiting, |ruling| ruling.fate(post)) {
        Fate::Waiting if !is_moderated => Fate::Shown,
        fate => fate,
    }
}

/// Who supports a post, aliases as one, without whoever is kicked. So many are its votes.
#[must_use]
pub fn voters(facts: &Facts<'_>, id: PostId) -> BTreeSet<PlayerId> {
    facts.state.sides.post(facts.instance, id).map(|post| who(facts, &post)).unwrap_or_default()
}

fn who(facts: &Facts<'_>, post: &Post<'_>) -> BTreeSet<PlayerId> {
    let players = &facts.state.players;
    let voters = post.votes().filter_map(|row| players.get(row).map(|player| player.id));
    voters.filter(|player| facts.state.counts(*player)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Delta, Join, Posts, RulingChange, Votes};
    use crate::engagement::{Question, Task};
    use crate::event::{EventState, Rule};
    use crate::id::{Origin, Row};
    use crate::named::{Change, PlayerChange};

    const ME: Origin = Origin(1);

    fn state() -> EventState {
        let mut state = EventState::default();
        let row = |number| Row { origin: ME, number };
        let join = |number: u32| Join {
            row: row(number),
            player: PlayerId(u128::from(number) + 1),
            name: format!("p{number}"),
        };
        // The third row is an alias of the first.
        let alias = Join { row: row(2), player: PlayerId(1), name: "p0".into() };
        state.take(ME, Delta::Joins(vec![join(0), join(1), alias]));
        let posts =
            vec![(7, 10, PlayerId(1), "why?".to_owned()), (8, 20, PlayerId(2), "how?".to_owned())];
        state.take(ME, Delta::Posts(Posts { instance: 1, posts }));
        let votes = vec![(8, row(0)), (8, row(2)), (7, row(1))];
        state.take(ME, Delta::Votes(Votes { instance: 1, votes }));
        state
    }

    fn seen(state: &EventState, moderated: bool) -> Vec<(String, u64)> {
        let qa = Qa { moderated, posts: 3 };
        let question = Question::new("?", Task::Qa(qa.clone()));
        let facts = Facts { state, instance: 1, number: 0, question: &question };
        qa.results(&facts).posts.into_iter().map(|post| (post.text, post.votes)).collect()
    }

    #[test]
    fn a_player_with_two_rows_has_one_vote() {
        let all = [("why?".to_owned(), 1), ("how?".to_owned(), 1)];
        assert_eq!(seen(&state(), false), all);
    }

    #[test]
    fn a_moderated_post_waits_and_a_hidden_one_is_gone() {
        let mut state = state();
        assert!(seen(&state, true).is_empty());
        let mut rule = |lamport, post, fate| {
            let rule = Rule::Post(post, fate);
            state.take(ME, Delta::Ruling(RulingChange { lamport, instance: 1, rule }));
        };
        rule(1, 7, Fate::Shown);
        rule(2, 8, Fate::Hidden);
        assert_eq!(seen(&state, true), [("why?".to_owned(), 1)]);
        assert_eq!(seen(&state, false), [("why?".to_owned(), 1)]);
    }

    #[test]
    fn all_posts_are_told_the_earliest_first_but_for_those_of_who_is_out() {
        let mut state = state();
        let hidden = Rule::Post(7, Fate::Hidden);
        state.take(ME, Delta::Ruling(RulingChange { lamport: 1, instance: 1, rule: hidden }));
        let question = Question::new("?", Task::Qa(Qa { moderated: true, posts: 3 }));
        let told = |state: &EventState| {
            let facts = Facts { state, instance: 1, number: 0, question: &question };
            let of = |post: ToldPost<'_>| {
                (post.id, post.player.0, post.elapsed_ms, post.votes, post.fate)
            };
            told_posts(&facts).into_iter().map(of).collect::<Vec<_>>()
        };
        let second = (8, 2, 20, 1, Fate::Waiting);
        let who = |state: &EventState, id| {
            let voters = voters(&Facts { state, instance: 1, number: 0, question: &question }, id);
            voters.into_iter().map(|player| player.0).collect::<Vec<_>>()
        };
        let of_both = |state: &EventState| [7, 8, 9].map(|id| who(state, id));
        assert_eq!(of_both(&state), [vec![2], vec![1], vec![]], "two rows are one voter");
        assert_eq!(told(&state), [(7, 1, 10, 1, Fate::Hidden), second]);
        let mark = state.named.people.kick(ME, PlayerId(1), true).expect("it is not so yet");
        let kick = Change::Player(PlayerChange { player: PlayerId(1), mark });
        state.take(ME, Delta::Named(kick));
        assert_eq!(told(&state), [(8, 2, 20, 0, Fate::Waiting)], "nor has it votes");
        assert_eq!(who(&state, 8), [0; 0]);
    }

    #[test]
    fn a_repeated_post_has_the_same_id() {
        assert_eq!(post_id(1, PlayerId(5), "why?"), post_id(1, PlayerId(5), "why?"));
        assert_ne!(post_id(1, PlayerId(5), "why?"), post_id(1, PlayerId(6), "why?"));
    }
}
