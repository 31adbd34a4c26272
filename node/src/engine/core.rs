//! One event on one node, as a state machine without IO.
//!
//! The core takes players' joins and answers, hosts' commands, and what peers say; it applies its own writes,
//! hands them to replication as entries of its own two lanes, and answers when a receipt has its level.
//! Folding: answers taken in one turn of the owner leave as one entry.
//!
//! Invariant: before replication looks at the state, everything taken has been committed
//! ([`EventCore::commit_bulk`]), so that content is exactly what the heads say.
//!
//! Deliberately absent: sockets, tokens, encodings, a wall clock, randomness.

use super::batch::Batch;
use super::carried::Carried;
use super::director::Director;
use super::explain::TurnedAway;
use super::forget::Lateness;
use super::gone::Gone;
use super::hosted::HostScript;
use super::inputs::Paces;
use super::io::{Identity, Input, Output, Reply, Rules};
use super::names::LookedAt;
use super::owed::Held;
use super::ranked::Ranked;
use super::reactions::Reactions;
use super::retire::Leaving;
use super::team::TeamSizes;
use super::vouch::Standing;
use crate::service::view::{HOST, InboxMessage, Refusal};
use crate::store::Kept;
use bytes::Bytes;
use crdt_state::delta::{Create, Delta, Enrol, encode_all};
use crdt_state::engagement::Script;
use crdt_state::engagement::script::Salt;
use crdt_state::{EventId, EventState, Heads, Lane, LaneId, Mono, NodeId, Origin, PlayerId, Stage};
use gossip::replication::{self, Config, EnrolmentState, Replica, Replicated};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long a node that came back, or is new, waits for what its peers have said: 5 s, arbitrary, far above
/// what it takes to find them. Without any it goes on alone.
const BEHIND_PATIENCE: Duration = Duration::from_secs(5);

/// One event.
#[derive(Debug)]
pub struct EventCore {
    pub(super) identity: Identity,
    pub(super) rules: Rules,
    pub(super) carried: Carried,
    pub(super) replica: Replica,
    pub(super) director: Director,
    pub(super) batch: Batch,
    pub(super) held: Held,
    pub(super) turned_away: TurnedAway,
    pub(super) late: Lateness,
    pub(super) standing: Standing,
    /// The nodes of the peers that are connected.
    pub(super) connected: BTreeMap<Origin, NodeId>,
    /// Since when peers that were connected once are not.
    pub(super) gone: Gone,
    /// Former incarnations of this node, from its store or, where that was lost, from its peers.
    pub(super) formers: BTreeSet<Origin>,
    /// Whether its store knew one when it started that had not left in order.
    pub(super) returned: bool,
    /// Whether it comes after another life of its node, also one that it has heard of from others only: without a disk it
    /// has forgotten everything.
    pub(super) has_forgotten: bool,
    /// Once this life leaves the event.
    pub(super) leaving: Option<Leaving>,
    /// Whether all its former lives had left in order, and not enough of the others know of this one yet.
    pub(super) is_unknown: bool,
    /// Since when it may lack what others have said before it could hear it, if it may.
    behind_since: Option<Mono>,
    /// Whether it has once had all that some other node has, since it came or came back.
    pub(super) has_caught_up: bool,
    pub(super) outputs: VecDeque<Output>,
    /// See [`EventCore::keep_promises`].
    pub(super) keeps_promises: bool,
    /// The bulk head of this origin when it was read back from the store within its life.
    pub(super) revived_at: Option<u64>,
    /// The number of the own enrolment entry, once written.
    pub(super) enrolled_at: Option<u64>,
    /// The origins that this life's seals have named. To name one again, as after a revival, is harmless.
    pub(super) named: BTreeSet<Origin>,
    revision: u64,
    /// What was counted of players' reactions here.
    pub(super) reactions: Reactions,
    /// What players were told of what hosts said of them.
    pub(super) told_marks: BTreeMap<PlayerId, InboxMessage>,
    /// How many have chosen each team.
    pub(super) team_sizes: TeamSizes,
    /// How fast players tap.
    pub(super) paces: Paces,
    /// The leaderboard, as it was when it was last asked for.
    pub(super) ranked: RefCell<Ranked>,
    /// The script as hosts see it.
    pub(super) host_script: RefCell<HostScript>,
    /// Whether an instance had answers without rows at a revision.
    pub(super) orphans: Cell<Option<((u32, u64), bool)>>,
    /// The names of pictures, by question.
    pub(super) image_names: RefCell<BTreeMap<(u16, Salt), String>>,
    /// Words that were shown, and whether they may be.
    pub(super) looked_at: RefCell<LookedAt>,
    /// The status of an instance at a revision.
    pub(super) statuses: Cell<Option<((u32, u64), &'static str)>>,
}

impl EventCore {
    /// An event of which this node knows nothing yet.
    #[must_use]
    pub fn new(identity: Identity, rules: Rules, config: Config) -> Self {
        let replica = Replica::new(identity.origin, config);
        Self::over(identity, rules, Carried::default(), replica)
    }

    /// An event read back from the store: the state after applying all of it, and the entries that are
    /// still kept one by one.
    #[must_use]
    pub fn resume(
        identity: Identity,
        rules: Rules,
        config: Config,
        carried: Carried,
        logs: Vec<(LaneId, u64, Vec<Bytes>)>,
    ) -> Self {
        let heads = carried.heads().clone();
        let replica = Replica::resume(identity.origin, config, heads, logs);
        Self::over(identity, rules, carried, replica)
    }

    /// An event in place of one that was lost within this life of the node, read back from the store: see
    /// [`Replica::revive`]. What was taken and not handed to the store was promised to nobody; whoever
    /// waited for a receipt asks again.
    #[must_use]
    pub fn revive(
        identity: Identity,
        rules: Rules,
        config: Config,
        carried: Carried,
        logs: Vec<(LaneId, u64, Vec<Bytes>)>,
    ) -> Self {
        let (heads, me) = (carried.heads().clone(), identity.origin);
        let replica = Replica::revive(me, config, heads.clone(), logs);
        let mut core = Self::over(identity, rules, carried, replica);
        // Not before the enrolment, which may be in a snapshot and without a number of its own.
        let enrolled = core.carried.state.is_enrolled(me);
        core.enrolled_at = enrolled.then(|| heads.get(&LaneId::control(me)));
        core.forget_nothing_from_here();
        core.revived_at = Some(heads.get(&LaneId::bulk(me)));
        core.leaving = core.carried.state.is_retired(me).then(Leaving::default);
        core.tell_enrolled();
        core
    }

    /// Takes nothing more from lanes of which the store remembers that they have two histories.
    #[must_use]
    pub fn quarantining(mut self, lanes: impl IntoIterator<Item = LaneId>) -> Self {
        self.replica.keep_quarantined(lanes);
        self
    }

    /// An event over its parts, as a node that has just come to it.
    pub(super) fn over(
        identity: Identity,
        rules: Rules,
        mut carried: Carried,
        replica: Replica,
    ) -> Self {
        carried.read_up_to(rules.versions.newest);
        let formers = formers_of(&identity, &carried.state);
        let is_shared = carried.state.enrolled().any(|(_, node, _)| node != identity.node);
        let is_behind = is_shared && !formers.is_empty();
        let returned = formers.iter().any(|former| !carried.state.is_retired(*former));
        EventCore {
            returned,
            has_forgotten: returned,
            leaving: None,
            is_unknown: !formers.is_empty() && !returned,
            behind_since: is_behind.then_some(Mono::ZERO),
            has_caught_up: !is_behind && carried.state.script().is_some(),
            director: Director::new(carried.state.stage()),
            identity,
            rules,
            carried,
            replica,
            batch: Batch::default(),
            held: Held::default(),
            turned_away: TurnedAway::default(),
            late: Lateness::default(),
            standing: Standing::default(),
            connected: BTreeMap::new(),
            gone: Gone::default(),
            formers,
            outputs: VecDeque::new(),
            keeps_promises: true,
            revived_at: None,
            enrolled_at: None,
            named: BTreeSet::new(),
            revision: 0,
            reactions: Reactions::default(),
            told_marks: BTreeMap::new(),
            team_sizes: TeamSizes::default(),
            paces: Paces::default(),
            ranked: RefCell::default(),
            host_script: RefCell::default(),
            orphans: Cell::default(),
            image_names: RefCell::default(),
            looked_at: RefCell::default(),
            statuses: Cell::default(),
        }
    }

    /// Takes in one fact. What follows from it waits in [`EventCore::poll_output`] after
    /// [`EventCore::settle`].
    pub fn handle_input(&mut self, now: Mono, input: Input) {
        if self.leaving.is_some() {
            return self.handle_leaving(now, input);
        }
        match input {
            Input::Create { ticket, script } => self.create(now, ticket, script),
            Input::Join { ticket, player, name, abuse } => {
                self.join(now, ticket, player, (&name, abuse));
            }
            Input::Resume { ticket, claim } => self.resume_player(now, ticket, claim),
            Input::Answer { ticket, claim, instance, given } => {
                self.answer(now, ticket, &claim, instance, &given);
            }
            Input::AnswerAll { ticket, bulk } => self.answer_all(now, ticket, &bulk),
            Input::React { ticket, claim, kind } => self.react(now, ticket, &claim, &kind),
            Input::Command { ticket, request } => self.command(now, ticket, &request),
            Input::Forget { ticket, node } => self.forget(now, ticket, node),
            Input::Retire { ticket, copies, going } => self.retire(now, ticket, copies, going),
            Input::Project { player } => self.project(player),
            Input::Replication(input) => self.replicate(now, input),
            // Whatever is due is done when the turn ends.
            Input::Timeout => {}
        }
    }

    /// Ends a turn: commits what was taken, lets the director act, and collects what replication wants.
    pub fn settle(&mut self, now: Mono) {
        if self.leaving.is_some() {
            return self.settle_leaving(now);
        }
        if self.behind_since.is_some() && self.has_control_of_peers() {
            self.behind_since = None;
        }
        self.note_caught_up();
        self.enrol(now);
        self.is_unknown &= !self.is_enrolled_and_known();
        self.vouch_when_due(now);
        self.say_that_we_are_back(now);
        self.direct(now);
        self.write_reactions_when_due(now);
        self.tell_marked();
        self.commit_bulk(now);
        self.replicate(now, replication::Input::Timeout);
        // Replication gives up on what it has waited for, such as to be told when a round opened: it may be due by that.
        if self.director_due().is_some_and(|due| due <= now) {
            self.direct(now);
            self.replicate(now, replication::Input::Timeout);
        }
        self.settle_fenced();
        self.tell_repeated();
        if self.carried.take_changed() {
            self.announce_late();
            self.revision += 1;
        }
    }

    /// The next thing to be done outside, in order; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// All that is to be done outside by now, in order: swapped with what is handed in, which is empty.
    pub fn swap_outputs(&mut self, with: &mut VecDeque<Output>) {
        debug_assert!(with.is_empty(), "whatever was taken before has been carried out");
        std::mem::swap(&mut self.outputs, with);
    }

    /// When [`Input::Timeout`] is wanted, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Mono> {
        if self.leaving.is_some() {
            return self.replica.poll_timeout();
        }
        let all = [self.replica.poll_timeout(), self.director_due(), self.reactions.due()];
        all.into_iter().flatten().min()
    }

    /// Which event it is.
    #[must_use]
    pub fn event(&self) -> EventId {
        self.identity.event
    }

    /// The replicated state.
    #[must_use]
    pub fn state(&self) -> &EventState {
        &self.carried.state
    }

    /// What has been applied.
    #[must_use]
    pub fn heads(&self) -> &Heads {
        self.carried.heads()
    }

    /// What replicates the state, for whoever watches it.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// A number that grows whenever anything changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The canonical digest of the state.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.carried.state.digest()
    }

    /// Asserts what must hold between inputs.
    ///
    /// # Panics
    /// When the content is not what the heads say.
    pub fn check_invariants(&self) {
        assert!(self.batch.is_empty(), "everything taken has been committed");
        self.replica.check_invariants(&self.carried);
    }

    /// Whether this node may show a stage that others have left: its store lacks the last moments before it
    /// was killed, or it is new and has heard of the opening before the close. It opens no round and
    /// takes no answer until it has all that its peers' control lanes hold, or has waited for them in
    /// vain. One that had left in order waits for as long as it takes until a majority knows that it is back:
    /// the others' results do not wait for it before.
    pub(super) fn is_behind(&self, now: Mono) -> bool {
        self.is_unknown || self.behind_since.is_some_and(|since| now < since + BEHIND_PATIENCE)
    }

    /// Notices that it has all that some other node has. What it had before it went down every node may have
    /// counted on, and its disk may be older than that.
    fn note_caught_up(&mut self) {
        if !self.has_caught_up && self.has_all_of_another() {
            self.has_caught_up = true;
            self.revision += 1;
            self.tell_enrolled();
        }
    }

    fn is_enrolled_and_known(&mut self) -> bool {
        self.enrolled_at.is_some() && self.replica.may_be_firm()
    }

    /// Whether a node that has just begun to carry the event knows what it is, and all that its peers' control
    /// lanes hold.
    #[must_use]
    pub fn has_arrived(&self, now: Mono) -> bool {
        self.state().script().is_some() && !self.is_behind(now)
    }

    /// Whether every connected peer has told its heads and its control entries have arrived.
    pub(super) fn has_control_of_peers(&self) -> bool {
        let has = |peer: &Origin| {
            self.replica.peer_heads(*peer).is_some_and(|theirs| {
                let control = theirs.dots.iter().filter(|(id, _)| id.lane == Lane::Control);
                let (mine, told) = (self.carried.heads(), theirs.get(&LaneId::control(*peer)) > 0);
                told && control.into_iter().all(|(id, head)| *head <= mine.get(id))
            })
        };
        !self.connected.is_empty() && self.connected.keys().all(has)
    }

    pub(super) fn stage(&self) -> Stage {
        self.carried.state.stage()
    }

    /// Takes in own changes and commits them in the control lane, as one entry unless it is too long; the number of
    /// the last.
    pub(super) fn write_control(&mut self, now: Mono, deltas: Vec<Delta>) -> u64 {
        self.commit_bulk(now);
        let entries = encode_all(&deltas);
        for delta in deltas {
            self.carried.take(now, self.identity.origin, delta);
        }
        let commit = |entry| self.commit(now, Lane::Control, Bytes::from(entry));
        entries.into_iter().map(commit).last().expect("there is something to say")
    }

    pub(super) fn commit(&mut self, now: Mono, lane: Lane, entry: Bytes) -> u64 {
        let origin = self.identity.origin;
        self.carried.committed(origin, lane);
        let seq = self.replica.commit(now, lane, entry.clone());
        let id = LaneId { origin, lane };
        self.outputs.push_back(Output::Persist { id, seq, entry });
        seq
    }

    /// Feeds replication and carries out what it wants.
    pub(super) fn replicate(&mut self, now: Mono, input: replication::Input) {
        self.commit_bulk(now);
        match &input {
            replication::Input::PeerUp { peer, node, .. } => {
                if self.connected.insert(*peer, *node).is_none() {
                    self.director.peers_since = now;
                }
                self.gone.note_back(*peer);
            }
            replication::Input::PeerDown { peer } => {
                if !crdt_state::planted!(PeerNeverGone) && self.connected.remove(peer).is_some() {
                    self.director.peers_since = now;
                }
                let state = &self.carried.state;
                self.gone.note(now, *peer, |peer| state.is_retired(peer));
            }
            _ => {}
        }
        let known = self.carried.parties_revision();
        match input {
            last @ replication::Input::Timeout => {
                self.replica.handle_input(now, last, &mut self.carried);
            }
            input => self.replica.take_in(now, input, &mut self.carried),
        }
        if self.carried.parties_revision() != known {
            self.tell_enrolled();
        }
        self.note_who_knows();
        self.on_touched(now);
        while let Some(output) = self.replica.poll_output() {
            match Output::of(output, now, &self.carried) {
                Ok(output) => self.outputs.push_back(output),
                Err((ticket, firm)) => self.on_receipt(ticket, firm),
            }
        }
    }

    /// Looks at the answers that others brought, and passes on whose they were.
    fn on_touched(&mut self, now: Mono) {
        self.check_superseded(now);
        let rows = self.carried.take_followed();
        if !rows.is_empty() {
            self.outputs.push_back(Output::Applied { rows });
        }
    }

    /// Says whether this node's disk can hold what it promises. While it cannot, no round is sealed, no
    /// lane fenced off and nobody vouched for: such words are told only once they are on disk.
    pub fn keep_promises(&mut self, keep: bool) {
        self.keeps_promises = keep;
    }

    /// This life of the node.
    pub(crate) fn origin(&self) -> Origin {
        self.identity.origin
    }

    /// Starts or stops to tell [`Output::Applied`].
    pub fn follow(&mut self, follow: bool) {
        self.carried.follow(follow);
    }

    /// Whether somebody is told it.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.carried.is_followed()
    }

    /// What the store would keep of all that is here.
    #[must_use]
    pub fn kept(&self, now: Mono) -> Kept {
        let cut = Some((self.heads().clone(), self.carried.cut(now).whole()));
        let quarantined = self.replica.quarantined().collect();
        Kept { cut, logs: BTreeMap::new(), quarantined }
    }

    fn create(&mut self, now: Mono, ticket: u64, script: Script) {
        self.has_caught_up = true;
        let note = self.note(now, HOST, "create", script.title.clone(), self.stage());
        let create = Create { lamport: self.carried.state.next_lamport(), script };
        let mut entries = create.into_entries();
        let last = entries.pop().expect("a creation has at least one entry");
        for part in entries {
            self.write_control(now, vec![part]);
        }
        // Its word counts from the beginning: nobody can have fenced anything before.
        let seq = self.write_enrolment(now, vec![last, Delta::Vouch, note]);
        self.held.created(ticket);
        self.await_receipt(now, ticket, Lane::Control, seq);
    }

    /// Enrols this origin as soon as the event is known here.
    fn enrol(&mut self, now: Mono) {
        let known = self.carried.state.script().is_some();
        if known && self.enrolled_at.is_none() {
            let is_new = self.formers.is_empty();
            self.write_enrolment(now, Vec::new());
            self.behind_since = self.behind_since.or(is_new.then_some(now));
        }
    }

    fn write_enrolment(&mut self, now: Mono, mut deltas: Vec<Delta>) -> u64 {
        let (node, name) = (self.identity.node, self.identity.name.clone());
        let reads = self.rules.versions.newest;
        deltas.push(Delta::Enrol(Enrol { node, name, reads }));
        let seq = self.write_control(now, deltas);
        self.enrolled_at = Some(seq);
        self.tell_enrolled();
        seq
    }

    /// Tells replication whose word counts. The creator and a node in place of its own former origin
    /// are known already; anybody else must first be known to a majority, and know whose.
    pub(super) fn tell_enrolled(&mut self) {
        let mut nodes: BTreeMap<NodeId, BTreeSet<Origin>> = BTreeMap::new();
        for (origin, node, _) in self.carried.state.enrolled() {
            nodes.entry(node).or_default().insert(origin);
        }
        let is_awaited = |origin: &Origin| self.carried.state.is_awaited(*origin);
        nodes.retain(|_, origins| origins.iter().any(is_awaited));
        self.formers = formers_of(&self.identity, &self.carried.state);
        let has_former = self.unsealed_formers().next().is_some();
        self.has_forgotten |= has_former;
        let state = match self.enrolled_at {
            None => EnrolmentState::Missing,
            Some(seq) if self.is_exempt() => EnrolmentState::Exempt { seq },
            // Of those whom it knows a majority may be this node alone: its own lane came first.
            Some(_) if !self.has_caught_up => EnrolmentState::Missing,
            Some(seq) => EnrolmentState::Needs { seq },
        };
        let elders = self.elders(&nodes);
        self.replica.set_enrolled(nodes, state);
        self.replica.set_vouching(self.carried.state.vouching().clone(), elders);
    }

    /// Whether this node is known to the others without their saying so.
    pub(super) fn is_exempt(&self) -> bool {
        self.returned || self.carried.state.creator() == Some(self.identity.origin)
    }

    pub(super) fn await_receipt(&mut self, now: Mono, ticket: u64, lane: Lane, seq: u64) {
        if !self.replica.await_receipt(now, ticket, lane, seq, self.rules.ack) {
            self.on_no_room(ticket);
        }
    }

    pub(super) fn reply(&mut self, ticket: u64, reply: Reply) {
        self.outputs.push_back(Output::Reply { ticket, reply });
    }

    /// Tells a player something that no reply says as well.
    pub(super) fn tell_inbox(&mut self, player: PlayerId, message: InboxMessage) {
        self.outputs.push_back(Output::Inbox { player, message, ticket: None });
    }

    pub(super) fn refuse(&mut self, ticket: u64, refusal: Refusal) {
        self.reply(ticket, Reply::Refused(refusal));
    }
}

/// The enrolled origins that are earlier incarnations of a node.
fn formers_of(identity: &Identity, state: &EventState) -> BTreeSet<Origin> {
    let former = |origin: Origin, node: NodeId| node == identity.node && origin != identity.origin;
    state.enrolled().filter(|(o, n, _)| former(*o, *n)).map(|(origin, ..)| origin).collect()
}
