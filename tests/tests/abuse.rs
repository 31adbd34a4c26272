//! Abuse by real clients: each kind has its own word, is counted, and harms nobody else.

use crdt_state::PlayerId;
use node::service::view::{Command, CommandRequest, HostView, StageView};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::time::Duration;
use tests::cluster::{Cluster, ClusterOptions, Http};
use tests::crowd::player_id;
use tests::lab::{eventually, heavy, random};
use tests::player::{Dialect, Player, PlayerOptions, Record, Transport};
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);

fn two_nodes() -> Cluster {
    let options = ClusterOptions { nodes: 2, show: Some(sums(2, 60_000)) };
    let cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    cluster
}

fn start(random: &mut ChaCha8Rng, cluster: &Cluster, name: &str, node: usize) -> Player {
    let options = PlayerOptions {
        pin: cluster.pin().to_owned(),
        id: player_id(random),
        name: name.to_owned(),
        node,
        dialect: Dialect::V5,
        transport: Transport::Tcp,
    };
    Player::start(options, cluster.directory())
}

fn answer(token: &str, instance: u32, choices: &[u8]) -> String {
    json!({ "token": token, "instance": instance, "choices": choices }).to_string()
}

fn counted(cluster: &Cluster, node: usize, code: &str) {
    let counted = || (cluster.counted(node, code) >= 1.0).then_some(());
    eventually(&format!("{code} in the metrics"), WAIT_MAX, counted);
}

/// The choices that a player's answer to the first round has in the export of a node.
fn exported(cluster: &Cluster, node: usize, player: &Player) -> Vec<String> {
    let export = cluster.export(node);
    let id = player.options.id.to_string();
    let lines = export.lines().filter_map(|line| serde_json::from_str(line).ok());
    let lines = lines.filter(|line: &serde_json::Value| {
        line["type"] == "answer" && line["instance"] == 1 && line["player"] == id.as_str()
    });
    lines.map(|line| line["choices"].to_string()).collect()
}

fn close(cluster: &Cluster) {
    for command in [Command::Close, Command::Tallies, Command::Reveal] {
        cluster.step(0, command);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none_are_refused_each_with_its_own_word() {
    let _turn = heavy();
    let (cluster, mut random) = (two_nodes(), random());
    let ada = start(&mut random, &cluster, "Paul", 0);
    ada.wait_joined(WAIT_MAX).await;
    for (name, code) in [
        ("   ", "name_empty"),
        (&*"x".repeat(49), "name_long"),
        ("Pa\u{202e}ul", "name_control"),
        ("Pa\u{200b}ul", "name_control"),
        ("Р\u{430}ula", "name_mixed"),
        ("PauI", "name_taken"),
        ("  pAu1 ", "name_taken"),
        ("Fucking Paul", "name_profane"),
    ] {
        let eve = start(&mut random, &cluster, name, 0);
        let refused = |record: &Record| record.was_refused(code);
        eve.wait(&format!("{name:?} being refused as {code}"), WAIT_MAX, refused).await;
        counted(&cluster, 0, code);
    }
    let view = cluster.wait_host(0, "the lobby", WAIT_MAX, |_| true);
    assert_eq!(view.live.players, 1);
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_answer_changes_nothing_on_any_node() {
    let _turn = heavy();
    let (cluster, mut random) = (two_nodes(), random());
    let eve = start(&mut random, &cluster, "Eve", 0);
    let token = eve.wait_joined(WAIT_MAX).await.token.expect("a join gives a token");
    cluster.step(0, Command::Next);
    cluster.step(0, Command::Open);
    let topic = eve.topic("answer");
    eve.publish(&topic, &answer(&token, 1, &[3]));
    let receipts = |count: usize| {
        move |record: &Record| record.receipts.iter().filter(|it| it.instance == 1).count() >= count
    };
    eve.wait("the receipt", WAIT_MAX, receipts(1)).await;
    eve.publish(&topic, &answer(&token, 1, &[1]));
    let again = |record: &Record| record.receipts.iter().any(|it| it.status == "duplicate");
    let record = eve.wait("the duplicate", WAIT_MAX, again).await;
    assert!(record.receipts.iter().all(|it| it.choices == [3]), "{:?}", record.receipts);
    eve.move_to(1);
    eve.wait("the other node", WAIT_MAX, |record| record.node == Some(1)).await;
    eve.publish(&topic, &answer(&token, 1, &[0]));
    let moved = record.receipts.len();
    eve.wait("its receipt", WAIT_MAX, move |record| record.receipts.len() > moved).await;
    close(&cluster);
    for node in 0..2 {
        eventually("one answer in the export", WAIT_MAX, || {
            (exported(&cluster, node, &eve) == ["[3]"]).then_some(())
        });
    }
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_another_player_opens_nothing() {
    let _turn = heavy();
    let (cluster, mut random) = (two_nodes(), random());
    let ada = start(&mut random, &cluster, "Ada", 0);
    let mut others = (1..).map(|n| start(&mut random, &cluster, &format!("Eve {n}"), 0));
    let is_elsewhere = |eve: &Player| eve.options.id.slot() != ada.options.id.slot();
    let eve = others.find(is_elsewhere).expect("there are 256 slots");
    let token = ada.wait_joined(WAIT_MAX).await.token.expect("a join gives a token");
    eve.wait_joined(WAIT_MAX).await;
    cluster.step(0, Command::Next);
    cluster.step(0, Command::Open);
    let topic = eve.topic("answer");
    eve.publish(&topic, &answer(&token, 1, &[0]));
    eve.wait("slot_wrong", WAIT_MAX, |record: &Record| record.was_refused("slot_wrong")).await;
    let mut forged: Vec<char> = token.chars().collect();
    let at = forged.len() / 2;
    forged[at] = if forged[at] == 'A' { 'B' } else { 'A' };
    let forged: String = forged.into_iter().collect();
    eve.publish(&ada.topic("answer"), &answer(&forged, 1, &[0]));
    eve.wait("token_unknown", WAIT_MAX, |record: &Record| record.was_refused("token_unknown"))
        .await;
    for code in ["slot_wrong", "token_unknown"] {
        counted(&cluster, 0, code);
    }
    ada.answer(1, &[1]);
    ada.wait("a receipt", WAIT_MAX, |record: &Record| !record.receipts.is_empty()).await;
    close(&cluster);
    assert_eq!(exported(&cluster, 0, &ada), ["[1]"]);
    assert_eq!(exported(&cluster, 0, &eve), Vec::<String>::new());
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_stopped_and_drowns_nobody() {
    let _turn = heavy();
    let (cluster, mut random) = (two_nodes(), random());
    let (ada, eve) =
        (start(&mut random, &cluster, "Ada", 0), start(&mut random, &cluster, "Eve", 0));
    ada.wait_joined(WAIT_MAX).await;
    let token = eve.wait_joined(WAIT_MAX).await.token.expect("a join gives a token");
    cluster.step(0, Command::Next);
    cluster.step(0, Command::Open);
    let topic = eve.topic("answer");
    // At a pace that the test's own client bears, and far above what a player may send.
    eventually("the flood being stopped", WAIT_MAX, || {
        for _ in 0..20 {
            eve.publish(&topic, &answer(&token, 1, &[2]));
        }
        eve.record().was_refused("flooded").then_some(())
    });
    eve.wait("flooded", WAIT_MAX, |record: &Record| record.was_refused("flooded")).await;
    counted(&cluster, 0, "flooded");
    ada.answer(1, &[1]);
    ada.wait("a receipt", WAIT_MAX, |record: &Record| !record.receipts.is_empty()).await;
    assert_eq!(ada.record().connections, 1);
    close(&cluster);
    assert_eq!(exported(&cluster, 0, &ada), ["[1]"]);
    assert_eq!(exported(&cluster, 0, &eve), ["[2]"]);
    cluster.stop();
}

/// Has the host state a fact on a node, and waits until all nodes have heard of it.
fn say(
    cluster: &Cluster,
    command: Command,
    player: Option<PlayerId>,
    holds: impl Fn(&HostView) -> bool,
) {
    let request = CommandRequest { player, ..CommandRequest::new(command, StageView::default()) };
    assert!(cluster.send_command(0, &request).ok().is_some(), "{command:?}");
    for node in 0..2 {
        cluster.wait_host(node, &format!("{command:?}"), WAIT_MAX, &holds);
    }
}

/// Under the same id nobody comes back, and under the same name neither. An open show's ids are the clients' own,
/// so that a new id and a new name are a new player: that is what the lock is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kicked_player_comes_back_on_no_node_and_a_lock_keeps_out_whoever_makes_up_an_id() {
    let _turn = heavy();
    let (cluster, mut random) = (two_nodes(), random());
    let eve = start(&mut random, &cluster, "Eve", 0);
    eve.wait_joined(WAIT_MAX).await;
    let options = eve.options.clone();
    drop(eve);
    say(&cluster, Command::Kick, Some(options.id), |view| {
        view.desk.marked.iter().any(|it| it.kicked)
    });
    let refused = |code: &'static str| move |record: &Record| record.was_refused(code);
    for node in 0..2 {
        let again = PlayerOptions { node, name: "Evelyn".into(), ..options.clone() };
        let again = Player::start(again, cluster.directory());
        again.wait("kicked", WAIT_MAX, refused("kicked")).await;
        counted(&cluster, node, "kicked");
        let namesake = start(&mut random, &cluster, "Eve", node);
        namesake.wait("name_taken", WAIT_MAX, refused("name_taken")).await;
    }
    let other = start(&mut random, &cluster, "Mallory", 1);
    other.wait_joined(WAIT_MAX).await;
    say(&cluster, Command::Lock, None, |view| view.live.locked);
    for node in 0..2 {
        let made_up = start(&mut random, &cluster, &format!("Nobody {node}"), node);
        made_up.wait("locked", WAIT_MAX, refused("locked")).await;
        counted(&cluster, node, "locked");
    }
    say(&cluster, Command::Unkick, Some(options.id), |view| {
        view.desk.marked.iter().all(|it| !it.kicked)
    });
    let back = PlayerOptions { node: 1, ..options };
    Player::start(back, cluster.directory()).wait_joined(WAIT_MAX).await;
    cluster.stop();
}

#[test]
fn the_host_of_another_event_drives_nothing() {
    let _turn = heavy();
    let cluster = two_nodes();
    let other = cluster.imported(0, &sums(1, 60_000));
    let before = cluster.wait_host(0, "the lobby", WAIT_MAX, |_| true).live.stage;
    let file = cluster.file();
    let url = format!("{}/api/v1/events/{}", file.nodes[0].http, file.event.id);
    let request = |expected: StageView| CommandRequest::new(Command::Next, expected);
    let body = serde_json::to_string(&request(before)).unwrap();
    let http = Http::new();
    for token in [other.host_token.as_str(), "slh_nonsense", ""] {
        let reply = http.post(&format!("{url}/commands"), token, &body);
        assert_eq!(reply.status, 401, "{token}: {}", reply.body);
        for path in ["", "/export", "/proof"] {
            assert_eq!(http.get(&format!("{url}{path}"), token).status, 401, "{token} {path}");
        }
    }
    counted(&cluster, 0, "token_unknown");
    let after = cluster.wait_host(0, "the lobby", WAIT_MAX, |_| true).live.stage;
    assert_eq!(before, after);
    cluster.stop();
}
