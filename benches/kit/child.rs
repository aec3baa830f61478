//! Child: this very program in another process, playing another part.
//!
//! A bench starts itself again with the part's name in the environment and what it must know on standard input, as
//! one line of JSON. A part that serves says where it listens, one that measures says what it found, as one line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

const PART: &str = "SOJOURN_BENCH_PART";

/// The part that this process plays; `None` is the bench itself.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// What the bench told this part.
pub fn told<T: DeserializeOwned>() -> T {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line on standard input");
    serde_json::from_str(&line).expect("what the bench said is JSON")
}

/// Tells the bench something.
pub fn tell(what: &impl Serialize) {
    println!("{}", serde_json::to_string(what).expect("figures are JSON"));
}

/// A part in another process; killed when dropped.
pub struct Part {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Part {
    /// Starts `part` and tells it `what`.
    pub fn start(part: &str, what: &impl Serialize) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program has a path"))
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let line = serde_json::to_string(what).expect("figures are JSON");
        writeln!(process.stdin.as_mut().expect("it is piped"), "{line}").expect("the part listens");
        let out = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, out }
    }

    /// The next line that it tells.
    pub fn hear<T: DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("the part speaks");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("a part of the bench failed: {e}: {line:?}"))
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // one that ended by itself cannot be killed, and need not be
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
