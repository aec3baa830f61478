//! Services: four that answer with the headers that they see, in the ways in which services see them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::super::cluster::{free_address, until};

/// A service that runs.
pub struct Service {
    pub name: &'static str,
    pub address: String,
    process: Option<Child>,
    _dir: Option<TempDir>,
}

const WSGI: &str = r#"
import sys
from wsgiref.simple_server import make_server
def app(environ, start_response):
    lines = ['%s: %s\n' % (name, value) for name, value in environ.items() if name.startswith('HTTP_')]
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [''.join(lines).encode('latin-1')]
make_server('127.0.0.1', int(sys.argv[1]), app).serve_forever()
"#;

const PHP: &str = r#"<?php
header('Content-Type: text/plain');
foreach ($_SERVER as $name => $value) { if (strpos($name, 'HTTP_') === 0) { echo "$name: $value\n"; } }
"#;

const NODE: &str = r#"
require('http').createServer((request, reply) => {
  const raw = request.rawHeaders;
  for (let at = 0; at < raw.length; at += 2) reply.write(raw[at] + ': ' + raw[at + 1] + '\n');
  reply.end();
}).listen(+process.argv[2], '127.0.0.1');
"#;

impl Service {
    /// What came over the wire, line by line.
    pub fn echo() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || echo(stream));
            }
        });
        Self { name: "an echo", address, process: None, _dir: None }
    }

    pub fn wsgi() -> Self {
        Self::run("WSGI", "python3", ("app.py", WSGI), |file, address| vec![file, port(&address)])
    }

    pub fn php() -> Self {
        Self::run("PHP", "php", ("app.php", PHP), |file, address| vec!["-S".to_owned(), address, file])
    }

    pub fn node() -> Self {
        Self::run("Node", "node", ("app.js", NODE), |file, address| vec![file, port(&address)])
    }

    fn run(
        name: &'static str,
        program: &str,
        (file, text): (&str, &str),
        args: impl Fn(String, String) -> Vec<String>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, address) = (dir.path().join(file), free_address());
        std::fs::write(&path, text).expect("is written");
        let args = args(path.display().to_string(), address.clone());
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}\nhint: install it, as tests/all does"));
        until("the service listens", || TcpStream::connect(&address).is_ok());
        Self { name, address, process: Some(process), _dir: Some(dir) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn port(address: &str) -> String {
    address.split_once(':').expect("it has a port").1.to_owned()
}

fn echo(mut stream: TcpStream) {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(got @ 1..) => head.extend_from_slice(&piece[..got]),
            _ => return,
        }
    }
    let body = String::from_utf8_lossy(&head).into_owned();
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}

/// What a service was told about who somebody is: every header that any service could take for such a one, in order.
pub fn remote(body: &str) -> Vec<(String, String)> {
    let told =
        body.lines().filter_map(|line| line.split_once(": ").or_else(|| line.strip_suffix(':').map(|n| (n, ""))));
    let named = told.map(|(name, value)| {
        let name = name.to_lowercase().replace(['_', '.'], "-");
        (name.strip_prefix("http-").unwrap_or(&name).to_owned(), value.trim().to_owned())
    });
    let mut remote: Vec<_> = named.filter(|(name, _)| name.starts_with("remote-")).collect();
    remote.sort();
    remote
}
