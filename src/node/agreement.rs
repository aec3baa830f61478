//! Agreement: settings that must be the same on every node.
//!
//! The memory bound and, unless it is given, the cookie's secret live in the state. A node finds them there when it
//! starts, so that it comes up without a leader; only what is missing or was changed is asked of one.

use std::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::log::Log as _;
use crate::raft::RaftLog;
use crate::random;
use crate::state::{Key, Op, Outcome, State};

/// How long to wait before a leader is asked again for what this node cannot do without.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Agrees on the settings and answers the cookie's secrets.
///
/// # Errors
/// `Broken` and `NotDone` on a node that is alone; `Conflict` when it is no member any more.
pub async fn reach(log: &RaftLog, state: &State, config: &Config) -> Result<Vec<Vec<u8>>> {
    memory_max(log, state, config).await?;
    if !config.sessions.secrets.is_empty() {
        return Ok(config.sessions.secrets.iter().map(|secret| secret.expose().as_bytes().to_vec()).collect());
    }
    loop {
        if let Some(secret) = held(state, "cookie_secret") {
            return Ok(vec![secret]);
        }
        let drawn = random::token::<32>().into_bytes();
        match log.submit(set("cookie_secret", drawn, true)).await {
            Ok(Outcome::Setting(secret)) => return Ok(vec![secret.to_vec()]),
            Ok(other) => return Err(Error::Broken(format!("a setting was answered {other:?}"))),
            // nothing of it is lost: whichever secret is decided first is everybody's
            Err(e @ (Error::NotDone(_) | Error::FateUnknown)) if !log.is_alone() => {
                tracing::warn!(error = %e, "waiting for the cluster, which knows the cookie's secret");
                tokio::select! {
                    () = tokio::time::sleep(ASK_AGAIN) => {}
                    farewell = log.farewell() => return Err(farewell.into()),
                }
            }
            Err(e) => return Err(e),
        }
    }
}

/// A node that is alone decides. One that has just come takes what the cluster has; one that was restarted with another
/// bound wants it changed, and comes up all the same when nobody can.
async fn memory_max(log: &RaftLog, state: &State, config: &Config) -> Result<()> {
    let wanted = config.sessions.memory_max.to_le_bytes().to_vec();
    match held(state, "memory_max") {
        Some(held) if held == wanted => return Ok(()),
        Some(_) if log.is_newcomer() => {
            tracing::warn!("sessions.memory_max differs from the cluster's, which stays as it is");
            return Ok(());
        }
        _ => {}
    }
    match log.submit(set("memory_max", wanted, false)).await {
        Err(e) if !log.is_alone() => {
            tracing::warn!(error = %e, "sessions.memory_max differs from the cluster's, and could not be changed");
            Ok(())
        }
        set => set.map(|_| ()),
    }
}

fn held(state: &State, name: &str) -> Option<Vec<u8>> {
    state.generation().entries.get(&Key::setting(name)).map(|entry| entry.value().to_vec())
}

fn set(name: &str, value: Vec<u8>, only_if_absent: bool) -> Op {
    Op::Setting { name: name.into(), value: Bytes::from(value), only_if_absent }
}
