//! Directory: where a node keeps everything, one process at a time.
//!
//! The lock is on the directory itself and goes with the process, however it ends. Whoever has it removes what a process
//! that was killed left of its backups; the rooms do the same for theirs when they are opened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::config::Secret;
use crate::error::{Error, Result};
use crate::state::files::create_directories;
use crate::{limits, random};

/// Stands in the directory while a restore fills it: half of a state must never be taken for a whole one.
const UNFINISHED: &str = "restore-unfinished";

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
    /// `Broken`, with a hint: it cannot be made, another process has it, or a restore into it was cut short.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e: io::Error| {
            Error::Broken(format!(
                "data directory {}: {e}\nhint: it must be one that this user may write",
                path.display()
            ))
        };
        create_directories(path).map_err(failed)?;
        let lock = File::open(path).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::Broken(format!(
                "data directory {} is used by another process\nhint: stop that one, or choose another with --data",
                path.display()
            )));
        }
        if path.join(UNFINISHED).try_exists().map_err(failed)? {
            return Err(Error::Broken(format!(
                "a restore into {} did not finish\nhint: empty that directory and restore again",
                path.display()
            )));
        }
        let is_new = fs::read_dir(path).map_err(failed)?.next().is_none();
        remove_half_backups(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), is_new, _lock: lock })
    }

    /// Whether it was empty when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Marks the directory as one that is being filled, durably.
    ///
    /// # Errors
    /// `Broken`: the mark cannot be written.
    pub fn begin_restore(&self) -> Result<()> {
        self.lasting(File::create(self.path.join(UNFINISHED)).and_then(|file| file.sync_all()))
    }

    /// Takes the mark away: the directory is whole.
    ///
    /// # Errors
    /// `Broken`: it cannot be removed.
    pub fn end_restore(&self) -> Result<()> {
        self.lasting(fs::remove_file(self.path.join(UNFINISHED)))
    }

    /// What was done, and the directory's own entry for it on disk.
    fn lasting(&self, done: io::Result<()>) -> Result<()> {
        let lasting = done.and_then(|()| File::open(&self.path)?.sync_all());
        lasting.map_err(|e| Error::Broken(format!("{}: {e}\nhint: is the disk full?", self.path.display())))
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
            (Ok(kept), _) if kept.trim().len() < limits::SECRET_BYTES_MIN => Err(Error::Broken(format!(
                "{} is damaged: it is too short\nhint: put the secret of the cluster back",
                path.display()
            ))),
            (Ok(_), _) => Ok(()),
            (Err(e), _) if e.kind() != io::ErrorKind::NotFound => Err(failed(e)),
            (Err(_), given) => {
                let secret = given.map_or_else(random::token::<32>, |given| given.expose().to_owned());
                let draft = self.path.join("secret.partial");
                // whole under another name first: a file that a crash left empty would be taken for the secret
                let mut options = OpenOptions::new();
                let made = options.write(true).create(true).truncate(true).mode(0o600).open(&draft);
                let written = made.and_then(|mut file| writeln!(file, "{secret}").and_then(|()| file.sync_all()));
                written.and_then(|()| fs::rename(&draft, &path)).map_err(failed)?;
                File::open(&self.path).and_then(|dir| dir.sync_all()).map_err(failed)
            }
        }
    }
}

/// A backup that a process is writing, which it sends to whoever asked and does not keep.
pub fn half_backup(data: &Path) -> PathBuf {
    data.join(format!("backup-{}.partial", random::token::<6>()))
}

fn remove_half_backups(data: &Path) -> io::Result<()> {
    for item in fs::read_dir(data)? {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("backup-") && name.ends_with(".partial") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_backups_of_a_process_that_is_gone_are_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (half, kept) = (half_backup(dir.path()), dir.path().join("backup-of-mine"));
        [&half, &kept].iter().for_each(|path| fs::write(path, "x").expect("a file"));
        let directory = Directory::open(dir.path()).expect("it opens");
        assert!(!directory.is_new() && !half.exists() && kept.exists());
    }

    #[test]
    fn a_directory_that_somebody_has_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let _held = Directory::open(dir.path()).expect("it opens");
        let half = half_backup(dir.path());
        fs::write(&half, "x").expect("a file");
        assert!(Directory::open(dir.path()).is_err() && half.exists());
    }
}
