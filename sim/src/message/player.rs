//! Players: join, answer once a round is open, keep every receipt, go to another node when their own
//! is gone. When and what is answered is a function of (seed, player, instance), as on the wire.
//!
//! Some are a nuisance: they move without a reason, answer again, lie, or flood.

use std::time::Duration;

use ::node::engine::{Claim, Input, Reply};
use ::node::service::view::{InboxMessage, Refusal};
use crdt_state::PlayerId;

use super::queue::{Act, Event, Tick};
use super::world::World;
use crate::mix::Draw;
use crate::quiz::evidence::{Receipt, Unheld};
use crate::schedule::{Form, held};

/// A choice that is no option of any question.
const NO_OPTION: u8 = 15;
/// Stands for what the player has chosen.
const OWN: u8 = u8::MAX;
/// How long after the deadline an answer may be tapped.
const LATE_MS: u64 = 300;
/// A node that says nothing for so long is given up.
pub(super) const SILENCE_MAX: Tick = 3_000;
/// What was refused for the moment is tried again after this.
const RETRY_AFTER: Tick = 300;
/// Above so many players what they send reaches a node in bursts of [`BURST_MS`], as it does over
/// shared uplinks. A burst costs its node a turn and each peer two, however many are in it: 50 ms leave a thousand
/// players some ten in each, and still twenty moments a second at which a node may be hit.
const BURST_ABOVE: u32 = 300;
const BURST_MS: Tick = 50;
/// How often a flooding player sends one thing.
const FLOOD: u32 = 12;

/// A player.
pub(super) struct Player {
    pub(super) id: PlayerId,
    /// The node of the connection; 0 is none.
    pub(super) node: u8,
    /// The place in that node's list.
    place: u32,
    /// Counts the connections that have ended.
    moves: u32,
    pub(super) claim: Option<Claim>,
    /// The newest answer: for which run, what, and how far it is.
    instance: u32,
    choice: u8,
    form: Form,
    step: Step,
    /// When an answer that was refused for the moment is given again: once, however often it was sent.
    again_at: Tick,
    habit: Habit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Still thinking, or not wanting to answer at all.
    Thinking,
    /// Sent; nothing came back yet.
    Sent,
    /// Acknowledged, or refused for good.
    Settled,
}

#[derive(Clone, Copy, Default)]
struct Habit {
    roams: bool,
    repeats: bool,
    lies: bool,
    floods: bool,
}

/// The numbers of a player's dice.
mod die {
    pub(super) const BEGIN: u64 = 2;
    pub(super) const PAUSE: u64 = 3;
    pub(super) const NODE: u64 = 4;
    pub(super) const STAYS: u64 = 6;
    pub(super) const ABSTAINS: u64 = 7;
    pub(super) const THINKS: u64 = 8;
    pub(super) const CHOICE: u64 = 9;
    pub(super) const AGAIN: u64 = 10;
    pub(super) const ACCESS: u64 = 11;
    pub(super) const FOLLOWS: u64 = 12;
    pub(super) const HABITS: u64 = 20;
}

/// The name of players' dice.
const PLAYER: u64 = u64::from_be_bytes(*b"a player");

/// The id of a player: mostly chance, and the number, so that it is found again.
pub(super) fn id(seed: u64, number: u32) -> PlayerId {
    let dice = Draw::new(seed, &[PLAYER, number.into()]);
    let low = dice.word(1) & !u64::from(u32::MAX) | u64::from(number);
    PlayerId(u128::from(dice.word(0)) << 64 | u128::from(low))
}

fn number_of(player: PlayerId) -> u32 {
    player.0 as u32
}

/// What a ticket is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A player's join.
    Join(u32),
    /// A player's answer.
    Answer(u32),
    /// A host's command.
    Command(u8),
    /// The creation of the event.
    Create,
    /// The goodbye of a node.
    Leave(u8),
    /// The goodbye of a node that lets go of the show.
    LetGo(u8),
    /// One of a crowd that is too large to be told of what comes of it one by one.
    Crowd(u32),
}

impl World {
    /// A ticket that says what it is for.
    pub(super) fn ticket(&mut self, about: About) -> u64 {
        self.replies += 1;
        let (kind, who) = match about {
            About::Join(number) => (0, number),
            About::Answer(number) => (1, number),
            About::Command(number) => (2, number.into()),
            About::Create => (3, 0),
            About::Crowd(number) => (4, number),
            About::Leave(number) => (5, number.into()),
            About::LetGo(number) => (6, number.into()),
        };
        self.replies << 35 | kind << 32 | u64::from(who)
    }

    fn about(ticket: u64) -> About {
        let who = ticket as u32;
        match ticket >> 32 & 7 {
            0 => About::Join(who),
            1 => About::Answer(who),
            2 => About::Command(who as u8),
            4 => About::Crowd(who),
            5 => About::Leave(who as u8),
            6 => About::LetGo(who as u8),
            _ => About::Create,
        }
    }

    pub(super) fn begin_players(&mut self) {
        let (seed, habits) = (self.schedule.seed, self.schedule.habits);
        let spread = self.joins_take();
        for number in 1..=self.schedule.players {
            let dice = Draw::new(seed, &[PLAYER, number.into()]);
            let share = |die, share: f64| dice.unit(die::HABITS + die) < share;
            let habit = Habit {
                roams: share(0, habits.roaming),
                repeats: share(1, habits.twice),
                lies: share(2, habits.lying),
                floods: share(3, habits.flooding),
            };
            self.players.push(Player {
                id: id(seed, number),
                node: 0,
                place: 0,
                moves: 0,
                claim: None,
                instance: 0,
                choice: 0,
                form: Form::Choice,
                step: Step::Settled,
                again_at: 0,
                habit,
            });
            let at = 800 + dice.up_to(die::BEGIN, spread);
            let act = Act::Connect { moves: 0 };
            self.queue.push(self.burst(at), Event::Player { number, act });
        }
    }

    /// Over how many milliseconds joins are spread.
    pub(super) fn joins_take(&self) -> u64 {
        2_000.max(u64::from(self.schedule.players) / 25)
    }

    fn burst(&self, at: Tick) -> Tick {
        match self.schedule.players > BURST_ABOVE {
            true => at.next_multiple_of(BURST_MS),
            false => at,
        }
    }

    fn player(&mut self, number: u32) -> &mut Player {
        &mut self.players[number as usize - 1]
    }

    fn dice(&self, number: u32, occasion: u64) -> Draw {
        Draw::new(self.chance(), &[PLAYER, number.into(), 1, occasion])
    }

    fn after(&mut self, number: u32, ms: u64, act: Act) {
        let at = self.burst(self.now + ms.max(1));
        self.queue.push(at, Event::Player { number, act });
    }

    pub(super) fn act(&mut self, number: u32, act: Act) {
        let player = &self.players[number as usize - 1];
        let (node, is_in) = (player.node, player.claim.is_some());
        match act {
            Act::Connect { moves } if moves == player.moves && node == 0 => self.connect(number),
            Act::Move { moves } if moves == player.moves && node != 0 => self.disconnect(number, 0),
            Act::Join { moves } if moves == player.moves && node != 0 && !is_in => {
                self.ask_join(number);
            }
            Act::Answer { instance, choice } => self.give(number, instance, choice),
            Act::Elsewhere { instance, choice } => self.give_elsewhere(number, instance, choice),
            Act::Connect { .. } | Act::Move { .. } | Act::Join { .. } => {}
        }
    }

    fn connect(&mut self, number: u32) {
        let moves = self.player(number).moves;
        let dice = self.dice(number, moves.into());
        let node = self.next_node(number, moves, dice);
        if !self.nodes[usize::from(node)].takes_players() {
            self.player(number).moves += 1;
            let act = Act::Connect { moves: moves + 1 };
            return self.after(number, 200 + dice.up_to(die::PAUSE, 500), act);
        }
        let place = self.node(node).players.len() as u32;
        self.node(node).players.push(number);
        let player = self.player(number);
        (player.node, player.place) = (node, place);
        let (roams, step, instance) = (player.habit.roams, player.step, player.instance);
        let at = self.at();
        let seen = &mut self.seen[number as usize - 1];
        (seen.connections, seen.connected) = (seen.connections + 1, Some(at));
        self.ask_join(number);
        if roams || self.schedule.habits.flocking {
            let act = Act::Move { moves };
            self.after(number, 1_000 + dice.up_to(die::STAYS, 8_000), act);
        }
        if step == Step::Sent {
            self.give(number, instance, OWN);
        }
        self.look(number);
    }

    /// Where a player goes next.
    fn next_node(&self, number: u32, moves: u32, dice: Draw) -> u8 {
        let nodes = self.nodes.len() as u8 - 1;
        let who = (number.into(), dice.unit(die::FOLLOWS));
        if let Some(node) = self.schedule.habits.flock(self.chance(), self.at(), who, nodes) {
            return 1 + node;
        }
        let node = match moves {
            0 => u64::from(number) % u64::from(self.schedule.nodes),
            _ => dice.up_to(die::NODE, u64::from(nodes) - 1),
        };
        1 + node as u8
    }

    /// The connection is gone; the player comes back after `silence` and a little while.
    pub(super) fn disconnect(&mut self, number: u32, silence: Tick) {
        let player = self.player(number);
        let (node, place) = (std::mem::take(&mut player.node), player.place as usize);
        player.moves += 1;
        let moves = player.moves;
        self.seen[number as usize - 1].connected = None;
        let players = &mut self.nodes[usize::from(node)].players;
        players.swap_remove(place);
        if let Some(moved) = players.get(place).copied() {
            self.player(moved).place = place as u32;
        }
        let pause = self.dice(number, moves.into()).up_to(die::PAUSE, 500);
        self.after(number, silence + pause, Act::Connect { moves });
    }

    fn ask_join(&mut self, number: u32) {
        let ticket = self.ticket(About::Join(number));
        let player = &self.players[number as usize - 1];
        let (node, floods) = (player.node, player.habit.floods);
        let input = match &player.claim {
            Some(claim) => Input::Resume { ticket, claim: claim.clone() },
            None => {
                let name = format!("player {number}");
                Input::Join { ticket, player: player.id, name, abuse: None }
            }
        };
        self.input(node, input);
        if floods && let Some(claim) = self.player(number).claim.clone() {
            for _ in 0..FLOOD {
                let ticket = self.ticket(About::Join(number));
                self.input(node, Input::Resume { ticket, claim: claim.clone() });
            }
        }
    }

    /// What a player who sees a node's show decides to do.
    pub(super) fn look(&mut self, number: u32) {
        let player = &self.players[number as usize - 1];
        let Some(life) = &self.nodes[usize::from(player.node)].life else { return };
        let Some((instance, until)) = life.open else { return };
        let shown = life.core.state().question_of(instance).map(|(number, _)| number);
        if player.claim.is_none() || player.instance >= instance {
            return;
        }
        let habit = player.habit;
        let dice = Draw::new(self.chance(), &[PLAYER, number.into(), 2, instance.into()]);
        let shown = shown.and_then(|number| self.schedule.questions.get(usize::from(number)));
        let (options, form) = shown.map_or((2, Form::Choice), |it| (it.options, it.form));
        let choice = dice.up_to(die::CHOICE, u64::from(options) - 1) as u8;
        let abstains = dice.unit(die::ABSTAINS) < 0.05;
        let player = self.player(number);
        // The question before is given up.
        let before = std::mem::replace(&mut player.instance, instance);
        (player.choice, player.form) = (choice, form);
        player.step = Step::Thinking;
        self.seen[number as usize - 1].owed.remove(&before);
        if abstains {
            return;
        }
        let left = until.saturating_sub(self.now);
        let access = 10 + dice.up_to(die::ACCESS, 40);
        let thinks = access + dice.up_to(die::THINKS, left + LATE_MS);
        self.after(number, thinks, Act::Answer { instance, choice: OWN });
        if habit.repeats {
            let again = thinks + dice.up_to(die::AGAIN, 1_500);
            self.after(number, again, Act::Answer { instance, choice: OWN });
        }
        if habit.lies {
            self.lie(number, (instance, choice, options), thinks, dice);
        }
    }

    /// Answers what is not open, chooses what is not there, and changes its mind.
    fn lie(&mut self, number: u32, asked: (u32, u8, u8), thinks: Tick, dice: Draw) {
        let (instance, choice, options) = asked;
        let early = Act::Answer { instance: instance + 1, choice };
        self.after(number, dice.up_to(die::AGAIN + 20, thinks), early);
        let nothing = Act::Answer { instance, choice: NO_OPTION };
        self.after(number, dice.up_to(die::AGAIN + 21, thinks), nothing);
        let other = Act::Answer { instance, choice: (choice + 1) % options };
        self.after(number, thinks + dice.up_to(die::AGAIN + 22, 800), other);
        let elsewhere = Act::Elsewhere { instance, choice: (choice + 1) % options };
        self.after(
            number,
            (thinks + dice.up_to(die::AGAIN + 23, 60)).saturating_sub(30),
            elsewhere,
        );
    }

    /// Nobody waits for what comes of it.
    fn give_elsewhere(&mut self, number: u32, instance: u32, choice: u8) {
        let nodes = self.nodes.len() as u64 - 1;
        let node = 1 + self.dice(number, instance.into()).up_to(die::NODE, nodes - 1) as u8;
        let player = &self.players[number as usize - 1];
        let Some(claim) = player.claim.clone().filter(|_| player.node != node) else { return };
        let given = player.form.given(player.id, instance, choice);
        let answered = &mut self.seen[number as usize - 1].answered;
        *answered.entry(instance).or_default() |= 1 << choice;
        let ticket = self.ticket(About::Answer(number));
        self.input(node, Input::Answer { ticket, claim, instance, given });
    }

    fn give(&mut self, number: u32, instance: u32, choice: u8) {
        let player = self.player(number);
        let is_own = choice == OWN;
        let newly = is_own && player.instance == instance && player.step == Step::Thinking;
        if newly {
            player.step = Step::Sent;
        }
        let choice = if is_own { player.choice } else { choice };
        let (node, floods) = (player.node, player.habit.floods);
        let given = player.form.given(player.id, instance, choice);
        let claim = player.claim.clone();
        if newly {
            self.seen[number as usize - 1].owed.insert(instance);
        }
        let Some(claim) = claim.filter(|_| node != 0) else { return };
        // What lies about the future or about options is never to be acknowledged, unless it waits in
        // front of a stopped process until that future has come. What another node has left may be open here.
        let is_stopped = !self.nodes[usize::from(node)].is_up();
        if (instance <= self.players[number as usize - 1].instance || is_stopped)
            && choice != NO_OPTION
        {
            let answered = &mut self.seen[number as usize - 1].answered;
            *answered.entry(instance).or_default() |= 1 << choice;
        }
        for _ in 0..if floods { FLOOD } else { 1 } {
            let ticket = self.ticket(About::Answer(number));
            let (claim, given) = (claim.clone(), given.clone());
            self.input(node, Input::Answer { ticket, claim, instance, given });
        }
    }

    pub(super) fn on_reply(&mut self, node: u8, ticket: u64, reply: Reply) {
        let about = Self::about(ticket);
        match (about, reply) {
            (About::Command(host), reply) => self.on_command_reply(host, ticket, reply),
            (About::Join(number) | About::Answer(number), reply) => {
                // Whoever has gone hears nothing.
                if self.player(number).node == node {
                    self.on_player_reply(node, number, about, reply);
                }
            }
            (About::Crowd(number), Reply::Joined { row, .. }) => {
                let player = id(self.schedule.seed, number);
                if let Some(crowd) = &mut self.crowd {
                    crowd.joined(node, player, row);
                }
            }
            (About::Leave(number), Reply::Retired) => self.node(number).has_retired = true,
            (About::LetGo(number), reply) => self.on_goodbye_reply(number, ticket, &reply),
            (About::Create | About::Crowd(_) | About::Leave(_), _) => {}
        }
    }

    fn on_player_reply(&mut self, node: u8, number: u32, about: About, reply: Reply) {
        match reply {
            Reply::Joined { row, name, firm } => {
                let now = self.at();
                let player = self.player(number);
                let id = player.id;
                player.claim.get_or_insert(Claim { player: id, row, name });
                self.seen[number as usize - 1].let_in.get_or_insert(now);
                if firm {
                    self.seen[number as usize - 1].joined.get_or_insert(now);
                }
                // As every node does for whoever has come.
                self.input(node, Input::Project { player: id });
                self.look(number);
            }
            Reply::Answered(message) => self.on_receipt(node, number, message),
            Reply::Refused(refusal) => self.on_refused(number, about, refusal),
            _ => {}
        }
    }

    /// A refusal that says "never" settles the answer; any other says "not now": a choice that is none there, too,
    /// where hosts on two sides of a cut went on to different questions and the other one is asked.
    fn on_refused(&mut self, number: u32, about: About, refusal: Refusal) {
        let over = matches!(refusal.code.as_str(), "late" | "ended");
        *self.seen[number as usize - 1].refused.entry(refusal.code).or_default() += 1;
        let now = self.now;
        let player = self.player(number);
        let (instance, moves) = (player.instance, player.moves);
        match about {
            About::Join(_) => self.after(number, RETRY_AFTER, Act::Join { moves }),
            _ if over && player.step == Step::Sent => {
                player.step = Step::Settled;
                self.seen[number as usize - 1].owed.remove(&instance);
            }
            _ if player.step == Step::Sent && player.again_at <= now => {
                player.again_at = now + RETRY_AFTER;
                self.after(number, RETRY_AFTER, Act::Answer { instance, choice: OWN });
            }
            _ => {}
        }
    }

    pub(super) fn on_inbox(&mut self, node: u8, player: PlayerId, message: InboxMessage) {
        let number = number_of(player);
        if self.crowd.is_some() || self.player(number).node != node {
            return;
        }
        match message {
            InboxMessage::Receipt { .. } => self.on_receipt(node, number, message),
            InboxMessage::Result { instance, choices, .. } => {
                let now = self.at();
                let seen = &mut self.seen[number as usize - 1];
                seen.told.entry(instance).or_insert(now);
                seen.results.insert(instance, choices);
            }
            InboxMessage::Joined { .. }
            | InboxMessage::Marked { .. }
            | InboxMessage::Refused { .. } => {}
        }
    }

    fn on_receipt(&mut self, node: u8, number: u32, message: InboxMessage) {
        let InboxMessage::Receipt { instance, status, level, choices, elapsed_ms, text, .. } =
            message
        else {
            return;
        };
        let receipt = Receipt {
            at: self.at(),
            node,
            instance,
            status,
            firm: level == "firm",
            choices: held(choices, text.as_deref()),
            elapsed_ms,
        };
        let player = self.player(number);
        if player.instance == instance && player.step == Step::Sent {
            player.step = Step::Settled;
        }
        let seen = &mut self.seen[number as usize - 1];
        seen.owed.remove(&instance);
        // Of a crowd that floods nobody keeps who said it.
        let said = |held: &Receipt| held.says_from_anywhere(&receipt);
        if !seen.is_news(&receipt, said) {
            return;
        }
        let receipts = &mut seen.receipts;
        let is_first = !receipts.iter().any(|held| held.firm && held.instance == instance);
        receipts.push(receipt.clone());
        if receipt.firm {
            if is_first {
                self.promised.entry(instance).or_default().push(number);
            }
            self.witness(node, number, receipt);
        }
    }

    /// Asks the other nodes about a firm receipt the moment it comes: as many as are promised hold it. All of them are
    /// asked where that may matter.
    fn witness(&mut self, node: u8, number: u32, receipt: Receipt) {
        self.evidence.asked += 1;
        let player = self.player(number).id;
        let held = |other: &u8| {
            let Some(life) = &self.nodes[usize::from(*other)].life else { return false };
            let state = life.core.state();
            state.held(receipt.instance, state.players.rows_of(player)).is_some()
        };
        let (copies, all) = (self.schedule.copies(), self.schedule.may_forget());
        let others = (1..self.nodes.len() as u8).filter(|other| *other != node);
        let enough = if all { self.nodes.len() } else { copies - 1 };
        let others: Vec<u8> = others.filter(held).take(enough).collect();
        if all {
            self.evidence.note_holders(player, &receipt, &others);
        }
        if others.len() + 1 < copies {
            self.evidence.unheld.push(Unheld { player, receipt });
        }
    }

    /// Whether everybody has been let in.
    pub(super) fn are_all_in(&self) -> bool {
        match &self.crowd {
            Some(crowd) => crowd.is_in(),
            None => self.are_in() == self.schedule.players as usize,
        }
    }

    /// How many have been let in.
    pub(super) fn are_in(&self) -> usize {
        self.players.iter().filter(|player| player.claim.is_some()).count()
    }
}

/// How long players may take to join before the first question.
pub(super) fn joins_take_most(spread: u64) -> Duration {
    Duration::from_millis(spread + 6_000)
}
