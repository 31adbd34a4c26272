//! Hosts: drive the show from one node after the other, as their pages would.
//!
//! A host remembers the newest stage that any node has shown and acts only at a node that has
//! reached it. If for a while none does, the step that led there is lost; that is allowed only for
//! a step that was told provisional.

use std::time::Duration;

use ::node::engine::{Heed, Input, Reply};
use ::node::service::view::{Command, CommandRequest, PhaseView, StageView};

use super::player::{About, joins_take_most};
use super::queue::{Event, Tick};
use super::world::{EVENT, World};
use crate::mix::Draw;
use crate::quiz::evidence::Ruled;
use crate::quiz::host::{EXTENSION_MS, HOST, MEDDLES, WIDELY, command_at, in_words, is_over};
use crate::quiz::ruling::{Page, Ruler, is_ruling, is_step};
use crate::schedule::Form;

/// A host looks again after this.
const GLANCE: Tick = 50;
/// A command that takes longer is given again elsewhere: three times what a node waits.
const COMMAND_MAX: Tick = 3_000;
/// A stage that no node shows for so long is lost.
const LOST_AFTER: Tick = 3_000;
/// Between two steps at least, and how much longer at most.
const PACE_MS: (u64, u64) = (150, 250);
/// The whole show takes less than this even if everything goes wrong.
const SHOW_MAX: Tick = 120_000;

pub(super) struct Host {
    seen: StageView,
    firm: bool,
    reached: Tick,
    glances: u64,
    /// What was asked, where, and when.
    pending: Option<(u64, u8, Tick)>,
    /// The same in words.
    asked: Option<CommandRequest>,
    /// What is about to be pressed where.
    press: Option<(u8, CommandRequest)>,
    /// What the host rules, in a show in which hosts do.
    ruler: Option<Ruler>,
    pub(super) is_done: bool,
    began: bool,
}

impl Host {
    /// The newest run that it has seen; none once all is over.
    pub(super) fn instance(&self) -> u32 {
        self.seen.instance
    }
}

impl World {
    /// The show is made at a node, and hosts begin.
    pub(super) fn create(&mut self) {
        let dice = Draw::new(self.schedule.seed, &[u64::from_be_bytes(*b"the home")]);
        let home = 1 + dice.up_to(0, u64::from(self.schedule.nodes) - 1) as u8;
        let show = ::node::show::parse(&self.schedule.show());
        let script = show.expect("schedules are checked when they are read or drawn");
        let ticket = self.ticket(About::Create);
        self.heed(home, Heed::Wanted { event: EVENT });
        self.input(home, Input::Create { ticket, script });
        self.is_listed = true;
        for number in self.alive() {
            self.list(number);
        }
        let seen = StageView { instance: 0, phase: PhaseView::Draft };
        for number in 0..self.schedule.habits.hosts.max(1) {
            self.hosts.push(Host {
                seen,
                firm: false,
                reached: 0,
                glances: 0,
                pending: None,
                asked: None,
                press: None,
                ruler: self.schedule.habits.ruling.then(|| Ruler::new(number + 1)),
                is_done: false,
                began: false,
            });
            self.queue.push(300 + u64::from(number) * 17, Event::Host { number });
        }
    }

    pub(super) fn host(&mut self, number: u8) {
        let again = self.glance(number);
        match again {
            Some(again) => self.queue.push(self.now + again, Event::Host { number }),
            None => {
                self.hosts[usize::from(number)].is_done = true;
                self.end_when_over();
            }
        }
    }

    /// What a host does now, and when it looks again; nothing once it is gone.
    fn glance(&mut self, number: u8) -> Option<Tick> {
        let now = self.now;
        let vanishes = self.schedule.habits.vanishes.filter(|_| number == 0);
        let host = &mut self.hosts[usize::from(number)];
        host.glances += 1;
        let gone = vanishes
            .is_some_and(|at| host.seen >= StageView { instance: at, phase: PhaseView::Open });
        let (seen, firm) = (host.seen, host.firm);
        if gone || is_over(seen) && (firm || self.is_shown_widely(seen)) {
            return None;
        }
        if now >= SHOW_MAX + self.joins_take() {
            let what = format!(
                "the show stands at {:?} {now} ms after its start",
                self.hosts[usize::from(number)].seen
            );
            self.evidence.stuck.push(what);
            return None;
        }
        let host = &mut self.hosts[usize::from(number)];
        if let Some((_, _, since)) = host.pending {
            host.pending = host.pending.filter(|_| now < since + COMMAND_MAX);
            return Some(GLANCE);
        }
        if let Some((node, request)) = host.press.take() {
            self.command(number, node, request);
            return Some(GLANCE);
        }
        Some(self.look_around(number))
    }

    fn look_around(&mut self, number: u8) -> Tick {
        let now = self.now;
        let host = &self.hosts[usize::from(number)];
        let dice = Draw::new(self.chance(), &[HOST, number.into(), host.glances]);
        let Some((node, stage)) = self.choose(dice, host.seen) else {
            if now >= host.reached + LOST_AFTER {
                self.fall_back(number);
            }
            return GLANCE;
        };
        let host = &mut self.hosts[usize::from(number)];
        host.reached = now;
        host.firm &= stage == host.seen;
        host.seen = stage;
        self.begin_faults(stage);
        if is_over(stage) || !self.may_begin(number, stage) {
            return GLANCE;
        }
        let Some(request) = self.decide(number, dice, (node, stage)) else { return GLANCE };
        self.hosts[usize::from(number)].press = Some((node, request));
        PACE_MS.0 + dice.up_to(1, PACE_MS.1)
    }

    /// What a host presses at a stage.
    fn decide(
        &mut self,
        number: u8,
        dice: Draw,
        (node, stage): (u8, StageView),
    ) -> Option<CommandRequest> {
        if let Some(ruling) = self.rule(number, dice, node) {
            return Some(ruling);
        }
        let hasty = self.schedule.habits.hasty && dice.unit(2) < MEDDLES;
        let command = match stage.phase {
            PhaseView::Open if hasty => {
                Some(if dice.unit(3) < 0.5 { Command::Close } else { Command::Extend })
            }
            _ => command_at(stage, self.form_of(node, stage.instance).has_key()),
        };
        let mut request = CommandRequest::new(command?, stage);
        if request.command == Command::Extend {
            let life = self.nodes[usize::from(node)].life.as_ref()?;
            request.open_ms = Some(life.core.state().open_ms(stage.instance));
            request.ms = Some(EXTENSION_MS);
        }
        Some(request)
    }

    /// What a run asks for, as a node has it.
    pub(super) fn form_of(&self, node: u8, instance: u32) -> Form {
        let life = self.nodes[usize::from(node)].life.as_ref();
        let shown = life.and_then(|life| life.core.state().question_of(instance));
        let planned = |number| self.schedule.questions.get(usize::from(number));
        shown.and_then(|(number, _)| planned(number)).map_or(Form::Choice, |it| it.form)
    }

    /// What a host rules, seeing what a node shows.
    fn rule(&mut self, number: u8, dice: Draw, node: u8) -> Option<CommandRequest> {
        let seed = self.schedule.seed;
        let players = u64::from(self.schedule.players);
        let page = self.page(node)?;
        let ruler = self.hosts[usize::from(number)].ruler.as_mut()?;
        let player = |word: u64| super::player::id(seed, 1 + (word % players) as u32);
        ruler.ruling(dice, page, player)
    }

    /// What a host's page shows of what it goes by: whole pages are dear where a crowd has answered.
    fn page(&self, node: u8) -> Option<Page> {
        let core = &self.nodes[usize::from(node)].life.as_ref()?.core;
        let stage = ::node::engine::stage_view(core.state().stage());
        let is_over = is_over(stage);
        let shown = core.state().question_of(stage.instance).filter(|_| !is_over);
        let planned = |number| self.schedule.questions.get(usize::from(number));
        let question = shown.and_then(|(number, _)| planned(number));
        Some(Page {
            stage,
            paused: !is_over && core.is_paused(stage.instance),
            question: question.map(|it| (it.form, it.options)),
        })
    }

    /// The first question waits for the players.
    fn may_begin(&mut self, number: u8, stage: StageView) -> bool {
        let most = joins_take_most(self.joins_take());
        let waits = stage.phase == PhaseView::Lobby && !self.hosts[usize::from(number)].began;
        let is_late = self.crowd.is_none() && self.at() > most;
        let done = !waits || self.are_all_in() || is_late;
        if waits && done {
            let joined = self.are_in();
            self.hosts[usize::from(number)].began = true;
            self.tell(format!("{joined} players have joined"));
        }
        done
    }

    /// One of the nodes that have reached this stage, and what it shows.
    fn choose(&self, dice: Draw, seen: StageView) -> Option<(u8, StageView)> {
        let mut places = self.places();
        places.retain(|(_, stage)| *stage >= seen);
        let last = places.len().checked_sub(1)?;
        Some(places[dice.up_to(0, last as u64) as usize])
    }

    /// Whether one node may go down and a stage is still shown: a host whose last step was told provisional looks
    /// on until it is.
    fn is_shown_widely(&self, stage: StageView) -> bool {
        let shown = self.places().into_iter().filter(|(_, shown)| *shown >= stage).count();
        shown >= WIDELY.min(self.nodes.iter().filter(|node| node.is_up()).count())
    }

    fn places(&self) -> Vec<(u8, StageView)> {
        let shown = |number: u8| {
            let node = &self.nodes[usize::from(number)];
            Some((number, node.life.as_ref().filter(|_| node.is_up())?.shown?))
        };
        (1..self.nodes.len() as u8).filter_map(shown).collect()
    }

    /// Goes on from what there is.
    fn fall_back(&mut self, number: u8) {
        let newest = self.places().into_iter().map(|(_, stage)| stage).max();
        let host = &mut self.hosts[usize::from(number)];
        let (seen, firm) = (host.seen, host.firm);
        host.seen = newest.unwrap_or(seen);
        host.reached = self.now;
        let left = newest.map_or("nothing".to_owned(), in_words);
        self.tell(format!("{} was lost, host {number} goes on from {left}", in_words(seen)));
        let since = self.at().saturating_sub(Duration::from_millis(LOST_AFTER));
        if firm && !self.evidence.may_hide(since) {
            self.evidence.undone.push(format!("{seen:?} was told firm and is shown by nobody"));
        }
    }

    fn command(&mut self, number: u8, node: u8, request: CommandRequest) {
        if !self.nodes[usize::from(node)].is_up() {
            return;
        }
        let ticket = self.ticket(About::Command(number));
        self.hosts[usize::from(number)].pending = Some((ticket, node, self.now));
        self.hosts[usize::from(number)].asked = Some(request.clone());
        self.evidence.commands.push((self.at(), node, request.clone()));
        let request = Box::new(request);
        self.input(node, Input::Command { ticket, request });
    }

    pub(super) fn on_command_reply(&mut self, number: u8, ticket: u64, reply: Reply) {
        let host = &mut self.hosts[usize::from(number)];
        let Some((_, node, _)) = host.pending.take_if(|(asked, ..)| *asked == ticket) else {
            return;
        };
        let (Reply::Commanded(reply), Some(asked)) = (reply, host.asked.take()) else { return };
        let (from, to, firm) = (host.seen, reply.stage, reply.level == "firm");
        // A ruling that makes no step promises nothing of the stage beside which it stands.
        if is_step(asked.command) {
            (host.seen, host.firm) = (to, firm);
        }
        let (word, from, to) = (asked.command.word(), in_words(from), in_words(to));
        let told = format!("host {number}: {word} at node {node} from {from} to {to}, ");
        if is_ruling(asked.command) && !asked.by.is_empty() && reply.outcome == "applied" {
            let at = self.at();
            self.evidence.ruled.push(Ruled { at, request: asked, firm });
        }
        self.tell(told + &reply.level);
    }

    /// The node that the first host would be at.
    pub(super) fn hosts_node(&self) -> u8 {
        let pending = self.hosts[0].pending.map(|(_, node, _)| node);
        let pressed = self.hosts[0].press.as_ref().map(|(node, _)| *node);
        pending.or(pressed).unwrap_or(1)
    }
}
