//! Fill: a data directory with many sessions in it, begun through the log itself by a process of its own.
//!
//! They are signed in, one after another for each of some people, each with a value of 300 bytes, named as the binary
//! names them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sojourn::clock::SystemClock;
use sojourn::log::Log as _;
use sojourn::raft::{RaftLog, Settings};
use sojourn::state::{Begin, Forgiven, Key, Op, Outcome, Proof, SignedIn, State};

use super::child::{self, Part};

/// The part's name.
pub const PART: &str = "fill";
/// What lets a million sessions in.
pub const ROOMY: (&str, &str) = ("SOJOURN_SESSIONS_MEMORY_MAX", "4GiB");
/// Bytes of a session's value.
const VALUE: usize = 300;

/// Where to put how many sessions.
#[derive(Serialize, Deserialize)]
struct Fill {
    dir: PathBuf,
    sessions: usize,
}

/// Begins so many sessions in `dir`, in a process of its own that is killed then.
pub fn begin(dir: &Path, sessions: usize) {
    let held: usize = Part::start(PART, &Fill { dir: dir.to_owned(), sessions }).hear();
    assert_eq!(held, sessions);
}

/// The part that begins sessions: many at once, so that the log takes them in large groups.
pub fn play() {
    const AT_ONCE: usize = 4_096;
    let Fill { dir, sessions } = child::told();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let held = runtime.block_on(async {
        fs::create_dir_all(&dir).expect("a directory");
        let state = Arc::new(State::open(&dir).expect("the state opens"));
        let settings = Settings::alone("0123456789abcdef0123456789abcdef");
        let log = RaftLog::open(&dir, state.clone(), Arc::new(SystemClock), settings).await.expect("the log opens");
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..AT_ONCE {
            let log = log.clone();
            lanes.spawn(async move {
                for number in (lane..sessions).step_by(AT_ONCE) {
                    let outcome = log.submit(Op::Begin(Box::new(session(number)))).await.expect("acknowledged");
                    assert!(matches!(outcome, Outcome::Session(_)), "{outcome:?}");
                }
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane.expect("all are acknowledged");
        }
        sessions
    });
    child::tell(&held);
    // what was acknowledged is on disk; nobody says goodbye
    std::process::abort();
}

fn session(number: usize) -> Begin {
    // as the binary names people and sessions: a UUID, and 32 characters of base64url
    let user = format!("0199a1b2-c3d4-7{:03x}-8abc-{number:012x}", number % 4_096);
    Begin {
        key: Key::session("sess:", &sid(number)),
        value: value(&user).into(),
        signed: Some(SignedIn { user, epoch: 0, proof: Proof::Password, own: [number as u8; 16] }),
        idle_ms: 86_400_000,
        lifetime_ms: 30 * 86_400_000,
        remember: true,
        address: format!("192.0.{}.{}", number / 256 % 256, number % 256),
        agent: "Firefox on Linux".to_owned(),
        replaces: None,
        per_user_max: 100,
        budget: None,
        forgiven: Forgiven::default(),
    }
}

/// Its id.
pub fn sid(number: usize) -> String {
    format!("{:032}", number as u128 * 79_228_162_514_264_337_593_543_950_319_u128 % 10_u128.pow(32))
}

/// A session's value of the usual shape, [`VALUE`] bytes long.
pub fn value(user: &str) -> String {
    let cookie = r#"{"originalMaxAge":2592000000,"expires":"2026-11-21T03:48:29.498Z","httpOnly":true,"path":"/"}"#;
    let begins = format!(r#"{{"cookie":{cookie},"passport":{{"user":"{user}"}},"filler":""#);
    format!("{begins}{}\"}}", "x".repeat(VALUE - begins.len() - 2))
}
