//! The process of those who come and go, so that what they leave behind is not taken for what the others
//! hold of them.
//!
//! A line of JSON comes in for each order and one goes out when it is carried out. It ends with its input.

use super::churn::{FIRST, start};
use crate::figures::again::Again;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead};
use std::net::SocketAddr;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The figures' hidden name of this process.
pub const NAME: &str = "churn-visitors";

/// What to do next.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Incarnations of these numbers come.
    Come { numbers: Vec<u64>, seed: SocketAddr },
    /// Those who are there go.
    Go,
}

/// Takes orders until standard input ends.
///
/// # Errors
/// As the system fails, or an incarnation does.
pub fn serve() -> io::Result<()> {
    let mut there = Vec::new();
    for line in io::stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Order::Come { numbers, seed } => {
                there.extend(numbers.into_iter().map(|number| Visit::start(number, seed)));
            }
            Order::Go => {
                let ending: Vec<_> = there.drain(..).map(Visit::end).collect();
                for thread in ending {
                    let ended = thread.join().map_err(|_| "an incarnation panics".to_owned());
                    ended.flatten().map_err(io::Error::other)?;
                }
            }
        }
        println!("{{}}");
    }
    Ok(())
}

type Thread = std::thread::JoinHandle<Result<(), String>>;

/// An incarnation on a thread of its own, which ends with all that it spawned.
struct Visit {
    end: oneshot::Sender<()>,
    thread: Thread,
}

impl Visit {
    fn start(number: u64, seed: SocketAddr) -> Self {
        let (end, ended) = oneshot::channel();
        let visit = async move {
            let (network, _events, _) = start(FIRST + number, vec![seed]).await?;
            // Whoever drops the other end has given up.
            let _ = ended.await;
            if number.is_multiple_of(2) {
                network.leave().await;
            }
            Ok(())
        };
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(visit)
        });
        Visit { end, thread }
    }

    fn end(self) -> Thread {
        drop(self.end);
        self.thread
    }
}

/// That process, from outside.
pub(super) struct Visitors(Again);

impl Visitors {
    pub(super) fn start() -> Result<Self, String> {
        Again::start(NAME).map(Visitors)
    }

    /// Incarnations of these numbers start.
    pub(super) fn come(&mut self, numbers: &[u64], seed: SocketAddr) -> Result<(), String> {
        self.order(&Order::Come { numbers: numbers.to_vec(), seed })
    }

    /// They leave by turns with a word and without, and are gone when this returns.
    pub(super) fn go(&mut self) -> Result<(), String> {
        self.order(&Order::Go)
    }

    fn order(&mut self, order: &Order) -> Result<(), String> {
        self.0.order(order)?;
        self.0.report::<IgnoredAny>().map(drop)
    }
}
