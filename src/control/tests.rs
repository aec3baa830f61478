//! Both sides of the control socket, over a real one.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};

use super::protocol::{Health, Line, Password};
use super::*;
use crate::error::Error;
use crate::limits;

/// Answers a few requests; a backup is the file of this path.
struct Stub {
    backup: PathBuf,
    /// `Status` waits for it.
    gate: Notify,
    entered: Notify,
}

impl Operator for Stub {
    fn perform(&self, request: Request) -> Answer<'_, Result<Response>> {
        Box::pin(async move {
            match request {
                Request::Health => Ok(Response::Health(Health { ready: true, reason: String::new() })),
                Request::Status => {
                    self.entered.notify_one();
                    self.gate.notified().await;
                    Ok(Response::Done)
                }
                Request::UserShow { .. } => Err(Error::NotFound("user")),
                Request::UserSetPassword { password: Password(text), .. } if text == "right" => Ok(Response::Done),
                _ => Err(Error::broken("cannot write", "disk on fire")),
            }
        })
    }

    fn backup(&self, _extent: Extent, progress: Progress) -> Answer<'_, Result<tokio::fs::File>> {
        Box::pin(async move {
            progress.tell(1, 2);
            tokio::task::yield_now().await;
            tokio::fs::File::open(&self.backup).await.map_err(|e| Error::broken("no backup", e))
        })
    }
}

/// A server at work in a directory of its own.
struct Node {
    runtime: Runtime,
    dir: TempDir,
    data: PathBuf,
    stub: Arc<Stub>,
    stop: watch::Sender<bool>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Node {
    fn start() -> Self {
        Self::start_in("data")
    }

    fn start_in(below: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let data = dir.path().join(below);
        std::fs::create_dir_all(&data).expect("creates");
        let backup = dir.path().join("made");
        let runtime = Runtime::new().expect("a runtime");
        let stub = Arc::new(Stub { backup, gate: Notify::new(), entered: Notify::new() });
        let (stop, stopped) = watch::channel(false);
        let server = runtime.block_on(async { Server::open(&data) }).unwrap_or_else(|e| panic!("{e}"));
        let running = Some(runtime.spawn(server.run(stub.clone(), stopped)));
        Self { runtime, dir, data, stub, stop, running }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.data).unwrap_or_else(|e| panic!("{e}"))
    }

    fn raw(&self) -> UnixStream {
        UnixStream::connect(self.data.join(SOCKET)).expect("connects")
    }

    fn stop(&mut self) {
        self.stop.send_replace(true);
        let running = self.running.take().expect("stopped once");
        self.runtime.block_on(running).expect("the server ends well");
    }
}

fn wrong(asked: std::result::Result<Response, Unanswered>) -> String {
    asked.expect_err("is refused").to_string()
}

fn ready() -> Response {
    Response::Health(Health { ready: true, reason: String::new() })
}

#[test]
fn a_command_is_answered_and_may_ask_again() {
    let node = Node::start();
    let mut client = node.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(&Request::Health).expect("answers"), ready());
    }
    let password = Password("right".into());
    let set = Request::UserSetPassword { email: "a@example.com".into(), password };
    assert!(!format!("{set:?}").contains("right"));
    assert_eq!(client.ask(&set).expect("answers"), Response::Done);
}

#[test]
fn refusals_arrive_with_their_reason_and_the_conversation_goes_on() {
    let node = Node::start();
    let mut client = node.connect();
    assert_eq!(wrong(client.ask(&Request::UserShow { email: "x".into() })), "user not found");
    assert_eq!(wrong(client.ask(&Request::UserList { after: None })), "cannot write: disk on fire");
    assert_eq!(client.ask(&Request::Health).expect("answers"), ready());
}

#[test]
fn data_directories_deeper_than_a_socket_address_work() {
    let deep = format!("{}/{}", "d".repeat(120), "e".repeat(120));
    let mut node = Node::start_in(&deep);
    assert_eq!(node.connect().ask(&Request::Health).expect("answers"), ready());
    node.stop();
    assert!(!node.data.join(SOCKET).exists());
}

#[test]
fn only_the_owner_may_use_the_socket() {
    let node = Node::start();
    let mode = std::fs::metadata(node.data.join(SOCKET)).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_socket_left_by_a_dead_node_is_replaced_and_a_live_one_is_not() {
    let node = Node::start();
    let _inside = node.runtime.enter();
    let second = Server::open(&node.data).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(second.contains("another node listens there\n  hint: stop that node first"), "{second}");
    assert_eq!(node.connect().ask(&Request::Health).expect("answers"), ready());

    let left = node.dir.path().join("left");
    std::fs::create_dir(&left).expect("creates");
    drop(std::os::unix::net::UnixListener::bind(left.join(SOCKET)).expect("binds"));
    assert!(Server::open(&left).is_ok());
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join(SOCKET), "precious").expect("writes");
    assert!(Server::open(dir.path()).is_err());
    assert_eq!(std::fs::read_to_string(dir.path().join(SOCKET)).expect("is there"), "precious");
}

#[test]
fn without_a_node_the_hint_says_how_to_start_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let expected =
        |data: &Path| format!("no node runs on {0}\n  hint: start it with `sojourn serve --data {0}`", data.display());
    let told = |data: &Path| Client::connect(data).err().map(|e| e.to_string()).unwrap_or_default();
    assert_eq!(told(dir.path()), expected(dir.path()));
    let absent = dir.path().join("absent");
    assert_eq!(told(&absent), expected(&absent));
    drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET)).expect("binds"));
    assert_eq!(told(dir.path()), expected(dir.path()));
}

#[test]
fn lines_that_are_no_requests_are_refused_one_by_one() {
    let node = Node::start();
    let mut raw = node.raw();
    let mut lines = BufReader::new(raw.try_clone().expect("clones")).lines();
    for nonsense in
        [&b"hello"[..], b"", b"{}", b"{\"ask\":\"explode\"}", b"\xff\xfe", b"{\"ask\":\"user_show\"}", b"[1]"]
    {
        raw.write_all(nonsense).and_then(|()| raw.write_all(b"\n")).expect("writes");
        let told = lines.next().expect("a line").expect("reads");
        let Ok(Line::Failed(fault)) = serde_json::from_str(&told) else { panic!("{told}") };
        assert_eq!(fault.kind, "malformed", "{told}");
    }
    raw.write_all(b"{\"ask\":\"health\"}\n").expect("writes");
    assert!(lines.next().expect("a line").expect("reads").contains("\"ready\":true"));
}

#[test]
fn an_endless_line_is_cut_off() {
    let node = Node::start();
    let mut raw = node.raw();
    let long = vec![b'x'; limits::CONTROL_LINE_MAX + 1];
    raw.write_all(&long).expect("writes");
    let mut told = String::new();
    raw.read_to_string(&mut told).expect("reads to the end");
    let most = format!("a request is one line of at most {} bytes", limits::CONTROL_LINE_MAX);
    assert!(told.contains(&most), "{told}");
}

#[test]
fn a_line_as_long_as_allowed_is_read() {
    let node = Node::start();
    let mut raw = node.raw();
    let mut line = b"{\"ask\":\"health\"}".to_vec();
    line.resize(limits::CONTROL_LINE_MAX, b' ');
    line.push(b'\n');
    raw.write_all(&line).expect("writes");
    let mut told = String::new();
    BufReader::new(raw).read_line(&mut told).expect("reads");
    assert!(told.contains("\"ready\":true"), "{told}");
}

#[test]
fn half_a_line_is_no_request() {
    let node = Node::start();
    let mut raw = node.raw();
    raw.write_all(b"{\"ask\":\"health\"}").expect("writes");
    raw.shutdown(std::net::Shutdown::Write).expect("shuts");
    let mut told = String::new();
    raw.read_to_string(&mut told).expect("reads");
    assert_eq!(told, "");
}

#[test]
fn a_backup_arrives_byte_by_byte_with_progress() {
    let node = Node::start();
    let made: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(node.dir.path().join("made"), &made).expect("writes");
    let mut client = node.connect();
    let (mut got, mut steps) = (Vec::new(), Vec::new());
    let bytes = client.backup(Extent::Cluster, &mut got, &mut |step| steps.push(step)).expect("arrives");
    assert!(got == made && bytes == made.len() as u64);
    let last = Step::Receiving { done: bytes, total: bytes };
    assert_eq!((steps.first(), steps.last()), (Some(&Step::Preparing { done: 1, total: 2 }), Some(&last)));
    assert_eq!(client.ask(&Request::Health).expect("answers"), ready());
}

#[test]
fn an_empty_backup_is_a_backup() {
    let node = Node::start();
    std::fs::write(node.dir.path().join("made"), b"").expect("writes");
    assert_eq!(node.connect().backup(Extent::Cluster, &mut Vec::new(), &mut |_| {}).expect("arrives"), 0);
}

#[test]
fn a_backup_that_fails_says_why() {
    let node = Node::start();
    let told =
        node.connect().backup(Extent::Cluster, &mut Vec::new(), &mut |_| {}).expect_err("there is no file").to_string();
    assert!(told.starts_with("no backup: "), "{told}");
}

#[test]
fn a_backup_that_cannot_be_kept_is_an_error() {
    let node = Node::start();
    std::fs::write(node.dir.path().join("made"), vec![7; 1_000_000]).expect("writes");
    let mut small = [0; 10];
    let told =
        node.connect().backup(Extent::Cluster, &mut &mut small[..], &mut |_| {}).expect_err("is too small").to_string();
    assert!(told.starts_with("cannot write what the node sent: "), "{told}");
}

#[test]
fn stopping_finishes_what_is_under_way_and_closes_idle_connections() {
    let mut node = Node::start();
    let mut idle = node.raw();
    let mut busy = node.connect();
    let asking = std::thread::spawn(move || busy.ask(&Request::Status));
    node.runtime.block_on(node.stub.entered.notified());
    node.stop.send_replace(true);
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).expect("is closed"), 0);
    node.stub.gate.notify_one();
    node.stop();
    assert_eq!(asking.join().expect("ends").expect("is answered"), Response::Done);
    assert!(!node.data.join(SOCKET).exists());
}

#[test]
fn connections_beyond_the_bound_wait_for_room() {
    let node = Node::start();
    let mut held: Vec<Client> = (0..limits::CONTROL_CONNECTIONS_MAX).map(|_| node.connect()).collect();
    for client in &mut held {
        assert_eq!(client.ask(&Request::Health).expect("answers"), ready());
    }
    let mut late = node.connect();
    let asking = std::thread::spawn(move || late.ask(&Request::Health));
    held.pop();
    assert_eq!(asking.join().expect("ends").expect("is answered"), ready());
}
