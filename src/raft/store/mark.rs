//! Mark: how often the log was written, in a small file beside it.
//!
//! redb knows a commit that a power cut tore by its checksum, and goes back to the one before: rightly, since nobody
//! was told of it. A commit that was acknowledged and damaged later looks just the same, and a voter that forgot its
//! vote or an entry would break what it promised. So every commit has a number, and that of the last one whose fsync
//! returned is put here, without an fsync: it may be behind the log, and is never ahead of a log that is whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The number, and the same with every bit turned: damage to the mark is no damage to the log.
const BYTES: usize = 16;

/// The mark of a log that is open.
pub struct Mark(File);

impl Mark {
    /// Opens the mark of the log at `log`, making it if need be, and puts `commits` there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(log: &Path, commits: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path_of(log)).map_err(named)?;
        let mark = Self(file);
        mark.0.set_len(BYTES as u64).map_err(named)?;
        mark.set(commits)?;
        Ok(mark)
    }

    /// Notes that so many commits are on disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn set(&self, commits: u64) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&commits.to_le_bytes());
        bytes[8..].copy_from_slice(&(!commits).to_le_bytes());
        self.0.write_all_at(&bytes, 0).map_err(named)
    }
}

/// How many commits of the log at `log` were on disk at least. 0 when nothing says so: the mark is missing after a
/// power cut, or when the directory was copied without it.
///
/// # Errors
/// What the disk says.
pub fn read(log: &Path) -> io::Result<u64> {
    let path = path_of(log);
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        read => read.map_err(named)?,
    };
    let half = |range| bytes.get(range).and_then(|half: &[u8]| half.try_into().ok()).map(u64::from_le_bytes);
    match (half(0..8), half(8..BYTES)) {
        (Some(commits), Some(turned)) if commits == !turned => Ok(commits),
        _ => {
            tracing::warn!(file = %path.display(), "the log's mark is damaged, and is made anew");
            Ok(0)
        }
    }
}

fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("log.mark: {error}"))
}

fn path_of(log: &Path) -> PathBuf {
    log.with_extension("mark")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_was_put_there_and_nothing_once_it_is_damaged() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("log.redb");
        assert_eq!(read(&log).expect("nothing is there"), 0);
        Mark::begin(&log, 7).and_then(|mark| mark.set(8)).expect("it is put there");
        assert_eq!(read(&log).expect("it is read"), 8);
        let whole = fs::read(path_of(&log)).expect("it is there");
        let mut flipped = whole.clone();
        flipped[1] ^= 1;
        for damaged in [&[][..], &whole[..9], &[0; BYTES], &flipped] {
            fs::write(path_of(&log), damaged).expect("is written");
            assert_eq!(read(&log).expect("it is read"), 0, "{damaged:?}");
        }
    }
}
