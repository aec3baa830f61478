//! Rows: what lies in the file, and how damage is named.
//!
//! Two tables: `log` holds one row an entry (key: log index; value: a `codec` frame of the entry), `meta` a few named
//! frames. A row is decoded when it is read, so a damaged one is met late; its error then names the index, and an
//! entry that does not stand where its key says is never handed on.

use std::fmt::Display;
use std::io;
use std::path::Path;

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

use super::journal::Row;
use crate::raft::types::{Entry, NodeId};
use crate::state::codec;

/// Log index to the frame of the entry.
pub const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// Name to frame; the names are the constants below.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// The layout of the file: the two tables and their names.
pub const FORMAT_NAME: &str = "format";
/// The layout that this program writes. It reads the one before, too, which had no journal.
pub const FORMAT: u32 = 2;
/// The node's [`NodeId`].
pub const NODE: &str = "node";
/// The cluster's 16 bytes.
pub const CLUSTER: &str = "cluster";
/// The seed of the node's key.
pub const SEED: &str = "seed";
/// Whether the node came to a cluster that was there before it.
pub const JOINS: &str = "joins";
/// The tag of its journal's writes: see [`super::journal`].
pub const JOURNAL: &str = "journal";
/// The last vote.
pub const VOTE: &str = "vote";
/// The last entry known to be committed when the row was written; never beyond the rows of the log.
pub const COMMITTED: &str = "committed";
/// How often the file was written: see [`super::mark`].
pub const COMMITS: &str = "commits";
/// The last entry that was purged. Rows up to it may linger for a moment: they do not count.
pub const PURGED: &str = "purged";

/// Who this node is. Drawn when the file is made, before any vote, and never changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The node's id.
    pub node: NodeId,
    /// The cluster's id: nodes of another cluster are refused.
    pub cluster: [u8; 16],
    /// What the key is made of with which the node proves itself to its peers.
    pub seed: [u8; 32],
    /// Whether it joins a cluster that others founded: such a node never founds one.
    pub joins: bool,
}

/// The seed is secret.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity(node {})", self.node)
    }
}

impl Identity {
    /// A new one. Node ids have 53 bits, so that JSON carries them unharmed, and are never 0.
    pub fn draw() -> Self {
        let node = u64::from_le_bytes(crate::random::bytes()) >> 11;
        Self { node: node.max(1), cluster: crate::random::bytes(), seed: crate::random::bytes(), joins: false }
    }

    /// A new one in a cluster that is there already.
    pub fn joining(cluster: [u8; 16]) -> Self {
        Self { cluster, joins: true, ..Self::draw() }
    }
}

/// The entry of a row.
///
/// # Errors
/// `InvalidData`, naming the index: the row does not decode, or holds another entry.
pub fn entry_of(index: u64, row: &[u8]) -> io::Result<Entry> {
    let entry: Entry = codec::decode(row).map_err(|e| damaged(format!("log entry {index}: {e}")))?;
    if entry.log_id.index != index {
        return Err(damaged(format!("log entry {index}: its row holds entry {}", entry.log_id.index)));
    }
    Ok(entry)
}

/// A value of the `meta` table, if it is there.
///
/// # Errors
/// `InvalidData`, naming the row, when it does not decode; what redb says otherwise.
pub fn meta<T: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> io::Result<Option<T>> {
    let Some(row) = table.get(name).map_err(broken)? else { return Ok(None) };
    codec::decode(row.value()).map(Some).map_err(|e| damaged(format!("row {name:?}: {e}")))
}

/// Writes a value of the `meta` table.
///
/// # Errors
/// What redb says.
pub fn set_meta(write: &WriteTransaction, name: &str, value: &impl Serialize) -> io::Result<()> {
    let mut table = write.open_table(META).map_err(broken)?;
    table.insert(name, codec::encode(value).as_slice()).map_err(broken)?;
    Ok(())
}

/// Puts rows into the log.
///
/// # Errors
/// What redb says.
pub fn insert(write: &WriteTransaction, rows: &[Row]) -> io::Result<()> {
    let mut log = write.open_table(LOG).map_err(broken)?;
    for (index, row) in rows {
        log.insert(index, row.as_slice()).map_err(broken)?;
    }
    Ok(())
}

/// The file holds what it cannot hold.
pub fn damaged(why: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

/// redb's errors in the standard library's words: damage is `InvalidData`, errors of the disk keep their kind.
pub fn broken(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(e) => e,
        e @ (redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableDoesNotExist(_)) => damaged(e),
        e => io::Error::other(e.to_string()),
    }
}

/// The same error, told with the file it is about and what to do.
pub fn about(path: &Path, error: &io::Error, hint: &str) -> io::Error {
    io::Error::new(error.kind(), format!("log {}: {error}; hint: {hint}", path.display()))
}
