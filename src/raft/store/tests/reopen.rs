//! What survives a stop, clean or not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// The files as a killed process would have left them: copied while they are in use.
fn killed(from: &Dir) -> Dir {
    let copy = dir();
    for end in ["redb", "journal", "mark"] {
        fs::copy(from.path.with_extension(end), copy.path.with_extension(end)).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_new_log_is_empty_and_keeps_its_identity() {
    let dir = dir();
    let first = Store::open(&dir.path).unwrap();
    let identity = first.identity();
    assert_eq!(state(&first).await, (None, None));
    assert_eq!(first.clone().read_vote().await.unwrap(), None);
    assert_eq!(first.clone().read_committed().await.unwrap(), None);
    drop(first);
    assert_eq!(Store::open(&dir.path).unwrap().identity(), identity);
    assert_ne!(Identity::draw(), Identity::draw());
}

#[tokio::test]
async fn directories_are_made_private_and_so_is_the_file() {
    let dir = dir();
    let path = dir.path.with_file_name("a").join("b").join("log.redb");
    drop(open(&path));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(!path.with_extension("new").exists());
}

#[tokio::test]
async fn what_a_crash_left_of_making_a_file_does_not_matter() {
    let dir = dir();
    fs::write(dir.path.with_extension("new"), b"half a file").unwrap();
    assert_eq!(open(&dir.path).identity(), NODE);

    fs::hard_link(&dir.path, dir.path.with_extension("new")).unwrap();
    assert_eq!(open(&dir.path).identity(), NODE);
    assert!(!dir.path.with_extension("new").exists());
}

#[tokio::test]
async fn votes_entries_and_marks_survive_a_clean_stop() {
    let dir = dir();
    let mut store = open(&dir.path);
    store.save_vote(&vote(3)).await.unwrap();
    append(&store, entries(3, 0..=20)).await;
    store.purge(id(3, 4)).await.unwrap();
    store.save_committed(Some(id(3, 18))).await.unwrap();
    drop(store);

    let mut store = open(&dir.path);
    assert_eq!(store.read_vote().await.unwrap(), Some(vote(3)));
    assert_eq!(store.read_committed().await.unwrap(), Some(id(3, 18)));
    assert_eq!(state(&store).await, (Some(id(3, 4)), Some(id(3, 20))));
    assert_eq!(read(&store, ..).await, entries(3, 5..=20));
    append(&store, entries(4, 21..=22)).await;
    drop(store);
    assert_eq!(read(&open(&dir.path), 20..).await.len(), 3);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = dir();
    let mut store = open(&dir.path);
    for index in 0..50 {
        append(&store, vec![entry(1, index)]).await;
    }
    store.save_vote(&vote(2)).await.unwrap();
    let copy = killed(&dir);

    let mut after = open(&copy.path);
    assert_eq!(after.read_vote().await.unwrap(), Some(vote(2)));
    assert_eq!(read(&after, ..).await, entries(1, 0..=49));
}

#[tokio::test]
async fn truncated_entries_stay_away_and_others_take_their_place() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    store.truncate_after(Some(id(1, 5))).await.unwrap();
    let copy = killed(&dir);
    assert_eq!(state(&open(&copy.path)).await.1, Some(id(1, 5)));

    append(&store, entries(2, 6..=7)).await;
    let copy = killed(&dir);
    assert_eq!(read(&open(&copy.path), 5..).await.iter().map(|e| *e.log_id.leader_id).collect::<Vec<_>>(), [1, 2, 2]);
    drop(store);
    let store = open(&dir.path);
    let terms: Vec<u64> = read(&store, ..).await.iter().map(|e| *e.log_id.leader_id).collect();
    assert_eq!(terms, [1, 1, 1, 1, 1, 1, 2, 2]);
}

#[tokio::test]
async fn a_purge_in_steps_leaves_no_row_behind() {
    let dir = dir();
    let mut store = open(&dir.path);
    let many = 2 * writer::PURGE_ROWS + 10;
    append(&store, (0..many).map(|index| entry_of_size(1, index, 1)).collect()).await;
    let before = store.counters().commits();
    store.purge(id(1, many - 3)).await.unwrap();
    assert_eq!(state(&store).await.0, Some(id(1, many - 3)));
    // One wish after the purge, one commit at least before it: closing waits for both.
    store.close().await.unwrap();
    assert!(store.counters().commits() - before <= 4);
    drop(store);

    let store = open(&dir.path);
    assert_eq!(read(&store, ..).await, [entry_of_size(1, many - 2, 1), entry_of_size(1, many - 1, 1)]);
    let rows = disk::rows(&store);
    assert_eq!(rows, [many - 2, many - 1]);
}

#[tokio::test]
async fn rows_that_an_interrupted_purge_left_do_not_count() {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    drop(store);
    disk::change(&dir.path, |write| rows::set_meta(write, rows::PURGED, &Some(id(1, 6))).unwrap());

    let store = open(&dir.path);
    assert_eq!(state(&store).await, (Some(id(1, 6)), Some(id(1, 9))));
    assert_eq!(read(&store, ..).await, entries(1, 7..=9));
    assert_eq!(disk::rows(&store), [7, 8, 9]);
}

#[tokio::test]
async fn a_log_purged_beyond_its_end_goes_on_there() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    store.purge(id(2, 19)).await.unwrap();
    append(&store, entries(2, 20..=21)).await;
    let copy = killed(&dir);
    assert_eq!(state(&open(&copy.path)).await, (Some(id(2, 19)), Some(id(2, 21))));
    drop(store);
    let store = open(&dir.path);
    assert_eq!(state(&store).await, (Some(id(2, 19)), Some(id(2, 21))));
    assert_eq!(read(&store, 0..).await, entries(2, 20..=21));
}

#[tokio::test]
async fn the_committed_mark_rides_on_the_next_commit_and_never_alone() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, entries(1, 0..=5)).await;
    let before = store.counters().commits();
    store.save_committed(Some(id(1, 5))).await.unwrap();
    assert_eq!(store.clone().read_committed().await.unwrap(), Some(id(1, 5)));
    assert_eq!(open(&killed(&dir).path).read_committed().await.unwrap(), None);

    append(&store, entries(1, 6..=6)).await;
    assert_eq!(store.counters().commits(), before + 1);
    assert_eq!(open(&killed(&dir).path).read_committed().await.unwrap(), Some(id(1, 5)));
}

#[tokio::test]
async fn the_committed_mark_waits_for_the_entry_it_names() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, entries(1, 0..=5)).await;
    store.save_committed(Some(id(1, 7))).await.unwrap();
    append(&store, entries(1, 6..=6)).await;
    assert_eq!(open(&killed(&dir).path).read_committed().await.unwrap(), None);
    append(&store, entries(1, 7..=7)).await;
    assert_eq!(open(&killed(&dir).path).read_committed().await.unwrap(), Some(id(1, 7)));
}

#[tokio::test]
async fn a_closed_store_refuses_and_frees_the_file() {
    let dir = dir();
    let mut store = open(&dir.path);
    append(&store, entries(1, 0..=5)).await;
    store.close().await.unwrap();
    let again = open(&dir.path);
    assert_eq!(read(&again, ..).await.len(), 6);
    assert!(store.save_vote(&vote(1)).await.unwrap_err().to_string().contains("closed"));
    assert!(store.append(entries(1, 6..=6), IOFlushed::noop()).await.is_err());
}

#[tokio::test]
async fn a_second_opener_is_refused_with_a_hint() {
    let dir = dir();
    let _first = open(&dir.path);
    let refused = refusal(&dir.path);
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    let said = refused.to_string();
    assert!(said.contains("is used by another process; hint: "), "{said}");
    assert!(said.contains("log.redb"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_mostly_free_is_compacted_when_opened() {
    let dir = dir();
    let mut store = open(&dir.path);
    for batch in 0..20 {
        let range = batch * 500..(batch + 1) * 500;
        append(&store, range.map(|index| entry_of_size(1, index, 1_000)).collect()).await;
    }
    store.purge(id(1, 9_990)).await.unwrap();
    drop(store);
    let mut opened = file::open(&dir.path, NODE).unwrap();
    let before = fs::metadata(&dir.path).unwrap().len();
    assert!(!file::compact(&mut opened.database, &dir.path, before).unwrap());
    assert!(file::compact(&mut opened.database, &dir.path, 1 << 20).unwrap());
    drop(opened);
    let after = fs::metadata(&dir.path).unwrap().len();
    assert!(after * 4 < before, "{before} bytes became {after}");
    assert_eq!(read(&open(&dir.path), ..).await.len(), 9);
}
