//! The raffle: whoever enters may win, and anybody can check the draw afterwards.
//!
//! An entrant's ticket is a hash of the player's id, so that a published list betrays no id. The draw's seed
//! is a hash over the round's salt and all tickets in order: the salt's hash was published at the opening and
//! nobody knows the tickets before the close, so neither the author nor the last one to enter chooses who
//! wins. The tickets with the smallest hashes under that seed win.

use super::file::{Object, Report, Table};
use super::key::hash_hex;
use super::{Entry, Facts, Given, Invalid, Key, Kind, PATH, Taken};
use crate::id::PlayerId;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a raffle gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Raffle {
    /// How many win.
    pub winners: u32,
}

/// What players see of a raffle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RaffleView {
    /// How many win.
    pub winners: u32,
}

/// A winner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Winner {
    /// Whose ticket it is.
    pub name: String,
    /// The ticket.
    pub ticket: String,
}

/// What a raffle comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RaffleResults {
    /// Hash over all tickets in order: with the salt it makes the seed.
    pub tickets: String,
    /// Who won, from the reveal on, the smallest hash first.
    pub drawn: Vec<Winner>,
}

impl Kind for Raffle {
    const NAME: &'static str = "raffle";
    const FIELDS: &'static [&'static str] = &["winners"];
    const PHASES: &'static [Phase] = PATH;
    type View = RaffleView;
    type Results = RaffleResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        Some(Raffle { winners: entry.whole("winners", 1..=100, report).unwrap_or(1) })
    }

    fn write(&self, out: &mut Table) {
        out.put("winners", self.winners);
    }

    fn view(&self, _: bool) -> RaffleView {
        RaffleView { winners: self.winners }
    }

    fn take(&self, _: &Given) -> Result<Taken, Invalid> {
        Ok(Taken::value(1))
    }

    fn key(&self) -> Option<Key> {
        Some(Key::Texts(vec!["draw".to_owned()]))
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        vec![facts.answered()]
    }

    fn results(&self, facts: &Facts<'_>) -> RaffleResults {
        let entrants: Vec<PlayerId> = facts.answers().map(|(player, ..)| player).collect();
        let tickets = tickets_hash(&entrants);
        if !facts.state.stage().has_revealed(facts.instance) {
            return RaffleResults { tickets, drawn: Vec::new() };
        }
        let winner = |player| Winner {
            name: facts.state.shown_name(player).unwrap_or_default(),
            ticket: ticket(player),
        };
        let drawn = draw(&facts.question.salt.to_string(), &entrants, self.winners);
        RaffleResults { tickets, drawn: drawn.into_iter().map(winner).collect() }
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        let entered = entries.iter().filter(|entry| entry.answer.is_some());
        let entrants: Vec<PlayerId> = entered.map(|entry| entry.player).collect();
        let drawn = draw(&facts.question.salt.to_string(), &entrants, self.winners);
        let drawn: BTreeSet<PlayerId> = drawn.into_iter().collect();
        for entry in entries.iter_mut().filter(|entry| drawn.contains(&entry.player)) {
            entry.outcome.correct = true;
            entry.outcome.points = i64::from(facts.question.points);
        }
    }
}

/// A player's ticket.
#[must_use]
pub fn ticket(player: PlayerId) -> String {
    hash_hex(&format!("starling-ticket:{player}"))
}

/// Hash over all tickets, ascending, a line each.
fn tickets_hash(entrants: &[PlayerId]) -> String {
    let mut tickets: Vec<String> = entrants.iter().map(|player| ticket(*player)).collect();
    tickets.sort_unstable();
    hash_hex(&tickets.join("\n"))
}

/// The winners: those with the smallest hash of seed and ticket.
fn draw(salt: &str, entrants: &[PlayerId], winners: u32) -> Vec<PlayerId> {
    let seed = hash_hex(&format!("{salt}:{}", tickets_hash(entrants)));
    let lot = |player: &PlayerId| (hash_hex(&format!("{seed}:{}", ticket(*player))), *player);
    let mut lots: Vec<_> = entrants.iter().map(lot).collect();
    lots.sort_unstable();
    lots.into_iter().take(winners as usize).map(|(_, player)| player).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_draw_depends_on_the_salt_and_on_everybody_who_entered() {
        let all: Vec<PlayerId> = (0..50).map(PlayerId).collect();
        let drawn = draw("aa", &all, 3);
        assert_eq!(draw("aa", &all, 3), drawn);
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 3);
        let mut reversed = all.clone();
        reversed.reverse();
        assert_eq!(draw("aa", &reversed, 3), drawn, "the order of entering does not matter");
        assert_ne!(draw("ab", &all, 3), drawn);
        assert_eq!(draw("aa", &all[..2], 3).len(), 2);
    }

    #[test]
    fn the_draw_can_be_recomputed_from_its_description() {
        let (one, two) = (PlayerId(1), PlayerId(2));
        let mut tickets = [ticket(one), ticket(two)];
        assert_eq!(tickets[0], hash_hex(&format!("starling-ticket:{:032x}", 1)));
        tickets.sort();
        let seed = hash_hex(&format!("5a:{}", hash_hex(&tickets.join("\n"))));
        let first = hash_hex(&format!("{seed}:{}", ticket(one)));
        let second = hash_hex(&format!("{seed}:{}", ticket(two)));
        let winner = if first < second { one } else { two };
        assert_eq!(draw("5a", &[one, two], 1), [winner]);
    }
}
