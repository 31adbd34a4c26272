//! Teams: a player chooses one where the show lets players choose, and whoever has not chosen is in one that
//! is drawn from the player's id, so that every node knows it without asking.
//!
//! A choice is an answer like any other, to run 0, which no round ever has: it stands in a dense column, is the
//! same on whatever node it was made, travels in batches and has a receipt. Where the show lets players change
//! their minds, the choice made last has to be the smallest cell, so a cell's time counts down: the first choice
//! has the longest, the next one a millisecond less. Of two made apart as the same number of changes, the
//! origin decides, as it does between answers.

use super::Scoreboard;
use super::script::TeamScore;
use crate::column::Cell;
use crate::event::EventState;
use crate::id::{Origin, PlayerId, Row};
use crate::players::Handle;

/// The run whose answers are choices of a team.
pub const TEAM_INSTANCE: u32 = 0;
/// How often one player can choose. Arbitrary: more is a game of its own, and each choice is an entry.
pub const TEAM_CHOICES_MAX: u32 = 16;

/// The team of a player, as an index into the show's teams; nothing in a show without teams.
#[must_use]
pub fn team_of(state: &EventState, player: PlayerId) -> Option<usize> {
    let teams = state.script()?.teams.names.len();
    let chosen = held_choice(state, player).and_then(|cell| team_in(cell, teams));
    chosen.or_else(|| side_of(teams, player))
}

/// The cell of a player's choice, if the player has chosen.
#[must_use]
pub fn held_choice(state: &EventState, player: PlayerId) -> Option<Cell> {
    let (_, cell) = state.held(TEAM_INSTANCE, state.players.rows_of(player))?;
    Some(cell)
}

/// How often the player has chosen whose choice this is.
#[must_use]
pub fn choices_made(cell: Cell) -> u32 {
    TEAM_CHOICES_MAX.saturating_sub(cell.elapsed_ms())
}

/// The cell of a choice that follows `held`.
#[must_use]
pub fn choice_after(held: Option<Cell>, origin: Origin, team: u8) -> Cell {
    let made = held.map_or(0, choices_made) + 1;
    Cell::new(TEAM_CHOICES_MAX.saturating_sub(made), origin, u32::from(team))
}

/// The team that a cell names, if the show has it.
fn team_in(cell: Cell, teams: usize) -> Option<usize> {
    Some(cell.value() as usize).filter(|team| *team < teams)
}

/// How many players have chosen each team.
#[must_use]
pub fn chosen_sizes(state: &EventState) -> Vec<u64> {
    let teams = state.script().map_or(0, |script| script.teams.names.len());
    let mut sizes = vec![0; teams];
    state.each_held(TEAM_INSTANCE, |_, _, cell| {
        if let Some(team) = team_in(cell, teams) {
            sizes[team] += 1;
        }
    });
    sizes
}

/// One of `sides`, drawn from the player's id: from its lower half, by another hash than the slot's.
pub(super) fn side_of(sides: usize, player: PlayerId) -> Option<usize> {
    (sides > 0).then(|| (mix(player.0 as u64) % sides as u64) as usize)
}

/// One of `sides`, by turns in the order in which a node took its players: as many on each as can be without
/// asking other nodes, each of which begins somewhere else. The row of somebody who joined on two nodes at once
/// may turn out to be another one later.
pub(super) fn side_by_turns(sides: usize, row: Row) -> Option<usize> {
    let begin = mix(row.origin.0) % sides.max(1) as u64;
    (sides > 0).then(|| ((begin + u64::from(row.number)) % sides as u64) as usize)
}

/// SplitMix64's finalizer: clients may draw their ids badly.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Everybody's side, for folds over all players: a place per row that has chosen, and a draw for the others.
pub(super) struct Sides {
    count: usize,
    /// By handle; one more than the side, 0 for whoever has not chosen.
    chosen: Vec<u8>,
}

impl Sides {
    /// `count` sides, which are the show's teams if it has as many.
    pub(super) fn of(state: &EventState, count: usize) -> Self {
        let teams = state.script().map_or(0, |script| script.teams.names.len());
        let mut chosen = Vec::new();
        if teams == count {
            state.each_held(TEAM_INSTANCE, |handle, _, cell| {
                let Some(team) = team_in(cell, teams) else { return };
                let at = handle as usize;
                if chosen.len() <= at {
                    chosen.resize(at + 1, 0);
                }
                chosen[at] = team as u8 + 1;
            });
        }
        Sides { count, chosen }
    }

    /// The side of a player, by the row that speaks for the player.
    pub(super) fn get(&self, handle: Handle, player: PlayerId) -> Option<usize> {
        match self.chosen.get(handle as usize) {
            Some(side) if *side > 0 => Some(usize::from(*side) - 1),
            _ => side_of(self.count, player),
        }
    }
}

/// A team's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamStanding {
    /// Which team.
    pub team: usize,
    /// Its points: the mean of its members' rounded down, or their sum.
    pub points: u64,
    /// How many it has.
    pub players: u64,
    /// Competition rank: 1, 2, 2, 4.
    pub rank: u32,
}

/// All teams by points, equals in the order of the script.
#[must_use]
pub fn team_standings(state: &EventState, board: &Scoreboard) -> Vec<TeamStanding> {
    let Some(script) = state.script() else { return Vec::new() };
    let sides = Sides::of(state, script.teams.names.len());
    let mut sums = vec![(0_u64, 0_u64); script.teams.names.len()];
    board.each(|handle, points| {
        if let Some(team) = sides.get(handle, state.players.id_at(handle)) {
            sums[team].0 += points;
            sums[team].1 += 1;
        }
    });
    placed(&sums, script.teams.score)
}

/// Teams in their order, out of their members' points and how many those are.
fn placed(sums: &[(u64, u64)], score: TeamScore) -> Vec<TeamStanding> {
    let standing = |(team, (sum, players)): (usize, &(u64, u64))| {
        let points = match score {
            TeamScore::Mean => sum / (*players).max(1),
            TeamScore::Sum => *sum,
        };
        TeamStanding { team, points, players: *players, rank: 0 }
    };
    let mut teams: Vec<TeamStanding> = sums.iter().enumerate().map(standing).collect();
    teams.sort_by_key(|team| (std::cmp::Reverse(team.points), team.team));
    let points: Vec<u64> = teams.iter().map(|team| team.points).collect();
    for team in &mut teams {
        team.rank = 1 + points.iter().filter(|other| **other > team.points).count() as u32;
    }
    teams
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Answers, Create, Delta, Join};
    use crate::engagement::{Question, Script};
    use crate::id::Row;
    use crate::named::{Award, AwardChange, Change};

    const ME: Origin = Origin(1 << 48);
    const PLAYERS: u32 = 40;

    fn show(score: TeamScore) -> EventState {
        let question = Question::choice("?", vec!["a".into(), "b".into()], 1);
        let mut script = Script::new("T", vec![question]);
        script.teams.names = vec!["red".into(), "blue".into()];
        script.teams.score = score;
        let mut state = EventState::default();
        state.take(ME, Delta::Create(Create { lamport: 1, script }));
        let join = |number: u32| Join {
            row: Row { origin: ME, number },
            player: PlayerId(u128::from(number) + 1),
            name: format!("p{number}"),
        };
        state.take(ME, Delta::Joins((0..PLAYERS).map(join).collect()));
        state
    }

    /// The player with this number chooses on `origin`, which sees what `state` holds.
    fn choose(state: &mut EventState, origin: Origin, number: u32, team: u8) -> Answers {
        let held = held_choice(state, PlayerId(u128::from(number) + 1));
        let cell = choice_after(held, origin, team);
        let rows = vec![(number, cell.elapsed_ms(), cell.value())];
        let answers = Answers { instance: TEAM_INSTANCE, question: 0, rows_of: ME, rows };
        state.take(origin, Delta::Answers(answers.clone()));
        answers
    }

    fn team(state: &EventState, number: u32) -> Option<usize> {
        team_of(state, PlayerId(u128::from(number) + 1))
    }

    #[test]
    fn a_team_has_the_mean_or_the_sum_of_its_members() {
        let sums = [(31, 2), (20, 1), (0, 0)];
        let mean = placed(&sums, TeamScore::Mean);
        let told = |all: &[TeamStanding]| {
            all.iter().map(|one| (one.team, one.points, one.rank)).collect::<Vec<_>>()
        };
        assert_eq!(told(&mean), [(1, 20, 1), (0, 15, 2), (2, 0, 3)]);
        assert_eq!(told(&placed(&sums, TeamScore::Sum)), [(0, 31, 1), (1, 20, 2), (2, 0, 3)]);
    }

    #[test]
    fn a_chosen_team_holds_in_place_of_the_drawn_one_and_is_no_round() {
        let mut state = show(TeamScore::Sum);
        let drawn: Vec<_> = (0..PLAYERS).map(|number| team(&state, number)).collect();
        assert!(drawn.contains(&Some(0)) && drawn.contains(&Some(1)));
        for number in 0..PLAYERS / 2 {
            choose(&mut state, ME, number, 1);
        }
        assert!((0..PLAYERS / 2).all(|number| team(&state, number) == Some(1)));
        let others = PLAYERS / 2..PLAYERS;
        assert!(others.clone().all(|number| team(&state, number) == drawn[number as usize]));
        assert_eq!(chosen_sizes(&state), [0, u64::from(PLAYERS / 2)]);
        assert_eq!(state.instances().count(), 0);
        assert_eq!(team_of(&EventState::default(), PlayerId(1)), None);
    }

    #[test]
    fn the_board_of_teams_follows_what_was_chosen() {
        let mut state = show(TeamScore::Sum);
        for number in 0..PLAYERS {
            choose(&mut state, ME, number, u8::from(number == 0));
        }
        let award = Award { id: "1".into(), player: PlayerId(1), points: 7 };
        state.take(ME, Delta::Named(Change::Award(AwardChange { name: "prize".into(), award })));
        let mut board = Scoreboard::default();
        board.update(&state, |_| true);
        let told = |state: &EventState| {
            let all = team_standings(state, &board);
            all.iter().map(|one| (one.team, one.points, one.players)).collect::<Vec<_>>()
        };
        assert_eq!(told(&state), [(1, 7, 1), (0, 0, u64::from(PLAYERS) - 1)]);
        choose(&mut state, ME, 0, 0);
        assert_eq!(told(&state), [(0, 7, u64::from(PLAYERS)), (1, 0, 0)]);
    }

    #[test]
    fn the_last_choice_holds_in_whatever_order_choices_come() {
        let mut state = show(TeamScore::Mean);
        let choices: Vec<Answers> =
            [1, 0, 1].into_iter().map(|team| choose(&mut state, ME, 3, team)).collect();
        assert_eq!(team(&state, 3), Some(1));
        let mut other = show(TeamScore::Mean);
        for answers in choices.into_iter().rev() {
            other.take(ME, Delta::Answers(answers));
        }
        assert_eq!((team(&other, 3), other.digest()), (Some(1), state.digest()));
        let held = held_choice(&state, PlayerId(4)).unwrap();
        assert_eq!(choices_made(held), 3);
    }

    #[test]
    fn of_two_choices_made_apart_one_holds_on_both_sides() {
        let (near, far) = (Origin(2 << 48), Origin(3 << 48));
        let (mut one, mut two) = (show(TeamScore::Mean), show(TeamScore::Mean));
        let here = choose(&mut one, near, 5, 0);
        let there = choose(&mut two, far, 5, 1);
        one.take(far, Delta::Answers(there));
        two.take(near, Delta::Answers(here));
        assert_eq!((team(&one, 5), team(&two, 5)), (Some(0), Some(0)));
        assert_eq!(one.digest(), two.digest());
    }

    #[test]
    fn a_choice_of_a_team_that_is_not_there_is_none() {
        let mut state = show(TeamScore::Mean);
        let drawn = team(&state, 0);
        choose(&mut state, ME, 0, 9);
        assert_eq!(team(&state, 0), drawn);
        assert_eq!(chosen_sizes(&state), [0, 0]);
    }
}
