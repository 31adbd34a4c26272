//! The main job: a whole show on three nodes, with players on each, hosts on each, and no fault.

use node::service::view::{Command, CommandReply, PhaseView, StageView};
use std::thread;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::Crowd;
use tests::export::{Export, agreed};
use tests::lab::{eventually_ok, heavy, random};
use tests::shows::sums;

const NODES: usize = 3;
const PLAYERS: usize = 24;
const QUESTIONS: u32 = 5;
const OPEN_MS: u32 = 20_000;
const WAIT_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_show_ends_with_equal_exports_that_agree_with_every_client() {
    let _turn = heavy();
    let mut random = random();
    let options = ClusterOptions { nodes: NODES, show: Some(sums(QUESTIONS, OPEN_MS)) };
    let cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    let crowd = Crowd::join(&cluster, PLAYERS, &mut random).await;
    for instance in 1..=QUESTIONS {
        play(&cluster, &crowd, instance).await;
    }
    // After the last question the next step is the end; any node will do.
    cluster.step(1, Command::Next);
    crowd.wait_stage(QUESTIONS, PhaseView::Ended, WAIT_MAX).await;
    check_exports(&cluster, &crowd);
    check_ranks(&cluster, &crowd);
    cluster.stop();
}

/// One question; every step is taken from another node than the one before.
async fn play(cluster: &Cluster, crowd: &Crowd, instance: u32) {
    let mut host = instance as usize;
    let mut step = |command| {
        host += 1;
        cluster.step(host % NODES, command)
    };
    step(Command::Next);
    crowd.wait_stage(instance, PhaseView::Intro, WAIT_MAX).await;
    step(Command::Open);
    crowd.wait_stage(instance, PhaseView::Open, WAIT_MAX).await;
    for (index, player) in crowd.players.iter().enumerate().filter(|(index, _)| answers(*index)) {
        player.answer(instance, &[choice(index, instance)]);
    }
    for (_, player) in crowd.players.iter().enumerate().filter(|(index, _)| answers(*index)) {
        player.wait_receipt(instance, WAIT_MAX).await;
    }
    two_hosts_close_at_once(cluster, instance);
    step(Command::Tallies);
    step(Command::Reveal);
    crowd.wait_results(instance).await;
    step(Command::Leaderboard);
    crowd.wait_stage(instance, PhaseView::Board, WAIT_MAX).await;
}

/// Every sixth player only watches.
fn answers(index: usize) -> bool {
    !index.is_multiple_of(6)
}

/// Two thirds of the players are right.
fn choice(index: usize, instance: u32) -> u8 {
    let correct = instance % 4;
    let wrong = u32::from(index.is_multiple_of(3));
    ((correct + wrong) % 4) as u8
}

fn two_hosts_close_at_once(cluster: &Cluster, instance: u32) {
    let open = StageView { instance, phase: PhaseView::Open };
    let closed = StageView { instance, phase: PhaseView::Closed };
    // Both pages must have seen the opening before their buttons can mean this question.
    for node in 0..2 {
        cluster.wait_phase(node, instance, PhaseView::Open, WAIT_MAX);
    }
    let press = |node| move || cluster.command(node, Command::Close, open);
    let replies: Vec<CommandReply> = thread::scope(|scope| {
        let hosts = [scope.spawn(press(0)), scope.spawn(press(1))];
        hosts.map(|host| host.join().expect("no host panics").json()).into()
    });
    for reply in &replies {
        assert_eq!(reply.stage, closed, "one step, not two: {replies:?}");
    }
    assert!(replies.iter().any(|reply| reply.outcome == "applied"), "{replies:?}");
    for node in 0..NODES {
        let view = cluster.wait_phase(node, instance, PhaseView::Closed, WAIT_MAX);
        assert_eq!(view.live.stage, closed, "node {node} went further than two hosts pressed");
    }
}

fn check_exports(cluster: &Cluster, crowd: &Crowd) {
    let export = eventually_ok("final and equal exports of all nodes", WAIT_MAX, || {
        let mut text = cluster.export(0);
        for node in 1..NODES {
            text = agreed(text, &cluster.export(node))?;
        }
        let export = Export::parse(&text)?;
        let status = export.status.clone();
        if status == "final" { Ok(export) } else { Err(format!("{status}: {text}")) }
    });
    let faults = crowd.faults(&export);
    assert!(faults.is_empty(), "{faults:#?}");
    let answering = (0..PLAYERS).filter(|index| answers(*index)).count();
    assert_eq!(export.answers.len(), answering * QUESTIONS as usize);
    assert_eq!((export.players.len(), export.questions.len()), (PLAYERS, QUESTIONS as usize));
    for (index, player) in crowd.players.iter().enumerate().filter(|(index, _)| answers(*index)) {
        for instance in 1..=QUESTIONS {
            let answer = &export.answers[&(instance, player.options.id)];
            assert_eq!(answer.choices, [choice(index, instance)], "{answer:?}");
        }
    }
}

/// What every player was told last is what the export says.
fn check_ranks(cluster: &Cluster, crowd: &Crowd) {
    let export = Export::parse(&cluster.export(0)).unwrap_or_else(|error| panic!("{error}"));
    for player in &crowd.players {
        let record = player.record();
        let told = record.result(QUESTIONS).expect("every player was told");
        let line = &export.players[&player.options.id];
        assert_eq!((told.total, told.rank), (line.points, line.rank), "{}", line.name);
        assert!(record.refused.is_empty(), "{:?}", record.refused);
        assert_eq!(record.connections, 1, "{:?}", record.losses);
    }
}
