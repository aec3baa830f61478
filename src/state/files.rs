//! Files: names that last, and which of them are in use.
//!
//! A file that was written and fsynced can still be lost with its name: the directory that holds the name is fsynced
//! too. What a crash left behind is removed when the state is opened, by whoever holds the data directory.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What SQLite keeps beside a database.
const BESIDE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Makes the names in a directory durable.
///
/// # Errors
/// When the disk fails.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory (0700) and those above it, each durably. One that is there is left as it is.
///
/// # Errors
/// When one cannot be made, or the disk fails.
pub fn create_directories(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = parent_of(directory);
    create_directories(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        // somebody else may have made it meanwhile
        Err(e) if !directory.is_dir() => return Err(e),
        _ => {}
    }
    sync_directory(parent)
}

/// The directory that holds a name.
pub fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Renames within one directory and makes the new name durable.
///
/// # Errors
/// When the disk fails.
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(parent_of(to))
}

/// Replaces a file by one with these bytes that its owner alone may read, durably: whoever looks finds one or the other.
///
/// # Errors
/// When the disk fails.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".partial");
    let made = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
    made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))?;
    rename_durably(Path::new(&draft), path)
}

/// The number of the users' database in use, from `CURRENT`; 1 in a new directory.
///
/// # Errors
/// When `CURRENT` cannot be read or is no number.
pub fn current_generation(dir: &Path) -> io::Result<u64> {
    let path = dir.join("CURRENT");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| damaged(&path, &"it holds no number")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => set_current_generation(dir, 1).map(|()| 1),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
    }
}

/// Makes `CURRENT` name another database, durably.
///
/// # Errors
/// When the disk fails.
pub fn set_current_generation(dir: &Path, number: u64) -> io::Result<()> {
    let temporary = dir.join("CURRENT.partial");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{number}")?;
    file.sync_all()?;
    rename_durably(&temporary, &dir.join("CURRENT"))
}

/// Removes a users' database and what SQLite keeps beside it, if there is one.
///
/// # Errors
/// When a file is there and cannot be removed.
pub fn discard_users(path: &Path) -> io::Result<()> {
    for suffix in BESIDE {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Where the users' database of a generation lies.
pub fn users_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("users-{generation}.db"))
}

/// Removes what an install that was cut short left: users' databases of any generation but `current`.
///
/// # Errors
/// When one cannot be removed.
pub fn discard_other_generations(dir: &Path, current: u64) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("users-"));
        let Some((number, beside)) = name.and_then(|name| name.split_once(".db")) else { continue };
        if BESIDE.contains(&beside) && number.parse().is_ok_and(|number: u64| number != current) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A file that is not what was written.
pub(super) fn damaged(path: &Path, cause: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {cause}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_other_generations_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let kept = ["users-3.db", "users-3.db-wal", "users-2.db.mine", "users-x.db", "log.redb"];
        let gone = ["users-1.db", "users-2.db-wal", "users-2.db-shm", "users-4.db", "users-4.db-journal"];
        kept.iter().chain(&gone).for_each(|name| fs::write(dir.path().join(name), "").expect("a file"));
        discard_other_generations(dir.path(), 3).expect("they are removed");
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
        assert!(!gone.iter().any(|name| dir.path().join(name).exists()));
    }
}
