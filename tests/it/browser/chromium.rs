//! Chromium: a real browser, driven over WebDriver by a chromedriver of its own.
//!
//! It runs only where `TEST_BROWSER=1` asks for it; there, a browser that is missing is a failure and not an excuse.
//! One walk at a time: a browser is hungry. Nothing is ended but what was started here, and each browser has a new,
//! empty profile. A page is waited for by its own arrival, never by a pause.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::Once;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::harness::Node;
use crate::program::PATIENCE;

/// For a machine without a display, which may be root's: no window, no sandbox, no talk with its maker.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// What a machine without a browser is told.
const HINT: &str = "hint: apt-get install chromium chromium-driver, which tests/all does";

static TURN: Mutex<()> = Mutex::const_new(());

/// Whether pages may run scripts, if they had any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// A chromedriver, and the turn to use it. Its browsers end with it.
pub struct Chromium {
    driver: Child,
    address: SocketAddr,
    /// Goes when the browsers are gone, who write into it to the last.
    profiles: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Chromium {
    /// `None`, said once and aloud, unless this run asked for a browser.
    pub async fn start() -> Option<Self> {
        if std::env::var("TEST_BROWSER").as_deref() != Ok("1") {
            static SAID: Once = Once::new();
            // past the capture of output: that something was left out should be seen
            SAID.call_once(|| {
                _ = std::io::stderr().write_all(b"skipped: walks in a browser; TEST_BROWSER=1 runs them\n")
            });
            return None;
        }
        let turn = TURN.lock().await;
        let command = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = command.unwrap_or_else(|e| panic!("chromedriver does not start: {e}\n{HINT}"));
        let output = driver.stdout.take().expect("it is piped");
        let port = tokio::task::spawn_blocking(|| port_of(output)).await.expect("chromedriver says its port");
        let profiles = tempfile::tempdir().expect("a directory");
        Some(Self { driver, address: SocketAddr::from(([127, 0, 0, 1], port)), profiles, _turn: turn })
    }

    /// A browser with an empty profile, at this node.
    pub async fn browser(&self, node: &Node, scripts: Scripts) -> Browser {
        self.browser_at(&node.url, scripts).await
    }

    /// The same at this address.
    pub async fn browser_at(&self, url: &str, scripts: Scripts) -> Browser {
        let profile = tempfile::tempdir_in(self.profiles.path()).expect("a directory").keep();
        let mut args = FLAGS.map(str::to_owned).to_vec();
        args.push(format!("--user-data-dir={}", profile.display()));
        let mut options = json!({"args": args});
        if scripts == Scripts::Off {
            options["prefs"] = json!({"profile.managed_default_content_settings.javascript": 2});
        }
        let capabilities = Map::from_iter([
            ("goog:chromeOptions".to_owned(), options),
            ("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"})),
        ]);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&format!("http://{}", self.address)).await;
        let client = client.unwrap_or_else(|e| panic!("chromium does not start: {e}\n{HINT}"));
        Browser { client, url: url.to_owned() }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // asked first, since it takes along the browsers that a failed walk left open
        let _ = ask_to_end(self.address);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn ask_to_end(address: SocketAddr) -> std::io::Result<()> {
    let patience = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET /shutdown HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

/// The port that a chromedriver took, as it says on its output; the rest of which is read and dropped.
fn port_of(output: ChildStdout) -> u16 {
    let (port, found) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let number = line.split_once("started successfully on port ").map(|(_, rest)| rest.trim_end_matches('.'));
            if let Some(Ok(number)) = number.map(str::parse::<u16>) {
                // only the first is waited for
                let _ = port.send(number);
            }
        }
    });
    found.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("chromedriver does not say its port: {e}\n{HINT}"))
}

/// A browser window.
pub struct Browser {
    client: Client,
    url: String,
}

impl Browser {
    /// Types an address of the node.
    pub async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.url)).await.expect("the address opens");
    }

    /// Opens a page of no node.
    pub async fn open_page(&self, html: &str) {
        self.client.goto(&format!("data:text/html,{html}")).await.expect("the page opens");
    }

    /// Path and query of where it is.
    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.expect("an address");
        assert!(url.as_str().starts_with(&self.url), "{url} is not the node's");
        url.as_str()[self.url.len()..].to_owned()
    }

    pub async fn title(&self) -> String {
        self.client.title().await.expect("a title")
    }

    /// What a person reads in the first element that fits the selector.
    pub async fn text(&self, css: &str) -> String {
        self.find(css).await.text().await.expect("text")
    }

    /// How many elements fit the selector.
    pub async fn count(&self, css: &str) -> usize {
        self.client.find_all(Locator::Css(css)).await.expect("a selector").len()
    }

    /// What a field holds.
    pub async fn value(&self, css: &str) -> String {
        self.find(css).await.prop("value").await.expect("a field").unwrap_or_default()
    }

    /// Empties a field and types into it.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.find(css).await;
        field.clear().await.expect("a field");
        field.send_keys(text).await.expect("a field");
    }

    /// Ticks a box.
    pub async fn tick(&self, css: &str) {
        self.find(css).await.click().await.expect("a box");
    }

    /// Presses a button or link, and waits for the page that comes.
    pub async fn press(&self, css: &str) {
        let button = self.find(css).await;
        self.turn_page(css, async || button.click().await).await;
    }

    /// Types wherever the cursor is, and waits for the page that comes.
    pub async fn type_keys(&self, keys: &str) {
        let field = self.client.active_element().await.expect("something has the cursor");
        self.turn_page("keys", async || field.send_keys(keys).await).await;
    }

    /// Goes back one page.
    pub async fn back(&self) {
        self.turn_page("back", async || self.client.back().await).await;
    }

    async fn turn_page(&self, what: &str, act: impl AsyncFnOnce() -> Result<(), CmdError>) {
        let before = self.root().await.expect("a page");
        act().await.unwrap_or_else(|e| panic!("{what}: {e}"));
        self.until(what, async || self.root().await.filter(|now| *now != before)).await;
    }

    /// What names the document: another page has another.
    async fn root(&self) -> Option<String> {
        let root = self.client.find(Locator::Css("html")).await.ok()?;
        Some(root.element_id().to_string())
    }

    async fn find(&self, css: &str) -> Element {
        self.until(css, async || self.client.find(Locator::Css(css)).await.ok()).await
    }

    async fn until<T>(&self, what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found().await {
                return found;
            }
            if Instant::now() > end {
                panic!("{what} does not come: {}", self.client.source().await.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Names and values of the cookies that it holds for the node.
    pub async fn cookies(&self) -> Vec<(String, String)> {
        let cookies = self.client.get_all_cookies().await.expect("cookies");
        cookies.iter().map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned())).collect()
    }

    /// Makes the window this wide and high, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        let call = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.issue("goog/cdp/execute", call).await;
    }

    /// What a script gives; ours, not the page's.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.expect("a script")
    }

    /// What it complained about since it was asked last, but for pages that are themselves a refusal.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.issue("se/log", json!({"type": "browser"})).await;
        let entries = log.as_array().expect("a list").iter().filter(|entry| !is_refusal(entry));
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn issue(&self, path: &'static str, body: Value) -> Value {
        self.client.issue_cmd(Raw { path, body }).await.unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Closes it, if it had nothing to complain about.
    pub async fn close(self) {
        let complaints = self.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.client.close().await.expect("it closes");
    }
}

/// Whether an entry of the log only says that a page came with 4xx, as the page for a wrong password does.
fn is_refusal(entry: &Value) -> bool {
    let message = entry["message"].as_str().unwrap_or_default();
    let asset = ["/style.css", "/favicon"].iter().any(|asset| message.contains(asset));
    entry["source"] == "network" && message.contains("responded with a status of 4") && !asset
}

/// A command that WebDriver itself does not have.
#[derive(Debug)]
struct Raw {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as FromStr>::Err> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
