//! Hosts: each drives the show from one node after the other, as its page would.
//!
//! A host remembers the newest stage that any node has shown and acts only at a node that has
//! reached it. If for a while none does, the step that led there is lost; that is allowed only for
//! a step that was told provisional.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crdt_state::EventId;
use crdt_state::engagement::TaskView;
use node::service::view::{Command, CommandRequest, PhaseView, StageView};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::evidence::{Notebook, Ruled};
use super::ruling::{Page, Ruler, is_ruling, is_step};
use crate::chance;
use crate::cluster::Cluster;
use crate::mix::Draw;
use crate::schedule::Habits;

/// The host looks again after this.
const GLANCE: Duration = Duration::from_millis(50);
/// A command that takes longer is given again elsewhere: three times what a node waits.
const COMMAND_MAX: Duration = Duration::from_secs(3);
/// A stage that no node shows for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(3);
/// Between two steps at least and at most, in milliseconds.
const PACE_MS: (u64, u64) = (150, 250);
/// The whole show takes less than this even if everything goes wrong once.
pub(crate) const SHOW_MAX: Duration = Duration::from_secs(90);

/// In one of so many glances at an open round a hasty host meddles.
pub(crate) const MEDDLES: f64 = 0.02;
/// By how much a hasty host extends a round, in milliseconds.
pub(crate) const EXTENSION_MS: u32 = 700;
/// So many nodes show what does not go with one of them.
pub(crate) const WIDELY: usize = 2;

/// Where the host is and what it has seen; the faults follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: u8,
    pub(crate) stage: StageView,
}

pub(crate) struct Host {
    /// The number, from 0 on; the first is the one whom faults follow, and who may vanish.
    pub(crate) number: u8,
    pub(crate) seed: u64,
    pub(crate) event: EventId,
    pub(crate) cluster: Rc<RefCell<Cluster>>,
    pub(crate) notebook: Notebook,
    pub(crate) place: Rc<watch::Sender<Place>>,
    pub(crate) habits: Habits,
    /// What the host rules, in a show in which hosts do.
    pub(crate) ruler: Option<Ruler>,
    /// How many play.
    pub(crate) players: u32,
}

impl Host {
    /// Drives the show to its end, or until the host is gone for good.
    pub(crate) async fn drive(mut self, mut seen: StageView) {
        let give_up = Instant::now() + SHOW_MAX;
        let mut firm = false;
        let mut reached = Instant::now();
        let mut glances = 0;
        while !self.is_gone(seen) && !(is_over(seen) && (firm || self.is_shown_widely(seen))) {
            if Instant::now() >= give_up {
                let what = format!("the show stands at {seen:?} {SHOW_MAX:?} after its start");
                return self.notebook.write(|evidence| evidence.stuck.push(what));
            }
            glances += 1;
            let dice = Draw::new(chance::of(self.seed), &[HOST, self.number.into(), glances]);
            let Some(place) = self.look(dice, seen) else {
                if Instant::now() >= reached + LOST_AFTER {
                    seen = self.fall_back(seen, firm);
                }
                sleep(GLANCE).await;
                continue;
            };
            reached = Instant::now();
            firm &= place.stage == seen;
            seen = place.stage;
            self.show(place);
            match self.decide(dice, place).filter(|_| !is_over(seen)) {
                None => sleep(GLANCE).await,
                Some(request) => {
                    let (least, most) = PACE_MS;
                    sleep(Duration::from_millis(least + dice.up_to(1, most))).await;
                    if let Some((stage, told)) = self.command(place, request).await {
                        (seen, firm) = (stage, told);
                    }
                }
            }
        }
    }

    /// Whether the host has vanished by now.
    fn is_gone(&self, seen: StageView) -> bool {
        let vanishes = self.habits.vanishes.filter(|_| self.number == 0);
        vanishes.is_some_and(|at| seen >= StageView { instance: at, phase: PhaseView::Open })
    }

    /// Shows faults where the first host is, and the newest stage that any has seen.
    fn show(&self, place: Place) {
        self.place.send_if_modified(|shown| {
            let node = if self.number == 0 { place.node } else { shown.node };
            let stage = if self.number == 0 { place.stage } else { shown.stage.max(place.stage) };
            let place = Place { node, stage };
            std::mem::replace(shown, place) != place
        });
    }

    /// What is pressed where the host looks: a ruling, or else the show's next step.
    fn decide(&mut self, dice: Draw, place: Place) -> Option<CommandRequest> {
        let (seed, players) = (self.seed, u64::from(self.players));
        let live = {
            let running = self.cluster.borrow().node(place.node);
            let owner = running.and_then(|running| running.owner(self.event));
            owner.map(|owner| owner.views.host.borrow().live.clone())
        };
        let player = |word: u64| super::player::id(seed, 1 + (word % players) as u16);
        let question = live.as_ref().and_then(|live| live.question.as_ref());
        let open_ms = question.map(|shown| shown.open_ms);
        let has_key = !question.is_some_and(|it| matches!(it.task, TaskView::Prediction(_)));
        let ruling = self.ruler.as_mut().zip(live).and_then(|(ruler, live)| {
            let ruling = ruler.ruling(dice, Page::of(&live), player);
            ruling.filter(|_| live.stage == place.stage)
        });
        if ruling.is_some() {
            return ruling;
        }
        let meddles = self.habits.hasty && dice.unit(2) < MEDDLES;
        let command = match place.stage.phase {
            PhaseView::Open if meddles => {
                Some(if dice.unit(3) < 0.5 { Command::Close } else { Command::Extend })
            }
            _ => command_at(place.stage, has_key),
        };
        let mut request = CommandRequest::new(command?, place.stage);
        if request.command == Command::Extend {
            (request.open_ms, request.ms) = (Some(open_ms?), Some(EXTENSION_MS));
        }
        Some(request)
    }

    /// One of the nodes that have reached this stage, and what it shows.
    fn look(&self, dice: Draw, seen: StageView) -> Option<Place> {
        let places: Vec<Place> =
            self.places().into_iter().filter(|place| place.stage >= seen).collect();
        let last = places.len().checked_sub(1)?;
        Some(places[dice.up_to(0, last as u64) as usize])
    }

    /// Whether one node may go down and a stage is still shown: a host whose last step was told provisional looks
    /// on until it is.
    fn is_shown_widely(&self, stage: StageView) -> bool {
        let shown = self.places().iter().filter(|place| place.stage >= stage).count();
        shown >= WIDELY.min(self.cluster.borrow().running().count())
    }

    fn places(&self) -> Vec<Place> {
        let cluster = self.cluster.borrow();
        let shown = cluster.running().filter_map(|(node, running)| {
            let owner = running.owner(self.event)?;
            Some(Place { node, stage: owner.views.host.borrow().live.stage })
        });
        shown.collect()
    }

    /// Goes on from what there is.
    fn fall_back(&self, seen: StageView, firm: bool) -> StageView {
        let newest = self.places().into_iter().map(|place| place.stage).max();
        let newest = newest.unwrap_or(seen);
        let (lost, left) = (in_words(seen), in_words(newest));
        let number = self.number;
        self.notebook.tell(format!("{lost} was lost, host {number} goes on from {left}"));
        let since = super::evidence::now().saturating_sub(LOST_AFTER);
        if firm {
            let what = format!("{seen:?} was told firm and is shown by nobody");
            self.notebook.write(|evidence| {
                if !evidence.may_hide(since) {
                    evidence.undone.push(what);
                }
            });
        }
        newest
    }

    /// Gives a command and returns the stage it led to, and whether that is promised.
    async fn command(&self, place: Place, asked: CommandRequest) -> Option<(StageView, bool)> {
        let running = self.cluster.borrow().node(place.node)?;
        let (command, request) = (asked.command, asked.clone());
        let pressed = (super::evidence::now(), place.node, asked.clone());
        self.notebook.write(|evidence| evidence.commands.push(pressed));
        let hosts = running.hosts();
        let reply = timeout(COMMAND_MAX, hosts.command(self.event, request)).await.ok()?.ok()?;
        let (from, to, firm) = (place.stage, reply.stage, reply.level == "firm");
        if is_ruling(command) && reply.outcome == "applied" {
            let ruled = Ruled { at: super::evidence::now(), request: asked, firm };
            self.notebook.write(|evidence| evidence.ruled.push(ruled));
        }
        self.notebook.tell(format!(
            "host {}: {} at node {} from {} to {}, {}",
            self.number,
            command.word(),
            place.node,
            in_words(from),
            in_words(to),
            reply.level
        ));
        // A ruling that makes no step promises nothing of the stage beside which it stands.
        is_step(command).then_some((to, firm))
    }
}

/// The name of hosts' dice.
pub(crate) const HOST: u64 = u64::from_be_bytes(*b"the host");

/// A stage as `starling status` says it.
pub(crate) fn in_words(stage: StageView) -> String {
    match stage.instance {
        instance if instance > 0 && !is_over(stage) => format!("{instance}:{}", stage.phase.word()),
        _ => stage.phase.word(),
    }
}

pub(crate) fn is_over(stage: StageView) -> bool {
    matches!(stage.phase, PhaseView::Ended | PhaseView::Aborted)
}

/// What a host does at a stage; while a round is open it waits for the deadline. What has no key has no
/// reveal.
pub(crate) fn command_at(stage: StageView, has_key: bool) -> Option<Command> {
    match stage.phase {
        PhaseView::Tallies if !has_key => Some(Command::Next),
        PhaseView::Draft => Some(Command::Lobby),
        PhaseView::Lobby | PhaseView::Board => Some(Command::Next),
        PhaseView::Intro => Some(Command::Open),
        PhaseView::Closed => Some(Command::Tallies),
        PhaseView::Tallies => Some(Command::Reveal),
        PhaseView::Reveal => Some(Command::Leaderboard),
        PhaseView::Open | PhaseView::Ended | PhaseView::Aborted => None,
    }
}
