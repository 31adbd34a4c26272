//! What hosts, screens and operators ask.

use super::bearers::refusal;
use super::health::judge;
use super::results::Frozen;
use super::{Hub, links, stopping};
use crate::engine::{EventCore, Input, Owner, Reply, stage_view};
use crate::identity::{Bearer, IdentityError};
use crate::service::explain::ExplainView;
use crate::service::view::{
    AppliedView, ArchivedView, Command, CommandReply, CommandRequest, EventSummary, FRIENDS_MAX,
    ForgetView, FriendsRequest, FriendsView, HostView, Imported, LiveView, LogLine, MarkedView,
    MemberView, PinView, Refusal, RevocationView, RevokeRequest, RoundView, StateView, StatusView,
};
use crate::service::{Hosts, Image};
use crate::show;
use async_trait::async_trait;
use bytes::Bytes;
use crdt_state::catalogue::{CARRIERS, CATALOGUE, Class, Fate, GiveUp, List, Listing};
use crdt_state::engagement::Script;
use crdt_state::engagement::raffle::{Entrants, LISTED_MAX};
use crdt_state::engagement::script::{Entry, Salt};
use crdt_state::{EventId, NodeId, Stage};
use futures_util::future::{BoxFuture, join_all};
use gossip::network::{Member, Standing};
use rand_chacha::rand_core::Rng;
use std::sync::{Arc, PoisonError};
use tokio::sync::{broadcast, watch};

/// What is said of an event that other nodes carry.
const ELSEWHERE: &str = "carried by other nodes only: neither stage nor players are known here";

/// The version that this node runs.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[async_trait]
impl Hosts for Hub {
    async fn import(&self, text: &str) -> Result<Imported, Refusal> {
        let script = show::parse(text).map_err(show::refused)?;
        self.create(script).await
    }

    async fn events(&self) -> Vec<EventSummary> {
        let mut all = Vec::new();
        for owner in self.owners.all() {
            all.extend(summary(&owner).await);
        }
        all.extend(self.elsewhere_carried());
        all
    }

    async fn pin(&self, pin: &str) -> Result<PinView, Refusal> {
        let event = self.find(pin)?;
        // Anybody may look: that is no reason to carry the event, and the catalogue has what the host called it first.
        let title = match self.owners.get(event) {
            Some(owner) => owner.read(|core, _, _| core.title()).await.flatten(),
            None => None,
        };
        let arriving = || {
            Refusal::new(
                "pin_unknown",
                format!("the show with the PIN {pin} is still arriving here"),
            )
            .hint("try again in a moment")
        };
        let title = title.or_else(|| self.listings.title(event)).ok_or_else(arriving)?;
        let (pin, entry) = (pin.to_owned(), self.listings.entry(event));
        Ok(PinView { event, pin, title, entry, nodes: self.nodes() })
    }

    async fn host_feed(&self, event: EventId) -> Result<watch::Receiver<Arc<HostView>>, Refusal> {
        let owner = self.owner(event).await?;
        owner.read(|core, publisher, now| drop(publisher.refresh(core, now))).await;
        Ok(owner.views.host.clone())
    }

    async fn raffle(&self, pin: &str, instance: u32) -> Result<Bytes, Refusal> {
        let event = self.find(pin)?;
        let owner = self.owner(event).await?;
        // One at a time: whoever asks for what was just made does not have it made again.
        let mut made = self.raffle.lock().await;
        let asked = owner.read(move |core, _, _| (core.revision(), core.entrants(instance))).await;
        let (revision, entrants) = asked.ok_or_else(stopping)?;
        let key = (event, instance, revision);
        if let Some((known, record)) = &*made
            && *known == key
        {
            return Ok(record.clone());
        }
        let record = record_of(instance, entrants)?;
        *made = Some((key, record.clone()));
        Ok(record)
    }

    async fn image(&self, event: EventId, name: &str) -> Result<Image, Refusal> {
        self.picture(event, name).await
    }

    async fn screen_feed(&self, pin: &str) -> Result<watch::Receiver<Arc<LiveView>>, Refusal> {
        let owner = self.owner(self.find(pin)?).await?;
        owner.read(|core, publisher, now| drop(publisher.refresh(core, now))).await;
        Ok(owner.views.screen.clone())
    }

    async fn applied_feed(
        &self,
        event: EventId,
    ) -> Result<broadcast::Receiver<Arc<AppliedView>>, Refusal> {
        self.owner(event).await?.follow().await.ok_or_else(stopping)
    }

    async fn friends(
        &self,
        event: EventId,
        by: Option<&str>,
        asked: FriendsRequest,
    ) -> Result<FriendsView, Refusal> {
        if let Some(token) = by {
            let claim = self.claim(token)?;
            if claim.event != event {
                let message = format!("this token is of event {}, not of {event}", claim.event);
                return Err(Refusal::new("token_unknown", message));
            }
            self.meter(claim.player)?;
        }
        let many = asked.names.len() + asked.players.len();
        if many > FRIENDS_MAX {
            let message = format!("{many} friends, at most {FRIENDS_MAX} are listed at once");
            return Err(Refusal::new("friends_many", message).hint("ask for some of them"));
        }
        let board =
            self.owner(event).await?.read(move |core, _, _| core.friends_board(&asked)).await;
        board.ok_or_else(stopping)
    }

    async fn command(
        &self,
        event: EventId,
        request: CommandRequest,
    ) -> Result<CommandReply, Refusal> {
        let owner = self.owner(event).await?;
        let invited = (request.command == Command::Invite).then(|| request.name.clone()).flatten();
        let request = Box::new(request);
        match owner.ask(move |ticket| Input::Command { ticket, request }).await {
            Some(Reply::Commanded(reply)) => Ok(match invited {
                Some(name) => self.with_token(event, &owner, reply, name).await,
                None => reply,
            }),
            Some(Reply::Refused(refusal)) => Err(refusal),
            Some(other) => unreachable!("a command is not answered with {other:?}"),
            None => Err(stopping()),
        }
    }

    async fn export(&self, event: EventId) -> Result<Bytes, Refusal> {
        self.read_frozen(event, None, |core, frozen| core.export(&frozen.pin)).await
    }

    async fn export_file(&self, event: EventId, name: &str) -> Result<Bytes, Refusal> {
        self.result_file(event, name).await
    }

    async fn archive(&self, event: EventId) -> Result<ArchivedView, Refusal> {
        let owner = self.owner(event).await?;
        let (stage, pin, title) = owner
            .read(|core, publisher, _| {
                let summary = core.summary(publisher.pin());
                (core.state().stage(), summary.pin, summary.title)
            })
            .await
            .ok_or_else(stopping)?;
        if !stage.is_over() {
            let refusal = Refusal::new("not_over", format!("the show is at {stage:?}"));
            return Err(refusal.hint("end it first, and export what you want to keep"));
        }
        let (class, entry) = (Class::Archived, Entry::default());
        self.listings.note(List { lamport: 0, event, pin, title, class, entry }).await;
        Ok(ArchivedView { event })
    }

    async fn forget(&self, node: NodeId) -> Result<ForgetView, Refusal> {
        // Here and not only in the events: who carries none of them is alive all the same.
        let mut peers = self.network.peers().into_iter();
        if node == self.facts.node || peers.any(|peer| peer.node == node) {
            let refusal = Refusal::new("node_alive", format!("the node {node} is here"));
            let hint = "only a node that is gone for good can be forgotten; stop it first";
            return Err(refusal.hint(hint));
        }
        if self.listings.watch().borrow().is_full_of_fates() {
            return Err(Refusal::new("limit_reached", "no more nodes can be given up"));
        }
        let mut view = self.forget_here(node).await?;
        // Whoever carries others says so there, now or when it is back.
        let notice = GiveUp { lamport: 0, node, fate: Fate::Gone };
        view.firm &= self.listings.note(notice).await;
        self.network.forget(node);
        Ok(view)
    }

    async fn explain(
        &self,
        event: EventId,
        player: String,
        round: u32,
    ) -> Result<ExplainView, Refusal> {
        let explain = move |core: &EventCore, _: &Frozen| core.explain(&player, round);
        let mut view = self.read_frozen(event, Some(round), explain).await??;
        if let Some(held) = &mut view.receipt {
            let player = view.player;
            let owner = self.owner(event).await?;
            let holding = owner.read(move |core, _, _| core.holding(player, round)).await;
            let holding = holding.ok_or_else(stopping)?;
            (held.level, held.held_by) = holding.unwrap_or_default();
        }
        Ok(view)
    }

    async fn proof(&self, event: EventId) -> Result<Bytes, Refusal> {
        let prove = |core: &EventCore, frozen: &Frozen| core.proof(frozen.now, &frozen.pin);
        let proof = self.read_frozen(event, None, prove).await??;
        Ok(Bytes::from(proof.encode()))
    }

    async fn status(&self) -> StatusView {
        let members = self.network.members().borrow().clone();
        let health = judge(&members, self.doubts(), self.network.displaced().is_some());
        StatusView {
            verdict: health.verdict.to_owned(),
            reasons: health.reasons,
            node: self.facts.node,
            origin: self.facts.origin,
            name: self.facts.name.clone(),
            version: VERSION.to_owned(),
            uptime_s: self.facts.started.elapsed().as_secs(),
            cluster: self.facts.cluster.clone(),
            standing: self.standing_word().to_owned(),
            members_alive: health.alive,
            members_known: health.known,
            sessions: (self.sessions)(),
            events: self.events().await,
            tree: self.supervisor.view(),
            broker: self.broker.get().map(|broker| broker.view()),
        }
    }

    async fn members(&self) -> Vec<MemberView> {
        let members = self.network.members().borrow().clone();
        members.iter().map(|member| self.member(member)).collect()
    }

    fn host_token(&self, event: EventId) -> String {
        self.tokens.host(event)
    }

    async fn bearer(&self, token: &str) -> Result<Arc<Bearer>, Refusal> {
        Ok(Arc::new(self.bearer_of(token).await?))
    }

    fn revoked(&self, bearer: Arc<Bearer>) -> BoxFuture<'static, ()> {
        self.until_revoked(bearer)
    }

    async fn revoke(&self, request: &RevokeRequest) -> Result<RevocationView, Refusal> {
        self.take_back(request).await
    }

    fn revocations(&self) -> Vec<RevocationView> {
        self.taken_back()
    }

    async fn state(&self, event: EventId) -> Result<StateView, Refusal> {
        self.read_frozen(event, None, |core, _| core.state_view()).await
    }

    async fn log(&self, event: EventId) -> Result<Vec<LogLine>, Refusal> {
        self.read_frozen(event, None, |core, _| core.log()).await
    }

    async fn players(&self, event: EventId, words: String) -> Result<Vec<MarkedView>, Refusal> {
        self.read_frozen(event, None, move |core, _| core.players_like(&words)).await
    }

    async fn rounds(&self, event: EventId, question: u32) -> Result<Vec<RoundView>, Refusal> {
        self.read_frozen(event, None, move |core, _| core.rounds_of(question)).await?
    }

    async fn react(&self, event: EventId, token: &str, kind: &str) -> Result<(), Refusal> {
        let claim = self.claim(token)?;
        if claim.event != event {
            let message = format!("this token is of event {}, not of {event}", claim.event);
            return Err(Refusal::new("token_unknown", message));
        }
        self.count_reaction(claim, kind.to_owned()).await
    }

    fn ready(&self) -> bool {
        let stands = self.network.standing() == Standing::Ready;
        let is_well = self.store.borrow().is_none();
        let is_itself = self.network.displaced().is_none();
        stands && is_well && is_itself && self.listings.is_ready() && !self.is_stray()
    }
}

impl Hub {
    /// How this node stands: that it may be sent players is said only while it may.
    fn standing_word(&self) -> &'static str {
        match self.network.standing() {
            Standing::Ready if !self.ready() => "not ready",
            standing => standing.word(),
        }
    }

    /// Gives a node up in the events that are carried here.
    async fn forget_here(&self, node: NodeId) -> Result<ForgetView, Refusal> {
        let ask = |owner: Owner| async move {
            owner.ask(move |ticket| Input::Forget { ticket, node }).await
        };
        let mut view = ForgetView { node, events: 0, origins: 0, firm: true };
        let mut refused = None;
        for reply in join_all(self.owners.all().into_iter().map(ask)).await {
            match reply {
                Some(Reply::Forgot { origins, firm }) => {
                    view.events += usize::from(origins > 0);
                    view.origins += origins;
                    view.firm &= firm;
                }
                Some(Reply::Refused(refusal)) if refusal.code == "node_alive" => {
                    return Err(refusal);
                }
                Some(Reply::Refused(refusal)) => refused = Some(refusal),
                Some(other) => unreachable!("a wish to forget is not answered with {other:?}"),
                // Its event ended in this moment.
                None => {}
            }
        }
        // An event that is carried elsewhere only may know it.
        let is_known = self.network.members().borrow().iter().any(|member| member.node == node);
        match refused {
            Some(refusal)
                if view.origins == 0 && !is_known && self.elsewhere_carried().is_empty() =>
            {
                Err(refusal)
            }
            _ => Ok(view),
        }
    }

    /// Adds the token of the co-host who has just been made, or had been before.
    async fn with_token(
        &self,
        event: EventId,
        owner: &Owner,
        reply: CommandReply,
        name: String,
    ) -> CommandReply {
        let member = owner.read(move |core, _, _| core.co_host_of(&name)).await.flatten();
        let token = member.map(|member| self.tokens.co_host(event, &member));
        CommandReply { token, ..reply }
    }

    async fn create(&self, script: Script) -> Result<Imported, Refusal> {
        let entry = script.entry;
        if entry == Entry::Closed && self.identities.is_none() {
            return Err(refusal(IdentityError::Unconfigured));
        }
        let script = self.salted(script);
        let title = script.title.clone();
        let (event, pin) = self.new_event();
        let owner = self.carry(event, pin.clone()).await?;
        let class = Class::Live;
        let listed = List { lamport: 0, event, pin: pin.clone(), title, class, entry };
        // Side by side: nobody carries what is not listed, so that the creation would wait in vain for others.
        let create = owner.ask(move |ticket| Input::Create { ticket, script });
        let (created, _) = tokio::join!(create, self.listings.note(listed.clone()));
        if !matches!(created, Some(Reply::Created { .. })) {
            self.listings.note(List { class: Class::Archived, ..listed }).await;
            return Err(created.map_or_else(stopping, unexpected));
        }
        Ok(Imported { event, pin, host_token: self.tokens.host(event) })
    }

    /// The events for which players may come and that this node does not carry: all that the catalogue knows.
    fn elsewhere_carried(&self) -> Vec<EventSummary> {
        let known = self.listings.watch();
        let known = known.borrow();
        let live = known.iter().filter(|(_, listing)| listing.class.0 == Class::Live);
        let others = live.filter(|(event, _)| self.owners.get(*event).is_none());
        let view = |(event, listing): (EventId, &Listing)| EventSummary {
            event,
            pin: listing.pin.value().unwrap_or_default().to_owned(),
            title: listing.title.value().unwrap_or_default().to_owned(),
            stage: stage_view(Stage::default()),
            players: 0,
            warnings: vec![ELSEWHERE.to_owned()],
        };
        others.map(view).collect()
    }

    /// The script with a salt for each question, which hides its key behind the published hash.
    fn salted(&self, mut script: Script) -> Script {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        for question in &mut script.questions {
            let mut salt = [0; 16];
            random.fill_bytes(&mut salt);
            question.salt = Salt(salt);
        }
        script
    }

    /// An id that no event has, and a PIN of six digits that no event is known to have.
    fn new_event(&self) -> (EventId, String) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let mut draw = || random.next_u64();
        let event = loop {
            let event = EventId(draw());
            let is_reserved = event == CATALOGUE || event == CARRIERS;
            if !is_reserved && self.listings.watch().borrow().get(event).is_none() {
                break event;
            }
        };
        let pin = self.listings.free_pin(draw);
        (event, pin)
    }

    fn member(&self, member: &Member) -> MemberView {
        let peers = self.network.peers();
        let peer = peers.iter().find(|peer| peer.node == member.node);
        let own = member.node == self.facts.node;
        MemberView {
            node: member.node,
            origin: member.origin,
            name: member.name.clone(),
            state: state(member).to_owned(),
            addr: member.addr.to_string(),
            linked: own || peer.is_some(),
            rtt_ms: peer.map(|peer| peer.rtt.as_secs_f64() * 1_000.0),
            packets_sent: peer.map_or(0, |peer| peer.packets_sent),
            packets_lost: peer.map_or(0, |peer| peer.packets_lost),
            version: member.kvs.get("version").cloned().unwrap_or_default(),
            links: if own { self.facts.links.clone() } else { links(member) },
        }
    }
}

async fn summary(owner: &Owner) -> Option<EventSummary> {
    owner.read(|core, publisher, _| core.summary(publisher.pin())).await
}

/// How a member is, in a word.
fn state(member: &Member) -> &'static str {
    match (member.left, member.live, member.standing) {
        (true, ..) => "left",
        (_, false, _) => "dead",
        (.., Standing::Draining) => "draining",
        (.., Standing::Starting) => "starting",
        _ => "alive",
    }
}

fn unexpected(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => unreachable!("a creation is not answered with {other:?}"),
    }
}

/// The record of a raffle, as JSON.
fn record_of(instance: u32, entrants: Option<Entrants>) -> Result<Bytes, Refusal> {
    let entrants = entrants.ok_or_else(|| {
        Refusal::new("raffle_unknown", format!("round {instance} is no raffle that was drawn"))
            .hint("a raffle can be checked from its reveal on")
    })?;
    if entrants.count() > LISTED_MAX {
        let message = format!("{} tickets are more than the {LISTED_MAX} listed", entrants.count());
        return Err(Refusal::new("raffle_large", message).hint(
            "the host makes it: `starling export --out DIR`, `starling replay DIR --raffle ROUND`",
        ));
    }
    let record = serde_json::to_vec(&entrants.record()).expect("a record encodes into memory");
    Ok(Bytes::from(record))
}
