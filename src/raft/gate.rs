//! Gate: whom the peer port lets in.
//!
//! Members by their pinned keys, and the holders of join tokens that live. Whom a node that lost touch does not know is
//! asked about among those it knows, before it is heard.

use std::sync::Arc;

use super::logtime::LogTime;
use super::members::Members;
use super::peers::door::Refusal;
use super::peers::keys::PublicKey;
use super::peers::tls::Guests;
use super::peers::token::pass;
use super::rotation;
use super::secrets::Secrets;
use crate::state::{Key, State};

/// Lets in members, and the holders of join tokens that live.
#[derive(Clone)]
pub struct Gate {
    pub members: Arc<Members>,
    pub state: Arc<State>,
    pub time: Arc<LogTime>,
    pub secrets: Arc<Secrets>,
}

impl Gate {
    /// Where the log keeps the token of this key.
    pub fn pass(&self, key: &PublicKey) -> Key {
        Key::join(&pass(&self.secrets.authority(), key))
    }

    /// Refuses whoever's token died since they came in, and everybody while the secret is rotated: what they would be
    /// given is not good for long.
    pub fn is_open_to(&self, key: &PublicKey) -> Result<(), Refusal> {
        if rotation::under_way(&self.state).is_some() {
            let why = "the cluster's secret is being rotated\nhint: `sojourn cluster status` says which node that waits for; \
                       make a new token then";
            return Err(Refusal::not_now(&why));
        }
        if self.may_join(key) { Ok(()) } else { Err(Refusal::forbidden("the join token is good no more".into())) }
    }
}

impl Guests for Gate {
    fn is_member(&self, key: &PublicKey) -> bool {
        // one who is lost, or new, asks others about whom it does not know, before it hears them
        self.members.is_lost() || self.members.expects_anybody() || self.members.holder(key).is_some()
    }

    fn may_join(&self, key: &PublicKey) -> bool {
        let held = self.state.generation().entries.get(&self.pass(key));
        held.is_some_and(|entry| entry.is_live(self.time.now()))
    }
}
