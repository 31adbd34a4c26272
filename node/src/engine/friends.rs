//! The leaderboard of a few: whoever asks names them, by shown name or by id.
//!
//! A fold over the replicated state alone, so that nodes that have seen the same answer with the same bytes.

use super::core::EventCore;
use crate::service::view::{FriendLine, FriendsRequest, FriendsView};
use crdt_state::PlayerId;
use crdt_state::engagement::Standing;
use crdt_state::name::skeleton;
use std::collections::BTreeMap;

impl EventCore {
    /// Those who are named, best first, with their place among themselves and among all.
    #[must_use]
    pub fn friends_board(&self, asked: &FriendsRequest) -> FriendsView {
        let (state, board) = (self.state(), self.scoreboard());
        let mut unknown = Vec::new();
        // By player: whether it was by name, which the asker then knows anyway.
        let mut found: BTreeMap<PlayerId, bool> = BTreeMap::new();
        for player in &asked.players {
            match state.counts(*player) && state.players.row_of(*player).is_some() {
                true => drop(found.entry(*player).or_default()),
                false => unknown.push(player.to_string()),
            }
        }
        for name in &asked.names {
            match self.player_shown_as(name) {
                Some(player) => drop(found.insert(player, true)),
                None => unknown.push(name.clone()),
            }
        }
        let mut all: Vec<(Standing, bool)> = found
            .into_iter()
            .filter_map(|(player, named)| Some((board.of(state, player)?, named)))
            .collect();
        all.sort_by_key(|(standing, _)| (standing.rank, standing.player));
        let rank = |of: u32| all.partition_point(|(other, _)| other.rank < of) as u32 + 1;
        let line = |(standing, named): &(Standing, bool)| FriendLine {
            rank: rank(standing.rank),
            place: standing.rank,
            name: match *named || self.shows_names() {
                true => state.shown_name(standing.player).unwrap_or_default(),
                false => String::new(),
            },
            points: standing.points,
        };
        let lines = all.iter().map(line).collect();
        FriendsView {
            lines,
            unknown,
            players: board.len() as u64,
            revision: state.board_revision(),
            coverage: Some(self.newest_closed()).filter(|of| *of > 0).map(|of| self.coverage(of)),
        }
    }

    /// The player who is shown under a name, upper and lower case and look-alike letters aside; of several the
    /// one with the smallest id. Found by the index of names, whoever asks.
    fn player_shown_as(&self, name: &str) -> Option<PlayerId> {
        let (state, wanted) = (self.state(), skeleton(name));
        let renamed = state.named.people.names().map(|(player, _)| player);
        let called = state.players.called(name).chain(state.players.called(without_mark(name)));
        let is_shown = |player: &PlayerId| {
            let shown = state.shown_name(*player);
            state.counts(*player) && shown.is_some_and(|shown| skeleton(&shown) == wanted)
        };
        called.chain(renamed).filter(is_shown).min()
    }
}

/// A name without the digits that tell the later of two players of that name.
fn without_mark(name: &str) -> &str {
    let marked = name.trim_end().strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("));
    let is_mark = |mark: &str| mark.len() == 4 && mark.chars().all(|c| c.is_ascii_hexdigit());
    marked.filter(|(_, mark)| is_mark(mark)).map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::without_mark;

    #[test]
    fn only_the_mark_of_a_later_player_is_taken_off_a_name() {
        assert_eq!(without_mark("Ada (1f9c)"), "Ada");
        for name in ["Ada", "Ada (Lovelace)", "Ada (1f9)", "(1f9c)"] {
            assert_eq!(without_mark(name), name);
        }
    }
}
