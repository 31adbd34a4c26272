//! Eclipse Paho for Python, in a virtual environment of its own under the target folder.

use crate::mosquitto::MESSAGE_MAX;
use crate::player::{Dialect, Transport};
use node::service::view::NodeLinks;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

/// The Python that has Paho; `None`, said aloud, where there is no Python or no way to install it.
///
/// # Panics
/// If it is missing where `STARLING_LAB=1` is set.
#[must_use]
pub fn python() -> Option<PathBuf> {
    crate::python::with("paho", &[PAHO])
}

/// A player written in Python: joins, waits for a question, answers, waits for everything it is
/// told about that.
#[derive(Debug)]
pub struct PahoPlayer {
    child: Child,
    lines: Receiver<String>,
}

/// What such a player needs to know.
#[derive(Debug, Clone)]
pub struct PahoOptions {
    /// The event's PIN.
    pub pin: String,
    /// 32 hexadecimal digits.
    pub player: String,
    /// The name to join with.
    pub name: String,
    /// The option to choose.
    pub choice: u8,
    /// Which MQTT.
    pub dialect: Dialect,
    /// Over what.
    pub transport: Transport,
}

impl PahoPlayer {
    /// Starts it.
    ///
    /// # Panics
    /// If Python cannot be run or the node's links are not what they should be.
    #[must_use]
    pub fn start(python: &Path, links: &NodeLinks, options: &PahoOptions) -> Self {
        let PahoOptions { pin, player, name, choice, dialect, transport } = options;
        let (host, port) = match transport {
            Transport::Tcp => links.mqtt.rsplit_once(':'),
            Transport::WebSocket => {
                let address = links.ws.trim_start_matches("ws://").trim_end_matches("/mqtt");
                address.rsplit_once(':')
            }
        }
        .expect("an address has a port");
        let settings = json!({
            "host": host, "port": port.parse::<u16>().expect("a port is a number"),
            "websocket": *transport == Transport::WebSocket, "v5": *dialect == Dialect::V5,
            "pin": pin, "player": player, "name": name, "choice": choice,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/paho/player.py");
        let mut command = Command::new(python);
        command.arg(script).arg(settings.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python runs");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (to, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|it| to.send(it)));
        PahoPlayer { child, lines }
    }

    /// Waits for the next thing it says of one kind.
    ///
    /// # Panics
    /// If it ends or stays silent.
    #[must_use]
    pub fn wait(&self, kind: &str) -> Value {
        self.wait_either(kind, kind)
    }

    /// Waits for the next thing it says of one of two kinds; everything else is passed over.
    ///
    /// # Panics
    /// If it ends or stays silent.
    #[must_use]
    pub fn wait_either(&self, kind: &str, other: &str) -> Value {
        let deadline = Instant::now() + MESSAGE_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("the player never told {kind}"));
            let told: Value = serde_json::from_str(&line).expect("it prints JSON");
            if told["told"] == kind || told["told"] == other {
                return told;
            }
        }
    }
}

impl Drop for PahoPlayer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The release that the tests were written with.
const PAHO: &str = "paho-mqtt==2.1.0";

/// Lines that wait to be read.
const LINES_MAX: usize = 256;
