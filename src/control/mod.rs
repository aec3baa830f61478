//! Control: the door over which commands speak to a running node.
//!
//! A Unix socket in the data directory, mode 0600: whoever may read the data may command the node, and nobody else. One
//! JSON line asks; one or more JSON lines answer; a backup is followed by its raw bytes. The server knows no rooms:
//! what a request does is said by an [`Operator`], which `node` is.
//!
//! Deliberately absent: TCP, and any way to ask for a session id or a password hash.

mod client;
mod copied;
mod credentials;
mod place;
pub mod protocol;
mod server;
#[cfg(test)]
mod tests;

use tokio::sync::watch;

use crate::error::Result;
use crate::log::Answer;
pub use client::{Client, Step, Unanswered};
pub use place::SOCKET;
pub use protocol::{Extent, Request, Response};
pub use server::Server;

/// Whoever does what commands ask.
pub trait Operator: Send + Sync + 'static {
    /// Does everything but [`Request::Backup`]. The future is dropped when the command goes away.
    ///
    /// # Errors
    /// Any; the message is shown to the operator as it is.
    fn perform(&self, request: Request) -> Answer<'_, Result<Response>>;

    /// Makes a consistent copy of the whole state, and answers it as an open file, read from its beginning to its end.
    ///
    /// # Errors
    /// As above; `NotDone` when more than this node has is wanted and no leader answers.
    fn backup(&self, extent: Extent, progress: Progress) -> Answer<'_, Result<tokio::fs::File>>;
}

/// Where a long piece of work says how far it is. Only the newest word counts, so telling often costs nothing.
#[derive(Debug, Clone)]
pub struct Progress(watch::Sender<(u64, u64)>);

impl Progress {
    fn new() -> (Self, watch::Receiver<(u64, u64)>) {
        let (sender, receiver) = watch::channel((0, 0));
        (Self(sender), receiver)
    }

    /// `done` of `total` pieces, whatever a piece is.
    pub fn tell(&self, done: u64, total: u64) {
        self.0.send_replace((done, total));
    }
}
