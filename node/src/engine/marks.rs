//! What hosts said of players, as this node acts on it: who is refused, who has longer, who is told.

use super::core::EventCore;
use crate::service::view::{InboxMessage, Refusal};
use crdt_state::PlayerId;
use std::collections::BTreeMap;

impl EventCore {
    /// The no to a player who is out.
    pub(super) fn check_in(&self, player: PlayerId) -> Result<(), Refusal> {
        if self.state().counts(player) {
            return Ok(());
        }
        Err(Refusal::new("kicked", "a host has taken you out of this show")
            .hint("ask the host; only a host can take it back"))
    }

    /// Refuses a player who is out; tells whether it did.
    pub(super) fn refuses_kicked(&mut self, ticket: u64, player: PlayerId) -> bool {
        let checked = self.check_in(player);
        let Err(refusal) = checked else { return false };
        self.refuse(ticket, refusal);
        true
    }

    /// How much longer than the others somebody who has not answered yet has in an instance: the round
    /// stays open for them, and for nobody else.
    pub(super) fn extra_left_ms(&self, instance: u32) -> u32 {
        let state = self.state();
        let waits = |player: PlayerId| {
            state.counts(player)
                && state.players.row_of(player).is_some()
                && state.held(instance, state.players.rows_of(player)).is_none()
        };
        let extras = state.named.people.extras();
        extras.filter(|(player, _)| waits(*player)).map(|(_, ms)| ms).max().unwrap_or(0)
    }

    /// Tells players what has been said of them, once for every change.
    pub(super) fn tell_marked(&mut self) {
        if !self.carried.take_marked() {
            return;
        }
        let now: BTreeMap<PlayerId, InboxMessage> =
            self.marked_players().map(|player| (player, self.marked(player))).collect();
        let before = std::mem::take(&mut self.told_marks);
        for (player, message) in &now {
            if before.get(player) != Some(message) {
                let (player, message) = (*player, message.clone());
                self.tell_inbox(player, message);
            }
        }
        self.told_marks = now;
    }

    /// What hosts have said of a player, for the player.
    pub(super) fn marked(&self, player: PlayerId) -> InboxMessage {
        let people = &self.state().named.people;
        InboxMessage::Marked {
            event: self.identity.event,
            name: self.state().shown_name(player).unwrap_or_default(),
            kicked: people.is_kicked(player),
            muted: people.is_muted(player),
            extra_ms: people.extra_ms(player),
        }
    }

    /// Every player of whom anything was ever said.
    pub(super) fn marked_players(&self) -> impl Iterator<Item = PlayerId> {
        let players = self.state().named.people.ever_marked();
        players.into_iter().filter(|player| self.state().players.row_of(*player).is_some())
    }
}
