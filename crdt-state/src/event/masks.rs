//! What hosts said of players, as every fold reads it: who counts, what they are called, what they were given.
//!
//! Marks never touch a cell. A kicked player's answers stay where they are and every tally, score, rank and
//! head count passes over them, so that taking the kick back brings all of it back.

use super::EventState;
use crate::id::PlayerId;
use crate::name::skeleton;
use crate::players::Handle;

impl EventState {
    /// Whether a player counts: not one who is kicked.
    #[must_use]
    pub fn counts(&self, player: PlayerId) -> bool {
        !self.named.people.is_kicked(player)
    }

    /// How many players count.
    #[must_use]
    pub fn head_count(&self) -> u64 {
        (self.players.count() - self.kicked_handles().len()) as u64
    }

    /// What a player is called: as a host says, or else by the own name.
    #[must_use]
    pub fn shown_name(&self, player: PlayerId) -> Option<String> {
        let own = self.players.shown_name(player)?;
        Some(self.named.people.name(player).map_or(own, str::to_owned))
    }

    /// Every player who counts, in the order of their ids.
    pub fn counted(&self) -> impl Iterator<Item = PlayerId> {
        self.players.ids().filter(|player| self.counts(*player))
    }

    /// Whether somebody else bears this name, or one that looks the same, by own choice or a host's.
    #[must_use]
    pub fn is_name_taken(&self, name: &str, by_other_than: PlayerId) -> bool {
        let given = self.named.people.names().filter(|(player, _)| *player != by_other_than);
        let wanted = skeleton(name);
        self.players.is_taken(name, by_other_than)
            || given.into_iter().any(|(_, name)| skeleton(name) == wanted)
    }

    /// The rows that speak for players who are kicked, in the order of handles.
    pub(crate) fn kicked_handles(&self) -> Vec<Handle> {
        let kicked = self.named.people.kicked();
        let mut handles: Vec<Handle> =
            kicked.filter_map(|player| self.players.handle_of(player)).collect();
        handles.sort_unstable();
        handles
    }

    /// What was awarded to each player in all, by the row that speaks, in the order of handles.
    pub(crate) fn awarded_handles(&self) -> Vec<(Handle, i64)> {
        let awarded = self.named.awarded().into_iter();
        let mut handles: Vec<(Handle, i64)> = awarded
            .filter_map(|(player, points)| Some((self.players.handle_of(player)?, points)))
            .collect();
        handles.sort_unstable();
        handles
    }
}
