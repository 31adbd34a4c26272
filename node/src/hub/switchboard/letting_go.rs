//! Letting go of events that nobody here wants and enough others carry.
//!
//! Which events these may be the interest knows ([`Interest::spare`](crate::engine::Interest::spare)); whether anybody
//! here wants one is known here: who comes for an event is noted by its owner's handle, who plays has an open inbox, who
//! watches has a receiver. What nobody has wanted for long is taken out of the hub's reach, says goodbye and is dropped
//! once as many others as carry any event hold all of it. Whoever comes before that finds it again, in another period.
//!
//! Each time that a node lets go of an event it waits twice as long as before: who comes and goes once an hour is not
//! one more origin each time, and what an event can hold of these is bounded.

use super::{Heed, Owner, Switchboard};
use crate::engine::CARRIERS;
use crdt_state::{EventId, Mono, NodeId, Period};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

/// How long others may take to hold all of an event that is left: 30 s, arbitrary, far above what it takes while they
/// are there.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(30);
/// Events that are left at once, at most: what each owner sends and the others confirm competes with players.
const AT_ONCE: usize = 16;
/// So often the time is doubled for which nobody must have wanted an event: from then on it is 64 times as long.
const DOUBLINGS: Period = 6;
/// How often it is looked for what nobody wants: ten times in that time, but at least once a minute.
const LOOKS: u32 = 10;
const LOOK_MAX: Duration = Duration::from_secs(60);

/// What came of leaving an event in a period.
pub(super) struct Goodbye {
    event: EventId,
    period: Period,
    said: Result<(), String>,
}

/// The events that a node is letting go of.
pub struct LettingGo {
    after: Duration,
    look_at: Mono,
    owners: BTreeMap<EventId, Owner>,
    /// Where tasks say what came of a goodbye; each event that is left has one under way.
    say: mpsc::Sender<Goodbye>,
    said: mpsc::Receiver<Goodbye>,
}

impl LettingGo {
    /// Lets go of an event that nobody has wanted for so long.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        let (say, said) = mpsc::channel(AT_ONCE);
        LettingGo { after, look_at: Mono::ZERO, owners: BTreeMap::new(), say, said }
    }

    /// The next goodbye that is over.
    pub(super) async fn said(&mut self) -> Option<Goodbye> {
        self.said.recv().await
    }

    pub(super) fn owner(&self, event: EventId) -> Option<Owner> {
        self.owners.get(&event).cloned()
    }

    pub(super) fn take(&mut self, event: EventId) -> Option<Owner> {
        self.owners.remove(&event)
    }

    /// For how long nobody must have wanted an event of which this node has let go so often.
    fn patience(&self, period: Period) -> Duration {
        self.after.saturating_mul(1 << period.min(DOUBLINGS))
    }
}

impl Switchboard {
    /// Leaves what nobody here wants, if it is time to look.
    pub(super) async fn let_go(&mut self) {
        let now = self.ports.now();
        if now < self.letting_go.look_at {
            return;
        }
        self.letting_go.look_at = now + (self.letting_go.after / LOOKS).min(LOOK_MAX);
        let room = AT_ONCE.saturating_sub(self.letting_go.owners.len());
        let unwanted = self.interest.spare(now).filter(|event| self.is_unwanted(*event, now));
        let unwanted: Vec<EventId> = unwanted.take(room).collect();
        if unwanted.is_empty() {
            return;
        }
        let (present, going) = (self.ports.inboxes.present(), self.going());
        for event in unwanted {
            let is_wanted = present.contains_key(&event) || self.is_watched(event).await;
            if !is_wanted && self.may_leave(event, going.clone()).await {
                self.heed(Heed::LetGo { event }, None).await;
            } else if let Some(owner) = self.owners.get(event) {
                // Or those that cannot be left would be in the way of others.
                owner.note_wanted(now);
            }
        }
    }

    fn is_unwanted(&self, event: EventId, now: Mono) -> bool {
        let patience = self.letting_go.patience(self.interest.period(event));
        self.owners.get(event).is_some_and(|owner| owner.wanted_at() + patience <= now)
    }

    async fn is_watched(&self, event: EventId) -> bool {
        let Some(owner) = self.owners.get(event) else { return false };
        let watched = owner.read(|core, publisher, _| core.is_followed() || publisher.is_watched());
        watched.await.unwrap_or(false)
    }

    async fn may_leave(&self, event: EventId, going: BTreeSet<NodeId>) -> bool {
        let Some(owner) = self.owners.get(event) else { return false };
        owner.read(move |core, _, _| core.may_leave(CARRIERS, &going)).await.unwrap_or(false)
    }

    /// The nodes that are about to go away: what they hold does not stay.
    fn going(&self) -> BTreeSet<NodeId> {
        let members = self.ports.network.members().borrow().clone();
        let goes = members.iter().filter(|member| member.standing >= super::Standing::Draining);
        goes.map(|member| member.node).collect()
    }

    /// Leaves an event in order; what comes of it is told by [`LettingGo::said`].
    pub(super) fn say_goodbye(&mut self, event: EventId) {
        let Some(owner) = self.owners.remove(event) else { return };
        info!(%event, "letting go of an event that nobody here wants");
        let (period, going) = (self.interest.period(event), self.going());
        self.letting_go.owners.insert(event, owner.clone());
        crdt_state::bounded!(Goodbyes, self.letting_go.owners.len(), AT_ONCE);
        let say = self.letting_go.say.clone();
        let goodbye = async move {
            let said = timeout(GOODBYE_PATIENCE, owner.retire(CARRIERS, going)).await;
            let said = said.unwrap_or_else(|_| Err("nobody has confirmed it in time".to_owned()));
            // A switchboard that is gone is a node that is stopping.
            let _ = say.send(Goodbye { event, period, said }).await;
        };
        self.env.spawn.spawn("goodbye", Box::pin(goodbye));
    }

    pub(super) async fn on_goodbye(&mut self, goodbye: Goodbye) {
        let Goodbye { event, period, said } = goodbye;
        // There is room for another one.
        self.letting_go.look_at = Mono::ZERO;
        let heed = match said {
            Ok(()) => Heed::Left { event, period },
            Err(why) => {
                warn!(%event, why, "an event is not let go of");
                Heed::Unheard { event, period }
            }
        };
        self.heed(heed, None).await;
    }

    /// Carries an event on that was about to be dropped: over what its owner has, as after a restart.
    pub(super) async fn renew(&mut self, event: EventId) {
        let Some(owner) = self.letting_go.take(event) else { return };
        let Some(kept) = owner.read(|core, _, now| core.kept(now)).await else {
            // It could not be kept up, and ends as any other that cannot.
            self.owners.insert(event, &owner);
            return;
        };
        owner.stop().await;
        info!(%event, "carrying an event on after all");
        let (core, pin) = (self.core(event, kept), self.pin_of(event).unwrap_or_default());
        self.own(event, core, pin);
    }
}
