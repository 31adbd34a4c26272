//! The running cluster in one page: `cluster.json` for programs, a table for people.

use super::fleet::{Fleet, Seat};
use super::launch::KEY_FILE;
use super::ready::{ANSWER_PATIENCE, Wanted, ask, wait};
use crate::cli::client::{Client, ClientError};
use crate::cli::event::describe_imported;
use crate::cli::out::table;
use crate::cli::parts::describe_problems;
use crate::cli::{Exit, Failure};
use crate::service::view::Imported;
use crate::token::TokenKeys;
use crdt_state::EventId;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// The file that tells programs where everything is.
const FILE: &str = "cluster.json";

/// What `cluster.json` says.
#[derive(Debug, Serialize)]
pub(super) struct Cluster {
    pub(super) nodes: Vec<NodeLine>,
    event: EventLine,
    host_token: String,
    ops_token: String,
}

/// A node: `host:port` of MQTT and peers, full URLs of pages and MQTT over WebSocket.
#[derive(Debug, Serialize)]
pub(super) struct NodeLine {
    name: String,
    pid: u32,
    http: String,
    mqtt: String,
    ws: String,
    peer: String,
}

#[derive(Debug, Serialize)]
struct EventLine {
    id: EventId,
    pin: String,
}

impl Cluster {
    /// Loads the show through the first node and waits until every node knows it.
    pub(super) async fn found(
        fleet: &Fleet,
        show: &str,
        keys: &TokenKeys,
    ) -> Result<Self, Failure> {
        let mut cluster = Cluster {
            nodes: fleet.seats().iter().filter_map(NodeLine::of).collect(),
            event: EventLine { id: EventId(0), pin: String::new() },
            host_token: String::new(),
            ops_token: keys.ops(),
        };
        let everybody = Wanted { members: cluster.nodes.len(), event: None };
        let first = cluster.client(0);
        wait(&first, &everybody).await?;
        let show = show.to_owned();
        let imported = ask(&first, move |client| client.post("/api/v1/events", &show)).await;
        let imported: Imported = imported.map_err(describe_refusal)?;
        cluster.event = EventLine { id: imported.event, pin: imported.pin.clone() };
        cluster.host_token = imported.host_token;
        let informed = Wanted { event: Some((imported.event, imported.pin)), ..everybody };
        for index in 0..cluster.nodes.len() {
            wait(&cluster.client(index), &informed).await?;
        }
        Ok(cluster)
    }

    /// Takes over what has changed with a restart, and waits until that node is back in.
    pub(super) async fn welcome(&mut self, fleet: &Fleet, number: usize) -> Result<(), Failure> {
        self.nodes = fleet.seats().iter().filter_map(NodeLine::of).collect();
        let event = (self.event.id, self.event.pin.clone());
        let wanted = Wanted { members: fleet.running(), event: Some(event) };
        wait(&self.client(number - 1), &wanted).await
    }

    /// Replaces `cluster.json` in one step. Only its owner reads it: it holds tokens.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Failure> {
        let file = dir.join(FILE);
        let written = || -> std::io::Result<()> {
            let mut part = NamedTempFile::new_in(dir)?;
            serde_json::to_writer(&mut part, self)?;
            part.write_all(b"\n")?;
            part.persist(&file)?;
            Ok(())
        };
        written().map_err(Failure::of(Exit::Failed, format!("cannot write {}", file.display())))
    }

    /// The cluster for people.
    pub(super) fn describe(&self, dir: &impl Display) -> String {
        let row = |node: &NodeLine| {
            let NodeLine { name, pid, http, mqtt, peer, .. } = node;
            [name.clone(), pid.to_string(), http.clone(), mqtt.clone(), peer.clone()]
        };
        let rows: Vec<_> = self.nodes.iter().map(row).collect();
        let (event, pin, host_token) = (self.event.id, self.event.pin.clone(), &self.host_token);
        let imported = Imported { event, pin, host_token: host_token.clone() };
        let http = &self.nodes[0].http;
        format!(
            "{} nodes in {dir}\n\n{}\n\n{}\n\n\
             export STARLING_NODE={http} STARLING_TOKEN={} STARLING_KEY_FILE={dir}/{KEY_FILE}\n\n\
             any node will do: open a page on one, then `k N` kills node N, `r N` starts it again, \
             `q` stops all",
            self.nodes.len(),
            table(["NODE", "PID", "HTTP", "MQTT", "PEER"], &rows),
            describe_imported(http, &imported),
            self.ops_token,
        )
    }

    fn client(&self, index: usize) -> Client {
        Client::at(&self.nodes[index].http, Some(self.ops_token.clone()), ANSWER_PATIENCE)
    }
}

impl NodeLine {
    fn of(seat: &Seat) -> Option<Self> {
        let bound = seat.bound.as_ref()?;
        Some(NodeLine {
            name: seat.name.clone(),
            pid: seat.pid,
            http: format!("http://{}", bound.http),
            mqtt: bound.mqtt.to_string(),
            ws: format!("ws://{}/mqtt", bound.http),
            peer: bound.peer.to_string(),
        })
    }
}

fn describe_refusal(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { refusal, .. } if !refusal.problems.is_empty() => {
            Failure::new(Exit::Invalid, describe_problems(&refusal.problems, "the show"))
        }
        error => error.into(),
    }
}
