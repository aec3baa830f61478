//! Accept: the Redis door's listener, its connections, and every bound on what a stranger's connection may cost us.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;

use super::Door;
use super::clients::Clients;
use super::connection::{converse, farewell};
use crate::limits;
use crate::listen::{self, Crowd, Place};

/// How often it is looked whether apps have changed: those that are connected and silent are told then.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where to listen and how.
pub struct Port {
    /// Bound already.
    pub listener: TcpListener,
    pub tls: Option<TlsAcceptor>,
}

/// What a connection holds for as long as it is open.
struct Held {
    _room: OwnedSemaphorePermit,
    _place: Place,
    gauge: metrics::Gauge,
}

/// What a connection holds until it is known who it is.
struct Stranger {
    _room: OwnedSemaphorePermit,
    _place: Place,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

/// Accepts until `stop` is ready, then has every connection end with what it does.
pub async fn serve(door: Arc<Door>, port: Port, stop: impl Future<Output = ()>) {
    let Port { listener, tls } = port;
    let hint = "give it fewer connections, or a pool";
    let crowd = Crowd::new(limits::CONNECTIONS_PER_ADDRESS_MAX, listen::this_machine(), hint);
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let strangers = Arc::new(Semaphore::new(limits::REDIS_UNKNOWN_MAX));
    let unknown =
        Crowd::new(limits::REDIS_UNKNOWN_PER_ADDRESS_MAX, listen::this_machine(), "they do not say who they are");
    let mut open = JoinSet::new();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changed = door.identity.apps_changed();
    let mut stop = pin!(stop);
    loop {
        let (stream, address, permit) = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = open.join_next(), if !open.is_empty() => {
                let ended: Result<(), tokio::task::JoinError> = ended;
                if ended.is_err_and(|error| error.is_panic()) {
                    tracing::error!("a connection's task panicked");
                }
                continue;
            }
            _ = looks.tick() => {
                let now = door.identity.apps_changed();
                if std::mem::replace(&mut changed, now) != now {
                    door.clients.wake_all();
                }
                continue;
            }
            accepted = listen::next(&listener, &room) => accepted,
        };
        let Some(place) = crowd.enter(address.ip()) else { continue };
        let (Ok(room), Some(among_few)) = (strangers.clone().try_acquire_owned(), unknown.enter(address.ip())) else {
            turn_away(&stream);
            continue;
        };
        let stranger = Stranger { _room: room, _place: among_few };
        let gauge = door.meters.connections.clone();
        gauge.increment(1.0);
        let held = Held { _room: permit, _place: place, gauge };
        open.spawn(welcome(door.clone(), (stream, address), tls.clone(), (held, stranger)));
    }
    drop(listener);
    door.clients.close();
    let drained = timeout(limits::DRAIN_TIMEOUT, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = open.len(), "clients of the Redis door are cut off");
        open.shutdown().await;
    }
}

async fn welcome(
    door: Arc<Door>,
    (stream, address): (TcpStream, SocketAddr),
    tls: Option<TlsAcceptor>,
    (_held, stranger): (Held, Stranger),
) {
    let keep_alive = TcpKeepalive::new().with_time(limits::REDIS_KEEP_ALIVE);
    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keep_alive) {
        tracing::debug!(%error, "no keep-alive");
    }
    let local = stream.local_addr().unwrap_or(address);
    let (card, _registered) = Clients::enter(&door, address, local);
    let Some(tls) = tls else { return converse(stream, door, card, stranger).await };
    match timeout(limits::TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(stream, door, card, stranger).await,
        // any scanner causes these
        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}

/// Says why somebody is not let in, if that goes without waiting.
fn turn_away(stream: &TcpStream) {
    let _ = stream.try_write(&farewell("ERR max number of clients reached"));
}
