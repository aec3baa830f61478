//! Shelf: where snapshots lie, and which of them is the newest. The name of each is the log index that it reaches.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the snapshot up to `index` lies.
pub fn path_at(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:020}.snapshot"))
}

/// The newest whole snapshot in `dir`. Partial files of a crash are passed over.
pub fn newest(dir: &Path) -> io::Result<Option<PathBuf>> {
    Ok(snapshots(dir)?.into_iter().max())
}

/// Removes what writing a snapshot left when it was cut short.
pub fn remove_drafts(dir: &Path) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if path.extension().and_then(|e| e.to_str()).is_some_and(|e| e == "partial" || e.starts_with("users")) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes the snapshots of less than `kept` has; one that stays costs room and nothing else.
pub fn remove_older(kept: &Path) {
    let Some(dir) = kept.parent() else { return };
    let removed = snapshots(dir)
        .and_then(|found| found.iter().filter(|path| path.as_path() < kept).try_for_each(fs::remove_file));
    if let Err(e) = removed {
        tracing::warn!(error = %e, "an older snapshot could not be removed");
    }
}

fn snapshots(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for item in fs::read_dir(dir)? {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "snapshot") {
            found.push(path);
        }
    }
    Ok(found)
}
