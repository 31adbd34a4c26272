//! The command-line clients of mosquitto, as child processes: players that we did not write.

use crate::lab::need;
use crate::player::Dialect;
use node::service::view::NodeLinks;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Both clients, for one node and one version of MQTT.
#[derive(Debug, Clone)]
pub struct Mosquitto {
    publish: PathBuf,
    subscribe: PathBuf,
    host: String,
    port: String,
    version: &'static str,
}

/// What a publish came to.
#[derive(Debug, Clone)]
pub struct Published {
    /// Whether the client was content.
    pub success: bool,
    /// Everything it printed, the packets it sent and received among it.
    pub output: String,
}

impl Mosquitto {
    /// The clients for a node; `None`, said aloud, where they are not installed.
    ///
    /// # Panics
    /// If they are missing where `STARLING_LAB=1` is set, or the node's address has no port.
    #[must_use]
    pub fn new(links: &NodeLinks, dialect: Dialect) -> Option<Self> {
        let (publish, subscribe) = (need("mosquitto_pub")?, need("mosquitto_sub")?);
        let (host, port) = links.mqtt.rsplit_once(':').expect("an address has a port");
        let version = match dialect {
            Dialect::V311 => "mqttv311",
            Dialect::V5 => "mqttv5",
        };
        let (host, port) = (host.to_owned(), port.to_owned());
        Some(Mosquitto { publish, subscribe, host, port, version })
    }

    /// Publishes one message at QoS 1 and waits for its acknowledgement.
    ///
    /// # Panics
    /// If the client cannot be run.
    #[must_use]
    pub fn publish(&self, topic: &str, payload: &str) -> Published {
        let mut command = self.command(&self.publish);
        command.args(["-d", "-q", "1", "-t", topic, "-m", payload]);
        let output = command.output().expect("mosquitto_pub runs");
        let text = [output.stdout, output.stderr].concat();
        let output_text = String::from_utf8_lossy(&text).into_owned();
        Published { success: output.status.success(), output: output_text }
    }

    /// Listens to one topic.
    ///
    /// # Panics
    /// If the client cannot be run.
    #[must_use]
    pub fn listen(&self, topic: &str) -> Listener {
        let mut command = self.command(&self.subscribe);
        command.args(["-q", "1", "-t", topic, "-F", "%p"]).stdout(Stdio::piped());
        let mut child = command.spawn().expect("mosquitto_sub runs");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let (to, lines) = sync_channel(LINES_MAX);
        // Ends with the child; when the queue is full the child waits.
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|it| to.send(it)));
        Listener { child, lines, heard: Vec::new() }
    }

    fn command(&self, program: &PathBuf) -> Command {
        let mut command = Command::new(program);
        command.args(["-V", self.version, "-h", &self.host, "-p", &self.port]);
        command.stdin(Stdio::null());
        command
    }
}

/// A running `mosquitto_sub`.
#[derive(Debug)]
pub struct Listener {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<Value>,
}

impl Listener {
    /// The first message, of all that came or will come, that is as wanted.
    ///
    /// # Panics
    /// If none comes in time, or one is no JSON.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + MESSAGE_MAX;
        loop {
            if let Some(found) = self.heard.iter().find(|message| wanted(message)) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("{what} did not come: {:#?}", self.heard));
            let message = serde_json::from_str(&line);
            self.heard.push(message.unwrap_or_else(|error| panic!("{error} in {line}")));
        }
    }

    /// The first message of a `type`.
    ///
    /// # Panics
    /// If none comes in time, or one is no JSON.
    pub fn wait_type(&mut self, name: &str) -> Value {
        self.wait(name, |message| message["type"] == name)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that wait to be read.
const LINES_MAX: usize = 256;

/// How long a message may take.
pub(crate) const MESSAGE_MAX: Duration = Duration::from_secs(10);
