//! What a show publishes can be checked by anybody, in a browser, and a forged one does not pass.

use crdt_state::engagement::raffle::Raffle;
use crdt_state::engagement::{Question, Script, Task};
use node::service::view::Command;
use tests::browser::{Browsers, Page, selector};
use tests::lab;
use tests::single::{Single, SingleShow};

const OPEN_MS: u32 = 300_000;
const HOLDS: &str = "[data-verdict=holds]";
const REFUSED: &str = "[data-verdict=refused]";

#[test]
fn a_key_is_checked_against_what_was_published_at_the_opening() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let options = ["Rome", "Lima"].map(str::to_owned).to_vec();
    let question = Question::choice("Capital of Peru?", options, 0b10).open_ms(OPEN_MS);
    let show = node.show(&node::show::to_json(&Script::new("Capitals", vec![question])));
    block_on(async {
        let room = Room::open(&browsers, &node, &show).await;
        room.join("Ada").await;
        room.play(&node, &show, "option-1").await;
        for page in [&room.player, &room.screen] {
            let link = page.attribute(&selector("verify"), "href").await;
            assert!(link.contains("key=choices%3A1"), "{link}");
            let check = browsers.open(&format!("{}{link}", room.base)).await;
            verdict(&check, "key-verdict", HOLDS).await;
            assert_eq!(check.text("asked").await, "Capital of Peru?");
        }
        let link = room.player.attribute(&selector("verify"), "href").await;
        let check = browsers.open(&format!("{}{link}", room.base)).await;
        verdict(&check, "key-verdict", HOLDS).await;
        check.write("key", "choices:0").await;
        check.click("check-key").await;
        verdict(&check, "key-verdict", REFUSED).await;
        check.write("key", "choices:1").await;
        check.click("check-key").await;
        verdict(&check, "key-verdict", HOLDS).await;
        let other = link.replace("key=choices%3A1", "key=choices%3A0");
        assert_ne!(other, link);
        let forged = browsers.open(&format!("{}{other}", room.base)).await;
        verdict(&forged, "key-verdict", REFUSED).await;
    });
    drop(browsers);
}

/// A number of steps tells nobody anything: the page says which number it is.
#[test]
fn the_key_of_an_estimate_is_shown_as_its_number() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(
        r#"{"format": "starling-show/1", "title": "Heights", "questions": [{"text": "How high?",
            "min": -10, "max": 400, "step": 0.5, "correct": 330.5, "unit": "m", "seconds": 300}]}"#,
    );
    block_on(async {
        let room = Room::open(&browsers, &node, &show).await;
        room.join("Ada").await;
        node.step(&show, Command::Open);
        room.player.see("[data-testid=phase][data-phase=open]").await;
        room.reveal(&node, &show).await;
        let link = room.screen.attribute(&selector("verify"), "href").await;
        assert!(link.contains("key=number%3A681"), "{link}");
        let check = browsers.open(&format!("{}{link}", room.base)).await;
        verdict(&check, "key-verdict", HOLDS).await;
        check.see("[data-testid=key-means][data-value=\"330.5\"]").await;
        assert!(check.text("key-means").await.starts_with("number:681 = 330.5 m"));
    });
    drop(browsers);
}

#[test]
fn a_raffle_is_drawn_again_and_a_forged_record_of_it_refused() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let question = Question::new("A ticket", Task::Raffle(Raffle { winners: 1 })).open_ms(OPEN_MS);
    let show = node.show(&node::show::to_json(&Script::new("Raffle", vec![question])));
    block_on(async {
        let room = Room::open(&browsers, &node, &show).await;
        room.join("Ada").await;
        let second = browsers.open(&format!("{}/?pin={}", room.base, show.imported.pin)).await;
        join(&second, "Ben").await;
        let early = node.get(&format!("/api/v1/pins/{}/raffle?instance=1", show.imported.pin));
        assert_eq!((early.status, early.code().as_str()), (404, "raffle_unknown"));
        node.step(&show, Command::Open);
        for page in [&room.player, &second] {
            page.click("enter").await;
            page.see("[data-testid=receipt][data-status=accepted]").await;
        }
        room.reveal(&node, &show).await;

        let link = room.player.attribute(&selector("verify"), "href").await;
        let check = browsers.open(&format!("{}{link}", room.base)).await;
        verdict(&check, "raffle-verdict", HOLDS).await;
        for part in ["commitment", "tickets", "own", "draw"] {
            check.see(&format!("[data-testid=check-of-{part}][data-holds=true]")).await;
        }
        let record = check.run("return document.querySelector('[name=record]').value").await;
        let record: serde_json::Value = serde_json::from_str(record.as_str().unwrap()).unwrap();
        assert_eq!(record["tickets"].as_array().unwrap().len(), 2);

        let mut forged = record.clone();
        let loser = record["tickets"].as_array().unwrap().iter();
        let loser = loser.clone().find(|ticket| **ticket != record["drawn"][0]).unwrap();
        forged["drawn"] = serde_json::json!([loser]);
        room.refuses(&check, &forged, "draw").await;

        let mut forged = record.clone();
        forged["tickets"] = serde_json::json!([record["drawn"][0]]);
        room.refuses(&check, &forged, "tickets").await;

        let mut forged = record.clone();
        forged["salt"] = serde_json::json!("00".repeat(16));
        room.refuses(&check, &forged, "commitment").await;

        check.put("record", &record.to_string()).await;
        check.click("check-raffle").await;
        verdict(&check, "raffle-verdict", HOLDS).await;
        assert_eq!(check.count(&selector("draw-voided")).await, 0);

        node.step(&show, Command::Void);
        for page in [&room.player, &room.screen] {
            page.see(&selector("voided")).await;
        }
        let check = browsers.open(&format!("{}{link}", room.base)).await;
        verdict(&check, "raffle-verdict", HOLDS).await;
        assert!(check.text("draw-voided").await.contains("gets nothing"));
    });
    drop(browsers);
}

struct Room {
    base: String,
    player: Page,
    screen: Page,
}

impl Room {
    async fn open(browsers: &Browsers, node: &Single, show: &SingleShow) -> Self {
        let base = format!("http://{}", node.bound.http);
        let pin = &show.imported.pin;
        let screen = browsers.open(&format!("{base}/screen?pin={pin}")).await;
        screen.see("[data-phase=lobby]").await;
        let player = browsers.open(&format!("{base}/?pin={pin}")).await;
        Room { base, player, screen }
    }

    async fn join(&self, name: &str) {
        join(&self.player, name).await;
    }

    async fn play(&self, node: &Single, show: &SingleShow, answer: &str) {
        node.step(show, Command::Open);
        self.player.click(answer).await;
        self.player.see("[data-testid=receipt][data-status=accepted]").await;
        self.screen.see("[data-testid=phase][data-phase=open]").await;
        self.reveal(node, show).await;
    }

    async fn reveal(&self, node: &Single, show: &SingleShow) {
        for (command, phase) in
            [(Command::Close, "closed"), (Command::Tallies, "tallies"), (Command::Reveal, "reveal")]
        {
            node.step(show, command);
            for page in [&self.player, &self.screen] {
                page.see(&format!("[data-testid=phase][data-phase={phase}]")).await;
            }
        }
    }

    /// The page does not take this record, and says that it is this part that does not hold.
    async fn refuses(&self, check: &Page, record: &serde_json::Value, part: &str) {
        check.put("record", &record.to_string()).await;
        check.click("check-raffle").await;
        check.see(&format!("[data-testid=check-of-{part}][data-holds=false]")).await;
        verdict(check, "raffle-verdict", REFUSED).await;
    }
}

async fn join(page: &Page, name: &str) {
    page.write("name", name).await;
    page.click("join").await;
    page.see(&selector("joined")).await;
}

async fn verdict(page: &Page, id: &str, verdict: &str) {
    page.see(&format!("{}{verdict}", selector(id))).await;
}

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}
