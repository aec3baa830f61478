//! Files: opens the log and what was made of it, and makes sure that they fit together.
//!
//! Each file knows when it is damaged; none knows when another one is gone or was taken from elsewhere. A log that ends
//! before the state, or begins after the snapshot, has lost something that was acknowledged: such a node must not start.

use std::io;
use std::path::Path;
use std::sync::Arc;

use openraft::LogIdOptionExt as _;

use super::machine::Machine;
use super::store::{DAMAGE_HINT, Store};
use crate::planted::{self, Bug};
use crate::state::State;

/// Opens the log in `dir` and the machine that feeds `state` from it. Blocks.
///
/// # Errors
/// Names the file that is damaged, missing or not of this node, and ends in a hint.
pub fn open(dir: &Path, state: Arc<State>) -> io::Result<(Store, Machine)> {
    let (file, snapshots) = (dir.join("log.redb"), dir.join("snapshots"));
    let hinted = |e: io::Error| io::Error::new(e.kind(), format!("{e}\nhint: {DAMAGE_HINT}"));
    let lost = |what: String| hinted(io::Error::new(io::ErrorKind::InvalidData, what));
    let users = state.generation().users.applied();
    let mut machine = Machine::open(state, &snapshots).map_err(hinted)?;
    let snapshot = machine.applied().next_index();
    if !file.try_exists()? && (users > 0 || snapshot > 0) {
        return Err(lost(format!("{} is missing, and what was made of it is here", file.display())));
    }
    let store = Store::open(&file)?;
    let (purged, last) = store.ends();
    if purged.next_index() > snapshot {
        return Err(lost(format!(
            "{} begins with entry {}, and no snapshot in {} reaches it",
            file.display(),
            purged.next_index(),
            snapshots.display()
        )));
    }
    let end = last.next_index().max(snapshot);
    if users > 0 && users >= end {
        let what = format!("{} ends before entry {end}, and the users' database knows entry {users}", file.display());
        return Err(lost(what));
    }
    if planted::has(Bug::SkipReplay) {
        machine.believe(store.committed());
    }
    Ok((store, machine))
}
