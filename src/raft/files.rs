//! Files: opens the log and what was made of it, and makes sure that they fit together.
//!
//! Each file knows when it is damaged; none knows when another one is gone or was taken from elsewhere. A log that ends
//! before the state, or begins after the snapshot, has lost something that was acknowledged: such a node must not start.
//! Only the users' database of a member of several may be ahead of its log, as a kill leaves it: see [`commits_alone`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use openraft::{EntryPayload, LogIdOptionExt as _};

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
        if commits_alone(&store, &machine)? {
            return Err(lost(what));
        }
        tracing::warn!("{what}: the other nodes have what is between");
    }
    if planted::has(Bug::SkipReplay) {
        machine.believe(store.committed());
    }
    Ok((store, machine))
}

/// Whether nothing can have been committed past the end of this log without being flushed to it: because this node is
/// all of a configuration that the end of the log is under, or founded its cluster and knows of no members. Then users
/// ahead of the log are damage.
///
/// A member of several comes by them in two ordinary ways. A snapshot's users are copied while writes go on, and may
/// have entries after its head; a kill after the install leaves them without these. And entries are applied as soon as
/// others have committed them, while the own log is in its fsync still; a kill leaves what SQLite wrote, not the entry.
/// Neither is harmful. What SQLite applied, here or where the snapshot was made, was committed, so every later leader
/// has that very entry at that index, and no other one can come. The replay passes it over for users (theirs is the
/// outcome that everybody had, and nobody waits for it here) and does the rest of it. And this node never told anybody
/// that its log had it, so no majority counted on that. That it lost what it did acknowledge, the log's mark tells.
///
/// All of a configuration, be it one of two in a change: a majority of each is needed until another one is committed,
/// which is itself an entry after the end of this log.
fn commits_alone(store: &Store, machine: &Machine) -> io::Result<bool> {
    let identity = store.identity();
    let mut membership = machine.membership().membership().clone();
    let (from, end) = (machine.applied().next_index(), store.ends().1.next_index());
    // the range has both its ends in it
    for entry in (from < end).then(|| store.records(from..=end - 1)).into_iter().flatten() {
        if let EntryPayload::Membership(later) = entry?.payload {
            membership = later;
        }
    }
    let mut configurations = membership.get_joint_config().iter().peekable();
    if configurations.peek().is_none() {
        return Ok(!identity.joins);
    }
    Ok(configurations.any(|voters| voters.iter().eq([&identity.node])))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::storage::{RaftLogStorageExt as _, RaftStateMachine as _};

    use super::super::incoming::Partial;
    use super::super::machine::SnapshotFile;
    use super::super::store::Identity;
    use super::super::types::{Entry, LogId, Member, Membership, SnapshotMeta, StoredMembership};
    use super::*;
    use crate::state::{Change, Effect, Entry as Held, Key, NEVER, NewUser, Record, UserChange, codec, snapshot};

    fn members(configurations: &[&[u64]]) -> Membership {
        let all = configurations.concat().into_iter().map(|id| (id, Member::default()));
        let voters = configurations.iter().map(|ids| BTreeSet::from_iter(ids.iter().copied()));
        Membership::new(voters.collect(), BTreeMap::from_iter(all)).expect("members")
    }

    /// Signs somebody up, and in.
    fn sign_up(id: &str) -> Record {
        let texts = [id.to_owned(), format!("{id}@example.com"), String::new(), String::new(), String::new()];
        let [id, email, first_name, last_name, password_hash] = texts;
        let effects = vec![Effect::Put(Key::new(&id), Held::plain(b"", NEVER, 1))];
        let (admin, approved, verified) = (false, true, true);
        let user =
            NewUser { id, email, first_name, last_name, password_hash, created_at: 1, admin, approved, verified };
        Record { stamp: 1, changes: vec![Change { effects, user: Some(UserChange::Add(user)) }] }
    }

    fn opened(dir: &Path) -> io::Result<(Arc<State>, Store, Machine)> {
        let state = Arc::new(State::open(dir)?);
        open(dir, state.clone()).map(|(store, machine)| (state, store, machine))
    }

    /// A directory into which a snapshot was installed whose users are ahead of its head.
    async fn installed(dir: &Path, configurations: impl Fn(u64) -> Membership) {
        let elsewhere = tempfile::tempdir().expect("a directory");
        let source = State::open(elsewhere.path()).expect("a state");
        source.apply(&[(9, &sign_up("ada")), (12, &sign_up("eve"))]).expect("it is applied");
        Store::open_as(dir.join("log.redb"), Identity::joining([9; 16])).expect("a log is made");
        let (_, store, mut machine) = opened(dir).expect("nothing is there yet");
        let last_log_id = Some(LogId::new_term_index(1, 9));
        let last_membership =
            StoredMembership::new(Some(LogId::new_term_index(1, 3)), configurations(store.identity().node));
        let label = codec::encode(&(last_log_id, &last_membership));
        let path = dir.join("incoming");
        snapshot::write(&source.generation(), &snapshot::Head { index: 9, stamp: 1, label }, &path).expect("written");
        let meta = SnapshotMeta { last_log_id, last_membership };
        machine.install_snapshot(&meta, SnapshotFile::from(Partial(path))).await.expect("it is installed");
    }

    #[tokio::test]
    async fn a_member_killed_after_it_took_a_snapshot_whose_users_are_ahead_starts_and_passes_them_over() {
        let dir = tempfile::tempdir().expect("a directory");
        installed(dir.path(), |own| members(&[&[own, 1, 2]])).await;
        let (state, _store, machine) = opened(dir.path()).expect("it is as good as new");
        assert_eq!(machine.applied().map(|id| id.index), Some(9));
        assert_eq!(state.generation().users.applied(), 12);
        // what the leader has for it
        let (again, new) = (sign_up("eve"), sign_up("walt"));
        state.apply(&[(10, &Record { stamp: 1, changes: vec![] }), (12, &again), (13, &new)]).expect("it is applied");
        assert_eq!(state.generation().users.count().expect("counted"), 3);
        assert!(["eve", "walt"].iter().all(|id| state.live(&Key::new(id), 1).is_some()), "the rest of it is done");
    }

    #[tokio::test]
    async fn the_only_voter_is_refused_when_its_snapshot_is_behind_its_users() {
        let dir = tempfile::tempdir().expect("a directory");
        installed(dir.path(), |own| members(&[&[own]])).await;
        assert!(opened(dir.path()).is_err());
    }

    /// Whether a node starts whose log ends before its users, with these memberships in it; 0 is the node itself.
    async fn starts(identity: Identity, memberships: &[&[&[u64]]]) -> Result<(), String> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = Store::open_as(dir.path().join("log.redb"), identity).expect("a log is made");
        let own = |ids: &&[u64]| ids.iter().map(|id| if *id == 0 { identity.node } else { *id }).collect::<Vec<_>>();
        let entries = memberships.iter().enumerate().map(|(index, configurations)| {
            let configurations: Vec<_> = configurations.iter().map(own).collect();
            let membership = members(&configurations.iter().map(Vec::as_slice).collect::<Vec<_>>());
            Entry { log_id: LogId::new_term_index(1, index as u64), payload: EntryPayload::Membership(membership) }
        });
        store.blocking_append(entries.collect::<Vec<_>>()).await.expect("it is appended");
        store.close().await.expect("it is closed");
        let state = State::open(dir.path()).expect("a state");
        state.apply(&[(memberships.len() as u64 + 1, &sign_up("ada"))]).expect("it is applied");
        drop((store, state));
        opened(dir.path()).map(|_| ()).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn users_ahead_of_the_log_are_damage_where_nothing_is_committed_without_it() {
        let (founder, joiner) = (Identity::draw(), Identity::joining([9; 16]));
        let among_others: &[&[&[&[u64]]]] =
            &[&[&[&[0, 1, 2]]], &[&[&[0]], &[&[0], &[0, 1]], &[&[0, 1]]], &[&[&[1]]], &[&[&[0, 1, 2], &[0, 1]]]];
        let alone: &[&[&[&[u64]]]] = &[&[&[&[0]]], &[&[&[0]], &[&[0], &[0, 1]]], &[&[&[0, 1]], &[&[0, 1], &[0]]]];
        for identity in [founder, joiner] {
            for memberships in among_others {
                starts(identity, memberships).await.unwrap_or_else(|e| panic!("{memberships:?}: {e}"));
            }
            for memberships in alone {
                let refused = starts(identity, memberships).await.expect_err("it lost something");
                let ends = format!("ends before entry {}", memberships.len());
                assert!(refused.contains(&ends) && refused.contains("hint: "), "{memberships:?}: {refused}");
            }
        }
        starts(joiner, &[]).await.expect("whoever let it in had more for it");
        starts(founder, &[]).await.expect_err("it has forgotten that it founded its cluster");
    }
}
