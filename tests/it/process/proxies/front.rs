//! Front: a proxy that runs, set up by a shipped file.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::super::cluster::{free_address, until};
use crate::program::Program;

pub struct Front {
    pub name: &'static str,
    pub url: String,
    process: Child,
    _dir: TempDir,
}

impl Front {
    /// nginx between people and a service at this address, which asks this node.
    pub fn nginx(node: &Program, service: &str) -> Self {
        Self::nginx_with(node, service, |config| config)
    }

    /// The same, with its file changed.
    pub fn nginx_with(node: &Program, service: &str, change: impl Fn(String) -> String) -> Self {
        let dir = dir();
        let (listen, place) = (free_address(), dir.path().join("nginx").display().to_string());
        let node = node.url.trim_start_matches("http://");
        let config = set(
            include_str!("../../../../cluster/examples/nginx-auth.conf"),
            &[
                ("127.0.0.1:3000", node),
                ("127.0.0.1:9000", service),
                ("127.0.0.1:8081", &listen),
                ("server_name app.example.com", "server_name app.example.com 127.0.0.1 localhost"),
                ("/tmp/sojourn-nginx-auth", &place),
            ],
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, change(config)).expect("is written");
        let (file, prefix) = (file.display().to_string(), dir.path().display().to_string());
        Self::run("nginx", &["-p", &prefix, "-c", &file, "-e", "stderr"], (dir, listen))
    }

    /// Caddy in its place.
    pub fn caddy(node: &Program, service: &str) -> Self {
        let dir = dir();
        let listen = free_address();
        let node = node.url.trim_start_matches("http://");
        let (_, port) = listen.split_once(':').expect("it has a port");
        let hosts =
            ["app.example.com", "127.0.0.1", "localhost"].map(|host| format!("http://{host}:{port}")).join(", ");
        let config = set(
            include_str!("../../../../cluster/examples/Caddyfile"),
            &[
                ("127.0.0.1:3000", node),
                ("127.0.0.1:9000", service),
                ("app.example.com {\n", &format!("{hosts} {{\n\tbind 127.0.0.1\n")),
            ],
        );
        let file = dir.path().join("Caddyfile");
        std::fs::write(&file, config).expect("is written");
        let file = file.display().to_string();
        Self::run("caddy", &["run", "--adapter", "caddyfile", "--config", &file], (dir, listen))
    }

    /// Bytes sent on a connection of their own, and all that comes back until it is closed.
    pub fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).expect("the proxy listens");
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it is answered");
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn run(name: &'static str, args: &[&str], (dir, listen): (TempDir, String)) -> Self {
        let mut command = Command::new(name);
        command.args(args).current_dir(dir.path()).env("HOME", dir.path()).env("XDG_DATA_HOME", dir.path());
        command.env("XDG_CONFIG_HOME", dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.stderr(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|e| panic!("{name}: {e}\nhint: apt-get install it, as tests/all does"));
        let front = Self { name, url: format!("http://{listen}"), process, _dir: dir };
        until("the proxy listens", || TcpStream::connect(&listen).is_ok());
        front
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // told, not killed: its workers go with it
        let pid = Pid::from_raw(self.process.id().cast_signed()).expect("a process has an id");
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Its workers are another user's when it is root's.
fn dir() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("is set");
    dir
}

fn set(shipped: &str, ours: &[(&str, &str)]) -> String {
    ours.iter().fold(shipped.to_owned(), |config, (shipped, ours)| {
        assert!(config.contains(shipped), "the file does not say {shipped}");
        config.replace(shipped, ours)
    })
}
