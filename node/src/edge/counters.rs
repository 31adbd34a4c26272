//! What the edge counts, as plain atomics.
//!
//! Every series exists from the start, so that a rate over it is right from the first scrape. The
//! numbers are independent of each other: a reading is not a consistent cut.

use super::acl::Access;
use super::connection::Closed;
use super::guard::Fault;
use super::packet::Protocol;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The edge's counters and gauges.
#[derive(Debug, Default)]
pub struct Counters {
    connections_open: AtomicU64,
    connections_refused: AtomicU64,
    accepts_failed: AtomicU64,
    connects: [[AtomicU64; ConnectResult::ALL.len()]; PROTOCOLS.len()],
    clients_numbered: AtomicU64,
    connections_numbered: AtomicU64,
    sessions_active: AtomicU64,
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    frames_too_large: AtomicU64,
    connects_deferred: AtomicU64,
    publishes_flooded: AtomicU64,
    publishes_denied: AtomicU64,
    subscriptions_denied: AtomicU64,
    open_dropped: AtomicU64,
    faults: [AtomicU64; Fault::ALL.len()],
    closed: [AtomicU64; Closed::LABELS.len()],
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectResult {
    /// With a CONNACK of success.
    Accepted,
    /// The CONNECT was refused, or what came was none.
    Refused,
    /// No CONNECT came in time.
    TimedOut,
    /// The client went away before.
    Gone,
}

/// One number, as an exporter needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The series, with unit and `_total` as exporters expect them.
    pub name: &'static str,
    /// What it means, the same wherever the name is used.
    pub help: &'static str,
    /// What distinguishes it among those of its name.
    pub labels: Vec<(&'static str, &'static str)>,
    /// Its value.
    pub value: u64,
}

impl Counters {
    /// Everything counted so far, in a fixed order. Names that end in `_total` only grow, the
    /// others are gauges.
    #[must_use]
    pub fn readings(&self) -> Vec<Reading> {
        let mut out = vec![
            reading("starling_mqtt_connections_open", &[], &self.connections_open),
            reading("starling_mqtt_connections_refused_total", &[], &self.connections_refused),
            reading("starling_mqtt_accepts_failed_total", &[], &self.accepts_failed),
            reading("starling_mqtt_sessions_active", &[], &self.sessions_active),
            reading("starling_mqtt_packets_total", &[("direction", "in")], &self.packets_in),
            reading("starling_mqtt_packets_total", &[("direction", "out")], &self.packets_out),
            reading("starling_mqtt_frames_too_large_total", &[], &self.frames_too_large),
            reading("starling_mqtt_connects_deferred_total", &[], &self.connects_deferred),
            reading("starling_mqtt_publishes_flooded_total", &[], &self.publishes_flooded),
            reading("starling_mqtt_denied_total", &[("what", "publish")], &self.publishes_denied),
            reading(
                "starling_mqtt_denied_total",
                &[("what", "subscribe")],
                &self.subscriptions_denied,
            ),
            reading("starling_mqtt_open_dropped_total", &[], &self.open_dropped),
        ];
        for (protocol, results) in PROTOCOLS.iter().zip(&self.connects) {
            for (result, value) in ConnectResult::ALL.iter().zip(results) {
                let labels = [("protocol", *protocol), ("result", result.label())];
                out.push(reading("starling_mqtt_connects_total", &labels, value));
            }
        }
        for (fault, value) in Fault::ALL.iter().zip(&self.faults) {
            out.push(reading("starling_mqtt_faults_total", &[("kind", fault.label())], value));
        }
        for (reason, value) in Closed::LABELS.iter().zip(&self.closed) {
            out.push(reading("starling_mqtt_closed_total", &[("reason", reason)], value));
        }
        out
    }

    /// Clients whose CONNECT was accepted and who are still there.
    #[must_use]
    pub fn sessions_active(&self) -> u64 {
        self.sessions_active.load(Relaxed)
    }

    /// Counts a connection in; the answer includes it.
    pub(super) fn connection_opened(&self) -> u64 {
        self.connections_open.fetch_add(1, Relaxed) + 1
    }

    pub(super) fn connection_closed(&self) {
        self.connections_open.fetch_sub(1, Relaxed);
    }

    pub(super) fn connection_refused(&self) {
        self.connections_refused.fetch_add(1, Relaxed);
    }

    pub(super) fn accept_failed(&self) {
        self.accepts_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn connect(&self, protocol: Option<Protocol>, result: ConnectResult) {
        let protocol = protocol.map_or(0, |protocol| protocol as usize + 1);
        self.connects[protocol][result as usize].fetch_add(1, Relaxed);
    }

    /// The next number for a client that has no name.
    pub(super) fn next_client_number(&self) -> u64 {
        self.clients_numbered.fetch_add(1, Relaxed)
    }

    pub(super) fn next_connection_number(&self) -> NonZeroU64 {
        let before = self.connections_numbered.fetch_add(1, Relaxed);
        NonZeroU64::MIN.saturating_add(before)
    }

    pub(super) fn packet_in(&self) {
        self.packets_in.fetch_add(1, Relaxed);
    }

    pub(super) fn packet_out(&self) {
        self.packets_out.fetch_add(1, Relaxed);
    }

    pub(super) fn frame_too_large(&self) {
        self.frames_too_large.fetch_add(1, Relaxed);
    }

    /// Counts a client that is to come later; the answer is its number.
    pub(super) fn connect_deferred(&self) -> u64 {
        self.connects_deferred.fetch_add(1, Relaxed)
    }

    /// Counts messages for which the broker of the open profile had no room.
    pub(super) fn open_dropped(&self, messages: u64) {
        self.open_dropped.fetch_add(messages, Relaxed);
    }

    pub(super) fn publish_flooded(&self) {
        self.publishes_flooded.fetch_add(1, Relaxed);
    }

    /// Counts what an access rule did not allow.
    pub(super) fn denied(&self, access: Access) {
        let denied = match access {
            Access::Publish => &self.publishes_denied,
            Access::Subscribe => &self.subscriptions_denied,
        };
        denied.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self, closed: Closed) {
        self.closed[closed.index()].fetch_add(1, Relaxed);
        if let Closed::Faulty(fault) = closed {
            let index = Fault::ALL.iter().position(|other| other.label() == fault.label());
            self.faults[index.expect("ALL holds every kind")].fetch_add(1, Relaxed);
        }
    }
}

/// Counts a session as active while it lives, also when its task is aborted.
#[derive(Debug)]
pub(super) struct ActiveSession<'a>(&'a Counters);

impl<'a> ActiveSession<'a> {
    pub(super) fn begin(counters: &'a Counters) -> Self {
        counters.sessions_active.fetch_add(1, Relaxed);
        ActiveSession(counters)
    }
}

impl Drop for ActiveSession<'_> {
    fn drop(&mut self) {
        self.0.sessions_active.fetch_sub(1, Relaxed);
    }
}

impl ConnectResult {
    const ALL: [ConnectResult; 4] = [
        ConnectResult::Accepted,
        ConnectResult::Refused,
        ConnectResult::TimedOut,
        ConnectResult::Gone,
    ];

    fn label(self) -> &'static str {
        match self {
            ConnectResult::Accepted => "accepted",
            ConnectResult::Refused => "refused",
            ConnectResult::TimedOut => "timed_out",
            ConnectResult::Gone => "gone",
        }
    }
}

fn reading(
    name: &'static str,
    labels: &[(&'static str, &'static str)],
    value: &AtomicU64,
) -> Reading {
    Reading { name, help: help(name), labels: labels.to_vec(), value: value.load(Relaxed) }
}

fn help(name: &str) -> &'static str {
    match name {
        "starling_mqtt_connections_open" => {
            "Connections over TCP, TLS and WebSocket, with or without a CONNECT yet."
        }
        "starling_mqtt_connections_refused_total" => "Connections for which there was no place.",
        "starling_mqtt_accepts_failed_total" => {
            "Connections that could not be accepted, as for want of files."
        }
        "starling_mqtt_sessions_active" => "Clients that were let in and are there.",
        "starling_mqtt_packets_total" => "MQTT packets read and written.",
        "starling_mqtt_frames_too_large_total" => {
            "Messages not sent because they are beyond what the client takes."
        }
        "starling_mqtt_connects_deferred_total" => {
            "Clients told to come later, as too many came at once."
        }
        "starling_mqtt_publishes_flooded_total" => "Publishes refused as beyond the node's rate.",
        "starling_mqtt_denied_total" => "What an access rule did not allow.",
        "starling_mqtt_open_dropped_total" => {
            "Messages for which the broker of the open profile had no room."
        }
        "starling_mqtt_connects_total" => {
            "Attempts to connect by the client's version of MQTT, and how they ended."
        }
        "starling_mqtt_faults_total" => {
            "Connections that ended because the client broke the protocol, by how."
        }
        "starling_mqtt_closed_total" => "Connections that ended, by why.",
        other => unreachable!("{other} has a help"),
    }
}

/// `unknown` first, then in the order of [`Protocol`].
const PROTOCOLS: [&str; 3] = ["unknown", "3.1.1", "5"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_series_is_listed_once() {
        let readings = Counters::default().readings();
        let distinct: BTreeSet<_> =
            readings.iter().map(|reading| (reading.name, reading.labels.clone())).collect();
        assert_eq!(distinct.len(), readings.len());
    }

    #[test]
    fn every_series_says_what_it_means_and_stands_in_the_documentation() {
        let page = include_str!("../../docs/mqtt.md");
        for reading in Counters::default().readings() {
            assert!(!reading.help.is_empty() && reading.help.ends_with('.'), "{reading:?}");
            assert!(
                page.contains(&format!("`{}", reading.name)),
                "{} is not in mqtt.md",
                reading.name
            );
        }
    }

    #[test]
    fn a_fault_counts_as_its_kind_and_as_a_closed_connection() {
        let counters = Counters::default();
        counters.closed(Closed::Faulty(Fault::Oversized));
        let grown: Vec<_> =
            counters.readings().into_iter().filter(|reading| reading.value > 0).collect();
        let names: Vec<_> = grown.iter().map(|reading| reading.labels.clone()).collect();
        assert_eq!(names, [vec![("kind", "oversized")], vec![("reason", "faulty")]]);
    }
}
