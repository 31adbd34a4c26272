//! What players ask: joining, answering, watching.

use super::bearers::{identity_needed, other_event, player, refusal};
use super::payload::{Answer, Connect, read};
use super::{Hub, stopping};
use crate::engine::{Claim, Input, Owner, Reply, level, look_at_name};
use crate::identity::{Bearer, IdentityError};
use crate::service::view::{CommandReply, CommandRequest, InboxMessage, ReceiptView, Refusal};
use crate::service::{
    ConnectionId, Feed, Players, Publishing, Reason, Verdict, inbox_topic, live_topic,
};
use crate::token::PlayerClaim;
use async_trait::async_trait;
use bytes::Bytes;
use crdt_state::catalogue::Suspect;
use crdt_state::engagement::Given;
use crdt_state::engagement::script::Entry;
use crdt_state::{EventId, PlayerId, Row};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// The outcome of one publish: who it was, if that much was clear, and what is said.
type Outcome = (Option<PlayerId>, Result<Said, Refusal>);

/// The yes to a publish.
enum Said {
    /// What the player is told in the inbox as well.
    Message(InboxMessage),
    /// The same, and who the publish has proven to come from.
    Proven(InboxMessage, Arc<Bearer>),
    /// What became of a host's command.
    Commanded(CommandReply),
    /// Nothing, to somebody who has gone.
    Nothing,
}

impl Said {
    /// The show that a player was told something of.
    fn event(&self) -> Option<EventId> {
        match self {
            Said::Message(message) | Said::Proven(message, _) => match message {
                InboxMessage::Joined { event, .. } | InboxMessage::Receipt { event, .. } => {
                    Some(*event)
                }
                _ => None,
            },
            Said::Commanded(_) | Said::Nothing => None,
        }
    }
}

/// The edge of those who come by a broker, among the edges that refusals are counted by.
const BROKER: &str = "broker";

/// Somebody who asks to play.
struct Newcomer {
    pin: String,
    player: PlayerId,
    name: String,
    /// What vouches for them.
    by: Option<Arc<Bearer>>,
}

#[async_trait]
impl Players for Hub {
    async fn authenticate(&self, password: &[u8]) -> Result<Option<Arc<Bearer>>, IdentityError> {
        self.bearer_by_password(password).await
    }

    fn is_revoked(&self, by: &Bearer) -> bool {
        self.is_taken_back(by)
    }

    async fn publish(&self, from: Publishing<'_>, topic: &str, payload: Bytes) -> Verdict {
        if let ("react", slot) = parts(topic) {
            return match self.react_by_topic("mqtt", slot, &payload).await {
                Ok(()) => counted(),
                // An inbox has room for more important things.
                Err(refusal) => verdict_of(refusal).told(),
            };
        }
        match self.publish_from("mqtt", from, topic, &payload).await {
            (_, Ok(said)) => accepted(said),
            (Some(_), Err(refusal)) => verdict_of(refusal).told(),
            (None, Err(refusal)) => verdict_of(refusal),
        }
    }

    fn tell_refused(&self, inbox: Option<&str>, topic: &str, payload: &[u8], refusal: &Refusal) {
        let reader = || inbox?.strip_prefix("inbox/")?.parse().ok();
        if parts(topic).0 != "react"
            && let Some(player) = self.sender(topic, payload).or_else(reader)
        {
            self.inboxes.deliver(player, &refused(topic, refusal));
        }
    }

    /// A client whose id is that of a player has the player's inbox and the live states of the
    /// player's shows.
    async fn session(&self, client_id: &str) -> Vec<String> {
        let Ok(player) = client_id.parse::<PlayerId>() else { return Vec::new() };
        let mut topics = Vec::new();
        for owner in self.owners.all() {
            let pin = owner.read(move |core, publisher, _| {
                core.state().players.row_of(player)?;
                Some(publisher.pin().to_owned())
            });
            topics.extend(pin.await.flatten().map(|pin| live_topic(&pin)));
        }
        if !topics.is_empty() {
            topics.push(inbox_topic(player));
        }
        topics
    }

    async fn subscribe(
        &self,
        by: Option<&Bearer>,
        filter: &str,
        own: Option<ConnectionId>,
    ) -> Result<Feed, Refusal> {
        let feed = match filter.split_once('/') {
            Some(("live", pin)) => self.watch(by, pin).await,
            Some(("inbox", player)) => self.open_inbox(by, player, own).await,
            _ => Err(topic_unknown(filter)),
        };
        feed.inspect_err(|refusal| self.count_refusal("mqtt", refusal))
    }
}

impl Hub {
    /// Takes what a player published at a broker; the answer is what the player is told, which the
    /// player's inbox has too if it is clear whose it is. A reaction that counts is answered with nothing.
    /// Nobody has proven anything on the broker's connection: each payload proves its sender.
    pub async fn take(&self, topic: &str, payload: &Bytes) -> Option<InboxMessage> {
        if let ("react", slot) = parts(topic) {
            let refusal = self.react_by_topic(BROKER, slot, payload).await.err()?;
            return Some(refused(topic, &refusal));
        }
        let (_, said) = self.publish_from(BROKER, Publishing::default(), topic, payload).await;
        Some(match said {
            Ok(Said::Message(message) | Said::Proven(message, _)) => message,
            Ok(Said::Nothing) => return None,
            Ok(Said::Commanded(_)) => unreachable!("a command is nobody's without a bearer"),
            Err(refusal) => refused(topic, &refusal),
        })
    }

    /// If it is clear who published it, a refusal has been told their inbox.
    async fn publish_from(
        &self,
        edge: &'static str,
        from: Publishing<'_>,
        topic: &str,
        payload: &Bytes,
    ) -> Outcome {
        let by = from.by;
        let (player, said) = match parts(topic) {
            // Boxed, so that an answer under way does not carry the room for what is rare.
            ("connect", slot) => Box::pin(self.connect((edge, by), slot, payload)).await,
            ("answer", slot) => self.answer(&from, slot, payload).await,
            ("command", event) => (None, Box::pin(self.drive(by, event, payload)).await),
            _ => (None, Err(topic_unknown(topic))),
        };
        if edge == BROKER
            && let (Some(player), Ok(said)) = (player, &said)
            && let Some(event) = said.event()
        {
            self.attendance.here(player, event, None);
        }
        if let Err(refusal) = &said {
            self.count_refusal(edge, refusal);
            if let Some(player) = player {
                self.inboxes.deliver(player, &refused(topic, refusal));
            }
        }
        (player, said)
    }

    /// Who a payload shows to have published it, without asking anybody.
    fn sender(&self, topic: &str, payload: &[u8]) -> Option<PlayerId> {
        let of_token = |token: &str| Some(self.claim(token).ok()?.player);
        match parts(topic).0 {
            "answer" => of_token(&read::<Answer>(payload, "").ok()?.token),
            "connect" => match read(payload, "").ok()? {
                Connect::Back { token, .. } => of_token(&token),
                Connect::Join { player, .. } => player.filter(|player| !player.is_vouched()),
                Connect::Vouched { .. } | Connect::Gone { .. } => None,
            },
            _ => None,
        }
    }

    async fn connect(
        &self,
        (edge, by): (&'static str, Option<&Arc<Bearer>>),
        slot: &str,
        payload: &[u8],
    ) -> Outcome {
        let expected = r#"{"pin":"...","player":"32 hex digits","name":"..."} or {"token":"..."}"#;
        let by = by.cloned();
        match read(payload, expected) {
            Err(refusal) => (None, Err(refusal)),
            Ok(Connect::Join { pin, player, name }) => {
                match player.or_else(|| by.as_ref().and_then(|bearer| bearer.player)) {
                    None => (None, Err(player_missing())),
                    Some(player) => self.join(slot, Newcomer { pin, player, name, by }).await,
                }
            }
            Ok(Connect::Vouched { pin, token, name }) => match self.vouched_for(&token).await {
                Err(refusal) => (None, Err(refusal)),
                Ok((player, by)) => {
                    self.join(slot, Newcomer { pin, player, name, by: Some(by) }).await
                }
            },
            Ok(Connect::Gone { token, gone }) => (None, self.go((edge, slot), &token, &gone)),
            Ok(Connect::Back { token, here }) => match self.claim(&token) {
                Err(refusal) => (None, Err(refusal)),
                Ok(claim) => {
                    let (player, event) = (claim.player, claim.event);
                    let back = self.come_back(slot, claim).await;
                    if edge == BROKER && back.is_ok() {
                        self.attendance.here(player, event, here.as_deref());
                    }
                    (Some(player), back)
                }
            },
        }
    }

    /// Who bears a token that comes with a join.
    async fn vouched_for(&self, token: &str) -> Result<(PlayerId, Arc<Bearer>), Refusal> {
        let bearer = self.bearer_of(token).await?;
        let nobody = || Refusal::new("not_permitted", "this token makes nobody a player");
        Ok((bearer.player.ok_or_else(nobody)?, Arc::new(bearer)))
    }

    /// A host drives an event.
    async fn drive(
        &self,
        by: Option<&Arc<Bearer>>,
        event: &str,
        payload: &[u8],
    ) -> Result<Said, Refusal> {
        let event: EventId = event.parse().map_err(|error: crdt_state::id::ParseIdError| {
            Refusal::new("event_unknown", error.to_string())
        })?;
        let Some(by) = by.filter(|by| by.is_host(event)) else {
            let message = format!("only its host drives the event {event}");
            return Err(Refusal::new("not_permitted", message)
                .hint("connect with a host's token for this event as the password"));
        };
        let expected = r#"{"command":"next","expected":{"instance":0,"phase":"lobby"}}"#;
        self.check_invited(by, event).await?;
        let request = CommandRequest { by: by.called(), ..read(payload, expected)? };
        request.command.check_expected(payload)?;
        crate::service::Hosts::command(self, event, request).await.map(Said::Commanded)
    }

    /// How often a player may publish, on whatever connection.
    pub(super) fn meter(&self, player: PlayerId) -> Result<(), Refusal> {
        self.publishes.take(player).map_err(|wait| {
            let millis = wait.as_millis().max(1);
            Refusal::new("flooded", "you publish more often than a player may")
                .hint(format!("try again in {millis} ms"))
        })
    }

    async fn join(&self, slot: &str, newcomer: Newcomer) -> Outcome {
        let player = newcomer.player;
        let is_proven = newcomer.by.as_ref().is_some_and(|bearer| bearer.is(player));
        match self.check_newcomer(slot, &newcomer) {
            // An inbox is told only what its owner has caused.
            Err(refusal) if player.is_vouched() && !is_proven => (None, Err(refusal)),
            Err(refusal) => (Some(player), Err(refusal)),
            Ok(event) => (Some(player), self.let_in(event, newcomer).await),
        }
    }

    /// Whether somebody may ask for a place in a show at all.
    fn check_newcomer(&self, slot: &str, newcomer: &Newcomer) -> Result<EventId, Refusal> {
        let Newcomer { pin, player, by, .. } = newcomer;
        let by = by.as_deref().filter(|bearer| bearer.is(*player));
        if player.is_vouched() && by.is_none() {
            return Err(identity_needed());
        }
        check_slot("connect", slot, *player)?;
        self.meter(*player)?;
        self.check_standing(*player)?;
        let event = self.find(pin)?;
        match (self.listings.entry(event), by) {
            (Entry::Open, _) => Ok(event),
            (Entry::Closed, None) => Err(identity_needed()),
            (Entry::Closed, Some(bearer)) if !bearer.may_play(event) => Err(other_event(event)),
            (Entry::Closed, Some(_)) => Ok(event),
        }
    }

    async fn let_in(&self, event: EventId, newcomer: Newcomer) -> Result<Said, Refusal> {
        let Newcomer { player, name, by, .. } = newcomer;
        let called = by.as_ref().filter(|bearer| bearer.is(player)).and_then(|it| it.name.clone());
        let name = called.unwrap_or(name);
        let owner = self.owner(event).await?;
        // Here and not at the owner, whose time is everybody's.
        let abuse = look_at_name(&name);
        let asked = owner.ask(move |ticket| Input::Join { ticket, player, name, abuse }).await;
        let message = self.joined(event, &owner, player, asked).await?;
        Ok(match by.filter(|bearer| bearer.is(player)) {
            Some(bearer) => Said::Proven(message, bearer),
            None => Said::Message(message),
        })
    }

    /// Turns away who was turned away, whatever proves it.
    fn check_standing(&self, player: PlayerId) -> Result<(), Refusal> {
        let banned = self.listings.is_banned(Suspect::Player(player));
        if banned { Err(refusal(IdentityError::Revoked)) } else { Ok(()) }
    }

    async fn come_back(&self, slot: &str, claim: PlayerClaim) -> Result<Said, Refusal> {
        check_slot("connect", slot, claim.player)?;
        self.meter(claim.player)?;
        let bearer = Arc::new(player(&claim));
        let (event, player) = (claim.event, claim.player);
        let owner = self.owner(event).await?;
        let claim = engine_claim(claim);
        let asked = owner.ask(move |ticket| Input::Resume { ticket, claim }).await;
        let message = self.joined(event, &owner, player, asked).await?;
        Ok(Said::Proven(message, bearer))
    }

    /// Somebody's connection to the broker is over. One to this node ends by itself.
    fn go(
        &self,
        (edge, slot): (&'static str, &str),
        token: &str,
        connection: &str,
    ) -> Result<Said, Refusal> {
        let claim = self.claim(token)?;
        check_slot("connect", slot, claim.player)?;
        if edge == BROKER {
            self.attendance.gone(claim.player, claim.event, connection);
        }
        Ok(Said::Nothing)
    }

    /// Puts the proof of a join into the player's inbox, together with what is held of the player.
    async fn joined(
        &self,
        event: EventId,
        owner: &Owner,
        player: PlayerId,
        asked: Option<Reply>,
    ) -> Result<InboxMessage, Refusal> {
        let (row, name, firm) = match asked.ok_or_else(stopping)? {
            Reply::Joined { row, name, firm } => (row, name, firm),
            Reply::Refused(refusal) => return Err(refusal),
            other => unreachable!("a join is not answered with {other:?}"),
        };
        let message = self.joined_message(event, owner, player, row, name, firm).await?;
        self.inboxes.attend(player, event);
        self.inboxes.deliver(player, &message);
        owner.tell(Input::Project { player }).await;
        Ok(message)
    }

    async fn joined_message(
        &self,
        event: EventId,
        owner: &Owner,
        player: PlayerId,
        row: Row,
        name: String,
        firm: bool,
    ) -> Result<InboxMessage, Refusal> {
        let token =
            self.tokens.player(&PlayerClaim { event, player, row, name: name.clone(), issue: 0 });
        let facts = owner.read(move |core, publisher, _| {
            let board = core.scoreboard();
            let standing = board.of(core.state(), player);
            let ranked = standing.as_ref().filter(|_| core.state().instances().next().is_some());
            let shown = core.state().shown_name(player).unwrap_or(name);
            let points = standing.as_ref().map_or(0, |standing| standing.points);
            let rank = ranked.map(|standing| standing.rank);
            let team = core.team_name(player).map(str::to_owned);
            (publisher.pin().to_owned(), shown, points, rank, board.len() as u64, team)
        });
        let (pin, name, points, rank, players, team) = facts.await.ok_or_else(stopping)?;
        let level = level(firm);
        let nodes = self.nodes();
        let name_of_inbox = || self.tokens.inboxes(player).into_iter().next();
        let inbox = self.broker.get().and_then(|_| name_of_inbox());
        let inbox = inbox.map(|name| format!("inbox/{name}"));
        Ok(InboxMessage::Joined {
            event,
            pin,
            player,
            name,
            token,
            level,
            nodes,
            points,
            rank,
            players,
            team,
            inbox,
        })
    }

    async fn answer(&self, from: &Publishing<'_>, slot: &str, payload: &[u8]) -> Outcome {
        match self.proven_answer(from.line, payload) {
            Err(refusal) => (None, Err(refusal)),
            Ok((claim, instance, given)) => {
                let player = claim.player;
                (Some(player), self.take_answer(from.own, slot, claim, instance, given).await)
            }
        }
    }

    /// Who answers what, and in which run.
    fn proven_answer(
        &self,
        line: Duration,
        payload: &[u8],
    ) -> Result<(PlayerClaim, u32, Given), Refusal> {
        let answer: Answer = read(payload, r#"{"token":"...","instance":1,"choices":[0]}"#)?;
        let claim = self.claim(&answer.token)?;
        Ok((claim, answer.instance, answer.given(line.as_millis() as u32)))
    }

    async fn take_answer(
        &self,
        own: Option<ConnectionId>,
        slot: &str,
        claim: PlayerClaim,
        instance: u32,
        given: Given,
    ) -> Result<Said, Refusal> {
        check_slot("answer", slot, claim.player)?;
        self.meter(claim.player)?;
        let event = claim.event;
        let mut answer = Some((engine_claim(claim), given));
        let mut hand_in = |owner: &Owner| {
            let (claim, given) = answer.take().expect("an answer is handed in once");
            owner.answer(claim, instance, given, own)
        };
        let asked = match self.with_owner_at_hand(event, &mut hand_in) {
            Some(asked) => asked,
            None => hand_in(&Box::pin(self.owner(event)).await?),
        };
        match asked.await.ok_or_else(stopping)? {
            Reply::Answered(message) => Ok(Said::Message(message)),
            Reply::Refused(refusal) => Err(refusal),
            other => unreachable!("an answer is not answered with {other:?}"),
        }
    }

    pub(super) fn claim(&self, token: &str) -> Result<PlayerClaim, Refusal> {
        let claim = self.tokens.check_player(token).map_err(|error| {
            Refusal::new("token_unknown", error.to_string()).hint("join again with the PIN")
        })?;
        self.check_standing(claim.player)?;
        Ok(claim)
    }

    pub(super) fn find(&self, pin: &str) -> Result<EventId, Refusal> {
        self.listings.find(pin).ok_or_else(|| {
            Refusal::new("pin_unknown", format!("there is no show with the PIN {pin:?}"))
                .hint("check the PIN on the screen")
        })
    }

    async fn watch(&self, by: Option<&Bearer>, pin: &str) -> Result<Feed, Refusal> {
        let event = self.find(pin)?;
        self.check_watch(by, event)?;
        let owner = self.owner(event).await?;
        let changes = owner.views.live.watch();
        let first = owner.live_frame().await.ok_or_else(stopping)?;
        Ok(Feed::Live { first: Some(first), changes })
    }

    async fn open_inbox(
        &self,
        by: Option<&Bearer>,
        player: &str,
        own: Option<ConnectionId>,
    ) -> Result<Feed, Refusal> {
        let player: PlayerId = player.parse().map_err(|error| {
            Refusal::new("topic_unknown", format!("{error}"))
                .hint("subscribe to inbox/ followed by your own player id in lower case")
        })?;
        if player.is_vouched() && !by.is_some_and(|bearer| bearer.is(player)) {
            return Err(identity_needed());
        }
        self.check_standing(player)?;
        let inbox = self.inboxes.open(player, own);
        // Side by side: where no peer confirms anything each of them takes its whole patience.
        let known = join_all(self.owners.all().into_iter().map(|owner| known(owner, player))).await;
        let mut known: Vec<Known> = known.into_iter().flatten().collect();
        known.sort_unstable_by_key(|known| known.is_over);
        known.truncate(GREETINGS_MAX);
        join_all(known.into_iter().map(|known| self.greet(known, player))).await;
        Ok(Feed::Inbox(inbox))
    }

    /// Tells a player whom the event knows what it holds.
    async fn greet(&self, known: Known, player: PlayerId) {
        let Known { owner, event, row, name, .. } = known;
        let claim = Claim { player, row, name };
        let asked = owner.ask(move |ticket| Input::Resume { ticket, claim }).await;
        if let Err(refusal) = self.joined(event, &owner, player, asked).await {
            // Who is out of one show may be in another.
            self.inboxes.deliver(player, &refused("connect", &refusal));
        }
    }
}

/// An event that knows a player.
struct Known {
    owner: Owner,
    event: EventId,
    row: Row,
    name: String,
    is_over: bool,
}

/// Of how many shows a player is told at once, those that are not over first: all that they say fits into a
/// fresh inbox. Of any other one hears by joining it again with its token.
const GREETINGS_MAX: usize = 8;

async fn known(owner: Owner, player: PlayerId) -> Option<Known> {
    let found = owner.read(move |core, _, _| {
        let row = core.state().players.row_of(player)?;
        let name = core.state().players.get(row)?.name.to_owned();
        Some((core.event(), row, name, core.state().stage().is_over()))
    });
    let (event, row, name, is_over) = found.await.flatten()?;
    Some(Known { owner, event, row, name, is_over })
}

pub(super) fn engine_claim(claim: PlayerClaim) -> Claim {
    Claim { player: claim.player, row: claim.row, name: claim.name }
}

pub(super) fn check_slot(topic: &str, slot: &str, player: PlayerId) -> Result<(), Refusal> {
    let expected = format!("{:02x}", player.slot());
    if slot == expected {
        return Ok(());
    }
    Err(Refusal::new("slot_wrong", format!("the slot of player {player} is not {slot:?}"))
        .hint(format!("publish to {topic}/{expected}")))
}

/// The first word of a topic and what follows it: who does not know the slot leaves it out, and is told.
fn parts(topic: &str) -> (&str, &str) {
    topic.split_once('/').unwrap_or((topic, ""))
}

fn topic_unknown(topic: &str) -> Refusal {
    Refusal::new("topic_unknown", format!("there is no topic {topic:?}")).hint(
        "publish to connect/<slot>, answer/<slot> or react/<slot>, subscribe to live/<pin> or inbox/<player>",
    )
}

pub(super) fn refused(topic: &str, refusal: &Refusal) -> InboxMessage {
    InboxMessage::Refused {
        topic: topic.to_owned(),
        code: refusal.code.clone(),
        message: refusal.message.clone(),
        hint: refusal.hint.clone(),
    }
}

fn player_missing() -> Refusal {
    Refusal::new("payload_malformed", "the join does not say which player")
        .hint("send player as 32 hexadecimal digits")
}

fn accepted(said: Said) -> Verdict {
    let (message, proves) = match said {
        Said::Message(message) => (message, None),
        Said::Proven(message, bearer) => (message, Some(bearer)),
        Said::Nothing => return said_only("gone"),
        Said::Commanded(reply) => {
            let receipt = serde_json::to_string(&reply).expect("a reply has text keys only");
            return Verdict::accepted(receipt);
        }
    };
    let receipt = match message {
        InboxMessage::Receipt {
            status, level, choices, elapsed_ms, text, number, stake, ..
        } => {
            let (level, choices, elapsed_ms) = (Some(level), Some(choices), Some(elapsed_ms));
            let gave = ReceiptView { choices, text, number, stake, ..ReceiptView::default() };
            ReceiptView { status, level, elapsed_ms, ..gave }
        }
        InboxMessage::Joined { level, .. } => {
            let (status, level) = ("joined".to_owned(), Some(level));
            ReceiptView { status, level, ..ReceiptView::default() }
        }
        other => unreachable!("{other:?} is not the acceptance of a publish"),
    };
    Verdict { proves, ..Verdict::accepted(receipt.to_json()) }
}

/// The yes to a reaction.
fn counted() -> Verdict {
    said_only("counted")
}

fn said_only(status: &str) -> Verdict {
    Verdict::accepted(serde_json::json!({ "status": status }).to_string())
}

fn verdict_of(refusal: Refusal) -> Verdict {
    let reason = match refusal.code.as_str() {
        "late" | "not_open" | "paused" | "ended" | "instance_unknown" | "stage_moved"
        | "not_possible" | "reactions_off" => Reason::ImplementationSpecific,
        "payload_malformed" | "choice_invalid" | "kind_unknown" => Reason::PayloadFormatInvalid,
        "slot_wrong" | "topic_unknown" => Reason::TopicNameInvalid,
        "overloaded" | "flooded" | "identity_unavailable" | "team_full" | "limit_reached" => {
            Reason::QuotaExceeded
        }
        _ => Reason::NotAuthorized,
    };
    Verdict::refused(reason, refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many are under way at once as there are players when a crowd answers in the same moment, and each
    /// takes that much fresh memory.
    #[test]
    fn an_answer_under_way_is_small() {
        fn bytes<'a, F: Future + 'a>(
            _: impl FnOnce(&'a Hub, &'static str, Publishing<'a>, &'a str, &'a Bytes) -> F,
        ) -> usize {
            size_of::<F>()
        }
        let bytes = bytes(Hub::publish_from);
        assert!(bytes <= 1_024, "{bytes}");
    }
}
