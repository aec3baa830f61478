//! Raft: how nodes agree. The only room that knows openraft and redb.
//!
//! `store` keeps the log, `machine` carries committed records to the state, `decider` turns Ops into records,
//! `freshness` and `logtime` say what may be believed and what time it is. A single node is a cluster of one.

mod decider;
mod desk;
mod expiry;
mod farewell;
mod files;
mod freshness;
mod gate;
mod grants;
mod incoming;
mod introductions;
mod join;
mod logtime;
mod machine;
mod members;
mod membership;
mod meters;
mod network;
mod opening;
mod operating;
mod peers;
mod restore;
mod rotation;
mod router;
mod secrets;
mod shelf;
mod snapshots;
mod store;
mod tenure;
pub mod types;
mod upkeep;
mod wiring;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::log::{Answer, Belief, Log};
use crate::state::{Op, Outcome, State};
use decider::{Job, Queue};
use farewell::Farewells;
pub use farewell::{Farewell, check as check_farewell};
pub use freshness::Bounds;
use freshness::Freshness;
pub use join::{Welcome, joins, prepare, welcome};
use logtime::LogTime;
use machine::Machine;
use members::Members;
use membership::Membership;
pub use membership::Wish;
pub use opening::Settings;
pub use operating::Seen;
use peers::links::Links;
pub use peers::token::Token;
pub use restore::{Keep, restore};
pub use rotation::Rotated;
use secrets::Secrets;
pub use secrets::{leads_to, was_kept};
use snapshots::Attempt;
use store::Store;
pub use store::{Counters, DAMAGE_HINT};
use types::Member;

/// The handle on this node's log.
type Raft = types::Raft<Machine>;

/// How long a stopping node tries to leave a stamp behind.
const LAST_STAMP_WITHIN: Duration = Duration::from_secs(2);

/// How long somebody waits for the fate of what they want written.
const DECIDED_WITHIN: Duration = Duration::from_secs(5);

/// How long what a stopping node decided may take to land.
const LANDED_WITHIN: Duration = Duration::from_secs(2);

/// The replicated log of this node.
pub struct RaftLog {
    raft: Raft,
    store: Store,
    state: Arc<State>,
    time: Arc<LogTime>,
    fresh: Arc<Freshness>,
    /// Ops for this node to decide, while it may.
    queue: Queue,
    /// Ops for whoever leads.
    elsewhere: Queue,
    snapshots: PathBuf,
    /// See [`Machine::owed`].
    owed: Arc<AtomicU64>,
    /// How the last attempt at a snapshot ended.
    attempts: Arc<watch::Sender<Attempt>>,
    members: Arc<Members>,
    links: Arc<Links>,
    membership: Membership,
    /// The term in which this node may decide.
    tenure: watch::Receiver<Option<u64>>,
    /// Says that this node is to decide no more, and hears when nothing of what it decided is on its way.
    ending: watch::Sender<bool>,
    idle: watch::Receiver<bool>,
    /// Says that no question of a peer is answered any more.
    closing: watch::Sender<bool>,
    /// The cluster's secret, and what follows from it.
    secrets: Arc<Secrets>,
    /// What peers must know of this node.
    own: Member,
    /// Whether it became a member since it was opened.
    is_newcomer: bool,
    farewells: Arc<Farewells>,
    /// Answers peers, until it is told to stop.
    port: parking_lot::Mutex<JoinSet<()>>,
    /// End with the log.
    tasks: parking_lot::Mutex<JoinSet<()>>,
}

impl RaftLog {
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

    /// Whether this node became a member since it was opened, by a token.
    pub fn is_newcomer(&self) -> bool {
        self.is_newcomer
    }

    /// Waits until this node is no member of its cluster any more.
    pub async fn farewell(&self) -> Farewell {
        self.farewells.heard().await
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
        let (job, decided) = Job::new(op);
        let queue = if self.leads() { &self.queue } else { &self.elsewhere };
        queue.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => Error::NotDone("too many writes wait".into()),
            TrySendError::Closed(_) => decider::stopped(),
        })?;
        // whoever does not wait any longer takes nothing back
        let decided = tokio::time::timeout(DECIDED_WITHIN, decided).await.map_err(|_| Error::FateUnknown)?;
        decided.map_err(|_| Error::FateUnknown)?.map(|decided| decided.outcome)
    }

    /// Whether this node may decide.
    fn leads(&self) -> bool {
        self.tenure.borrow().is_some()
    }

    /// Stops the log; what was accepted lands first or is answered "outcome unknown". A leader hands over before it
    /// goes, and what it is asked meanwhile is brought to the next one.
    pub async fn shutdown(&self) {
        if self.leads() {
            let _ = tokio::time::timeout(LAST_STAMP_WITHIN, upkeep::write_stamp(&self.raft, &self.time)).await;
            self.decide_no_more().await;
            if let Err(e) = self.membership.hand_over().await {
                tracing::warn!(error = %e, "leadership was not handed over");
            }
        }
        self.closing.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        let mut port = std::mem::take(&mut *self.port.lock());
        // it ends in time by itself
        while port.join_next().await.is_some() {}
        tasks.abort_all();
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!(error = %e, "the log did not stop cleanly");
        }
        if let Err(e) = self.store.close().await {
            tracing::warn!(error = %e, "the log was not closed cleanly");
        }
    }

    /// Ends the tenure; returns when everything that was decided has landed.
    async fn decide_no_more(&self) {
        self.ending.send_replace(true);
        let (mut tenure, mut idle) = (self.tenure.clone(), self.idle.clone());
        let ended = async {
            // a sender that is gone decides nothing either
            let _ = tenure.wait_for(Option::is_none).await;
            let _ = idle.wait_for(|idle| *idle).await;
        };
        if tokio::time::timeout(LANDED_WITHIN, ended).await.is_err() {
            tracing::warn!("something that was decided has not landed yet");
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
        self.time.now().max(self.state.stamp())
    }

    fn is_still(&self, belief: Belief) -> bool {
        self.fresh.is_still(belief)
    }

    fn refresh(&self) -> Answer<'_, Result<()>> {
        Box::pin(self.fresh.refresh())
    }

    fn refresh_or_bear(&self) -> Answer<'_, Result<Belief>> {
        Box::pin(self.fresh.refresh_or_bear())
    }

    fn is_alone(&self) -> bool {
        self.members.count() == 1
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
