//! Redis beside the state: a counter for each player, and one sorted set of all, as a leaderboard would be kept there.
//!
//! It is a server of its own, so its clients' commands come by the thousand in one write: what it takes a second is what
//! its one thread reads, changes and answers.

use crate::lab::{eventually, need};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Changes a second of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redis {
    pub(super) counters_per_s: f64,
    pub(super) sorted_set_per_s: f64,
}

/// Adds points to every player once, in each form; nothing where there is no Redis.
pub(super) fn measure(players: usize) -> Result<Option<Redis>, String> {
    let Some(server) = Server::start()? else { return Ok(None) };
    let counter = |player: usize| command(&["INCRBY", &format!("player:{player}"), "7"]);
    let place = |player: usize| command(&["ZINCRBY", "board", "7", &format!("player:{player}")]);
    Ok(Some(Redis {
        counters_per_s: server.rate(players, counter, 1)?,
        sorted_set_per_s: server.rate(players, place, 2)?,
    }))
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Result<Option<Self>, String> {
        let Some(program) = need("redis-server") else { return Ok(None) };
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| error.to_string())?;
        let server = Server { child, address };
        eventually("redis listening", START_MAX, || TcpStream::connect(address).ok());
        Ok(Some(server))
    }

    /// Sends one command for each player, and reads as many answers of so many lines each.
    fn rate(
        &self,
        players: usize,
        command: impl Fn(usize) -> String,
        lines: usize,
    ) -> Result<f64, String> {
        let batches: Vec<(usize, String)> = (0..players)
            .step_by(BATCH)
            .map(|first| {
                let of = first..players.min(first + BATCH);
                (of.len() * lines, of.map(&command).collect())
            })
            .collect();
        let told = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.address).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        let (began, mut buffer) = (Instant::now(), vec![0; 64 << 10]);
        for (mut lines, commands) in batches {
            stream.write_all(commands.as_bytes()).map_err(told)?;
            while lines > 0 {
                let read = stream.read(&mut buffer).map_err(told)?;
                let answers = &buffer[..read];
                if read == 0 || answers.starts_with(b"-") {
                    return Err(format!("redis refuses: {}", String::from_utf8_lossy(answers)));
                }
                lines -= answers.iter().filter(|byte| **byte == b'\n').count();
            }
        }
        Ok(players as f64 / began.elapsed().as_secs_f64())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command as it travels.
fn command(words: &[&str]) -> String {
    let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(word).collect::<String>())
}

/// Commands in one write.
const BATCH: usize = 1_000;
const START_MAX: Duration = Duration::from_secs(10);
