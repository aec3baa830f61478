//! openraft's own suite. Its machine is a small one in memory: the suite asks the log for little else.

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{OptionalSend, StorageError};

use super::*;
use crate::raft::types::{Applied, Snapshot, SnapshotMeta, StoredMembership};

#[derive(Clone, Default)]
struct Remembered {
    applied: Option<LogId>,
    membership: StoredMembership,
}

#[derive(Clone, Default)]
struct Machine(Arc<Mutex<(Remembered, Option<SnapshotMeta>)>>);

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<()>> {
        let mut held = self.0.lock();
        let meta = SnapshotMeta { last_log_id: held.0.applied, last_membership: held.0.membership.clone() };
        held.1 = Some(meta.clone());
        Ok(Snapshot { meta, snapshot: () })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let held = self.0.lock();
        Ok((held.0.applied, held.0.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let mut held = self.0.lock();
            held.0.applied = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                held.0.membership = StoredMembership::new(Some(entry.log_id), membership);
            }
            if let Some(responder) = responder {
                responder.send(Applied { index: entry.log_id.index, users: Vec::new() });
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, _: ()) -> io::Result<()> {
        let remembered = Remembered { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        *self.0.lock() = (remembered, Some(meta.clone()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<()>>> {
        Ok(self.0.lock().1.clone().map(|meta| Snapshot { meta, snapshot: () }))
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, Store, Machine, Dir> for Builder {
    async fn build(&self) -> Result<(Dir, Store, Machine), StorageError<TypeConfig>> {
        let dir = dir();
        let store = open(&dir.path);
        Ok((dir, store, Machine::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_does_what_openraft_asks_of_one() {
    Suite::test_all(Builder).await.unwrap();
}
