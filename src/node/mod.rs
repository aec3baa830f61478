//! Node: wires all rooms together, opens the doors and closes them.
//!
//! The order of opening is the order of the floors: data directory, state, log, identity, doors. Whatever can be wrong
//! without them (TLS files, addresses) is found before anything is written. Closing goes the other way round, so that
//! what a door accepted still reaches the log.

mod directory;
pub mod first_admin;
mod operator;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Origin};
use crate::control::protocol::Link;
use crate::control::{self, Server};
use crate::error::{Error, Result};
use crate::identity::{self, Identity, passwords::HashPool};
use crate::log::Log;
use crate::raft::{self, RaftLog};
use crate::state::{Op, Outcome, State, snapshot};
use crate::web::{self, Door, Site, accept::Port};
use crate::{limits, random};
use directory::Directory;
use operator::Desk;
pub use raft::Keep;

/// A node whose doors are open.
pub struct RunningNode {
    /// Where the HTTP door really listens.
    pub web: SocketAddr,
    /// Where metrics are shown, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where browsers reach it.
    pub public_url: Origin,
    /// Its data directory.
    pub data: PathBuf,
    /// Makes the first admin; only while there is none.
    pub first_admin: Option<Link>,
    log: Arc<RaftLog>,
    stop: watch::Sender<bool>,
    doors: JoinSet<()>,
    _directory: Directory,
}

impl RunningNode {
    /// Comes back only when the node cannot go on, with the reason. Safe to drop and call again.
    pub async fn failed(&mut self) -> Error {
        Error::Broken(format!(
            "the log failed: {}\nhint: check the disk under {}",
            self.log.failed().await,
            self.data.display()
        ))
    }

    /// Closes the doors, lets requests under way finish, and stops.
    ///
    /// # Errors
    /// What could not be closed.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let drained = async { while self.doors.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::DRAIN_TIMEOUT + Duration::from_secs(5), drained).await.is_err() {
            tracing::warn!("a door did not close in time");
        }
        self.log.shutdown().await;
        Ok(())
    }
}

/// Opens the data directory and the doors.
///
/// # Errors
/// `Broken`, with a hint.
pub async fn start(config: Config) -> Result<RunningNode> {
    start_with(config, Arc::new(SystemClock)).await
}

/// The same, by another clock: tests own the time.
///
/// # Errors
/// As [`start`].
pub async fn start_with(mut config: Config, clock: Arc<dyn Clock>) -> Result<RunningNode> {
    let started = Instant::now();
    let tls = tls(&config)?;
    let directory = Directory::open(&config.data)?;
    let web_listener = bind("web.listen", config.web.listen).await?;
    let metrics_listener = match config.metrics.listen {
        Some(address) => Some(bind("metrics.listen", address).await?),
        None => None,
    };
    let address = |listener: &TcpListener| listener.local_addr().map_err(|e| Error::broken("listening", e));
    config.listening_on(address(&web_listener)?);
    directory.keep_secret(config.secret.as_ref())?;
    let control = Server::open(&config.data)?;
    let state = open_state(&config.data).await?;
    let settings = raft::Settings { max_staleness: config.cluster.max_staleness };
    let log = RaftLog::open(&config.data, state.clone(), clock, &settings).await?;
    let secrets = agree_on_settings(&*log, &config).await?;
    let identity = Arc::new(open_identity(&config, (state.clone(), log.clone()), secrets)?);
    let first_admin = first_admin::link(&identity, &config.data, &config.public_url).await?;

    let mut node = RunningNode {
        web: address(&web_listener)?,
        metrics: metrics_listener.as_ref().map(address).transpose()?,
        public_url: config.public_url.clone(),
        data: config.data.clone(),
        first_admin,
        log: log.clone(),
        stop: watch::Sender::new(false),
        doors: JoinSet::new(),
        _directory: directory,
    };
    let port = Port { tls, ..Port::plain(web_listener) };
    let site = Arc::new(Site::new(Door { identity: identity.clone(), settings: web::Settings::new(&config) }));
    let stop = node.stop.subscribe();
    node.doors.spawn(async move { web::serve(site, port, stopped(stop)).await });
    let stop = node.stop.subscribe();
    node.doors.spawn(async move { web::metrics::keep_up(stopped(stop)).await });
    if let Some(listener) = metrics_listener {
        let stop = node.stop.subscribe();
        node.doors.spawn(async move { web::scrape::serve(Port::plain(listener), stopped(stop)).await });
    }
    let desk: Arc<dyn control::Operator> = Arc::new(Desk { identity, log, data: config.data, started });
    let stop = node.stop.subscribe();
    node.doors.spawn(control.run(desk, stop));
    Ok(node)
}

/// Checks the files that settings name. Opens no door and writes nothing.
///
/// # Errors
/// `Broken`, with a hint: one cannot be read, or two do not belong together.
pub fn check(config: &Config) -> Result<()> {
    tls(config).map(|_| ())
}

fn tls(config: &Config) -> Result<Option<TlsAcceptor>> {
    config.web.tls.as_ref().map(|files| web::accept::tls(&files.cert, &files.key)).transpose()
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // a sender that is gone is a node that is gone
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        let hint = match e.kind() {
            ErrorKind::AddrInUse => "another program listens there",
            ErrorKind::AddrNotAvailable => "this machine has no such address",
            ErrorKind::PermissionDenied => "ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE",
            _ => "this system refuses it",
        };
        Error::Broken(format!("cannot listen on {address}: {e}\nhint: {hint}; choose another with {setting}"))
    })
}

async fn open_state(data: &Path) -> Result<Arc<State>> {
    let dir = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || State::open(&dir)).await;
    let state = opened.map_err(|e| Error::broken("opening the state", e))?;
    let hint = "restore the last backup into a new data directory";
    Ok(Arc::new(state.map_err(|e| Error::Broken(format!("{e}\nhint: {hint}")))?))
}

/// Settings that must be the same on every node: the memory bound, and the cookie's secrets unless given.
async fn agree_on_settings(log: &dyn Log, config: &Config) -> Result<Vec<Vec<u8>>> {
    let memory_max = config.sessions.memory_max.to_le_bytes().to_vec();
    let set = |name: &str, value: Vec<u8>, only_if_absent| Op::Setting {
        name: name.into(),
        value: value.into(),
        only_if_absent,
    };
    log.submit(set("memory_max", memory_max, false)).await?;
    if !config.sessions.secrets.is_empty() {
        return Ok(config.sessions.secrets.iter().map(|secret| secret.expose().as_bytes().to_vec()).collect());
    }
    let drawn = random::token::<32>().into_bytes();
    match log.submit(set("cookie_secret", drawn, true)).await? {
        Outcome::Setting(secret) => Ok(vec![secret.to_vec()]),
        other => Err(Error::Broken(format!("a setting was answered {other:?}"))),
    }
}

fn open_identity(config: &Config, rooms: (Arc<State>, Arc<RaftLog>), secrets: Vec<Vec<u8>>) -> Result<Identity> {
    let settings = identity::Settings {
        sessions: config.sessions.clone(),
        users: config.users.clone(),
        public_url: config.public_url.clone(),
        secrets,
        hash_threads: HashPool::default_threads(),
    };
    Identity::open(rooms.0, rooms.1, settings)
}

/// Makes a new cluster of a backup, in an empty data directory. `progress` hears bytes done and in all.
///
/// # Errors
/// `Conflict` when the directory is not empty; `Malformed` when the file is no whole backup; `Broken`.
pub fn restore(file: &Path, data: &Path, keep: Keep, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let refused = |e: std::io::Error| {
        Error::Malformed(format!("{e}\nhint: name a file that `sojourn backup` wrote, as it wrote it"))
    };
    let unread = |e: std::io::Error| refused(std::io::Error::other(format!("cannot read {}: {e}", file.display())));
    let backup = std::fs::metadata(file).map_err(unread)?;
    if !backup.is_file() {
        return Err(refused(std::io::Error::other(format!("{} is no file", file.display()))));
    }
    let directory = Directory::open(data)?;
    if !directory.is_new() {
        return Err(Error::Conflict(format!("{} is not empty\nhint: restore into a new directory", data.display())));
    }
    snapshot::check(file).map_err(refused)?;
    let total = backup.len();
    progress(0, total);
    directory.begin_restore()?;
    raft::restore(file, data, keep)?;
    directory.end_restore()?;
    progress(total, total);
    Ok(())
}
