//! One process of clients: it joins them, keeps them alive, lets them answer, and tells what became of it.
//!
//! A line of JSON comes in for each order and one goes out for each report. It ends with its input.

use crate::figures::edge::wire::{self, Wire, body, connect, publish, subscribe, token};
use crate::raw::slotted;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The figures' hidden name of this process.
pub const NAME: &str = "soak-clients";

/// Which clients, and where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) server: SocketAddr,
    pub(super) pin: String,
    /// The number of the first one.
    pub(super) first: usize,
    pub(super) clients: usize,
    /// Which addresses they come from, so that ports are not used up: 127.0.`from`.1 to 16.
    pub(super) from: u8,
}

/// What to do next.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Order {
    /// Say what there is to say.
    Tell,
    /// Only the first so many stay connected.
    Stay(usize),
}

/// What is told.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) joined: usize,
    pub(super) connected: usize,
    /// From writing an answer to its acknowledgement, in microseconds.
    pub(super) latencies_us: Vec<u32>,
    /// The clients whose receipt is firm.
    pub(super) firm: Vec<usize>,
    pub(super) refused: usize,
    /// Answers that were written and not acknowledged.
    pub(super) unanswered: usize,
    /// The first of them.
    pub(super) failures: Vec<String>,
}

/// Takes orders until standard input ends.
///
/// # Errors
/// As the system fails, or an order is none.
pub fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    let (orders, ordered) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if orders.blocking_send(line).is_err() {
                return;
            }
        }
    });
    runtime.block_on(obey(plan, ordered))
}

async fn obey(plan: Plan, mut orders: mpsc::Receiver<String>) -> io::Result<()> {
    let (stay, staying) = watch::channel(plan.clients);
    let shared = Arc::new(Shared { plan: plan.clone(), report: Mutex::default() });
    come(&shared, &staying).await;
    tell(&shared)?;
    while let Some(line) = orders.recv().await {
        match serde_json::from_str(&line)? {
            Order::Tell => tell(&shared)?,
            Order::Stay(clients) => {
                stay.send_replace(clients);
                let gone = async {
                    while shared.report().connected > clients {
                        sleep(Duration::from_millis(50)).await;
                    }
                };
                // Who does not go in time is told as connected.
                let _ = timeout(COME_MAX, gone).await;
                tell(&shared)?;
            }
        }
    }
    Ok(())
}

/// Lets all come, a few at a time, and waits until they are in, or one has failed.
async fn come(shared: &Arc<Shared>, staying: &watch::Receiver<usize>) {
    let gate = Arc::new(Semaphore::new(IN_FLIGHT));
    for at in 0..shared.plan.clients {
        let permit = Arc::clone(&gate).acquire_owned().await.expect("it is never closed");
        tokio::spawn(client(at, Arc::clone(shared), staying.clone(), permit));
    }
    let all_in = async {
        while !is_settled(shared) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    // Who is not in by then is missing in the report.
    let _ = timeout(COME_MAX, all_in).await;
}

/// Whether all are in, or one has failed.
fn is_settled(shared: &Shared) -> bool {
    let report = shared.report();
    report.joined >= shared.plan.clients || !report.failures.is_empty()
}

fn tell(shared: &Shared) -> io::Result<()> {
    let report = serde_json::to_string(&*shared.report())?;
    let mut out = io::stdout().lock();
    writeln!(out, "{report}")?;
    out.flush()
}

struct Shared {
    plan: Plan,
    report: Mutex<Report>,
}

impl Shared {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn client(
    at: usize,
    shared: Arc<Shared>,
    mut staying: watch::Receiver<usize>,
    permit: OwnedSemaphorePermit,
) {
    let number = shared.plan.first + at;
    let ended = async {
        let wire = Wire::dial(shared.plan.from, at, shared.plan.server)
            .await
            .map_err(|error| error.to_string())?;
        let mut client = Client::new(number, wire, Arc::clone(&shared), permit);
        client.wire.write(&connect(&format!("soak-{number}"), KEEP_ALIVE_S)).await?;
        shared.report().connected += 1;
        tokio::select! {
            ended = client.live() => ended,
            // The crowd's end is everybody's.
            _ = staying.wait_for(|stay| *stay <= at) => Ok(()),
        }
    };
    let ended: Result<(), String> = ended.await;
    let mut report = shared.report();
    report.connected = report.connected.saturating_sub(1);
    if let Err(error) = ended
        && report.failures.len() < FAILURES_MAX
    {
        report.failures.push(format!("client {number}: {error}"));
    }
}

struct Client {
    number: usize,
    wire: Wire,
    shared: Arc<Shared>,
    permit: Option<OwnedSemaphorePermit>,
    token: Option<String>,
    acknowledged: bool,
    /// When the next ping is due.
    ping_at: Instant,
    /// When the answer is to leave.
    answer_at: Option<Instant>,
    /// When it left, until it is acknowledged.
    answered_at: Option<Instant>,
    decided: bool,
}

impl Client {
    fn new(number: usize, wire: Wire, shared: Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        Client {
            number,
            wire,
            shared,
            permit: Some(permit),
            token: None,
            acknowledged: false,
            ping_at: Instant::now() + PING_EVERY,
            answer_at: None,
            answered_at: None,
            decided: false,
        }
    }

    /// Reads, pings and answers until the connection ends, which is an error.
    async fn live(&mut self) -> Result<(), String> {
        loop {
            let due = self.answer_at.map_or(self.ping_at, |at| at.min(self.ping_at));
            tokio::select! {
                read = self.wire.read() => {
                    read?;
                    self.take_packets().await?;
                }
                () = sleep_until(due) => self.on_time().await?,
            }
        }
    }

    async fn on_time(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if self.ping_at <= now {
            self.ping_at = now + PING_EVERY;
            self.wire.write(&[0xc0, 0]).await?;
        }
        if self.answer_at.is_some_and(|at| at <= now)
            && let Some(token) = &self.token
        {
            let topic = slotted("answer", &player(self.number));
            let answer = format!(r#"{{"token":"{token}","instance":1,"choices":[1]}}"#);
            self.answer_at = None;
            self.answered_at = Some(Instant::now());
            self.shared.report().unanswered += 1;
            self.wire.write(&publish(1, ANSWER_ID, &topic, answer.as_bytes())).await?;
        }
        Ok(())
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
            2 if body[1] == 0 => self.join().await?,
            3 => self.on_message(body),
            4 => self.on_puback(body)?,
            9 | 13 => {}
            _ => return Err(format!("{packet:02x?}")),
        }
        Ok(())
    }

    async fn join(&mut self) -> Result<(), String> {
        let (player, pin) = (player(self.number), &self.shared.plan.pin);
        let topics = [format!("inbox/{player}"), format!("live/{pin}")];
        let number = self.number;
        let join = format!(r#"{{"pin":"{pin}","player":"{player}","name":"Player {number}"}}"#);
        let topic = slotted("connect", &player);
        let hello = [subscribe(&topics), publish(1, JOIN_ID, &topic, join.as_bytes())].concat();
        self.wire.write(&hello).await
    }

    fn on_message(&mut self, body: &[u8]) {
        if self.token.is_none() && body.starts_with(b"\0\x26inbox/") {
            self.token = token(body);
            self.joined();
        }
        if !self.decided && wire::contains(body, br#""stage":{"instance":1,"phase":"open"}"#) {
            self.decided = true;
            self.answer_at = think(self.number).map(|think| Instant::now() + think);
        }
    }

    fn on_puback(&mut self, body: &[u8]) -> Result<(), String> {
        let refused = body.get(2).is_some_and(|reason| *reason >= 0x80);
        if body[..2] == JOIN_ID.to_be_bytes() {
            if refused {
                return Err(format!("the join is refused: {}", String::from_utf8_lossy(body)));
            }
            self.acknowledged = true;
            self.joined();
            return Ok(());
        }
        let Some(sent) = self.answered_at.take() else { return Ok(()) };
        let mut report = self.shared.report();
        report.unanswered -= 1;
        if refused {
            report.refused += 1;
            return Ok(());
        }
        report.latencies_us.push(sent.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
        if wire::contains(body, br#""level":"firm""#) {
            report.firm.push(self.number);
        }
        Ok(())
    }

    fn joined(&mut self) {
        if self.token.is_some() && self.acknowledged {
            self.permit = None;
            self.shared.report().joined += 1;
        }
    }
}

/// How long somebody thinks who answers: four of five do.
fn think(number: usize) -> Option<Duration> {
    // Knuth's multiplicative hash: any spread will do.
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let millis = THINK_MIN_MS + (mixed >> 8) % (THINK_MAX_MS - THINK_MIN_MS);
    (mixed % 5 < 4).then(|| Duration::from_millis(millis))
}

/// The id of a client's player: slots take turns.
pub(super) fn player(number: usize) -> String {
    wire::player(number)
}

/// Joins under way at once.
const IN_FLIGHT: usize = 32;
const JOIN_ID: u16 = 1;
const ANSWER_ID: u16 = 2;
const KEEP_ALIVE_S: u16 = 90;
const PING_EVERY: Duration = Duration::from_secs(45);
const THINK_MIN_MS: u64 = 500;
const THINK_MAX_MS: u64 = 3_000;
const FAILURES_MAX: usize = 20;
/// The longest wait for all clients.
const COME_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_of_five_answer_and_each_within_its_time() {
        let thoughts: Vec<_> = (0..10_000).filter_map(think).collect();
        assert!((7_900..8_100).contains(&thoughts.len()), "{}", thoughts.len());
        let early = thoughts.iter().filter(|think| **think < Duration::from_millis(1_750)).count();
        assert!((3_700..4_300).contains(&early), "{early} before the middle");
        let range = Duration::from_millis(THINK_MIN_MS)..Duration::from_millis(THINK_MAX_MS);
        assert!(thoughts.iter().all(|think| range.contains(think)));
    }
}
