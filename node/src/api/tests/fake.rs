//! A node with one event, whose every answer is known.

use crate::identity::{Bearer, Events, Role};
use crate::service::explain::ExplainView;
use crate::service::view::{
    AppliedView, ArchivedView, Autopilot, CoHostView, Command, CommandReply, CommandRequest,
    ControlsView, DeskView, EventSummary, ForgetView, FriendsRequest, FriendsView, HostQuestion,
    HostView, Imported, KeyChange, KeyView, LiveView, LogLine, MarkedView, MemberEventView,
    MemberView, NodeLinks, PhaseView, PinView, Problem, Refusal, RevocationView, RevokeRequest,
    RoundView, StageView, StandingView, StateView, StatusView,
};
use crate::service::{Hosts, Image, Ops};
use async_trait::async_trait;
use bytes::Bytes;
use crdt_state::engagement::script::Entry;
use crdt_state::{EventId, NodeId, Origin, PlayerId};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{broadcast, watch};

pub const EVENT: EventId = EventId(0xe1);
pub const PIN: &str = "482913";
pub const HOST_TOKEN: &str = "slh_host";
pub const CO_HOST_TOKEN: &str = "slc_bea";
pub const DISMISSED_TOKEN: &str = "slc_cyd";
pub const INVITATION: &str = "7 Bea";
pub const OPS_TOKEN: &str = "slo_ops";
/// What its hosts are shown of the script.
type Script = Arc<Vec<HostQuestion>>;

const LOBBY: StageView = StageView { instance: 0, phase: PhaseView::Lobby };

pub struct FakeNode {
    script: Mutex<Script>,
    host: watch::Sender<Arc<HostView>>,
    screen: watch::Sender<Arc<LiveView>>,
    applied: broadcast::Sender<Arc<AppliedView>>,
    member_events: broadcast::Sender<Arc<MemberEventView>>,
    draining: AtomicBool,
    stuck: bool,
    ops: String,
    entry: Entry,
    revoked: watch::Sender<bool>,
}

impl FakeNode {
    pub fn new() -> Self {
        let script = Mutex::new(script("sings"));
        let host = watch::Sender::new(Arc::new(host_view(1, &script.lock().unwrap())));
        let screen = watch::Sender::new(Arc::new(live_view(1)));
        let applied = broadcast::Sender::new(2);
        let (member_events, draining) = (broadcast::Sender::new(2), AtomicBool::new(false));
        let ops = OPS_TOKEN.into();
        let (stuck, entry, revoked) = (false, Entry::Open, watch::Sender::new(false));
        FakeNode {
            script,
            host,
            screen,
            applied,
            member_events,
            draining,
            stuck,
            ops,
            entry,
            revoked,
        }
    }

    /// One that never answers an import and is not ready.
    pub fn stuck() -> Self {
        FakeNode { stuck: true, ..FakeNode::new() }
    }

    /// One whose event is closed.
    pub fn closed() -> Self {
        FakeNode { entry: Entry::Closed, ..FakeNode::new() }
    }

    /// One whose operator's token is `ops`.
    pub fn trusting(ops: String) -> Self {
        FakeNode { ops, ..FakeNode::new() }
    }

    pub fn show(&self, revision: u64) {
        self.host.send_replace(Arc::new(host_view(revision, &self.script.lock().unwrap())));
    }

    /// Shows another script than before.
    pub fn show_another_script(&self, revision: u64) {
        *self.script.lock().unwrap() = script("dances");
        self.show(revision);
    }

    /// Shows a desk without co-hosts.
    pub fn dismiss_everybody(&self) {
        let view = HostView { desk: DeskView::default(), ..host_view(3, &script("sings")) };
        self.host.send_replace(Arc::new(view));
    }

    /// Tells that a member died.
    pub fn tell_of_a_death(&self) {
        let event = MemberEventView {
            event: "died".into(),
            node: NodeId(2),
            origin: Origin(3),
            name: "n2".into(),
            addr: "n2.example:7946".into(),
        };
        self.member_events.send(Arc::new(event)).expect("somebody follows");
    }

    /// Applies the answer of `player` to `instance`; two batches wait for a follower.
    pub fn apply(&self, instance: u32, player: u128) {
        let rows = vec![(instance, PlayerId(player))];
        self.applied.send(Arc::new(AppliedView { rows })).expect("somebody follows");
    }
}

#[async_trait]
impl Hosts for FakeNode {
    async fn import(&self, show: &str) -> Result<Imported, Refusal> {
        if self.stuck {
            std::future::pending::<()>().await;
        }
        if show == "a bad show" {
            let field = "questions[2].correct".to_owned();
            let problem = Problem { line: 7, column: 3, field, message: "no such option".into() };
            let refusal = Refusal::new("show_invalid", "the show file has a problem");
            return Err(Refusal { problems: vec![problem], ..refusal });
        }
        Ok(Imported { event: EVENT, pin: PIN.into(), host_token: HOST_TOKEN.into() })
    }

    async fn events(&self) -> Vec<EventSummary> {
        Vec::new()
    }

    async fn pin(&self, pin: &str) -> Result<PinView, Refusal> {
        known(pin)?;
        let nodes = vec![links("n1"), links("n2")];
        Ok(PinView {
            event: EVENT,
            pin: PIN.into(),
            title: "Birds".into(),
            entry: self.entry,
            nodes,
        })
    }

    async fn host_feed(&self, event: EventId) -> Result<watch::Receiver<Arc<HostView>>, Refusal> {
        if event != EVENT {
            return Err(Refusal::new("event_unknown", format!("no event {event}")));
        }
        Ok(self.host.subscribe())
    }

    async fn screen_feed(&self, pin: &str) -> Result<watch::Receiver<Arc<LiveView>>, Refusal> {
        known(pin).map(|()| self.screen.subscribe())
    }

    async fn applied_feed(
        &self,
        _: EventId,
    ) -> Result<broadcast::Receiver<Arc<AppliedView>>, Refusal> {
        Ok(self.applied.subscribe())
    }

    async fn command(&self, _: EventId, request: CommandRequest) -> Result<CommandReply, Refusal> {
        if request.expected != LOBBY {
            let refusal = Refusal::new("stage_moved", "the event is elsewhere");
            return Err(Refusal { stage: Some(LOBBY), ..refusal });
        }
        let stage = StageView { instance: 1, phase: PhaseView::Open };
        let outcome = format!("applied by {}", request.by);
        Ok(CommandReply { outcome, stage, level: "firm".into(), token: None })
    }

    async fn archive(&self, event: EventId) -> Result<ArchivedView, Refusal> {
        Ok(ArchivedView { event })
    }

    async fn forget(&self, node: NodeId) -> Result<ForgetView, Refusal> {
        Ok(ForgetView { node, events: 1, origins: 1, firm: true })
    }

    async fn explain(&self, _: EventId, player: String, _: u32) -> Result<ExplainView, Refusal> {
        Err(Refusal::new("player_unknown", player))
    }

    async fn proof(&self, event: EventId) -> Result<Bytes, Refusal> {
        self.export(event).await
    }

    async fn export(&self, _: EventId) -> Result<Bytes, Refusal> {
        Ok(Bytes::from_static(b"{}\n{}\n"))
    }

    async fn status(&self) -> StatusView {
        StatusView {
            verdict: "healthy".into(),
            reasons: Vec::new(),
            node: NodeId(1),
            origin: Origin(2),
            name: "n1".into(),
            version: "0.1.0".into(),
            uptime_s: 3,
            cluster: "00".into(),
            standing: "ready".into(),
            members_alive: 2,
            members_known: 3,
            sessions: 4,
            tree: crate::supervise::BranchView::default(),
            broker: None,
            events: Vec::new(),
        }
    }

    async fn members(&self) -> Vec<MemberView> {
        vec![member("n1", None), member("n2", Some(2.0))]
    }

    fn host_token(&self, _: EventId) -> String {
        HOST_TOKEN.into()
    }

    async fn bearer(&self, token: &str) -> Result<Arc<Bearer>, Refusal> {
        let (player, token_id, is_bea) = (None, None, token == CO_HOST_TOKEN);
        let name = is_bea.then(|| "Bea".to_owned());
        let co_host = is_bea.then(|| INVITATION.to_owned());
        let (role, events) = match token {
            _ if token == self.ops => (Role::Ops, Events::All),
            HOST_TOKEN | CO_HOST_TOKEN => (Role::Host, Events::These(vec![EVENT])),
            DISMISSED_TOKEN => return Err(Refusal::new("token_revoked", "dismissed")),
            _ => return Err(Refusal::new("token_unknown", "nobody made that")),
        };
        Ok(Arc::new(Bearer { role, player, name, events, token: token_id, co_host, key: None }))
    }

    fn revoked(&self, _: Arc<Bearer>) -> BoxFuture<'static, ()> {
        let mut revoked = self.revoked.subscribe();
        Box::pin(async move { drop(revoked.wait_for(|revoked| *revoked).await) })
    }

    async fn revoke(&self, _: &RevokeRequest) -> Result<RevocationView, Refusal> {
        self.revoked.send_replace(true);
        Ok(RevocationView { player: Some(PlayerId(1)), token: None })
    }

    fn revocations(&self) -> Vec<RevocationView> {
        Vec::new()
    }

    async fn state(&self, event: EventId) -> Result<StateView, Refusal> {
        Err(Refusal::new("event_unknown", format!("no event {event}")))
    }

    async fn raffle(&self, pin: &str, instance: u32) -> Result<Bytes, Refusal> {
        known(pin)?;
        match instance {
            1 => Ok(Bytes::from_static(br#"{"tickets":[]}"#)),
            _ => Err(Refusal::new("raffle_unknown", "no raffle")),
        }
    }

    async fn export_file(&self, _: EventId, name: &str) -> Result<Bytes, Refusal> {
        match name {
            "players.csv" => Ok(Bytes::from_static(b"rank,player\r\n")),
            _ => Err(Refusal::new("file_unknown", "no such file")),
        }
    }

    async fn image(&self, _: EventId, name: &str) -> Result<Image, Refusal> {
        match name {
            "cat" => Ok(Image { kind: "image/png", bytes: Bytes::from_static(b"a cat") }),
            "lost" => Err(Refusal::new("image_unavailable", "the picture cannot be had")),
            _ => Err(Refusal::new("image_unknown", "no such picture")),
        }
    }

    async fn friends(
        &self,
        _: EventId,
        by: Option<&str>,
        asked: FriendsRequest,
    ) -> Result<FriendsView, Refusal> {
        if by.is_some_and(|token| token != "slp_ada") {
            return Err(Refusal::new("token_unknown", "no player"));
        }
        Ok(FriendsView {
            lines: Vec::new(),
            unknown: asked.names,
            players: 1,
            revision: 0,
            coverage: None,
        })
    }

    async fn log(&self, _: EventId) -> Result<Vec<LogLine>, Refusal> {
        Ok(Vec::new())
    }

    async fn players(&self, _: EventId, words: String) -> Result<Vec<MarkedView>, Refusal> {
        let player = PlayerId(words.len() as u128);
        Ok(vec![MarkedView { player, name: words, ..MarkedView::default() }])
    }

    async fn rounds(&self, _: EventId, question: u32) -> Result<Vec<RoundView>, Refusal> {
        match question {
            1 => Ok(Vec::new()),
            _ => Err(Refusal::new("question_unknown", "no such question")),
        }
    }

    async fn react(&self, _: EventId, token: &str, kind: &str) -> Result<(), Refusal> {
        match (token, kind) {
            ("slp_kicked", _) => Err(Refusal::new("kicked", "out")),
            (_, "heart") => Ok(()),
            _ => Err(Refusal::new("kind_unknown", "no such kind")),
        }
    }

    fn ready(&self) -> bool {
        !self.stuck
    }
}

impl Ops for FakeNode {
    fn drain(&self, draining: bool) -> StandingView {
        self.draining.store(draining, Relaxed);
        self.standing()
    }

    fn standing(&self) -> StandingView {
        let standing = if self.draining.load(Relaxed) { "draining" } else { "ready" };
        StandingView { standing: standing.into(), sessions: 4 }
    }

    fn keys(&self) -> Vec<KeyView> {
        let fingerprint = "00".to_owned();
        vec![KeyView { fingerprint, in_use: true, held_by: 2, used_by: 2, of: 2 }]
    }

    fn change_keys(&self, change: &KeyChange) -> Result<Vec<KeyView>, Refusal> {
        match change {
            KeyChange::Remove { .. } => Err(Refusal::new("key_in_use", "it is in use")),
            _ => Ok(self.keys()),
        }
    }

    fn member_events(&self) -> broadcast::Receiver<Arc<MemberEventView>> {
        self.member_events.subscribe()
    }
}

fn known(pin: &str) -> Result<(), Refusal> {
    if pin == PIN { Ok(()) } else { Err(Refusal::new("pin_unknown", format!("no PIN {pin:?}"))) }
}

fn links(name: &str) -> NodeLinks {
    NodeLinks {
        name: name.into(),
        http: format!("http://{name}.example:8080"),
        ws: format!("ws://{name}.example:8080/mqtt"),
        mqtt: format!("{name}.example:1883"),
        mqtts: String::new(),
    }
}

fn member(name: &str, rtt_ms: Option<f64>) -> MemberView {
    MemberView {
        node: NodeId(1),
        origin: Origin(2),
        name: name.into(),
        state: "alive".into(),
        addr: format!("{name}.example:7946"),
        linked: true,
        rtt_ms,
        packets_sent: 100,
        packets_lost: 1,
        version: "0.1.0".into(),
        links: links(name),
    }
}

/// A script that asks who does it.
fn script(what: &str) -> Script {
    Arc::new(vec![HostQuestion {
        number: 1,
        text: format!("Who {what}?"),
        options: vec!["wren".into(), "starling".into()],
        correct: vec![1],
        kind: "quiz".into(),
        answer: "starling".into(),
    }])
}

fn live_view(revision: u64) -> LiveView {
    LiveView {
        event: EVENT,
        pin: PIN.into(),
        title: "Birds".into(),
        revision,
        players: 0,
        locked: false,
        stage: LOBBY,
        question: None,
        age_ms: None,
        starts_in_ms: None,
        remaining_ms: None,
        answered: None,
        tallies: None,
        results: None,
        reveal: None,
        board: None,
        teams: None,
        paused: false,
        voided: false,
        result: None,
        team_names: Vec::new(),
        controls: ControlsView::default(),
        crowd: None,
    }
}

fn host_view(revision: u64, script: &Script) -> HostView {
    HostView {
        live: live_view(revision),
        node: "n1".into(),
        next: vec![Command::Open],
        autopilot: Autopilot::Off,
        questions: Some(Arc::clone(script)),
        rounds: Some(Vec::new()),
        posts_waiting: Vec::new(),
        enrolled: Vec::new(),
        present: 0,
        desk: DeskView {
            co_hosts: vec![CoHostView { id: INVITATION.into(), name: "Bea".into() }],
            ..DeskView::default()
        },
    }
}
