//! What an owner shows: the live state for players, the views of hosts and screens, and results.
//!
//! A change of stage is shown at once; counts are coalesced, since they are absolute values and only the
//! newest matters. Players are not sent a new state because somebody joined more than once a second, and then
//! lane by lane. Results are looked at only when something that scores has changed: that costs a walk over
//! all players. Behind a broker a slot may come to this node while results are shown: who served it before may have let
//! it go too early to tell its players, so that they are told from here, twice rather than not at all.

use super::core::EventCore;
use super::inboxes::Inboxes;
use super::lanes::{Lanes, LiveEnds};
use super::slots::Slots;
use crate::service::view::{HostView, InboxMessage, LiveView, PhaseView, StageView};
use crate::service::{Frame, live_topic};
use crdt_state::engagement::Task;
use crdt_state::{EventId, Mono, Phase, PlayerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

/// Between two views of hosts and screens: 100 ms, which still looks live.
const VIEW_GAP: Duration = Duration::from_millis(100);
/// Between two live states that differ in counts only: 1 s, since each goes to every player.
const COUNT_GAP: Duration = Duration::from_secs(1);
/// Between two walks over all players' results at one stage: 1 s, since each walk is one over a crowd.
const RESULTS_GAP: Duration = Duration::from_secs(1);

/// For how long after a stage came the players of a slot that comes here are told its results: 30 s, well above what it
/// takes to notice that a node is dead and to take over its slots. What was shown before they ask for.
const OWED_FOR: Duration = Duration::from_secs(30);

/// How many players have an open inbox, on all nodes, by event.
pub type Present = BTreeMap<EventId, u64>;

/// The receiving ends, for those who watch an event.
#[derive(Debug, Clone)]
pub struct Views {
    /// The live state, as a frame.
    pub live: LiveEnds,
    /// What the host sees.
    pub host: watch::Receiver<Arc<HostView>>,
    /// What the screen sees.
    pub screen: watch::Receiver<Arc<LiveView>>,
    /// What is asked, for whoever judges answers on their way.
    pub asked: watch::Receiver<Option<Arc<Asked>>>,
}

/// The question of an open round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which run.
    pub instance: u32,
    /// The question's number.
    pub question: u16,
    /// What is to be done.
    pub task: Task,
}

/// The sending ends, and what was shown last.
#[derive(Debug)]
pub struct Publisher {
    pin: String,
    live: Lanes,
    host: watch::Sender<Arc<HostView>>,
    screen: watch::Sender<Arc<LiveView>>,
    asked: watch::Sender<Option<Arc<Asked>>>,
    present: watch::Receiver<Arc<Present>>,
    shown: Option<Shown>,
    results: Results,
    /// How many live states were encoded for players since that was last asked.
    encoded: AtomicU64,
}

/// What players were told that they have.
#[derive(Debug, Default)]
struct Results {
    /// Fingerprints, which differ where two results do but for one chance in 2^64.
    sent: BTreeMap<PlayerId, [u64; 2]>,
    /// As of which scores and stage, and since when.
    walked: Option<Walked>,
    /// Whether results wait for room on their way out.
    owing: bool,
}

#[derive(Debug)]
struct Walked {
    scored: u64,
    stage: StageView,
    /// When that stage came; `None` if it was there at the first look.
    since: Option<Mono>,
    at: Mono,
    /// Which slots were this node's when they were last looked at.
    served: Slots,
}

#[derive(Debug)]
struct Shown {
    revision: u64,
    stage: StageView,
    present: u64,
    views_at: Mono,
    sent: Sent,
}

/// What players were sent last.
#[derive(Debug)]
struct Sent {
    view: LiveView,
    at: Mono,
    /// Whether its counts are not those of the present state.
    behind: bool,
}

impl Publisher {
    /// Shows `core` for the first time.
    pub fn new(
        core: &EventCore,
        now: Mono,
        pin: String,
        present: watch::Receiver<Arc<Present>>,
    ) -> (Self, Views) {
        let (live, live_end) = Lanes::new();
        let view = core.screen_view(now, &pin);
        let (host, host_end) = watch::channel(Arc::new(core.host_view(view.clone())));
        let (screen, screen_end) = watch::channel(Arc::new(view));
        let (asked, asked_end) = watch::channel(None);
        let (shown, results, encoded) = (None, Results::default(), AtomicU64::new(0));
        let publisher =
            Publisher { pin, live, host, screen, asked, present, shown, results, encoded };
        let views = Views { live: live_end, host: host_end, screen: screen_end, asked: asked_end };
        (publisher, views)
    }

    /// The PIN under which the event is shown.
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Shows the event under another PIN.
    pub fn set_pin(&mut self, pin: String) {
        self.pin = pin;
        self.shown = None;
    }

    /// Shows what has changed, if it is time to.
    pub fn publish(&mut self, core: &EventCore, now: Mono, inboxes: &Inboxes) {
        self.results.let_go(inboxes.serves());
        if self.news_due(core, inboxes).is_some_and(|due| due <= now) {
            self.show(core, now);
            self.results.look(core, now, inboxes);
        }
        let Publisher { live, screen, pin, encoded, .. } = self;
        live.take_turn(now, || {
            // To derive it anew for each lane would be work of the owner, thirty times a second.
            let shown = core.aged(now, LiveView::clone(&screen.borrow()));
            Arc::new(frame((pin, encoded), &core.player_view(shown)))
        });
    }

    /// How many live states were encoded since this was last asked: one for all who watch, or for a lane of them, and one
    /// for each who begins to.
    pub fn take_encoded(&mut self) -> u64 {
        std::mem::take(self.encoded.get_mut())
    }

    /// When there will be something to show; `None` while all is shown.
    pub fn due(&self, core: &EventCore, inboxes: &Inboxes) -> Option<Mono> {
        [self.news_due(core, inboxes), self.live.due()].into_iter().flatten().min()
    }

    /// Whether anybody watches the event, beside the way to its owner: that has a receiver of each view.
    pub fn is_watched(&self) -> bool {
        let views = [self.host.receiver_count(), self.screen.receiver_count()];
        self.live.watching() > 0 || views.into_iter().any(|watching| watching > 1)
    }

    /// When there will be something that nobody has been shown.
    fn news_due(&self, core: &EventCore, inboxes: &Inboxes) -> Option<Mono> {
        let Some(shown) = &self.shown else { return Some(Mono::ZERO) };
        if shown.stage != super::stage_view(core.state().stage()) {
            return Some(Mono::ZERO);
        }
        let is_behind = shown.revision != core.revision() || shown.present != self.present(core);
        let views = is_behind.then(|| shown.views_at + VIEW_GAP);
        let counts = shown.sent.behind.then(|| shown.sent.at + COUNT_GAP);
        let results = self.results.due(core, inboxes.serves());
        let results = results.map(|due| due.max(shown.views_at + VIEW_GAP));
        [views, counts, results].into_iter().flatten().min()
    }

    /// The live state as it is now, for somebody who has just subscribed.
    pub fn live_frame(&self, core: &EventCore, now: Mono) -> Arc<Frame> {
        let view = core.player_view(core.screen_view(now, &self.pin));
        Arc::new(frame((&self.pin, &self.encoded), &view))
    }

    /// Shows hosts and screens the present state again, so that somebody who has just come gets an age
    /// that is right.
    pub fn refresh(&self, core: &EventCore, now: Mono) -> Arc<LiveView> {
        let view = Arc::new(core.screen_view(now, &self.pin));
        let host = core.host_view((*view).clone());
        self.host.send_replace(Arc::new(HostView { present: self.present(core), ..host }));
        self.screen.send_replace(Arc::clone(&view));
        view
    }

    fn show(&mut self, core: &EventCore, now: Mono) {
        // Before anybody is told that it is open.
        self.ask(core);
        let screen = self.refresh(core, now);
        let live = core.player_view((*screen).clone());
        let sent = self.shown.take().map(|shown| shown.sent);
        let sent = self.send_live(live, sent, now);
        let stage = screen.stage;
        let (revision, present) = (core.revision(), self.present(core));
        self.shown = Some(Shown { revision, stage, present, views_at: now, sent });
    }

    fn present(&self, core: &EventCore) -> u64 {
        self.present.borrow().get(&core.event()).copied().unwrap_or(0)
    }

    fn ask(&self, core: &EventCore) {
        let asked = core.asked();
        self.asked.send_if_modified(|shown| {
            let differs = shown.as_deref() != asked.as_ref();
            if differs {
                *shown = asked.map(Arc::new);
            }
            differs
        });
    }

    /// Sends players the live state if it says something new, counts not more often than they may.
    fn send_live(&mut self, live: LiveView, sent: Option<Sent>, now: Mono) -> Sent {
        match sent.filter(|sent| same_but_for_counts(&sent.view, &live)) {
            None => self.live.send(&Arc::new(frame((&self.pin, &self.encoded), &live))),
            Some(held) => {
                let counted = counts(&held.view) != counts(&live);
                if !counted || now < held.at + COUNT_GAP {
                    return Sent { behind: counted, ..held };
                }
                self.live.spread(now);
            }
        }
        Sent { view: live, at: now, behind: false }
    }
}

impl Results {
    /// When results are to be looked at again; `None` while nothing that scores has changed and no slot has come.
    fn due(&self, core: &EventCore, served: Slots) -> Option<Mono> {
        let come = !self.come(core, served).is_empty();
        [self.walk_due(core), come.then_some(Mono::ZERO)].into_iter().flatten().min()
    }

    /// When those of all players are.
    fn walk_due(&self, core: &EventCore) -> Option<Mono> {
        let Some(walked) = &self.walked else { return Some(Mono::ZERO) };
        let has_moved = || walked.stage != super::stage_view(core.state().stage());
        match walked.scored != core.scored_revision() {
            _ if self.owing => Some(Mono::ZERO),
            true if has_moved() => Some(Mono::ZERO),
            true => Some(walked.at + RESULTS_GAP),
            false => None,
        }
    }

    /// Slots that have gone count as new if they come back.
    fn let_go(&mut self, served: Slots) {
        if let Some(walked) = &mut self.walked {
            walked.served = walked.served.among(&served);
        }
    }

    /// The slots that have come since they were last looked at, while the show is where players hear what a question gave
    /// them. What comes earlier is part of the walk at the reveal.
    fn come(&self, core: &EventCore, served: Slots) -> Slots {
        let (state, stage) = (core.state(), core.state().stage());
        let tells = !stage.is_over() && state.has_revealed(stage.instance);
        match &self.walked {
            Some(walked) if tells => served.without(&walked.served),
            _ => Slots::NONE,
        }
    }

    /// Sends players here the result of the newest revealed question, and of the prediction that was resolved last, and
    /// again when they change: all of them if it is time to, and those whose slots have just come.
    fn look(&mut self, core: &EventCore, now: Mono, inboxes: &Inboxes) {
        let served = inboxes.serves();
        let is_walk = self.walk_due(core).is_some_and(|due| due <= now);
        let mut players = self.owed(core, now, served);
        if is_walk {
            let is_open = core.state().stage().phase == Phase::Open;
            players.extend(inboxes.players());
            // A crowd's results do not change while it answers the next question.
            if !is_open || self.owing {
                let ids = core.state().players.ids();
                players.extend(ids.filter(|player| served.has_player(*player)));
            }
            let (scored, stage) = (core.scored_revision(), super::stage_view(core.state().stage()));
            let since = match &self.walked {
                Some(walked) if walked.stage == stage => walked.since,
                walked => walked.as_ref().map(|_| now),
            };
            self.walked = Some(Walked { scored, stage, since, at: now, served });
            self.owing = false;
        }
        self.send(core, inboxes, players);
    }

    /// The players of the slots that have come, if the stage is young. What was said to them from here before may have
    /// been lost together with the slot.
    fn owed(&mut self, core: &EventCore, now: Mono, served: Slots) -> BTreeSet<PlayerId> {
        let come = self.come(core, served);
        let Some(walked) = self.walked.as_mut().filter(|_| !come.is_empty()) else {
            return BTreeSet::new();
        };
        walked.served = served;
        if walked.since.is_none_or(|since| now >= since + OWED_FOR) {
            return BTreeSet::new();
        }
        self.sent.retain(|player, _| !come.has_player(*player));
        core.state().players.ids().filter(|player| come.has_player(*player)).collect()
    }

    fn send(&mut self, core: &EventCore, inboxes: &Inboxes, players: BTreeSet<PlayerId>) {
        for player in players {
            // What was resolved before what is on: a page shows what comes last.
            let results = [core.resolved_for(player), core.result_of(player)];
            for (at, result) in results.iter().enumerate() {
                let Some(result) = result else { continue };
                let print = fingerprint(result);
                if self.sent.get(&player).is_some_and(|sent| sent[at] == print) {
                    continue;
                }
                if inboxes.deliver(player, result) {
                    self.sent.entry(player).or_default()[at] = print;
                } else if inboxes.serves().has_player(player) {
                    self.owing = true;
                    return;
                }
            }
        }
    }
}

/// Of what a result tells its player: that somebody else has come is no news, and how complete it is by now says the
/// live state to all at once.
fn fingerprint(result: &InboxMessage) -> u64 {
    let mut news = result.clone();
    if let InboxMessage::Result { players, status, missing, .. } = &mut news {
        (*players, *status, *missing) = (0, String::new(), Vec::new());
    }
    xxh3_64(&serde_json::to_vec(&news).expect("our own messages encode into memory"))
}

fn frame((pin, encoded): (&str, &AtomicU64), view: &LiveView) -> Frame {
    encoded.fetch_add(1, Relaxed);
    let payload = serde_json::to_vec(view).expect("our own views encode into memory");
    Frame::new(live_topic(pin), payload, true)
}

/// What grows all the time.
fn counts(view: &LiveView) -> impl PartialEq + use<'_> {
    let open = (view.stage.phase == PhaseView::Open).then_some((&view.tallies, &view.results));
    (view.players, view.answered, open)
}

/// Whether two states differ in nothing that a player waits for.
fn same_but_for_counts(a: &LiveView, b: &LiveView) -> bool {
    let plain = |view: &LiveView| LiveView {
        revision: 0,
        players: 0,
        age_ms: None,
        remaining_ms: None,
        starts_in_ms: view.starts_in_ms.map(|_| 0),
        answered: None,
        tallies: view.tallies.clone().filter(|_| view.stage.phase != PhaseView::Open),
        results: view.results.clone().filter(|_| view.stage.phase != PhaseView::Open),
        result: view.result.clone().map(|mut result| {
            result.missing.iter_mut().for_each(|node| node.since_ms = 0);
            result
        }),
        ..view.clone()
    };
    plain(a) == plain(b)
}
