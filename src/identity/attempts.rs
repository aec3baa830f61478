//! Attempts: how often something may be tried, counted in the log so that no node and no restart forgets.
//!
//! A try is taken *before* the password is hashed, so a burst cannot slip through, and a refused one costs neither a
//! hash nor a log entry. The right password gives the tries back, and so does an end in which nothing was looked at or
//! done (503), so that an overload locks nobody out. Nobody is locked out for good: waits double up to a
//! bound. Accounts are counted by what the address normalises to, known or not; clients by address, IPv6 by its /64.

use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest as _, Sha256};

use super::{Client, Identity, SECURITY};
use crate::error::{Error, Result};
use crate::limits;
use crate::state::{Budget, Forgiven, Key, Op, Outcome};

impl Identity {
    /// Takes a try at the password of `email` from `client`.
    ///
    /// # Errors
    /// `TooMany` when one of the two has to wait.
    pub(super) async fn try_password(&self, email: &str, client: &Client) -> Result<()> {
        let account = budget(limits::ACCOUNT_TRIES, account_key(email));
        let address = budget(limits::ADDRESS_TRIES, address_key("address", client));
        self.take("password", client, vec![account, address]).await
    }

    /// Takes a try at signing up from `client`.
    ///
    /// # Errors
    /// `TooMany` when they have to wait.
    pub(super) async fn try_sign_up(&self, client: &Client) -> Result<()> {
        self.take("sign-up", client, vec![budget(limits::SIGN_UP_TRIES, address_key("signup", client))]).await
    }

    /// Counts wrong credentials of an app from `client`.
    ///
    /// # Errors
    /// `TooMany` when they have to wait.
    pub(super) async fn count_wrong_app(&self, client: &Client) -> Result<()> {
        self.take("app", client, vec![budget(limits::APP_TRIES, address_key("app", client))]).await
    }

    /// What came of something that took a try: unchanged, but the try is given back when nothing was done.
    pub(super) async fn unless_done<T>(&self, outcome: Result<T>, tried: Vec<Key>) -> Result<T> {
        if matches!(outcome, Err(Error::NotDone(_) | Error::Full)) {
            self.give_back(Forgiven { all: Vec::new(), one: tried }).await;
        }
        outcome
    }

    /// Gives tries back, if the log is to be had.
    pub(super) async fn give_back(&self, forgiven: Forgiven) {
        if let Err(error) = self.log.submit(Op::Forgive(forgiven)).await {
            tracing::debug!(%error, "a try was not given back");
        }
    }

    async fn take(&self, what: &'static str, client: &Client, budgets: Vec<Budget>) -> Result<()> {
        match self.log.submit(Op::Try(budgets)).await? {
            Outcome::Limited { wait_ms } => {
                tracing::warn!(target: SECURITY, address = %client.address, what, wait_ms, "too many tries");
                Err(too_many(wait_ms))
            }
            Outcome::Full => Err(Error::Full),
            _ => Ok(()),
        }
    }
}

/// The tries that the right password gives back.
pub fn forgiven(email: &str, client: &Client) -> Forgiven {
    Forgiven { all: vec![account_key(email)], one: vec![address_key("address", client)] }
}

/// Where a try at a password is counted.
pub fn password_keys(email: &str, client: &Client) -> Vec<Key> {
    vec![account_key(email), address_key("address", client)]
}

/// Where a sign-up is counted.
pub fn sign_up_keys(client: &Client) -> Vec<Key> {
    vec![address_key("signup", client)]
}

/// What an anonymous session takes from its address.
pub fn anonymous(client: &Client) -> Budget {
    budget(limits::ANONYMOUS_SESSIONS, address_key("anonymous", client))
}

/// The refusal, with the wait in whole seconds, rounded up.
pub fn too_many(wait_ms: i64) -> Error {
    Error::TooMany { retry_after_secs: wait_ms.max(0).unsigned_abs().div_ceil(1_000).max(1) }
}

fn account_key(email: &str) -> Key {
    // hashed: what somebody typed as an address may be long, or another person's password
    let digest: String = Sha256::digest(email)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Key::tries("account", &digest)
}

fn address_key(kind: &str, client: &Client) -> Key {
    let network = match client.address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).to_string(),
    };
    Key::tries(kind, &network)
}

fn budget(tries: limits::Tries, key: Key) -> Budget {
    Budget {
        key,
        free: tries.free,
        wait_ms: tries.wait_secs * 1_000,
        wait_max_ms: tries.wait_max_secs * 1_000,
        memory_ms: tries.memory_secs * 1_000,
    }
}
