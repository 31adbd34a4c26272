//! What a change costs a cluster: it crosses the network once for each peer and is encoded once on each node, whether
//! three players watch or three hundred.
//!
//! The same round is driven twice, at a node where no player is, and counted between two scrapes of all nodes: only
//! frames with entries of shows, so that heartbeats and the exchange of heads do not matter.

use node::service::view::{Command, HostView, PhaseView, StageView};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::player_id;
use tests::lab::{heavy, random, say};
use tests::player::{Dialect, Player, PlayerOptions, Record, Transport};
use tests::shows::sums;

const NODES: usize = 3;
/// Where all players are.
const CROWDED: usize = 0;
/// Where the host is.
const DRIVEN: usize = 1;
const FEW: usize = 3;
const MANY: usize = 300;
/// Until a host closes: no node proposes anything by itself.
const OPEN_MS: u32 = 600_000;
/// What the host does in a round, and where that leads.
const ROUND: [(Command, PhaseView); 6] = [
    (Command::Next, PhaseView::Intro),
    (Command::Open, PhaseView::Open),
    (Command::Close, PhaseView::Closed),
    (Command::Tallies, PhaseView::Tallies),
    (Command::Reveal, PhaseView::Reveal),
    (Command::Leaderboard, PhaseView::Board),
];
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What something has cost.
#[derive(Debug, Clone, Copy)]
struct Cost {
    /// Frames with entries of shows, from every node to every other one.
    frames: f64,
    /// Their bytes.
    bytes: f64,
    /// Live states encoded, on the node with the players.
    states: f64,
    /// Packets to players, there.
    packets: f64,
}

impl Cost {
    /// What everything has cost so far.
    fn so_far(cluster: &Cluster) -> Self {
        let entries = r#"{direction="out",kind="entries"}"#;
        let of_all = |name: &str| -> f64 {
            let name = format!("{name}{entries}");
            (0..cluster.size()).map(|node| cluster.counted(node, &name)).sum()
        };
        Cost {
            frames: of_all("starling_peer_frames_total"),
            bytes: of_all("starling_peer_frame_bytes_total"),
            states: cluster.counted(CROWDED, "starling_live_states_total"),
            packets: cluster.counted(CROWDED, r#"starling_mqtt_packets_total{direction="out"}"#),
        }
    }

    fn since(self, before: Self) -> Self {
        Cost {
            frames: self.frames - before.frames,
            bytes: self.bytes - before.bytes,
            states: self.states - before.states,
            packets: self.packets - before.packets,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_costs_nodes_the_same_for_three_players_and_for_three_hundred() {
    let _turn = heavy();
    let mut random = random();
    let few = cost_of_a_round(FEW, &mut random).await;
    let many = cost_of_a_round(MANY, &mut random).await;
    say(&format!("{FEW} players: {few:?}; {MANY} players: {many:?}"));
    let changes = ROUND.len() as f64;
    assert!(many.packets >= changes * MANY as f64, "all players are told of all changes: {many:?}");

    // One frame for a change and a peer, and no more than that for what each node says at a round's end. Now and then a
    // peer asks for what it would have been sent anyway, so that there is no exact number.
    let once = 2.0 * changes * (NODES - 1) as f64;
    for cost in [few, many] {
        assert!(cost.frames >= changes * (NODES - 1) as f64, "changes cross the network: {cost:?}");
        assert!(cost.frames <= once, "more than {once} frames: {cost:?}");
        assert!((changes..=2.0 * changes).contains(&cost.states), "encoded once each: {cost:?}");
    }
    assert!(many.bytes <= 2.0 * few.bytes, "{few:?}, {many:?}");
}

/// Has `count` players watch a whole round that nobody answers.
async fn cost_of_a_round(count: usize, random: &mut ChaCha8Rng) -> Cost {
    let options = ClusterOptions { nodes: NODES, show: Some(sums(1, OPEN_MS)) };
    let cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(DRIVEN);
    let players = join(&cluster, count, random).await;
    let before = Cost::so_far(&cluster);
    for (command, phase) in ROUND {
        cluster.step(DRIVEN, command);
        wait_all(&cluster, &players, phase).await;
    }
    let cost = Cost::so_far(&cluster).since(before);
    for player in players {
        let record = player.quit();
        assert_eq!((record.connections, record.errors.len()), (1, 0), "{record:?}");
    }
    cluster.stop();
    cost
}

/// Lets players in at one node, all at once, and waits until everybody everywhere knows of all of them.
async fn join(cluster: &Cluster, count: usize, random: &mut ChaCha8Rng) -> Vec<Player> {
    let player = |index: usize| PlayerOptions {
        pin: cluster.pin().to_owned(),
        id: player_id(random),
        name: format!("Player {index}"),
        node: CROWDED,
        dialect: if index.is_multiple_of(2) { Dialect::V311 } else { Dialect::V5 },
        transport: Transport::Tcp,
    };
    let options: Vec<_> = (0..count).map(player).collect();
    let players: Vec<_> =
        options.into_iter().map(|it| Player::start(it, cluster.directory())).collect();
    for player in &players {
        player.wait_joined(WAIT_MAX).await;
    }
    for node in 0..cluster.size() {
        let known =
            |view: &HostView| (view.live.players, view.present) == (count as u64, count as u64);
        cluster.wait_host(node, "all players being known", WAIT_MAX, known);
    }
    for player in &players {
        let shown =
            |record: &Record| record.live.as_ref().is_some_and(|live| live.players == count as u64);
        player.wait("the number of players", WAIT_MAX, shown).await;
    }
    players
}

/// Waits until all nodes are in a phase, and all players have seen it.
async fn wait_all(cluster: &Cluster, players: &[Player], phase: PhaseView) {
    for node in 0..cluster.size() {
        cluster.wait_phase(node, 1, phase, WAIT_MAX);
    }
    let stage = StageView { instance: 1, phase };
    for player in players {
        let what = format!("{phase:?}");
        player.wait(&what, WAIT_MAX, |record| record.seen(stage).is_some()).await;
    }
}
