//! Registry: apps are added, listed, removed, and given other passwords.
//!
//! A password is random, shown once, and kept as its digest. Each app sees what its prefix begins: prefixes are equal,
//! for apps that share a store, or have nothing in common, so that nobody sees another's keys by accident.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::apps::IMPORT;
use super::{Identity, SECURITY};
use crate::error::{Error, Result};
use crate::state::command::AppScope;
use crate::state::{AppRecord, Exchange, Key, Op, Outcome};
use crate::{limits, random};

/// Whoever holds the password for everything has this name.
const RESERVED: &str = "default";

/// An app to add.
#[derive(Debug, Clone)]
pub struct NewApp {
    pub name: String,
    /// What its keys begin with.
    pub prefix: String,
    /// Whether what it says about who is signed in counts.
    pub may_sign_in: bool,
    /// How much of the memory its entries may use, percent.
    pub share: u8,
}

/// An app, as operators see it.
#[derive(Debug, Clone)]
pub struct AppView {
    pub record: AppRecord,
    /// Bytes that its entries use; apps of one prefix share them.
    pub used: u64,
    /// Whether its prefix reaches what people's sessions are kept under.
    pub sees_sessions: bool,
}

impl Identity {
    /// Adds an app; answers its password, which is kept nowhere.
    ///
    /// # Errors
    /// `Unacceptable`; `Conflict` when the name is taken or the prefix reaches into another app's.
    pub async fn add_app(&self, new: NewApp) -> Result<(AppView, String)> {
        check(&new)?;
        self.log.refresh().await?;
        self.refuse_overlap(&new.name, new.prefix.as_bytes()).await?;
        let password = random::token::<32>();
        let record = AppRecord {
            name: new.name,
            prefix: new.prefix.into_bytes(),
            digest: digest(&password),
            may_sign_in: new.may_sign_in,
            share: new.share,
            created_at: self.now(),
        };
        if !self.exchange(&record.name, None, Some(&record)).await? {
            return Err(Error::Conflict("there is an app of this name already".into()));
        }
        // somebody may have added another meanwhile, on another node: whoever comes second in the log sees the first
        if let Err(overlap) = self.refuse_overlap(&record.name, &record.prefix).await {
            self.exchange(&record.name, Some(record.written()), None).await?;
            return Err(overlap);
        }
        tracing::info!(target: SECURITY, app = record.name, may_sign_in = record.may_sign_in, "an app was added");
        Ok((self.app_view(record), password))
    }

    /// All apps, by name.
    ///
    /// # Errors
    /// `NotDone` when nobody can tell.
    pub async fn apps(&self) -> Result<Vec<AppView>> {
        self.log.refresh().await?;
        let mut records = self.app_records().await?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records.into_iter().map(|record| self.app_view(record)).collect())
    }

    /// Forgets an app: its password is good no more. What it keeps stays until it ends.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when somebody changed it just now.
    pub async fn remove_app(&self, name: &str) -> Result<()> {
        let (_, held) = self.held_app(name).await?;
        if !self.exchange(name, Some(held), None).await? {
            return Err(changed());
        }
        tracing::info!(target: SECURITY, app = name, "an app was removed");
        Ok(())
    }

    /// Gives an app another password, which is answered; the one before is good no more.
    ///
    /// # Errors
    /// As [`Identity::remove_app`].
    pub async fn rotate_app(&self, name: &str) -> Result<(AppView, String)> {
        let (record, held) = self.held_app(name).await?;
        let password = random::token::<32>();
        let record = AppRecord { digest: digest(&password), ..record };
        if !self.exchange(name, Some(held), Some(&record)).await? {
            return Err(changed());
        }
        tracing::info!(target: SECURITY, app = name, "an app has another password");
        Ok((self.app_view(record), password))
    }

    /// What the app of this name may see, if this is its password, by what this node may believe: it reads first and
    /// asks afterwards how old that is. What it does not find it asks for.
    ///
    /// # Errors
    /// `NotDone` when this node cannot be sure.
    pub async fn sure_app(&self, name: &str, password: &[u8]) -> Result<Option<AppScope>> {
        if name.len() > limits::APP_NAME_MAX || password.len() > limits::PASSWORD_BYTES_MAX {
            return Ok(None);
        }
        let found = self.app(name, password);
        if found.is_some() && self.log.is_fresh() {
            return Ok(found);
        }
        self.log.refresh().await?;
        Ok(self.app(name, password))
    }

    async fn held_app(&self, name: &str) -> Result<(AppRecord, Vec<u8>)> {
        self.log.refresh().await?;
        let held = self.state.live(&Key::app(name), self.now()).ok_or(Error::NotFound("app"))?;
        let record = AppRecord::read(held.value()).ok_or_else(|| Error::Broken("an app's record is not one".into()))?;
        Ok((record, held.value().to_vec()))
    }

    /// Compares and sets; `false` when what is held is something else.
    async fn exchange(&self, name: &str, held: Option<Vec<u8>>, value: Option<&AppRecord>) -> Result<bool> {
        let value = value.map(|record| Bytes::from(record.written()));
        let op = Op::Exchange(Exchange { key: Key::app(name), held: held.map(Bytes::from), value });
        match self.log.submit(op).await? {
            Outcome::Done => Ok(true),
            Outcome::Gone => Ok(false),
            other => Err(Error::Broken(format!("a change to an app was answered {other:?}"))),
        }
    }

    async fn app_records(&self) -> Result<Vec<AppRecord>> {
        let generation = self.state.generation();
        let read = tokio::task::spawn_blocking(move || generation.entries.apps()).await;
        read.map_err(|e| Error::broken("listing apps", e))
    }

    async fn refuse_overlap(&self, name: &str, prefix: &[u8]) -> Result<()> {
        let others = self.app_records().await?.into_iter().filter(|other| other.name != name);
        match others.into_iter().find(|other| reaches(&other.prefix, prefix) && other.prefix != prefix) {
            Some(other) => Err(Error::Conflict(format!(
                "the prefix and that of the app {}, {:?}, reach into each other\nhint: give it the very same prefix if \
                 the two are to share everything, and one that has nothing in common otherwise",
                other.name,
                String::from_utf8_lossy(&other.prefix)
            ))),
            None => Ok(()),
        }
    }

    fn app_view(&self, record: AppRecord) -> AppView {
        let used = self.state.generation().entries.used_by(&record.prefix);
        let sees_sessions = reaches(&record.prefix, self.settings.sessions.prefix.as_bytes());
        AppView { record, used, sees_sessions }
    }
}

/// Whether keys may begin with both.
fn reaches(a: &[u8], b: &[u8]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn check(new: &NewApp) -> Result<()> {
    let refused = |field, message: String| Err(Error::Unacceptable { field, message });
    let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
    let NewApp { name, prefix, share, .. } = new;
    if name.is_empty() || name.len() > limits::APP_NAME_MAX || !name.bytes().all(fits) {
        let most = limits::APP_NAME_MAX;
        return refused("name", format!("an app's name has 1 to {most} lower-case letters, digits, dots, - and _"));
    }
    if name == RESERVED {
        return refused("name", format!("{RESERVED} is the name of whoever holds the password for everything"));
    }
    if name == IMPORT {
        return refused("name", format!("{IMPORT} is the name of whatever is copied from another store"));
    }
    let most = limits::PREFIX_BYTES_MAX;
    if prefix.is_empty() || prefix.len() > most || !prefix.bytes().all(|c| c.is_ascii_graphic() || c == b' ') {
        return refused("prefix", format!("a prefix has 1 to {most} printable ASCII characters"));
    }
    if !(1..=100).contains(share) {
        return refused("share", "a share is 1 to 100 percent".into());
    }
    Ok(())
}

fn digest(password: &str) -> [u8; 32] {
    Sha256::digest(password).into()
}

fn changed() -> Error {
    Error::Conflict("the app was changed just now\nhint: look at it, and try again".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, prefix: &str) -> NewApp {
        NewApp { name: name.into(), prefix: prefix.into(), may_sign_in: false, share: 50 }
    }

    #[tokio::test]
    async fn an_app_is_known_by_its_password_until_it_has_another_or_is_gone() {
        let (room, _) = Identity::alone();
        let (view, first) = room.add_app(NewApp { may_sign_in: true, ..new("shop", "shop:") }).await.expect("is added");
        assert!(!view.sees_sessions && view.used == 0);
        let scope = room.app("shop", first.as_bytes()).expect("is known");
        assert_eq!((scope.name.as_str(), scope.prefix.as_slice()), ("shop", &b"shop:"[..]));
        assert!(scope.may_sign_in && scope.share == 50);
        assert!(room.app("shop", b"wrong").is_none() && room.app("other", first.as_bytes()).is_none());
        let changes = room.apps_changed();
        let (_, second) = room.rotate_app("shop").await.expect("is rotated");
        assert!(room.app("shop", first.as_bytes()).is_none() && room.app("shop", second.as_bytes()).is_some());
        assert_ne!(room.apps_changed(), changes, "whoever remembers the first is told");
        room.remove_app("shop").await.expect("is removed");
        assert!(room.app("shop", second.as_bytes()).is_none());
        assert!(matches!(room.remove_app("shop").await, Err(Error::NotFound("app"))));
        assert!(matches!(room.rotate_app("shop").await, Err(Error::NotFound("app"))));
    }

    #[tokio::test]
    async fn prefixes_are_equal_or_have_nothing_in_common() {
        let (room, _) = Identity::alone();
        room.add_app(new("a", "shop:")).await.expect("is added");
        room.add_app(new("b", "shop:")).await.expect("the very same is deliberate");
        room.add_app(new("c", "shelf:")).await.expect("has nothing in common");
        for overlap in ["shop:cart:", "shop", "s"] {
            let refused = room.add_app(new("d", overlap)).await.expect_err("is refused").to_string();
            assert!(refused.contains("reach into each other"), "{overlap}: {refused}");
        }
        assert!(matches!(room.add_app(new("a", "x:")).await, Err(Error::Conflict(_))), "the name is taken");
        let names: Vec<String> = room.apps().await.expect("are listed").into_iter().map(|v| v.record.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn names_prefixes_and_shares_have_rules() {
        let (room, _) = Identity::alone();
        let long = "a".repeat(65);
        for bad in ["", "default", "import", "Shop", "sh op", "ä", &long] {
            let refused = room.add_app(new(bad, "x:")).await;
            assert!(matches!(refused, Err(Error::Unacceptable { field: "name", .. })), "{bad}");
        }
        for bad in ["", "tab\t", "ä:", &long] {
            let refused = room.add_app(new("a", bad)).await;
            assert!(matches!(refused, Err(Error::Unacceptable { field: "prefix", .. })), "{bad}");
        }
        for share in [0, 101] {
            let refused = room.add_app(NewApp { share, ..new("a", "x:") }).await;
            assert!(matches!(refused, Err(Error::Unacceptable { field: "share", .. })));
        }
        room.add_app(new(&long[..64], &long[..64])).await.expect("fits");
    }

    #[tokio::test]
    async fn whoever_reaches_the_sessions_is_told() {
        let (room, _) = Identity::alone();
        for (name, prefix, reaches) in [("a", "sess:", true), ("b", "other:", false)] {
            let (view, _) = room.add_app(new(name, prefix)).await.expect("is added");
            assert_eq!(view.sees_sessions, reaches, "{prefix}");
        }
    }
}
