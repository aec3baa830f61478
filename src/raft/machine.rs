//! Machine: the thin adapter between openraft and the state.
//!
//! What a record means is in `state`; here it is only carried there, off the async threads when SQLite is involved.
//! The state lives in memory and is rebuilt at start from the last snapshot and the log after it, so `applied_state` is
//! the snapshot's index, never SQLite's. A snapshot is reported only when it is durable, because openraft purges the
//! log next; one that cannot be written is no reason to stop.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{Stream, StreamExt as _};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::sync::watch;

use super::incoming::Partial;
use super::shelf::{newest, path_at, remove_drafts, remove_older};
use super::snapshots::Attempt;
use super::store::weight;
use super::types::{self, Applied, LogId, SnapshotMeta, StoredMembership, TypeConfig};
use crate::planted::{self, Bug};
use crate::state::{Generation, Record, State, UserOutcome, codec, files, snapshot};

/// A snapshot, as openraft hands it around.
pub type Snapshot = types::Snapshot<SnapshotFile>;

/// A snapshot on disk.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Keeps one that came from a peer until nobody has it in hand any more, and no longer. An install may still wait
    /// when whoever sent it has given up, and a file that is gone then would end this node.
    _draft: Option<Arc<Partial>>,
}

impl SnapshotFile {
    /// One that is kept.
    fn kept(path: PathBuf) -> Self {
        Self { path, _draft: None }
    }
}

impl From<Partial> for SnapshotFile {
    fn from(draft: Partial) -> Self {
        Self { path: draft.0.clone(), _draft: Some(Arc::new(draft)) }
    }
}

/// The state machine that openraft drives.
pub struct Machine {
    state: Arc<State>,
    dir: PathBuf,
    applied: Option<LogId>,
    membership: StoredMembership,
    owed: Arc<AtomicU64>,
    attempts: Arc<watch::Sender<Attempt>>,
}

impl Machine {
    /// Opens the machine over `state`, loading the snapshot in `dir` if there is one.
    ///
    /// # Errors
    /// When the snapshot is damaged or the disk fails; says which file.
    pub fn open(state: Arc<State>, dir: &Path) -> io::Result<Self> {
        files::create_directories(dir)?;
        remove_drafts(dir)?;
        let mut machine = Self {
            state,
            dir: dir.to_owned(),
            applied: None,
            membership: StoredMembership::default(),
            owed: Arc::default(),
            attempts: Arc::new(watch::Sender::new(Attempt::ended(0, None))),
        };
        if let Some(path) = newest(dir)? {
            let head = machine.state.load(&path)?;
            (machine.applied, machine.membership) = codec::decode(&head.label)?;
            remove_older(&path);
        }
        if planted::has(Bug::ForgetApplied) {
            machine.applied = None;
        }
        Ok(machine)
    }

    /// The last log entry that the snapshot holds.
    pub fn applied(&self) -> Option<LogId> {
        self.applied
    }

    /// The members that the snapshot knows.
    pub fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    /// Takes everything up to there for applied: a bug on purpose.
    pub fn believe(&mut self, committed: Option<LogId>) {
        self.applied = self.applied.max(committed);
    }

    /// About how many bytes of log were applied since the last snapshot: what a start has to read again. A start that
    /// finds much counts it too, so that a node that is often restarted does not owe more and more.
    pub fn owed(&self) -> Arc<AtomicU64> {
        self.owed.clone()
    }

    /// How the last attempt at a snapshot ended.
    pub fn attempts(&self) -> Arc<watch::Sender<Attempt>> {
        self.attempts.clone()
    }

    async fn apply_records(&self, batch: Vec<(u64, Record)>) -> io::Result<Vec<Vec<Option<UserOutcome>>>> {
        let asks_sqlite = batch.iter().any(|(_, record)| record.changes.iter().any(|c| c.user.is_some()));
        let state = self.state.clone();
        let apply = move || {
            let records: Vec<(u64, &Record)> = batch.iter().map(|(index, record)| (*index, record)).collect();
            state.apply(&records)
        };
        if asks_sqlite { tokio::task::spawn_blocking(apply).await.map_err(io::Error::other)? } else { apply() }
    }
}

/// The most log entries that are applied in one go.
const APPLY_MAX: usize = 256;

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        let mut chunks = entries.ready_chunks(APPLY_MAX);
        while let Some(chunk) = chunks.next().await {
            if planted::has(Bug::EarlyTenure) && chunk.iter().flatten().all(|(_, responder)| responder.is_none()) {
                // followers take their time, so that there is something that a new leader has not applied
                tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            }
            let mut records = Vec::with_capacity(chunk.len());
            let mut waiting = Vec::with_capacity(chunk.len());
            for item in chunk {
                let (entry, responder) = item?;
                self.applied = Some(entry.log_id);
                self.owed.fetch_add(weight(&entry) as u64, Ordering::Relaxed);
                let carries_record = match entry.payload {
                    EntryPayload::Blank => false,
                    EntryPayload::Normal(record) => {
                        records.push((entry.log_id.index, record));
                        true
                    }
                    EntryPayload::Membership(membership) => {
                        self.membership = StoredMembership::new(Some(entry.log_id), membership);
                        false
                    }
                };
                waiting.push((entry.log_id.index, carries_record, responder));
            }
            let mut answers = self.apply_records(records).await?.into_iter();
            for (index, carries_record, responder) in waiting {
                let users = if carries_record { answers.next().unwrap_or_default() } else { Vec::new() };
                if let Some(responder) = responder {
                    responder.send(Applied { index, users });
                }
            }
        }
        Ok(())
    }

    /// What the builder writes is taken here, between two entries: a snapshot that is installed later is none of its.
    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            generation: self.state.generation(),
            dir: self.dir.clone(),
            stamp: self.state.stamp(),
            meta: SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone() },
            pays: self.owed.load(Ordering::Relaxed),
            owed: self.owed.clone(),
            attempts: self.attempts.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> Result<(), io::Error> {
        let state = self.state.clone();
        let kept = path_of(&self.dir, meta);
        let install = move || {
            if snapshot.path != kept {
                files::rename_durably(&snapshot.path, &kept)?;
            }
            state.install(&kept)?;
            remove_older(&kept);
            Ok::<_, io::Error>(())
        };
        tokio::task::spawn_blocking(install).await.map_err(io::Error::other)??;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.owed.store(0, Ordering::Relaxed);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let Some(path) = newest(&self.dir)? else { return Ok(None) };
        let (last_log_id, last_membership) = codec::decode(&snapshot::head(&path)?.label)?;
        Ok(Some(Snapshot { meta: SnapshotMeta { last_log_id, last_membership }, snapshot: SnapshotFile::kept(path) }))
    }
}

/// Writes one snapshot while the machine goes on applying.
pub struct Builder {
    generation: Arc<Generation>,
    dir: PathBuf,
    stamp: i64,
    meta: SnapshotMeta,
    /// How much of what is owed this snapshot spares the next start.
    pays: u64,
    owed: Arc<AtomicU64>,
    attempts: Arc<watch::Sender<Attempt>>,
}

impl Builder {
    fn index(&self) -> u64 {
        self.meta.last_log_id.map_or(0, |id| id.index)
    }

    async fn write(&self) -> io::Result<()> {
        let head = snapshot::Head {
            index: self.index(),
            stamp: self.stamp,
            label: codec::encode(&(&self.meta.last_log_id, &self.meta.last_membership)),
        };
        let (generation, target) = (self.generation.clone(), path_of(&self.dir, &self.meta));
        let build = move || {
            snapshot::write(&generation, &head, &target)?;
            remove_older(&target);
            Ok(())
        };
        tokio::task::spawn_blocking(build).await.map_err(io::Error::other)?
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotFile;

    /// Never an error, because openraft would stop over it: without a new snapshot it is told of none, and purges none
    /// of the log.
    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (index, path) = (self.index(), path_of(&self.dir, &self.meta));
        if let Err(e) = self.write().await {
            tracing::error!(error = %e, index, "no snapshot could be written; the log grows until one can");
            self.attempts.send_replace(Attempt::ended(index, Some(&e)));
            return Ok(Snapshot { meta: SnapshotMeta::default(), snapshot: SnapshotFile::kept(path) });
        }
        // an install meanwhile has paid everything
        let paid = |owed: u64| Some(owed.saturating_sub(self.pays));
        let _ = self.owed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, paid);
        self.attempts.send_replace(Attempt::ended(index, None));
        tracing::info!(index, "snapshot written");
        Ok(Snapshot { meta: self.meta.clone(), snapshot: SnapshotFile::kept(path) })
    }
}

fn path_of(dir: &Path, meta: &SnapshotMeta) -> PathBuf {
    path_at(dir, meta.last_log_id.map_or(0, |id| id.index))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::state::{Change, Effect, Entry, Key, NEVER};

    fn put(machine: &Machine, index: u64, key: &str) {
        let effects = vec![Effect::Put(Key::new(key), Entry::plain(b"", NEVER, 1))];
        let record = Record { stamp: 1, changes: vec![Change { effects, user: None }] };
        machine.state.apply(&[(index, &record)]).expect("it is applied");
    }

    fn opened(dir: &Path) -> Machine {
        let state = Arc::new(State::open(dir).expect("the state opens"));
        Machine::open(state, &dir.join("snapshots")).expect("the machine opens")
    }

    #[tokio::test]
    async fn what_a_crash_left_of_writing_a_snapshot_is_removed_at_the_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut machine = opened(dir.path());
        put(&machine, 9, "new");
        machine.applied = Some(LogId::new_term_index(1, 9));
        machine.get_snapshot_builder().await.build_snapshot().await.expect("it is written");
        drop(machine);
        let snapshots = dir.path().join("snapshots");
        let newest = path_at(&snapshots, 9);
        fs::copy(&newest, path_at(&snapshots, 3)).expect("an older one");
        for name in ["00000000000000000012.partial", "00000000000000000012.users", "00000000000000000012.users-wal"] {
            fs::write(snapshots.join(name), "half").expect("a draft");
        }
        let machine = opened(dir.path());
        assert_eq!(machine.applied().map(|id| id.index), Some(9));
        let left: Vec<PathBuf> =
            fs::read_dir(&snapshots).expect("a folder").map(|item| item.expect("an item").path()).collect();
        assert_eq!(left, [newest]);
    }

    #[tokio::test]
    async fn a_snapshot_that_is_installed_while_an_older_one_is_written_is_not_its_affair() {
        let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
        let (mut machine, mut ahead) = (opened(dirs[0].path()), opened(dirs[1].path()));
        put(&machine, 3, "old");
        machine.applied = Some(LogId::new_term_index(1, 3));
        put(&ahead, 9, "new");
        ahead.applied = Some(LogId::new_term_index(1, 9));
        let newer = ahead.get_snapshot_builder().await.build_snapshot().await.expect("it is written");

        let mut builder = machine.get_snapshot_builder().await;
        machine.install_snapshot(&newer.meta, newer.snapshot).await.expect("it is installed");
        let older = builder.build_snapshot().await.expect("it is written");

        let current = machine.get_current_snapshot().await.expect("it is read").expect("there is one");
        assert_eq!(current.meta.last_log_id.map(|id| id.index), Some(9), "the newer one stays");
        let fresh = State::open(&dirs[1].path().join("snapshots")).expect("a state");
        fresh.install(&older.snapshot.path).expect("it is whole");
        assert!(fresh.live(&Key::new("old"), 1).is_some() && fresh.live(&Key::new("new"), 1).is_none());
    }

    #[tokio::test]
    async fn a_snapshot_that_waits_to_be_installed_outlives_whoever_asked_for_it_and_is_no_more_afterwards() {
        let dirs = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
        let (mut machine, mut ahead) = (opened(dirs[0].path()), opened(dirs[1].path()));
        put(&ahead, 9, "new");
        ahead.applied = Some(LogId::new_term_index(1, 9));
        let sent = ahead.get_snapshot_builder().await.build_snapshot().await.expect("it is written");
        let receive = |name: &str| {
            let path = dirs[0].path().join("snapshots").join(name);
            fs::copy(&sent.snapshot.path, &path).expect("it comes");
            SnapshotFile::from(Partial(path))
        };
        let (asked, refused) = (receive("incoming-1.partial"), receive("incoming-2.partial"));
        let waits = asked.clone();
        drop((asked, refused));
        machine.install_snapshot(&sent.meta, waits).await.expect("it is there still");
        assert!(machine.state.live(&Key::new("new"), 1).is_some());
        let all = fs::read_dir(dirs[0].path().join("snapshots")).expect("a folder");
        let left: Vec<PathBuf> = all.map(|item| item.expect("an item").path()).collect();
        assert_eq!(left, [path_of(&machine.dir, &sent.meta)]);
    }
}
