//! Results of a real cluster: two nodes export the same bytes, other programs read the files, and the
//! replay finds what was changed.

use node::service::view::{Command, PhaseView};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tests::binary::starling;
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::player_id;
use tests::lab::{eventually, heavy, random};
use tests::player::{Dialect, Player, PlayerOptions, Record, Transport};
use tests::python;
use tests::shows::sums;

const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a spreadsheet would run.
const FORMULA: &str = "=1+1";

/// A cluster of two nodes after a show of two questions and four players, one of whom is a formula.
async fn played() -> Cluster {
    let options = ClusterOptions { nodes: 2, show: Some(sums(2, 60_000)) };
    let cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    let mut random = random();
    let names = ["Ada", FORMULA, "Zoë", "Bob"];
    let join = |(index, name): (usize, &&str)| {
        let options = PlayerOptions {
            pin: cluster.pin().to_owned(),
            id: player_id(&mut random),
            name: (*name).to_owned(),
            node: index % 2,
            dialect: Dialect::V5,
            transport: Transport::Tcp,
        };
        Player::start(options, cluster.directory())
    };
    let players: Vec<Player> = names.iter().enumerate().map(join).collect();
    for player in &players {
        player.wait_joined(WAIT_MAX).await;
    }
    for instance in 1..=2 {
        cluster.step(0, Command::Next);
        cluster.step(0, Command::Open);
        for (index, player) in players.iter().enumerate().take(3) {
            player.answer(instance, &[index as u8]);
            let receipt =
                |record: &Record| record.receipts.iter().any(|it| it.instance == instance);
            player.wait("a receipt", WAIT_MAX, receipt).await;
        }
        for command in [Command::Close, Command::Tallies, Command::Reveal] {
            cluster.step(1, command);
        }
    }
    cluster.step(0, Command::Next);
    for node in 0..2 {
        cluster.wait_phase(node, 2, PhaseView::Ended, WAIT_MAX);
    }
    cluster
}

fn export(cluster: &Cluster, node: usize, folder: &Path) -> Output {
    let file = cluster.file();
    let mut command = starling();
    command.args(["export", "--event", &file.event.id, "--node", &file.nodes[node].http]);
    command.args(["--token", &file.host_token, "--out"]).arg(folder);
    command.output().expect("the binary was just built")
}

fn replay(folder: &Path) -> (Option<i32>, String) {
    let output = starling().arg("replay").arg(folder).arg("--verify").output();
    let output = output.expect("the binary was just built");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_are_equal_on_two_nodes_readable_by_others_and_provable() {
    let _turn = heavy();
    let cluster = played().await;
    let folder = tempfile::tempdir().unwrap();
    let folders = [folder.path().join("one"), folder.path().join("two")];
    eventually("equal exports of both nodes", WAIT_MAX, || {
        for (node, folder) in folders.iter().enumerate() {
            let output = export(&cluster, node, folder);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let read = |folder: &Path, name: &str| fs::read(folder.join(name)).unwrap();
        let names = ["event.jsonl", "event.json", "event.xlsx", "answers.csv", "answers.parquet"];
        let same = |name: &&str| read(&folders[0], name) == read(&folders[1], name);
        names.iter().all(same).then_some(())
    });
    cluster.stop();
    for folder in &folders {
        let (code, said) = replay(folder);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("(final): folded again, 16 files are equal"), "{said}");
    }
    read_by_others(&folders[0]);
    let path = folders[0].join("event.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (code, said) = replay(&folders[0]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(&format!("byte {at}: the file says")), "{said}");
}

/// Python reads the workbook with openpyxl and the columns with Arrow.
fn read_by_others(folder: &Path) {
    let Some(python) = python::with("results", &["openpyxl==3.1.5", "pyarrow>=17,<23"]) else {
        return;
    };
    let output = std::process::Command::new(python)
        .args(["-c", READ])
        .arg(folder)
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "6 answers, 4 players, 2 questions, the formula is a text");
}

const READ: &str = r#"
import sys, openpyxl, pyarrow.parquet as parquet
folder = sys.argv[1]
book = openpyxl.load_workbook(folder + "/event.xlsx")
sizes, formula = [], False
for name in ["answers", "players", "questions"]:
    rows = list(book[name].iter_rows())
    table = parquet.read_table(f"{folder}/{name}.parquet").to_pydict()
    header = [cell.value for cell in rows[0]]
    assert header == list(table), (header, list(table))
    for index, row in enumerate(rows[1:]):
        for column, cell in zip(header, row):
            assert cell.value == table[column][index], (name, index, column, cell.value)
            assert cell.data_type != "f", "a formula"
            formula |= cell.value == "=1+1" and cell.data_type == "s"
    sizes.append(f"{len(rows) - 1} {name}")
print(", ".join(sizes) + (", the formula is a text" if formula else ""))
"#;

/// A file by its bare name stands for the folder that it lies in.
#[test]
fn a_file_that_lies_in_no_export_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("event.jsonl"), "").unwrap();
    let mut replay = starling();
    replay.current_dir(folder.path()).args(["replay", "event.jsonl", "--verify"]);
    let output = replay.output().expect("the binary was just built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(".: cannot read manifest.json"), "{said}");
    assert!(said.contains("name a folder that `export --out` wrote"), "{said}");
}
