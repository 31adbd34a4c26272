//! A show that runs by itself on real nodes: nobody is its host, a node is killed in the middle of it, and it comes
//! to its end with every phase, every answer and a result.

use node::service::view::PhaseView;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::player_id;
use tests::lab::{heavy, random};
use tests::player::{Dialect, Player, PlayerOptions, Transport};
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);
const QUESTIONS: u32 = 2;
const NODES: usize = 3;

/// The sums with a clock of their own.
fn show() -> String {
    let mut show = node::show::parse(&sums(QUESTIONS, 4_000)).expect("the sums are a show");
    (show.autopilot_ms, show.lobby_ms) = (Some(1_500), Some(8_000));
    node::show::to_json(&show)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_plays_to_its_end_without_a_host_and_without_one_of_its_nodes() {
    let _turn = heavy();
    let cluster = Cluster::start_with(&ClusterOptions { nodes: NODES, show: Some(show()) });
    cluster.wait_phase(1, 0, PhaseView::Lobby, WAIT_MAX);
    let mut random = random();
    let player = |node: usize| {
        let options = PlayerOptions {
            pin: cluster.pin().to_owned(),
            id: player_id(&mut random),
            name: format!("Player {node}"),
            node,
            dialect: Dialect::V5,
            transport: Transport::Tcp,
        };
        Player::start(options, cluster.directory())
    };
    let players: Vec<Player> = (1..NODES).map(player).collect();
    for player in &players {
        player.wait_joined(WAIT_MAX).await;
    }
    for instance in 1..=QUESTIONS {
        cluster.wait_phase(1, instance, PhaseView::Open, WAIT_MAX);
        for player in &players {
            player.answer(instance, &[instance as u8 % 4]);
            player.wait_receipt(instance, WAIT_MAX).await;
        }
        if instance == 1 {
            cluster.kill(0);
        }
    }
    for node in 1..NODES {
        cluster
            .wait_host(node, "the end", WAIT_MAX, |view| view.live.stage.phase == PhaseView::Ended);
    }
    for player in players {
        let told = player.wait("the last result", WAIT_MAX, |it| it.result(QUESTIONS).is_some());
        let record = told.await;
        let correct = |instance| record.result(instance).is_some_and(|result| result.correct);
        assert!((1..=QUESTIONS).all(correct), "{record:?}");
        let _ = player.quit();
    }
    let view = cluster.host_view(1).expect("it is alive");
    let board = view.live.board.expect("the end shows the board");
    assert_eq!(board.len(), 2, "{board:?}");
    assert!(board.iter().all(|line| line.points > 1_000), "two right answers each: {board:?}");
    cluster.stop();
}
