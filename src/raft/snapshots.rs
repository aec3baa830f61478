//! Snapshots: asked for, waited for, and what a backup makes of one.
//!
//! One that cannot be written (a full disk, say) is no reason to stop: the log has everything, and only grows until a
//! later attempt. openraft would take the error for the end of the node, so it is not told; whoever waits is.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openraft::EntryPayload;
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::{Instant, timeout};

use super::store::Store;
use super::{RaftLog, blocking, shelf};
use crate::error::{Error, Result};
use crate::state::{Record, snapshot};

/// How long whoever asked waits for a snapshot.
const WRITTEN_WITHIN: Duration = Duration::from_secs(120);
/// While one is being written openraft passes over the wish for another: it is said again this often.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// A snapshot that failed is not tried again for so long, unless somebody asks for one.
const REST: Duration = Duration::from_secs(60);

/// How an attempt at a snapshot ended.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The log index up to which the snapshot was to be.
    index: u64,
    /// Why there is none.
    failure: Option<Arc<str>>,
    ended: Instant,
}

impl Attempt {
    /// An attempt that ended now.
    pub fn ended(index: u64, failure: Option<&std::io::Error>) -> Self {
        Self { index, failure: failure.map(|e| e.to_string().into()), ended: Instant::now() }
    }

    /// Whether it failed so lately that the next one would, too.
    pub fn failed_lately(&self) -> bool {
        self.failure.is_some() && self.ended.elapsed() < REST
    }
}

impl RaftLog {
    /// Writes everything that this node has applied so far to `out`, while writes go on: a snapshot, and the records since.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn backup(&self, out: &Path) -> Result<()> {
        const TRIES: usize = 3;
        let mut last = Error::Broken("no snapshot came about".into());
        for _ in 0..TRIES {
            let path = self.snapshot().await?;
            let applied = self.applied_index();
            let (store, out) = (self.store.clone(), out.to_owned());
            // a snapshot that comes meanwhile may take the file or the records away: then once more
            let copied = blocking(move || {
                let from = snapshot::head(&path)?.index + 1;
                snapshot::write_backup(&path, records(&store, from..=applied), &out)
            });
            match copied.await {
                Ok(()) => return Ok(()),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Has a snapshot written of everything applied so far, and answers where it lies.
    pub(super) async fn snapshot(&self) -> Result<PathBuf> {
        let wanted = self.applied_index();
        let late = |_| Error::Broken("no snapshot was written in time".into());
        timeout(WRITTEN_WITHIN, self.reach(wanted)).await.map_err(late)??;
        let dir = self.snapshots.clone();
        blocking(move || shelf::newest(&dir)).await?.ok_or_else(|| Error::Broken("the snapshot is gone".into()))
    }

    /// Comes back when a snapshot has everything up to `wanted`.
    async fn reach(&self, wanted: u64) -> Result<()> {
        let mut attempts = self.attempts.subscribe();
        while self.raft.metrics().borrow_watched().snapshot.is_none_or(|id| id.index < wanted) {
            self.raft.trigger().snapshot().await.map_err(|e| Error::broken("no snapshot", e))?;
            if !timeout(ASK_AGAIN, attempts.changed()).await.is_ok_and(|seen| seen.is_ok()) {
                continue;
            }
            let attempt = attempts.borrow_and_update().clone();
            // one of less than what is wanted was under way before
            match attempt.failure {
                _ if attempt.index < wanted => {}
                Some(why) => return Err(Error::broken("no snapshot", why)),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// The records among the log entries of `range`.
fn records(store: &Store, range: RangeInclusive<u64>) -> impl Iterator<Item = std::io::Result<(u64, Record)>> {
    store.records(range).filter_map(|entry| match entry {
        Ok(entry) => match entry.payload {
            EntryPayload::Normal(record) => Some(Ok((entry.log_id.index, record))),
            _ => None,
        },
        Err(e) => Some(Err(e)),
    })
}
