//! A node's memory after many incarnations of others came and went.
//!
//! Two networks stay, and are looked at. Others start, in a process of their own, are seen by both, and leave or are killed by turns, until a thousand
//! have been there; then the grace of the dead passes. It is shortened here from five minutes to seconds,
//! or as many as are dead at once would be refused, as they should be.

use super::cpu;
use super::nodes::until;
use super::visitors::Visitors;
use crate::lab::say;
use crdt_state::{NodeId, Origin};
use gossip::network::{
    ClusterKey, KeyRing, Network, NetworkConfig, NetworkEvent, Ports, TokioSpawn, Tuning,
    open_socket,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Networks that stay.
const STAYING: u64 = 2;

/// The node id of the first that does not.
pub(super) const FIRST: u64 = 100;

/// Incarnations that come and go before the first look: what is made once is made then, and as many are dead
/// at once as ever will be.
const WARM: u64 = 300;

/// So many are there at once.
const AT_ONCE: usize = 25;

/// The resident memory afterwards over that before, with so many incarnations between the two looks.
pub(super) async fn measure(incarnations: u64) -> Result<f64, String> {
    let mut staying = Vec::new();
    for number in 1..=STAYING {
        let seeds = staying.iter().map(|staying: &Staying| staying.addr).collect();
        let (network, events, addr) = start(number, seeds).await?;
        staying.push(Staying { network, addr, events: tokio::spawn(forget(events)) });
    }
    let mut visitors = Visitors::start()?;
    let warm = WARM.min(incarnations);
    pass_by(&mut visitors, &staying, 0..warm).await?;
    let before = cpu::resident();
    pass_by(&mut visitors, &staying, warm..warm + incarnations).await?;
    let after = cpu::resident();
    say(&format!("of {before} bytes {after} have become"));
    for Staying { network, events, .. } in staying {
        network.leave().await;
        events.abort();
    }
    Ok(after as f64 / before as f64)
}

/// A network that is there all the time.
struct Staying {
    network: Network,
    addr: SocketAddr,
    /// Takes its events, as a node does.
    events: JoinHandle<()>,
}

async fn forget(mut events: mpsc::Receiver<NetworkEvent>) {
    while events.recv().await.is_some() {}
}

/// Some come and go, a few at a time; returns when nobody holds anything of them, by links or by gossip.
async fn pass_by(
    visitors: &mut Visitors,
    staying: &[Staying],
    numbers: Range<u64>,
) -> Result<(), String> {
    let numbers: Vec<u64> = numbers.collect();
    for numbers in numbers.chunks(AT_ONCE) {
        say(&format!("incarnations {}", numbers[0]));
        visitors.come(numbers, staying[0].addr)?;
        until("incarnations to be seen", || async {
            let sees = |staying: &Staying, number: &u64| {
                let origin = origin(*number);
                staying.network.peers().iter().any(|peer| peer.origin == origin)
            };
            let seen = numbers.iter().all(|n| staying.iter().all(|staying| sees(staying, n)));
            seen.then_some(())
        })
        .await?;
        visitors.go()?;
    }
    until("the dead to be forgotten", || async {
        let alone = |staying: &Staying| {
            let held = staying.network.stats().incarnations;
            held == STAYING && staying.network.peers().len() as u64 + 1 == STAYING
        };
        staying.iter().all(alone).then_some(())
    })
    .await
}

fn origin(number: u64) -> Origin {
    Origin(FIRST + number)
}

pub(super) async fn start(
    number: u64,
    seeds: Vec<SocketAddr>,
) -> Result<(Network, mpsc::Receiver<NetworkEvent>, SocketAddr), String> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let (socket, addr) = open_socket(loopback).map_err(|error| error.to_string())?;
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    let ports =
        Ports { socket, runtime: Arc::new(quinn::TokioRuntime), spawn: Arc::new(TokioSpawn), seed };
    let config = NetworkConfig {
        cluster: "churn".to_owned(),
        ring: KeyRing::new(&ClusterKey::from_bytes([1; 32])),
        node: NodeId(number),
        origin: Origin(number),
        generation: 1,
        name: format!("node-{number}"),
        advertise: addr,
        seeds,
        remembered: Vec::new(),
        kvs: BTreeMap::new(),
        config_hash: 7,
        tuning: Tuning { dead_grace: GRACE, ..Tuning::default() },
    };
    let (network, events) =
        Network::start(config, ports).await.map_err(|error| error.to_string())?;
    Ok((network, events, addr))
}

const GRACE: Duration = Duration::from_secs(5);
