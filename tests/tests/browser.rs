//! The pages in real browsers: players, host and screen on different nodes play one show.

use std::fs;
use std::time::Duration;
use tests::browser::{Browsers, Page, selector};
use tests::cluster::{Cluster, ClusterOptions};
use tests::platform::{SigningKey, claims, jwks};
use tests::single::Single;
use tests::{lab, shows};

/// In [`shows::sums`] the correct option of the first question.
const CORRECT: &str = "option-1";

#[test]
fn one_question_is_played_in_three_browsers_on_three_nodes() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let cluster = start();
    block_on(async {
        let room = Room::open(&browsers, &cluster, [0, 1, 2]).await;
        room.join("Ada").await;
        room.ask().await;
        room.answer_correctly().await;

        let answered = format!("{}[data-value=\"1\"]", selector("answered"));
        room.screen.see(&answered).await;
        room.host.see(&answered).await;
        room.reload_keeps_the_answer().await;

        room.host.click("cmd-close").await;
        room.host.click("cmd-tallies").await;
        assert_eq!(room.screen.number(&selector("tally-1")).await, 1);
        assert_eq!(room.screen.number(&selector("tally-0")).await, 0);

        room.host.click("cmd-reveal").await;
        let points = room.correct_points().await;
        room.screen.see("[data-testid=option-1][data-correct=true]").await;

        room.host.click("cmd-leaderboard").await;
        room.leads_with("Ada", points).await;

        room.host.click("show-trail").await;
        for act in ["lobby", "open", "closed", "reveal", "board"] {
            let line = format!("[data-testid=trail-line][data-act={act}][data-by=host]");
            room.host.see(&line).await;
        }
    });
    drop(browsers);
    cluster.stop();
}

#[test]
fn the_pages_go_on_when_their_node_dies() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let cluster = start();
    block_on(async {
        let room = Room::open(&browsers, &cluster, [0, 0, 0]).await;
        room.join("Grace").await;
        room.ask().await;
        let former = cluster.file().nodes[0].name.clone();

        cluster.kill(0);
        for page in [&room.player, &room.host, &room.screen] {
            moved_away(page, &former).await;
        }
        room.answer_correctly().await;
        for step in ["cmd-close", "cmd-tallies", "cmd-reveal"] {
            room.host.click(step).await;
        }
        let points = room.correct_points().await;
        room.host.click("cmd-leaderboard").await;
        room.leads_with("Grace", points).await;
    });
    drop(browsers);
    cluster.stop();
}

#[test]
fn a_wrong_pin_is_refused_at_the_form_with_a_way_out() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let cluster = start();
    cluster.open_lobby(0);
    block_on(async {
        let wrong = if cluster.pin() == "000000" { "000001" } else { "000000" };
        let url = format!("{}/?pin={wrong}", cluster.file().nodes[1].http);
        let page = browsers.open(&url).await;
        page.write("name", "Ada").await;
        page.click("join").await;
        let error = selector("error");
        assert_eq!(page.attribute(&error, "data-code").await, "pin_unknown");
        assert!(!page.see(&format!("{error} .hint")).await.text().await.unwrap().is_empty());
        page.write("pin", cluster.pin()).await;
        page.click("join").await;
        page.see(&selector("player-name")).await;
    });
    drop(browsers);
    cluster.stop();
}

#[test]
fn a_closed_show_lets_in_who_comes_with_a_token_and_nobody_else() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let key = SigningKey::eddsa("e");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("jwks.json");
    fs::write(&path, jwks(&[&key])).expect("the folder is writable");
    let node = Single::start(&["--jwt-keys", path.to_str().expect("it is a usual path")]);
    let show = node.show(&shows::closed_sums(1, 60_000));
    let (base, pin) = (format!("http://{}", node.bound.http), &show.imported.pin);
    block_on(async {
        let stranger = browsers.open(&format!("{base}/?pin={pin}")).await;
        stranger.write("name", "Eve").await;
        stranger.click("join").await;
        let error = selector("error");
        assert_eq!(stranger.attribute(&error, "data-code").await, "identity_needed");

        let token = key.sign(&claims("ada", &show.imported.event.to_string()));
        let player = browsers.open(&format!("{base}/?pin={pin}#token={token}")).await;
        assert_eq!(player.text("player-name").await, "ada Vouched");
        assert!(!player.url().await.contains("token"), "the token stays in the address");
        player.reload().await;
        assert_eq!(player.text("player-name").await, "ada Vouched");

        let host = &show.imported.host_token;
        let screen = browsers.open(&format!("{base}/screen?pin={pin}#token={host}")).await;
        screen.see(&selector("pin")).await;
    });
    drop(browsers);
}

/// The three pages of one show.
struct Room {
    player: Page,
    host: Page,
    screen: Page,
}

impl Room {
    /// Opens the player's, the host's and the screen's page at these nodes, and lets players in.
    async fn open(browsers: &Browsers, cluster: &Cluster, at: [usize; 3]) -> Self {
        let file = cluster.file();
        let base = |page: usize| file.nodes[at[page]].http.as_str();
        let (event, pin, token) = (&file.event.id, &file.event.pin, &file.host_token);
        let host = browsers.open(&format!("{}/host?event={event}&token={token}", base(1))).await;
        host.see(&selector("phase")).await;
        assert!(!host.url().await.contains(token.as_str()), "the token stays in the address");
        if host.attribute(&selector("phase"), "data-phase").await == "draft" {
            host.click("cmd-lobby").await;
        }
        let screen = browsers.open(&format!("{}/screen?pin={pin}", base(2))).await;
        screen.see("[data-phase=lobby]").await;
        assert_eq!(screen.attribute(&selector("pin"), "data-value").await, *pin);
        screen.see(&selector("qr")).await;
        let player = browsers.open(&format!("{}/?pin={pin}", base(0))).await;
        Room { player, host, screen }
    }

    async fn join(&self, name: &str) {
        self.player.write("name", name).await;
        self.player.click("join").await;
        assert_eq!(self.player.text("player-name").await, name);
        let players = format!("{}[data-value=\"1\"]", selector("players"));
        self.screen.see(&players).await;
        self.host.see(&players).await;
    }

    /// Opens the first question and waits until the player can answer it.
    async fn ask(&self) {
        self.host.click("cmd-open").await;
        self.screen.see(&selector("countdown")).await;
        self.player.see(&selector("countdown")).await;
    }

    async fn answer_correctly(&self) {
        self.player.click(CORRECT).await;
        self.player.see(&firm_receipt()).await;
    }

    async fn reload_keeps_the_answer(&self) {
        self.player.reload().await;
        self.player.see(&firm_receipt()).await;
        let chosen = format!("{}[aria-pressed=true]", selector(CORRECT));
        self.player.see(&chosen).await;
    }

    /// What the player's page says the correct answer gave.
    async fn correct_points(&self) -> u64 {
        self.player.see("[data-testid=result][data-correct=true]").await;
        let points = self.player.number(&selector("points")).await;
        assert!((1..=1_000).contains(&points), "{points} points");
        points
    }

    /// The player's page and the screen agree on who leads.
    async fn leads_with(&self, name: &str, points: u64) {
        let row = selector("board-row-0");
        assert_eq!(self.screen.number(&format!("{row} .points")).await, points);
        let shown = self.screen.see(&format!("{row} .name")).await.text().await;
        assert_eq!(shown.expect("the name is shown"), name);
        assert_eq!(self.player.number(&selector("score")).await, points);
        assert_eq!(self.player.number(&selector("rank")).await, 1);
    }
}

fn firm_receipt() -> String {
    format!("{}[data-level=firm]:not([data-code])", selector("receipt"))
}

/// Waits until a page is connected to another node than `former`.
async fn moved_away(page: &Page, former: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        page.see("[data-testid=link][data-state=online]").await;
        let node = page.text("node").await;
        if node != former {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "the page stays with {former}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn start() -> Cluster {
    let show = Some(shows::sums(2, 60_000));
    let cluster = Cluster::start_with(&ClusterOptions { nodes: 3, show });
    for node in 0..cluster.size() {
        cluster.wait_host(node, "the event being known", Duration::from_secs(10), |_| true);
    }
    cluster
}

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}
