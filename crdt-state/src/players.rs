//! The players of an event: rows, numbered by the origin that first took the player.
//!
//! A player id exists before its row, and rows with the same id are aliases: two nodes that took one
//! player before they met gave it two rows, and every fold reads both as one player. A row never
//! changes once it is there, so the join of two row tables is their union.

use crate::caps;
use crate::id::{Origin, PlayerId, Row};
use crdts::CvRDT;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

/// What a row says of its player.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Player {
    /// Who it is.
    pub id: PlayerId,
    /// The name as the player typed it, trimmed; 1 to [`caps::NAME_BYTES_MAX`] bytes.
    pub name: String,
}

/// All rows, with two derived indexes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Rows", into = "Rows")]
pub struct Players {
    rows: BTreeMap<Row, Arc<Player>>,
    by_id: BTreeMap<PlayerId, BTreeSet<Row>>,
    by_name: BTreeMap<String, BTreeSet<Row>>,
}

type Rows = Vec<(Row, Player)>;

impl Players {
    /// Takes in a row. Where a row is already held with another content, the smaller content stays.
    pub fn insert(&mut self, row: Row, player: Player) {
        if let Some(held) = self.rows.get(&row) {
            if **held <= player {
                return;
            }
            self.forget_index(row);
        }
        self.by_id.entry(player.id).or_default().insert(row);
        self.by_name.entry(normalized(&player.name)).or_default().insert(row);
        self.rows.insert(row, Arc::new(player));
    }

    fn forget_index(&mut self, row: Row) {
        let Some(held) = self.rows.get(&row) else { return };
        if let Some(rows) = self.by_id.get_mut(&held.id) {
            rows.remove(&row);
        }
        if let Some(rows) = self.by_name.get_mut(&normalized(&held.name)) {
            rows.remove(&row);
        }
    }

    /// What a row says.
    #[must_use]
    pub fn get(&self, row: Row) -> Option<&Arc<Player>> {
        self.rows.get(&row)
    }

    /// How many players there are, aliases counted once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Every player with all rows, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (PlayerId, &BTreeSet<Row>)> {
        self.by_id.iter().map(|(id, rows)| (*id, rows))
    }

    /// All rows of a player, in their order; nothing for an unknown one.
    pub fn rows_of(&self, id: PlayerId) -> impl Iterator<Item = Row> + '_ {
        self.by_id.get(&id).into_iter().flatten().copied()
    }

    /// The row that speaks for a player: the smallest.
    #[must_use]
    pub fn row_of(&self, id: PlayerId) -> Option<Row> {
        self.rows_of(id).next()
    }

    /// Whether somebody else already bears this name, in any spelling of case and space.
    #[must_use]
    pub fn is_taken(&self, name: &str, by_other_than: PlayerId) -> bool {
        self.by_name
            .get(&normalized(name))
            .is_some_and(|rows| rows.iter().any(|row| self.rows[row].id != by_other_than))
    }

    /// The name as it is shown: bare for the smallest row that bears it, with a suffix for a player
    /// who took it on another node at the same time. A suffix never goes away again.
    #[must_use]
    pub fn shown_name(&self, id: PlayerId) -> Option<String> {
        let row = self.row_of(id)?;
        let name = &self.rows[&row].name;
        let first = self.by_name.get(&normalized(name)).and_then(|rows| rows.first());
        match first {
            Some(first) if self.rows[first].id != id => {
                Some(format!("{name} ({:04x})", id.0 as u16))
            }
            _ => Some(name.clone()),
        }
    }

    /// The next free row number of `origin`.
    #[must_use]
    pub fn next_number(&self, origin: Origin) -> u32 {
        let all = Row { origin, number: 0 }..=Row { origin, number: u32::MAX };
        self.rows.range(all).next_back().map_or(0, |(row, _)| row.number + 1)
    }

    /// Every row in order, for digests and exports.
    pub fn rows(&self) -> impl Iterator<Item = (Row, &Player)> {
        self.rows.iter().map(|(row, player)| (*row, &**player))
    }
}

/// One spelling for all that a person would call the same name.
fn normalized(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A name that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("the name is empty")]
    Empty,
    /// It would break layouts and frames.
    #[error("the name has {bytes} bytes, at most {max} are possible")]
    Long {
        /// What it has.
        bytes: usize,
        /// What it may have.
        max: usize,
    },
    /// It would not be what it looks like.
    #[error("the name contains the control character U+{code:04X}")]
    Control {
        /// The first such character.
        code: u32,
    },
}

/// Trims a name and checks that it can be shown.
///
/// # Errors
/// When it is empty, too long or contains control characters.
pub fn check_name(name: &str) -> Result<String, NameError> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(control) = name.chars().find(|c| c.is_control() || is_invisible(*c)) {
        return Err(NameError::Control { code: control.into() });
    }
    match name.len() {
        0 => Err(NameError::Empty),
        bytes if bytes > caps::NAME_BYTES_MAX => {
            Err(NameError::Long { bytes, max: caps::NAME_BYTES_MAX })
        }
        _ => Ok(name),
    }
}

/// Zero-width and direction-changing characters, with which one name could pass for another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl PartialEq for Players {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Eq for Players {}

impl From<Rows> for Players {
    fn from(rows: Rows) -> Self {
        let mut players = Players::default();
        for (row, player) in rows {
            players.insert(row, player);
        }
        players
    }
}

impl From<Players> for Rows {
    fn from(players: Players) -> Self {
        players.rows.into_iter().map(|(row, player)| (row, (*player).clone())).collect()
    }
}

impl CvRDT for Players {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        for (row, player) in Rows::from(other) {
            self.insert(row, player);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(id: u128, name: &str) -> Player {
        Player { id: PlayerId(id), name: name.into() }
    }

    fn row(origin: u64, number: u32) -> Row {
        Row { origin: Origin(origin), number }
    }

    #[test]
    fn one_player_taken_twice_counts_once() {
        let mut players = Players::default();
        players.insert(row(1, 0), player(9, "Ada"));
        players.insert(row(2, 0), player(9, "Ada"));
        assert_eq!(players.count(), 1);
        assert_eq!(players.rows_of(PlayerId(9)).count(), 2);
        assert_eq!(players.shown_name(PlayerId(9)).as_deref(), Some("Ada"));
    }

    #[test]
    fn a_name_taken_on_two_nodes_shows_one_suffix_on_both() {
        let rows = [(row(1, 0), player(0xa, "Ada")), (row(2, 0), player(0xb, " ADA"))];
        let forward: Players = rows.to_vec().into();
        let backward: Players = rows.into_iter().rev().collect::<Vec<_>>().into();
        for players in [forward, backward] {
            assert_eq!(players.shown_name(PlayerId(0xa)).as_deref(), Some("Ada"));
            assert_eq!(players.shown_name(PlayerId(0xb)).as_deref(), Some(" ADA (000b)"));
            assert!(players.is_taken("ada", PlayerId(0xc)));
        }
    }

    #[test]
    fn a_name_that_cannot_be_shown_is_refused() {
        assert_eq!(check_name("  Ada   L. "), Ok("Ada L.".into()));
        assert_eq!(check_name(" "), Err(NameError::Empty));
        assert_eq!(check_name("a\u{202e}b"), Err(NameError::Control { code: 0x202e }));
        assert!(matches!(check_name(&"x".repeat(49)), Err(NameError::Long { bytes: 49, .. })));
    }
}
