//! A host without a page: the commands of `starling event host`, against a real node.

use crdt_state::engagement::{Question, Script};
use node::service::view::PhaseView;
use serde_json::json;
use std::process::Output;
use tests::binary::starling;
use tests::lab::heavy;
use tests::raw::{Raw, slotted};
use tests::single::{Single, SingleShow};

/// A show of so many questions with its lobby open.
fn show(node: &Single, questions: usize) -> SingleShow {
    let question = |number| {
        let options = ["yes", "no"].map(str::to_owned).to_vec();
        Question::choice(format!("Question {number}?"), options, 1).open_ms(300_000)
    };
    let script = Script::new("a show", (0..questions).map(question).collect());
    node.show(&node::show::to_json(&script))
}

/// Gives a command with a host's token.
fn host(node: &Single, show: &SingleShow, token: &str, arguments: &[&str]) -> Output {
    let event = show.imported.event.to_string();
    let mut command = starling();
    command.args(["event", "host", &event]).args(arguments).args(["--token", token]);
    command.args(["--node", &format!("http://{}", node.bound.http)]);
    command.output().expect("the binary runs")
}

/// What was said, and by what exit code.
fn told(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_command_that_is_sent_again_from_where_it_was_given_is_done_once() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let show = show(&node, 3);
    let give = |arguments: &[&str]| told(&host(&node, &show, &show.imported.host_token, arguments));
    let stands = || node.host_view(&show).expect("the node answers").live.stage;
    assert!(give(&["open", "--at", "lobby"]).1.contains("applied"));
    for outcome in ["applied", "already", "already"] {
        let (code, said) = give(&["skip", "--at", "1:open"]);
        assert!(code == Some(0) && said.contains(outcome), "{said}");
        assert_eq!((stands().instance, stands().phase), (2, PhaseView::Intro));
    }
    let (code, said) = give(&["open", "--at", "1:intro"]);
    assert!(code != Some(0) && said.contains("2:intro"), "{said}");
    assert!(give(&["open", "--at", "2:intro"]).1.contains("applied"));
    for outcome in ["applied", "already"] {
        let extend = ["extend", "--at", "2:open", "--open-ms", "300000", "--ms", "5000"];
        let (code, said) = give(&extend);
        assert!(code == Some(0) && said.contains(outcome), "{said}");
    }
    let (code, said) = give(&["lock", "--at", "2:open"]);
    assert!(code != Some(0) && said.contains("--at makes no sense for lock"), "{said}");
    let (code, said) = give(&["skip"]);
    assert!(code == Some(0) && said.contains("applied"), "without a place it is the next: {said}");
    assert_eq!(stands().instance, 3);
}

#[test]
fn a_second_host_takes_a_show_over_and_a_co_host_does_not() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let show = show(&node, 1);
    let token = &show.imported.host_token;
    let owner = || node.host_view(&show).expect("the node answers").desk.owner;
    assert!(told(&host(&node, &show, token, &["own", "--text", "Ada"])).1.contains("applied"));
    assert!(told(&host(&node, &show, token, &["own", "--text", "Ben"])).1.contains("takeover"));
    let (code, said) = told(&host(&node, &show, token, &["takeover", "--text", "Ben"]));
    assert!(code == Some(0) && said.contains("takeover: applied"), "{said}");
    assert_eq!(owner().as_deref(), Some("Ben"));
    let (_, said) = told(&host(&node, &show, token, &["invite", "--name", "Cyd"]));
    let co_host = said.split_whitespace().last().expect("it ends with the token").to_owned();
    assert!(co_host.starts_with("slc_"), "{said}");
    let (code, said) = told(&host(&node, &show, &co_host, &["takeover", "--text", "Cyd"]));
    assert!(code != Some(0) && said.contains("a co-host does not take a show over"), "{said}");
    assert_eq!(owner().as_deref(), Some("Ben"));
    assert!(told(&host(&node, &show, &co_host, &["lock"])).1.contains("applied"), "it may drive");
}

#[test]
fn a_host_without_a_page_moderates() {
    let _turn = heavy();
    let node = Single::start(&[]);
    let show = node.show(
        r#"{"format": "starling-show/1", "title": "Ask", "questions": [
            {"kind": "qa", "text": "Ask the board", "moderated": true, "seconds": 300}]}"#,
    );
    let give = |arguments: &[&str]| told(&host(&node, &show, &show.imported.host_token, arguments));
    let (code, said) = give(&["moderate"]);
    assert!(code == Some(4) && said.contains("there is none in the current round"), "{said}");
    assert!(give(&["open"]).1.contains("applied"));
    let player = format!("{:032x}", 0xe);
    let (mut client, _) = Raw::connect(node.bound.mqtt, true, "", None);
    client.subscribe(&format!("inbox/{player}"));
    let join = json!({ "pin": show.imported.pin, "player": player, "name": "Eve" });
    client.publish(&slotted("connect", &player), &join);
    let joined = client.message("the join", |message| message["type"] == "joined");
    let post = json!({ "token": joined["token"], "instance": 1, "text": "Why?" });
    assert_eq!(client.publish(&slotted("answer", &player), &post).reason, 0);

    let (_, said) = give(&["moderate", "--fate", "shown"]);
    let (before, _) = said.split_once(" \"Why?\" by Eve").expect("the post that waits is told of");
    let id = before.rsplit(' ').next().expect("its id stands before it");
    let moderate = |fate: &str| give(&["moderate", "--post", id, "--fate", fate]);
    for (fate, outcome) in [("shown", "applied"), ("shown", "already"), ("answered", "applied")] {
        let (code, said) = moderate(fate);
        assert!(code == Some(0) && said.contains(outcome), "{fate}: {said}");
    }
    assert!(give(&["moderate", "--post", id]).1.contains("\"Why?\" by Eve (answered)"));
    assert!(moderate("gone").1.contains("answered"), "all fates are named");
    let (code, said) = give(&["lock", "--post", id]);
    assert!(code != Some(0) && said.contains("--post makes no sense for lock"), "{said}");
}
