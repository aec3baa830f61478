//! Node: wires all rooms together, opens the doors and closes them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{Config, Origin};
use crate::control::protocol::Link;
use crate::error::{Error, Result};

/// A node whose doors are open.
pub struct RunningNode {
    /// Where the HTTP door really listens.
    pub web: SocketAddr,
    /// Where metrics are shown, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where browsers reach it.
    pub public_url: Origin,
    /// Its data directory.
    pub data: PathBuf,
    /// Makes the first admin; `None` once there is one.
    pub first_admin: Option<Link>,
}

impl RunningNode {
    /// Comes back only when the node cannot go on, with the reason. Safe to drop and call again.
    pub async fn failed(&mut self) -> Error {
        todo!()
    }

    /// Closes the doors, lets requests under way finish, and stops.
    ///
    /// # Errors
    /// What could not be closed.
    pub async fn stop(self) -> Result<()> {
        todo!()
    }
}

/// Opens the data directory and the doors.
///
/// # Errors
/// `Broken`, with a hint.
pub async fn start(_config: Config) -> Result<RunningNode> {
    todo!()
}

/// What a restore keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Sessions live on.
    Sessions,
    /// All sessions and tokens end: the backup may have been in other hands.
    NoSessions,
}

/// Makes a new cluster of a backup, in an empty data directory. `progress` hears bytes done and in all.
///
/// # Errors
/// `Conflict` when the directory is not empty; `Malformed` when the file is no whole backup; `Broken`.
pub fn restore(_file: &Path, _data: &Path, _keep: Keep, _progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    todo!()
}
