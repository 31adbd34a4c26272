//! Answers alone, ours and the bare server's and Mosquitto's in turn: for finding out what an answer costs, on a machine
//! that others use too.

use super::servers::Server;
use super::{
    BURSTS, CLIENTS, OPEN_MS, PACED, SEEN, SETTLE, burst, median, other, paced, paced_once, per_s,
    plan, run_with,
};
use crate::figures::edge::crowd::Crowd;
use crate::figures::{Figure, Report, Scale};
use crate::lab::say;
use crate::shows::sums;
use crate::single::Single;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::sleep;

/// See the module.
pub(in crate::figures) const ANSWERS: Figure =
    Figure { name: "edge-answers", about: "of the edge, answers alone, by turns", run };

fn run(scale: &Scale) -> Result<Report, String> {
    let clients =
        if scale.players == crate::figures::PLAYERS_DEFAULT { CLIENTS } else { scale.players };
    run_with(measure(clients, scale.questions))
}

/// By name, what each turn has measured.
type Measured = BTreeMap<&'static str, Vec<f64>>;

async fn measure(clients: usize, turns: u32) -> Result<Report, String> {
    let mut measured = Measured::new();
    for turn in 1..=turns {
        beside(clients, Server::bare()?, ["bare_ack_per_s", "bare_paced_ms_p99"], &mut measured)
            .await?;
        local(clients, &mut measured).await?;
        if let Some(mosquitto) = Server::mosquitto()? {
            let names = ["mosquitto_ack_per_s", "mosquitto_paced_ms_p99"];
            beside(clients, mosquitto, names, &mut measured).await?;
        }
        say(&format!("after turn {turn} of {turns}: {measured:?}"));
    }
    let medians = measured.into_iter().map(|(name, all)| (name.to_owned(), json!(median(all))));
    let numbers: Map<_, _> = medians.collect();
    let rows = numbers.iter().map(|(name, value)| format!("| {name} | {value} |\n"));
    let table = format!("| median | |\n|---|---|\n{}", rows.collect::<String>());
    Ok(Report { numbers, table })
}

async fn beside(
    clients: usize,
    server: Server,
    [bursts, pace]: [&'static str; 2],
    measured: &mut Measured,
) -> Result<(), String> {
    let (crowd, _) = Crowd::come(other(&server, clients)).await?;
    for _ in 0..BURSTS {
        sleep(SEEN).await;
        note(measured, bursts, clients, crowd.publish(0, Duration::ZERO).await?);
    }
    for _ in 0..PACED {
        measured.entry(pace).or_default().push(paced_once(&crowd, 0).await?);
    }
    Ok(())
}

async fn local(clients: usize, measured: &mut Measured) -> Result<(), String> {
    let node = Single::start(&["--ack", "local"]);
    let show = node.show(&sums(BURSTS + PACED, OPEN_MS));
    let (crowd, _) = Crowd::come(plan(&node, &show, clients)).await?;
    sleep(SETTLE).await;
    for took in burst(&node, &show, &crowd, 1).await? {
        note(measured, "ack_local_per_s", clients, took);
    }
    let runs = paced(&node, &show, &crowd, BURSTS + 1).await?;
    measured.entry("paced_local_ms_p99").or_default().extend(runs);
    Ok(())
}

fn note(measured: &mut Measured, name: &'static str, clients: usize, took: Duration) {
    measured.entry(name).or_default().push(per_s(clients, took) as f64);
}
