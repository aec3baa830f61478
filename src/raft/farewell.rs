//! Farewell: a node that is no member of its cluster any more knows it, for ever.
//!
//! Its sessions grow old and its id is never used again, so its directory is of no use to a node: what is written here
//! keeps every later start from serving out of it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Name of the file in the data directory.
const FILE: &str = "no-member";

/// How a node came to be no member any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// It was told to leave.
    Left,
    /// Others removed it.
    Removed,
}

impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "this node left its cluster",
            Self::Removed => "this node was removed from its cluster",
        })
    }
}

impl From<Farewell> for Error {
    fn from(farewell: Farewell) -> Self {
        Self::Conflict(format!("{farewell}\nhint: start with an empty data directory"))
    }
}

/// Refuses a directory whose node is no member any more.
///
/// # Errors
/// `Conflict`, saying which; `Broken` when the disk fails.
pub fn check(dir: &Path) -> Result<()> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) if text.trim() == "left" => Err(Farewell::Left.into()),
        Ok(_) => Err(Farewell::Removed.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::broken(FILE, e)),
    }
}

/// Where this node's end is noted, once.
pub struct Farewells {
    dir: PathBuf,
    is_leaving: AtomicBool,
    /// It is said by one at a time.
    saying: Mutex<()>,
    said: watch::Sender<Option<Farewell>>,
}

impl Farewells {
    /// For the node in `dir`.
    pub fn of(dir: &Path) -> Arc<Self> {
        let (is_leaving, saying, said) = (AtomicBool::new(false), Mutex::new(()), watch::Sender::new(None));
        Arc::new(Self { dir: dir.to_owned(), is_leaving, saying, said })
    }

    /// From now on, being removed is what this node wanted; or not any more.
    pub fn leaving(&self, is_leaving: bool) {
        self.is_leaving.store(is_leaving, Ordering::Release);
    }

    /// Notes, durably and then for everybody, that this node is no member any more. Blocks.
    pub fn say(&self) {
        let _one = self.saying.lock();
        if self.said.borrow().is_some() {
            return;
        }
        let farewell = if self.is_leaving.load(Ordering::Acquire) { Farewell::Left } else { Farewell::Removed };
        tracing::warn!("{farewell}");
        // whoever hears it may end the process
        if let Err(e) = self.write(farewell) {
            tracing::error!(error = %e, "that this node is no member any more could not be written down");
        }
        self.said.send_replace(Some(farewell));
    }

    fn write(&self, farewell: Farewell) -> io::Result<()> {
        let text = if farewell == Farewell::Left { "left\n" } else { "removed\n" };
        let path = self.dir.join(FILE);
        fs::write(&path, text)?;
        File::open(&path)?.sync_all()?;
        File::open(&self.dir)?.sync_all()
    }

    /// Waits for it.
    pub async fn heard(&self) -> Farewell {
        let mut said = self.said.subscribe();
        loop {
            if let Some(farewell) = *said.borrow_and_update() {
                return farewell;
            }
            // the sender lives as long as this does
            let _ = said.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_farewell_counts_and_every_later_start_is_refused() {
        for (leaving, farewell) in [(true, Farewell::Left), (false, Farewell::Removed)] {
            let dir = tempfile::tempdir().expect("a directory");
            check(dir.path()).expect("a member");
            let farewells = Farewells::of(dir.path());
            farewells.leaving(leaving);
            farewells.say();
            farewells.leaving(!leaving);
            farewells.say();
            assert_eq!(farewells.heard().await, farewell);
            let refused = check(dir.path()).expect_err("no member").to_string();
            assert!(refused.starts_with(&farewell.to_string()) && refused.contains("hint: "), "{refused}");
        }
    }

    #[test]
    fn nobody_hears_it_before_it_is_written_down() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE);
        // a file that is written when somebody reads it, and not before
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let farewells = Farewells::of(dir.path());
        std::thread::scope(|threads| {
            let told = threads.spawn(|| farewells.say());
            let _reads = File::open(&path).expect("it is being written");
            // its fsync needs a writer to be there once more
            let heard = *farewells.said.borrow();
            let _writes = File::options().write(true).open(&path).expect("it can be written");
            told.join().expect("it is said");
            assert_eq!(heard, None);
        });
        assert_eq!(*farewells.said.borrow(), Some(Farewell::Removed));
    }
}
