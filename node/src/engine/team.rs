//! Choosing a team: an answer to run 0, which no round ever has.
//!
//! It is taken, held, acknowledged and repeated like any other answer. What differs: a player may choose again
//! as long as the show lets players choose, and no result waits for it. A limit on a team's size is this node's
//! own view: players who choose on two nodes at once may exceed it.

use super::core::EventCore;
use super::intake::{Answer, Claim};
use crate::service::view::Refusal;
use crdt_state::engagement::script::TeamChoice;
use crdt_state::engagement::{
    Given, Script, TEAM_CHOICES_MAX, TEAM_INSTANCE, choice_after, choices_made, chosen_sizes,
    held_choice, team_of,
};
use crdt_state::{Cell, Mono, PlayerId, Stage};
use std::time::Duration;

/// Between two counts of who has chosen what: a second, since each walks over everybody.
const COUNT_GAP: Duration = Duration::from_secs(1);

/// How many have chosen each team: counted now and then, and kept up with this node's own players between.
#[derive(Debug, Default)]
pub struct TeamSizes {
    counted_at: Option<Mono>,
    sizes: Vec<u64>,
}

impl EventCore {
    pub(super) fn choose_team(&mut self, now: Mono, ticket: u64, claim: &Claim, given: &Given) {
        let held = held_choice(self.state(), claim.player);
        let repeated = held.filter(|cell| given.choices[..] == [cell.value() as u8]);
        if let Some(cell) = repeated {
            if self.rests_here_alone() {
                let again = Answer { cell, text: None };
                self.take_answer(now, TEAM_INSTANCE, 0, claim.row, again);
            }
            return self.answered(now, ticket, claim.player, TEAM_INSTANCE, cell, "duplicate");
        }
        match self.check_team(now, held, given) {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(team) => {
                let cell = choice_after(held, self.identity.origin, team);
                self.take_answer(now, TEAM_INSTANCE, 0, claim.row, Answer { cell, text: None });
                self.team_sizes.moved(held, team);
                self.held.receipts.put(TEAM_INSTANCE, claim.row, cell);
                self.answered(now, ticket, claim.player, TEAM_INSTANCE, cell, "accepted");
            }
        }
    }

    /// The team that a player may choose who has chosen `held` before.
    fn check_team(&mut self, now: Mono, held: Option<Cell>, given: &Given) -> Result<u8, Refusal> {
        let script = self.state().script().cloned().ok_or_else(super::intake::question_unknown)?;
        check_choosable(&script, self.stage())?;
        let team = match given.choices[..] {
            [team] if usize::from(team) < script.teams.names.len() => team,
            _ => {
                return Err(Refusal::new("choice_invalid", "there is no such team")
                    .hint("choose one of the live state's `team_names`, counted from 0"));
            }
        };
        if held.is_some_and(|cell| choices_made(cell) >= TEAM_CHOICES_MAX) {
            let message = format!("a player chooses at most {TEAM_CHOICES_MAX} times");
            return Err(Refusal::new("limit_reached", message));
        }
        if script.teams.size_max.is_some_and(|most| self.team_size(now, team) >= most.into()) {
            let name = &script.teams.names[usize::from(team)];
            return Err(Refusal::new("team_full", format!("the team {name:?} is full"))
                .hint("choose another team"));
        }
        Ok(team)
    }

    fn team_size(&mut self, now: Mono, team: u8) -> u64 {
        let due = self.team_sizes.counted_at.is_none_or(|at| now >= at + COUNT_GAP);
        if due {
            let sizes = chosen_sizes(self.state());
            self.team_sizes = TeamSizes { counted_at: Some(now), sizes };
        }
        self.team_sizes.sizes.get(usize::from(team)).copied().unwrap_or(0)
    }

    /// What the team that a player plays for is called.
    #[must_use]
    pub fn team_name(&self, player: PlayerId) -> Option<&str> {
        let team = team_of(self.state(), player)?;
        Some(&self.state().script()?.teams.names[team])
    }

    /// The teams that a player can choose from now.
    pub(super) fn choosable_teams(&self) -> Vec<String> {
        let script = self.state().script();
        let open = script.filter(|script| check_choosable(script, self.stage()).is_ok());
        open.map(|script| script.teams.names.clone()).unwrap_or_default()
    }
}

impl TeamSizes {
    /// One of this node's players has chosen.
    fn moved(&mut self, held: Option<Cell>, team: u8) {
        let left = held.and_then(|cell| self.sizes.get_mut(cell.value() as usize));
        if let Some(left) = left {
            *left = left.saturating_sub(1);
        }
        if let Some(joined) = self.sizes.get_mut(usize::from(team)) {
            *joined += 1;
        }
    }
}

/// Whether players choose their teams at this stage.
fn check_choosable(script: &Script, stage: Stage) -> Result<(), Refusal> {
    let refused = |code: &str, message: &str| Err(Refusal::new(code, message));
    if script.teams.names.is_empty() {
        return refused("not_possible", "this show has no teams");
    }
    if script.teams.choice == TeamChoice::Never {
        return refused("not_possible", "the teams of this show are drawn");
    }
    if stage.is_over() {
        return refused("ended", "the show is over");
    }
    if stage < Stage::LOBBY {
        return refused("not_open", "the lobby is not open yet");
    }
    if stage > Stage::LOBBY && script.teams.choice == TeamChoice::Lobby {
        return refused("late", "teams are chosen in the lobby");
    }
    Ok(())
}
