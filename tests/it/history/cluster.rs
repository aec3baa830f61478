//! Cluster: the processes, what lies between them, and who of them runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::Signal;
use sojourn::control::protocol::{ClusterNode, JoinToken, Role};
use sojourn::control::{Request, Response};
use tempfile::TempDir;

use super::net::{Net, SLOTS};
use super::node::{self, Process, Spec};
use crate::harness::free_address;

/// How many nodes vote while nothing changes.
pub const VOTERS: usize = 3;
/// How long everything may take to be well again.
const WELL_WITHIN: Duration = Duration::from_secs(60);

/// One place for a node. Its ports stay, whoever lives there.
struct Slot {
    spec: Spec,
    process: Option<Process>,
    is_paused: bool,
    /// How many nodes lived here before.
    past: usize,
}

/// All of them.
pub struct Cluster {
    slots: Vec<Mutex<Slot>>,
    pub net: Arc<Net>,
    pub urls: Vec<String>,
    /// By slot: how often its process was stopped and woken; odd while it is stopped.
    pub pauses: Arc<[AtomicU64; SLOTS]>,
    dir: Mutex<Option<TempDir>>,
}

impl Cluster {
    /// Three nodes that vote.
    pub async fn start() -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let net = Arc::new(Net::default());
        let (mut slots, mut urls) = (Vec::new(), Vec::new());
        for at in 0..SLOTS {
            let (web, listen) = (free_address(), free_address());
            let advertise = net.open(at, listen).await;
            urls.push(format!("http://{web}"));
            let spec = Spec {
                data: dir.path().join(format!("node{at}")),
                web: web.to_string(),
                listen: listen.to_string(),
                advertise: advertise.to_string(),
                token: None,
                wall_off_ms: 0,
            };
            slots.push(Mutex::new(Slot { spec, process: None, is_paused: false, past: 0 }));
        }
        let cluster = Arc::new(Self { slots, net, urls, pauses: Arc::default(), dir: Mutex::new(Some(dir)) });
        cluster.open(0).await.expect("the first node starts");
        for at in 1..VOTERS {
            cluster.grow(at).await.expect("it joins");
        }
        cluster
    }

    /// Starts the process of a slot.
    pub async fn open(&self, at: usize) -> Result<(), String> {
        let spec = self.slots[at].lock().spec.clone();
        let process = Process::start(&spec).await?;
        self.net.is_process(at, process.pid());
        let mut slot = self.slots[at].lock();
        slot.process = Some(process);
        slot.is_paused = false;
        Ok(())
    }

    /// A new node in an empty slot; returns when it votes.
    pub async fn grow(&self, at: usize) -> Result<(), String> {
        let through = *self.running().first().ok_or("nobody runs")?;
        let token = match self.ask(through, Request::ClusterToken { uses: 1, ttl_ms: 120_000 }).await? {
            Response::Token(JoinToken(token)) => token,
            other => return Err(format!("{other:?}")),
        };
        {
            let mut slot = self.slots[at].lock();
            slot.past += 1;
            let past = slot.past;
            slot.spec.data.set_file_name(format!("node{at}-{past}"));
            slot.spec.token = Some(token);
            slot.spec.wall_off_ms = 0;
        }
        self.open(at).await?;
        let begun = Instant::now();
        while begun.elapsed() < WELL_WITHIN {
            let nodes = self.nodes(at).await.unwrap_or_default();
            if nodes.iter().any(|node| node.is_this && node.role != Role::Learner) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("it does not come to vote".into())
    }

    /// The slots in which a process runs, paused or not.
    pub fn running(&self) -> Vec<usize> {
        (0..SLOTS).filter(|at| self.slots[*at].lock().process.is_some()).collect()
    }

    /// Those of them that are not paused.
    pub fn awake(&self) -> Vec<usize> {
        self.running().into_iter().filter(|at| !self.slots[*at].lock().is_paused).collect()
    }

    /// A slot in which no process runs.
    pub fn vacant(&self) -> Option<usize> {
        (0..SLOTS).find(|at| self.slots[*at].lock().process.is_none())
    }

    pub fn kill(&self, at: usize) {
        if let Some(mut process) = self.slots[at].lock().process.take() {
            process.kill();
        }
    }

    /// Forgets a process that has ended of itself; answers whether it had.
    pub fn has_ended(&self, at: usize) -> bool {
        let mut slot = self.slots[at].lock();
        let ended = slot.process.as_mut().is_none_or(Process::has_ended);
        if ended {
            slot.process = None;
        }
        ended
    }

    pub fn pause(&self, at: usize) {
        let mut slot = self.slots[at].lock();
        if let Some(process) = &slot.process {
            self.pauses[at].fetch_add(1, Ordering::SeqCst);
            process.signal(Signal::STOP);
            slot.is_paused = true;
        }
    }

    pub fn resume(&self, at: usize) {
        let mut slot = self.slots[at].lock();
        if let Some(process) = &slot.process {
            process.signal(Signal::CONT);
        }
        if std::mem::take(&mut slot.is_paused) {
            self.pauses[at].fetch_add(1, Ordering::SeqCst);
        }
    }

    pub fn set_wall_off(&self, at: usize, ms: i64) {
        let mut slot = self.slots[at].lock();
        slot.spec.wall_off_ms = ms;
        if let Some(process) = &mut slot.process {
            process.set_wall_off(ms);
        }
    }

    pub async fn ask(&self, at: usize, request: Request) -> Result<Response, String> {
        let data = self.slots[at].lock().spec.data.clone();
        node::ask(data, request).await
    }

    /// The members as the node of this slot sees them.
    pub async fn nodes(&self, at: usize) -> Option<Vec<ClusterNode>> {
        match self.ask(at, Request::ClusterStatus).await {
            Ok(Response::Cluster(nodes)) => Some(nodes),
            _ => None,
        }
    }

    /// The slot of the leader and everybody's ids, as anybody who is awake sees it.
    pub async fn leader(&self) -> Option<usize> {
        for at in self.awake() {
            let Some(nodes) = self.nodes(at).await else { continue };
            let leader = nodes.iter().find(|node| node.role == Role::Leader && node.answers);
            if let Some(leader) = leader
                && let Some(slot) = self.slot_of(&leader.address)
            {
                return Some(slot);
            }
        }
        None
    }

    /// The id of the node in this slot, as it says itself.
    pub async fn id(&self, at: usize) -> Option<u64> {
        self.nodes(at).await?.into_iter().find(|node| node.is_this).map(|node| node.id)
    }

    /// Removes the members that run nowhere, as the node of slot `by` is told.
    pub async fn forget_the_gone(&self, by: usize) {
        let running = self.running();
        for node in self.nodes(by).await.unwrap_or_default() {
            if self.slot_of(&node.address).is_none_or(|slot| !running.contains(&slot)) {
                let said = self.ask(by, Request::ClusterRemove { id: node.id }).await;
                println!("node {} is gone and is removed: {said:?}", node.id);
            }
        }
    }

    fn slot_of(&self, address: &str) -> Option<usize> {
        (0..SLOTS).find(|at| self.slots[*at].lock().spec.advertise == address)
    }

    /// Undoes all harm, and waits until every node is ready.
    pub async fn heal(&self) {
        assert!(self.is_well_within(WELL_WITHIN).await, "the cluster does not come back; logs: {}", self.keep_logs());
    }

    /// The same, for so long at most; answers whether it came.
    pub async fn is_well_within(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        self.net.mend();
        for at in 0..SLOTS {
            self.set_wall_off(at, 0);
            self.resume(at);
        }
        let http = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().expect("a client");
        for at in self.running() {
            while !is_ready(&http, &self.urls[at]).await {
                if begun.elapsed() > patience {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        true
    }

    /// Keeps everything, and says where.
    pub fn keep_logs(&self) -> String {
        let kept = self.dir.lock().take().map(TempDir::keep);
        let kept = kept.as_deref().map_or_else(PathBuf::new, PathBuf::from);
        println!("kept: {}", kept.display());
        kept.display().to_string()
    }
}

async fn is_ready(http: &reqwest::Client, url: &str) -> bool {
    http.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
}
