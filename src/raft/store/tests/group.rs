//! Group commit, the tail in memory, and what readers see.

use futures_util::FutureExt;

use super::*;

#[tokio::test]
async fn appends_that_wait_together_share_commits() {
    let store = fault::store_on(&fault::Disk::default());
    // A slow disk: the writer waits in its first commit while the others gather.
    let database = store.0.shared.database.read().clone().unwrap();
    let busy = database.begin_write().unwrap();
    let mut waiting = Vec::new();
    for index in 0..256 {
        waiting.push(start_append(&store, vec![entry(1, index)]).await);
    }
    busy.abort().unwrap();
    for answer in waiting {
        answer.await.unwrap().unwrap();
    }
    let counters = store.counters();
    assert_eq!(counters.entries(), 256);
    assert!(counters.commits() <= 2, "{} commits for 256 appends", counters.commits());
}

#[tokio::test]
async fn an_entry_can_be_read_before_it_is_on_disk() {
    let store = fault::store_on(&fault::Disk::default());
    // Keeps the writer from committing.
    let database = store.0.shared.database.read().clone().unwrap();
    let busy = database.begin_write().unwrap();
    let answer = start_append(&store, entries(1, 0..=2)).await;
    assert_eq!(read(&store, 1..).await, entries(1, 1..=2));
    assert_eq!(state(&store).await.1, Some(id(1, 2)));
    assert_eq!(store.counters().entries(), 0);
    busy.abort().unwrap();
    drop(database);
    answer.await.unwrap().unwrap();
    assert_eq!(store.counters().entries(), 3);
}

#[tokio::test]
async fn callbacks_come_in_the_order_of_their_appends() {
    let store = fault::store_on(&fault::Disk::default());
    let database = store.0.shared.database.read().clone().unwrap();
    let busy = database.begin_write().unwrap();
    let first = start_append(&store, vec![entry(1, 0)]).await;
    let second = start_append(&store, vec![entry(1, 1)]).await;
    busy.abort().unwrap();
    second.await.unwrap().unwrap();
    first.now_or_never().unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_gap_is_refused_and_changes_nothing() {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=3)).await;
    for wrong in [vec![entry(1, 5)], vec![entry(1, 3)], vec![entry(1, 4), entry(1, 6)]] {
        let refused = store.clone().append(wrong, IOFlushed::noop()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
    append(&store, entries(1, 4..=4)).await;
    assert_eq!(read(&store, ..).await, entries(1, 0..=4));
}

#[tokio::test]
async fn entries_beyond_the_window_are_read_from_disk() {
    let dir = dir();
    let store = open(&dir.path);
    let large = |index| entry_of_size(1, index, 1 << 20);
    for index in 0..40 {
        append(&store, vec![large(index)]).await;
    }
    let found = store.0.shared.tail.lock().find(0..40, usize::MAX);
    assert_eq!(found.on_disk.start, 0);
    assert!(found.entries.len() <= 16, "{} MiB in memory", found.entries.len());
    assert_eq!(read(&store, ..).await, (0..40).map(large).collect::<Vec<_>>());
    assert_eq!(read(&store, 2..=3).await, [large(2), large(3)]);
    assert_eq!(read(&store, 38..90).await, [large(38), large(39)]);
    assert_eq!(read(&store, 40..90).await, []);
}

#[tokio::test]
async fn a_bounded_read_returns_a_beginning_and_never_nothing() {
    let dir = dir();
    let mut store = open(&dir.path);
    for index in 0..40 {
        append(&store, vec![entry_of_size(1, index, 700 << 10)]).await;
    }
    for start in [0, 5, 30, 39] {
        let some = store.limited_get_log_entries(start, 40).await.unwrap();
        assert_eq!(some[0].log_id.index, start);
        assert!(some.len() <= 2, "{} entries from {start}", some.len());
    }
    assert_eq!(store.limited_get_log_entries(3, 3).await.unwrap(), []);
}

#[tokio::test]
async fn a_view_is_not_changed_by_what_happens_after_it() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    drop(store.close().await);
    drop(store);
    store = open(&dir.path);
    append(&store, entries(1, 10..=19)).await;
    let view = store.view(3..18, usize::MAX).unwrap();
    assert!(!view.is_in_memory());
    store.truncate_after(Some(id(1, 5))).await.unwrap();
    store.purge(id(1, 4)).await.unwrap();
    append(&store, entries(2, 6..=6)).await;
    assert_eq!(view.entries().unwrap(), entries(1, 3..=17));
    assert_eq!(read(&store, ..).await, [entry(1, 5), entry(2, 6)]);
}

#[tokio::test]
async fn records_yields_entries_in_order_and_refuses_what_is_not_there() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, (0..3_000).map(|index| entry_of_size(1, index, 1_000)).collect()).await;
    store.purge(id(1, 99)).await.unwrap();
    let all: Vec<u64> = store.records(100..=2_999).map(|entry| entry.unwrap().log_id.index).collect();
    assert_eq!(all, (100..=2_999).collect::<Vec<_>>());

    let mut purged = store.records(99..=200);
    let refused = purged.next().unwrap().unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    assert!(refused.to_string().contains("log entry 99 was purged"), "{refused}");
    assert!(purged.next().is_none());
    let beyond: Vec<_> = store.records(2_999..=3_001).collect();
    assert!(beyond[0].is_ok() && beyond[1].is_err() && beyond.len() == 2);
}

#[tokio::test]
async fn appends_are_folded_into_the_file_when_the_journal_is_full_and_with_everything_else() {
    let dir = dir();
    let mut store = open(&dir.path);
    let (mut last, mut folds) = (0, 0);
    for index in 0..600 {
        append(&store, vec![entry(1, index)]).await;
        let rows = disk::rows(&store).len() as u64;
        folds += u32::from(rows > last);
        assert!(rows == last || rows == index + 1, "{rows} rows after entry {index}");
        last = rows;
    }
    assert_eq!(folds, 2, "a write of one entry is one of 256 pages");
    assert_eq!(store.counters().commits(), 600, "whoever finds the journal full waits for one fsync");
    assert_eq!(read(&store, ..).await, entries(1, 0..=599));
    store.save_vote(&vote(2)).await.unwrap();
    assert_eq!(disk::rows(&store).len(), 600);
    append(&store, entries(1, 600..=600)).await;
    store.truncate_after(Some(id(1, 598))).await.unwrap();
    assert_eq!(disk::rows(&store).len(), 599);
    drop(store);
    assert_eq!(read(&open(&dir.path), ..).await, entries(1, 0..=598));
}
