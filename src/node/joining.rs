//! Joining: how a new node comes to a cluster that is there, and how it is healed when it was stopped on its way.
//!
//! The log's file says from its first moment whether it belongs to a cluster of others, and comes before the secret:
//! whatever a crash leaves behind is never taken for an empty directory that may found a cluster of its own. Starting
//! again with the same flags goes on where it stopped; a member that is started with its old token ignores it.

use std::time::{Duration, Instant};

use super::directory::Directory;
use crate::config::{Config, Secret};
use crate::error::{Error, Result};
use crate::log::Log as _;
use crate::raft::{self, RaftLog, Token};

/// How often somebody who waits is told how far a node has got.
const TELL_EVERY: Duration = Duration::from_secs(3);

/// How a node is to come to its cluster.
#[derive(Debug, Default)]
pub struct Joining {
    /// What `sojourn cluster token` printed; `None` on a node that is a member or founds a cluster.
    pub token: Option<Token>,
    /// Whether it never votes.
    pub learner: bool,
}

/// Sees to it that the directory knows the cluster and its secret, and answers that.
///
/// # Errors
/// `Conflict` when the directory belongs to another cluster, or to no member any more; `NotDone` and `Forbidden` as the
/// cluster says; `Broken`.
pub async fn secret(directory: &Directory, config: &Config, token: Option<&Token>) -> Result<String> {
    raft::check_farewell(&config.data)?;
    let (has_log, has_secret) = (directory.has("log.redb")?, directory.has("secret")?);
    match token {
        Some(token) if has_log && has_secret && raft::leads_to(token, &config.data, &directory.secret()?) => {}
        Some(_) if has_log && has_secret => {
            return Err(Error::Conflict(
                "the data directory holds a node of another cluster than the token's\nhint: a node joins with an empty \
                 data directory"
                    .into(),
            ));
        }
        Some(token) => {
            tracing::info!(cluster = token.address, "joining");
            let welcome = raft::welcome(token).await?;
            raft::prepare(&config.data, welcome.cluster).await?;
            directory.keep_secret(Some(&Secret::new(&welcome.secret)))?;
        }
        None if has_log && !has_secret && config.secret.is_none() && raft::joins(&config.data).await? => {
            return Err(Error::Conflict(
                "this node was made to join a cluster and does not know its secret\nhint: start it with --join TOKEN"
                    .into(),
            ));
        }
        None => {}
    }
    directory.keep_secret(config.secret.as_ref())?;
    directory.secret()
}

/// Waits until a node that has just come holds what the cluster holds.
///
/// # Errors
/// `Conflict` when it was removed meanwhile; `Broken` when its log failed.
pub async fn catch_up(log: &RaftLog) -> Result<()> {
    let begun = Instant::now();
    let mut told = begun;
    let fresh = async {
        while log.refresh().await.is_err() {
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                let (applied, of) = log.progress().await;
                tracing::info!(applied, of, "catching up");
            }
        }
    };
    tokio::select! {
        () = fresh => {}
        farewell = log.farewell() => return Err(farewell.into()),
        why = log.failed() => return Err(Error::Broken(format!("the log failed: {why}\nhint: check the disk"))),
    }
    tracing::info!(applied = log.applied_index(), ms = begun.elapsed().as_millis(), "caught up with the cluster");
    Ok(())
}
