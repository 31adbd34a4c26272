//! What players ask: joining, answering, watching.

use super::payload::{Answer, Connect, read};
use super::{Hub, stopping};
use crate::engine::{Claim, Input, Owner, Reply, level};
use crate::service::view::{InboxMessage, Refusal};
use crate::service::{Feed, Players, Reason, Verdict, inbox_topic, live_topic};
use crate::token::PlayerClaim;
use async_trait::async_trait;
use bytes::Bytes;
use crdt_state::{EventId, PlayerId, Row};

/// The outcome of one publish: who it was, if that much was clear, and what is said.
type Outcome = (Option<PlayerId>, Result<InboxMessage, Refusal>);

#[async_trait]
impl Players for Hub {
    async fn publish(&self, topic: &str, payload: Bytes) -> Verdict {
        let (player, said) = match topic.split_once('/') {
            Some(("connect", slot)) => self.connect(slot, &payload).await,
            Some(("answer", slot)) => self.answer(slot, &payload).await,
            _ => (None, Err(topic_unknown(topic))),
        };
        match said {
            Ok(message) => accepted(&message),
            Err(refusal) => {
                self.count_refusal("mqtt", &refusal);
                if let Some(player) = player {
                    self.inboxes.deliver(player, &refused(topic, &refusal));
                }
                verdict_of(&refusal)
            }
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

    async fn subscribe(&self, filter: &str) -> Result<Feed, Refusal> {
        let feed = match filter.split_once('/') {
            Some(("live", pin)) => self.watch(pin).await,
            Some(("inbox", player)) => self.open_inbox(player).await,
            _ => Err(topic_unknown(filter)),
        };
        feed.inspect_err(|refusal| self.count_refusal("mqtt", refusal))
    }
}

impl Hub {
    async fn connect(&self, slot: &str, payload: &[u8]) -> Outcome {
        let expected = r#"{"pin":"...","player":"32 hex digits","name":"..."} or {"token":"..."}"#;
        match read(payload, expected) {
            Err(refusal) => (None, Err(refusal)),
            Ok(Connect::Join { pin, player, name }) => {
                (Some(player), self.join(slot, &pin, player, name).await)
            }
            Ok(Connect::Back { token }) => match self.claim(&token) {
                Err(refusal) => (None, Err(refusal)),
                Ok(claim) => (Some(claim.player), self.come_back(slot, claim).await),
            },
        }
    }

    /// How often a player may publish, on whatever connection.
    fn meter(&self, player: PlayerId) -> Result<(), Refusal> {
        self.publishes.take(player).map_err(|wait| {
            let millis = wait.as_millis().max(1);
            Refusal::new("flooded", "you publish more often than a player may")
                .hint(format!("try again in {millis} ms"))
        })
    }

    async fn join(
        &self,
        slot: &str,
        pin: &str,
        player: PlayerId,
        name: String,
    ) -> Result<InboxMessage, Refusal> {
        check_slot("connect", slot, player)?;
        self.meter(player)?;
        let event = self.find(pin)?;
        let owner = self.owner(event)?;
        let asked = owner.ask(move |ticket| Input::Join { ticket, player, name }).await;
        self.joined(event, &owner, player, asked).await
    }

    async fn come_back(&self, slot: &str, claim: PlayerClaim) -> Result<InboxMessage, Refusal> {
        check_slot("connect", slot, claim.player)?;
        self.meter(claim.player)?;
        let (event, player) = (claim.event, claim.player);
        let owner = self.owner(event)?;
        let claim = engine_claim(claim);
        let asked = owner.ask(move |ticket| Input::Resume { ticket, claim }).await;
        self.joined(event, &owner, player, asked).await
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
            let shown = core.state().players.shown_name(player).unwrap_or(name);
            let points = standing.as_ref().map_or(0, |standing| standing.points);
            let rank = ranked.map(|standing| standing.rank);
            (publisher.pin().to_owned(), shown, points, rank, board.len() as u64)
        });
        let (pin, name, points, rank, players) = facts.await.ok_or_else(stopping)?;
        let level = level(firm);
        let nodes = self.nodes();
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
        })
    }

    async fn answer(&self, slot: &str, payload: &[u8]) -> Outcome {
        let expected = r#"{"token":"...","instance":1,"choices":[0]}"#;
        let answer: Answer = match read(payload, expected) {
            Err(refusal) => return (None, Err(refusal)),
            Ok(answer) => answer,
        };
        match self.claim(&answer.token) {
            Err(refusal) => (None, Err(refusal)),
            Ok(claim) => (Some(claim.player), self.take_answer(slot, claim, &answer).await),
        }
    }

    async fn take_answer(
        &self,
        slot: &str,
        claim: PlayerClaim,
        answer: &Answer,
    ) -> Result<InboxMessage, Refusal> {
        check_slot("answer", slot, claim.player)?;
        self.meter(claim.player)?;
        let owner = self.owner(claim.event)?;
        let (instance, given) = (answer.instance, answer.given());
        let claim = engine_claim(claim);
        let asked = owner.ask(move |ticket| Input::Answer { ticket, claim, instance, given }).await;
        match asked.ok_or_else(stopping)? {
            Reply::Answered(message) => Ok(message),
            Reply::Refused(refusal) => Err(refusal),
            other => unreachable!("an answer is not answered with {other:?}"),
        }
    }

    fn claim(&self, token: &str) -> Result<PlayerClaim, Refusal> {
        self.tokens.check_player(token).map_err(|error| {
            Refusal::new("token_unknown", error.to_string()).hint("join again with the PIN")
        })
    }

    pub(super) fn find(&self, pin: &str) -> Result<EventId, Refusal> {
        self.listings.find(pin).ok_or_else(|| {
            Refusal::new("pin_unknown", format!("there is no show with the PIN {pin:?}"))
                .hint("check the PIN on the screen")
        })
    }

    async fn watch(&self, pin: &str) -> Result<Feed, Refusal> {
        let owner = self.owner(self.find(pin)?)?;
        let mut changes = owner.views.live.clone();
        changes.mark_unchanged();
        let first = owner.live_frame().await.ok_or_else(stopping)?;
        Ok(Feed::Live { first: Some(first), changes })
    }

    async fn open_inbox(&self, player: &str) -> Result<Feed, Refusal> {
        let player: PlayerId = player.parse().map_err(|error| {
            Refusal::new("topic_unknown", format!("{error}"))
                .hint("subscribe to inbox/ followed by your own player id in lower case")
        })?;
        let inbox = self.inboxes.open(player);
        for owner in self.owners.all() {
            self.greet(&owner, player).await?;
        }
        Ok(Feed::Inbox(inbox))
    }

    /// Tells a player whom the event knows what it holds.
    async fn greet(&self, owner: &Owner, player: PlayerId) -> Result<(), Refusal> {
        let known = owner.read(move |core, _, _| {
            let row = core.state().players.row_of(player)?;
            let name = core.state().players.get(row)?.name.to_owned();
            Some((core.event(), row, name))
        });
        if let Some((event, row, name)) = known.await.flatten() {
            let claim = Claim { player, row, name };
            let asked = owner.ask(move |ticket| Input::Resume { ticket, claim }).await;
            self.joined(event, owner, player, asked).await?;
        }
        Ok(())
    }
}

fn engine_claim(claim: PlayerClaim) -> Claim {
    Claim { player: claim.player, row: claim.row, name: claim.name }
}

fn check_slot(topic: &str, slot: &str, player: PlayerId) -> Result<(), Refusal> {
    let expected = format!("{:02x}", player.slot());
    if slot == expected {
        return Ok(());
    }
    Err(Refusal::new("slot_wrong", format!("the slot of player {player} is not {slot:?}"))
        .hint(format!("publish to {topic}/{expected}")))
}

fn topic_unknown(topic: &str) -> Refusal {
    Refusal::new("topic_unknown", format!("there is no topic {topic:?}")).hint(
        "publish to connect/<slot> or answer/<slot>, subscribe to live/<pin> or inbox/<player>",
    )
}

fn refused(topic: &str, refusal: &Refusal) -> InboxMessage {
    InboxMessage::Refused {
        topic: topic.to_owned(),
        code: refusal.code.clone(),
        message: refusal.message.clone(),
        hint: refusal.hint.clone(),
    }
}

fn accepted(message: &InboxMessage) -> Verdict {
    let receipt = match message {
        InboxMessage::Receipt { status, level, choices, elapsed_ms, .. } => serde_json::json!({
            "status": status, "level": level, "choices": choices, "elapsed_ms": elapsed_ms,
        }),
        InboxMessage::Joined { level, .. } => {
            serde_json::json!({ "status": "joined", "level": level })
        }
        other => unreachable!("{other:?} is not the acceptance of a publish"),
    };
    Verdict { reason: Reason::Success, receipt: receipt.to_string() }
}

fn verdict_of(refusal: &Refusal) -> Verdict {
    let reason = match refusal.code.as_str() {
        "late" | "not_open" | "paused" | "ended" | "instance_unknown" => {
            Reason::ImplementationSpecific
        }
        "payload_malformed" | "choice_invalid" => Reason::PayloadFormatInvalid,
        "slot_wrong" | "topic_unknown" => Reason::TopicNameInvalid,
        "overloaded" | "flooded" => Reason::QuotaExceeded,
        _ => Reason::NotAuthorized,
    };
    let receipt = serde_json::json!({
        "status": "refused", "code": refusal.code, "message": refusal.message,
        "hint": refusal.hint,
    });
    Verdict { reason, receipt: receipt.to_string() }
}
