//! Restore: a new cluster of one, made of a backup.
//!
//! The new cluster has ids of its own, so that a node of the old one is refused. Sessions and tokens end unless they are
//! to be kept, because nobody knows who had the backup meanwhile; epochs and settings stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use openraft::storage::RaftLogStorage as _;

use super::store::Store;
use super::types::{LogId, Member, Membership, StoredMembership, Vote};
use super::{named, rotation, shelf};
use crate::error::{Error, Result};
use crate::state::{Record, State, codec, files, snapshot};

/// What a restore keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Sessions live on.
    Sessions,
    /// All sessions and tokens end: the backup may have been in other hands.
    NoSessions,
}

/// Makes the files of a new node in `dir`, which holds none, from the backup at `file`. Blocks.
///
/// # Errors
/// `Malformed` when the file is no whole backup; `Broken` when the disk fails.
pub fn restore(file: &Path, dir: &Path, keep: Keep) -> Result<()> {
    let unreadable = |e: std::io::Error| Error::Malformed(e.to_string());
    let state = State::open(dir).map_err(named)?;
    let records = snapshot::records(file).map_err(unreadable)?;
    let head = state.install(file).map_err(unreadable)?;
    let records: Vec<(u64, &Record)> = records.iter().map(|(index, record)| (*index, record)).collect();
    state.apply(&records).map_err(named)?;
    let generation = state.generation();
    // the users may have come from further ahead: an entry that got an index which they know would be passed over
    let last = records.last().map_or(head.index, |(index, _)| *index).max(generation.users.applied());
    if keep == Keep::NoSessions {
        generation.entries.remove_sessions();
        generation.users.remove_tokens().map_err(named)?;
    }

    // the new cluster has a secret of its own
    generation.entries.remove(&rotation::key());

    let (was, _): (Option<LogId>, StoredMembership) = codec::decode(&head.label).map_err(unreadable)?;
    let term = was.map_or(0, |id| id.committed_leader_id().term) + 1;
    let store = Store::open(dir.join("log.redb")).map_err(named)?;
    let id = store.identity().node;
    let applied = LogId::new_term_index(term, last);
    let members = BTreeMap::from([(id, Member::default())]);
    let membership = Membership::new(vec![BTreeSet::from([id])], members);
    let membership = StoredMembership::new(Some(applied), membership.map_err(|e| Error::broken("membership", e))?);
    let label = codec::encode(&(Some(applied), membership));
    let snapshots = dir.join("snapshots");
    files::create_directories(&snapshots).map_err(named)?;
    let head = snapshot::Head { index: last, stamp: state.stamp(), label };
    snapshot::write(&generation, &head, &shelf::path_at(&snapshots, last)).map_err(named)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(named)?;
    runtime.block_on(seed(store, applied, term, id)).map_err(named)
}

/// Tells an empty log that everything up to `applied` is in the snapshot.
async fn seed(mut store: Store, applied: LogId, term: u64, id: u64) -> std::io::Result<()> {
    store.save_vote(&Vote::new_committed(term, id)).await?;
    store.purge(applied).await?;
    store.save_committed(Some(applied)).await?;
    store.close().await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::files::open;
    use super::*;
    use crate::state::{Change, UserChange};

    #[test]
    fn a_backup_whose_users_are_ahead_of_its_records_becomes_a_node_that_starts() {
        let dir = tempfile::tempdir().expect("a directory");
        let [source, new] = ["source", "new"].map(|name| dir.path().join(name));
        files::create_directories(&source).and_then(|()| files::create_directories(&new)).expect("made");
        let source = State::open(&source).expect("a state");
        let change = Change { effects: Vec::new(), user: Some(UserChange::Delete { user: "u1".into() }) };
        source.apply(&[(12, &Record { stamp: 1, changes: vec![change] })]).expect("it is applied");
        let label = codec::encode(&(Some(LogId::new_term_index(1, 9)), StoredMembership::default()));
        let backup = dir.path().join("backup");
        let head = snapshot::Head { index: 9, stamp: 1, label };
        snapshot::write(&source.generation(), &head, &backup).expect("it is written");
        restore(&backup, &new, Keep::Sessions).expect("it is restored");
        let state = Arc::new(State::open(&new).expect("a state"));
        let (store, machine) = open(&new, state).expect("it starts");
        let next = [machine.applied(), store.ends().1].map(|id| id.map(|id| id.index));
        assert_eq!(next, [Some(12); 2], "what it writes next is news to its users");
    }
}
