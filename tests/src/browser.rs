//! Real browsers: headless Chromium, driven through chromedriver.
//!
//! Every page has a browser and an empty profile of its own, so pages share nothing but the cluster.
//! What a page shows is found by its `data-testid`; whatever happens to a test, no browser outlives
//! its [`Browsers`]: all of them belong to one process group, which is killed at the end.

use crate::lab::{need, skip};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A chromedriver of our own and all browsers that it started.
#[derive(Debug)]
pub struct Browsers {
    driver: Child,
    url: String,
    /// How many were opened; names their profiles.
    opened: AtomicU32,
    /// Last, so that profiles go after the browsers that write to them.
    profiles: TempDir,
}

impl Browsers {
    /// Starts chromedriver on a free port; `None` after having said that the test is skipped.
    ///
    /// # Panics
    /// If it does not start, or is missing where `STARLING_LAB=1` is set.
    #[must_use]
    pub fn start() -> Option<Self> {
        let path = need("chromedriver")?;
        if !has_browser() {
            skip("chromium");
            return None;
        }
        let profiles = tempfile::Builder::new().prefix("starling-browsers-").tempdir();
        let profiles = profiles.expect("a temporary folder can be made");
        let mut driver = spawn(&path);
        let port = port_of(&mut driver);
        let url = format!("http://127.0.0.1:{port}");
        Some(Browsers { driver, url, opened: AtomicU32::new(0), profiles })
    }

    /// Opens a browser of its own on `url`.
    ///
    /// # Panics
    /// If the browser does not start or there is nothing at `url`.
    pub async fn open(&self, url: &str) -> Page {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let profile = self.profiles.path().join(number.to_string());
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&profile));
        let client = builder.connect(&self.url).await.expect("the browser starts");
        client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        Page { client }
    }
}

impl Drop for Browsers {
    fn drop(&mut self) {
        let group = i32::try_from(self.driver.id()).expect("process ids are positive");
        // SAFETY: kill takes two integers. The group is ours until its leader is waited for below.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.driver.wait();
    }
}

/// A page in a browser of its own.
#[derive(Debug)]
pub struct Page {
    client: Client,
}

impl Page {
    /// Waits until something on the page matches the CSS selector.
    ///
    /// # Panics
    /// With the text of the page, if that does not happen in time.
    pub async fn see(&self, css: &str) -> Element {
        let found = self.client.wait().at_most(SEE_MAX).every(POLL_INTERVAL);
        match found.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("no {css} ({error}) on this page:\n{}", self.whole_text().await),
        }
    }

    /// Clicks what can be clicked under this test id, once it is there: again, if the page moved just then and
    /// the click went elsewhere.
    ///
    /// # Panics
    /// If it is not there or not clickable in time.
    pub async fn click(&self, id: &str) {
        let css = format!("{}:not([disabled])", selector(id));
        let click = async || {
            let element = self.see(&css).await;
            let target = serde_json::to_value(&element).expect("an element has an id");
            self.client.execute(WATCH_CLICK, vec![target]).await?;
            element.click().await?;
            // Where the click led to another page, that one knows nothing of it.
            let went_elsewhere =
                self.client.execute("return window.isHit === false", vec![]).await?;
            if went_elsewhere == Value::Bool(true) {
                return Err(CmdError::WaitTimeout);
            }
            Ok(())
        };
        self.act(&format!("a click on {id}"), click).await;
    }

    /// Types into the field with this test id, in place of what it holds.
    ///
    /// # Panics
    /// If it is not there in time.
    pub async fn write(&self, id: &str, text: &str) {
        let css = selector(id);
        let write = async || {
            let field = self.see(&css).await;
            field.clear().await?;
            field.send_keys(text).await
        };
        self.act(&format!("writing to {id}"), write).await;
    }

    /// The text of what has this test id.
    ///
    /// # Panics
    /// If it is not there in time.
    pub async fn text(&self, id: &str) -> String {
        let css = selector(id);
        self.act(&format!("the text of {id}"), async || self.see(&css).await.text().await).await
    }

    /// An attribute of what the CSS selector matches, `""` if it has none.
    ///
    /// # Panics
    /// If nothing matches in time.
    pub async fn attribute(&self, css: &str, name: &str) -> String {
        let read = async || self.see(css).await.attr(name).await;
        self.act(&format!("{name} of {css}"), read).await.unwrap_or_default()
    }

    /// The number in `data-value` of what the CSS selector matches.
    ///
    /// # Panics
    /// If nothing matches in time, or it holds no number.
    pub async fn number(&self, css: &str) -> u64 {
        let value = self.attribute(css, "data-value").await;
        value.parse().unwrap_or_else(|error| panic!("{css} holds {value:?}: {error}"))
    }

    /// How many things on the page match the CSS selector now.
    ///
    /// # Panics
    /// If the browser does not tell.
    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.expect("the browser looks").len()
    }

    /// Puts a text into the field with this test id, however long it is.
    ///
    /// # Panics
    /// If it is not there in time.
    pub async fn put(&self, id: &str, text: &str) {
        self.see(&selector(id)).await;
        let put = "document.querySelector(arguments[0]).value = arguments[1]";
        let arguments = vec![json!(selector(id)), json!(text)];
        self.client.execute(put, arguments).await.expect("the browser runs a line of script");
    }

    /// What a line of script on the page gives.
    ///
    /// # Panics
    /// If it fails.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("the script runs")
    }

    /// The page as it looks, as PNG.
    ///
    /// # Panics
    /// If the browser does not draw it.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("the browser draws the page")
    }

    /// Loads the page again.
    ///
    /// # Panics
    /// If the browser does not.
    pub async fn reload(&self) {
        self.client.refresh().await.expect("the browser reloads the page");
    }

    /// Makes the page so large, whatever the browser's own bars take.
    ///
    /// # Panics
    /// If the browser does not.
    pub async fn resize(&self, width: u32, height: u32) {
        let bars = "return [outerWidth - innerWidth, outerHeight - innerHeight]";
        let bars = self.run(bars).await;
        let bar = |at: usize| bars[at].as_u64().unwrap_or_default() as u32;
        let resized = self.client.set_window_size(width + bar(0), height + bar(1)).await;
        resized.expect("the browser takes a size");
        let inner = format!("return innerWidth === {width} && innerHeight === {height}");
        let deadline = Instant::now() + SEE_MAX;
        while self.run(&inner).await != Value::Bool(true) {
            let size = self.run("return [innerWidth, innerHeight]").await;
            assert!(Instant::now() < deadline, "{width}x{height} are wanted, it has {size}");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// How many pixels of the page are beyond its window: to the right, and below.
    ///
    /// # Panics
    /// If the browser does not tell.
    pub async fn beyond(&self) -> (i64, i64) {
        let root = "const root = document.documentElement; \
            return [root.scrollWidth - innerWidth, root.scrollHeight - innerHeight]";
        let beyond = self.run(root).await;
        let pixels = |at: usize| beyond[at].as_i64().unwrap_or(i64::MAX).max(0);
        (pixels(0), pixels(1))
    }

    /// The address of the page.
    ///
    /// # Panics
    /// If the browser does not tell.
    pub async fn url(&self) -> String {
        self.client.current_url().await.expect("the browser tells the address").to_string()
    }

    /// Repeats what failed because the page was being drawn anew just then.
    async fn act<T>(&self, what: &str, action: impl AsyncFn() -> Result<T, CmdError>) -> T {
        let deadline = Instant::now() + SEE_MAX;
        loop {
            match action().await {
                Ok(done) => return done,
                Err(error) => assert!(Instant::now() < deadline, "{what}: {error}"),
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn whole_text(&self) -> String {
        let text = self.client.execute("return document.body.innerText", Vec::new()).await;
        text.map_or_else(|error| error.to_string(), |text| text.to_string().replace("\\n", "\n"))
    }
}

/// The CSS selector of a test id.
#[must_use]
pub fn selector(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}

fn has_browser() -> bool {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&dirs).any(|dir| BROWSERS.iter().any(|name| dir.join(name).is_file()))
}

fn spawn(path: &Path) -> Child {
    let mut command = Command::new(path);
    command.arg("--port=0").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("chromedriver starts")
}

/// Reads the port that chromedriver chose; the rest of what it says is drained, so that it never
/// waits for a reader.
fn port_of(driver: &mut Child) -> u16 {
    let stdout = driver.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("started successfully on port"));
    let line = line.expect("chromedriver tells its port");
    std::thread::spawn(move || lines.for_each(drop));
    let digits = line.trim_end_matches('.').rsplit(' ').next().unwrap_or_default();
    digits.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn capabilities(profile: &Path) -> Map<String, Value> {
    let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    flags.push(format!("--user-data-dir={}", profile.display()));
    let mut capabilities = Map::new();
    capabilities.insert("browserName".to_owned(), json!("chrome"));
    capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": flags }));
    capabilities
}

/// Programs that chromedriver drives.
const BROWSERS: [&str; 3] = ["chromium", "google-chrome", "chrome"];

/// No window, no sandbox (tests may run as root in a container), nothing from outside.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// Notes whether the next click on the page is one on the element.
const WATCH_CLICK: &str = "const [element] = arguments; window.isHit = false; \
    const note = ({ target }) => (window.isHit = element.contains(target)); \
    document.addEventListener('click', note, { capture: true, once: true })";

/// A page shows a change within milliseconds; the rest is for moves between nodes under full load.
const SEE_MAX: Duration = Duration::from_secs(30);

/// Between two looks at a page.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const PAGE: &str = "data:text/html,<input data-testid=name value=old>\
        <button data-testid=go onclick=\"const name = document.querySelector('input').value; \
        this.dataset.value = name.length; this.textContent = name\">Go</button>";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_is_driven_by_its_test_ids() {
        let Some(browsers) = Browsers::start() else { return };
        let page = browsers.open(PAGE).await;
        assert_eq!(page.text("go").await, "Go");
        page.write("name", "Ada").await;
        page.click("go").await;
        assert_eq!(page.text("go").await, "Ada");
        assert_eq!(page.number(&selector("go")).await, 3);
        page.reload().await;
        assert_eq!(page.text("go").await, "Go");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_browser_outlives_its_driver() {
        let Some(browsers) = Browsers::start() else { return };
        let folder = browsers.profiles.path().to_string_lossy().into_owned();
        let page = browsers.open("data:text/html,<p data-testid=here>here</p>").await;
        assert_eq!(page.text("here").await, "here");
        assert!(!processes_naming(&folder).is_empty());
        drop(browsers);
        crate::lab::eventually("the end of every browser", Duration::from_secs(10), || {
            processes_naming(&folder).is_empty().then_some(())
        });
    }

    fn processes_naming(folder: &str) -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
        lines.filter(|line| line.contains(folder)).collect()
    }
}
