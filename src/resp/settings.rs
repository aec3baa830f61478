//! Settings: what the Redis door must know before its first connection.

use std::time::Duration;

use crate::config::{Config, Secret};
use crate::keyspace::Scope;

/// The Redis door's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What opens everything.
    pub password: Option<Secret>,
    /// Whether everything is open to whoever comes: no password is set, and only this machine can come.
    pub is_open: bool,
    /// What session keys begin with.
    sessions: String,
    delete_guard: Duration,
}

impl Settings {
    /// What the node's settings mean for this door.
    pub fn new(config: &Config) -> Self {
        let is_local = config.redis.listen.is_some_and(|address| address.ip().to_canonical().is_loopback());
        Self {
            password: config.redis.password.clone(),
            is_open: config.redis.password.is_none() && is_local,
            sessions: config.sessions.prefix.clone(),
            delete_guard: config.redis.delete_guard,
        }
    }

    /// The scope of whoever sees everything.
    pub fn everything(&self) -> Scope {
        let guard_ms = i64::try_from(self.delete_guard.as_millis()).unwrap_or(i64::MAX);
        Scope { db: 0, app: None, sessions: self.sessions.clone(), guard_ms }
    }
}
