//! Taking what players give more than once in a round: posts, votes, taps.
//!
//! Posts and votes name themselves, so that a repetition to any node is the same post or vote. Taps are
//! counted; what bounds them is a pace per player, which each node keeps on its own clock.

use super::core::EventCore;
use super::intake::{Answer, Claim};
use crate::service::view::Refusal;
use crdt_state::delta::{Delta, Posts, Votes};
use crdt_state::engagement::qa::{self, POSTS_MAX, post_id};
use crdt_state::engagement::{Facts, PostId, Taken, Task, counter_name};
use crdt_state::named::{Change, NumberChange};
use crdt_state::{Cell, Mono, PlayerId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two messages with taps of one player: 200 ms, a fifth of what a page gathers.
const TAP_GAP: Duration = Duration::from_millis(200);

/// When the players who tap were last heard. Forgotten with the round.
#[derive(Debug, Default)]
pub struct Paces {
    instance: u32,
    heard: BTreeMap<PlayerId, Mono>,
}

impl EventCore {
    /// Takes what is not the one answer of a player; `at` is the run and the elapsed milliseconds.
    pub(super) fn take_input(
        &mut self,
        now: Mono,
        ticket: u64,
        claim: &Claim,
        at: (u32, u32),
        taken: Taken,
    ) {
        let status = match taken {
            Taken::Post(text) => self.take_post(now, claim, at, text),
            Taken::Vote(post) => self.take_vote(now, claim, at.0, post),
            Taken::Count { option, by } => self.take_count(now, claim, at, (option, by)),
            Taken::Answer { .. } => unreachable!("an answer has been taken"),
        };
        match status {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(status) => {
                // Of who pulls a rope the side is held.
                let rows = self.carried.state.players.rows_of(claim.player);
                let held = self.carried.state.held(at.0, rows).map(|(_, cell)| cell);
                let cell = held.unwrap_or_else(|| Cell::new(at.1, self.identity.origin, 0));
                self.answered(now, ticket, claim.player, at.0, cell, status);
            }
        }
    }

    fn take_post(
        &mut self,
        now: Mono,
        claim: &Claim,
        (instance, elapsed_ms): (u32, u32),
        text: String,
    ) -> Result<&'static str, Refusal> {
        let (player, state) = (claim.player, &self.carried.state);
        let id = post_id(instance, player, &text);
        if state.sides.post(instance, id).is_some_and(|post| post.content().is_some()) {
            return Ok("duplicate");
        }
        let question = state.question_of(instance);
        let most = question.map_or(0, |(_, question)| question.task.posts_max());
        let all = || state.sides.posts(instance).filter_map(|(_, post)| post.content());
        if all().filter(|(_, author, _)| *author == player).count() >= most {
            return Err(Refusal::new("flooded", format!("a player may post {most} times")));
        }
        if all().count() >= POSTS_MAX {
            return Err(Refusal::new("flooded", "this round has all the posts it can take"));
        }
        if state.sides.is_full_of_posts() {
            return Err(Refusal::new("flooded", "this event has all the posts it can take"));
        }
        let post = (id, elapsed_ms, player, text);
        let delta = Posts { instance, posts: vec![post.clone()] };
        self.carried.take(now, self.identity.origin, Delta::Posts(delta));
        let batch = self.batch.posts.entry(instance);
        batch.or_insert_with(|| Posts { instance, posts: Vec::new() }).posts.push(post);
        self.batch.grow();
        self.grow_batch(now);
        Ok("accepted")
    }

    fn take_vote(
        &mut self,
        now: Mono,
        claim: &Claim,
        instance: u32,
        post: PostId,
    ) -> Result<&'static str, Refusal> {
        let state = &self.carried.state;
        // Whoever supports a post has seen it: one that waits or is hidden nobody sees, wherever its id is from.
        let facts = Facts::of(state, instance);
        let is_seen = facts.is_some_and(|facts| qa::fates(&facts)(post).is_seen());
        let known = state.sides.post(instance, post);
        let Some(known) = known.filter(|known| is_seen && known.content().is_some()) else {
            let hint = "it may not have arrived at this node yet, or not be shown yet: try again in a moment";
            return Err(Refusal::new("choice_invalid", "there is no such post here").hint(hint));
        };
        if known.has_vote(state.players.rows_of(claim.player)) {
            return Ok("duplicate");
        }
        if state.sides.is_full_of_votes() {
            return Err(Refusal::new("flooded", "this event has all the votes it can take"));
        }
        let vote = (post, claim.row);
        let delta = Votes { instance, votes: vec![vote] };
        self.carried.take(now, self.identity.origin, Delta::Votes(delta));
        let batch = self.batch.votes.entry(instance);
        batch.or_insert_with(|| Votes { instance, votes: Vec::new() }).votes.push(vote);
        self.batch.grow();
        self.grow_batch(now);
        Ok("accepted")
    }

    fn take_count(
        &mut self,
        now: Mono,
        claim: &Claim,
        (instance, elapsed_ms): (u32, u32),
        (option, by): (u8, u32),
    ) -> Result<&'static str, Refusal> {
        let state = &self.carried.state;
        let question = state.question_of(instance);
        let task = question.map(|(_, question)| &question.task);
        // A tug of war is a game and no reaction: it goes on without them.
        if task.is_some_and(Task::is_reaction) {
            self.check_may_react(claim.player)?;
        }
        let held = state.held(instance, state.players.rows_of(claim.player));
        let held = held.map(|(_, cell)| cell.value());
        let side = task.and_then(|task| task.side_of(state, claim.player));
        let question = question.map(|(number, _)| number).filter(|_| held.is_none());
        if !self.keeps_pace(now, claim.player, instance) {
            return Err(Refusal::new("flooded", "taps come faster than they are counted")
                .hint("gather the taps of a second in one message"));
        }
        let origin = self.identity.origin;
        if let (Some(question), Some(side)) = (question, side) {
            let answer = Answer { cell: Cell::new(elapsed_ms, origin, side), text: None };
            self.take_answer(now, instance, question, claim.row, answer);
        }
        let counter = held.or(side).unwrap_or_else(|| u32::from(option));
        let name = counter_name(instance, counter as usize);
        let total = self.counted(&name) + u64::from(by);
        let change = NumberChange { name: name.clone(), value: total };
        self.carried.take(now, origin, Delta::Named(Change::Total(change)));
        self.batch.counts.insert(name, total);
        self.batch.grow();
        self.grow_batch(now);
        Ok("accepted")
    }

    /// What this origin has counted so far.
    pub(super) fn counted(&self, name: &str) -> u64 {
        let counter = self.carried.state.named.totals.get(name);
        counter.map_or(0, |counter| counter.inc(self.identity.origin).counter - 1)
    }

    fn keeps_pace(&mut self, now: Mono, player: PlayerId, instance: u32) -> bool {
        let paces = &mut self.paces;
        if paces.instance != instance {
            *paces = Paces { instance, heard: BTreeMap::new() };
        }
        let keeps = paces.heard.get(&player).is_none_or(|last| now >= *last + TAP_GAP);
        if keeps {
            paces.heard.insert(player, now);
        }
        keeps
    }
}
