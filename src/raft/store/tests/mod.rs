//! The store's tests: what openraft asks of one, and what it does not ask: restarts, damage, a failing disk.

mod damage;
mod disk;
mod fault;
mod group;
mod reopen;
mod suite;

use std::path::PathBuf;

use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

use super::*;
use crate::raft::types::CommittedLeaderId;
use crate::state::{Change, Effect, Entry as Value, Key, Record};

type Answer = openraft::alias::OneshotReceiverOf<TypeConfig, io::Result<()>>;

const NODE: Identity = Identity { node: 7, cluster: [9; 16], seed: [5; 32], joins: false };

struct Dir {
    _dir: TempDir,
    path: PathBuf,
}

fn dir() -> Dir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    Dir { _dir: dir, path }
}

fn open(path: &Path) -> Store {
    Store::open_as(path, NODE).unwrap()
}

fn refusal(path: &Path) -> io::Error {
    match Store::open_as(path, NODE) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(e) => e,
    }
}

fn id(term: u64, index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId::from(term), index }
}

fn vote(term: u64) -> Vote {
    Vote::new(term, 7)
}

fn entry_of_size(term: u64, index: u64, size: usize) -> Entry {
    let value = Value::plain(&vec![index as u8; size], 9_000, 5_000);
    let change = Change { effects: vec![Effect::Put(Key::new(format!("k{index}")), value)], user: None };
    let record = Record { stamp: 5_000, changes: vec![change] };
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(record) }
}

fn entry(term: u64, index: u64) -> Entry {
    entry_of_size(term, index, 100)
}

fn entries(term: u64, range: RangeInclusive<u64>) -> Vec<Entry> {
    range.map(|index| entry(term, index)).collect()
}

/// Appends, without waiting for the disk.
async fn start_append(store: &Store, entries: Vec<Entry>) -> Answer {
    let (done, answer) = TypeConfig::oneshot();
    store.clone().append(entries, IOFlushed::signal(done)).await.unwrap();
    answer
}

async fn append(store: &Store, entries: Vec<Entry>) {
    start_append(store, entries).await.await.unwrap().unwrap();
}

async fn read(store: &Store, range: impl RangeBounds<u64> + Clone + Debug + Send) -> Vec<Entry> {
    store.clone().try_get_log_entries(range).await.unwrap()
}

async fn state(store: &Store) -> (Option<LogId>, Option<LogId>) {
    let state = store.clone().get_log_state().await.unwrap();
    (state.last_purged_log_id, state.last_log_id)
}
