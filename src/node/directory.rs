//! Directory: where a node keeps everything, one process at a time.
//!
//! The lock is on the directory itself and goes with the process, however it ends. Whoever has it removes what a process
//! that was killed left of its backups; the rooms do the same for theirs when they are opened.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::config::Secret;
use crate::error::{Error, Result};
use crate::raft;
use crate::state::files::{create_directories, write_private};
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
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|cause| {
            let holder = if cause == Errno::WOULDBLOCK { holder(&lock) } else { None };
            unlocked(path, cause, holder)
        })?;
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

    /// Whether it holds a file of this name.
    ///
    /// # Errors
    /// `Broken`, when that cannot be told.
    pub fn has(&self, name: &str) -> Result<bool> {
        let path = self.path.join(name);
        let there = path.try_exists();
        there.map_err(|e| Error::Broken(format!("{}: {e}\nhint: check the data directory", path.display())))
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

    /// The cluster's secret that the directory keeps.
    ///
    /// # Errors
    /// `Broken`, when it cannot be read.
    pub fn secret(&self) -> Result<String> {
        let path = self.path.join("secret");
        let read = fs::read_to_string(&path).map(|secret| secret.trim().to_owned());
        read.map_err(|e| Error::Broken(format!("{}: {e}\nhint: check the data directory", path.display())))
    }

    /// Keeps the cluster's secret in the directory: the one given, or one that is drawn now if none is there yet.
    ///
    /// # Errors
    /// `Broken`: the file cannot be written, or holds another secret than the one given.
    pub fn keep_secret(&self, given: Option<&Secret>) -> Result<()> {
        let path = self.path.join("secret");
        let failed = |e: io::Error| Error::Broken(format!("{}: {e}\nhint: check the data directory", path.display()));
        match (fs::read_to_string(&path), given) {
            (Ok(kept), Some(given)) if kept.trim() != given.expose() && raft::was_kept(&self.path, given.expose()) => {
                Err(Error::Broken(format!(
                    "{} holds another secret than the settings\nhint: the cluster's secret was rotated; take it out of the \
                 settings",
                    path.display()
                )))
            }
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
                // whole or not there: a file that a crash left empty would be taken for the secret
                write_private(&path, format!("{secret}\n").as_bytes()).map_err(failed)
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

/// Why the directory could not be locked, for the person who starts the node.
fn unlocked(path: &Path, cause: Errno, holder: Option<String>) -> Error {
    let path = path.display();
    Error::Broken(match cause {
        Errno::WOULDBLOCK => {
            let holder = holder.unwrap_or_else(|| "another process".into());
            format!("data directory {path} is in use by {holder}\nhint: stop that one, or choose another with --data")
        }
        // NFS answers BADF, since its locks want a file that is open for writing
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK | Errno::BADF | Errno::INVAL => format!(
            "data directory {path} cannot be locked: {cause}\nhint: its file system has no locks; put it on a local disk"
        ),
        _ => {
            format!("data directory {path} cannot be locked: {cause}\nhint: check the disk, and who owns the directory")
        }
    })
}

/// Which process holds the lock on this file, by `/proc/locks` (proc(5)). `None` when that does not say: across
/// containers, or on file systems that show another device there.
fn holder(file: &File) -> Option<String> {
    let there = file.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(there.dev()), rustix::fs::minor(there.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", there.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| lock_on(line, &place))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    })
}

/// The process id in a line of `/proc/locks` such as `7: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF`, if the lock is
/// on this place and held.
fn lock_on(line: &str, place: &str) -> Option<u32> {
    let mut words = line.split_whitespace().skip(1);
    let (kind, pid, on) = (words.next()?, words.nth(2)?, words.next()?);
    if kind == "FLOCK" && on == place { pid.parse().ok().filter(|pid| *pid > 0) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        match Directory::open(path) {
            Ok(_) => panic!("it was opened"),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn who_has_the_directory_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("node");
        let _held = Directory::open(&path).unwrap_or_else(|e| panic!("{e}"));
        let why = refusal(&path);
        assert!(why.starts_with(&format!("data directory {} is in use by ", path.display())), "{why}");
        assert!(why.contains("hint: stop that one"), "{why}");
        // a file system may show another device there than in `stat`: then nobody is named rather than somebody wrong
        let ours = format!("process {} (", std::process::id());
        assert!(why.contains(&ours) || why.contains("another process"), "{why}");
    }

    #[test]
    fn a_file_system_without_locks_is_told_from_a_node_that_runs() {
        let told = |cause| unlocked(Path::new("/d"), cause, None).to_string();
        assert!(told(Errno::WOULDBLOCK).contains("in use by another process"));
        for cause in [Errno::OPNOTSUPP, Errno::NOLCK, Errno::BADF] {
            let why = told(cause);
            assert!(
                why.contains("cannot be locked") && why.contains("a local disk") && !why.contains("in use"),
                "{why}"
            );
        }
        let why = told(Errno::IO);
        assert!(why.contains("cannot be locked") && why.contains("hint: check the disk"), "{why}");
    }

    #[test]
    fn what_is_no_directory_of_ours_is_said_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("is written");
        let why = refusal(&file);
        assert!(why.contains("File exists") && why.contains("hint: ") && !why.contains("in use"), "{why}");
    }

    #[test]
    fn only_a_held_lock_on_the_very_place_names_its_process() {
        let line = "7: FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF";
        assert_eq!(lock_on(line, "fe:01:1234"), Some(4711));
        assert_eq!(lock_on(line, "fe:01:123"), None);
        assert_eq!(lock_on(&line.replace("4711", "0"), "fe:01:1234"), None, "of another container");
        assert_eq!(lock_on(&line.replace("FLOCK", "POSIX"), "fe:01:1234"), None);
        assert_eq!(lock_on("7: -> FLOCK  ADVISORY  WRITE 4711 fe:01:1234 0 EOF", "fe:01:1234"), None, "it waits");
        assert_eq!(lock_on("", "fe:01:1234"), None);
    }

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
