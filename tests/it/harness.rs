//! Harness: real nodes in this process, and the people and services that talk to them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, COOKIE, HeaderMap, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sojourn::clock::{Clock, ManualClock};
use sojourn::config::{Config, File, Sources};
use sojourn::control::protocol::{ClusterNode, JoinToken, Link, Role};
use sojourn::control::{self, Client};
use sojourn::node::{self, Joining, RunningNode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// When every test begins, log time: a Sunday in September 2026.
pub const START: i64 = 1_790_000_000_000;
/// A password that breaks no rule.
pub const PASSWORD: &str = "correct horse battery";

/// How long a raw connection may be silent before its answer counts as whole.
const RAW_SILENCE: Duration = Duration::from_millis(1_500);
/// How long [`eventually`] waits on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that the node does in its own time.
pub async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A node in this process, with a clock that moves only when told.
pub struct Node {
    running: Option<RunningNode>,
    dir: Arc<TempDir>,
    settings: Vec<(&'static str, String)>,
    /// The token that it is started with.
    pub token: Option<String>,
    pub clock: Arc<ManualClock>,
    pub url: String,
}

impl Node {
    /// A new node with the default settings.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A new node with these settings on top of the defaults.
    pub async fn with(settings: &[(&'static str, &str)]) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let clock = Arc::new(ManualClock::at(START));
        let mut node = Self { running: None, dir, settings, token: None, clock, url: String::new() };
        node.open().await;
        node
    }

    /// A new node with this file of settings, and these on top.
    pub async fn with_file(toml: &str, settings: &[(&'static str, &str)]) -> Self {
        let mut node = Self { token: None, ..Self::unopened("") };
        node.settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        std::fs::write(node.dir.path().join("sojourn.toml"), toml).expect("it is written");
        node.open().await;
        node
    }

    /// A new node that joins by this token, with these settings.
    pub async fn joining(token: &str, settings: &[(&'static str, String)], clock: Arc<ManualClock>) -> Self {
        let mut node = Self { settings: settings.to_vec(), clock, ..Self::unopened(token) };
        node.open().await;
        node
    }

    /// A node that will join by this token, not started.
    pub fn unopened(token: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let (token, clock) = (Some(token.to_owned()), Arc::new(ManualClock::at(START)));
        Self { running: None, dir, settings: Vec::new(), token, clock, url: String::new() }
    }

    async fn open(&mut self) {
        self.try_open().await.expect("the node starts");
    }

    /// Starts, or says why not.
    pub async fn try_open(&mut self) -> sojourn::error::Result<()> {
        let token = self.token.as_ref().map(|token| token.parse().expect("it is a token"));
        let joining = Joining { token, learner: false };
        let running = node::start_with(self.config(), joining, self.clock.clone()).await?;
        self.url = format!("http://{}", running.web);
        self.running = Some(running);
        Ok(())
    }

    /// Waits until it ends of itself, and closes it.
    pub async fn ended(&mut self) -> sojourn::error::Result<()> {
        let mut running = self.running.take().expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, running.ended()).await.expect("it ends");
        running.stop().await.expect("the node stops");
        ended
    }

    fn config(&self) -> Config {
        let mut flags = vec![
            ("data", self.data().display().to_string(), "--data"),
            ("web.listen", "127.0.0.1:0".to_owned(), "--listen"),
            ("metrics.listen", "127.0.0.1:0".to_owned(), "--metrics"),
            ("cluster.listen", "127.0.0.1:0".to_owned(), "--cluster-listen"),
        ];
        flags.extend(self.settings.iter().map(|(key, value)| (*key, value.clone(), "test")));
        let file = File::IfPresent(self.dir.path().join("sojourn.toml"));
        Config::load(&Sources { file, environment: Vec::new(), flags }).expect("the settings are sound")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    /// The link that makes the first admin, as its start gave it.
    pub fn first_admin(&self) -> Option<&Link> {
        self.running.as_ref().expect("it runs").first_admin.as_ref()
    }

    /// The path of that link.
    pub fn first_admin_path(&self) -> String {
        let link = self.first_admin().expect("there is no admin");
        format!("/link/{}", link.url.rsplit('/').next().expect("a link has a token"))
    }

    /// Where it believes that browsers reach it.
    pub fn public_url(&self) -> String {
        self.running.as_ref().map(|node| node.public_url.to_string()).expect("it runs")
    }

    /// Where its Redis door is.
    pub fn redis(&self) -> SocketAddr {
        self.running.as_ref().and_then(|node| node.redis).expect("the Redis door is open")
    }

    /// Where its metrics are.
    pub fn metrics_url(&self) -> String {
        let address = self.running.as_ref().and_then(|node| node.metrics).expect("metrics are on");
        format!("http://{address}/metrics")
    }

    /// Stops gracefully.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await.expect("the node stops");
        }
    }

    /// Stops gracefully and starts again on the same data; the address changes.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.open().await;
    }

    /// Changes a setting; it holds from the next start.
    pub fn set(&mut self, key: &'static str, value: &str) {
        self.settings.retain(|(held, _)| *held != key);
        self.settings.push((key, value.to_owned()));
    }

    /// What an operator's command is answered, or why not.
    pub async fn ask(&self, request: control::Request) -> Result<control::Response, String> {
        let data = self.data();
        let asked = move || Client::connect(&data).and_then(|mut client| client.ask(&request));
        tokio::task::spawn_blocking(asked).await.expect("the client does not panic").map_err(|why| why.to_string())
    }

    /// What the node says of itself.
    pub async fn status(&self) -> control::protocol::Status {
        match self.ask(control::Request::Status).await {
            Ok(control::Response::Status(status)) => status,
            other => panic!("a status was asked for: {other:?}"),
        }
    }

    /// Bytes sent on a connection of their own, and all that comes back until the node closes it or is silent for
    /// `RAW_SILENCE`. Bytes that are no text come back as U+FFFD.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let address = self.url.strip_prefix("http://").expect("plain http");
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("the node listens");
        // a node that has seen enough may close before it was sent everything
        let _ = stream.write_all(bytes).await;
        let mut out = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(Ok(n @ 1..)) = tokio::time::timeout(RAW_SILENCE, stream.read(&mut piece)).await {
            out.extend_from_slice(&piece[..n]);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Lets time pass on both clocks.
    pub fn pass(&self, secs: i64) {
        self.clock.advance(secs * 1_000);
    }

    /// Wall clock now, milliseconds.
    pub fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Somebody with an empty cookie jar.
    pub fn visitor(&self) -> Visitor {
        Visitor::at(&self.url)
    }

    /// Somebody who has just signed up and in.
    pub async fn person(&self, email: &str) -> Visitor {
        let mut person = self.visitor();
        person.sign_up(email).await;
        assert_eq!(person.sign_in(email, PASSWORD).await.status(), StatusCode::OK);
        person
    }
}

/// Several nodes that share everything.
pub struct Cluster {
    pub nodes: Vec<Node>,
    settings: Vec<(&'static str, String)>,
}

impl Cluster {
    /// So many nodes, all voters.
    pub async fn start(size: usize) -> Self {
        Self::with(size, &[]).await
    }

    /// The same with these settings on each.
    pub async fn with(size: usize, settings: &[(&'static str, &str)]) -> Self {
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let placed: Vec<_> = placed(&settings);
        let placed: Vec<(&'static str, &str)> = placed.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut cluster = Self { nodes: vec![Node::with(&placed).await], settings };
        while cluster.nodes.len() < size {
            cluster.grow().await;
        }
        cluster
    }

    /// One node more; waits until it votes.
    pub async fn grow(&mut self) {
        let through = self.nodes.last().expect("there is one");
        let token = through.token().await;
        let clock = Arc::new(ManualClock::at(START));
        clock.advance(through.clock.boot_us() / 1_000 - clock.boot_us() / 1_000);
        let node = Node::joining(&token, &placed(&self.settings), clock).await;
        let id = node.id().await;
        self.nodes.push(node);
        let last = self.nodes.last().expect("it was added");
        let votes = async || last.peers().await.iter().any(|peer| peer.id == id && peer.role != Role::Learner);
        eventually("the new node votes", votes).await;
    }

    /// Lets time pass on all clocks.
    pub fn pass(&self, ms: i64) {
        self.nodes.iter().for_each(|node| node.clock.advance(ms));
    }

    /// Which of the nodes leads.
    pub async fn leader(&self) -> usize {
        for _ in 0..2_000 {
            for node in self.nodes.iter().filter(|node| node.running.is_some()) {
                let peers = node.peers().await;
                let leader = peers.iter().find(|peer| peer.role == Role::Leader && peer.answers).map(|peer| peer.id);
                for (at, other) in self.nodes.iter().enumerate().filter(|(_, node)| node.running.is_some()) {
                    if Some(other.id().await) == leader {
                        return at;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody leads");
    }
}

/// Settings with a peer port that stays the same over restarts.
fn placed(settings: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
    settings.iter().cloned().chain([("cluster.listen", free_address().to_string())]).collect()
}

/// A port that nobody has. It lies below those that the system gives out: any connection may get one of these before
/// it is listened on.
pub fn free_address() -> SocketAddr {
    loop {
        // every one of these is seeded anew
        let chance = RandomState::new().build_hasher().finish();
        let port = 10_000 + (chance % 20_000) as u16;
        if let Ok(free) = TcpListener::bind(("127.0.0.1", port)).and_then(|free| free.local_addr()) {
            return free;
        }
    }
}

impl Node {
    /// A token for one node.
    pub async fn token(&self) -> String {
        match self.ask(control::Request::ClusterToken { uses: 1, ttl_ms: 60_000 }).await {
            Ok(control::Response::Token(JoinToken(token))) => token,
            other => panic!("a token was asked for: {other:?}"),
        }
    }

    /// The nodes of its cluster, as it sees them.
    pub async fn peers(&self) -> Vec<ClusterNode> {
        match self.ask(control::Request::ClusterStatus).await {
            Ok(control::Response::Cluster(nodes)) => nodes,
            other => panic!("a status was asked for: {other:?}"),
        }
    }

    /// Its id.
    pub async fn id(&self) -> u64 {
        self.status().await.node.parse().expect("ids are numbers")
    }
}

/// A browser, as far as HTTP can tell: it keeps cookies, and shows each request exactly.
#[derive(Clone)]
pub struct Visitor {
    http: reqwest::Client,
    url: String,
    /// Name and value, as received.
    pub cookies: Vec<(String, String)>,
}

impl Visitor {
    /// Somebody with an empty cookie jar, at this node.
    pub fn at(url: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, url: url.to_owned(), cookies: Vec::new() }
    }

    /// The same person, whose connections come from this address of the machine.
    pub fn from(mut self, address: impl Into<IpAddr>) -> Self {
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        self.http = builder.local_address(address.into()).build().expect("a client");
        self
    }

    /// The same person at another address of the cluster, or after a restart.
    pub fn moved_to(&self, node: &Node) -> Self {
        self.at_url(&node.url)
    }

    /// The same person at this address.
    pub fn at_url(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same person a while later: without the cookie that says "I wrote just now", which makes a node ask first.
    pub fn a_while_later(mut self) -> Self {
        self.cookies.retain(|(name, _)| !name.ends_with("sojourn-fresh"));
        self
    }

    /// A request with the cookies, not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.cookies.is_empty() { request } else { request.header(COOKIE, self.cookie_header()) }
    }

    /// What the `Cookie` header holds.
    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Sends a request and keeps the cookies that come back.
    pub async fn send(&mut self, request: RequestBuilder) -> Response {
        let response = request.send().await.expect("the node answers");
        self.keep(response.headers());
        response
    }

    /// `GET`.
    pub async fn get(&mut self, path: &str) -> Response {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// `POST` of JSON.
    pub async fn post(&mut self, path: &str, body: &Value) -> Response {
        let request = self.request(Method::POST, path).json(body);
        self.send(request).await
    }

    /// `POST` of a form.
    pub async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.request(Method::POST, path).form(fields);
        self.send(request).await
    }

    /// `PATCH` of the session.
    pub async fn patch(&mut self, body: &Value) -> Response {
        let request = self.request(Method::PATCH, "/api/v1/session").json(body);
        self.send(request).await
    }

    /// `DELETE`.
    pub async fn delete(&mut self, path: &str) -> Response {
        let request = self.request(Method::DELETE, path);
        self.send(request).await
    }

    /// What a browser gets: the status and the page.
    pub async fn page(&mut self, path: &str) -> (StatusCode, String) {
        let request = self.request(Method::GET, path).header(ACCEPT, "text/html");
        let response = self.send(request).await;
        (response.status(), response.text().await.expect("a page"))
    }

    /// The session as the API tells it; `None` without one.
    pub async fn session(&mut self) -> Option<Value> {
        let response = self.get("/api/v1/session").await;
        match response.status() {
            StatusCode::OK => Some(body(response).await),
            StatusCode::UNAUTHORIZED => None,
            other => panic!("/api/v1/session answered {other}"),
        }
    }

    /// The value of the session cookie as sent.
    pub fn session_cookie(&self) -> &str {
        let ours = self.cookies.iter().find(|(name, _)| name.ends_with("sojourn"));
        &ours.expect("a session cookie").1
    }

    /// The session id in it.
    pub fn sid(&self) -> &str {
        let signed = self.session_cookie().strip_prefix("s%3A").expect("a signed cookie");
        signed.split_once('.').expect("a signature").0
    }

    /// Makes an account.
    pub async fn sign_up(&mut self, email: &str) {
        let body = json!({"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "Stout"});
        let response = self.post("/api/v1/signup", &body).await;
        assert_eq!(response.status(), StatusCode::CREATED);
    }

    /// Signs in by JSON.
    pub async fn sign_in(&mut self, email: &str, password: &str) -> Response {
        self.post("/api/v1/signin", &json!({"email": email, "password": password})).await
    }

    /// Whether the session cookie is honoured.
    pub async fn is_signed_in(&mut self) -> bool {
        match self.get("/profile").await.status() {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            other => panic!("/profile answered {other}"),
        }
    }

    /// Keeps the cookies of a response.
    pub fn keep(&mut self, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let text = header.to_str().expect("cookies are ASCII");
            let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
            let (name, value) = pair.split_once('=').expect("a cookie has a name");
            self.cookies.retain(|(held, _)| held != name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

/// The JSON of a response.
pub async fn body(response: Response) -> Value {
    let text = response.text().await.expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("no JSON: {e}: {text}"))
}
