//! MQTT brokers from Debian as child processes: what nodes stand behind in tests.
//!
//! Each has a folder, ports and a process group of its own, so that it is ended with everything that
//! it started, and nothing else is.

use crate::lab::{eventually, need, say, skip};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// MQTT 3.1.1 and 5, shared subscriptions, access rules by client id.
    Mosquitto,
    /// Debian's 3.10: MQTT 3.1.1 only, no shared subscriptions.
    RabbitMq,
}

/// A broker that runs.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    program: PathBuf,
    folder: TempDir,
    /// Where it listens for MQTT.
    pub address: SocketAddr,
    /// Where it listens for MQTT under TLS, if it does.
    pub secure: Option<SocketAddr>,
    /// Where it takes MQTT over WebSocket, if it does.
    pub pages: Option<SocketAddr>,
    child: Child,
}

/// The user of the nodes at Mosquitto, with its password.
pub const NODES: (&str, &str) = ("starling", "murmuration");

/// The page that tells operators what their broker needs.
const PAGE: &str = include_str!("../../node/docs/broker.md");

/// The access rules for Mosquitto, as operators copy them.
fn access_rules() -> &'static str {
    let block = PAGE.split("```acl\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("the page has access rules")
}

impl Broker {
    /// Starts a broker; `None`, said aloud, where it is not installed.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start(kind: Kind) -> Option<Self> {
        let program = match kind {
            Kind::Mosquitto => need("mosquitto")?,
            Kind::RabbitMq => rabbitmq()?,
        };
        for _ in 0..STARTS_MAX {
            let folder = tempfile::Builder::new().prefix("starling-broker-").tempdir();
            let folder = folder.expect("a temporary folder can be made");
            if kind == Kind::Mosquitto {
                prepare_mosquitto(folder.path())?;
            }
            let [address, other, third] = free();
            let secure = (kind == Kind::Mosquitto).then_some(other);
            let pages = secure.map(|_| third);
            match kind {
                Kind::Mosquitto => configure_mosquitto(folder.path(), [address, other, third]),
                Kind::RabbitMq => configure_rabbitmq(folder.path(), address, other),
            }
            let child = spawn(kind, &program, folder.path());
            let mut broker =
                Broker { kind, program: program.clone(), folder, address, secure, pages, child };
            if broker.listens() {
                return Some(broker);
            }
            say(&format!(
                "{kind:?} has ended at once and is started on other ports: {}",
                broker.log()
            ));
        }
        panic!("{kind:?} does not start");
    }

    /// The flags with which a node stands behind it.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--edge".to_owned(), "broker".to_owned(), "--broker".to_owned()];
        match self.secure {
            None => flags.push(format!("mqtt://{}", self.address)),
            Some(secure) => {
                flags.push(format!("mqtts://{secure}"));
                flags.extend(["--broker-ca".to_owned(), self.file("cert.pem")]);
                flags.extend(["--broker-user".to_owned(), NODES.0.to_owned()]);
                flags.extend(["--broker-password-file".to_owned(), self.file("password")]);
            }
        }
        flags
    }

    /// One of its files: Mosquitto's `cert.pem`, or `password` with that of the nodes.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Ends it, in order or without a word, and starts it again on what is on its disk.
    ///
    /// # Panics
    /// If it does not end, or not listen again, in time.
    pub fn restart(&mut self, signal: i32) {
        self.signal(signal);
        eventually("the end of the broker", START_MAX, || self.child.try_wait().ok().flatten());
        // A child of it may be left.
        self.signal(libc::SIGKILL);
        self.child = spawn(self.kind, &self.program, self.folder.path());
        assert!(self.listens(), "the broker does not start again: {}", self.log());
    }

    /// Waits until it listens wherever it shall; tells if it ends instead, as it does where a port has
    /// been taken since it was free.
    fn listens(&mut self) -> bool {
        let doors = [Some(self.address), self.secure, self.pages];
        let is_open = |door: SocketAddr| TcpStream::connect(door).is_ok();
        eventually("the broker listening", START_MAX, || {
            let is_up = doors.into_iter().flatten().all(is_open);
            // Who listens there may be somebody else: it is asked for its end last.
            let is_over = self.child.try_wait().expect("it is our child").is_some();
            (is_up || is_over).then_some(!is_over)
        })
    }

    /// What it has said.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: i32) {
        let group = i32::try_from(self.child.id()).expect("process ids are positive");
        // SAFETY: kill(2) has no preconditions; the group is the child's own.
        unsafe { libc::kill(-group, signal) };
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if thread::panicking() {
            let state = self.child.try_wait();
            say(&format!("{:?} at {}, ended {state:?}: {}", self.kind, self.address, self.log()));
        }
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
        if self.kind == Kind::RabbitMq {
            // Erlang's port mapper left the group; it listens on a port that is this broker's alone.
            let (epmd, _) = ports(self.folder.path());
            let mut command = Command::new("epmd");
            let _ = command.args(["-port", &epmd, "-kill"]).stdout(Stdio::null()).status();
        }
    }
}

/// Ports that are free now, each another one.
fn free<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let bound =
        [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"));
    bound.map(|listener| listener.local_addr().expect("it is bound"))
}

/// The server's own script: the one along `PATH` changes the user.
fn rabbitmq() -> Option<PathBuf> {
    let installed = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let scripts = installed.map(|entry| entry.path().join("sbin/rabbitmq-server"));
    let found = scripts.into_iter().find(|script| script.is_file());
    if found.is_none() {
        skip("rabbitmq-server");
    }
    found
}

fn spawn(kind: Kind, program: &Path, folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log"));
    let log = log.expect("the log can be written");
    let mut command = Command::new(program);
    match kind {
        Kind::Mosquitto => {
            command.arg("-c").arg(folder.join("mosquitto.conf"));
        }
        Kind::RabbitMq => rabbitmq_environment(&mut command, folder),
    }
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the broker can be started")
}

/// Certificate, users and access rules. `None`, said aloud, where a tool is missing.
fn prepare_mosquitto(folder: &Path) -> Option<()> {
    let (openssl, passwd) = (need("openssl")?, need("mosquitto_passwd")?);
    let path = |name: &str| folder.join(name).display().to_string();
    let mut request = Command::new(openssl);
    request.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    request.args(["-nodes", "-days", "2", "-subj", "/CN=broker", "-addext"]);
    request.args(["subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]);
    request.args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")]);
    run(&mut request);
    run(Command::new(passwd).args(["-b", "-c", &path("users"), NODES.0, NODES.1]));
    fs::write(folder.join("password"), NODES.1).expect("writable");
    fs::write(folder.join("acl"), access_rules()).expect("writable");
    Some(())
}

/// Persistent, so that what it has acknowledged survives an orderly end.
fn configure_mosquitto(folder: &Path, listeners: [SocketAddr; 3]) {
    let [address, secure, pages] = listeners;
    let path = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "user root\nlistener {} 127.0.0.1\nlistener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n\
         listener {} 127.0.0.1\nprotocol websockets\n\
         allow_anonymous true\npassword_file {}\nacl_file {}\npersistence true\n\
         persistence_location {}/\nset_tcp_nodelay true\nmax_inflight_messages 0\n\
         max_queued_messages 0\n",
        address.port(),
        secure.port(),
        path("cert.pem"),
        path("key.pem"),
        pages.port(),
        path("users"),
        path("acl"),
        folder.display(),
    );
    fs::write(folder.join("mosquitto.conf"), config).expect("writable");
}

fn run(command: &mut Command) {
    let output = command.output().expect("the tool starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn configure_rabbitmq(folder: &Path, address: SocketAddr, amqp: SocketAddr) {
    let config = format!(
        "listeners.tcp.1 = {amqp}\nmqtt.listeners.tcp.1 = {address}\nmqtt.allow_anonymous = true\n\
         mqtt.prefetch = 1000\nlog.console = false\n"
    );
    fs::write(folder.join("rabbitmq.conf"), config).expect("writable");
    fs::write(folder.join("plugins"), "[rabbitmq_mqtt].\n").expect("writable");
    let [epmd, dist] = free();
    let ports = format!("{} {}", epmd.port(), dist.port());
    fs::write(folder.join("ports"), ports).expect("writable");
}

fn rabbitmq_environment(command: &mut Command, folder: &Path) {
    let (epmd, dist) = ports(folder);
    command.env("HOME", folder).env("RABBITMQ_NODENAME", format!("starling{dist}@localhost"));
    command.env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"));
    command.env("RABBITMQ_LOG_BASE", folder.join("logs"));
    command.env("RABBITMQ_PID_FILE", folder.join("pid"));
    command.env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"));
    command.env("RABBITMQ_CONF_ENV_FILE", folder.join("none"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
    command.env("RABBITMQ_DIST_PORT", dist).env("ERL_EPMD_PORT", epmd);
    command.env("ERL_EPMD_ADDRESS", "127.0.0.1");
}

/// Those of Erlang's port mapper and of the node in Erlang's own network.
fn ports(folder: &Path) -> (String, String) {
    let ports = fs::read_to_string(folder.join("ports")).expect("written before the start");
    let (epmd, dist) = ports.split_once(' ').expect("written before the start");
    (epmd.to_owned(), dist.to_owned())
}

/// On how many sets of ports a broker is tried. Ports can be taken between asking for them and listening.
const STARTS_MAX: usize = 3;
/// RabbitMQ takes its time on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);
