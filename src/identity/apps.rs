//! Apps: who may speak for a service that keeps things here.
//!
//! Every node knows every app, so that nobody is asked. Passwords are random and long, which is why their digest may be
//! a fast one.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Identity;
use crate::clock::Millis;
pub use crate::state::command::AppScope;
use crate::state::{AppRecord, Entry, Generation, Key};

/// What is kept of a password.
pub type PasswordDigest = [u8; 32];

/// The digest of a password.
pub fn digest(password: &[u8]) -> PasswordDigest {
    Sha256::digest(password).into()
}

/// Under which name keys of another store are copied; no app has it.
pub const IMPORT: &str = "import";

/// Whether the app that says in this session who somebody is may say so still. What was copied an operator vouched for;
/// of a session that began at our doors it is not known which app did.
pub(super) fn may_say_so(generation: &Generation, (key, session): (&Key, &Entry), now: Millis) -> bool {
    let Some(facts) = session.facts() else { return false };
    if !facts.is_apps() || facts.agent == IMPORT {
        return true;
    }
    let held = generation.entries.get(&Key::app(&facts.agent)).filter(|held| held.is_live(now));
    let app = held.and_then(|held| AppRecord::read(held.value()));
    app.is_some_and(|app| app.may_sign_in && key.as_bytes().starts_with(&app.prefix))
}

impl Identity {
    /// What an app may see, if this is its password.
    pub fn app(&self, name: &str, password: &[u8]) -> Option<AppScope> {
        self.app_by_digest(name, &digest(password))
    }

    /// The same by the digest of its password.
    pub fn app_by_digest(&self, name: &str, digest: &PasswordDigest) -> Option<AppScope> {
        let entry = self.state.live(&Key::app(name), self.now())?;
        let app = AppRecord::read(entry.value())?;
        let is_right: bool = app.digest.ct_eq(digest).into();
        let AppRecord { name, prefix, may_sign_in, share, .. } = app;
        is_right.then_some(AppScope { name, prefix, may_sign_in, share })
    }

    /// Whether there is an app of this name.
    pub fn has_app(&self, name: &str) -> bool {
        self.state.live(&Key::app(name), self.now()).is_some()
    }

    /// Changes whenever an app was added, changed or removed: whoever remembers one asks again.
    pub fn apps_changed(&self) -> u64 {
        self.state.apps_changed()
    }
}
