//! Program: the real binary as its own process, on a data directory of its own and on ports that the system gives.
//!
//! Nothing of the surrounding environment reaches it, and nothing is killed but what was started here, by its own
//! handle. A process that outlives its test would hold the directory: dropping one kills it and waits.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Visitor;

/// How long anything that is waited for may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A place to run the program in: a data directory, and settings.
pub struct Place {
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
    /// What a node is run by: a command that runs the command that follows.
    around: Vec<String>,
}

/// What a command that ended has left.
pub struct Done {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    /// An empty place. Proxies on this machine are trusted, so that tests can choose whom they come from.
    pub fn new() -> Self {
        let settings = [
            ("SOJOURN_WEB_LISTEN", "127.0.0.1:0"),
            ("SOJOURN_METRICS_LISTEN", ""),
            ("SOJOURN_CLUSTER_LISTEN", "127.0.0.1:0"),
            ("SOJOURN_WEB_TRUSTED_PROXIES", "127.0.0.0/8"),
        ];
        let settings = settings.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { dir: tempfile::tempdir().expect("a directory"), settings, around: Vec::new() }
    }

    /// The same, whose node is run by this command: `ip netns exec …`, say.
    pub fn inside(self, command: &[&str]) -> Self {
        Self { around: command.iter().map(|word| (*word).to_owned()).collect(), ..self }
    }

    /// The same with one setting more, as a variable of the environment.
    pub fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.settings.retain(|(name, _)| *name != variable);
        self.settings.push((variable, value.to_owned()));
        self
    }

    /// Its data directory, which exists once the program made it.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("node")
    }

    /// A file beside the data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command line in this place, not run yet.
    pub fn command(&self, args: &[&str]) -> Command {
        self.settled(Command::new(env!("CARGO_BIN_EXE_sojourn")), args)
    }

    /// The same for a node, inside whatever it is to be in.
    fn node(&self, args: &[&str]) -> Command {
        let Some((around, words)) = self.around.split_first() else { return self.command(args) };
        let mut command = Command::new(around);
        command.args(words).arg(env!("CARGO_BIN_EXE_sojourn"));
        self.settled(command, args)
    }

    fn settled(&self, mut command: Command, args: &[&str]) -> Command {
        command.args(args).env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.env("SOJOURN_DATA", self.data()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        ended(self.command(args).spawn().expect("the binary runs"), b"")
    }

    /// Runs a command to its end, with this on its standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Done {
        ended(self.command(args).stdin(Stdio::piped()).spawn().expect("the binary runs"), input)
    }

    /// Runs a command that is to succeed; answers what it wrote.
    pub fn done(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.status, 0, "{args:?}: {}{}", done.out, done.err);
        done.out
    }

    /// Runs a command with `--json` that is to succeed.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.done(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    }

    /// Starts a node, which may or may not come up.
    pub fn spawn(&self) -> Starting {
        self.spawn_with(&["serve"])
    }

    /// The same with these arguments.
    pub fn spawn_with(&self, args: &[&str]) -> Starting {
        Starting::of(self.node(args))
    }

    /// Starts a node and waits until its doors are open.
    pub fn start(&self) -> Program {
        self.spawn().ready().unwrap_or_else(|ended| panic!("the node did not start: {}", ended.log))
    }

    /// Starts a node that is to refuse; answers its exit status and what it said.
    pub fn refused(&self) -> Ended {
        match self.spawn().ready() {
            Ok(_) => panic!("the node started"),
            Err(ended) => ended,
        }
    }

    /// Copies the data directory, which no process may be using, to another place.
    pub fn copy_to(&self, other: &Self) {
        copy(&self.data(), &other.data());
    }
}

fn ended(mut child: Child, input: &[u8]) -> Done {
    // whoever does not read its input closes it, which is no failure of the test
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().expect("the command ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Done { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Copies a directory of files and directories.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for item in fs::read_dir(from).expect("is readable") {
        let item = item.expect("is readable");
        let (path, target) = (item.path(), to.join(item.file_name()));
        let kind = item.file_type().expect("is readable");
        if kind.is_dir() {
            copy(&path, &target);
        } else if kind.is_file() {
            fs::copy(&path, &target).expect("is copied");
        }
    }
}

/// A node that is on its way.
pub struct Starting {
    program: Program,
    ready: Receiver<String>,
}

/// How a node ended that did not come up.
pub struct Ended {
    pub status: Option<i32>,
    pub log: String,
}

impl Starting {
    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the binary runs");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (send, ready) = channel();
        let (err, kept) = (child.stderr.take().expect("is piped"), lines.clone());
        let err = std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let read: Value = serde_json::from_str(&line).unwrap_or_default();
                kept.lock().push(line);
                if let ("ready", Some(address)) =
                    (read["message"].as_str().unwrap_or_default(), read["address"].as_str())
                {
                    // nobody waits for it after a second one
                    let _ = send.send(address.to_owned());
                }
            }
        });
        let (mut out, kept) = (child.stdout.take().expect("is piped"), lines.clone());
        let out = std::thread::spawn(move || {
            let mut text = String::new();
            if out.read_to_string(&mut text).is_ok() && !text.is_empty() {
                kept.lock().push(text);
            }
        });
        let program = Program { child, url: String::new(), lines, readers: vec![err, out] };
        Self { program, ready }
    }

    /// Waits until the doors are open, or the process has ended.
    pub fn ready(self) -> Result<Program, Ended> {
        self.ready_within(PATIENCE)
            .unwrap_or_else(|late| panic!("the node neither started nor ended: {}", late.program.log()))
    }

    /// The same, for so long; `Err` gives itself back.
    pub fn ready_within(mut self, time: Duration) -> Result<Result<Program, Ended>, Box<Self>> {
        match self.ready.recv_timeout(time) {
            Ok(address) => {
                self.program.url = format!("http://{address}");
                Ok(Ok(self.program))
            }
            Err(RecvTimeoutError::Timeout) => Err(Box::new(self)),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.program.wait().code();
                Ok(Err(Ended { status, log: self.program.log() }))
            }
        }
    }

    /// SIGKILL, wherever it is on its way.
    pub fn kill(self) {
        self.program.kill();
    }
}

/// A node that runs as a process.
pub struct Program {
    child: Child,
    /// Where its HTTP door is.
    pub url: String,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Everything that it wrote so far, to both streams.
    pub fn log(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Somebody with an empty cookie jar.
    pub fn visitor(&self) -> Visitor {
        Visitor::at(&self.url)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process has an id");
        kill_process(pid, signal).expect("the process is ours");
    }

    /// SIGKILL, and the end of it.
    pub fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.wait();
    }

    /// SIGTERM; waits for the end and answers the exit status.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait().code()
    }

    /// Waits for its end, and for the last it said.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().expect("the process is ours") {
                Some(status) => break status,
                None if Instant::now() > until => panic!("the process does not end: {}", self.log()),
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        for reader in self.readers.drain(..) {
            // it reads to the end of a pipe that nobody holds any more
            let _ = reader.join();
        }
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // most often it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
