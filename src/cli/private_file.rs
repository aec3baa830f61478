//! Private file: a file that only its owner reads, and that is whole or not there.
//!
//! Written under another name beside it, flushed to disk, then renamed; a crash or an error leaves the old file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// Keeps every file that this process makes from now on to its owner: what it holds is password hashes, sessions and
/// secrets, and not every library that writes files here asks for a mode.
pub(super) fn keep_all_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// A file in the making. Dropped, it was never there.
pub(super) struct PrivateFile {
    file: File,
    draft: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl PrivateFile {
    /// Begins what will be `target`, mode 0600.
    pub(super) fn begin(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "is no file name"))?;
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}", crate::random::token::<6>()));
        let draft = target.with_file_name(draft);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        Ok(Self { file, draft, target: target.to_owned(), kept: false })
    }

    /// Puts it in its place, for good.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.draft, &self.target)?;
        self.kept = true;
        let beside = self.target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(beside)?.sync_all()
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.kept {
            // nothing to do about a draft that cannot be removed; it is named after its target
            let _ = fs::remove_file(&self.draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("lists").flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn what_is_kept_replaces_what_was_there_and_is_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let target = dir.path().join("link");
        fs::write(&target, "old").expect("writes");
        let mut file = PrivateFile::begin(&target).expect("begins");
        file.write_all(b"new").expect("writes");
        assert_eq!(fs::read_to_string(&target).expect("reads"), "old");
        file.keep().expect("keeps");
        assert_eq!(fs::read_to_string(&target).expect("reads"), "new");
        assert_eq!(fs::metadata(&target).expect("is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()), ["link"]);
    }

    #[test]
    fn what_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        drop(PrivateFile::begin(&dir.path().join("link")).expect("begins"));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_directory_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(PrivateFile::begin(dir.path()).is_err());
        assert!(PrivateFile::begin(Path::new("/")).is_err());
    }
}
