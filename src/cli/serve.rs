//! `sojourn serve`: runs a node until it is told to stop.
//!
//! The first SIGTERM or SIGINT lets requests under way finish; a second one ends the process at once, which loses
//! nothing either. The link that makes the first admin goes to a terminal or into a private file, never into a log.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Failure;
use super::output::moment;
use super::private_file::{self, PrivateFile};
use crate::config::Config;
use crate::control::protocol::Link;
use crate::error::Error;
use crate::node::{self, Joining, RunningNode, first_admin};
use crate::trace;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address of the HTTP door [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address where other nodes reach this one [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS")]
    cluster_listen: Option<String>,
    /// Address of the Redis door, where apps keep their sessions [default: off]
    #[arg(long, value_name = "ADDRESS")]
    redis_listen: Option<String>,
    /// Join the cluster whose `sojourn cluster token` printed this; ignored once this node is a member
    #[arg(long, value_name = "TOKEN", conflicts_with = "join_file")]
    join: Option<String>,
    /// The same, with the token in a file: other users of this machine can see flags
    #[arg(long, value_name = "FILE")]
    join_file: Option<PathBuf>,
    /// Join as a learner that never votes: it holds everything and answers, and no write waits for it
    #[arg(long)]
    learner: bool,
}

impl Serve {
    /// The first flag that was given, if any was.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.listen.is_some(), "--listen"),
            (self.cluster_listen.is_some(), "--cluster-listen"),
            (self.redis_listen.is_some(), "--redis-listen"),
            (self.join.is_some(), "--join"),
            (self.join_file.is_some(), "--join-file"),
            (self.learner, "--learner"),
        ];
        given.into_iter().find_map(|(is_given, flag)| is_given.then_some(flag))
    }

    pub(super) fn flags(&self) -> impl Iterator<Item = (&'static str, String, &'static str)> {
        let web = self.listen.clone().map(|address| ("web.listen", address, "--listen"));
        let cluster = self.cluster_listen.clone().map(|address| ("cluster.listen", address, "--cluster-listen"));
        let redis = self.redis_listen.clone().map(|address| ("redis.listen", address, "--redis-listen"));
        web.into_iter().chain(cluster).chain(redis)
    }

    /// How the node is to come to its cluster.
    pub(super) fn joining(&self) -> Result<Joining, Failure> {
        let text = match (&self.join, &self.join_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(fs::read_to_string(file).map_err(|e| {
                let hint = "name a file that holds what `sojourn cluster token` printed";
                Failure::because(format!("cannot read {}", file.display()), e, hint)
            })?),
            (None, None) => None,
        };
        let token = text.map(|text| text.parse()).transpose().map_err(|e: Error| Failure::Usage(e.to_string()))?;
        Ok(Joining { token, learner: self.learner })
    }
}

pub(super) fn run(config: Config, joining: Joining) -> Result<(), Failure> {
    if joining.learner && joining.token.is_none() && !config.data.join("log.redb").exists() {
        let why =
            "--learner needs --join or --join-file: without, an empty data directory becomes a cluster of its own";
        return Err(Failure::Usage(why.into()));
    }
    trace::start().map_err(Failure::Usage)?;
    private_file::keep_all_private();
    allow_many_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("sojourn").build();
    let runtime = runtime
        .map_err(|e| Failure::because("cannot start threads", e, "is there memory, are there processes left?"))?;
    let ended = runtime.block_on(async {
        let mut signals = signals()?;
        live(node::start(config, joining), &mut signals, announce).await
    });
    // a second signal means at once: threads that are still at work are left behind
    runtime.shutdown_background();
    ended
}

/// Asks for as many open files as this process may have: each connection is one, and the usual 1,024 are fewer than the
/// connections that the doors accept.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        warn!(%cause, "the limit of open files stays as it was");
    }
}

/// What a node in operation can do. A trait, so that living and stopping are tested without one.
trait Living {
    /// Comes back only when it cannot go on, or need not.
    async fn ended(&mut self) -> crate::error::Result<()>;
    /// Stops once requests under way are answered.
    async fn stop(self) -> crate::error::Result<()>;
}

impl Living for RunningNode {
    async fn ended(&mut self) -> crate::error::Result<()> {
        RunningNode::ended(self).await
    }

    async fn stop(self) -> crate::error::Result<()> {
        RunningNode::stop(self).await
    }
}

/// One item for every signal that asks us to stop.
fn signals() -> Result<mpsc::Receiver<&'static str>, Failure> {
    let failed = |e| Failure::because("cannot listen to signals", e, "is this a full Linux system?");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (sender, receiver) = mpsc::channel(2);
    // ends with the runtime; nobody needs its result
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Starts a node, lives until a signal or a failure, and stops it.
async fn live<N: Living>(
    start: impl Future<Output = crate::error::Result<N>>,
    signals: &mut mpsc::Receiver<&'static str>,
    announce: impl FnOnce(&N) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut node = tokio::select! {
        node = start => node?,
        Some(name) = signals.recv() => {
            info!(signal = name, "stopped while starting");
            return Ok(());
        }
    };
    if let Err(e) = announce(&node) {
        warn!(cause = %e, "could not say where the node is");
    }
    let ended = tokio::select! {
        Some(name) = signals.recv() => {
            info!(signal = name, "stopping; a second signal stops at once");
            Ok(())
        }
        ended = node.ended() => ended,
    };
    tokio::select! {
        stopped = node.stop() => {
            ended.and(stopped)?;
            info!("stopped");
            Ok(())
        }
        Some(name) = signals.recv() => Err(Failure::Other(format!("stopped at once by a second {name}"))),
    }
}

/// Says where the node is: calm lines on a terminal, else one in the log, which comes last: whoever waits for it finds
/// everything in place.
fn announce(node: &RunningNode) -> Result<(), Failure> {
    let data = fs::canonicalize(&node.data).unwrap_or_else(|_| node.data.clone());
    let mut out = io::stdout();
    let left = if out.is_terminal() {
        write!(out, "{}", lines(&node.public_url.to_string(), &data, node.first_admin.as_ref())).map_err(Failure::from)
    } else {
        node.first_admin.as_ref().map_or(Ok(()), |link| leave_link(&data, link))
    };
    if let Some(address) = node.metrics {
        info!(%address, "metrics");
    }
    if let Some(address) = node.redis {
        info!(%address, "the Redis door");
    }
    info!(url = %node.public_url, address = %node.web, data = %node.data.display(), "ready");
    left
}

fn lines(url: &str, data: &Path, first_admin: Option<&Link>) -> String {
    let mut lines =
        format!("\n  Sojourn {}\n\n  open   {url}\n  data   {}\n", env!("CARGO_PKG_VERSION"), data.display());
    if let Some(link) = first_admin {
        lines += &format!(
            "  admin  {}\n         makes the first admin; good once, until {}\n",
            link.url,
            moment(link.expires)
        );
    }
    lines + "\n  Ctrl-C stops it.\n\n"
}

/// Puts the link into a private file, and says where.
fn leave_link(data: &Path, link: &Link) -> Result<(), Failure> {
    let path = data.join(first_admin::FILE);
    let write = || -> io::Result<()> {
        let mut file = PrivateFile::begin(&path)?;
        file.write_all(first_admin::written(link).as_bytes())?;
        file.keep()
    };
    write().map_err(|e| Failure::because(format!("cannot write {}", path.display()), e, "is the disk full?"))?;
    info!(path = %path.display(), "this file holds the link that makes the first admin");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::control::protocol::Purpose;

    enum Ends {
        Never,
        Fails,
        Leaves,
    }

    struct Fake {
        ends: Ends,
        stops: bool,
    }

    impl Living for Fake {
        async fn ended(&mut self) -> crate::error::Result<()> {
            match self.ends {
                Ends::Fails => Err(Error::Broken("the disk failed".into())),
                Ends::Leaves => Ok(()),
                Ends::Never => pending().await,
            }
        }

        async fn stop(self) -> crate::error::Result<()> {
            if self.stops { Ok(()) } else { pending().await }
        }
    }

    /// Lives, with so many signals once the node has started.
    async fn lived(node: Fake, sent: usize) -> String {
        let (sender, mut receiver) = mpsc::channel(2);
        let told = live(ready(Ok(node)), &mut receiver, |_| {
            (0..sent).try_for_each(|_| sender.try_send("SIGTERM")).expect("there is room");
            Ok(())
        });
        told.await.map_or_else(|e| e.to_string(), |()| "stopped".into())
    }

    #[tokio::test]
    async fn the_first_signal_stops_calmly_and_the_second_at_once() {
        assert_eq!(lived(Fake { ends: Ends::Never, stops: true }, 1).await, "stopped");
        assert_eq!(lived(Fake { ends: Ends::Never, stops: false }, 2).await, "stopped at once by a second SIGTERM");
    }

    #[tokio::test]
    async fn a_node_that_leaves_its_cluster_ends_well() {
        assert_eq!(lived(Fake { ends: Ends::Leaves, stops: true }, 0).await, "stopped");
    }

    #[tokio::test]
    async fn a_node_that_fails_is_stopped_and_its_reason_told() {
        assert_eq!(lived(Fake { ends: Ends::Fails, stops: true }, 0).await, "the disk failed");
    }

    #[tokio::test]
    async fn a_signal_while_starting_gives_up_the_start() {
        let (sender, mut receiver) = mpsc::channel(2);
        sender.try_send("SIGINT").expect("there is room");
        live(pending::<crate::error::Result<Fake>>(), &mut receiver, |_| panic!("never started"))
            .await
            .expect("is calm");
    }

    #[tokio::test]
    async fn a_node_that_does_not_start_says_why() {
        let (_sender, mut receiver) = mpsc::channel(2);
        let start = ready(Err::<Fake, _>(Error::Broken("the port is taken".into())));
        let told = live(start, &mut receiver, |_| Ok(())).await;
        assert_eq!(told.expect_err("fails").to_string(), "the port is taken");
    }

    fn link() -> Link {
        let url = "http://localhost:3000/link/abc".into();
        Link { url, expires: 1_700_000_000_000, purpose: Purpose::FirstAdmin }
    }

    #[test]
    fn the_link_file_is_private() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        leave_link(dir.path(), &link()).expect("writes");
        let path = dir.path().join(first_admin::FILE);
        assert!(fs::read_to_string(&path).expect("reads").starts_with("http://localhost:3000/link/abc\n"));
        assert_eq!(fs::metadata(&path).expect("is there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_first_lines_name_address_data_and_link() {
        let shown = lines("http://localhost:3000", Path::new("/data/node"), Some(&link()));
        let expected = [
            "",
            concat!("  Sojourn ", env!("CARGO_PKG_VERSION")),
            "",
            "  open   http://localhost:3000",
            "  data   /data/node",
            "  admin  http://localhost:3000/link/abc",
            "         makes the first admin; good once, until 2023-11-14 22:13:20Z",
            "",
            "  Ctrl-C stops it.",
            "",
            "",
        ];
        assert_eq!(shown, expected.join("\n"));
        assert!(!lines("http://localhost:3000", Path::new("/data/node"), None).contains("admin"));
    }
}
