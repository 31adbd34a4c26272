//! The simulator's page about a run, in a real browser: it opens from a file, and can be zoomed.

use sim::report::report;
use sim::run::Options;
use sim::schedule::{Schedule, Wanted};
use sim::verdict::Fidelity;
use tests::browser::Browsers;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_drawn_and_can_be_looked_into() {
    let Some(browsers) = Browsers::start() else { return };
    let schedule = Schedule::draw(11, Wanted::default());
    let page = report(Fidelity::Message, &schedule, Options::default());
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("report.html");
    std::fs::write(&file, page).expect("the file can be written");
    let page = browsers.open(&format!("file://{}", file.display())).await;
    assert_eq!(page.text("title").await, "Seed 11, message fidelity");
    assert_eq!(page.text("verdict").await, "every promise was kept");
    let whole = page.text("range").await;
    assert!(whole.starts_with("0.0 s to ") && !whole.ends_with(", 0 messages"), "{whole}");
    page.click("zoom-in").await;
    let part = page.text("range").await;
    assert_ne!(part, whole);
    assert!(page.url().await.contains(".html#"), "a part of a run has a link");
    page.click("zoom-all").await;
    assert_eq!(page.text("range").await, whole);
    let story = page.text("story").await;
    assert!(story.contains("players have joined") && story.contains("all nodes agree"), "{story}");
    assert!(!story.contains("StageView"), "{story}");
}
