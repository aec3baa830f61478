//! Disk: one node's disk is full, fails, or is not what was written there; the other two go on.
//!
//! The node stops and says why, or rebuilds what it can and says so; it never serves a part of the whole, and never
//! votes again with a log that forgot something. Runs only where `TEST_DISK=1` asks for it, because it mounts a small
//! file system and injects errors with strace; there, a machine that does not permit them is a failure.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cluster::{nodes, place, together, until, votes};
use super::load::{Load, Pourer};
use super::witness::Witness;
use crate::program::{Place, Program};

/// What each pour writes, bytes: a full disk is to be noticed soon.
const BALLAST: usize = 16 << 10;
/// How long writes may be missing while a node dies of its disk.
const GAP_MAX: Duration = Duration::from_secs(6);
/// Pours that show that writes go on.
const ENOUGH: u64 = 20;

/// Whether this run asked for it; said aloud if not.
pub fn is_wanted() -> bool {
    let is_wanted = std::env::var("TEST_DISK").as_deref() == Ok("1");
    if !is_wanted {
        // past the capture of output: that something was left out should be seen
        _ = std::io::stderr().write_all(b"skipped: disks that are full, fail or lie; TEST_DISK=1 runs them\n");
    }
    is_wanted
}

/// A small file system over a directory, which can be filled.
struct Disk(PathBuf);

impl Disk {
    fn over(dir: &Path) -> Self {
        fs::create_dir(dir).expect("is made");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=96m,mode=0700", "tmpfs"]).arg(dir).status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "no file system is mounted\nhint: TEST_DISK=1 needs root"
        );
        Self(dir.to_owned())
    }

    /// Leaves no byte.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("is made");
        let full = std::iter::repeat_with(|| ballast.write_all(&[0; 4096])).find_map(Result::err);
        assert_eq!(full.map(|e| e.kind()), Some(ErrorKind::StorageFull));
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("is removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // with or without somebody in it; what cannot be unmounted is left to the person who looks
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A strace that lets every fsync of a process fail.
struct Failing(Child);

impl Failing {
    fn every_sync_of(node: &Program) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
        strace.args(["-p", &node.id().to_string()]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = strace.spawn().unwrap_or_else(|e| panic!("strace: {e}\nhint: apt-get install strace"));
        let mut said = String::new();
        let heard = BufReader::new(child.stderr.take().expect("is piped")).read_line(&mut said);
        assert!(heard.is_ok() && said.contains("attached"), "strace: {said}hint: TEST_DISK=1 needs to trace processes");
        Self(child)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // most often it has ended with the node
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Full,
    SyncsFail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Leads,
    Follows,
}

fn leads(place: &Place) -> bool {
    nodes(place).iter().any(|node| node["is_this"] == true && node["role"] == "leader")
}

/// The first node leads, or the second.
fn arrange(places: &[Place; 3], role: Role) {
    let chosen = &places[usize::from(role == Role::Follows)];
    if !leads(chosen) {
        let id = chosen.json(&["healthcheck"])["node"].as_str().expect("an id").to_owned();
        places[2].done(&["cluster", "transfer", &id]);
        until("the chosen one leads", || leads(chosen));
    }
}

/// Everything that was acknowledged is on every node.
async fn all_agree(programs: &[Program], pourers: &[Pourer], witness: &Witness) {
    for pourer in pourers {
        let mut counts = Vec::new();
        for program in programs {
            counts.push(pourer.look(&program.url).await);
        }
        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
    }
    for program in programs {
        witness.finds_all(program).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_is_full_or_fails_stops_its_node_and_nobody_else() {
    if !is_wanted() {
        return;
    }
    let places = [place(), place(), place()];
    let disk = Disk::over(&places[0].data());
    let mut programs = together(&places);
    let witness = Witness::of_some_life(&programs[1]).await;
    let eve = Pourer::new(&programs[2], "eve", 0).await.visitor.a_while_later();
    let mut pourers = Vec::new();
    for (at, node) in programs.iter().enumerate() {
        pourers.push(Pourer::new(node, &format!("pourer{at}"), BALLAST).await);
    }
    for fault in [Fault::Full, Fault::SyncsFail] {
        for role in [Role::Leads, Role::Follows] {
            arrange(&places, role);
            let urls: Vec<String> = programs.iter().map(|program| program.url.clone()).collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let load = Load::start(pourers.into_iter().zip(urls.iter().copied()), &eve, &urls[1..]);
            until("the load is on", || load.done() > ENOUGH);
            let struck = Instant::now();
            let failing = match fault {
                Fault::Full => {
                    disk.fill();
                    None
                }
                Fault::SyncsFail => Some(Failing::every_sync_of(&programs[0])),
            };
            let status = programs[0].wait();
            let ended = struck.elapsed();
            let before = load.done();
            until("writes go on", || load.done() > before + ENOUGH);
            let looks;
            (pourers, looks) = load.end().await;
            let log = programs[0].log();
            assert_eq!(status.code(), Some(1), "{log}");
            let why = if fault == Fault::Full { ["No space left", "full"] } else { ["Input/output error", "I/O"] };
            assert!(log.contains("the log failed: ") && log.contains("hint: check the disk under"), "{log}");
            assert!(why.iter().any(|why| log.contains(why)), "{log}");
            let gap = pourers[1..].iter().map(|pourer| pourer.longest).max().unwrap_or_default();
            println!("{fault:?}, {role:?}: stopped after {ended:?}, no write for {gap:?}, {looks} checks");
            assert!(gap < GAP_MAX, "{fault:?}, {role:?}: nobody took a write for {gap:?}");
            drop(failing);
            if fault == Fault::Full {
                disk.free();
            }
            programs[0] = places[0].start();
            until("it votes again", || votes(&places[0], 3));
            all_agree(&programs, &pourers, &witness).await;
        }
    }
}
