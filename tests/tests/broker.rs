//! Shows behind brokers that somebody else wrote: Mosquitto, and RabbitMQ's MQTT plugin.
//!
//! In each show a node is killed and the broker is restarted, in order and without a word, while a
//! question is open. The judges are the clients: what a firm receipt promised must be in the exports
//! of the nodes that are left, once.

use crdt_state::PlayerId;
use node::service::view::{Command, PhaseView, StageView, StatusView};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::behind::BrokerPlayer;
use tests::broker::{Broker, Kind};
use tests::crowd::player_id;
use tests::export::{Export, agreed};
use tests::lab::{eventually, eventually_ok, heavy, random};
use tests::player::Dialect;
use tests::shows::sums;
use tests::single::{Single, SingleShow};

const NODES: usize = 3;
const PLAYERS: usize = 24;
/// Long enough for everything that happens in it; the host closes each question.
const OPEN_MS: u32 = 300_000;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What happens while a question is open.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    BrokerEnds,
    BrokerKilled,
    NodeKilled,
}

const FAULTS: [Fault; 4] =
    [Fault::Nothing, Fault::BrokerEnds, Fault::BrokerKilled, Fault::NodeKilled];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_behind_mosquitto_outlives_broker_and_node() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let status = show_behind(broker, &[Dialect::V311, Dialect::V5]).await;
    let broker = status.broker.expect("the node is behind a broker");
    assert_eq!((broker.protocol.as_str(), broker.shared_subscriptions), ("5", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_behind_rabbitmq_outlives_broker_and_node() {
    let Some(broker) = Broker::start(Kind::RabbitMq) else { return };
    let status = show_behind(broker, &[Dialect::V311]).await;
    let broker = status.broker.expect("the node is behind a broker");
    assert_eq!((broker.protocol.as_str(), broker.shared_subscriptions), ("3.1.1", false));
}

/// A whole show with its faults; the status of a node that is left.
async fn show_behind(mut broker: Broker, dialects: &[Dialect]) -> StatusView {
    let _turn = heavy();
    let mut random = random();
    let flags = broker.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let first = Single::start(&flags);
    let mut nodes: Vec<Single> = (1..NODES).map(|_| first.start_beside(&flags)).collect();
    nodes.insert(0, first);
    wait_shared(&nodes);
    let show = nodes[0].show(&sums(FAULTS.len() as u32, OPEN_MS));
    let pin = show.imported.pin.clone();
    let ids = (0..PLAYERS).map(|_| player_id(&mut random));
    let players: Vec<BrokerPlayer> = ids
        .enumerate()
        .map(|(index, id)| {
            let dialect = dialects[index % dialects.len()];
            BrokerPlayer::start(broker.address, dialect, &pin, id, &format!("Player {index}"))
        })
        .collect();
    for player in &players {
        player.wait("the join", |told| told.inbox.is_some()).await;
    }
    for (fault, instance) in FAULTS.into_iter().zip(1..) {
        question(&mut broker, &mut nodes, &show, &players, (instance, fault)).await;
    }
    judge(&nodes, &show, &players);
    nodes[0].get("/api/v1/status").json()
}

/// Waits until every slot is held, by all nodes together, once.
fn wait_shared(nodes: &[Single]) {
    eventually_ok("all slots shared out", WAIT_MAX, || {
        let held: Vec<usize> = nodes
            .iter()
            .map(|node| node.get("/api/v1/status").json::<StatusView>())
            .map(|status| status.broker.map_or(0, |broker| broker.slots))
            .collect();
        let shared = held.iter().sum::<usize>() == 256 && held.iter().all(|slots| *slots > 0);
        shared.then_some(()).ok_or_else(|| format!("{held:?}"))
    });
}

/// One question: half of the players answer before the fault, half while it lasts.
async fn question(
    broker: &mut Broker,
    nodes: &mut Vec<Single>,
    show: &SingleShow,
    players: &[BrokerPlayer],
    (instance, fault): (u32, Fault),
) {
    nodes[0].step(show, Command::Next);
    nodes[0].step(show, Command::Open);
    let open = StageView { instance, phase: PhaseView::Open };
    for player in players {
        player.wait("the question", |told| told.stage >= Some(open)).await;
    }
    let (early, late) = players.split_at(players.len() / 2);
    early.iter().for_each(|player| player.answer(instance, choice(player.id)));
    match fault {
        Fault::Nothing => {}
        Fault::BrokerEnds => broker.restart(libc::SIGTERM),
        Fault::BrokerKilled => broker.restart(libc::SIGKILL),
        Fault::NodeKilled => drop(nodes.pop()),
    }
    late.iter().for_each(|player| player.answer(instance, choice(player.id)));
    for player in players {
        let what = format!("a firm receipt of {instance} after {fault:?}");
        let told = player.wait(&what, |told| told.firm.contains_key(&instance)).await;
        assert_eq!(told.firm[&instance], [choice(player.id)], "{fault:?}");
    }
    if let Fault::Nothing = fault {
        // The state is renewed each second while a question is open.
        players[0].wait("renewed states", |told| told.opens[&instance] >= 3).await;
    }
    close(nodes, show, players, instance).await;
}

async fn close(nodes: &[Single], show: &SingleShow, players: &[BrokerPlayer], instance: u32) {
    for command in [Command::Close, Command::Tallies, Command::Reveal] {
        nodes[0].step(show, command);
    }
    for player in players {
        player.wait("the result", |told| told.results.contains_key(&instance)).await;
    }
    nodes[0].step(show, Command::Leaderboard);
}

/// Any choice, as long as it never changes.
fn choice(player: PlayerId) -> u8 {
    (player.0 >> 8) as u8 % 4
}

/// What every player was promised is in the exports of all nodes that are left, once.
fn judge(nodes: &[Single], show: &SingleShow, players: &[BrokerPlayer]) {
    let path = format!("/api/v1/events/{}/export", show.imported.event);
    let export = |node: &Single| node.get(&path).body;
    let text = eventually_ok("equal exports of two nodes", WAIT_MAX, || {
        agreed(export(&nodes[0]), &export(&nodes[1]))
    });
    let export = Export::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(export.faults(), Vec::<String>::new());
    let known: BTreeSet<PlayerId> = export.players.keys().copied().collect();
    assert_eq!(known, players.iter().map(|player| player.id).collect());
    for player in players {
        let told = player.told();
        for (instance, choices) in &told.firm {
            let held = &export.answers[&(*instance, player.id)];
            assert_eq!(&held.choices, choices, "{} in {instance}", player.id);
        }
        assert_eq!(told.firm.len(), FAULTS.len(), "{}", player.id);
        let points: i64 = told.results.values().sum();
        assert_eq!(points, export.players[&player.id].points as i64, "{}", player.id);
    }
}

#[test]
fn a_node_without_its_broker_runs_and_says_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("it is bound");
    drop(port);
    let url = format!("mqtt://{address}");
    let node = Single::start(&["--edge", "broker", "--broker", &url]);
    let view = eventually("a failed attempt", WAIT_MAX, || {
        let status: StatusView = node.get("/api/v1/status").json();
        status.broker.filter(|broker| broker.last_error.is_some())
    });
    assert!(!view.connected && view.url == url, "{view:?}");
    let metrics = node.get("/metrics").body;
    assert!(metrics.contains("starling_broker_connected 0"), "{metrics}");
}
