//! Cluster: three nodes as three processes on this machine, each with a data directory and ports of its own that stay
//! the same when it is started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::node::{Node, free_address};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where a node lives.
pub struct Place {
    pub data: PathBuf,
    /// Its HTTP door.
    pub address: SocketAddr,
    settings: Vec<(&'static str, String)>,
}

impl Place {
    pub fn new(data: &Path) -> Self {
        let settings = vec![("SOJOURN_CLUSTER_LISTEN", free_address().to_string())];
        Self { data: data.to_owned(), address: free_address(), settings }
    }

    /// The same with one setting more.
    pub fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.settings.push((variable, value.to_owned()));
        self
    }

    /// Starts a node there and waits until it is ready.
    pub fn start(&self, args: &[&str]) -> Node {
        let settings: Vec<(&str, &str)> = self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Node::at(&self.data, self.address, &settings, args)
    }

    /// Starts a node there that joins the cluster of the node at `member`.
    pub fn join(&self, member: &Self) -> Node {
        self.start(&["--join", member.run(&["cluster", "token"]).expect("a token").trim()])
    }

    /// Has the node there do something; answers what it wrote, when it succeeded.
    pub fn run(&self, args: &[&str]) -> Option<String> {
        let data = self.data.display().to_string();
        let done = Command::new(env!("CARGO_BIN_EXE_sojourn")).args(args).args(["--data", &data]).output();
        let done = done.ok().filter(|done| done.status.success())?;
        String::from_utf8(done.stdout).ok()
    }

    /// The nodes as this one sees them.
    pub fn nodes(&self) -> Vec<Value> {
        let text = self.run(&["cluster", "status", "--json"]).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Whether the node there sees so many that vote and answer, and a leader among them.
    pub fn sees(&self, count: usize) -> bool {
        let nodes = self.nodes();
        let vote = nodes.iter().filter(|node| node["role"] != "learner" && node["answers"] == true);
        vote.count() == count && nodes.iter().any(|node| node["role"] == "leader")
    }

    /// The id of the node there.
    pub fn id(&self) -> String {
        let own = self.nodes().into_iter().find(|node| node["is_this"] == true);
        own.map(|node| text(&node["id"])).expect("a node lists itself")
    }

    /// Whether the node there leads.
    pub fn leads(&self) -> bool {
        self.nodes().iter().any(|node| node["is_this"] == true && node["role"] == "leader")
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Waits for it.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Three nodes.
pub struct Cluster {
    pub places: [Place; 3],
    pub nodes: [Option<Node>; 3],
}

impl Cluster {
    /// Makes places in `dir` and three nodes that are one cluster.
    pub fn start(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        Self::of([1, 2, 3].map(|n| Place::new(&dir.join(format!("node-{n}")))))
    }

    /// The same at these places; the first may hold something already.
    pub fn of(places: [Place; 3]) -> Self {
        let first = places[0].start(&[]);
        let [second, third] = [1, 2].map(|at: usize| {
            let node = places[at].join(&places[0]);
            until("whoever joined votes", || places[0].sees(at + 1));
            node
        });
        Self { places, nodes: [Some(first), Some(second), Some(third)] }
    }

    /// The processes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Node::pid).collect()
    }

    /// Which of them leads.
    pub fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            let running = (0..3).filter(|at| self.nodes[*at].is_some());
            if let Some(leader) = running.into_iter().find(|at| self.places[*at].leads()) {
                return leader;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody leads");
        }
    }

    /// Starts a node again that was killed, and waits until all three vote and answer.
    pub fn heal(&mut self, at: usize) {
        self.nodes[at] = Some(self.places[at].start(&[]));
        until("all three vote and answer", || (0..3).all(|at| self.places[at].sees(3)));
    }
}
