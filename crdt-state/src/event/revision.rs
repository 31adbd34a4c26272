//! What everybody may know of a run, and how often hosts have changed what it says since.
//!
//! Both depend on the state alone, so that nodes that have seen the same say the same.

use super::{EventState, Round, Ruling};
use crate::engagement::Amendment;
use crate::id::PlayerId;
use crate::stage::{Phase, Stage};

impl EventState {
    /// Whether hosts have set a run aside: it was skipped or is void, and counts for nothing.
    #[must_use]
    pub fn is_aside(&self, instance: u32) -> bool {
        self.rulings.of(instance).is_some_and(Ruling::is_aside)
    }

    /// Whether what came of a run is known to everybody: the show has passed what tells it, and did not leave it
    /// before, for another attempt or for the next question.
    #[must_use]
    pub fn has_revealed(&self, instance: u32) -> bool {
        let reached = self.round(instance).map_or(Phase::Draft, Round::reached);
        let is_left = reached < self.told_by(instance) && self.is_aside(instance);
        self.has_told(instance) && !is_left
    }

    /// Whether the show has come to where it tells what came of a run, so that it counts in what players see.
    #[must_use]
    pub fn has_told(&self, instance: u32) -> bool {
        self.stage() >= Stage::new(instance, self.told_by(instance))
    }

    /// The phase that tells what came of a run: its reveal, or its tallies where nothing comes after them.
    fn told_by(&self, instance: u32) -> Phase {
        let phases = self.question_of(instance).map_or(&[][..], |(_, asked)| asked.task.phases());
        match phases.last() {
            Some(Phase::Tallies) => Phase::Tallies,
            _ => Phase::Reveal,
        }
    }

    /// How often hosts have ruled anew on what a run gives. What first came true of a prediction is its result
    /// and no revision of one.
    #[must_use]
    pub fn revision_of(&self, instance: u32) -> u64 {
        let Some(ruling) = self.rulings.of(instance) else { return 0 };
        let question = self.question_of(instance).map(|(_, question)| &question.task);
        let is_late = question.is_some_and(|task| task.amendments().contains(&Amendment::Resolve))
            && ruling.key().is_some();
        ruling.marks().saturating_sub(u64::from(is_late))
    }

    /// How often hosts have changed what the leaderboard says: by a ruling on any run, by an award, or by what they said
    /// of a player who has answered: a kick and a grant of time change how answers of before are read.
    #[must_use]
    pub fn board_revision(&self) -> u64 {
        let rulings: u64 = self.rulings.iter().map(|(run, _)| self.revision_of(run)).sum();
        let awards: usize = self.named.awards.iter().map(|(_, awards)| awards.len()).sum();
        let (people, open) = (&self.named.people, |run| Stage::new(run, Phase::Open));
        let answered = |player: &PlayerId| {
            let mut closed = self.instances().filter(|(run, _)| self.stage() > open(*run));
            closed.any(|(run, _)| self.held(run, self.players.rows_of(*player)).is_some())
        };
        let marked = people.ever_marked().into_iter().filter(|player| people.changes(*player) > 0);
        let marks: u64 = marked.filter(answered).map(|player| people.changes(player)).sum();
        rulings + awards as u64 + marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Advance, Answers, Create, Delta, Join, RulingChange, encode};
    use crate::engagement::{Key, Question, Script};
    use crate::event::Rule;
    use crate::id::{LaneId, Origin, PlayerId, Row};
    use crate::named::{Award, AwardChange, Change, PlayerChange, PlayerMark};
    use crdts::CvRDT;

    const AUTHOR: Origin = Origin(1);

    /// A show of two choices that has come to a stage.
    fn at(phase: Phase) -> EventState {
        let question = || Question::choice("?", vec!["a".into(), "b".into()], 1);
        let script = Script::new("T", vec![question(), question()]);
        let mut state = EventState::default();
        state.take(AUTHOR, Delta::Create(Create { lamport: 1, script }));
        state.take(AUTHOR, step(2, Stage::new(1, phase), 0));
        state
    }

    fn step(lamport: u64, to: Stage, question: u16) -> Delta {
        Delta::Advance(Advance { lamport, to, question: Some(question), open_ms: None })
    }

    fn ruling(lamport: u64, rule: Rule) -> Delta {
        Delta::Ruling(RulingChange { lamport, instance: 1, rule })
    }

    #[test]
    fn rulings_on_what_a_run_gives_and_awards_raise_a_revision_and_nothing_else_does() {
        let mut state = at(Phase::Reveal);
        let mut revise = |delta| {
            state.take(AUTHOR, delta);
            (state.revision_of(1), state.board_revision())
        };
        assert_eq!(revise(ruling(3, Rule::Pause { epoch: 1, held_ms: 0 })), (0, 0));
        assert_eq!(revise(ruling(4, Rule::Void(true))), (1, 1));
        assert_eq!(revise(ruling(5, Rule::Void(false))), (2, 2));
        assert_eq!(revise(ruling(5, Rule::Void(false))), (2, 2), "it is the same ruling");
        assert_eq!(revise(ruling(6, Rule::Key(Key::Choices(vec![0])))), (3, 3));
        let award = Award { id: "x".into(), player: PlayerId(7), points: 5 };
        let award = Change::Award(AwardChange { name: "song".into(), award });
        assert_eq!(revise(Delta::Named(award)), (3, 4));
    }

    #[test]
    fn what_hosts_say_of_players_who_have_answered_raises_the_boards_revision() {
        let mut state = at(Phase::Open);
        let join = |number: u32| Join {
            row: Row { origin: AUTHOR, number },
            player: PlayerId(u128::from(number)),
            name: format!("p{number}"),
        };
        state.take(AUTHOR, Delta::Joins(vec![join(0), join(1)]));
        let answers = Answers { instance: 1, question: 0, rows_of: AUTHOR, rows: vec![(0, 9, 1)] };
        state.take(AUTHOR, Delta::Answers(answers));
        let mark = |state: &mut EventState, player, mark| {
            let change = PlayerChange { player: PlayerId(player), mark };
            state.take(AUTHOR, Delta::Named(Change::Player(change)));
            state.board_revision()
        };
        let kick = |state: &mut EventState, player, out| {
            let of = state.named.people.kick(AUTHOR, PlayerId(player), out).expect("it is news");
            mark(state, player, of)
        };
        assert_eq!(kick(&mut state, 0, true), 0, "nothing is closed yet");
        state.take(AUTHOR, step(3, Stage::new(1, Phase::Closed), 0));
        assert_eq!(state.board_revision(), 1);
        assert_eq!(kick(&mut state, 0, false), 2);
        assert_eq!(mark(&mut state, 0, PlayerMark::ExtraMs(9, 500)), 3);
        assert_eq!(kick(&mut state, 1, true), 3, "who has answered nothing is on no board before");
    }

    #[test]
    fn rulings_made_apart_add_up_wherever_they_meet() {
        let (mut here, mut there) = (at(Phase::Reveal), at(Phase::Reveal));
        let entry = encode(&[ruling(3, Rule::Void(true))]);
        here.apply(LaneId::control(Origin(2)), &entry).expect("it is whole");
        there.apply(LaneId::control(Origin(3)), &entry).expect("it is whole");
        let mut both = here.clone();
        both.merge(there.clone());
        there.merge(here);
        assert_eq!((both.revision_of(1), there.revision_of(1)), (2, 2));
        assert_eq!(both.digest(), there.digest());
    }

    #[test]
    fn a_run_that_was_left_before_its_reveal_is_revealed_to_nobody() {
        for (phase, is_revealed) in [(Phase::Closed, false), (Phase::Reveal, true)] {
            let mut state = at(phase);
            state.take(AUTHOR, step(3, Stage::new(2, Phase::Intro), 0));
            assert!(state.has_revealed(1), "the show went on from {phase:?}");
            state.take(AUTHOR, ruling(4, Rule::Void(true)));
            assert_eq!(state.has_revealed(1), is_revealed, "it was tried again from {phase:?}");
        }
    }
}
