//! Raft: how nodes agree. The only room that knows openraft and redb.
//!
//! `store` keeps the log, `machine` carries committed records to the state, `decider` turns Ops into records,
//! `freshness` and `logtime` say what may be believed and what time it is. A single node is a cluster of one.

mod decider;
mod files;
mod freshness;
mod logtime;
mod machine;
mod meters;
mod network;
mod restore;
mod shelf;
mod snapshots;
mod store;
pub mod types;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use openraft::{Config, ReadPolicy, SnapshotPolicy};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;

use crate::clock::{Clock, Millis};
use crate::error::{Error, Result};
use crate::log::{Answer, Log};
use crate::state::{Op, Outcome, State};
use decider::{Decider, Job};
use freshness::Freshness;
use logtime::LogTime;
use machine::Machine;
pub use restore::{Keep, restore};
use snapshots::Attempt;
pub use store::Counters;
use store::Store;
use types::Member;

/// The handle on this node's log.
type Raft = types::Raft<Machine>;

/// How long a node may take to read its log and lead.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long a stopping node tries to leave a stamp behind.
const LAST_STAMP_WITHIN: Duration = Duration::from_secs(2);

/// What `raft` wants to be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How old an answer may be.
    pub max_staleness: Duration,
}

/// The replicated log of this node.
pub struct RaftLog {
    raft: Raft,
    store: Store,
    state: Arc<State>,
    time: Arc<LogTime>,
    fresh: Arc<Freshness>,
    queue: mpsc::Sender<Job>,
    snapshots: PathBuf,
    /// See [`Machine::owed`].
    owed: Arc<AtomicU64>,
    /// How the last attempt at a snapshot ended.
    attempts: Arc<watch::Sender<Attempt>>,
}

impl RaftLog {
    /// Opens the log in `dir` and the state it feeds, forming a cluster of one when the directory is new. Returns when
    /// everything acknowledged before is applied and this node may decide.
    ///
    /// # Errors
    /// When a file is damaged, used by another process, or the disk fails; says which.
    pub async fn open(dir: &Path, state: Arc<State>, clock: Arc<dyn Clock>, settings: &Settings) -> Result<Arc<Self>> {
        let snapshots = dir.join("snapshots");
        let (store, machine) = {
            let (dir, state) = (dir.to_owned(), state.clone());
            blocking(move || files::open(&dir, state)).await?
        };
        let (id, owed, attempts) = (store.identity().node, machine.owed(), machine.attempts());
        let raft = Raft::build(id, Arc::new(config()?), network::Alone, store.clone(), machine)
            .await
            .map_err(|e| Error::broken("the log cannot be opened", e))?;
        raft.run();
        lead(&raft, id).await?;
        let tenure = first_tenure(&raft).await?;
        let time = Arc::new(LogTime::starting(clock.clone(), state.stamp()));
        upkeep::catch_up(&raft, &time, &state).await?;
        let fresh = Freshness::start(raft.clone(), clock, settings.max_staleness);
        let (queue, jobs) = mpsc::channel(decider::QUEUE_MAX);
        let decider = Decider { raft: raft.clone(), state: state.clone(), time: time.clone(), tenure, flying: 0 };
        tokio::spawn(decider.run(jobs));
        let log = Arc::new(Self { raft, store, state, time, fresh, queue, snapshots, owed, attempts });
        tokio::spawn(upkeep::keep_up(Arc::downgrade(&log)));
        log.refresh().await?;
        Ok(log)
    }

    /// How much was written to the log since it was opened.
    pub fn counters(&self) -> &Counters {
        self.store.counters()
    }

    /// This node's id.
    pub fn node_id(&self) -> u64 {
        self.store.identity().node
    }

    /// The id of the cluster, in hexadecimal. A restore draws another one.
    pub fn cluster_id(&self) -> String {
        self.store.identity().cluster.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Index of the last log entry that is applied here.
    pub fn applied_index(&self) -> u64 {
        self.raft.metrics().borrow_watched().last_applied.map_or(0, |id| id.index)
    }

    /// Waits for the log to fail; answers why. A node whose log failed must stop.
    pub async fn failed(&self) -> String {
        let mut disk = self.store.failed();
        let disk = async {
            match disk.wait_for(Option::is_some).await {
                Ok(why) => why.as_deref().unwrap_or_default().to_owned(),
                Err(_) => "the log's writer ended".into(),
            }
        };
        tokio::select! {
            why = disk => why,
            why = self.core_failed() => why,
        }
    }

    async fn core_failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "the log's task ended".into();
            }
        }
    }

    async fn decided(&self, op: Op) -> Result<Outcome> {
        let (job, outcome) = Job::new(op);
        self.queue.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => Error::NotDone("too many writes wait".into()),
            TrySendError::Closed(_) => decider::stopped(),
        })?;
        outcome.await.map_err(|_| Error::FateUnknown)?
    }

    /// Stops the log; what was accepted lands first or is answered "outcome unknown".
    pub async fn shutdown(&self) {
        let _ = tokio::time::timeout(LAST_STAMP_WITHIN, upkeep::write_stamp(&self.raft, &self.time)).await;
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!(error = %e, "the log did not stop cleanly");
        }
        if let Err(e) = self.store.close().await {
            tracing::warn!(error = %e, "the log was not closed cleanly");
        }
    }
}

impl Log for RaftLog {
    fn submit(&self, op: Op) -> Answer<'_, Result<Outcome>> {
        Box::pin(async move {
            let Op::Touch(keys) = op else { return self.decided(op).await };
            let generation = self.state.generation();
            for lot in decider::lots(keys, &generation.entries) {
                self.decided(Op::Touch(lot)).await?;
            }
            Ok(Outcome::Done)
        })
    }

    fn now(&self) -> Millis {
        self.time.now()
    }

    fn is_fresh(&self) -> bool {
        self.fresh.is_fresh()
    }

    fn refresh(&self) -> Answer<'_, Result<()>> {
        Box::pin(self.fresh.refresh())
    }
}

fn config() -> Result<Config> {
    let config = Config {
        cluster_name: "sojourn".into(),
        heartbeat_interval: 100,
        election_timeout_min: 400,
        election_timeout_max: 800,
        install_snapshot_timeout: 60_000,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 1_000,
        purge_batch_size: 1_000,
        replication_lag_threshold: 20_000,
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().map_err(|e| Error::broken("raft settings", e))
}

/// Forms a cluster of one in a new directory; in one that was alone before, stands for election at once.
async fn lead(raft: &Raft, id: u64) -> Result<()> {
    let wrong = |e: &dyn std::fmt::Display| Error::broken("the cluster cannot be formed", e);
    if !raft.is_initialized().await.map_err(|e| wrong(&e))? {
        let alone = std::collections::BTreeMap::from([(id, Member::default())]);
        return raft.initialize(alone).await.map_err(|e| wrong(&e));
    }
    let voters: Vec<u64> = raft.voter_ids().collect();
    if voters == [id] {
        raft.trigger().elect(false).await.map_err(|e| wrong(&e))?;
    }
    Ok(())
}

/// Waits until this node may decide; answers in which term, from then on.
async fn first_tenure(raft: &Raft) -> Result<watch::Receiver<Option<u64>>> {
    let (tenure, seen) = watch::channel(None);
    tokio::spawn(watch_tenure(raft.clone(), tenure));
    let mut first = seen.clone();
    let came = tokio::time::timeout(START_WITHIN, first.wait_for(Option::is_some)).await;
    if came.is_ok_and(|tenure| tenure.is_ok()) {
        return Ok(seen);
    }
    Err(match &raft.metrics().borrow_watched().running_state {
        Err(fatal) => Error::broken("the log was opened, and failed", fatal),
        Ok(()) => Error::Broken("the log was opened, but this node does not come to lead".into()),
    })
}

/// Tells in which term this node may decide: one that it leads and whose first entry it has applied. None any more when
/// the log has ended.
async fn watch_tenure(raft: Raft, tenure: watch::Sender<Option<u64>>) {
    let mut metrics = raft.metrics();
    loop {
        let (term, leads) = {
            let seen = metrics.borrow_watched();
            (seen.current_term, seen.current_leader == Some(seen.id))
        };
        if !leads {
            tenure.send_if_modified(|held| held.take().is_some());
        } else if *tenure.borrow() != Some(term) && has_applied_own_term(&raft, term).await {
            tenure.send_replace(Some(term));
        }
        if metrics.changed().await.is_err() || tenure.is_closed() {
            tenure.send_replace(None);
            return;
        }
    }
}

async fn has_applied_own_term(raft: &Raft, term: u64) -> bool {
    match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) if decider::leads(&linearizer, term) => linearizer.await_ready(raft).await.is_ok(),
        _ => false,
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(named),
        Err(e) => Err(Error::broken("a disk task ended", e)),
    }
}

fn named(e: std::io::Error) -> Error {
    Error::Broken(e.to_string())
}

#[cfg(test)]
mod tests;
