//! Files: one node of three is stopped or killed, and what it comes back to is not what it left.
//!
//! Each of its files is cut short, flipped, older than it was or gone. The node rebuilds itself and says so, or refuses,
//! names the file and says what to do: never does it vote with a log that forgot something, or serve a part of the
//! whole. The other two go on all the while. In the end it is replaced, as `cluster/README.md` says. Runs where
//! `TEST_DISK=1` asks for it: it takes a minute.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::cluster::{nodes, place, ready, three, until, votes};
use super::dice::Dice;
use super::disk::is_wanted;
use super::load::{Load, Pourer};
use super::witness::Witness;
use crate::program::{Place, Program, copy};

/// More than the log entries that stay behind a snapshot, and than are purged at a time: then only the snapshot knows
/// the first ones.
const PURGING: u64 = 2_100;
/// Those who make so many.
const POURERS: u64 = 8;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Gone,
    Emptied,
    Halved,
    /// Its last byte is missing.
    Cut,
    /// A bit somewhere, in a byte that is not zero.
    Flipped,
    /// It was whole once, before the last writes.
    Older,
}

impl Damage {
    /// What becomes of these bytes; `None`: nothing.
    fn of(self, mut bytes: Vec<u8>, older: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
        match self {
            Self::Gone => return None,
            Self::Emptied => bytes.clear(),
            Self::Halved => bytes.truncate(bytes.len() / 2),
            Self::Cut => bytes.truncate(bytes.len() - 1),
            Self::Flipped => {
                let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                bytes[used[dice.below(used.len() as u64) as usize]] ^= 1 << dice.below(8);
            }
            Self::Older => return Some(older.to_vec()),
        }
        Some(bytes)
    }
}

/// The node that is hurt, its files as it left them, and what it must know when it comes back.
struct Patient<'a> {
    place: &'a Place,
    /// Nothing that a later life wrote may be undone by coming back here.
    left: TempDir,
    witness: &'a Witness,
    pourers: &'a [Pourer],
    kills: bool,
    /// Its log, a life before.
    older_log: Vec<u8>,
}

impl Patient<'_> {
    fn end(&self, node: Program) {
        if self.kills {
            node.kill();
        } else {
            assert_eq!(node.stop(), Some(0));
        }
    }

    /// Remembers the files as they are.
    fn keep(&mut self) {
        self.left = tempfile::tempdir().expect("a directory");
        copy(&self.place.data(), self.left.path());
    }

    fn put_back(&self) {
        fs::remove_dir_all(self.place.data()).expect("is removed");
        copy(self.left.path(), &self.place.data());
    }

    /// Its file whose name ends so, as it left it.
    fn file(&self, end: &str) -> Option<PathBuf> {
        let below = |dir: &str| fs::read_dir(self.left.path().join(dir)).expect("is read");
        let mut all = below("").chain(below("snapshots")).map(|item| item.expect("is read").path());
        let found = all.find(|path| path.to_str().is_some_and(|path| path.ends_with(end)))?;
        (found.metadata().expect("is there").len() > 0).then_some(found)
    }

    /// Comes back with this damage. Answers whether it did, and what it said.
    async fn bears(&mut self, file: &Path, damage: Damage, dice: &mut Dice) -> (bool, String) {
        self.put_back();
        let there = self.place.data().join(file.strip_prefix(self.left.path()).expect("is below"));
        match damage.of(fs::read(file).expect("is read"), &self.older_log, dice) {
            Some(bytes) => fs::write(there, bytes).expect("is written"),
            None => fs::remove_file(there).expect("is removed"),
        }
        let what = format!("{} {damage:?}, kills: {}", file.display(), self.kills);
        match self.place.spawn().ready() {
            Ok(node) => {
                until("it votes", || votes(self.place, 3));
                for pourer in self.pourers {
                    pourer.look(&node.url).await;
                }
                let missing = self.witness.missing(&node).await;
                assert!(missing.is_empty(), "{what}: {missing:?}");
                let said = node.log();
                self.end(node);
                self.keep();
                (true, said)
            }
            Err(ended) => {
                let name = file.file_name().and_then(|name| name.to_str()).expect("has a name");
                let names = ended.log.contains(name.trim_end_matches("-wal"))
                    || (damage == Damage::Gone && ended.log.contains("snapshots"));
                let is_clear = names && ended.log.contains("hint: ") && ended.log.contains("`sojourn cluster remove`");
                assert!(ended.status == Some(1) && is_clear, "{what}: status {:?}: {}", ended.status, ended.log);
                (false, ended.log)
            }
        }
    }
}

/// Everything that is tried after one end of the node.
async fn bears_everything(patient: &mut Patient<'_>, dice: &mut Dice) {
    use Damage::{Cut, Emptied, Flipped, Gone, Halved, Older};
    let (mut came, mut refused) = (0, 0);
    for end in ["log.redb", "log.journal", ".snapshot", ".db", ".db-wal"] {
        let older: &[Damage] = if end == "log.redb" { &[Older] } else { &[] };
        for damage in [Gone, Emptied, Halved, Cut, Flipped, Flipped].iter().chain(older) {
            let Some(file) = patient.file(end) else { continue };
            let (is_back, said) = patient.bears(&file, *damage, dice).await;
            (came, refused) = (came + u32::from(is_back), refused + u32::from(!is_back));
            let what = format!("{} {damage:?}", file.display());
            let is_flip = *damage == Flipped;
            assert!(!is_back || is_flip || end != "log.redb", "{what}: it votes with that log: {said}");
            assert!(!is_back || is_flip || end != ".snapshot", "{what}: it knows what it cannot know: {said}");
            // the users' database is the one that it makes anew by itself; what its journal has is not missed in it
            let is_rebuilt = is_back && said.contains("made anew");
            assert!(is_rebuilt || ![Gone, Emptied].contains(damage) || end != ".db", "{what}: {said}");
            assert!(is_back || !end.starts_with(".db"), "{what}: {said}");
        }
    }
    println!("kills: {}: {came} came back, {refused} refused", patient.kills);
    patient.put_back();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_whose_files_are_damaged_says_so_and_the_others_go_on() {
    if !is_wanted() {
        return;
    }
    let (mut dice, seed) = Dice::seeded();
    println!("TEST_SEED={seed}");
    let (places, mut programs) = three();
    let mut witness = Witness::of_some_life(&programs[0]).await;
    let eve = Pourer::new(&programs[1], "eve", 0).await.visitor.a_while_later();
    let mut pourers = Vec::new();
    for number in 0..POURERS {
        pourers.push(Pourer::new(&programs[0], &format!("pourer{number}"), 100).await);
    }
    let urls: Vec<String> = programs.iter().map(|program| program.url.clone()).collect();
    let load = Load::start(pourers.into_iter().zip(urls.iter().map(String::as_str).cycle()), &eve, &[]);
    let applied = || nodes(&places[2]).iter().find(|node| node["is_this"] == true)?["applied"].as_u64();
    // several pours may share an entry
    until("the log is long", || applied() > Some(PURGING));
    places[2].done(&["backup", &places[2].file("backup").display().to_string()]);
    (pourers, _) = load.end().await;
    witness.person(&programs[1], "dora@example.com").await;
    witness.count().await;

    let others: Vec<&str> = urls[..2].iter().map(String::as_str).collect();
    let strangers = [Pourer::new(&programs[0], "walt", 0).await, Pourer::new(&programs[1], "wilma", 0).await];
    let load = Load::start(strangers.into_iter().zip(others.iter().copied()), &eve, &others);
    for kills in [false, true] {
        let left = TempDir::new().expect("a directory");
        let (place, witness, pourers) = (&places[2], &witness, &pourers[..]);
        let mut patient = Patient { place, left, witness, pourers, kills, older_log: Vec::new() };
        patient.end(programs.remove(2));
        let read = |name: &str| fs::read(patient.place.data().join(name)).expect("is read");
        let (older_log, mark) = (read("log.redb"), read("log.mark"));
        // one life more, so that there is something to forget; a mark that a kill left behind the log moves without
        let node = patient.place.start();
        let mut marks = vec![mark];
        until("it has written", || {
            marks.push(read("log.mark"));
            marks.dedup();
            marks.len() > 2
        });
        patient.older_log = older_log;
        // a clean end puts into the log's file what its journal holds: from then on the other one lacks it
        assert_eq!(node.stop(), Some(0));
        patient.end(patient.place.start());
        patient.keep();
        bears_everything(&mut patient, &mut dice).await;
        programs.push(places[2].start());
        until("it votes", || votes(&places[2], 3));
    }
    let (strangers, looks) = load.end().await;
    let gap = strangers.iter().map(|pourer| pourer.longest).max().unwrap_or_default();
    println!("{looks} checks of the others, no write for {gap:?} at most");
    programs.remove(2).kill();
    replaced(&places, &programs, &witness).await;
}

/// The last node is gone for good: another one takes its place, and its id is never used again.
async fn replaced(places: &[Place; 3], programs: &[Program], witness: &Witness) {
    let own = |place: &Place| place.json(&["healthcheck"]);
    let ids = || nodes(&places[0]).iter().map(|node| node["id"].to_string()).collect::<Vec<_>>();
    let before = ids();
    let lost = nodes(&places[0]).iter().find(|node| node["answers"] == false).expect("it is gone")["id"].to_string();
    let copied = tempfile::tempdir().expect("a directory");
    copy(&places[2].data(), copied.path());

    // a directory that was wiped knows nothing of its cluster, and is none of its nodes
    fs::remove_dir_all(places[2].data()).expect("is removed");
    let stranger = places[2].start();
    assert_ne!(own(&places[2])["cluster"], own(&places[0])["cluster"]);
    assert!(!before.contains(&own(&places[2])["node"].as_str().expect("an id").to_owned()));
    for (visitor, _) in &witness.live {
        assert!(!visitor.at_url(&stranger.url).is_signed_in().await, "it honours a session that it cannot know");
    }
    assert!(votes(&places[0], 2), "the others do not take it for the one that is gone");
    assert_eq!(stranger.stop(), Some(0));

    fs::remove_dir_all(places[2].data()).expect("is removed");
    places[0].done(&["cluster", "remove", &lost]);
    let token = places[1].done(&["cluster", "token"]).trim().to_owned();
    let new = ready(places[2].spawn_with(&["serve", "--join", &token]));
    until("it votes", || votes(&places[0], 3));
    assert!(ids().len() == 3 && !ids().contains(&lost), "{:?}, and {lost} is gone", ids());
    for node in programs.iter().chain([&new]) {
        witness.finds_all(node).await;
    }
    // and the old one, should its disk come back, is turned away
    let old = place();
    copy(copied.path(), &old.data());
    let (status, said) = match old.spawn().ready() {
        Ok(mut back) => (back.wait().code(), back.log()),
        Err(ended) => (ended.status, ended.log),
    };
    assert!(status == Some(1) && said.contains("removed from its cluster"), "{said}");
}
