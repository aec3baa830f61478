//! Directory: where a node keeps everything, one process at a time.
//!
//! The lock is on the directory itself and goes with the process, however it ends.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::config::Secret;
use crate::error::{Error, Result};
use crate::random;

/// A locked data directory.
pub struct Directory {
    path: PathBuf,
    is_new: bool,
    _lock: File,
}

impl Directory {
    /// Opens the directory, making it (0700) if need be, and locks it for this process.
    ///
    /// # Errors
    /// `Broken`, with a hint: it cannot be made or another process has it.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| {
            Error::Broken(format!(
                "data directory {}: {e}\nhint: it must be one that this user may write",
                path.display()
            ))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = File::open(path).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::Broken(format!(
                "data directory {} is used by another process\nhint: stop that one, or choose another with --data",
                path.display()
            )));
        }
        let is_new = fs::read_dir(path).map_err(failed)?.next().is_none();
        Ok(Self { path: path.to_owned(), is_new, _lock: lock })
    }

    /// Whether it was empty when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Keeps the cluster's secret in the directory: the one given, or one that is drawn now if none is there yet.
    ///
    /// # Errors
    /// `Broken`: the file cannot be written, or holds another secret than the one given.
    pub fn keep_secret(&self, given: Option<&Secret>) -> Result<()> {
        let path = self.path.join("secret");
        let failed = |e: io::Error| Error::Broken(format!("{}: {e}\nhint: check the data directory", path.display()));
        match (fs::read_to_string(&path), given) {
            (Ok(kept), Some(given)) if kept.trim() != given.expose() => Err(Error::Broken(format!(
                "{} holds another secret than the setting\nhint: a cluster's secret is not changed by hand; remove the \
                 setting",
                path.display()
            ))),
            (Ok(_), _) => Ok(()),
            (Err(e), _) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
            (Err(_), given) => {
                let secret = given.map_or_else(random::token::<32>, |given| given.expose().to_owned());
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
                writeln!(file, "{secret}").and_then(|()| file.sync_all()).map_err(failed)?;
                File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(failed)
            }
        }
    }
}
