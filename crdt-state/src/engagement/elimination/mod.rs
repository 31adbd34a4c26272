//! The elimination: a wrong answer or none costs a life, and whoever has none left is out.
//!
//! Rounds of this kind that follow each other in the script are one elimination: the lives and revivals of
//! its first round hold, and the survivors of its last round split that one's prize; where hosts set the last round
//! aside, those of the one before. Whoever is out may go on
//! answering: a correct answer brings them back with one life, as often as revivals allow. What the script asks
//! between two eliminations parts them, also where a host sets it aside.
//!
//! Who has answered no round of it is no survivor, whatever lives are left: so whoever comes once a round is over
//! takes nothing from those who were in it.

use super::file::{Object, Report, Table};
use super::quiz::Quiz;
use super::reason::Timed;
use super::script::{caps, read_correct};
use super::{
    Case, Draw, Entry, Facts, Given, Invalid, Key, Kind, Outcome, PATH, Question, Reason, Script,
    Taken, Task, bits, mask,
};
use crate::event::EventState;
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A round of an elimination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Elimination {
    /// What can be chosen; one is right.
    pub options: Vec<String>,
    /// The correct option as a mask.
    pub correct: u32,
    /// What everybody starts with.
    pub lives: u32,
    /// How often a player may come back.
    pub revivals: u32,
    /// What the survivors of the last round split.
    pub prize: u32,
}

/// What players see of a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EliminationView {
    /// What can be chosen; empty during the intro.
    pub options: Vec<String>,
    /// What everybody starts with.
    pub lives: u32,
    /// What the survivors of the last round split.
    pub prize: u32,
}

/// What a round comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EliminationResults {
    /// How many are still in, from the reveal on; nothing in a round that is set aside.
    pub survivors: Option<u64>,
}

impl Kind for Elimination {
    const NAME: &'static str = "elimination";
    const FIELDS: &'static [&'static str] = &["options", "correct", "lives", "revivals", "prize"];
    const PHASES: &'static [Phase] = PATH;
    type View = EliminationView;
    type Results = EliminationResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        let options = entry.options("options", &(caps::OPTIONS_MIN..=caps::OPTIONS_MAX), report);
        let correct = read_correct(entry, options.as_deref(), false, report);
        let lives = entry.whole("lives", 1..=100, report).unwrap_or(1);
        let revivals = entry.whole("revivals", 0..=100, report).unwrap_or(0);
        let prize = entry.whole("prize", 0..=10_000_000, report).unwrap_or(0);
        Some(Elimination { options: options?, correct: correct?, lives, revivals, prize })
    }

    fn write(&self, out: &mut Table) {
        out.put("options", self.options.as_slice());
        out.put("correct", super::quiz::form::written(self.correct));
        out.put("lives", self.lives);
        out.put_unless("revivals", self.revivals, &0);
        out.put_unless("prize", self.prize, &0);
    }

    fn view(&self, announced: bool) -> EliminationView {
        let options = if announced { Vec::new() } else { self.options.clone() };
        EliminationView { options, lives: self.lives, prize: self.prize }
    }

    /// The lives are those that the elimination began with.
    fn view_in(&self, script: &Script, number: u16, announced: bool) -> EliminationView {
        let lives = first_of(script, number).map_or(self.lives, |(_, first)| first.lives);
        EliminationView { lives, ..self.view(announced) }
    }

    fn offered(view: &EliminationView) -> &[String] {
        &view.options
    }

    fn guess(view: &EliminationView, _: Option<&EliminationResults>, draw: Draw<'_>) -> Given {
        Given::guessed(view.options.len(), false, draw)
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        Ok(Taken::value(mask(&given.some_of(self.options.len(), 1)?)))
    }

    fn key(&self) -> Option<Key> {
        Some(Key::Choices(bits(self.correct)))
    }

    fn check_key(&self, key: &Key) -> Result<(), Invalid> {
        self.as_quiz().check_key(key)
    }

    fn options(&self) -> &[String] {
        &self.options
    }

    fn counts(&self, facts: &Facts<'_>) -> Vec<u64> {
        facts.count_bits(self.options.len())
    }

    fn results(&self, facts: &Facts<'_>) -> EliminationResults {
        let state = facts.state;
        if !state.has_revealed(facts.instance) || state.is_aside(facts.instance) {
            return EliminationResults { survivors: None };
        }
        let mut survivors = 0;
        super::fold(
            state,
            |instance| instance <= facts.instance,
            |instance, outcomes| {
                let alive = outcomes.iter().filter(|(_, outcome)| outcome.is_survivor());
                if instance == facts.instance {
                    survivors = alive.count() as u64;
                }
            },
        );
        EliminationResults { survivors: Some(survivors) }
    }

    fn score(&self, facts: &Facts<'_>, entries: &mut [Entry<'_>]) {
        let (Some(key), quiz) = (facts.key(), self.as_quiz()) else { return };
        let (number, first) = self.first(facts);
        for entry in entries.iter_mut() {
            entry.so_far.enter(number);
            let judged = entry.answer.map(|cell| quiz.judge(facts, &key, cell, None));
            let was_in = entry.so_far.lives.unwrap_or(first.lives) > 0;
            entry.judge(facts.question, judged.unwrap_or((false, 0)));
            first.live(entry, was_in);
        }
        if let prize @ 1.. = self.prize_of(facts) {
            split(prize, entries);
        }
    }

    fn rule(&self, question: &Question) -> Option<String> {
        let rule = self.as_quiz().rule(question)?;
        let prize = match self.prize {
            0 => String::new(),
            prize => format!("; if it is the last round, the survivors split {prize}"),
        };
        Some(format!(
            "{rule}; a wrong answer or none costs a life, and who has none is out, gets nothing, and comes back with \
             one life by a right answer, as often as the first round allows{prize}"
        ))
    }

    fn explain(&self, case: &Case<'_>) -> Option<Reason> {
        let lives = case.outcome.lives?;
        let share = self.share(case);
        let (points, bonus) = (case.outcome.points - share, case.outcome.bonus - share);
        let own = self.own_part(case, points, bonus);
        let left = if lives == 1 {
            "one life is left".to_owned()
        } else {
            format!("{lives} lives are left")
        };
        let prize = match share {
            0 => String::new(),
            share => format!("; the survivors' share of the prize is {share}"),
        };
        let sum = match share {
            0 => String::new(),
            share => {
                let survivors = survivors(case.all.iter().map(|(_, outcome)| outcome));
                let (prize, total) = (self.prize_of(&case.facts), case.outcome.points);
                format!(
                    "; the prize among {survivors} survivors: {prize} / {survivors}, rounded down = {share}; \
                     together: {points} + {share} = {total}"
                )
            }
        };
        Some(Reason {
            arithmetic: own.arithmetic + &sum,
            verdict: format!("{}; {left}{prize}", own.verdict),
        })
    }
}

impl Elimination {
    pub(super) fn as_quiz(&self) -> Quiz {
        let (options, correct) = (self.options.clone(), self.correct);
        Quiz::Choice { options, correct, multiple: false }
    }

    /// The round that the elimination began with, and its number: its lives and revivals hold.
    fn first<'a>(&'a self, facts: &Facts<'a>) -> (u16, &'a Self) {
        let script = facts.state.script();
        script.and_then(|script| first_of(script, facts.number)).unwrap_or((facts.number, self))
    }

    /// Counts a player's lives, of an elimination that began with this round; whoever was out gets no
    /// points.
    fn live(&self, entry: &mut Entry<'_>, was_in: bool) {
        let lives = entry.so_far.lives.unwrap_or(self.lives);
        let left = match (was_in, entry.outcome.correct) {
            (true, true) => lives,
            (true, false) => lives - 1,
            (false, true) if entry.so_far.revived < self.revivals => {
                entry.so_far.revived += 1;
                1
            }
            (false, _) => 0,
        };
        if !was_in {
            (entry.outcome.points, entry.outcome.bonus) = (0, 0);
        }
        entry.so_far.lives = Some(left);
        entry.so_far.took_part |= entry.answer.is_some();
        (entry.outcome.lives, entry.outcome.revived) = (Some(left), entry.so_far.revived);
        entry.outcome.took_part = entry.so_far.took_part;
    }

    /// What the player has of the prize.
    fn share(&self, case: &Case<'_>) -> i64 {
        let prize = if case.outcome.is_survivor() { self.prize_of(&case.facts) } else { 0 };
        let survivors = survivors(case.all.iter().map(|(_, outcome)| outcome));
        i64::from(prize) / survivors.max(1)
    }

    /// The reason for what the answer alone gave.
    fn own_part(&self, case: &Case<'_>, points: i64, bonus: i64) -> Reason {
        let (Some(key), quiz) = (case.facts.key(), self.as_quiz()) else {
            return Reason::nothing("there is no key");
        };
        let how = |cell| quiz.how(case.facts.question, &key, cell, None);
        let Some(timed) = Timed::of(case, how) else {
            return Reason::nothing("no answer counts");
        };
        let had = case.had();
        if had.lives == Some(0) && had.elimination == self.first(&case.facts).0 {
            let verdict = timed.reason(points, bonus).verdict;
            let back = match case.outcome.revived > had.revived {
                true => "; it brought the player back",
                false => "",
            };
            return Reason {
                arithmetic: format!("who is out of the elimination gets nothing: {points}"),
                verdict: format!(
                    "{verdict}, but who is out of the elimination gets nothing for it{back}"
                ),
            };
        }
        timed.reason(points, bonus)
    }

    /// What the survivors of a round split: the prize of the elimination's last round, if this is the last one that
    /// hosts have not set aside, else nothing.
    fn prize_of(&self, facts: &Facts<'_>) -> u32 {
        let script = facts.state.script();
        let questions = script.map_or(&[][..], |script| &script.questions);
        let later = (0..).zip(questions).skip(usize::from(facts.number) + 1);
        let mut prize = self.prize;
        for (number, round) in
            later.map_while(|(number, question)| Some((number, as_round(question)?)))
        {
            if !is_dropped(facts.state, number) {
                return 0;
            }
            prize = round.prize;
        }
        prize
    }
}

/// Whether a question was asked, and every run of it is set aside.
fn is_dropped(state: &EventState, number: u16) -> bool {
    let runs = || state.instances().map(|(instance, _)| instance);
    let mut of_it =
        runs().filter(|run| state.question_of(*run).is_some_and(|(of, _)| of == number));
    let first = of_it.next();
    first.is_some_and(|first| state.is_aside(first)) && of_it.all(|run| state.is_aside(run))
}

/// The first round of the elimination that a question is a round of, and its number.
fn first_of(script: &Script, number: u16) -> Option<(u16, &Elimination)> {
    let until = script.questions.get(..=usize::from(number))?;
    let rounds = until.iter().enumerate().rev();
    rounds.map_while(|(at, question)| Some((at as u16, as_round(question)?))).last()
}

fn as_round(question: &Question) -> Option<&Elimination> {
    match &question.task {
        Task::Elimination(round) => Some(round),
        _ => None,
    }
}

/// How many are still in.
fn survivors<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> i64 {
    outcomes.filter(|outcome| outcome.is_survivor()).count() as i64
}

/// Every survivor gets an equal share, rounded down.
fn split(prize: u32, entries: &mut [Entry<'_>]) {
    let survivors = survivors(entries.iter().map(|entry| &*entry.outcome));
    for entry in entries.iter_mut().filter(|entry| entry.outcome.is_survivor()) {
        let share = i64::from(prize) / survivors;
        entry.outcome.points += share;
        entry.outcome.bonus += share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{Delta, RulingChange};
    use crate::engagement::TaskView;
    use crate::engagement::fold;
    use crate::engagement::poll::Poll;
    use crate::engagement::testing::{ME, Player, play_all, started};
    use crate::event::Rule;

    fn round(prize: u32, revivals: u32) -> Task {
        round_of(2, prize, revivals)
    }

    fn round_of(lives: u32, prize: u32, revivals: u32) -> Task {
        let options = ["a", "b"].map(str::to_owned).to_vec();
        Task::Elimination(Elimination { options, correct: 0b1, lives, revivals, prize })
    }

    fn answers(all: &str) -> Player {
        let given = |word| match word {
            'r' => Some(Given::choices(&[0])),
            'w' => Some(Given::choices(&[1])),
            _ => None,
        };
        Player(all.chars().map(given).collect())
    }

    #[test]
    fn a_last_round_that_is_set_aside_leaves_the_prize_to_the_one_before() {
        let rounds = [round(0, 0), round(0, 0), round(900, 0)];
        let players = ["rrr", "rww", "www", "---"].map(answers);
        let mut state = started(&rounds, &players);
        let bonuses = |state: &EventState| {
            let mut all = Vec::new();
            fold(
                state,
                |_| true,
                |_, round| all.push(round.iter().map(|(_, o)| o.bonus).collect::<Vec<_>>()),
            );
            all
        };
        assert_eq!(bonuses(&state)[1..], [[0; 4].to_vec(), [900, 0, 0, 0].to_vec()]);
        for instance in [3, 2] {
            let rule = Rule::Void(true);
            state.take(ME, Delta::Ruling(RulingChange { lamport: 100, instance, rule }));
        }
        assert_eq!(
            bonuses(&state),
            [[300, 300, 300, 0].to_vec(), [0; 4].to_vec(), [0; 4].to_vec()]
        );
    }

    #[test]
    fn survivors_split_the_prize_of_the_last_round() {
        let rounds = [round(0, 0), round(0, 0), round(900, 0)];
        let players = ["rrr", "rwr", "wwr", "---"].map(answers);
        let outcomes = play_all(&rounds, &players);
        let lives: Vec<_> = outcomes[2].iter().map(|o| o.lives).collect();
        assert_eq!(lives, [Some(2), Some(1), Some(0), Some(0)]);
        let prizes: Vec<_> = outcomes[2].iter().map(|o| o.bonus).collect();
        assert_eq!(prizes, [450, 450, 0, 0]);
        assert_eq!(outcomes[2][2].points, 0, "whoever is out gets nothing");
    }

    #[test]
    fn a_correct_answer_brings_back_as_often_as_revivals_allow() {
        let rounds: Vec<Task> = (0..6).map(|_| round(0, 1)).collect();
        let outcomes = play_all(&rounds, &[answers("wwrwrr")]);
        let lives: Vec<_> = outcomes.iter().map(|round| round[0].lives.unwrap()).collect();
        assert_eq!(lives, [1, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn the_lives_and_revivals_of_the_first_round_hold_in_all() {
        let rounds = [round_of(1, 0, 1), round_of(7, 900, 0)];
        let outcomes = play_all(&rounds, &[answers("wr"), answers("ww")]);
        let lives = |round: usize| [0, 1].map(|player: usize| outcomes[round][player].lives);
        assert_eq!((lives(0), lives(1)), ([Some(0); 2], [Some(1), Some(0)]));
        assert_eq!(outcomes[1][0].bonus, 900);
    }

    #[test]
    fn who_has_answered_none_of_its_rounds_shares_no_prize() {
        let rounds = [round_of(3, 0, 0), round_of(3, 900, 0)];
        let players = ["rr", "w-", "--"].map(answers);
        let outcomes = play_all(&rounds, &players);
        let of = |player: usize| (outcomes[1][player].lives, outcomes[1][player].bonus);
        assert_eq!([0, 1, 2].map(of), [(Some(3), 450), (Some(1), 450), (Some(1), 0)]);
    }

    #[test]
    fn what_is_asked_between_two_eliminations_parts_them_also_when_it_is_set_aside() {
        let poll = Task::Poll(Poll { options: vec!["a".into(), "b".into()], multiple: false });
        let rounds = [round_of(1, 600, 0), poll, round_of(1, 900, 0)];
        let mut state = started(&rounds, &["r-r", "w-r"].map(answers));
        let rule = Rule::Void(true);
        state.take(ME, Delta::Ruling(RulingChange { lamport: 100, instance: 2, rule }));
        let mut last = Vec::new();
        fold(&state, |_| true, |_, all| last = all.iter().map(|(_, out)| out.bonus).collect());
        assert_eq!(last, [450, 450], "who was out of the first one is in the second");
    }

    #[test]
    fn players_are_shown_the_lives_that_the_elimination_began_with() {
        let other = Task::Quiz(Quiz::Typed { accepted: vec!["x".to_owned()], typos: 0 });
        let tasks = [round_of(3, 0, 0), round_of(1, 0, 0), other, round_of(2, 0, 0)];
        let questions = tasks.map(|task| Question::new("?", task)).to_vec();
        let script = Script::new("T", questions);
        let lives = |number| match script.view(number, false) {
            Some(TaskView::Elimination(view)) => Some(view.lives),
            _ => None,
        };
        assert_eq!([0, 1, 2, 3].map(lives), [Some(3), Some(3), None, Some(2)]);
    }
}
