//! A host's page and what was asked long ago: a part of a long script, any question found in it, and rulings on the
//! rounds of one that the show has left; and what a phone says of them.

use node::service::view::Command;
use serde_json::{Value, json};
use tests::browser::{Browsers, Page, selector};
use tests::lab;
use tests::raw::{Raw, slotted};
use tests::single::{Single, SingleShow};

/// Questions that nobody gets to.
const MORE: usize = 60;
/// Rows of the script that a page draws.
const DRAWN: usize = 25;

#[test]
fn a_host_finds_a_question_in_a_long_script_and_rules_on_its_round_later() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(&script().to_string());
    block_on(async {
        let host = open(&browsers, &node, &show).await;
        // Nobody is sure yet who wins.
        for command in [Command::Open, Command::Close, Command::Tallies, Command::Open] {
            node.step(&show, command);
        }
        answer(&node, &show.imported.pin, "Lima");
        for command in [Command::Close, Command::Tallies, Command::Reveal, Command::Open] {
            node.step(&show, command);
        }
        host.see("[data-testid=question-3].current").await;
        assert_eq!(host.count("[data-testid=questions] > li").await, DRAWN);
        assert!(host.text("questions-below").await.starts_with("38 more"));

        host.write("find-question", "number 63").await;
        host.see(&selector("question-63")).await;
        assert_eq!(host.count("[data-testid=questions] > li").await, 1);
        host.click("choose-question-63").await;
        host.see(&selector("no-rounds")).await;

        host.write("find-question", "capital").await;
        host.click("choose-question-2").await;
        host.see("[data-testid=round-2][data-answer=Quito]").await;
        host.see("[data-testid=round-2] [data-testid^=accept-]").await;
        host.run("document.querySelector('[data-testid^=accept-]').click()").await;
        host.see("[data-testid=round-2][data-revision=\"1\"]").await;
        host.write("accepted", "Callao").await;
        host.click("do-accept").await;
        host.see("[data-testid=round-2][data-revision=\"2\"]").await;
        let right = host.attribute("[data-testid=round-2]", "data-answer").await;
        assert!(right.contains("Callao") && right.to_lowercase().contains("lima"), "{right}");
        host.click("void-round").await;
        host.see("[data-testid=round-2][data-voided=true]").await;
        host.click("restore-round").await;
        host.see("[data-testid=round-2][data-voided=false]").await;
        assert_eq!(host.count(&selector("ask-again")).await, 0, "a question is open");
        node.step(&show, Command::Close);
        host.click("ask-again").await;
        host.see("[data-testid=question-2].current").await;
        host.see("[data-testid=round-4]").await;
        host.see("[data-testid=round-2][data-voided=true]").await;
        host.see("[data-testid=phase][data-phase=intro]").await;
        assert_eq!(host.count(&selector("ask-again")).await, 0, "it is asked");

        node.step(&show, Command::End);
        host.write("find-question", "1").await;
        host.click("choose-question-1").await;
        host.see("[data-testid=round-1][data-answer=\"\"]").await;
        host.click("resolve-1").await;
        host.see("[data-testid=round-1][data-answer=Away]").await;
    });
    drop(browsers);
}

const PARTS: &str = r#"{"format": "starling-show/1", "title": "Parts", "questions": [
    {"text": "Prime?", "options": ["2", "4", "7"], "correct": [0, 2], "multiple": true, "seconds": 300,
     "scoring": {"partial": 500}}]}"#;

/// A phone knows more than right and wrong.
#[test]
fn a_phone_tells_what_is_partly_right_corrected_or_set_aside() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(PARTS);
    block_on(async {
        let base = format!("http://{}", node.bound.http);
        let player = browsers.open(&format!("{base}/?pin={}", show.imported.pin)).await;
        player.write("name", "Ada").await;
        player.click("join").await;
        player.see(&selector("joined")).await;
        node.step(&show, Command::Open);
        player.click("option-0").await;
        player.click("submit").await;
        player.see("[data-testid=receipt][data-status=accepted]").await;
        for command in [Command::Close, Command::Tallies, Command::Reveal] {
            node.step(&show, command);
        }
        player.see("[data-testid=result].part[data-correct=false]").await;
        assert!(player.text("result").await.contains("Partly right."));

        let host = open(&browsers, &node, &show).await;
        host.click("choose-question-1").await;
        host.see("[data-testid=round-1] [data-testid=right-0]").await;
        host.run("document.querySelector('[data-testid=round-1] [data-testid=right-0]').click()")
            .await;
        host.run(
            "document.querySelector('[data-testid=round-1] [data-testid=do-rescore]').click()",
        )
        .await;
        player.see("[data-testid=result].good[data-correct=true]").await;
        player.see(&selector("corrected")).await;
        let address =
            player.run("return document.querySelector('[data-testid=verify]').href").await;
        let check = browsers.open(address.as_str().expect("it is a link")).await;
        check.see("[data-testid=key-verdict][data-verdict=holds]").await;
        assert!(check.text("key-corrected").await.contains("this is right: 2."));

        host.click("void-round").await;
        player.see(&selector("voided")).await;
        player.see("[data-testid=result]:not(.good):not(.bad):not(.part)").await;
        assert!(player.text("result").await.contains("It does not count."));
    });
    drop(browsers);
}

fn script() -> Value {
    let seconds = 300;
    let mut questions = vec![
        json!({ "kind": "prediction", "text": "Who wins?", "options": ["Home", "Away"], "seconds": seconds }),
        json!({ "text": "Which is the capital?", "accepted": ["Quito"], "seconds": seconds }),
        json!({ "text": "Prime?", "options": ["2", "4"], "correct": 0, "seconds": seconds }),
    ];
    let more = |number| {
        let text = format!("Question number {number}?");
        json!({ "text": text, "options": ["yes", "no"], "correct": 0 })
    };
    questions.extend((4..4 + MORE).map(more));
    json!({ "format": "starling-show/1", "title": "A long one", "questions": questions })
}

async fn open(browsers: &Browsers, node: &Single, show: &SingleShow) -> Page {
    let (event, token) = (show.imported.event, &show.imported.host_token);
    browsers.open(&format!("http://{}/host?event={event}#token={token}", node.bound.http)).await
}

/// Joins and types an answer to the second question.
fn answer(node: &Single, pin: &str, text: &str) {
    let player = format!("{:032x}", 0xe);
    let (mut client, _) = Raw::connect(node.bound.mqtt, true, "", None);
    client.subscribe(&format!("inbox/{player}"));
    client.publish(
        &slotted("connect", &player),
        &json!({ "pin": pin, "player": player, "name": "Eve" }),
    );
    let joined = client.message("the join", |message| message["type"] == "joined");
    let answer = json!({ "token": joined["token"], "instance": 2, "text": text });
    assert_eq!(client.publish(&slotted("answer", &player), &answer).reason, 0);
}

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}
