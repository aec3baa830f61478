//! Secrets: which secret of the cluster this node keeps, and how it comes to the next one without being cut off.
//!
//! A rotation has three stages, and no node enters one before every node has entered the one before: trust both
//! authorities; show a certificate of the new one; keep the new secret and trust it alone. Each is on this node's disk
//! before it counts, because whoever leads goes on once it was told. The log carries no secret: what it says is worth
//! nothing without the old one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::peers::keys::{Authority, PrivateKey, PublicKey};
use super::peers::links::hex;
use super::peers::messages::Keys;
use super::peers::papers::Papers;
use super::peers::token::Token;
use crate::error::{Error, Result};
use crate::random;
use crate::state::{codec, files};

/// The file that keeps the cluster's secret.
const KEPT: &str = "secret";
/// The file that says how far a rotation is.
const NEXT: &str = "secret.next";
/// The file that lists the public keys of former authorities.
const FORMER: &str = "secret.former";

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Certificates of both authorities are taken.
    Trust,
    /// Those of the new one are shown.
    Show,
    /// The new secret is the cluster's.
    Keep,
}

/// A rotation, as the log carries it and as it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub stage: Stage,
    /// The keys of the old authority and of the new one.
    pub from: PublicKey,
    pub to: PublicKey,
    /// What makes the new secret of the old one.
    salt: [u8; 32],
}

impl Rotation {
    /// One that begins, away from `secret`.
    pub fn draw(secret: &str) -> Self {
        let salt = random::bytes();
        let to = Authority::of(derived(secret, &salt).as_bytes()).key();
        Self { stage: Stage::Trust, from: key_of(secret), to, salt }
    }

    /// The new secret. `None` when it is not `secret` that this one began with.
    fn secret(&self, secret: &str) -> Option<String> {
        let next = derived(secret, &self.salt);
        (key_of(secret) == self.from && key_of(&next) == self.to).then_some(next)
    }

    /// The same one at another stage.
    pub fn at(&self, stage: Stage) -> Self {
        Self { stage, ..self.clone() }
    }

    /// Whether it is the same one, at whatever stage.
    fn is(&self, other: &Self) -> bool {
        (self.from, self.to, self.salt) == (other.from, other.to, other.salt)
    }
}

fn derived(secret: &str, salt: &[u8; 32]) -> String {
    let mut next = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), secret.as_bytes())
        .expand(b"sojourn rotated secret", &mut next)
        .expect("32 bytes can be derived");
    URL_SAFE_NO_PAD.encode(next)
}

fn key_of(secret: &str) -> PublicKey {
    Authority::of(secret.as_bytes()).key()
}

/// What the node keeps.
struct Held {
    secret: String,
    /// The key of its authority.
    key: PublicKey,
    /// A rotation that this node has a part in.
    turn: Option<Rotation>,
}

/// The secret of this node, and the papers that follow from it.
pub struct Secrets {
    dir: PathBuf,
    held: RwLock<Held>,
    /// Whether the settings name a secret.
    is_set: bool,
    pub papers: Arc<Papers>,
}

impl Secrets {
    /// Those in `dir`, of the node that keeps `secret` and has this key. Goes on with a rotation that was cut short.
    ///
    /// # Errors
    /// `Broken`, when what lies there cannot be read.
    pub fn open(dir: &Path, (secret, is_set): (String, bool), own: PrivateKey) -> Result<Arc<Self>> {
        let papers = Papers::of(&Authority::of(secret.as_bytes()), own)?;
        let turn = read_turn(&dir.join(NEXT))?.filter(|turn| turn.from == key_of(&secret));
        let key = key_of(&secret);
        let held = Held { secret, key, turn };
        show(&papers, &held)?;
        Ok(Arc::new(Self { dir: dir.to_owned(), held: RwLock::new(held), is_set, papers }))
    }

    /// The cluster's secret.
    pub fn secret(&self) -> String {
        self.held.read().secret.clone()
    }

    /// The key of the cluster's authority.
    pub fn authority(&self) -> PublicKey {
        self.held.read().key
    }

    /// What this node tells of itself to whoever drives a rotation.
    pub fn keys(&self) -> Keys {
        let (shows, trusts) = self.papers.sides();
        Keys { shows, trusts, keeps: self.authority(), is_set: self.is_set }
    }

    /// Enters the stage that the log says, durably. What is behind this node or none of its affair is passed over.
    /// Blocks.
    ///
    /// # Errors
    /// When the disk fails; then the stage is not entered.
    pub fn follow(&self, said: &Rotation) -> Result<()> {
        let (secret, turn) = {
            let held = self.held.read();
            (held.secret.clone(), held.turn.clone())
        };
        let is_behind = turn.is_none_or(|turn| !turn.is(said) || turn.stage < said.stage);
        let Some(next) = said.secret(&secret).filter(|_| is_behind) else { return Ok(()) };
        let failed = |e: io::Error| Error::broken("the cluster's secret", e);
        let held = match said.stage {
            Stage::Trust | Stage::Show => {
                files::write_private(&self.dir.join(NEXT), &codec::encode(said)).map_err(failed)?;
                Held { key: said.from, secret, turn: Some(said.clone()) }
            }
            Stage::Keep => {
                self.keep(&next, said).map_err(failed)?;
                Held { key: said.to, secret: next, turn: None }
            }
        };
        show(&self.papers, &held)?;
        *self.held.write() = held;
        if said.stage == Stage::Keep {
            tracing::info!("the cluster's secret was rotated: this node keeps the new one");
            if self.is_set {
                tracing::warn!("the secret in the settings is not the cluster's any more; take it out of them");
            }
        }
        Ok(())
    }

    fn keep(&self, next: &str, said: &Rotation) -> io::Result<()> {
        let mut former = former(&self.dir)?;
        former.push_str(&hex(&said.from));
        former.push('\n');
        files::write_private(&self.dir.join(FORMER), former.as_bytes())?;
        files::write_private(&self.dir.join(KEPT), format!("{next}\n").as_bytes())?;
        match std::fs::remove_file(self.dir.join(NEXT)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Has the papers say what follows from what is held.
fn show(papers: &Papers, held: &Held) -> Result<()> {
    let kept = Authority::of(held.secret.as_bytes());
    match held.turn.as_ref().and_then(|turn| Some((turn.stage, Authority::of(turn.secret(&held.secret)?.as_bytes())))) {
        None => {
            let trusts = vec![kept.key()];
            papers.turn(&kept, trusts)
        }
        Some((stage, next)) => {
            let trusts = vec![kept.key(), next.key()];
            papers.turn(if stage == Stage::Trust { &kept } else { &next }, trusts)
        }
    }
}

fn read_turn(path: &Path) -> Result<Option<Rotation>> {
    let unread = |e: io::Error| {
        let path = path.display();
        Error::Broken(format!("{path}: {e}\nhint: take it away, and put the cluster's secret into `secret`"))
    };
    match std::fs::read(path) {
        Ok(bytes) => codec::decode(&bytes).map(Some).map_err(unread),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(unread(e)),
    }
}

fn former(dir: &Path) -> io::Result<String> {
    match std::fs::read_to_string(dir.join(FORMER)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Whether this was a secret of the cluster of the node in `dir` before a rotation.
pub fn was_kept(dir: &Path, secret: &str) -> bool {
    was_authority(dir, &key_of(secret))
}

/// Whether a token was made for the cluster of the node in `dir`, which keeps `secret`; perhaps before a rotation.
pub fn leads_to(token: &Token, dir: &Path, secret: &str) -> bool {
    token.authority == key_of(secret) || was_authority(dir, &token.authority)
}

fn was_authority(dir: &Path, key: &PublicKey) -> bool {
    // one that cannot be read knows of none
    former(dir).unwrap_or_default().lines().any(|line| line == hex(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";

    fn opened(dir: &Path, secret: &str) -> Arc<Secrets> {
        Secrets::open(dir, (secret.into(), false), PrivateKey::of_seed(&[1; 32])).expect("they open")
    }

    fn kept(dir: &Path) -> String {
        std::fs::read_to_string(dir.join(KEPT)).expect("it is there").trim().to_owned()
    }

    #[test]
    fn every_stage_outlives_a_restart_and_the_old_secret_does_not_outlive_the_last() {
        let dir = tempfile::tempdir().expect("a directory");
        let rotation = Rotation::draw(OLD);
        let both = vec![rotation.from, rotation.to];
        for (stage, shows) in [(Stage::Trust, rotation.from), (Stage::Show, rotation.to)] {
            opened(dir.path(), OLD).follow(&rotation.at(stage)).expect("followed");
            let again = opened(dir.path(), OLD);
            assert_eq!(again.papers.sides(), (shows, both.clone()));
            again.follow(&rotation.at(Stage::Trust)).expect("passed over");
            assert_eq!(again.papers.sides().0, shows, "nothing goes back");
        }
        let last = opened(dir.path(), OLD);
        last.follow(&rotation.at(Stage::Keep)).expect("followed");
        let new = kept(dir.path());
        assert_eq!((last.secret(), last.authority()), (new.clone(), rotation.to));
        assert!(new != OLD && new.len() >= 32 && !dir.path().join(NEXT).exists());
        for keys in [last.keys(), opened(dir.path(), &new).keys()] {
            assert_eq!((keys.shows, keys.trusts, keys.keeps), (rotation.to, vec![rotation.to], rotation.to));
        }
        last.follow(&rotation.at(Stage::Trust)).expect("passed over");
        assert_eq!(last.papers.sides().1, [rotation.to], "a log that is read again turns nothing back");
        assert!(was_kept(dir.path(), OLD) && !was_kept(dir.path(), &new));
    }

    #[test]
    fn what_a_crash_left_between_two_files_is_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let rotation = Rotation::draw(OLD);
        opened(dir.path(), OLD).follow(&rotation).expect("followed");
        let left = std::fs::read(dir.path().join(NEXT)).expect("it is there");
        opened(dir.path(), OLD).follow(&rotation.at(Stage::Keep)).expect("followed");
        std::fs::write(dir.path().join(NEXT), left).expect("it is written");
        assert_eq!(opened(dir.path(), &kept(dir.path())).papers.sides(), (rotation.to, vec![rotation.to]));
    }

    #[test]
    fn a_rotation_of_another_cluster_is_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let secrets = opened(dir.path(), OLD);
        let other = Rotation::draw("another secret of thirty-two bytes");
        secrets.follow(&other.at(Stage::Keep)).expect("passed over");
        secrets.follow(&Rotation { from: secrets.authority(), ..other }).expect("passed over");
        assert_eq!(secrets.secret(), OLD);
        assert_eq!(secrets.papers.sides().1.len(), 1);
    }
}
