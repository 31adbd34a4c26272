//! Every kind of engagement in real browsers: a player answers, the host closes, counts and reveals, the player
//! sees what came of it and the screen shows the result, all of it, on projectors of both usual sizes.
//!
//! The show is the sample that has every kind once; a kind that this file does not know how to play fails it.
//! With `STARLING_PICTURES=DIR` every page is photographed on the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use node::service::view::Command;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tests::browser::{Browsers, Page, selector};
use tests::lab::{self, eventually};
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::{Single, SingleShow};

/// The sizes of screens that a show is shown on.
const PROJECTORS: [(u32, u32); 2] = [(1280, 720), (1920, 1080)];

const WAIT_MAX: Duration = Duration::from_secs(60);

/// Long enough for a slow machine: a host closes.
const OPEN_MS: u32 = 300_000;

#[test]
fn every_kind_is_played_in_browsers_to_its_result() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let script = script();
    let show = node.show(&node::show::to_json(&script));
    block_on(async {
        let room = Room::open(&browsers, &node, &show).await;
        room.join("Ada", "Starlings").await;
        for (at, question) in script.questions.iter().enumerate() {
            room.open_question(at + 1).await;
            let view = serde_json::to_value(question.task.view(false)).unwrap();
            let form = view["form"].as_str().unwrap_or_default().to_owned();
            room.play(question.task.name(), &form, at + 1).await;
        }
        room.host.click("cmd-end").await;
        room.end().await;
    });
    drop(browsers);
}

const REPLACED: &str = r#"{"format": "starling-show/1", "title": "Wrong keys", "questions": [
    {"text": "Prime?", "options": ["2", "3", "4"], "correct": [0, 2], "multiple": true},
    {"text": "Capital?", "accepted": ["Quito"]},
    {"text": "How high?", "correct": 10, "min": -10, "max": 40, "step": 0.5, "unit": "m"},
    {"text": "In order?", "options": ["one", "two", "three"], "order": [0, 1, 2]}]}"#;

/// Every form of a question has its own way to say what is right instead.
#[test]
fn a_host_puts_another_key_in_place_and_takes_the_show_over() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(REPLACED);
    join_and_leave(&node, &show.imported.pin);
    let path = format!("/api/v1/events/{}/export", show.imported.event);
    let answer = |round: usize| {
        let lines = node.get(&path).body;
        let lines = lines.lines().map(serde_json::from_str::<serde_json::Value>);
        let mut lines = lines.map(Result::unwrap);
        let line = lines.find(|it| it["type"] == "question" && it["instance"] == round);
        line.map(|line| line["answer"].clone())
    };
    block_on(async {
        let room = Room::open(&browsers, &node, &show).await;
        let host = &room.host;
        let expected = ["2, 3", "Callao, Lima", "-1.5 m", "two, one, three"];
        let notice_height =
            format!("return document.querySelector('{}').offsetHeight", selector("notice"));
        let empty = host.run(&notice_height).await;
        for (at, expected) in expected.iter().enumerate() {
            [Command::Open, Command::Close].into_iter().for_each(|step| node.step(&show, step));
            host.see("[data-testid=phase][data-phase=closed]").await;
            room.open_rulings().await;
            match at {
                0 => {
                    host.click("right-0").await;
                    host.click("right-1").await;
                }
                1 => host.put("texts", "Lima\n Callao \n\nLima").await,
                2 => {
                    for (number, why) in [("10.3", "10 and 10.5"), ("40.5", "from -10 to 40")] {
                        host.write("sought", number).await;
                        host.click("do-rescore").await;
                        host.see("[data-testid=notice].bad").await;
                        let said = host.text("notice").await;
                        assert!(said.contains(why), "{number}: {said}");
                    }
                    host.write("sought", "-1.5").await;
                }
                _ => {
                    for (place, option) in [(0, 1), (1, 0)] {
                        let select =
                            format!("document.querySelector('[data-testid=place-{place}]')");
                        host.run(&format!("{select}.value = '{option}'")).await;
                    }
                }
            }
            host.click("do-rescore").await;
            let shown = expected.replace(", ", if at == 3 { " → " } else { ", " });
            eventually("the key being another", WAIT_MAX, || {
                (answer(at + 1)? == shown.as_str()).then_some(())
            });
            [Command::Tallies, Command::Reveal].into_iter().for_each(|step| node.step(&show, step));
        }
        host.write("owner", "Bea").await;
        host.click("do-own").await;
        host.see("[data-testid=show-owner][data-value=Bea]").await;
        host.write("owner", "Cyd").await;
        host.click("do-takeover").await;
        host.see("[data-testid=show-owner][data-value=Cyd]").await;
        // A host aims at what stands below: news of what was done must not move it.
        host.see("[data-testid=notice]:not(.empty)").await;
        assert_eq!(host.run(&notice_height).await, empty);
        host.write("find", "Eve").await;
        host.click("do-find").await;
        host.click("choose-Eve").await;
        host.click("kick").await;
        host.click("lock-after-kick").await;
        host.see("[data-testid=locked][data-locked=true]").await;
        assert_eq!(host.count(&selector("offer-lock")).await, 0);
    });
    drop(browsers);
}

/// Somebody called Eve joins.
fn join_and_leave(node: &Single, pin: &str) {
    let player = format!("{:032x}", 0xe);
    let (mut client, _) = Raw::connect(node.bound.mqtt, true, "", None);
    client.subscribe(&format!("inbox/{player}"));
    client.publish(
        &slotted("connect", &player),
        &json!({ "pin": pin, "player": player, "name": "Eve" }),
    );
    client.message("the join", |message| message["type"] == "joined");
}

/// More than a board shows.
const OTHERS: u32 = 11;

#[test]
fn who_stands_next_to_a_player_is_drawn_where_the_board_does_not_list_the_player() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(&sums(1, OPEN_MS));
    let pin = show.imported.pin.clone();
    block_on(async {
        let player = browsers.open(&format!("http://{}/?pin={pin}", node.bound.http)).await;
        player.write("name", "Zoe").await;
        player.click("join").await;
        player.see(&selector("joined")).await;
        node.step(&show, Command::Open);
        (1..=OTHERS).for_each(|number| answers_correctly(&node, &pin, number));
        player.click("option-0").await;
        player.see("[data-testid=receipt][data-status=accepted]").await;
        let steps = [Command::Close, Command::Tallies, Command::Reveal, Command::Leaderboard];
        steps.into_iter().for_each(|command| node.step(&show, command));
        player.see("[data-testid=phase][data-phase=board]").await;
        let own = format!("[data-testid=neighbour].own[data-rank=\"{}\"]", OTHERS + 1);
        player.see(&own).await;
        assert_eq!(player.number(&selector("rank")).await, u64::from(OTHERS) + 1);
        assert_eq!(player.count("[data-testid^=board-row-]").await, 10);
        assert_eq!(player.count(&selector("neighbour")).await, 2);
    });
    drop(browsers);
}

/// Joins and answers the first question of [`sums`] right.
fn answers_correctly(node: &Single, pin: &str, number: u32) {
    let player = format!("{number:032x}");
    let (mut client, _) = Raw::connect(node.bound.mqtt, true, "", None);
    client.subscribe(&format!("inbox/{player}"));
    let join = json!({ "pin": pin, "player": player, "name": format!("Player {number}") });
    client.publish(&slotted("connect", &player), &join);
    let joined = client.message("the join", |message| message["type"] == "joined");
    let answer = json!({ "token": joined["token"], "instance": 1, "choices": [1] });
    assert_eq!(client.publish(&slotted("answer", &player), &answer).reason, 0);
}

/// The sample show of all kinds, its questions open until they are closed.
fn script() -> crdt_state::engagement::Script {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../node/shows/kinds.json");
    let mut script = node::show::parse(&fs::read_to_string(root).unwrap()).unwrap();
    script.questions.iter_mut().for_each(|question| question.open_ms = OPEN_MS);
    script
}

/// The three pages of one show.
struct Room {
    player: Page,
    host: Page,
    screen: Page,
}

impl Room {
    async fn open(browsers: &Browsers, node: &Single, show: &SingleShow) -> Self {
        let base = format!("http://{}", node.bound.http);
        let (event, pin) = (&show.imported.event, &show.imported.pin);
        let token = &show.imported.host_token;
        let host = browsers.open(&format!("{base}/host?event={event}#token={token}")).await;
        let screen = browsers.open(&format!("{base}/screen?pin={pin}")).await;
        let player = browsers.open(&format!("{base}/?pin={pin}")).await;
        Room { player, host, screen }
    }

    async fn join(&self, name: &str, team: &str) {
        self.player.write("name", name).await;
        self.player.click("join").await;
        self.player.see(&selector("joined")).await;
        self.player.click("team-0").await;
        self.player.see("[data-testid=team][data-chosen=true]").await;
        assert_eq!(self.player.text("team").await, team);
        self.player.see("[data-testid=team-0][aria-pressed=true]").await;
        self.fits("lobby").await;
        self.pictures("00-lobby").await;
    }

    async fn open_question(&self, number: usize) {
        self.host.click("cmd-open").await;
        self.player.see("[data-testid=phase][data-phase=open]").await;
        self.fits("open").await;
        self.pictures(&format!("{number:02}-a-open")).await;
    }

    /// The screen shows all of a phase without a bar to scroll by.
    async fn fits(&self, phase: &str) {
        self.screen.see(&format!("[data-testid=phase][data-phase={phase}]")).await;
        for (width, height) in PROJECTORS {
            self.screen.resize(width, height).await;
            let beyond = self.screen.beyond().await;
            if beyond != (0, 0) {
                self.pictures(&format!("beyond-{phase}-{width}")).await;
            }
            let text = self.screen.text("title").await;
            assert_eq!(
                beyond,
                (0, 0),
                "{width}x{height}, {phase} of {text}: so many pixels do not fit"
            );
        }
    }

    async fn play(&self, kind: &str, form: &str, number: usize) {
        match (kind, form) {
            ("poll", _) => self.poll().await,
            ("quiz", form) => self.quiz(form, number).await,
            ("prediction", _) => self.prediction().await,
            ("elimination", _) => self.elimination(number).await,
            ("rating", _) => self.rating().await,
            ("word_cloud", _) => self.word_cloud().await,
            ("qa", _) => self.questions().await,
            ("reactions", _) => self.reactions().await,
            ("tug", _) => self.tug().await,
            ("survey", _) => self.survey().await,
            ("raffle", _) => self.raffle().await,
            other => panic!("nobody has said here how {other:?} is played"),
        }
        self.pictures(&format!("{number:02}-z-end")).await;
    }

    async fn poll(&self) {
        self.player.click("option-1").await;
        self.taken().await;
        self.count().await;
        self.counted("tally-1", 1).await;
        self.counted("tally-0", 0).await;
        self.player.see(&format!("{} .own", selector("option-1"))).await;
    }

    async fn quiz(&self, form: &str, number: usize) {
        match (form, number) {
            // True is the first of true and false.
            ("choice", 2) => self.player.click("option-0").await,
            ("choice", _) => self.choose_in_turn(&[0, 2]).await,
            ("typed", _) => self.send("text", "lima").await,
            ("estimate", _) => {
                self.send("number", "3000").await;
                self.taken().await;
                self.come_back_without_the_answer().await;
                let receipt = self.player.text("receipt").await;
                assert!(receipt.contains("3,000"), "{receipt}");
            }
            ("order", _) => self.choose_in_turn(&[1, 0, 2]).await,
            other => panic!("nobody has said here how {other:?} is answered"),
        }
        self.taken().await;
        self.count().await;
        self.reveal_correct().await;
        match form {
            "choice" => self.screen.see("[data-testid=option-0][data-correct=true]").await,
            _ => self.screen.see(&selector("solution")).await,
        };
        self.board().await;
    }

    async fn prediction(&self) {
        self.player.click("option-0").await;
        self.send("stake", "50").await;
        self.taken().await;
        self.count().await;
        self.counted("tally-0", 1).await;
        self.both("[data-testid=came-true][data-state=open]").await;
        self.open_rulings().await;
        // At once: the reply to the command before may still be on its way.
        self.host.run("document.querySelector('[data-testid=resolve-0]').click()").await;
        self.both("[data-testid=came-true][data-state=resolved]").await;
        self.screen.see("[data-testid=option-0][data-correct=true]").await;
    }

    async fn elimination(&self, number: usize) {
        // Jupiter is the second option of the first round, Mercury the first one of the second.
        self.player.click(if number == 8 { "option-1" } else { "option-0" }).await;
        self.taken().await;
        self.count().await;
        self.reveal_correct().await;
        self.player.see("[data-testid=lives][data-value=\"1\"]").await;
        self.counted("survivors", 1).await;
        if number != 8 {
            assert_eq!(self.player.number(&selector("bonus")).await, 3_000);
        }
        self.board().await;
    }

    async fn rating(&self) {
        self.player.click("option-3").await;
        self.taken().await;
        self.count().await;
        self.counted("tally-3", 1).await;
        self.both("[data-testid=mean][data-value=\"4.00\"]").await;
    }

    async fn word_cloud(&self) {
        self.send("text", "warm, loud").await;
        self.taken().await;
        self.count().await;
        self.both("[data-testid=word-warm][data-value=\"1\"]").await;
        self.both("[data-testid=word-loud]").await;
    }

    /// A moderated round: nobody sees a post before the host has let it through.
    async fn questions(&self) {
        self.send("post", "Why do starlings murmur?").await;
        self.player.see("[data-testid=input][data-taken=true]").await;
        // Unasked: a host who has to look for it would let it wait.
        self.host.see("[data-testid=waiting][data-value=\"1\"]").await;
        assert!(self.host.text("waiting").await.starts_with("1 question waits for you"));
        assert_eq!(self.host.count("[data-testid=rulings] [data-testid^=shown-]").await, 0);
        assert_eq!(self.screen.count("[data-testid^=post-]").await, 0);
        self.host.run("document.querySelector('[data-testid^=shown-]').click()").await;
        self.both("[data-testid^=post-]").await;
        self.player.click("vote").await;
        self.screen.see("[data-testid=votes][data-value=\"1\"]").await;
        self.count().await;
        self.both("[data-testid=votes][data-value=\"1\"]").await;
    }

    async fn reactions(&self) {
        self.player.click("option-1").await;
        self.counted("tally-1", 1).await;
        self.count().await;
        self.counted("tally-1", 1).await;
    }

    async fn tug(&self) {
        self.player.click("pull").await;
        self.screen.see("[data-testid=taps][data-value=\"1\"]").await;
        self.count().await;
        self.both("[data-testid=taps][data-value=\"1\"]").await;
        // The rope is the team's that the player chose.
        assert!(self.screen.text("taps").await.starts_with("Starlings: 1 tap, 1 player"));
        self.board().await;
    }

    async fn survey(&self) {
        self.player.click("item-0-1").await;
        self.player.click("item-1-0").await;
        self.send("comment", "Encore").await;
        self.taken().await;
        self.count().await;
        self.both("[data-testid=word-encore]").await;
    }

    async fn raffle(&self) {
        self.player.click("enter").await;
        self.taken().await;
        self.count().await;
        self.reveal_correct().await;
        self.screen.see(&format!("{} .row", selector("winners"))).await;
        let drawn = self.player.see(&format!("{} .row .name", selector("winners"))).await;
        assert_eq!(drawn.text().await.unwrap(), "Ada");
    }

    async fn end(&self) {
        self.player.see("[data-testid=phase][data-phase=ended]").await;
        let own = format!("{}[data-players=\"1\"]", selector("team-row-Starlings"));
        self.both(&own).await;
        assert!(self.screen.number(&own).await > 0);
        assert_eq!(self.player.number(&selector("rank")).await, 1);
        self.fits("ended").await;
        self.pictures("99-end").await;
    }

    /// Types, and sends the form.
    async fn send(&self, field: &str, text: &str) {
        self.player.write(field, text).await;
        self.player.click("submit").await;
    }

    async fn choose_in_turn(&self, options: &[u8]) {
        for option in options {
            self.player.click(&format!("option-{option}")).await;
        }
        self.player.click("submit").await;
    }

    /// The answer is held.
    async fn taken(&self) {
        let receipt = selector("receipt");
        self.player.see(&format!("{receipt}[data-status=accepted]:not([data-code])")).await;
    }

    /// The player's browser forgets what was answered: the inbox says it.
    async fn come_back_without_the_answer(&self) {
        let forget = "const key = 'starling.session'; const kept = JSON.parse(localStorage.getItem(key)); \
                      delete kept.answer; localStorage.setItem(key, JSON.stringify(kept));";
        self.player.run(forget).await;
        self.player.reload().await;
        self.taken().await;
    }

    /// Unfolds what a host can rule; it may be unfolded already.
    async fn open_rulings(&self) {
        self.host.see(&selector("rulings")).await;
        self.host.run("document.querySelector('[data-testid=rulings]').open = true").await;
    }

    /// The host closes and counts.
    async fn count(&self) {
        self.host.click("cmd-close").await;
        self.player.see("[data-testid=phase][data-phase=closed]").await;
        self.fits("closed").await;
        self.host.click("cmd-tallies").await;
        self.player.see("[data-testid=phase][data-phase=tallies]").await;
        self.fits("tallies").await;
    }

    /// The host reveals, and the player is told that the answer was right.
    async fn reveal_correct(&self) {
        self.host.click("cmd-reveal").await;
        self.player.see("[data-testid=result][data-correct=true]").await;
        self.fits("reveal").await;
    }

    async fn board(&self) {
        self.host.click("cmd-leaderboard").await;
        self.player.see("[data-testid=phase][data-phase=board]").await;
        self.both(&selector("teams")).await;
        self.fits("board").await;
    }

    /// The player's page and the screen show something.
    async fn both(&self, css: &str) {
        self.player.see(css).await;
        self.screen.see(css).await;
    }

    async fn counted(&self, id: &str, count: u64) {
        self.screen.see(&format!("{}[data-value=\"{count}\"]", selector(id))).await;
    }

    async fn pictures(&self, name: &str) {
        let Some(folder) = std::env::var_os("STARLING_PICTURES").map(PathBuf::from) else { return };
        let pages = [("player", &self.player), ("screen", &self.screen), ("host", &self.host)];
        for (page, shown) in pages {
            let path = folder.join(format!("{name}-{page}.png"));
            fs::write(&path, shown.picture().await).expect("the picture can be kept");
        }
    }
}

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}
