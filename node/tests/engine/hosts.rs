//! What hosts rule in a sweep, and what must have become of it: every ruling that was promised is in the
//! audit trail, awards count once however often they are sent, and points and ranks are those of the
//! naive model.

use crate::naive;
use crate::world::World;
use crdt_state::engagement::prediction::Prediction;
use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::{Key, Question, Script, Task, standings};
use crdt_state::{EventState, PlayerId, Stage};
use node::engine::{EventCore, Reply, stage_view};
use node::service::view::{Command, CommandRequest};
use std::collections::{BTreeMap, BTreeSet};

/// What is not a step of the show.
pub const RULINGS: [Command; 11] = [
    Command::Skip,
    Command::Back,
    Command::Pause,
    Command::Resume,
    Command::Void,
    Command::Restore,
    Command::Rescore,
    Command::Accept,
    Command::Resolve,
    Command::Extend,
    Command::Award,
];

/// What the hosts of one sweep have pressed.
#[derive(Debug, Default)]
pub struct Hosts {
    pressed: u64,
    /// By who asked: rulings that wait for their reply.
    waiting: BTreeMap<u64, CommandRequest>,
    /// Who was promised that their ruling stands.
    firm: BTreeSet<String>,
    awards: BTreeMap<String, (PlayerId, i32)>,
    firm_awards: BTreeSet<String>,
    /// How often each command was carried out.
    pub done: BTreeMap<String, u64>,
}

/// A show with all that can be ruled on: a choice, a typed answer, a prediction, a choice.
pub fn script(open_ms: u32) -> Script {
    let options = || (0..4).map(|option| format!("option {option}")).collect();
    let typed = Quiz::Typed { accepted: vec![word(1)], typos: 0 };
    let bet = Prediction { options: options(), stake_max: 1_000, credit: 100 };
    let questions = [
        Question::choice("one of four", options(), 1),
        Question::new("a word", Task::Quiz(typed)),
        Question::new("what will come", Task::Prediction(bet)),
        Question::choice("one of four again", options(), 4),
    ];
    Script::new("a ruled show", questions.map(|question| question.open_ms(open_ms)).to_vec())
}

/// What is typed for a choice.
pub fn word(choice: u8) -> String {
    format!("word {choice}")
}

impl Hosts {
    /// A request that makes sense where a host looks; nothing where no button does.
    pub fn request(
        &mut self,
        world: &mut World,
        at: usize,
        players: u64,
    ) -> Option<CommandRequest> {
        let over = [Command::End, Command::Abort, Command::Lock];
        let mut next: Vec<Command> =
            world.view(at).next.into_iter().filter(|command| !over.contains(command)).collect();
        if world.core(at).state().stage().instance > 0 {
            next.push(Command::Award);
            // Beside the current run, an earlier one can be ruled on.
            next.extend([Command::Void, Command::Restore, Command::Resolve]);
        }
        let command = *next.get(world.roll(next.len().max(1) as u64) as usize)?;
        let rarely = matches!(command, Command::Close | Command::Skip | Command::Back);
        if rarely && world.percent(70) {
            return None;
        }
        let expected = stage_view(world.core(at).state().stage());
        self.pressed += 1;
        let by = format!("host {}", self.pressed);
        let mut request = CommandRequest { by, ..CommandRequest::new(command, expected) };
        self.fill(world, at, players, &mut request);
        Some(request)
    }

    fn fill(&mut self, world: &mut World, at: usize, players: u64, request: &mut CommandRequest) {
        let dice = [world.roll(4), world.roll(4), world.roll(100)];
        let choice = dice[0] as u8;
        let state = world.core(at).state();
        let runs: Vec<u32> = state.instances().map(|(instance, _)| instance).collect();
        let any = runs.get(dice[1] as usize % runs.len().max(1)).copied();
        let is_bet = |instance: &u32| {
            let question = state.question_of(*instance);
            question.is_some_and(|(_, question)| matches!(question.task, Task::Prediction(_)))
        };
        let is_typed = |instance: u32| {
            let question = state.question_of(instance);
            question.is_some_and(|(_, q)| matches!(q.task, Task::Quiz(Quiz::Typed { .. })))
        };
        match request.command {
            Command::Extend => {
                request.ms = Some(300);
                request.open_ms = Some(state.open_ms(state.stage().instance));
            }
            Command::Back if dice[2] < 30 => request.question = Some(1 + dice[1] as u32 % 4),
            Command::Void | Command::Restore => request.instance = any,
            Command::Accept => request.text = Some(word(choice)),
            Command::Rescore => {
                let typed = is_typed(state.stage().instance);
                let key = if typed { Key::Texts(vec![word(choice)]) } else { one(choice) };
                request.key = Some(key);
            }
            Command::Resolve => {
                request.instance = runs.iter().copied().rfind(is_bet);
                let cancelled = dice[2] < 20;
                request.key = Some(if cancelled { Key::Choices(vec![]) } else { one(choice) });
            }
            Command::Award => self.fill_award(world, players, request),
            _ => {}
        }
    }

    /// An award is new, or one that was sent before is sent again, maybe to another node.
    fn fill_award(&mut self, world: &mut World, players: u64, request: &mut CommandRequest) {
        let again = self.awards.len() as u64;
        if again > 0 && world.percent(40) {
            let at = world.roll(again) as usize;
            let (id, (player, points)) = self.awards.iter().nth(at).expect("it is below the count");
            (request.id, request.player) = (Some(id.clone()), Some(*player));
            request.points = Some(*points);
        } else {
            let player = PlayerId(u128::from(world.roll(players)) << 64 | 7);
            let points = 50 - 100 * world.roll(2) as i32 + 7 * world.roll(20) as i32;
            let id = format!("award {}", self.pressed);
            self.awards.insert(id.clone(), (player, points));
            (request.id, request.player) = (Some(id), Some(player));
            request.points = Some(points);
        }
        request.text = Some("a song".to_owned());
    }

    /// A request has been handed to a node.
    pub fn on_ask(&mut self, ticket: u64, request: CommandRequest) {
        self.waiting.insert(ticket, request);
    }

    /// A node has replied to a request.
    pub fn on_reply(&mut self, ticket: u64, reply: &Reply) {
        let Some(request) = self.waiting.remove(&ticket) else { return };
        let Reply::Commanded(reply) = reply else { return };
        if reply.outcome != "applied" {
            return;
        }
        *self.done.entry(request.command.word()).or_default() += 1;
        if reply.level == "firm" && RULINGS.contains(&request.command) {
            self.firm.insert(request.by);
            self.firm_awards.extend(request.id);
        }
    }

    /// Judges a node's view of points and ranks, the one that players are shown included.
    ///
    /// # Panics
    /// When it is not the naive model's.
    pub fn judge(&self, core: &EventCore) {
        let (state, awards) = (core.state(), self.awarded(core.state()));
        let revealed = |instance| state.has_told(instance);
        let naive = naive::standings(state, revealed, &awards);
        let folded = standings(state, revealed);
        assert_eq!(folded.len(), naive.len());
        for standing in folded {
            let found = (standing.points, standing.correct_ms, standing.rank);
            assert_eq!(found, naive[&standing.player], "{:?} folded", standing.player);
        }
        let board = core.scoreboard();
        for (player, due) in &naive {
            let shown = board.of(state, *player).expect("whoever has joined is on the board");
            let shown = (shown.points, shown.correct_ms, shown.rank);
            assert_eq!(shown, *due, "{player} on the board");
        }
    }

    /// What was awarded in all, as far as a node knows: every award once, and none that nobody gave.
    fn awarded(&self, state: &EventState) -> BTreeMap<PlayerId, i64> {
        let mut sums = BTreeMap::new();
        let known: BTreeSet<_> =
            state.named.awards.iter().flat_map(|(_, all)| all.iter()).collect();
        for award in known {
            let given = self.awards.get(&award.id).expect("somebody gave this award");
            assert_eq!((award.player, award.points), *given);
            *sums.entry(award.player).or_default() += i64::from(award.points);
        }
        sums
    }

    /// Judges a core at the end: what was promised has happened.
    ///
    /// # Panics
    /// When a ruling is lost.
    pub fn judge_end(&self, core: &EventCore) {
        let noted: BTreeSet<String> = core.log().into_iter().map(|line| line.by).collect();
        let lost: Vec<_> = self.firm.difference(&noted).collect();
        assert!(lost.is_empty(), "promised and not in the trail: {lost:?}");
        let awards = core.state().named.awards.iter().flat_map(|(_, all)| all.iter());
        let given: BTreeSet<&String> = awards.map(|award| &award.id).collect();
        let lost: Vec<_> = self.firm_awards.iter().filter(|id| !given.contains(id)).collect();
        assert!(lost.is_empty(), "awards that were promised: {lost:?}");
        assert!(core.state().stage() >= Stage::ENDED);
        self.judge(core);
    }
}

fn one(choice: u8) -> Key {
    Key::Choices(vec![choice])
}
