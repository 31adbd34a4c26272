//! The tug of war: sides tap against each other, and everybody sees the rope move.
//!
//! A player's side is the team of the show; in a show without teams each node gives its players the sides by
//! turns, so that they are even. Taps are counted like reactions; what counts is the mean per player who pulls, so
//! that a small side has a chance. On whose side a player pulls is held with the first tap, as an answer is: who comes
//! or changes teams later changes nothing of it.

use super::file::{Object, Report, Table};
use super::reactions::{TAPS_MAX, taps};
use super::teams::{side_by_turns, team_of};
use super::{Case, Draw, Entry, Facts, Gave, Given, Invalid, Kind, Question, Reason, Taken};
use crate::event::EventState;
use crate::id::PlayerId;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who pulls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tug {
    /// The sides' names; in a show with teams as many as there are teams.
    pub sides: Vec<String>,
}

/// What players see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TugView {
    /// The sides' names.
    pub sides: Vec<String>,
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TugResults {
    /// How many players pull on each side, those whom hosts have kicked since included: their taps count too.
    pub players: Vec<u64>,
    /// Taps per hundred players who pull, of each side.
    pub pull: Vec<u64>,
}

impl Kind for Tug {
    const NAME: &'static str = "tug";
    const FIELDS: &'static [&'static str] = &["sides"];
    const PHASES: &'static [Phase] =
        &[Phase::Intro, Phase::Open, Phase::Closed, Phase::Tallies, Phase::Board];
    const LIVE: bool = true;
    const ONE_ANSWER: bool = false;
    const TIMED: bool = false;
    type View = TugView;
    type Results = TugResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        entry.options("sides", &(2..=8), report).map(|sides| Tug { sides })
    }

    fn write(&self, out: &mut Table) {
        out.put("sides", self.sides.as_slice());
    }

    fn check_teams(&self, teams: &[String]) -> Result<(), Invalid> {
        let (sides, teams) = (self.sides.len(), teams.len());
        match teams == 0 || sides == teams {
            true => Ok(()),
            false => Err(Invalid(format!(
                "{sides} sides, but the show has {teams} teams: name a side for each"
            ))),
        }
    }

    fn view(&self, _: bool) -> TugView {
        TugView { sides: self.sides.clone() }
    }

    fn guess(_: &TugView, _: Option<&TugResults>, draw: Draw<'_>) -> Given {
        Given { count: Some(1 + draw(TAPS_MAX)), ..Given::default() }
    }

    /// The side is the player's own, whatever was sent: whoever takes the taps puts it in.
    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        let option = given.choices.first().copied().unwrap_or(0);
        Ok(Taken::Count { option: option.min(self.sides.len() as u8 - 1), by: taps(given)? })
    }

    fn side_of(&self, state: &EventState, player: PlayerId) -> Option<u32> {
        Some(self.side(state, player) as u32)
    }

    fn given(&self, side: u32, _: Option<&str>) -> Gave {
        Gave::choices(vec![side as u8], &self.sides)
    }

    fn options(&self) -> &[String] {
        &self.sides
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        (0..self.sides.len()).map(|side| facts.counter(side)).collect()
    }

    fn results(&self, facts: &Facts<'_>) -> TugResults {
        let mut players = vec![0; self.sides.len()];
        // Taps have no names: with those of players who were kicked count those players.
        facts.each_cell_kept(|cell| {
            if let Some(count) = players.get_mut(cell.value() as usize) {
                *count += 1;
            }
        });
        let pull = self
            .counts(facts)
            .into_iter()
            .zip(&players)
            .map(|(taps, players)| taps * 100 / (*players).max(1));
        TugResults { pull: pull.collect(), players }
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        let pull = self.results(facts).pull;
        let most = pull.iter().copied().max().unwrap_or(0);
        if most == 0 || pull.iter().filter(|one| **one == most).count() > 1 {
            return;
        }
        for entry in entries.iter_mut() {
            let side = entry.answer.and_then(|cell| pull.get(cell.value() as usize));
            if side == Some(&most) {
                entry.outcome.points = i64::from(facts.question.points);
                entry.outcome.correct = true;
            }
        }
    }

    fn rule(&self, question: &Question) -> Option<String> {
        let points = question.points;
        Some(format!(
            "everybody who pulls on the side that pulls more for each of those who do gets {points} points; \
             where none does, nobody gets any"
        ))
    }

    /// Taps are no answer, and a side wins or loses with all who are on it.
    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        let (facts, points) = (&case.facts, case.outcome.points);
        let (_, cell) = case.outcome.answer?;
        let (taps, TugResults { players, pull }) = (self.counts(facts), self.results(facts));
        let side = |at: usize| {
            let (name, players) = (&self.sides[at], players[at].max(1));
            format!(
                "{name}, taps in hundredths for each of those who pull: {} * 100 / {players}, rounded down = {}",
                taps[at], pull[at]
            )
        };
        let sides: Vec<String> = (0..self.sides.len()).map(side).collect();
        let own = self.sides.get(cell.value() as usize)?;
        let is_won = case.all.iter().any(|(_, outcome)| outcome.correct);
        let verdict = match (case.outcome.correct, is_won) {
            (true, _) => format!("on the side {own}, which won"),
            (false, true) => format!("on the side {own}, which did not win"),
            (false, false) => "no side won".to_owned(),
        };
        Some(Reason { arithmetic: format!("{}; {verdict}: {points}", sides.join("; ")), verdict })
    }
}

impl Tug {
    /// The side of a player who has not pulled yet: the team where there are as many sides as teams, and by turns else.
    #[must_use]
    pub fn side(&self, state: &EventState, player: PlayerId) -> usize {
        let teams = state.script().map_or(0, |script| script.teams.names.len());
        let team = (teams == self.sides.len()).then(|| team_of(state, player)).flatten();
        let row = || state.players.row_of(player);
        team.or_else(|| side_by_turns(self.sides.len(), row()?)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Advance, Answers, Create, Delta, Join};
    use crate::engagement::testing::kick;
    use crate::engagement::{Question, Script, TEAM_INSTANCE, Task, counter_name, fold};
    use crate::id::{Origin, Row};
    use crate::named::{Change, NumberChange};
    use crate::stage::Stage;

    const ME: Origin = Origin(1);

    fn join(number: u32) -> Join {
        let player = PlayerId(u128::from(number));
        Join { row: Row { origin: ME, number }, player, name: format!("p{number}") }
    }

    /// These players pull on these sides, with so many taps of each side in all.
    fn pulled(state: &mut EventState, players: &[(u32, u32)], taps: &[u64]) {
        let rows = players.iter().map(|(number, side)| (*number, 500, *side)).collect();
        let answers = Answers { instance: 1, question: 0, rows_of: ME, rows };
        state.take(ME, Delta::Answers(answers));
        for (side, value) in taps.iter().enumerate() {
            let change = NumberChange { name: counter_name(1, side), value: *value };
            state.take(ME, Delta::Named(Change::Total(change)));
        }
    }

    fn show(sides: &[&str], players: u32) -> (EventState, Tug) {
        let tug = Tug { sides: sides.iter().map(|side| (*side).to_owned()).collect() };
        let question = Question::new("?", Task::Tug(tug.clone()));
        let mut state = EventState::default();
        let script = Script::new("T", vec![question]);
        state.take(ME, Delta::Create(Create { lamport: 1, script }));
        state.take(ME, Delta::Joins((0..players).map(join).collect()));
        let (to, question) = (Stage::new(1, Phase::Open), Some(0));
        let advance = Advance { lamport: 2, to, question, open_ms: Some(10_000) };
        state.take(ME, Delta::Advance(advance));
        (state, tug)
    }

    fn points(state: &EventState) -> Vec<i64> {
        let mut points = Vec::new();
        fold(state, |_| true, |_, all| points = all.iter().map(|(_, out)| out.points).collect());
        points
    }

    #[test]
    fn the_side_that_pulls_harder_per_player_wins_and_a_draw_gives_nothing() {
        let (mut state, tug) = show(&["left", "right"], 4);
        let of = |player| tug.side(&state, PlayerId(player));
        assert_eq!((0..4).filter(|player| of(*player) == 0).count(), 2, "by turns");
        assert_ne!(of(0), of(1), "two players pull against each other");
        pulled(&mut state, &[(0, 0), (1, 0), (2, 1)], &[10, 5]);
        let results = tug.results(&Facts::of(&state, 1).unwrap());
        assert_eq!((results.players, results.pull), (vec![2, 1], vec![500, 500]));
        assert_eq!(points(&state), [0; 4], "a draw");
        pulled(&mut state, &[], &[10, 6]);
        assert_eq!(points(&state), [0, 0, 1_000, 0], "who has not pulled has won nothing");
    }

    #[test]
    fn who_comes_or_changes_sides_later_changes_nothing_of_it() {
        let (mut state, _) = show(&["left", "right"], 2);
        pulled(&mut state, &[(0, 0), (1, 1)], &[10, 9]);
        assert_eq!(points(&state), [1_000, 0]);
        state.take(ME, Delta::Joins((2..30).map(join).collect()));
        let rows = vec![(0, 15, 1), (1, 15, 0)];
        let (instance, question) = (TEAM_INSTANCE, 0);
        state.take(ME, Delta::Answers(Answers { instance, question, rows_of: ME, rows }));
        let after = points(&state);
        assert_eq!((&after[..2], after.iter().sum::<i64>()), (&[1_000, 0][..], 1_000));
    }

    #[test]
    fn a_kick_makes_no_side_pull_harder() {
        let (mut state, tug) = show(&["left", "right"], 4);
        pulled(&mut state, &[(0, 0), (1, 0), (2, 1), (3, 1)], &[10, 25]);
        let before = tug.results(&Facts::of(&state, 1).unwrap());
        assert_eq!((&*before.players, &*before.pull), (&[2, 2][..], &[500, 1_250][..]));
        for kicked in [2, 3] {
            kick(&mut state, PlayerId(kicked), true);
        }
        assert_eq!(tug.results(&Facts::of(&state, 1).unwrap()), before);
        assert_eq!(
            points(&state),
            [0, 0],
            "the side that won has nobody left who could get anything"
        );
        state.take(
            ME,
            Delta::Named(Change::Total(NumberChange { name: counter_name(1, 0), value: 30 })),
        );
        assert_eq!(points(&state), [1_000; 2]);
    }

    #[test]
    fn sides_are_the_teams_where_there_are_as_many() {
        let tug = Tug { sides: vec!["a".into(), "b".into(), "c".into()] };
        let question = Question::new("?", Task::Tug(tug.clone()));
        let mut script = Script::new("T", vec![question]);
        script.teams.names.clone_from(&tug.sides);
        let mut state = EventState::default();
        state.take(ME, Delta::Create(Create { lamport: 1, script }));
        state.take(ME, Delta::Joins(vec![join(0)]));
        for id in 0..100 {
            assert_eq!(Some(tug.side(&state, PlayerId(id))), team_of(&state, PlayerId(id)));
        }
        for team in 0..3 {
            let mut state = state.clone();
            let (instance, question, rows) = (TEAM_INSTANCE, 0, vec![(0, 0, team)]);
            state.take(ME, Delta::Answers(Answers { instance, question, rows_of: ME, rows }));
            assert_eq!(tug.side_of(&state, PlayerId(0)), Some(team));
        }
    }
}
