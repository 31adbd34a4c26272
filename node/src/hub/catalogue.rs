//! The catalogue's task: a thin shell around its core.

use crate::engine::{Changes, ListingCore, Output, Ports, Reply, Taken};
use crate::identity::Bearer;
use crate::service::view::Refusal;
use arc_swap::ArcSwap;
use crdt_state::EventId;
use crdt_state::catalogue::{CATALOGUE, Catalogue, Class, Notice, Suspect};
use crdt_state::engagement::script::Entry;
use crdt_state::event::Beyond;
use gossip::replication;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Messages that wait for the catalogue. When full, the switchboard waits.
const MAILBOX: usize = 1_024;
/// Digits of a PIN.
const PIN_DIGITS: u64 = 6;

enum Mail {
    Note(Notice, Option<oneshot::Sender<bool>>),
    Replication(replication::Input),
}

/// The catalogue as all of the node see it, and which events changed when: a change costs the same however many events
/// are listed.
#[derive(Debug, Default)]
pub struct Known {
    catalogue: Catalogue,
    changes: Changes<EventId>,
}

impl Known {
    fn of(catalogue: &Catalogue) -> Self {
        let (catalogue, changes) = (catalogue.clone(), Changes::default());
        let mut known = Known { catalogue, changes };
        known.note_all();
        known
    }

    fn note_all(&mut self) {
        self.catalogue.iter().for_each(|(event, _)| self.changes.note(event));
    }

    /// Takes in what the catalogue itself has.
    fn take(&mut self, taken: Vec<Taken>, catalogue: &Catalogue) {
        for taken in taken {
            match taken {
                Taken::Notice(origin, notice) => {
                    if let Notice::List(list) = &notice {
                        self.changes.note(list.event);
                    }
                    self.catalogue.take(origin, notice);
                }
                Taken::Snapshot => {
                    self.catalogue = catalogue.clone();
                    self.note_all();
                }
            }
        }
    }

    /// The number of the newest change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.changes.newest()
    }

    /// The events whose listing may have changed since a number.
    pub fn changed_since(&self, revision: u64) -> impl Iterator<Item = EventId> {
        self.changes.since(revision).map(|(_, event)| event)
    }
}

impl Deref for Known {
    type Target = Catalogue;

    fn deref(&self) -> &Catalogue {
        &self.catalogue
    }
}

/// The way to the catalogue.
#[derive(Clone)]
pub struct Listings {
    mail: mpsc::Sender<Mail>,
    known: watch::Receiver<Known>,
    /// Who is turned away, for whoever asks with every answer: without a lock.
    banned: Arc<ArcSwap<BTreeSet<Suspect>>>,
    ready: Arc<AtomicBool>,
}

impl Listings {
    /// The event behind a PIN.
    #[must_use]
    pub fn find(&self, pin: &str) -> Option<EventId> {
        self.known.borrow().find(pin)
    }

    /// The PIN of an event for which players may come, or a clear no.
    ///
    /// # Errors
    /// When the event is not known, or its state is gone for good.
    pub fn live_pin(&self, event: EventId) -> Result<String, Refusal> {
        let known = self.known.borrow();
        match known.get(event) {
            Some(listing) if listing.class.0 == Class::Live => {
                Ok(listing.pin.value().unwrap_or_default().to_owned())
            }
            Some(listing) if listing.class.0 == Class::Archived => Err(super::archived(event)),
            _ => Err(Refusal::new("event_unknown", format!("there is no event {event} here"))
                .hint("`starling status` lists the events")),
        }
    }

    /// The title under which an event was listed.
    #[must_use]
    pub fn title(&self, event: EventId) -> Option<String> {
        self.known.borrow().get(event)?.title.value().map(str::to_owned)
    }

    /// Who may come into an event.
    #[must_use]
    pub fn entry(&self, event: EventId) -> Entry {
        self.known.borrow().get(event).map_or(Entry::Open, |listing| listing.entry.0)
    }

    /// Whether somebody's token or somebody was taken back.
    #[must_use]
    pub fn is_revoked(&self, bearer: &Bearer) -> bool {
        let banned = self.banned.load();
        bearer.suspects().any(|suspect| banned.contains(&suspect))
    }

    /// Whether somebody or something is turned away.
    #[must_use]
    pub fn is_banned(&self, suspect: Suspect) -> bool {
        self.banned.load().contains(&suspect)
    }

    /// What is known now, and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// Changes the catalogue; returns when enough nodes know, or after a while: whether they do.
    pub async fn note(&self, notice: impl Into<Notice>) -> bool {
        let (listed, wait) = oneshot::channel();
        // A catalogue that is gone is a node that is stopping.
        self.mail.send(Mail::Note(notice.into(), Some(listed))).await.is_ok()
            && wait.await.unwrap_or(false)
    }

    /// Changes the catalogue, and does not wait until anybody knows.
    pub async fn tell(&self, notice: impl Into<Notice>) {
        // As above.
        let _ = self.mail.send(Mail::Note(notice.into(), None)).await;
    }

    /// Passes on what happened between this node and its peers.
    pub async fn replicate(&self, input: replication::Input) {
        // As above.
        let _ = self.mail.send(Mail::Replication(input)).await;
    }

    /// A PIN that no event is known to have, drawn from `random`.
    pub fn free_pin(&self, mut random: impl FnMut() -> u64) -> String {
        let known = self.known.borrow();
        loop {
            let lowest = 10_u64.pow(PIN_DIGITS as u32 - 1);
            let pin = (lowest + random() % (lowest * 9)).to_string();
            if known.find(&pin).is_none() {
                return pin;
            }
        }
    }

    /// Whether the node is ready for players.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    /// Says that the node is ready for players.
    pub fn set_ready(&self) {
        self.ready.store(true, Relaxed);
    }
}

/// The task's state.
pub struct ListingTask {
    core: ListingCore,
    ports: Ports,
    known: watch::Sender<Known>,
    banned: Arc<ArcSwap<BTreeSet<Suspect>>>,
    waiting: BTreeMap<u64, oneshot::Sender<bool>>,
    tickets: u64,
    /// What replication had done when it was last counted.
    counted: replication::Stats,
    /// What it had not kept for want of room.
    beyond: Beyond,
    mail: mpsc::Receiver<Mail>,
}

impl ListingTask {
    /// Makes the way to the catalogue and its state, which the caller runs and keeps.
    pub fn start(mut core: ListingCore, ports: Ports) -> (Listings, ListingTask) {
        let (mail, received) = mpsc::channel(MAILBOX);
        let (known, watched) = watch::channel(Known::of(core.catalogue()));
        // It is all there already.
        drop(core.poll_taken());
        let (waiting, tickets, counted) = (BTreeMap::new(), 0, replication::Stats::default());
        let banned = Arc::new(ArcSwap::from_pointee(core.catalogue().banned().collect()));
        let listings =
            Listings { mail, known: watched, banned: Arc::clone(&banned), ready: Arc::default() };
        let mail = received;
        let task = ListingTask {
            core,
            ports,
            known,
            banned,
            waiting,
            tickets,
            counted,
            beyond: Beyond::default(),
            mail,
        };
        (listings, task)
    }

    /// Runs until nobody can ask any more. Whoever runs it again after a panic goes on with the next
    /// message.
    pub async fn run(&mut self) {
        loop {
            let due = self.core.poll_timeout().map(|mono| self.ports.started + mono);
            let far = Instant::now() + std::time::Duration::from_secs(3_600);
            tokio::select! {
                biased;
                received = self.mail.recv() => match received {
                    Some(mail) => self.take(mail),
                    None => return,
                },
                () = sleep_until(due.unwrap_or(far)) => {}
            }
            self.core.replicate(self.ports.now(), replication::Input::Timeout);
            self.carry_out().await;
            self.ports.alarms.count_done(&mut self.counted, self.core.stats());
            self.ports.alarms.count_beyond(&mut self.beyond, self.core.catalogue().beyond());
        }
    }

    fn take(&mut self, mail: Mail) {
        let now = self.ports.now();
        match mail {
            Mail::Note(notice, listed) => {
                self.tickets += 1;
                if let Some(listed) = listed {
                    self.waiting.insert(self.tickets, listed);
                }
                self.core.note(now, self.tickets, notice);
            }
            Mail::Replication(input) => self.core.replicate(now, input),
        }
    }

    async fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            if let Some(Output::Reply { ticket, reply }) =
                self.ports.carry_out(CATALOGUE, output).await
                && let Some(listed) = self.waiting.remove(&ticket)
            {
                // Whoever asked may have gone.
                let _ = listed.send(matches!(reply, Reply::Listed { firm: true }));
            }
        }
        let taken = self.core.poll_taken();
        if !taken.is_empty() {
            // Before whoever follows the catalogue hears of it, and looks.
            let is_of_bans = |taken: &Taken| {
                matches!(taken, Taken::Snapshot | Taken::Notice(_, Notice::Revoke(_)))
            };
            if taken.iter().any(is_of_bans) {
                self.banned.store(Arc::new(self.core.catalogue().banned().collect()));
            }
            self.known.send_modify(|known| known.take(taken, self.core.catalogue()));
        }
    }
}
