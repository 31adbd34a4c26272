//! A long show: more than a hundred questions from Debian's quiz files, imported and played to its end.
//!
//! A host drives it as fast as the pages offer the steps, from another node for every question.

use node::service::view::{Command, PhaseView};
use node::show;
use std::time::Duration;
use tests::bank::{self, BankOptions};
use tests::cluster::{Cluster, ClusterOptions};
use tests::crowd::Crowd;
use tests::export::{Export, agreed};
use tests::lab::{eventually_ok, heavy, random, skip};

const NODES: usize = 3;
const PLAYERS: usize = 6;
const QUESTIONS_MIN: usize = 100;
const WAIT_MAX: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_of_a_hundred_real_questions_is_played_to_its_end() {
    let Some(folder) = bank::find() else { return skip("the quiz files of bsdgames") };
    let _turn = heavy();
    let script = bank::show(&folder, &BankOptions::default()).expect("the files are readable");
    assert!(script.questions.len() >= QUESTIONS_MIN, "{} questions", script.questions.len());
    let options = ClusterOptions { nodes: NODES, show: Some(show::to_json(&script)) };
    let cluster = Cluster::start_with(&options);
    cluster.wait_linked(WAIT_MAX);
    cluster.open_lobby(0);
    let crowd = Crowd::join(&cluster, PLAYERS, &mut random()).await;
    for (instance, question) in (1..).zip(&script.questions) {
        let node = instance as usize % NODES;
        cluster.step(node, Command::Open);
        crowd.wait_stage(instance, PhaseView::Open, WAIT_MAX).await;
        for (index, player) in crowd.players.iter().enumerate() {
            // The first player knows everything; the others choose in turn.
            let (options, correct) = question.as_choice().expect("the bank has choices only");
            let known = correct.trailing_zeros() as u8;
            let choice = if index == 0 { known } else { index as u8 % options.len() as u8 };
            player.answer(instance, &[choice]);
        }
        for player in &crowd.players {
            player.wait_receipt(instance, WAIT_MAX).await;
        }
        for command in [Command::Close, Command::Tallies, Command::Reveal] {
            cluster.step(node, command);
        }
    }
    let questions = script.questions.len() as u32;
    cluster.step(0, Command::Leaderboard);
    cluster.step(1, Command::Next);
    crowd.wait_stage(questions, PhaseView::Ended, WAIT_MAX).await;
    let export = eventually_ok("final and equal exports", WAIT_MAX, || {
        let text = agreed(cluster.export(0), &cluster.export(1))?;
        let export = Export::parse(&text)?;
        if export.status == "final" { Ok(export) } else { Err(export.status) }
    });
    assert_eq!(crowd.faults(&export), [""; 0]);
    assert_eq!(export.questions.len(), script.questions.len());
    assert_eq!(export.answers.len(), script.questions.len() * PLAYERS);
    assert_eq!(export.players[&crowd.players[0].options.id].rank, 1, "who knows all comes first");
    cluster.stop();
}
