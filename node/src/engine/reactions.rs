//! Reactions, and what else is counted: written as running totals a few times a second, never one by one.

use super::core::EventCore;
use super::intake::Claim;
use super::io::Reply;
use crate::service::view::Refusal;
use crdt_state::delta::Delta;
use crdt_state::named::{Change, CountChange, MOOD, NumberChange, REACTIONS};
use crdt_state::{Mono, PlayerId, Stage};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// The kinds that are counted each for itself.
pub const KINDS: [&str; 5] = ["clap", "fire", "heart", "laugh", "wow"];
/// The kinds that make the mood: one up, one down.
pub const THUMBS: [&str; 2] = ["up", "down"];

/// Between two entries of totals: 250 ms, which looks live and costs four entries a second at most.
const FLUSH_GAP: Duration = Duration::from_millis(250);
/// The time over which a player's reactions are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Reactions that one player may send in it: faster than anybody taps.
const PER_WINDOW: u8 = 10;
/// Players whose reactions are taken in it; more than a node is meant to serve.
const PLAYERS_PER_WINDOW: usize = 200_000;

/// What was counted here and is not written yet. What was written is read from the state, so that an owner
/// that is started again goes on from there.
#[derive(Debug, Default)]
pub struct Reactions {
    pending: BTreeMap<Cow<'static, str>, u64>,
    due: Option<Mono>,
    window: Mono,
    sent: BTreeMap<PlayerId, u8>,
}

impl Reactions {
    /// When totals are to be written.
    pub(super) fn due(&self) -> Option<Mono> {
        self.due
    }

    pub(super) fn count(&mut self, now: Mono, name: impl Into<Cow<'static, str>>) {
        *self.pending.entry(name.into()).or_default() += 1;
        self.due.get_or_insert(now + FLUSH_GAP);
    }

    /// Whether a player has not sent too many of late.
    fn admits(&mut self, now: Mono, player: PlayerId) -> bool {
        if now >= self.window + WINDOW {
            self.window = now;
            self.sent.clear();
        }
        if self.sent.len() >= PLAYERS_PER_WINDOW && !self.sent.contains_key(&player) {
            return false;
        }
        let sent = self.sent.entry(player).or_default();
        *sent = sent.saturating_add(1);
        *sent <= PER_WINDOW
    }

    fn take_pending(&mut self) -> BTreeMap<Cow<'static, str>, u64> {
        self.due = None;
        std::mem::take(&mut self.pending)
    }
}

impl EventCore {
    pub(super) fn react(&mut self, now: Mono, ticket: u64, claim: &Claim, kind: &str) {
        match self.check_reaction(now, claim.player, kind) {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(kind) => {
                self.reactions.count(now, kind);
                self.reply(ticket, Reply::Reacted);
            }
        }
    }

    fn check_reaction(
        &mut self,
        now: Mono,
        player: PlayerId,
        kind: &str,
    ) -> Result<&'static str, Refusal> {
        self.check_in(player)?;
        let known = KINDS.into_iter().chain(THUMBS).find(|known| *known == kind);
        let known =
            known.ok_or_else(|| {
                Refusal::new("kind_unknown", format!("there is no reaction {kind:?}"))
                    .hint(format!("known are {}, {}", KINDS.join(", "), THUMBS.join(", ")))
            })?;
        if self.stage().is_over() {
            return Err(Refusal::new("ended", "the show is over"));
        }
        if self.stage() < Stage::LOBBY {
            return Err(Refusal::new("not_open", "the lobby is not open yet"));
        }
        self.check_may_react(player)?;
        if !self.reactions.admits(now, player) {
            return Err(Refusal::new(
                "flooded",
                format!("at most {PER_WINDOW} reactions a second"),
            )
            .hint("send fewer"));
        }
        Ok(known)
    }

    /// Whether hosts take reactions, and from this player.
    pub(super) fn check_may_react(&self, player: PlayerId) -> Result<(), Refusal> {
        let named = &self.state().named;
        if !named.permits(REACTIONS) {
            return Err(Refusal::new("reactions_off", "the host has switched reactions off"));
        }
        if named.people.is_muted(player) {
            return Err(Refusal::new("muted", "a host takes no reactions from you"));
        }
        Ok(())
    }

    /// Writes the totals that have changed, if it is time to.
    pub(super) fn write_reactions_when_due(&mut self, now: Mono) {
        if self.reactions.due().is_none_or(|due| due > now) {
            return;
        }
        for (kind, by) in self.reactions.take_pending() {
            let change = Delta::Named(self.counting(&kind, by));
            self.carried.take(now, self.identity.origin, change.clone());
            self.batch.push_change(change);
        }
        self.grow_batch(now);
    }

    /// The change that counts so many more of a kind.
    fn counting(&self, kind: &str, by: u64) -> Change {
        if !THUMBS.contains(&kind) {
            let value = self.counted(kind) + by;
            return Change::Total(NumberChange { name: kind.to_owned(), value });
        }
        let (up, origin) = (kind == "up", self.identity.origin);
        let mood = self.state().named.counts.get(MOOD).cloned().unwrap_or_default();
        let next = if up { mood.inc(origin) } else { mood.dec(origin) };
        let total = next.dot.counter - 1 + by;
        Change::Count(CountChange { name: MOOD.to_owned(), total, up })
    }
}
