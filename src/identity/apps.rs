//! Apps: services that show a name and a password, and what they may see.
//!
//! Looked up in memory, where every node holds every app; adding and removing them is in `registry`.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Identity;
use crate::state::command::AppScope;
use crate::state::{AppRecord, Key};

impl Identity {
    /// What the app of this name may see, if this is its password. Says what this node holds, however old that is.
    pub fn app(&self, name: &str, password: &[u8]) -> Option<AppScope> {
        let entry = self.state.live(&Key::app(name), self.now())?;
        let record = AppRecord::read(entry.value())?;
        let digest: [u8; 32] = Sha256::digest(password).into();
        let is_right: bool = digest.ct_eq(&record.digest).into();
        let AppRecord { name, prefix, may_sign_in, share, .. } = record;
        is_right.then_some(AppScope { name, prefix, may_sign_in, share })
    }

    /// How often apps have been added, changed or removed: whoever remembers one looks again when this is another.
    pub fn apps_changed(&self) -> u64 {
        self.state.current().entries.apps_changed()
    }
}
