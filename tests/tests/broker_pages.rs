//! Players' pages in real browsers behind a Mosquitto that somebody else wrote: no page has a connection to a
//! node once it is loaded, and a node and the broker end while a question is open.

use node::service::view::{Command, StatusView};
use std::time::Duration;
use tests::broker::{Broker, Kind};
use tests::browser::{Browsers, Page, selector};
use tests::javascript::{pages, run_with_pages};
use tests::lab::{eventually_ok, heavy, need};
use tests::shows::sums;
use tests::single::{Single, SingleShow};

/// Long enough for everything that happens in it; the host closes each question.
const OPEN_MS: u32 = 300_000;
const WAIT_MAX: Duration = Duration::from_secs(60);
/// In [`sums`] the correct options of the first two questions.
const CORRECT: [&str; 2] = ["option-1", "option-2"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_play_through_a_broker_and_outlive_it_and_a_node() {
    let Some(browsers) = Browsers::start() else { return };
    let Some(mut broker) = Broker::start(Kind::Mosquitto) else { return };
    let _turn = heavy();
    let (first, others, pages) = start(&broker, 3);
    let [dies, second] = others.try_into().expect("there are three");
    let show = first.show(&sums(2, OPEN_MS));
    wait_known(&dies, &show);

    let ada = open(&browsers, &first, &show, "Ada").await;
    let grace = open(&browsers, &dies, &show, "Grace").await;
    for page in [&ada, &grace] {
        online_at(page, &pages).await;
    }
    for node in [&first, &dies, &second] {
        assert_eq!(node.get("/api/v1/status").json::<StatusView>().sessions, 0);
    }

    ask(&first, &show, &[&ada, &grace]).await;
    answer(&ada, CORRECT[0]).await;
    drop(dies);
    // Grace's page is in the hands of a browser alone, and her slot perhaps in those of nobody yet.
    answer(&grace, CORRECT[0]).await;
    reveal(&first, &show, &[&ada, &grace]).await;
    first.step(&show, Command::Leaderboard);

    ask(&first, &show, &[&ada, &grace]).await;
    answer(&ada, CORRECT[1]).await;
    broker.restart(libc::SIGKILL);
    answer(&grace, CORRECT[1]).await;
    online_at(&ada, &pages).await;
    ada.reload().await;
    online_at(&ada, &pages).await;
    ada.see(&format!("{}[aria-pressed=true]", selector(CORRECT[1]))).await;
    reveal(&first, &show, &[&ada, &grace]).await;
    drop(browsers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_tabs_the_newer_one_plays() {
    let Some(browsers) = Browsers::start() else { return };
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let _turn = heavy();
    let (first, _others, pages) = start(&broker, 1);
    let show = first.show(&sums(1, OPEN_MS));
    let page = open(&browsers, &first, &show, "Ada").await;
    online_at(&page, &pages).await;
    page.run("window.open(location.href)").await;
    page.see("[data-testid=link][data-state=elsewhere]").await;
    page.reload().await;
    online_at(&page, &pages).await;
    drop(browsers);
}

/// A page says that it is there, and the broker says for it that it is not any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_sees_that_a_page_is_there_and_that_it_was_left() {
    let Some(browsers) = Browsers::start() else { return };
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let _turn = heavy();
    let (node, _, pages) = start(&broker, 1);
    let show = node.show(&sums(1, OPEN_MS));
    let wait_present = |wanted: u64| {
        eventually_ok("the host seeing who is there", WAIT_MAX, || {
            let present = node.host_view(&show).map(|view| view.present);
            (present == Some(wanted)).then_some(()).ok_or_else(|| format!("{present:?}"))
        });
    };
    let ada = open(&browsers, &node, &show, "Ada").await;
    let grace = open(&browsers, &node, &show, "Grace").await;
    online_at(&ada, &pages).await;
    online_at(&grace, &pages).await;
    wait_present(2);
    ada.reload().await;
    online_at(&ada, &pages).await;
    grace.run("location.href = 'about:blank'").await;
    wait_present(1);
    drop(browsers);
}

/// Where nobody else holds an answer its receipt stays provisional: the page asks a few times, and speaks of it no more
/// once the question is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_cluster_of_one_node_no_page_repeats_into_the_next_question() {
    let Some(browsers) = Browsers::start() else { return };
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let _turn = heavy();
    let (node, _, pages) = start(&broker, 1);
    let show = node.show(&sums(2, OPEN_MS));
    let ada = open(&browsers, &node, &show, "Ada").await;
    online_at(&ada, &pages).await;
    ask(&node, &show, &[&ada]).await;
    ada.click(CORRECT[0]).await;
    ada.see(&format!("{}[data-level=provisional]", selector("receipt"))).await;
    assert!(heard(&node) >= 2, "a join and an answer");
    reveal(&node, &show, &[&ada]).await;
    node.step(&show, Command::Leaderboard);
    ask(&node, &show, &[&ada]).await;
    // A page that repeats does so each 16 s at the slowest, and twice in that time at the least where it has just begun.
    let before = heard(&node);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(heard(&node), before, "nobody has said anything in the new question");
    ada.click(CORRECT[1]).await;
    ada.see(&format!("{}[data-level=provisional]", selector("receipt"))).await;
    assert!(heard(&node) > before, "the count is one of what players say");
    drop(browsers);
}

/// Mosquitto 2.0.11 tells nobody over a WebSocket that another one has come under the same name. Two devices of one
/// player would take the inbox from each other for ever, and neither would play.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_devices_of_one_player_the_newer_one_plays() {
    let Some(browsers) = Browsers::start() else { return };
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let _turn = heavy();
    let (node, _, pages) = start(&broker, 1);
    let show = node.show(&sums(1, OPEN_MS));
    let phone = open(&browsers, &node, &show, "Ada").await;
    online_at(&phone, &pages).await;
    let kept = phone.run("return JSON.stringify({ ...localStorage })").await;
    let url = format!("http://{}/?pin={}", node.bound.http, show.imported.pin);
    let laptop = browsers.open(&url).await;
    laptop.run(&format!("Object.assign(localStorage, JSON.parse({kept}))")).await;
    laptop.reload().await;
    phone.see("[data-testid=link][data-state=elsewhere]").await;
    online_at(&laptop, &pages).await;
    ask(&node, &show, &[&laptop]).await;
    laptop.click(CORRECT[0]).await;
    laptop.see(&format!("{}[data-level=provisional]", selector("receipt"))).await;
    online_at(&laptop, &pages).await;
    phone.reload().await;
    laptop.see("[data-testid=link][data-state=elsewhere]").await;
    online_at(&phone, &pages).await;
    drop(browsers);
}

/// How many messages of players a node has taken from the broker.
fn heard(node: &Single) -> u64 {
    const NAME: &str = "starling_broker_messages_total{direction=\"in\"} ";
    let metrics = node.get("/metrics").body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(NAME)?.parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("no {NAME} in {metrics}")) as u64
}

/// The scripts of the pages by themselves, under Node.js: what a broker and nodes may say is played to them.
#[test]
fn a_page_repeats_what_may_help_and_nothing_for_ever() {
    let Some(node) = need("node") else { return };
    run_with_pages(&node, "broker-link.mjs", pages().path());
}

/// Nodes that send pages to the broker, and where that is.
fn start(broker: &Broker, count: usize) -> (Single, Vec<Single>, String) {
    let pages = broker.pages.expect("Mosquitto takes WebSockets").to_string();
    let mut flags = broker.flags();
    flags.extend(["--broker-pages".to_owned(), format!("ws://{pages}")]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let first = Single::start(&flags);
    let others: Vec<Single> = (1..count).map(|_| first.start_beside(&flags)).collect();
    eventually_ok("all slots shared out", WAIT_MAX, || {
        let slots = |node: &Single| {
            let status: StatusView = node.get("/api/v1/status").json();
            status.broker.map_or(0, |broker| broker.slots)
        };
        let held: Vec<usize> = others.iter().chain([&first]).map(slots).collect();
        let shared = held.iter().sum::<usize>() == 256 && !held.contains(&0);
        shared.then_some(()).ok_or_else(|| format!("{held:?}"))
    });
    (first, others, pages)
}

fn wait_known(node: &Single, show: &SingleShow) {
    let found = || node.host_view(show).map(drop).ok_or_else(|| "unknown".to_owned());
    eventually_ok("the show on the other node", WAIT_MAX, found);
}

/// Opens a player's page as `node` serves it, and joins.
async fn open(browsers: &Browsers, node: &Single, show: &SingleShow, name: &str) -> Page {
    let url = format!("http://{}/?pin={}", node.bound.http, show.imported.pin);
    let page = browsers.open(&url).await;
    page.write("name", name).await;
    page.click("join").await;
    assert_eq!(page.text("player-name").await, name);
    page
}

async fn online_at(page: &Page, broker: &str) {
    page.see("[data-testid=link][data-state=online]").await;
    assert_eq!(page.text("node").await.trim(), broker);
}

async fn ask(node: &Single, show: &SingleShow, pages: &[&Page]) {
    node.step(show, Command::Next);
    node.step(show, Command::Open);
    for page in pages {
        page.see(&selector("countdown")).await;
    }
}

async fn answer(page: &Page, option: &str) {
    page.click(option).await;
    page.see(&format!("{}[data-level=firm]:not([data-code])", selector("receipt"))).await;
}

async fn reveal(node: &Single, show: &SingleShow, pages: &[&Page]) {
    for command in [Command::Close, Command::Tallies, Command::Reveal] {
        node.step(show, command);
    }
    for page in pages {
        page.see("[data-testid=result][data-correct=true]").await;
        assert!((1..=1_000).contains(&page.number(&selector("points")).await));
    }
}
