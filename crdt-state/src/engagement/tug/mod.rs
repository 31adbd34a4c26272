//! The tug of war: sides tap against each other, and everybody sees the rope move.
//!
//! A player's side is the team of the show; in a show without teams each node gives its players the sides by
//! turns, so that they are even. Taps are counted like reactions; what counts is the mean per player of a side, so
//! that a small one has a chance.

use super::file::{Object, Report, Table};
use super::reactions::{TAPS_MAX, taps};
use super::teams::{Sides, side_by_turns, team_of};
use super::{Case, Draw, Entry, Facts, Given, Invalid, Kind, Question, Reason, Taken};
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
    /// How many players each side has.
    pub players: Vec<u64>,
    /// Taps per hundred players of each side.
    pub pull: Vec<u64>,
}

impl Kind for Tug {
    const NAME: &'static str = "tug";
    const FIELDS: &'static [&'static str] = &["sides"];
    const PHASES: &'static [Phase] =
        &[Phase::Intro, Phase::Open, Phase::Closed, Phase::Tallies, Phase::Board];
    const LIVE: bool = true;
    const ONE_ANSWER: bool = false;
    type View = TugView;
    type Results = TugResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        entry.options("sides", &(2..=8), report).map(|sides| Tug { sides })
    }

    fn write(&self, out: &mut Table) {
        out.put("sides", self.sides.as_slice());
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

    fn counter_of(&self, state: &EventState, player: PlayerId, _: u8) -> usize {
        self.side(state, player)
    }

    fn options(&self) -> &[String] {
        &self.sides
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        (0..self.sides.len()).map(|side| facts.counter(side)).collect()
    }

    fn results(&self, facts: &Facts<'_>) -> TugResults {
        let players = Sides::of(facts.state, self.sides.len()).sizes(facts);
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
            if pull[self.side(facts.state, entry.player)] == most {
                entry.outcome.points = i64::from(facts.question.points);
                entry.outcome.correct = true;
            }
        }
    }

    fn rule(&self, question: &Question) -> Option<String> {
        let points = question.points;
        Some(format!(
            "everybody on the side that pulls more for each of its players gets {points} points, also who \
             has not tapped; where none does, nobody gets any"
        ))
    }

    /// Taps are no answer, and a side wins or loses with all who are on it.
    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        let (facts, points) = (&case.facts, case.outcome.points);
        let (taps, TugResults { players, pull }) = (self.counts(facts), self.results(facts));
        let side = |at: usize| {
            let (name, players) = (&self.sides[at], players[at].max(1));
            format!(
                "{name}, taps in hundredths for each of its players: {} * 100 / {players}, rounded down = {}",
                taps[at], pull[at]
            )
        };
        let sides: Vec<String> = (0..self.sides.len()).map(side).collect();
        let own = &self.sides[self.side(facts.state, case.player)];
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
    /// The side of a player: the team where there are as many sides as teams, and by turns else.
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
    use crate::delta::{Answers, Create, Delta, Join};
    use crate::engagement::{Question, Script, TEAM_INSTANCE, Task, counter_name};
    use crate::id::{Origin, Row};
    use crate::named::{Change, NumberChange};

    #[test]
    fn the_side_that_pulls_harder_per_player_wins_and_a_draw_gives_nothing() {
        let tug = Tug { sides: vec!["left".into(), "right".into()] };
        let mut state = EventState::default();
        let join = |number: u32| Join {
            row: Row { origin: Origin(1), number },
            player: PlayerId(u128::from(number)),
            name: format!("p{number}"),
        };
        state.take(Origin(1), Delta::Joins((0..40).map(join).collect()));
        let question = Question::new("?", Task::Tug(tug.clone()));
        let pull = |state: &EventState| {
            let facts = Facts { state, instance: 1, number: 0, question: &question };
            tug.results(&facts)
        };
        let sides = pull(&state).players;
        assert_eq!(sides, [20, 20], "by turns");
        let of = |player| tug.side(&state, PlayerId(player));
        assert_eq!((0..40).filter(|player| of(*player) == 0).count(), 20);
        assert_ne!(of(0), of(1), "two players pull against each other");
        for (side, taps) in [(0, sides[0] * 2), (1, sides[1] * 3)] {
            let (name, value) = (counter_name(1, side), taps);
            let change = Change::Total(NumberChange { name, value });
            state.take(Origin(1), Delta::Named(change));
        }
        assert_eq!(pull(&state).pull, [200, 300]);
    }

    #[test]
    fn sides_are_the_teams_where_there_are_as_many() {
        let tug = Tug { sides: vec!["a".into(), "b".into(), "c".into()] };
        let question = Question::new("?", Task::Tug(tug.clone()));
        let mut script = Script::new("T", vec![question.clone()]);
        script.teams.names.clone_from(&tug.sides);
        let mut state = EventState::default();
        state.take(Origin(1), Delta::Create(Create { lamport: 1, script }));
        let row = Row { origin: Origin(1), number: 0 };
        let join = Join { row, player: PlayerId(7), name: "p".into() };
        state.take(Origin(1), Delta::Joins(vec![join]));
        for id in 0..100 {
            assert_eq!(Some(tug.side(&state, PlayerId(id))), team_of(&state, PlayerId(id)));
        }
        for team in 0..3 {
            let mut state = state.clone();
            let (instance, question_of) = (TEAM_INSTANCE, 0);
            let rows = vec![(0, 0, team)];
            let chosen = Answers { instance, question: question_of, rows_of: Origin(1), rows };
            state.take(Origin(1), Delta::Answers(chosen));
            assert_eq!(tug.side(&state, PlayerId(7)), team as usize);
            let facts = Facts { state: &state, instance: 1, number: 0, question: &question };
            assert_eq!(tug.results(&facts).players[team as usize], 1);
        }
    }
}
