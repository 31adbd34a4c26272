//! What players and hosts do, in one line each.

use crate::world::{Weather, World};
use crdt_state::engagement::{Given, Question, Script, TEAM_INSTANCE};
use crdt_state::{Phase, PlayerId, Stage};
use node::engine::{Claim, EventCore, Input, Reply, stage_view};
use node::service::view::{Command, CommandReply, CommandRequest, HostView, InboxMessage, Refusal};

/// Longest wait for any reply, in milliseconds: above the patience of a receipt.
const REPLY_MS: u64 = 2_000;
/// Longest wait for all nodes to see the same, in milliseconds.
const SAME_MS: u64 = 5_000;

/// A receipt as its player reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// `accepted`, `duplicate` or `superseded`.
    pub status: String,
    /// Whether its level was reached.
    pub firm: bool,
    /// The one option that is held.
    pub choice: u8,
    /// When it was given.
    pub elapsed_ms: u32,
}

/// A show of `questions` questions; the correct option of question `n`, from 0, is `n % 4`.
pub fn script(questions: u16, open_ms: u32) -> Script {
    let options = || (0..4).map(|option| format!("option {option}")).collect();
    let question = |number: u16| {
        let text = format!("question {number}");
        Question::choice(text, options(), 1 << (number % 4)).open_ms(open_ms)
    };
    Script::new("a show", (0..questions).map(question).collect())
}

/// A player's name for people.
pub fn name(player: u128) -> String {
    format!("player {player}")
}

impl World {
    /// A world whose first node has made an event of three questions, with the lobby open everywhere.
    pub fn lobby(seed: u64, nodes: usize, open_ms: u32) -> Self {
        Self::lobby_in(seed, nodes, open_ms, Weather::default())
    }

    /// As [`World::lobby`], in a weather.
    pub fn lobby_in(seed: u64, nodes: usize, open_ms: u32, weather: Weather) -> Self {
        Self::lobby_of(seed, nodes, script(3, open_ms), weather)
    }

    /// As [`World::lobby_in`], of a show of one's own.
    pub fn lobby_of(seed: u64, nodes: usize, script: Script, weather: Weather) -> Self {
        let mut world = World::new(seed, nodes, weather);
        let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
        assert!(matches!(world.reply(ticket), Reply::Created { .. }));
        world.press(0, Command::Lobby);
        world.all_at(Stage::LOBBY);
        world.until("all are enrolled everywhere", SAME_MS, |world| {
            world.cores().all(|core| core.state().enrolled().count() == nodes).then_some(())
        });
        world
    }

    /// Waits for the reply to a request.
    pub fn reply(&mut self, ticket: u64) -> Reply {
        self.until("a reply", REPLY_MS, |world| world.take_reply(ticket))
    }

    /// Lets a player join; the name is made from the number.
    pub fn join(&mut self, at: usize, player: u128) -> Claim {
        self.try_join(at, player, &name(player)).expect("the player is let in")
    }

    /// Lets a player try to join under a name.
    pub fn try_join(&mut self, at: usize, player: u128, name: &str) -> Result<Claim, Refusal> {
        let (player, name) = (PlayerId(player), name.to_owned());
        let ticket = self.ask(at, |ticket| Input::Join { ticket, player, name, abuse: None });
        match self.reply(ticket) {
            Reply::Joined { row, name, .. } => Ok(Claim { player, row, name }),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("not a reply to a join: {other:?}"),
        }
    }

    /// Brings a player who has joined before.
    pub fn resume(&mut self, at: usize, claim: &Claim) -> Reply {
        let claim = claim.clone();
        let ticket = self.ask(at, |ticket| Input::Resume { ticket, claim });
        self.reply(ticket)
    }

    /// Lets a player answer.
    pub fn answer(
        &mut self,
        at: usize,
        claim: &Claim,
        instance: u32,
        choice: u8,
    ) -> Result<Receipt, Refusal> {
        let message = self.give(at, claim, instance, Given::choices(&[choice]))?;
        Ok(receipt_in(&message, instance).expect("a receipt"))
    }

    /// Has a player give something, whatever it is: what the player is told.
    pub fn give(
        &mut self,
        at: usize,
        claim: &Claim,
        instance: u32,
        given: Given,
    ) -> Result<InboxMessage, Refusal> {
        let claim = claim.clone();
        let ticket = self.ask(at, |ticket| Input::Answer { ticket, claim, instance, given });
        match self.reply(ticket) {
            Reply::Answered(message) => Ok(message),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("not a reply to what was given: {other:?}"),
        }
    }

    /// Lets a player choose a team: what is said, whether it is firm, and what is held.
    pub fn choose_team(
        &mut self,
        at: usize,
        claim: &Claim,
        team: u8,
    ) -> Result<(String, bool, Vec<u8>), Refusal> {
        match self.give(at, claim, TEAM_INSTANCE, Given::choices(&[team]))? {
            InboxMessage::Receipt { instance, status, level, choices, .. } => {
                assert_eq!(instance, TEAM_INSTANCE);
                Ok((status, level == "firm", choices))
            }
            other => panic!("not a receipt of a choice: {other:?}"),
        }
    }

    /// Lets a player tap, in a round whose taps are counted.
    pub fn tap(
        &mut self,
        at: usize,
        claim: &Claim,
        instance: u32,
        count: u32,
    ) -> Result<(), Refusal> {
        let given = Given { count: Some(count), ..Given::choices(&[0]) };
        self.give(at, claim, instance, given).map(drop)
    }

    /// Hands a node the command of a host whose page shows what that node shows.
    pub fn ask_command(&mut self, at: usize, command: Command, ms: Option<u32>) -> u64 {
        let expected = stage_view(self.core(at).state().stage());
        let open_ms = Some(self.core(at).state().open_ms(expected.instance));
        let request = CommandRequest { ms, open_ms, ..CommandRequest::new(command, expected) };
        let request = Box::new(request);
        self.ask(at, |ticket| Input::Command { ticket, request })
    }

    /// Has a host press a button.
    pub fn press(&mut self, at: usize, command: Command) -> CommandReply {
        let ticket = self.ask_command(at, command, None);
        match self.reply(ticket) {
            Reply::Commanded(reply) => reply,
            other => panic!("{command:?} was not carried out: {other:?}"),
        }
    }

    /// Has a host press a button, and waits until all nodes stand where it leads.
    pub fn step(&mut self, at: usize, command: Command) -> Stage {
        self.press(at, command);
        let stage = self.core(at).state().stage();
        self.all_at(stage);
        stage
    }

    /// Opens the next question everywhere.
    pub fn open(&mut self, at: usize) -> u32 {
        self.step(at, Command::Open).instance
    }

    /// Closes the question that is open and goes on to its board.
    pub fn finish_round(&mut self, at: usize) {
        use Command::{Close, Leaderboard, Reveal, Tallies};
        let open = self.core(at).state().stage().phase == Phase::Open;
        for command in [Close, Tallies, Reveal, Leaderboard].into_iter().skip(usize::from(!open)) {
            self.step(at, command);
        }
    }

    /// Waits until all living nodes stand at a stage.
    pub fn all_at(&mut self, stage: Stage) {
        self.until(&format!("all at {stage:?}"), SAME_MS, |world| world.is_at(stage).then_some(()));
    }

    /// Whether all living nodes stand at a stage.
    pub fn is_at(&self, stage: Stage) -> bool {
        self.cores().all(|core| core.state().stage() == stage)
    }

    /// Waits until all living nodes have applied the same.
    pub fn all_equal(&mut self) {
        self.until("all have the same heads", 15_000, |world| world.is_equal().then_some(()));
        let digests: Vec<u64> = self.cores().map(EventCore::digest).collect();
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "equal heads, equal digests");
        let exports: Vec<_> = self.cores().map(|core| core.export("123456")).collect();
        assert!(exports.windows(2).all(|pair| pair[0] == pair[1]), "equal heads, equal exports");
    }

    /// Whether all living nodes have applied the same.
    pub fn is_equal(&self) -> bool {
        let mut heads = self.cores().map(EventCore::heads);
        let first = heads.next();
        heads.all(|heads| Some(heads) == first)
    }

    /// How complete a node calls the result of the newest closed question.
    pub fn status(&self, at: usize) -> String {
        self.view(at).live.result.map(|result| result.status).unwrap_or_default()
    }

    /// What a host sees on a node.
    pub fn view(&self, at: usize) -> HostView {
        let core = self.core(at);
        core.host_view(core.screen_view(self.mono(at), "123456"))
    }

    /// Waits until all living nodes call the result of the newest closed question so.
    pub fn all_call_it(&mut self, status: &str) {
        self.until(&format!("all call the result {status}"), SAME_MS, |world| {
            world.alive().iter().all(|at| world.status(*at) == status).then_some(())
        });
    }

    /// Every receipt in a player's inbox so far, with the node that sent it.
    pub fn receipts(&self, player: PlayerId, instance: u32) -> Vec<(usize, Receipt)> {
        let mine = self.inbox.iter().filter(|(_, to, _)| *to == player);
        mine.filter_map(|(at, _, message)| Some((*at, receipt_in(message, instance)?))).collect()
    }

    /// The choice that a node holds of a player.
    pub fn held(&self, at: usize, player: PlayerId, instance: u32) -> Option<u8> {
        let state = self.core(at).state();
        let (_, cell) = state.held(instance, state.players.rows_of(player))?;
        Some(cell.choice().trailing_zeros() as u8)
    }
}

/// The choice that a typed word stands for.
pub fn choice_in(word: &str) -> u8 {
    word.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a word ends with it")
}

/// The receipt in a message, if it is one of this instance.
pub fn receipt_in(message: &InboxMessage, of: u32) -> Option<Receipt> {
    let InboxMessage::Receipt { instance, status, level, choices, elapsed_ms, text, .. } = message
    else {
        return None;
    };
    let typed = || text.as_deref().map(choice_in);
    (*instance == of).then(|| Receipt {
        status: status.clone(),
        firm: level == "firm",
        choice: choices.first().copied().or_else(typed).expect("a receipt says what is held"),
        elapsed_ms: *elapsed_ms,
    })
}
