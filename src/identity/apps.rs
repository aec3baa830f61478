//! Apps: services that keep sessions here, by the name and password that they were given.
//!
//! Every node knows them from the log, so that a look is one in memory.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Identity;
use crate::state::command::AppScope;
use crate::state::{AppRecord, Key};

impl Identity {
    /// What the app of this name may see, if this is its password.
    pub fn app(&self, name: &str, password: &[u8]) -> Option<AppScope> {
        let held = self.state.live(&Key::app(name), self.now());
        let app = held.and_then(|entry| AppRecord::read(entry.value()));
        let digest: [u8; 32] = Sha256::digest(password).into();
        // one that there is none of takes as long
        let expected = app.as_ref().map_or([0; 32], |app| app.digest);
        let is_right = bool::from(digest.ct_eq(&expected));
        let AppRecord { name, prefix, may_sign_in, share, .. } = app.filter(|_| is_right)?;
        Some(AppScope { name, prefix, may_sign_in, share })
    }

    /// How often apps have been added, changed or removed, as far as this node knows: whoever remembers one looks again
    /// when this is another number.
    pub fn apps_changed(&self) -> u64 {
        self.state.current().entries.apps_changed()
    }
}
