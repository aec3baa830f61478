//! Damage: a file that is torn, flipped or gone is named and refused; nothing is ever started with a part missing.
//!
//! Every file of a stopped node is damaged in many ways, each on a copy of its own. Either the node starts and has
//! everything that was acknowledged (the damage hit nothing that counts, or something that is derived), or it exits
//! with an error that names the file. `TEST_DAMAGES=100` makes many more flips than a plain run has patience for.

use std::fs;
use std::path::{Path, PathBuf};

use super::dice::Dice;
use super::witness::Witness;
use crate::program::{Place, Program};

/// Flipped bits a file in a plain run.
const FLIPS: u64 = 4;
/// The page size of both databases.
const PAGE: usize = 4096;

/// What is done to a file.
#[derive(Debug, Clone)]
enum Damage {
    Removed,
    Truncated(usize),
    Flipped { byte: usize, bit: u8 },
    ZeroPage(usize),
}

impl Damage {
    fn inflict(&self, file: &Path) {
        let mut bytes = fs::read(file).expect("is read");
        match *self {
            Self::Removed => return fs::remove_file(file).expect("is removed"),
            Self::Truncated(length) => bytes.truncate(length),
            Self::Flipped { byte, bit } => bytes[byte] ^= 1 << bit,
            Self::ZeroPage(start) => bytes.iter_mut().skip(start).take(PAGE).for_each(|byte| *byte = 0),
        }
        fs::write(file, bytes).expect("is written");
    }

    /// Damages for a file of this content; flips hit what is not empty.
    fn all(content: &[u8], flips: u64, dice: &mut Dice) -> Vec<Self> {
        let length = content.len();
        let mut all = vec![Self::Removed];
        all.extend([0, length / 2, length.saturating_sub(1)].map(Self::Truncated));
        let used: Vec<usize> = (0..length).filter(|at| content[*at] != 0).collect();
        for _ in 0..flips {
            let byte = used[dice.below(used.len() as u64) as usize];
            all.push(Self::Flipped { byte, bit: dice.below(8) as u8 });
        }
        for _ in 0..flips / 4 {
            let byte = used[dice.below(used.len() as u64) as usize];
            all.push(Self::ZeroPage(byte / PAGE * PAGE));
        }
        all
    }
}

/// The files that hold the state, relative to the data directory.
fn files_of(data: &Path) -> Vec<PathBuf> {
    let mut files = vec![PathBuf::from("CURRENT"), "log.redb".into(), "log.journal".into(), "log.mark".into()];
    for item in fs::read_dir(data).expect("is read").chain(fs::read_dir(data.join("snapshots")).expect("is read")) {
        let path = item.expect("is read").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("has a name").to_owned();
        // what lies beside the database is an index into its journal, which SQLite makes anew
        if name.ends_with(".snapshot") || (name.starts_with("users-") && !name.ends_with("-shm")) {
            files.push(path.strip_prefix(data).expect("is below").to_owned());
        }
    }
    files
}

/// How many log entries stay behind a snapshot, how many are purged at a time, and some: then the snapshot is all that
/// knows the first ones.
const PURGING: u64 = 2_100;

/// A node whose log is purged up to a snapshot, with records after it.
async fn some_life(place: &Place) -> (Program, Witness) {
    let node = place.start();
    let mut witness = Witness::of_some_life(&node).await;
    for _ in 0..PURGING / witness.live.len() as u64 + 1 {
        witness.count().await;
    }
    place.done(&["backup", &place.file("backup").display().to_string()]);
    witness.person(&node, "dora@example.com").await;
    witness.count().await;
    (node, witness)
}

/// What is wrong with how a node bears a damage, if anything is.
async fn borne(place: &Place, witness: &Witness, file: &Path, damage: &Damage) -> Option<String> {
    let hurt = Place::new();
    place.copy_to(&hurt);
    damage.inflict(&hurt.data().join(file));
    match hurt.spawn().ready() {
        Ok(node) => {
            let missing = witness.missing(&node).await;
            (!missing.is_empty()).then(|| format!("{} {damage:?}: it starts and {missing:?}", file.display()))
        }
        Err(ended) => {
            let name = file.file_name().and_then(|name| name.to_str()).expect("has a name");
            // a journal belongs to its database; a snapshot that is gone has no name, but a place
            let place = file.parent().and_then(|dir| dir.to_str()).filter(|dir| !dir.is_empty());
            let named = ended.log.contains(name.trim_end_matches("-wal"))
                || (matches!(damage, Damage::Removed) && place.is_some_and(|place| ended.log.contains(place)));
            // redb panics over some pages, which is caught: then that is said first
            let clear = ended.status == Some(1) && named && ended.log.contains("hint: ");
            (!clear).then(|| format!("{} {damage:?}: status {:?}: {}", file.display(), ended.status, ended.log))
        }
    }
}

async fn bears_everything(place: &Place, witness: &Witness, files: Vec<PathBuf>) {
    let flips = std::env::var("TEST_DAMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(FLIPS);
    let (mut dice, seed) = Dice::seeded();
    println!("TEST_SEED={seed}");
    let mut wrong = Vec::new();
    let mut tried = 0;
    for file in files {
        let content = fs::read(place.data().join(&file)).expect("is read");
        if content.is_empty() {
            continue;
        }
        for damage in Damage::all(&content, flips, &mut dice) {
            wrong.extend(borne(place, witness, &file, &damage).await);
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} damages, TEST_SEED={seed}:\n{}", wrong.len(), wrong.join("\n"));
    println!("{tried} damages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_every_file_is_whole_or_refused() {
    let place = Place::new();
    let (node, witness) = some_life(&place).await;
    assert_eq!(node.stop(), Some(0));
    let files = files_of(&place.data());
    assert!(files.len() >= 4, "{files:?}");
    bears_everything(&place, &witness, files).await;
}

#[test]
fn a_secret_that_was_cut_short_is_refused() {
    let place = Place::new();
    drop(place.start());
    let secret = place.data().join("secret");
    let whole = fs::read_to_string(&secret).expect("is there");
    for cut in [0, 5] {
        fs::write(&secret, &whole[..cut]).expect("is written");
        let refused = place.refused();
        assert_eq!(refused.status, Some(1), "{}", refused.log);
        assert!(refused.log.contains(&secret.display().to_string()) && refused.log.contains("hint: "));
    }
    fs::write(&secret, &whole).expect("is written");
    assert_eq!(place.start().stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_too() {
    let place = Place::new();
    let (node, witness) = some_life(&place).await;
    node.kill();
    bears_everything(&place, &witness, files_of(&place.data())).await;
}
