//! What pages do for people who come early, go late, look for friends or are shown a picture.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use node::service::view::Command;
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tests::browser::{Browsers, Page, selector};
use tests::javascript::{pages, run_with_pages};
use tests::lab::{self, eventually, need};
use tests::shows::sums;
use tests::single::{Single, SingleShow};

const WAIT_MAX: Duration = Duration::from_secs(60);
/// Long enough for a slow machine: a host closes.
const OPEN_MS: u32 = 300_000;

/// In [`sums`] the correct option of the first question, and a wrong one.
const CORRECT: &str = "option-1";
const WRONG: &str = "option-2";

/// Two by two pixels.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4v8MXiBggFAA7RggRdksjrQAAAABJRU5ErkJggg==";

#[test]
fn who_comes_before_the_lobby_is_let_in_when_it_opens() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let imported = node.post("/api/v1/events", &sums(1, OPEN_MS)).json();
    let show = SingleShow { imported };
    block_on(async {
        let player = join(&browsers, &node, &show, "Ada").await;
        player.see(&selector("early")).await;
        assert_eq!(player.count(&selector("error")).await, 0, "nobody is told off");
        node.step(&show, Command::Lobby);
        player.see(&selector("joined")).await;
        assert_eq!(player.text("player-name").await, "Ada");
    });
    drop(browsers);
}

/// A host holds the time until both pages are there: then it runs out before their eyes, and the show starts.
#[test]
fn a_lobby_that_ends_by_itself_counts_down_on_phones_and_screen() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = r#"{"format": "starling-show/1", "title": "By itself", "autopilot_seconds": 2, "lobby_seconds": 12,
        "questions": [{"text": "1 + 1?", "options": ["1", "2"], "correct": 1, "seconds": 300}]}"#;
    let imported = node.post("/api/v1/events", show).json();
    let show = SingleShow { imported };
    node.step(&show, Command::Pause);
    block_on(async {
        let screen = format!("{}/screen?pin={}", base(&node), show.imported.pin);
        let screen = browsers.open(&screen).await;
        let player = join(&browsers, &node, &show, "Ada").await;
        for page in [&player, &screen] {
            page.see(&selector("paused")).await;
            assert_eq!(page.count(&selector("starts")).await, 0, "nothing runs");
        }
        node.step(&show, Command::Resume);
        for page in [&player, &screen] {
            counts_down(page, 12).await;
        }
        for page in [&player, &screen] {
            page.see("[data-testid=phase][data-phase=open]").await;
            assert_eq!(page.count(&selector("starts")).await, 0, "it has started");
        }
    });
    assert!(node.host_view(&show).is_some_and(|view| view.live.stage.instance == 1));
    drop(browsers);
}

/// The page shows whole seconds, no more than there are, and fewer after a while, until there is nothing to count.
async fn counts_down(page: &Page, most: u64) {
    page.see("[data-testid=starts] [data-testid=countdown]").await;
    let number = "return document.querySelector('[data-testid=starts] .number')?.textContent ?? ''";
    let (mut shown, until) = (Vec::new(), Instant::now() + WAIT_MAX);
    while shown.len() < 3 && Instant::now() < until {
        let text = page.run(number).await;
        match text.as_str().and_then(|text| text.parse::<u64>().ok()) {
            Some(left) if shown.last() != Some(&left) => shown.push(left),
            Some(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            None => break,
        }
    }
    assert!(shown.first().is_some_and(|first| (1..=most).contains(first)), "{shown:?}");
    assert!(shown.is_sorted_by(|one, next| one > next), "{shown:?}");
    assert!(shown.len() > 1, "{shown:?}");
}

#[test]
fn a_revised_result_says_so_and_its_host_takes_it_home() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(&sums(1, OPEN_MS));
    block_on(async {
        let player = join(&browsers, &node, &show, "Ada").await;
        player.see(&selector("joined")).await;
        let (base, token) = (base(&node), &show.imported.host_token);
        let host = format!("{base}/host?event={}#token={token}", show.imported.event);
        let host = browsers.open(&host).await;
        let screen = browsers.open(&format!("{base}/screen?pin={}", show.imported.pin)).await;
        host.click("cmd-open").await;
        player.click(WRONG).await;
        player.see("[data-testid=receipt][data-status=accepted]").await;
        for command in ["cmd-close", "cmd-tallies", "cmd-reveal"] {
            host.click(command).await;
        }
        player.see("[data-testid=result][data-correct=false]").await;
        assert_eq!(screen.count(&selector("revised")).await, 0);
        host.see(&selector("rulings")).await;
        host.run("document.querySelector('[data-testid=rulings]').open = true").await;
        host.click("rescore-2").await;
        player.see("[data-testid=result][data-correct=true]").await;
        for page in [&player, &screen, &host] {
            page.see("[data-testid=revised][data-value=\"1\"]").await;
        }
        host.click("cmd-leaderboard").await;
        host.click("cmd-next").await;
        takes_home(&host).await;
    });
    drop(browsers);
}

/// The browser would keep the file: here the test does.
async fn takes_home(host: &Page) {
    host.run(
        "URL.createObjectURL = (blob) => (blob.text().then((text) => (document.body.dataset.kept = text)), 'blob:kept'); \
         HTMLAnchorElement.prototype.click = function () { document.body.dataset.name = this.download }",
    )
    .await;
    host.click("get-players.csv").await;
    let kept = host.attribute("body[data-kept]", "data-kept").await;
    assert!(kept.starts_with("rank,player,name,points,correct_ms,status\r\n1,"), "{kept}");
    assert!(kept.contains(",Ada,"), "{kept}");
    assert!(host.attribute("body", "data-name").await.ends_with("-players.csv"));
    assert_eq!(host.text("locked").await, "over");
}

#[test]
fn a_player_sees_where_friends_stand() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let show = node.show(&sums(1, OPEN_MS));
    block_on(async {
        let (ada, bob) = (
            join(&browsers, &node, &show, "Ada").await,
            join(&browsers, &node, &show, "Bob").await,
        );
        for page in [&ada, &bob] {
            page.see(&selector("joined")).await;
        }
        node.step(&show, Command::Open);
        for (page, option) in [(&ada, CORRECT), (&bob, WRONG)] {
            page.click(option).await;
            page.see("[data-testid=receipt][data-status=accepted]").await;
        }
        let steps = [Command::Close, Command::Tallies, Command::Reveal, Command::Leaderboard];
        steps.into_iter().for_each(|command| node.step(&show, command));
        bob.write("friend-name", "ada").await;
        bob.click("befriend").await;
        bob.see("[data-testid=friend][data-rank=\"1\"][data-place=\"1\"]:not(.own)").await;
        bob.see("[data-testid=friend][data-rank=\"2\"].own").await;
        bob.write("friend-name", "Zoe").await;
        bob.click("befriend").await;
        let absent = bob.see(&selector("unfriend-Zoe")).await;
        bob.see("[data-testid=friends] [data-name=Zoe]").await;
        drop(absent);
        bob.click("unfriend-ada").await;
        bob.reload().await;
        bob.see(&selector("unfriend-Zoe")).await;
        assert_eq!(bob.count(&selector("unfriend-ada")).await, 0, "the list is kept");
    });
    drop(browsers);
}

#[test]
fn what_is_not_filled_in_is_not_sent() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let words = json!({
        "format": "starling-show/1", "title": "Words",
        "questions": [{ "kind": "word_cloud", "text": "How was it?", "words": 2, "seconds": 300 }]
    });
    let show = node.show(&words.to_string());
    block_on(async {
        let player = join(&browsers, &node, &show, "Ada").await;
        player.see(&selector("joined")).await;
        node.step(&show, Command::Open);
        player.write("text", "  ").await;
        player.click("submit").await;
        player.see(&selector("missing")).await;
        assert_eq!(player.count(&selector("receipt")).await, 0);
        player.write("text", "loud").await;
        player.click("submit").await;
        player.see("[data-testid=receipt][data-status=accepted]").await;
        assert_eq!(player.count(&selector("missing")).await, 0);
    });
    drop(browsers);
}

/// The script of pictures by itself, under Node.js, at a node that cannot have the picture.
#[test]
fn a_picture_that_a_node_has_not_is_asked_for_again_and_nowhere_else() {
    let Some(node) = need("node") else { return };
    run_with_pages(&node, "picture.mjs", pages().path());
}

#[test]
fn a_picture_comes_from_the_node_which_fetches_it_once() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let (address, asked) = pictures();
    let mut script = node::show::parse(&sums(1, OPEN_MS)).expect("the show is right");
    script.questions[0].image = Some(format!("http://{address}/starling.png"));
    let show = node.show(&node::show::to_json(&script));
    block_on(async {
        let players = [
            join(&browsers, &node, &show, "Ada").await,
            join(&browsers, &node, &show, "Bob").await,
        ];
        for page in &players {
            page.see(&selector("joined")).await;
        }
        node.step(&show, Command::Next);
        eventually("the picture being fetched while it is announced", WAIT_MAX, || {
            (asked.load(Relaxed) == 1).then_some(())
        });
        node.step(&show, Command::Open);
        let screen =
            browsers.open(&format!("{}/screen?pin={}", base(&node), show.imported.pin)).await;
        for page in players.iter().chain([&screen]) {
            let shown = page.attribute(&selector("picture"), "src").await;
            assert!(shown.starts_with(&format!("{}/api/v1/images/", base(&node))), "{shown}");
            page.see("[data-testid=picture]").await;
            let drawn = "const it = document.querySelector('[data-testid=picture]'); \
                return it.decode().then(() => it.naturalWidth)";
            assert_eq!(page.run(drawn).await, json!(2));
        }
        assert_eq!(asked.load(Relaxed), 1);
    });
    drop(browsers);
}

/// A server of one picture, and how often it was asked.
fn pictures() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has room");
    let address = listener.local_addr().expect("it is bound");
    let (asked, png) =
        (Arc::<AtomicUsize>::default(), STANDARD.decode(PNG).expect("it is a picture"));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Relaxed);
            let mut request = [0; 2_048];
            let _ = stream.read(&mut request);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                png.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &png].concat());
        }
    });
    (address, asked)
}

fn base(node: &Single) -> String {
    format!("http://{}", node.bound.http)
}

/// Opens the player's page and asks to be let in.
async fn join(browsers: &Browsers, node: &Single, show: &SingleShow, name: &str) -> Page {
    let page = browsers.open(&format!("{}/?pin={}", base(node), show.imported.pin)).await;
    page.write("name", name).await;
    page.click("join").await;
    page
}

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}
