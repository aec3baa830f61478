//! Journal: the newest writes to the log, before they are folded into its file.
//!
//! redb puts a commit into some ten pages that lie apart, and an fsync of those takes three times that of one page. So
//! appends are acknowledged once they are here, in pages that follow each other in a file of fixed size, and many of
//! them are put into redb together. A write begins at a page of its own: what was acknowledged is never written over
//! before redb has it. Writes carry the numbers of [`super::mark`], each one higher than the one before; the first that
//! the file still needs lies at the beginning. Deliberately absent: votes, truncations and purges, which are rare and
//! go to redb at once, with everything that is here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_bytes::{ByteBuf, Bytes};

use super::rows::damaged;
use crate::raft::types::LogId;
use crate::state::codec;
use crate::state::files::{parent_of, sync_directory};

/// The file's size, bytes: some hundred writes of several Ops each.
const CAPACITY: usize = 1 << 20;
/// Where a write may begin, bytes.
const PAGE: usize = 4_096;
/// What goes to redb at once, because writing it twice costs more than it saves, bytes.
pub const WRITE_MAX: usize = CAPACITY / 8;
/// What a write begins with: the journal's tag, the CRC-32 of all that follows, the length of the frame, the number.
const HEADER: usize = 16 + 4 + 4 + 8;

/// What every write of one journal begins with. Drawn when it is made and told nobody, so that no value that somebody
/// stores can pass for a write.
pub type Tag = [u8; 16];

/// A row of the log: its index, and the frame of its entry.
pub type Row = (u64, Vec<u8>);

/// What one write holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// Which write it is.
    pub number: u64,
    /// The last entry that was known to be committed.
    pub committed: Option<LogId>,
    /// What was appended.
    pub rows: Vec<Row>,
}

/// The journal of a log that is open.
pub struct Journal {
    file: File,
    tag: Tag,
    /// Where the next write goes.
    next: usize,
}

impl Journal {
    /// Opens the journal of the log at `log`, and makes it if need be. Whatever it holds may be written over.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(log: &Path, tag: Tag) -> io::Result<Self> {
        let path = path_of(log);
        let open = || {
            if fs::metadata(&path).map_or(0, |found| found.len()) != CAPACITY as u64 {
                make(&path)?;
            }
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            file.sync_all()?;
            sync_directory(parent_of(&path))?;
            Ok(Self { file, tag, next: 0 })
        };
        open().map_err(named)
    }

    /// Whether a write of so many rows fits.
    pub fn has_room(&self, rows: &[Row]) -> bool {
        let bytes = size_of(rows);
        bytes <= WRITE_MAX && self.next + bytes <= CAPACITY
    }

    /// Writes, and returns when it is on disk.
    ///
    /// # Errors
    /// What the disk says. Nobody can tell what it holds then.
    pub fn write(&mut self, number: u64, committed: Option<LogId>, rows: &[Row]) -> io::Result<()> {
        let write = encode(self.tag, number, committed, rows);
        self.file.write_all_at(&write, self.next as u64).map_err(named)?;
        self.file.sync_data().map_err(named)?;
        self.next += write.len();
        Ok(())
    }

    /// Everything that was written is in the log's file.
    pub fn begin_again(&mut self) {
        self.next = 0;
    }
}

/// What the journal of the log at `log` holds that a file which was written `commits` times does not. `None` when it is
/// missing, cut short, or another log's: nobody can tell then.
///
/// # Errors
/// `InvalidData` when writes are missing between the two, or in the journal itself: a write that was torn is the last
/// one. What the disk says.
pub fn read(log: &Path, tag: Tag, commits: u64) -> io::Result<Option<Vec<Written>>> {
    let bytes = match fs::read(path_of(log)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(named)?,
    };
    // the tag stays where it is when a write is torn
    let is_ours = bytes.starts_with(&tag) || bytes.iter().take(tag.len()).all(|byte| *byte == 0);
    if bytes.len() != CAPACITY || !is_ours {
        return Ok(None);
    }
    let write_at = |at: usize| bytes.get(at..).and_then(|bytes| whole(bytes, tag));
    let (mut writes, mut at, mut last) = (Vec::new(), 0, commits);
    // those of an older round have been folded
    while let Some((number, frame)) = write_at(at).filter(|(number, _)| *number > last) {
        if number != last + 1 {
            return Err(damaged(format!("writes {} to {} between it and log.journal are lost", last + 1, number - 1)));
        }
        let (committed, rows): (Option<LogId>, Vec<(u64, ByteBuf)>) =
            codec::decode(frame).map_err(|e| damaged(format!("write {number} in log.journal: {e}")))?;
        let rows = rows.into_iter().map(|(index, row)| (index, row.into_vec())).collect();
        writes.push(Written { number, committed, rows });
        (at, last) = (at + padded(HEADER + frame.len()), number);
    }
    let others = (at..bytes.len()).step_by(PAGE).filter_map(write_at);
    match others.map(|(number, _)| number).max() {
        Some(number) if number > last => Err(damaged(format!("write {} in log.journal is damaged", last + 1))),
        _ => Ok(Some(writes)),
    }
}

/// Whether anything was ever written to the journal of the log at `log`.
///
/// # Errors
/// What the disk says.
pub fn is_used(log: &Path) -> io::Result<bool> {
    match fs::read(path_of(log)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        read => Ok(read.map_err(named)?.iter().any(|byte| *byte != 0)),
    }
}

/// Makes it under another name first: one that is too short is damaged. Every block is there from then on, so that an
/// fsync has no more to write than what was put here.
fn make(path: &Path) -> io::Result<()> {
    let draft = path.with_extension("journal-new");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all_at(&vec![0; CAPACITY], 0)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("log.journal: {error}"))
}

fn path_of(log: &Path) -> PathBuf {
    log.with_extension("journal")
}

/// How many bytes a write of these rows takes at most.
fn size_of(rows: &[Row]) -> usize {
    // an index, a length, and beside them what is known to be committed
    const BESIDE: usize = 2 * 9;
    padded(HEADER + 64 + rows.iter().map(|(_, row)| BESIDE + row.len()).sum::<usize>())
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE)
}

fn encode(tag: Tag, number: u64, committed: Option<LogId>, rows: &[Row]) -> Vec<u8> {
    let rows: Vec<(u64, &Bytes)> = rows.iter().map(|(index, row)| (*index, Bytes::new(row))).collect();
    let frame = codec::encode(&(committed, rows));
    let mut write = Vec::with_capacity(padded(HEADER + frame.len()));
    write.extend_from_slice(&tag);
    write.extend_from_slice(&[0; 4]);
    write.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    write.extend_from_slice(&number.to_le_bytes());
    write.extend_from_slice(&frame);
    let sum = crc32fast::hash(&write[tag.len() + 4..]);
    write[tag.len()..tag.len() + 4].copy_from_slice(&sum.to_le_bytes());
    write.resize(padded(write.len()), 0);
    write
}

/// The number and the frame of the write that `bytes` begin with, if it is whole.
fn whole(bytes: &[u8], tag: Tag) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(&tag)?;
    let (sum, summed) = rest.split_first_chunk::<4>()?;
    let (length, rest) = summed.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let frame = rest.get(..u32::from_le_bytes(*length) as usize)?;
    let is_whole = crc32fast::hash(&summed[..4 + 8 + frame.len()]) == u32::from_le_bytes(*sum);
    is_whole.then_some((u64::from_le_bytes(*number), frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = [7; 16];

    fn rows(n: u64, bytes: usize) -> Vec<Row> {
        vec![(n, vec![n as u8; bytes])]
    }

    /// A journal with the writes 3 to 6 of ten bytes each.
    fn four(log: &Path) -> Journal {
        let mut journal = Journal::begin(log, TAG).expect("it is made");
        (3..=6).for_each(|n| journal.write(n, None, &rows(n, 10)).expect("it is written"));
        journal
    }

    fn numbers(log: &Path, commits: u64) -> Result<Vec<u64>, String> {
        let writes = read(log, TAG, commits).map_err(|e| e.to_string())?.ok_or("it is not whole")?;
        Ok(writes.iter().map(|write| write.number).collect())
    }

    #[test]
    fn what_was_written_is_read_until_it_is_folded() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log.redb");
        assert_eq!(read(&log, TAG, 0).expect("it is looked for"), None);
        assert!(!is_used(&log).expect("it is read"));
        let mut journal = four(&log);
        assert!(is_used(&log).expect("it is read"));
        let writes = read(&log, TAG, 2).expect("it is read").expect("it is whole");
        assert_eq!(writes[3], Written { number: 6, committed: None, rows: rows(6, 10) });
        assert_eq!(numbers(&log, 2), Ok(vec![3, 4, 5, 6]));
        assert_eq!(numbers(&log, 6), Ok(vec![]), "the file has them");
        assert_eq!(numbers(&log, 8), Ok(vec![]), "and others");
        assert_eq!(numbers(&log, 1), Err("writes 2 to 2 between it and log.journal are lost".into()));
        journal.begin_again();
        journal.write(8, None, &rows(8, 5_000)).expect("it is written");
        assert_eq!(numbers(&log, 7), Ok(vec![8]));
        assert_eq!(read(&log, [8; 16], 7).expect("it is read"), None, "it is another log's");
    }

    #[test]
    fn a_write_that_was_torn_is_the_last_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log.redb");
        drop(four(&log));
        let good = fs::read(path_of(&log)).expect("it is there");
        for (n, at) in (0..4).flat_map(|n| [0, 17, 21, 25, HEADER, HEADER + 10].map(|at| (n, n * PAGE + at))) {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            fs::write(path_of(&log), &flipped).expect("it is written");
            match numbers(&log, 2) {
                Ok(left) => assert!(n == 3 && left == [3, 4, 5], "byte {at}: {left:?}"),
                Err(e) if at < 16 => assert_eq!(e, "it is not whole"),
                Err(e) => assert!(n < 3 && e == format!("write {} in log.journal is damaged", 3 + n), "byte {at}: {e}"),
            }
        }
        for pages in 0..4 {
            let mut torn = good.clone();
            torn[pages * PAGE + 30..].fill(0);
            fs::write(path_of(&log), &torn).expect("it is written");
            assert_eq!(numbers(&log, 2), Ok((3..3 + pages as u64).collect()));
            fs::write(path_of(&log), &good[..pages * PAGE + 30]).expect("it is written");
            assert_eq!(numbers(&log, 2), Err("it is not whole".into()));
        }
    }

    #[test]
    fn what_does_not_fit_is_not_for_the_journal() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log.redb");
        let mut journal = Journal::begin(&log, TAG).expect("it is made");
        assert!(!journal.has_room(&rows(1, WRITE_MAX)));
        let mut number = 0;
        while journal.has_room(&rows(1, 20_000)) {
            number += 1;
            journal.write(number, None, &rows(1, 20_000)).expect("it is written");
        }
        assert_eq!(number, (CAPACITY / padded(20_000 + 100)) as u64);
        assert_eq!(numbers(&log, 0).map(|all| all.len() as u64), Ok(number));
        assert_eq!(fs::metadata(path_of(&log)).expect("it is there").len(), CAPACITY as u64);
    }
}
