//! A disk that fails under the log.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;

/// A disk in memory whose syncs can be made to fail.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    pages: Arc<InMemory>,
    fails: Arc<AtomicBool>,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct InMemory(InMemoryBackend);

impl Default for InMemory {
    fn default() -> Self {
        Self(InMemoryBackend::new())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.pages.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.pages.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.pages.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        self.pages.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.pages.0.write(offset, data)
    }
}

pub fn store_on(disk: &Disk) -> Store {
    let database = redb::Builder::new().create_with_backend(disk.clone()).unwrap();
    file::initialise(&database, NODE).unwrap();
    Store::start(file::load(database).unwrap(), Path::new("memory")).unwrap()
}

#[tokio::test]
async fn one_commit_is_one_sync() {
    let disk = Disk::default();
    let store = store_on(&disk);
    let (syncs, commits) = (disk.syncs.load(Ordering::SeqCst), store.counters().commits());
    for index in 0..10 {
        append(&store, vec![entry(1, index)]).await;
    }
    assert_eq!(store.counters().commits() - commits, 10);
    assert_eq!(disk.syncs.load(Ordering::SeqCst) - syncs, 10);
}

#[tokio::test]
async fn the_first_failed_sync_is_the_last() {
    let disk = Disk::default();
    let mut store = store_on(&disk);
    let mut failed = store.failed();
    append(&store, entries(1, 0..=3)).await;
    assert!(failed.borrow().is_none());

    disk.fails.store(true, Ordering::SeqCst);
    let answer = start_append(&store, entries(1, 4..=4)).await;
    let told = answer.await.unwrap().unwrap_err().to_string();
    assert!(told.contains("the disk is gone"), "{told}");
    let why = failed.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(why.starts_with("the log cannot be written: "), "{why}");

    // The disk works again: nobody asks it.
    disk.fails.store(false, Ordering::SeqCst);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    assert!(store.append(entries(1, 5..=5), IOFlushed::noop()).await.is_err());
    assert!(store.save_vote(&vote(9)).await.is_err());
    assert!(store.truncate_after(None).await.is_err());
    assert!(store.purge(id(1, 2)).await.is_err());
    assert!(store.save_committed(Some(id(1, 3))).await.is_err());
    assert!(store.close().await.is_err());
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs);
    assert_eq!(store.counters().entries(), 4);
    assert_eq!(store.read_vote().await.unwrap(), None);
}

#[tokio::test]
async fn everybody_who_waits_hears_of_the_failure() {
    let disk = Disk::default();
    let store = store_on(&disk);
    let database = store.0.shared.database.read().clone().unwrap();
    let busy = database.begin_write().unwrap();
    let mut waiting = Vec::new();
    for index in 0..20 {
        waiting.push(start_append(&store, vec![entry(1, index)]).await);
    }
    disk.fails.store(true, Ordering::SeqCst);
    busy.abort().unwrap();
    for answer in waiting {
        assert!(answer.await.unwrap().is_err());
    }
    assert_eq!(store.counters().entries(), 0);
}
