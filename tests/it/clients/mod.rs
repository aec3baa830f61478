//! Clients: real session stores of Node, Python, PHP, Ruby and Go, as apps have them installed, at our Redis door.
//!
//! Each script in `tests/clients` does what an app does: it begins a session through one node, reads and changes it
//! through another, looks at its deadline, signs in and out. Each is run against a real redis-server too, where it has
//! to pass as well: what it wants is what Redis does, and no habit of ours. `wire`: clients that cannot be installed
//! here, as conversations. `tools`: redis-cli and redis-benchmark, and the Rust client. `late`: a save that comes after
//! the end. `cookies`: signatures of Express. `examples`: `cluster/examples`.
//!
//! It runs only where `TEST_CLIENTS=1` asks for it; `tests/all` installs what it needs into `target/clients`.

mod cookies;
mod examples;
mod late;
mod tools;
mod wire;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::process::cluster::{free_address, place, ready, until, votes};
use crate::program::{Place, Program};

/// Of whoever has no name of their own.
const PASSWORD: &str = "correct-horse-battery";

/// express-session, Passport, koa-session, Fastify and hapi.
const NODE: &[&str] = &[
    "express.cjs 3 redis2",
    "express.cjs 5 redis3",
    "express.cjs 6 redis3",
    "express.cjs 6 redis4legacy",
    "express.cjs 6 redis5legacy",
    "express.cjs 6 ioredis4",
    "express.cjs 6 ioredis5",
    "express.cjs 7 redis4",
    "express.cjs 7 redis5",
    "express.cjs 7 ioredis4",
    "express.cjs 8 redis4",
    "express.cjs 8 redis5",
    "express.cjs 8 ioredis5",
    "express.cjs 8 ioredis6",
    "express.cjs 9 redis5",
    "express.cjs 9 redis5named",
    "express.cjs 9 redis5resp3",
    "express.cjs 10 redis6",
    "express.cjs 10 redis6resp2",
    "fastify.cjs 7 ioredis5",
    "fastify.cjs 10 redis6",
    "koa.cjs",
    "hapi.cjs",
];

/// What connect-redis tests itself by, with its load of a thousand sessions.
const SUITE: &[&str] = &[
    "store_suite.cjs 5 redis3",
    "store_suite.cjs 6 ioredis4",
    "store_suite.cjs 7 redis4",
    "store_suite.cjs 8 ioredis6",
    "store_suite.cjs 9 redis5",
    "store_suite.cjs 10 redis6",
];

/// Flask, Django, Starlette, aiohttp, Litestar and Pyramid, on redis-py 4, 5 and 8: the environment comes first.
const PYTHON: &[&str] = &[
    "venv flask_session_store.py default",
    "venv flask_session_store.py 2",
    "venv django_sessions.py cache",
    "venv django_sessions.py cached_db",
    "venv django_sessions.py django_redis",
    "venv django_sessions.py django_redis_db",
    "venv starsessions_store.py",
    "venv aiohttp_session_store.py",
    "venv litestar_store.py",
    "venv-5 flask_session_store.py default",
    "venv-5 flask_session_store.py 3",
    "venv-5 flask_session_store.py named",
    "venv-5 django_sessions.py cache",
    "venv-5 django_sessions.py django_redis_db",
    "venv-5 django_sessions.py redis_sessions",
    "venv-5 starsessions_store.py",
    "venv-5 pyramid_store.py",
    "venv-4 flask_session_store.py default",
    "venv-4 django_sessions.py cached_db",
    "venv-4 django_sessions.py django_redis",
];

/// phpredis, Predis, Symfony, Laravel; redis-rack; redigo under gorilla's sessions and scs.
const OTHERS: &[&str] = &[
    "php phpredis.php plain",
    "php phpredis.php locking",
    "php phpredis.php persistent",
    "php php_frameworks.php symfony-phpredis",
    "php php_frameworks.php symfony-predis",
    "php php_frameworks.php predis",
    "php php_frameworks.php laravel-phpredis",
    "php php_frameworks.php laravel-predis",
    "ruby rack.rb",
    "go redigo.go",
];

/// Whether this run asked for them.
fn are_wanted() -> bool {
    let are_wanted = std::env::var("TEST_CLIENTS").as_deref() == Ok("1");
    if !are_wanted {
        // past the capture of output: that something was left out should be seen
        _ = std::io::stderr().write_all(b"skipped: real clients; TEST_CLIENTS=1 runs them\n");
    }
    are_wanted
}

/// Where `tests/all` installs them.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target directory").join("clients")
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// A server with a Redis door, and how one gets in.
struct Server {
    /// Where it listens; one for each node.
    doors: Vec<String>,
    credentials: Option<(String, String)>,
    _running: Running,
}

/// What has to live as long.
enum Running {
    Redis { _process: Redis, _dir: TempDir },
    Nodes { places: Vec<Place>, programs: Vec<Program> },
}

/// A real redis-server; ends with its test.
struct Redis(Child);

impl Drop for Redis {
    fn drop(&mut self) {
        // most often it runs still
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// A real one, with a password.
    fn redis() -> Self {
        let (dir, door) = (tempfile::tempdir().expect("a directory"), free_address());
        let (_, port) = door.rsplit_once(':').expect("an address has a port");
        let mut command = Command::new("redis-server");
        command.args(["--port", port, "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD]);
        command.arg("--dir").arg(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().map(Redis);
        let process = process.unwrap_or_else(|e| panic!("redis-server: {e}\nhint: apt-get install redis-server"));
        until("redis-server listens", || TcpStream::connect(&door).is_ok());
        let credentials = Some(("default".to_owned(), PASSWORD.to_owned()));
        Self { doors: vec![door], credentials, _running: Running::Redis { _process: process, _dir: dir } }
    }

    /// One node that asks for no password.
    fn one() -> Self {
        let door = free_address();
        let place = place().with("SOJOURN_REDIS_LISTEN", &door);
        let program = place.start();
        let running = Running::Nodes { places: vec![place], programs: vec![program] };
        Self { doors: vec![door], credentials: None, _running: running }
    }

    /// Three nodes with a password.
    fn three() -> Self {
        Self::three_with(&[])
    }

    fn three_with(settings: &[(&'static str, &str)]) -> Self {
        let doors = vec![free_address(), free_address(), free_address()];
        let at = |door: &String| {
            let place = place().with("SOJOURN_REDIS_LISTEN", door).with("SOJOURN_REDIS_PASSWORD", PASSWORD);
            settings.iter().fold(place, |place, (variable, value)| place.with(variable, value))
        };
        let places: Vec<Place> = doors.iter().map(at).collect();
        let mut programs = vec![places[0].start()];
        let token = places[0].done(&["cluster", "token", "--uses", "2"]).trim().to_owned();
        for place in &places[1..] {
            programs.push(ready(place.spawn_with(&["serve", "--join", &token])));
        }
        until("all vote", || votes(&places[0], 3));
        let credentials = Some(("default".to_owned(), PASSWORD.to_owned()));
        Self { doors, credentials, _running: Running::Nodes { places, programs } }
    }

    fn nodes(&self) -> (&[Place], &[Program]) {
        match &self._running {
            Running::Nodes { places, programs } => (places, programs),
            Running::Redis { .. } => panic!("a Redis has no nodes"),
        }
    }

    /// What a script is told: host, port, port of another node, user and password.
    fn args(&self) -> Vec<String> {
        let port = |at: usize| self.doors.get(at).and_then(|door| door.rsplit_once(':')).map(|(_, port)| port);
        let mut args = vec!["127.0.0.1".to_owned(), port(0).expect("there is one").to_owned()];
        // the first node leads: what goes through the second is forwarded
        args.push(port(1).unwrap_or("-").to_owned());
        args.extend(self.credentials.iter().flat_map(|(user, password)| [user.clone(), password.clone()]));
        args
    }

    /// Runs a client to its end; answers what it said, or how it failed.
    fn run(&self, client: &str) -> Result<String, String> {
        let mut command = command(client);
        command.args(self.args()).current_dir(scripts()).stdin(Stdio::null());
        let done = command.output().map_err(|e| format!("{client}: {e}\nhint: tests/all installs what it needs"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&done.stdout), text(&done.stderr));
        if done.status.success() && out.trim_end().ends_with("ok") {
            return Ok(out);
        }
        Err(format!("{client}: {}\n{out}{err}", done.status))
    }

    /// Runs them all, each to its end; fails with those that failed.
    fn run_all(&self, clients: &[&str]) {
        let mut wrong = Vec::new();
        for client in clients {
            let begun = Instant::now();
            let done = self.run(client);
            println!("{client}: {} in {:?}", if done.is_ok() { "ok" } else { "FAILED" }, begun.elapsed());
            wrong.extend(done.err());
        }
        assert!(wrong.is_empty(), "{} of {} failed:\n{}", wrong.len(), clients.len(), wrong.join("\n"));
    }
}

/// Node: the one of this machine, unless that was too old and another was installed along.
fn node() -> PathBuf {
    Some(installed().join("node_modules/.bin/node")).filter(|node| node.exists()).unwrap_or_else(|| "node".into())
}

/// How a client is run: by Node unless its first word says otherwise.
fn command(client: &str) -> Command {
    let words: Vec<&str> = client.split(' ').collect();
    let (mut command, rest) = match words[0] {
        venv if venv.starts_with("venv") => (Command::new(installed().join(venv).join("bin/python")), &words[1..]),
        program @ ("php" | "ruby") => (Command::new(program), &words[1..]),
        "go" => (Command::new(installed().join("redigo")), &words[2..]),
        _ => (Command::new(node()), &words[..]),
    };
    command.args(rest).env("NODE_PATH", installed().join("node_modules"));
    // nothing is left beside the scripts
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Three facts of each group of clients.
macro_rules! clients {
    ($($group:ident: $clients:expr;)*) => { $(
        mod $group {
            use super::*;

            #[test]
            fn want_what_a_real_redis_does() {
                if are_wanted() {
                    Server::redis().run_all($clients);
                }
            }

            #[test]
            fn work_with_one_node() {
                if are_wanted() {
                    Server::one().run_all($clients);
                }
            }

            #[test]
            fn work_with_three_nodes() {
                if are_wanted() {
                    Server::three().run_all($clients);
                }
            }
        }
    )* };
}

clients! {
    stores_of_node: NODE;
    suites_of_stores: SUITE;
    stores_of_python: PYTHON;
    stores_of_php_ruby_and_go: OTHERS;
}
