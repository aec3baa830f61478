//! Files that are not what they were.

use std::fs;
use std::panic::catch_unwind;

use super::*;
use crate::state::codec;

const ENTRIES: u64 = 400;
/// The first so many of them were folded into the file when the journal was full; the others are in its first pages.
const FOLDED: u64 = 257;
const PAGE: usize = 4_096;

/// A log, its journal and its mark.
#[derive(Clone)]
struct Files {
    log: Vec<u8>,
    journal: Vec<u8>,
    mark: Option<Vec<u8>>,
}

impl Files {
    fn of(path: &Path) -> Self {
        let read = |end| fs::read(path.with_extension(end)).unwrap();
        Self { log: read("redb"), journal: read("journal"), mark: Some(read("mark")) }
    }

    fn put(&self, path: &Path) {
        fs::write(path, &self.log).unwrap();
        fs::write(path.with_extension("journal"), &self.journal).unwrap();
        if let Some(mark) = &self.mark {
            fs::write(path.with_extension("mark"), mark).unwrap();
        }
    }

    fn unmarked(&self) -> Self {
        Self { mark: None, ..self.clone() }
    }

    /// With the mark that a power cut left, which is never fsynced.
    fn marked(&self, commits: u64) -> Self {
        Self { mark: Some([commits.to_le_bytes(), (!commits).to_le_bytes()].concat()), ..self.clone() }
    }
}

/// Logs of [`ENTRIES`] entries and one, after a clean stop and after a kill.
async fn logs() -> [Files; 2] {
    let dir = dir();
    let mut store = open(&dir.path);
    store.save_vote(&vote(2)).await.unwrap();
    for index in 0..ENTRIES {
        append(&store, vec![entry(2, index)]).await;
    }
    store.save_committed(Some(id(2, 300))).await.unwrap();
    append(&store, entries(2, ENTRIES..=ENTRIES)).await;
    let killed = Files::of(&dir.path);
    drop(store);
    [Files::of(&dir.path), killed]
}

/// Opens damaged files. Answers whether they were refused; a log that opens has the true entries, all of them, and can
/// be read. Without the mark, damage to the last commit may look like a torn write: then that one is missing.
async fn refused(files: &Files, what: &str) -> bool {
    let dir = dir();
    files.put(&dir.path);
    let at_least = ENTRIES + u64::from(files.mark.is_some());
    let opened = catch_unwind(|| Store::open_as(&dir.path, NODE)).unwrap_or_else(|_| panic!("panic: {what}"));
    let store = match opened {
        Ok(store) => store,
        Err(e) => {
            let said = e.to_string();
            assert!(said.contains("log.redb") && said.contains("; hint: "), "{what}: {said}");
            return true;
        }
    };
    assert_eq!(store.identity(), NODE, "{what}");
    assert_eq!(store.clone().read_vote().await.unwrap(), Some(vote(2)), "{what}");
    let found = read(&store, ..).await;
    assert!(found.len() as u64 >= at_least, "{what}: {} entries", found.len());
    assert_eq!(found, entries(2, 0..=found.len() as u64 - 1), "{what}");
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_cut_short_is_refused_or_whole() {
    for Files { log, journal, mark } in logs().await {
        for cut in (0..40).map(|n| log.len() * n / 40).chain([1, 4_095, 4_096, log.len() - 1]) {
            let cut_short = Files { log: log[..cut].to_vec(), journal: journal.clone(), mark: mark.clone() };
            let refused = refused(&cut_short, &format!("cut to {cut} bytes")).await;
            assert!(refused || cut > log.len() / 2, "a file of {cut} bytes was opened");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_cut_short_or_gone_is_refused_when_it_held_something() {
    let [closed, killed] = logs().await;
    let stale = killed.marked(FOLDED + 1);
    for (files, holds) in [(closed, false), (killed, true), (stale, true)] {
        let used = (ENTRIES + 1 - FOLDED) as usize * PAGE;
        for cut in (0..20).map(|n| used * n / 20) {
            let cut_short = Files { journal: files.journal[..cut].to_vec(), ..files.clone() };
            let what = format!("journal cut to {cut} of {used} bytes");
            assert_eq!(refused(&cut_short, &what).await, holds, "{what}");
        }
    }
}

#[tokio::test]
async fn a_journal_that_is_missing_is_made_anew_only_if_it_held_nothing() {
    let [closed, killed] = logs().await;
    let others = [(&closed.unmarked(), false), (&killed, false), (&killed.marked(FOLDED + 1), false)];
    for (files, is_whole) in std::iter::once((&closed, true)).chain(others) {
        let dir = dir();
        files.put(&dir.path);
        fs::remove_file(dir.path.with_extension("journal")).unwrap();
        if is_whole {
            assert_eq!(read(&open(&dir.path), ..).await.len() as u64, ENTRIES + 1);
        } else {
            let said = refusal(&dir.path).to_string();
            assert!(said.contains("log.journal is missing, cut short, or another log's; hint: "), "{said}");
        }
    }
}

#[tokio::test]
async fn a_journal_of_another_log_or_another_time_is_refused() {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=2)).await;
    let early = Files::of(&dir.path);
    append(&store, entries(1, 3..=5)).await;
    store.close().await.unwrap();
    let store = open(&dir.path);
    append(&store, entries(1, 6..=7)).await;
    let late = Files::of(&dir.path);
    drop(store);
    let mixed = Files { journal: late.journal.clone(), ..early.unmarked() };
    mixed.put(&dir.path);
    let said = refusal(&dir.path).to_string();
    assert!(said.contains("writes 1 to 3 between it and log.journal are lost; hint: "), "{said}");
    let [other, _] = logs().await;
    Files { journal: other.journal, ..late }.put(&dir.path);
    let said = refusal(&dir.path).to_string();
    assert!(said.contains("log.journal is missing, cut short, or another log's; hint: "), "{said}");
}

#[tokio::test]
async fn a_log_that_is_older_than_journals_gets_one() {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    drop(store);
    fs::remove_file(dir.path.with_extension("journal")).unwrap();
    disk::change(&dir.path, |write| {
        write.open_table(rows::META).unwrap().remove(rows::JOURNAL).unwrap();
        rows::set_meta(write, rows::FORMAT_NAME, &1u32).unwrap();
    });
    let older = fs::read(&dir.path).unwrap();
    let store = open(&dir.path);
    append(&store, entries(1, 10..=10)).await;
    let killed = Files::of(&dir.path);
    drop(store);
    assert_eq!(read(&open(&dir.path), ..).await, entries(1, 0..=10));
    Files { log: older, ..killed.unmarked() }.put(&dir.path);
    fs::remove_file(dir.path.with_extension("mark")).unwrap();
    let said = refusal(&dir.path).to_string();
    assert!(said.contains("log.journal is that of a newer one; hint: "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_noticed_or_harmless() {
    let (mut noticed, mut by_the_mark) = (0, 0);
    for (files, name) in logs().await.into_iter().zip(["closed", "killed"]) {
        let header = (0..512).step_by(7);
        let anywhere = (0..160).map(|n| 512 + (n * 7_919 + n * n * 131) % (files.log.len() - 512));
        for at in header.chain(anywhere) {
            let mut flipped = files.clone();
            flipped.log[at] ^= 1 << (at % 8);
            let what = format!("{name} file, byte {at} flipped");
            let [with_mark, without] = [refused(&flipped, &what).await, refused(&flipped.unmarked(), &what).await];
            noticed += u32::from(with_mark);
            by_the_mark += u32::from(with_mark && !without);
        }
    }
    assert!(noticed > 20, "{noticed} flips noticed");
    assert_eq!(by_the_mark, 0, "the writes that follow in the journal tell as much as the mark");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_the_journal_is_noticed_or_harmless() {
    let (mut noticed, mut by_the_mark) = (0, 0);
    let [_, killed] = logs().await;
    let (last, length) = ((ENTRIES - FOLDED) as usize * PAGE, 180);
    let anywhere = (0..120).map(|n| (n * 7_919 % last) / PAGE * PAGE + n * 7 % length);
    for at in anywhere.chain((last..last + length).step_by(3)) {
        let mut flipped = killed.clone();
        flipped.journal[at] ^= 1 << (at % 8);
        let what = format!("byte {at} of the journal flipped");
        let [with_mark, without] = [refused(&flipped, &what).await, refused(&flipped.unmarked(), &what).await];
        noticed += u32::from(with_mark);
        by_the_mark += u32::from(with_mark && !without);
    }
    assert!(noticed > 80, "{noticed} flips noticed");
    assert!(by_the_mark > 0, "no flip hit the last write");
}

#[tokio::test]
async fn a_log_that_is_gone_or_forgot_its_last_write_is_refused() {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    drop(store);
    let older = fs::read(&dir.path).unwrap();
    let mut store = open(&dir.path);
    store.save_vote(&vote(9)).await.unwrap();
    drop(store);
    fs::write(&dir.path, older).unwrap();
    let said = refusal(&dir.path).to_string();
    assert!(said.contains("the last 1 of 3 writes to it and log.journal are lost; hint: "), "{said}");
    fs::remove_file(&dir.path).unwrap();
    for _ in 0..2 {
        let said = refusal(&dir.path).to_string();
        assert!(said.contains("it is missing, and was there; hint: ") && !dir.path.exists(), "{said}");
    }
}

#[tokio::test]
async fn other_files_are_refused() {
    let dir = dir();
    for bytes in [&b""[..], b"hello", &[0; 70_000]] {
        fs::write(&dir.path, bytes).unwrap();
        let said = refusal(&dir.path).to_string();
        assert!(said.contains("log.redb") && said.contains("; hint: "), "{said}");
    }
    fs::remove_file(&dir.path).unwrap();
    drop(redb::Database::create(&dir.path).unwrap());
    assert!(refusal(&dir.path).to_string().contains("; hint: "));
}

#[tokio::test]
async fn a_log_with_a_missing_row_is_refused() {
    for missing in [0, 5, 8] {
        let said = after_change(|write| {
            write.open_table(rows::LOG).unwrap().remove(missing).unwrap();
        })
        .await;
        assert!(said.contains("entries are missing: 9 rows where 0 to 9 should be"), "{said}");
    }
}

#[tokio::test]
async fn a_log_that_lost_committed_entries_is_refused() {
    let said = after_change(|write| {
        write.open_table(rows::LOG).unwrap().remove(9).unwrap();
        rows::set_meta(write, rows::COMMITTED, &Some(id(1, 9))).unwrap();
    })
    .await;
    assert!(said.contains("it ends before entry 9, but entries before 10 were committed"), "{said}");
}

#[tokio::test]
async fn a_row_that_does_not_decode_or_is_another_entry_is_refused() {
    let undecodable = put(9, b"\x01\xff\xff".to_vec()).await;
    assert!(undecodable.contains("log entry 9: frame does not decode"), "{undecodable}");
    let of_another_format = put(9, b"\x02".to_vec()).await;
    assert!(of_another_format.contains("log entry 9: frame of format 2"), "{of_another_format}");
    let misplaced = put(9, codec::encode(&entry(1, 8))).await;
    assert!(misplaced.contains("log entry 9: its row holds entry 8"), "{misplaced}");
    let too_new = put(8, codec::encode(&entry(7, 8))).await;
    assert!(too_new.contains("entry 8 has a later term than the entry after it"), "{too_new}");
}

#[tokio::test]
async fn a_damaged_row_deep_in_the_log_is_named_when_it_is_read() {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=99)).await;
    drop(store);
    disk::change(&dir.path, |write| {
        write.open_table(rows::LOG).unwrap().insert(3, b"\x01\xff".as_slice()).unwrap();
    });
    let mut store = open(&dir.path);
    assert_eq!(read(&store, 4..).await.len(), 96);
    let refused = store.try_get_log_entries(0..10).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    assert!(refused.to_string().contains("log.redb: log entry 3: "), "{refused}");
}

#[tokio::test]
async fn another_layout_and_a_lost_identity_are_refused() {
    let format = after_change(|write| rows::set_meta(write, rows::FORMAT_NAME, &3u32).unwrap()).await;
    assert!(format.contains("its format is 3, this program reads 2; hint: "), "{format}");
    let nobody = after_change(|write| {
        write.open_table(rows::META).unwrap().remove(rows::NODE).unwrap();
    })
    .await;
    assert!(nobody.contains("row \"node\" is missing"), "{nobody}");
}

/// What opening says of a log of ten entries that was changed.
async fn after_change(change: impl FnOnce(&redb::WriteTransaction)) -> String {
    let dir = dir();
    let store = open(&dir.path);
    append(&store, entries(1, 0..=9)).await;
    drop(store);
    disk::change(&dir.path, change);
    refusal(&dir.path).to_string()
}

async fn put(index: u64, row: Vec<u8>) -> String {
    after_change(|write| {
        write.open_table(rows::LOG).unwrap().insert(index, row.as_slice()).unwrap();
    })
    .await
}
