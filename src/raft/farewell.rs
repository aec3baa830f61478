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
    said: watch::Sender<Option<Farewell>>,
}

impl Farewells {
    /// For the node in `dir`.
    pub fn of(dir: &Path) -> Arc<Self> {
        Arc::new(Self { dir: dir.to_owned(), is_leaving: AtomicBool::new(false), said: watch::Sender::new(None) })
    }

    /// From now on, being removed is what this node wanted; or not any more.
    pub fn leaving(&self, is_leaving: bool) {
        self.is_leaving.store(is_leaving, Ordering::Release);
    }

    /// Notes, durably and then for everybody, that this node is no member any more.
    pub fn say(&self) {
        let farewell = if self.is_leaving.load(Ordering::Acquire) { Farewell::Left } else { Farewell::Removed };
        let is_new = self.said.send_if_modified(|said| {
            let is_new = said.is_none();
            *said = said.or(Some(farewell));
            is_new
        });
        if !is_new {
            return;
        }
        tracing::warn!("{farewell}");
        if let Err(e) = self.write(farewell) {
            tracing::error!(error = %e, "that this node is no member any more could not be written down");
        }
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
}
