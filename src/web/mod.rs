//! Web: the HTTP door. Pages for people, JSON for services, health for machines.

pub mod reply;
pub mod request;

use std::sync::Arc;

use crate::identity::Identity;

/// What every handler is given.
pub struct Door {
    pub identity: Arc<Identity>,
}
