//! Apps: who may speak for a service that keeps things here.
//!
//! Every node knows every app, so that nobody is asked. Passwords are random and long, which is why their digest may be
//! a fast one.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Identity;
pub use crate::state::command::AppScope;
use crate::state::{AppRecord, Key};

/// What is kept of a password.
pub type PasswordDigest = [u8; 32];

/// The digest of a password.
pub fn digest(password: &[u8]) -> PasswordDigest {
    Sha256::digest(password).into()
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

    /// Changes whenever an app was added, changed or removed: whoever remembers one asks again.
    pub fn apps_changed(&self) -> u64 {
        self.state.apps_changed()
    }
}
