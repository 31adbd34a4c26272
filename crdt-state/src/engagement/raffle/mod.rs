//! The raffle: whoever enters may win, and anybody can check the draw afterwards.
//!
//! An entrant's ticket is a hash of the player's id, so that a published list betrays no id. The draw's seed
//! is a hash over the run's salt and all tickets in order: the salt's hash was published at the opening and
//! nobody knows the tickets before the close, so neither the author nor the last one to enter chooses who
//! wins. The tickets with the smallest hashes under that seed win. Whoever asks it again draws with another
//! salt, of which the first draw told nothing.
//!
//! Whom a host has kicked keeps the ticket and is passed over in the order of the lots: a kick moves up who
//! comes next and draws nothing anew, so that no host can kick until the wished one wins.

use super::file::{Object, Report, Table};
use super::key::{hash_hex, key_text, run_salt};
use super::{
    Case, Draw, Entry, Facts, Gave, Given, Invalid, Key, Kind, PATH, Question, Reason, Taken, Task,
    bits,
};
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
    const DRAWN: bool = true;
    const TIMED: bool = false;
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

    fn guess(_: &RaffleView, _: Option<&RaffleResults>, _: Draw<'_>) -> Given {
        Given::default()
    }

    fn take(&self, _: &Given) -> Result<Taken, Invalid> {
        Ok(Taken::value(1))
    }

    fn given(&self, value: u32, _: Option<&str>) -> Gave {
        Gave { choices: bits(value), words: "a ticket".to_owned(), ..Gave::default() }
    }

    fn key(&self) -> Option<Key> {
        Some(Key::Texts(vec!["draw".to_owned()]))
    }

    /// Nothing: no answer is right, and who wins hangs on the salt.
    fn key_in_words(&self, _: &Key) -> String {
        String::new()
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        vec![facts.answered()]
    }

    fn results(&self, facts: &Facts<'_>) -> RaffleResults {
        let entrants = entrants(facts);
        let tickets = tickets_hash(&entrants);
        if !facts.state.has_revealed(facts.instance) {
            return RaffleResults { tickets, drawn: Vec::new() };
        }
        let winner = |player| Winner {
            name: facts.state.shown_name(player).unwrap_or_default(),
            ticket: ticket(player),
        };
        let drawn = self.draw(facts, &entrants).map(winner);
        RaffleResults { tickets, drawn: drawn.collect() }
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        let drawn: BTreeSet<PlayerId> = self.draw(facts, &entrants(facts)).collect();
        for entry in entries.iter_mut().filter(|entry| drawn.contains(&entry.player)) {
            entry.outcome.correct = true;
            entry.outcome.points = i64::from(facts.question.points);
        }
    }

    fn rule(&self, question: &Question) -> Option<String> {
        let (winners, points) = (self.winners, question.points);
        Some(format!("each of {winners} drawn from all who entered gets {points} points"))
    }

    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        case.cell?;
        let points = case.outcome.points;
        // Also those of who does not count: the seed hangs on them, and the record lists them.
        let tickets = entrants(&case.facts).len();
        let verdict = if case.outcome.correct { "drawn" } else { "not drawn" };
        let arithmetic = format!("{} of {tickets} tickets, {verdict}: {points}", self.winners);
        Some(Reason { arithmetic, verdict: verdict.to_owned() })
    }
}

impl Raffle {
    /// The winners: the first in the order of the lots who count.
    fn draw(&self, facts: &Facts<'_>, entrants: &[PlayerId]) -> impl Iterator<Item = PlayerId> {
        let salt = run_salt(facts.question, facts.instance);
        let (state, lots) = (facts.state, lots(&salt, entrants));
        lots.into_iter().filter(|player| state.counts(*player)).take(self.winners as usize)
    }
}

/// Whoever entered, also who does not count.
fn entrants(facts: &Facts<'_>) -> Vec<PlayerId> {
    let mut entrants = Vec::new();
    facts.state.each_kept(facts.instance, |handle, question, _| {
        if question == facts.number {
            entrants.push(facts.state.players.id_at(handle));
        }
    });
    entrants
}

/// Tickets that are listed for anybody to check a draw: hashing more at a reader's wish would cost too much.
/// The record of a larger raffle is made from the export, by `starling replay EXPORT --raffle ROUND`.
pub const LISTED_MAX: usize = 100_000;

/// All that it takes to draw a raffle again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RaffleRecord {
    /// Whether a host has set the round aside, so that the draw gives nothing to anybody.
    pub voided: bool,
    /// What was published at the opening.
    pub commitment: String,
    /// What was hashed with the salt for it. A raffle has no answer to hide: its secret is the salt.
    pub key: String,
    /// What hid the seed until the reveal.
    pub salt: String,
    /// How many win.
    pub winners: u32,
    /// Every ticket, ascending.
    pub tickets: Vec<String>,
    /// Those of players whom a host has taken out: they do not win, and change nobody's chance.
    pub out: Vec<String>,
    /// Those that won, the smallest hash first.
    pub drawn: Vec<String>,
}

/// Who entered a raffle that is revealed, from which its record is made.
#[derive(Debug, Clone)]
pub struct Entrants {
    voided: bool,
    commitment: String,
    key: String,
    salt: String,
    winners: u32,
    players: Vec<PlayerId>,
    out: Vec<PlayerId>,
}

impl Entrants {
    /// Who entered this run; nothing if it is no raffle, or not revealed yet.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Option<Self> {
        let Task::Raffle(raffle) = &facts.question.task else { return None };
        if !facts.state.has_revealed(facts.instance) {
            return None;
        }
        let players = entrants(facts);
        let is_out = |player: &PlayerId| !facts.state.counts(*player);
        let out = players.iter().copied().filter(is_out).collect();
        Some(Entrants {
            voided: facts.state.is_aside(facts.instance),
            key: key_text(&raffle.key()?),
            commitment: super::commitment(facts.question, facts.instance)?,
            salt: run_salt(facts.question, facts.instance),
            winners: raffle.winners,
            players,
            out,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.players.len()
    }

    /// The tickets of players whom a host has taken out.
    #[must_use]
    pub fn out(&self) -> Vec<String> {
        self.out.iter().map(|player| ticket(*player)).collect()
    }

    /// The record: a few hashes for each.
    #[must_use]
    pub fn record(self) -> RaffleRecord {
        let away = self.out();
        let Entrants { voided, commitment, key, salt, winners, players, out } = self;
        let out: BTreeSet<PlayerId> = out.into_iter().collect();
        let mut tickets: Vec<String> = players.iter().map(|player| ticket(*player)).collect();
        tickets.sort_unstable();
        let counted = lots(&salt, &players).into_iter().filter(|player| !out.contains(player));
        let drawn = counted.take(winners as usize).map(ticket).collect();
        RaffleRecord { voided, commitment, key, salt, winners, tickets, out: away, drawn }
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

/// All entrants by the hash of seed and ticket, the smallest first.
fn lots(salt: &str, entrants: &[PlayerId]) -> Vec<PlayerId> {
    let seed = hash_hex(&format!("{salt}:{}", tickets_hash(entrants)));
    let lot = |player: &PlayerId| (hash_hex(&format!("{seed}:{}", ticket(*player))), *player);
    let mut lots: Vec<_> = entrants.iter().map(lot).collect();
    lots.sort_unstable();
    lots.into_iter().map(|(_, player)| player).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Advance, Delta};
    use crate::engagement::testing::{ME, Player, started};
    use crate::engagement::{Task, fold};
    use crate::event::EventState;
    use crate::stage::Stage;

    #[test]
    fn the_draw_depends_on_the_salt_and_on_everybody_who_entered() {
        let all: Vec<PlayerId> = (0..50).map(PlayerId).collect();
        let drawn = lots("aa", &all);
        assert_eq!(lots("aa", &all), drawn);
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 50);
        let mut reversed = all.clone();
        reversed.reverse();
        assert_eq!(lots("aa", &reversed), drawn, "the order of entering does not matter");
        assert_ne!(lots("ab", &all)[..3], drawn[..3]);
        let without_the_last: Vec<_> = drawn.iter().copied().filter(|id| id.0 != 49).collect();
        assert_ne!(lots("aa", &all[..49]), without_the_last);
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
        assert_eq!(lots("5a", &[one, two])[0], winner);
    }

    /// The published hash of all tickets, and the tickets that win.
    fn drawn(state: &EventState) -> (String, Vec<String>) {
        let facts = Facts::of(state, 1).expect("it has opened");
        let Task::Raffle(raffle) = &facts.question.task else { panic!("a raffle") };
        let RaffleResults { tickets, drawn } = raffle.results(&facts);
        (tickets, drawn.into_iter().map(|winner| winner.ticket).collect())
    }

    /// The tickets of those who have points.
    fn paid(state: &EventState) -> BTreeSet<String> {
        let all = fold(state, |_| true, |_, _| {}).into_iter();
        all.filter(|(_, so_far)| so_far.points > 0).map(|(player, _)| ticket(player)).collect()
    }

    fn kick(state: &mut EventState, of: &str, out: bool) {
        let player = state.players.ids().find(|id| ticket(*id) == of).expect("a player's ticket");
        super::super::testing::kick(state, player, out);
    }

    #[test]
    fn a_kick_draws_nothing_anew_and_moves_up_who_comes_next() {
        let players: Vec<_> = (0..50).map(|_| Player::gives(Given::default())).collect();
        let mut state = started(&[Task::Raffle(Raffle { winners: 3 })], &players);
        let (to, question, open_ms) = (Stage::new(1, Phase::Reveal), None, None);
        state.take(ME, Delta::Advance(Advance { lamport: 3, to, question, open_ms }));
        let before = drawn(&state);
        let loser = state.players.ids().map(ticket).find(|id| !before.1.contains(id)).unwrap();
        kick(&mut state, &loser, true);
        assert_eq!(drawn(&state), before, "a loser is out");
        kick(&mut state, &before.1[0], true);
        let after = drawn(&state);
        assert_eq!((&after.0, &after.1[..2]), (&before.0, &before.1[1..]), "a winner is out");
        assert_eq!(after.1.len(), 3);
        // The record lists the ticket of whoever is out, and so it is counted.
        let facts = Facts::of(&state, 1).expect("it has opened");
        let winner = state.players.ids().find(|id| ticket(*id) == after.1[0]).unwrap();
        let case = Case::of(&state, 1, winner, &[]).expect("there is a run");
        let reason = facts.question.task.explain(&case).expect("the winner has entered");
        assert!(reason.arithmetic.starts_with("3 of 50 tickets"), "{}", reason.arithmetic);
        assert_eq!(paid(&state), after.1.iter().cloned().collect());
        kick(&mut state, &before.1[0], false);
        assert_eq!(drawn(&state), before);
    }
}
