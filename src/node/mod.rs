//! Node: wires all rooms together, opens the doors and closes them.
//!
//! The order of opening is the order of the floors: data directory, state, log, identity, doors. Whatever can be wrong
//! without them (TLS files, addresses) is found before anything is written. Closing goes the other way round, so that
//! what a door accepted still reaches the log.

mod agreement;
mod cluster;
mod copying;
mod credentials;
mod directory;
pub mod first_admin;
mod joining;
mod operator;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Origin};
use crate::control::Server;
use crate::control::protocol::Link;
use crate::error::{Error, Result};
use crate::identity::{self, Events, Identity, passwords::HashPool};
use crate::keyspace::Keyspace;
use crate::log::Log as _;
use crate::raft::{self, Farewell, RaftLog};
use crate::resp;
use crate::state::{State, snapshot};
use crate::web::{self, Door, Sightings, Site, accept::Port};
use crate::{limits, listen as listening};
use copying::Copying;
use directory::Directory;
pub use joining::Joining;
use operator::Desk;
pub use raft::{Keep, Token};

/// Connections that may wait until they are accepted.
const BACKLOG: u32 = 1024;

/// A node whose doors are open.
pub struct RunningNode {
    /// Where the HTTP door really listens.
    pub web: SocketAddr,
    /// Where metrics are shown, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Where the Redis door really listens, if it is open.
    pub redis: Option<SocketAddr>,
    /// Where browsers reach it.
    pub public_url: Origin,
    /// Its data directory.
    pub data: PathBuf,
    /// Makes the first admin; only while there is none.
    pub first_admin: Option<Link>,
    log: Arc<RaftLog>,
    identity: Arc<Identity>,
    /// Tells clients to come back elsewhere.
    goes: Arc<AtomicBool>,
    /// Whether it cannot go on, or need not.
    has_ended: bool,
    stop: watch::Sender<bool>,
    doors: JoinSet<()>,
    _directory: Directory,
}

impl RunningNode {
    /// Comes back only when the node cannot go on, with the reason, or when it has left its cluster and need not. Safe
    /// to drop and call again.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub async fn ended(&mut self) -> Result<()> {
        let ended = self.end().await;
        self.has_ended = true;
        ended
    }

    async fn end(&self) -> Result<()> {
        tokio::select! {
            why = self.log.failed() => {
                let hint = format!("\nhint: check the disk under {}", self.data.display());
                let hint = if why.contains("\nhint: ") { "" } else { &hint };
                Err(Error::Broken(format!("the log failed: {why}{hint}")))
            }
            farewell = self.log.farewell() => match farewell {
                Farewell::Left => Ok(()),
                Farewell::Removed => Err(farewell.into()),
            },
        }
    }

    /// Closes the doors, lets requests under way finish, and stops. One of several says first, for a moment, that it
    /// goes: balancers that ask turn to the others, and connections are closed with an answer and not between two.
    ///
    /// # Errors
    /// What could not be closed.
    pub async fn stop(mut self) -> Result<()> {
        if !self.has_ended && !self.log.is_alone() {
            self.identity.close();
            self.goes.store(true, Ordering::Relaxed);
            tokio::time::sleep(limits::GOING_NOTICE).await;
        }
        self.identity.stop_telling();
        self.stop.send_replace(true);
        let drained = async { while self.doors.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::DRAIN_TIMEOUT + Duration::from_secs(5), drained).await.is_err() {
            tracing::warn!("a door did not close in time");
        }
        self.log.shutdown().await;
        Ok(())
    }
}

/// Where a door listens, and how.
type Way = (TcpSocket, Option<TlsAcceptor>);

impl RunningNode {
    /// Answers where it is noted what arrived through proxies.
    fn open_web(&mut self, config: &Config, (socket, tls): Way) -> Result<Arc<Sightings>> {
        let port = Port { tls, goes: self.goes.clone(), ..Port::plain(listen("web.listen", socket)?) };
        let door = Door::new(self.identity.clone(), self.log.clone(), web::Settings::new(config));
        let sightings = door.sightings.clone();
        let (site, stop) = (Arc::new(Site::new(door)), self.stop.subscribe());
        self.doors.spawn(async move { web::serve(site, port, stopped(stop)).await });
        Ok(sightings)
    }

    fn open_metrics(&mut self, listener: Option<TcpListener>) {
        let stop = self.stop.subscribe();
        self.doors.spawn(async move { web::metrics::keep_up(stopped(stop)).await });
        if let Some(listener) = listener {
            let stop = self.stop.subscribe();
            self.doors.spawn(async move { web::scrape::serve(Port::plain(listener), stopped(stop)).await });
        }
    }

    fn open_redis(&mut self, config: &Config, (socket, tls): Way, keyspace: Arc<Keyspace>) -> Result<()> {
        let port = resp::Port { listener: listen("redis.listen", socket)?, tls };
        let door = Arc::new(resp::Door::new(self.identity.clone(), keyspace, resp::Settings::new(config)));
        let stop = self.stop.subscribe();
        self.doors.spawn(async move { resp::serve(door, port, stopped(stop)).await });
        Ok(())
    }
}

/// Opens the data directory and the doors.
///
/// # Errors
/// `Broken`, with a hint.
pub async fn start(config: Config, joining: Joining) -> Result<RunningNode> {
    start_with(config, joining, Arc::new(SystemClock)).await
}

/// The same, by another clock: tests own the time.
///
/// # Errors
/// As [`start`].
pub async fn start_with(mut config: Config, joining: Joining, clock: Arc<dyn Clock>) -> Result<RunningNode> {
    let started = Instant::now();
    let (tls, redis_tls) = tls(&config)?;
    let directory = Directory::open(&config.data)?;
    let web_socket = take("web.listen", config.web.listen)?;
    let redis_socket = config.redis.listen.map(|address| take("redis.listen", address)).transpose()?;
    let metrics_listener = bind_if_any("metrics.listen", config.metrics.listen).await?;
    let peers = bind_if_any("cluster.listen", config.cluster.listen).await?;
    let address = |listener: &TcpListener| listener.local_addr().map_err(|e| Error::broken("listening", e));
    let web = web_socket.local_addr().map_err(|e| Error::broken("listening", e))?;
    config.listening_on(web);
    let peers = peers.map(|listener| advertised(listener, &config)).transpose()?;
    if joining.token.is_some() && peers.is_none() {
        let why = "a node that joins must be reached by the others\nhint: set cluster.listen";
        return Err(Error::Conflict(why.into()));
    }
    let control = Server::open(&config.data)?;
    let secret = joining::secret(&directory, &config, joining.token.as_ref()).await?;
    let state = open_state(&config.data).await?;
    let settings = raft::Settings {
        bounds: raft::Bounds { max_staleness: config.cluster.max_staleness, stale_reads: config.cluster.stale_reads },
        secret,
        secret_is_set: config.secret.is_some(),
        port: peers,
        join: joining.token,
        reader: joining.learner,
    };
    let events: Arc<Events> = Arc::default();
    // before the log is read, so that whoever comes back after a restart finds what they missed
    state.tell(events.clone());
    let log = RaftLog::open(&config.data, state.clone(), clock, settings).await?;
    if log.is_newcomer() {
        joining::catch_up(&log).await?;
    }
    let secrets = agreement::reach(&log, &state, &config).await?;
    let identity = Arc::new(open_identity(&config, (state.clone(), log.clone(), events), secrets)?);
    let keyspace = Arc::new(Keyspace::open(state.clone(), log.clone(), config.redis.reads));
    state.tell(keyspace.hub().clone());
    let first_admin = match log.is_alone() {
        true => first_admin::link(&identity, &config.data, &config.public_url).await?,
        // whoever founded the cluster was given it
        false => None,
    };

    let mut node = RunningNode {
        web,
        metrics: metrics_listener.as_ref().map(address).transpose()?,
        redis: redis_socket.as_ref().map(|socket| socket.local_addr()).transpose().map_err(unlistened)?,
        public_url: config.public_url.clone(),
        data: config.data.clone(),
        first_admin,
        log: log.clone(),
        identity: identity.clone(),
        goes: Arc::default(),
        has_ended: false,
        stop: watch::Sender::new(false),
        doors: JoinSet::new(),
        _directory: directory,
    };
    let sightings = node.open_web(&config, (web_socket, tls))?;
    if let Some(socket) = redis_socket {
        node.open_redis(&config, (socket, redis_tls), keyspace)?;
    }
    node.open_metrics(metrics_listener);
    let copying = Copying { state, log: log.clone(), sessions: config.sessions.prefix };
    let desk = Arc::new(Desk { identity, log, copying, sightings, data: config.data, started });
    node.doors.spawn(control.run(desk, node.stop.subscribe()));
    Ok(node)
}

/// Checks the files that settings name. Opens no door and writes nothing.
///
/// # Errors
/// `Broken`, with a hint: one cannot be read, or two do not belong together.
pub fn check(config: &Config) -> Result<()> {
    tls(config).map(|_| ())
}

/// TLS of the HTTP door and of the Redis door.
fn tls(config: &Config) -> Result<(Option<TlsAcceptor>, Option<TlsAcceptor>)> {
    let web = config.web.tls.as_ref().map(|files| web::accept::tls(&files.cert, &files.key)).transpose()?;
    let redis = config.redis.tls.as_ref().map(|files| listening::tls(&files.cert, &files.key, &[])).transpose()?;
    Ok((web, redis))
}

fn unlistened(e: std::io::Error) -> Error {
    Error::broken("listening", e)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // a sender that is gone is a node that is gone
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Takes an address. Whoever connects is refused until the node listens there, so that a balancer turns to another one
/// instead of waiting.
fn take(setting: &str, address: SocketAddr) -> Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let taken = socket.and_then(|socket| {
        // connections that a restart left behind do not keep the address
        socket.set_reuseaddr(true)?;
        socket.bind(address).map(|()| socket)
    });
    taken.map_err(|e| untaken(setting, address, &e))
}

fn listen(setting: &str, socket: TcpSocket) -> Result<TcpListener> {
    let address = socket.local_addr().map_err(|e| Error::broken("listening", e))?;
    socket.listen(BACKLOG).map_err(|e| untaken(setting, address, &e))
}

async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| untaken(setting, address, &e))
}

fn untaken(setting: &str, address: SocketAddr, e: &std::io::Error) -> Error {
    let hint = match e.kind() {
        ErrorKind::AddrInUse => "another program listens there",
        ErrorKind::AddrNotAvailable => "this machine has no such address",
        ErrorKind::PermissionDenied => "ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE",
        _ => "this system refuses it",
    };
    Error::Broken(format!("cannot listen on {address}: {e}\nhint: {hint}; choose another with {setting}"))
}

async fn bind_if_any(setting: &str, address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    match address {
        Some(address) => bind(setting, address).await.map(Some),
        None => Ok(None),
    }
}

/// The peers' listener, and the `host:port` that they are told.
fn advertised(listener: TcpListener, config: &Config) -> Result<(TcpListener, String)> {
    let place = match &config.cluster.advertise {
        Some(place) => place.clone(),
        None => listener.local_addr().map_err(|e| Error::broken("listening", e))?.to_string(),
    };
    Ok((listener, place))
}

async fn open_state(data: &Path) -> Result<Arc<State>> {
    let dir = data.to_owned();
    let opened = tokio::task::spawn_blocking(move || State::open(&dir)).await;
    let state = opened.map_err(|e| Error::broken("opening the state", e))?;
    Ok(Arc::new(state.map_err(|e| Error::Broken(format!("{e}\nhint: {}", raft::DAMAGE_HINT)))?))
}

type Rooms = (Arc<State>, Arc<RaftLog>, Arc<Events>);

fn open_identity(config: &Config, rooms: Rooms, secrets: Vec<Vec<u8>>) -> Result<Identity> {
    let settings = identity::Settings {
        sessions: config.sessions.clone(),
        users: config.users.clone(),
        access: config.access.clone(),
        public_url: config.public_url.clone(),
        secrets,
        hash_threads: HashPool::default_threads(),
        events: rooms.2,
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
