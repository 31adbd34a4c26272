//! Many raw MQTT 5 clients in one process: as little work per client as there can be, so that what is
//! measured is the server.
//!
//! Each client is a task around one socket. All follow one order at a time, and count what comes; the
//! moment of the last one is what a measurement ends with.

use super::wire::{Wire, body, connect, contains, player, publish, subscribe, token};
use crate::raw::slotted;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, sleep_until};

/// Whom the clients talk to.
#[derive(Debug, Clone)]
pub(in crate::figures) enum Target {
    /// A node of ours: they join the show with this PIN.
    Starling(String),
    /// Any other server: they only subscribe.
    Other,
}

/// How many clients, where, and how fast they come.
#[derive(Debug, Clone)]
pub(in crate::figures) struct Plan {
    pub(in crate::figures) clients: usize,
    /// The number of the first one: crowds at several nodes of one show are different players.
    pub(in crate::figures) first: usize,
    pub(in crate::figures) server: SocketAddr,
    pub(in crate::figures) target: Target,
    /// Connections under way at once.
    pub(in crate::figures) in_flight: usize,
    /// Whether they only connect.
    pub(in crate::figures) only_connect: bool,
    /// Which addresses they come from, so that ports are not used up: 127.0.`from`.1 to 16.
    pub(in crate::figures) from: u8,
}

/// What all clients do next.
#[derive(Debug, Clone)]
enum Order {
    Idle,
    /// Count the next message that contains this.
    Watch(Arc<[u8]>),
    /// Publish once, `gap` apart from one another.
    Publish {
        instance: u32,
        from: Instant,
        gap: Duration,
    },
}

/// Clients that are connected, or on their way.
pub(in crate::figures) struct Crowd {
    plan: Plan,
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
}

/// How long the first until the last one took.
#[derive(Debug, Default)]
struct Tally {
    count: AtomicUsize,
    last_ns: AtomicU64,
}

struct Shared {
    base: Instant,
    plan: Plan,
    connected: Tally,
    joined: Tally,
    /// Clients that watch.
    ready: Tally,
    seen: Tally,
    acknowledged: Tally,
    /// Of each client's last publish, in microseconds.
    latency_us: Vec<AtomicU32>,
    /// When each client last saw what it watched for, in nanoseconds after `base`.
    seen_ns: Vec<AtomicU64>,
    failure: Mutex<Option<String>>,
}

impl Crowd {
    /// Lets clients come; returns when all are there, with the time that it took.
    pub(in crate::figures) async fn come(plan: Plan) -> Result<(Crowd, Duration), String> {
        let shared = Arc::new(Shared {
            base: Instant::now(),
            plan: plan.clone(),
            connected: Tally::default(),
            joined: Tally::default(),
            ready: Tally::default(),
            seen: Tally::default(),
            acknowledged: Tally::default(),
            latency_us: (0..plan.clients).map(|_| AtomicU32::new(0)).collect(),
            seen_ns: (0..plan.clients).map(|_| AtomicU64::new(0)).collect(),
            failure: Mutex::default(),
        });
        let (orders, obeyed) = watch::channel(Order::Idle);
        let gate = Arc::new(Semaphore::new(plan.in_flight));
        let began = Instant::now();
        for index in plan.first..plan.first + plan.clients {
            let permit = Arc::clone(&gate).acquire_owned().await.expect("it is never closed");
            tokio::spawn(client(index, Arc::clone(&shared), obeyed.clone(), permit));
            shared.check()?;
        }
        let crowd = Crowd { plan, shared, orders };
        let what = if crowd.plan.only_connect { Shared::connected } else { Shared::joined };
        let took = crowd.wait("clients that are in", what, began).await?;
        Ok((crowd, took))
    }

    /// All watch for a message with `needle`, then `trigger` sets it off; the time until the last one
    /// has it.
    pub(in crate::figures) async fn fan_out(
        &self,
        needle: &str,
        trigger: impl Future<Output = Result<(), String>>,
    ) -> Result<Duration, String> {
        self.watch(needle).await?;
        let began = Instant::now();
        trigger.await?;
        self.seen(began).await
    }

    /// All watch for a message with `needle` from now on.
    pub(in crate::figures) async fn watch(&self, needle: &str) -> Result<(), String> {
        self.shared.ready.reset();
        self.shared.seen.reset();
        self.order(Order::Watch(needle.as_bytes().into()));
        self.wait("clients that watch", |shared| &shared.ready, Instant::now()).await.map(drop)
    }

    /// Waits until all have what they watch for; the time until the last one.
    pub(in crate::figures) async fn seen(&self, began: Instant) -> Result<Duration, String> {
        self.wait("clients that have the message", |shared| &shared.seen, began).await
    }

    /// How long after `began` each client had what it watched for.
    pub(in crate::figures) fn delays(&self, began: Instant) -> Vec<Duration> {
        let at = |ns: &AtomicU64| self.shared.base + Duration::from_nanos(ns.load(Relaxed));
        let delay = |ns| at(ns).saturating_duration_since(began);
        self.shared.seen_ns.iter().map(delay).collect()
    }

    /// The first `count` clients publish once, `gap` apart; the time until the last acknowledgement.
    /// Latencies are there afterwards.
    pub(in crate::figures) async fn publish(
        &self,
        instance: u32,
        gap: Duration,
    ) -> Result<Duration, String> {
        self.shared.acknowledged.reset();
        // Time for every client to have its order before the first one is due.
        let from = Instant::now() + if gap.is_zero() { Duration::ZERO } else { LEAD };
        self.order(Order::Publish { instance, from, gap });
        self.wait("acknowledgements", |shared| &shared.acknowledged, from).await
    }

    /// From writing a publish to its PUBACK, in microseconds, of every client.
    pub(in crate::figures) fn latencies_us(&self) -> Vec<u32> {
        self.shared.latency_us.iter().map(|latency| latency.load(Relaxed)).collect()
    }

    fn order(&self, order: Order) {
        self.orders.send_replace(order);
    }

    async fn wait(
        &self,
        what: &str,
        tally: impl Fn(&Shared) -> &Tally,
        from: Instant,
    ) -> Result<Duration, String> {
        let deadline = Instant::now() + WAIT_MAX;
        let (shared, all) = (&*self.shared, self.plan.clients);
        loop {
            shared.check()?;
            let count = tally(shared).count.load(Relaxed);
            if count >= all {
                let last = shared.base + Duration::from_nanos(tally(shared).last_ns.load(Relaxed));
                return Ok(last.saturating_duration_since(from));
            }
            if Instant::now() > deadline {
                return Err(format!("{count} of {all} {what} within {WAIT_MAX:?}"));
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Shared {
    fn connected(&self) -> &Tally {
        &self.connected
    }

    fn joined(&self) -> &Tally {
        &self.joined
    }

    fn hit(&self, tally: &Tally) {
        let now = self.base.elapsed().as_nanos() as u64;
        tally.last_ns.fetch_max(now, Relaxed);
        tally.count.fetch_add(1, Relaxed);
    }

    fn check(&self) -> Result<(), String> {
        self.failure.lock().expect("no holder panics").clone().map_or(Ok(()), Err)
    }

    fn fail(&self, failure: String) {
        self.failure.lock().expect("no holder panics").get_or_insert(failure);
    }
}

impl Tally {
    fn reset(&self) {
        self.count.store(0, Relaxed);
        self.last_ns.store(0, Relaxed);
    }
}

async fn client(
    index: usize,
    shared: Arc<Shared>,
    mut orders: watch::Receiver<Order>,
    permit: OwnedSemaphorePermit,
) {
    let mut client = match Wire::dial(shared.plan.from, index, shared.plan.server).await {
        Ok(wire) => Client::new(index, wire, Arc::clone(&shared), permit),
        Err(error) => return shared.fail(format!("client {index} cannot connect: {error}")),
    };
    let ended = async {
        client.wire.write(&connect(&format!("figure-{index}"), KEEP_ALIVE_S)).await?;
        loop {
            tokio::select! {
                biased;
                changed = orders.changed() => {
                    // The crowd is gone: so is the client.
                    if changed.is_err() {
                        return Ok(());
                    }
                    let order = orders.borrow_and_update().clone();
                    client.obey(order).await?;
                }
                read = client.wire.read() => {
                    read?;
                    client.take_packets().await?;
                }
            }
        }
    };
    let ended: Result<(), String> = ended.await;
    if let Err(error) = ended {
        shared.fail(format!("client {index}: {error}"));
    }
}

struct Client {
    index: usize,
    wire: Wire,
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
    token: Option<String>,
    acknowledged: bool,
    needle: Option<Arc<[u8]>>,
    sent_at: Instant,
}

impl Client {
    fn new(index: usize, wire: Wire, shared: Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        Client {
            index,
            wire,
            shared,
            permit: Some(permit),
            token: None,
            acknowledged: false,
            needle: None,
            sent_at: Instant::now(),
        }
    }

    /// Which of its crowd it is.
    fn place(&self) -> usize {
        self.index - self.shared.plan.first
    }

    async fn obey(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::Idle => Ok(()),
            Order::Watch(needle) => {
                self.needle = Some(needle);
                self.shared.hit(&self.shared.ready);
                Ok(())
            }
            Order::Publish { instance, from, gap } => {
                let due = from + gap * self.place() as u32;
                if !gap.is_zero() {
                    sleep_until(due.into()).await;
                }
                let publish = self.answer(instance);
                self.sent_at = Instant::now();
                self.wire.write(&publish).await
            }
        }
    }

    /// Takes what has been read.
    async fn take_packets(&mut self) -> Result<(), String> {
        while let Some(packet) = self.wire.packet() {
            self.on_packet(&packet).await?;
        }
        Ok(())
    }

    async fn on_packet(&mut self, packet: &[u8]) -> Result<(), String> {
        let body = body(packet);
        match packet[0] >> 4 {
            2 if body[1] == 0 => self.on_connack().await?,
            3 => self.on_message(body),
            4 if body.len() < 3 || body[2] < 0x80 => self.on_puback(body),
            9 if !matches!(self.shared.plan.target, Target::Starling(_)) => self.on_joined(),
            9 => {}
            _ => return Err(format!("{packet:02x?}")),
        }
        Ok(())
    }

    async fn on_connack(&mut self) -> Result<(), String> {
        self.shared.hit(&self.shared.connected);
        if self.shared.plan.only_connect {
            self.permit = None;
            return Ok(());
        }
        let hello = match &self.shared.plan.target {
            Target::Starling(pin) => {
                let player = player(self.index);
                let topics = [format!("inbox/{player}"), format!("live/{pin}")];
                let index = self.index;
                let join =
                    format!(r#"{{"pin":"{pin}","player":"{player}","name":"Player {index}"}}"#);
                let topic = slotted("connect", &player);
                [subscribe(&topics), publish(1, 1, &topic, join.as_bytes())].concat()
            }
            Target::Other => subscribe(&["live/1".to_owned()]),
        };
        self.wire.write(&hello).await
    }

    fn on_message(&mut self, body: &[u8]) {
        if self.token.is_none() && body.starts_with(b"\0\x26inbox/") {
            self.token = token(body);
            if self.token.is_some() && self.acknowledged {
                self.on_joined();
            }
        }
        if self.needle.as_ref().is_some_and(|needle| contains(body, needle)) {
            self.needle = None;
            let now = self.shared.base.elapsed().as_nanos() as u64;
            self.shared.seen_ns[self.place()].store(now, Relaxed);
            self.shared.hit(&self.shared.seen);
        }
    }

    fn on_puback(&mut self, body: &[u8]) {
        if body[..2] == [0, 1] {
            self.acknowledged = true;
            if self.token.is_some() {
                self.on_joined();
            }
            return;
        }
        let micros = self.sent_at.elapsed().as_micros() as u32;
        self.shared.latency_us[self.place()].store(micros, Relaxed);
        self.shared.hit(&self.shared.acknowledged);
    }

    fn on_joined(&mut self) {
        self.permit = None;
        self.shared.hit(&self.shared.joined);
    }

    fn answer(&self, instance: u32) -> Vec<u8> {
        let Some(token) = &self.token else {
            let topic = format!("answer/{}", self.index % 1024);
            return publish(1, 2, &topic, &[b'x'; 80]);
        };
        let topic = slotted("answer", &player(self.index));
        let answer = format!(r#"{{"token":"{token}","instance":{instance},"choices":[1]}}"#);
        publish(1, 2, &topic, answer.as_bytes())
    }
}

/// Longer than any measurement.
const KEEP_ALIVE_S: u16 = 3_600;
/// Between an order and the first publish of a paced measurement.
const LEAD: Duration = Duration::from_millis(500);
/// The longest wait for all clients.
const WAIT_MAX: Duration = Duration::from_secs(60);
