//! Accept: the listener, its connections, and every bound on what a stranger's connection may cost us.
//!
//! warp brings routes but no limits of its own, so connections are kept here: how many, how long one may stay silent,
//! dawdle over a head, or live on after we were told to stop. All of that is watched by one timer a connection, which
//! sees more than hyper's own head timeout (HTTP/2, and the guess of the version) and costs nothing per request.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::metrics;
use super::pulse::{Answering, Bounds, Heard, Pulse, Watch};
use crate::error::Result;
use crate::limits;
use crate::listen::{self, Crowd, next};

/// How long the last connections may take to say what they came for.
const FIRST_REQUEST: Duration = Duration::from_millis(50);

/// A connection, whence it comes, and its place among all.
type Arrival = (TcpStream, SocketAddr, OwnedSemaphorePermit);

/// The bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connections: usize,
    pub per_address: usize,
    pub handshake: Duration,
    pub head: Duration,
    pub idle: Duration,
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            per_address: limits::CONNECTIONS_PER_ADDRESS_MAX,
            handshake: limits::TLS_HANDSHAKE_TIMEOUT,
            head: limits::HEADER_READ_TIMEOUT,
            idle: limits::KEEP_ALIVE_IDLE,
            drain: limits::DRAIN_TIMEOUT,
        }
    }
}

/// Where to listen and how.
pub struct Port {
    /// Bound already.
    pub listener: TcpListener,
    pub tls: Option<TlsAcceptor>,
    pub limits: Limits,
    /// Whose connections are not counted by address.
    pub exempt: Vec<IpNet>,
    /// Whether each HTTP/1.1 connection ends with its next answer: a client that was told so sends no further request
    /// into a connection that is about to be closed.
    pub goes: Arc<AtomicBool>,
}

impl Port {
    /// Plain HTTP with the usual bounds.
    pub fn plain(listener: TcpListener) -> Self {
        let exempt = listen::this_machine();
        Self { listener, tls: None, limits: Limits::default(), exempt, goes: Arc::default() }
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub address: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// TLS for both versions of HTTP, from a certificate chain and its key, both PEM files.
///
/// # Errors
/// `Broken`, with a hint, when a file cannot be read or the two do not belong together.
pub fn tls(cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    listen::tls(cert, key, &[b"h2", b"http/1.1"])
}

/// How long before an idle connection is closed it is looked whether a request has come.
const LAST_LOOK: Duration = Duration::from_millis(5);

/// Accepts until `stop` is ready, then lets what runs finish, for as long as the limits say.
///
/// `make` is asked for one service a connection. It must not panic: what panics inside kills its own connection alone,
/// but without an answer.
pub async fn serve<M, S, B>(port: Port, stop: impl Future<Output = ()>, make: M)
where
    M: Fn(Peer) -> S,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let Port { listener, tls, limits, exempt, goes } = port;
    let crowd = Crowd::new(limits.per_address, exempt, "if it is a proxy, name it in web.trusted_proxies");
    let room = Arc::new(Semaphore::new(limits.connections));
    let (stopping, stopped) = watch::channel(());
    let builder = Arc::new(protocol());
    let mut open = JoinSet::new();
    let welcome = |open: &mut JoinSet<()>, (stream, address, permit): Arrival| {
        let Some(place) = crowd.enter(address.ip()) else { return };
        bound_unread(&stream, limits.idle);
        let service = last_when(goes.clone(), make(Peer { address, tls: tls.is_some() }));
        let (tls, builder, stopped) = (tls.clone(), builder.clone(), stopped.clone());
        open.spawn(async move {
            let _open = (Open::new(permit), place);
            let Some(tls) = tls else { return converse(stream, &builder, service, (limits, stopped)).await };
            match timeout(limits.handshake, tls.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, &builder, service, (limits, stopped)).await,
                // any scanner causes these
                Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
            }
        });
    };
    let mut stop = pin!(stop);
    loop {
        let arrival = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = open.join_next(), if !open.is_empty() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!("a connection's task panicked");
                }
                continue;
            }
            accepted = next(&listener, &room) => accepted,
        };
        welcome(&mut open, arrival);
    }
    if goes.load(Ordering::Relaxed) {
        turn_away(&listener);
        for (stream, address) in let_in(listener) {
            let Ok(permit) = room.clone().try_acquire_owned() else { break };
            welcome(&mut open, (stream, address, permit));
        }
        tokio::time::sleep(FIRST_REQUEST).await;
    } else {
        drop(listener);
    }
    drop(stopping);
    let drained = timeout(limits.drain, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = open.len(), "requests still run after the drain time; cutting them off");
        open.shutdown().await;
    }
}

/// Has the system end a connection when what was sent is not taken for so long: an answer may be as long as somebody
/// listens, and whoever is gone without a word would have it for ever.
#[cfg(target_os = "linux")]
fn bound_unread(stream: &TcpStream, longest: Duration) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(longest)) {
        tracing::debug!(%error, "whoever is gone without a word may be waited for");
    }
}

#[cfg(not(target_os = "linux"))]
fn bound_unread(_: &TcpStream, _: Duration) {}

/// Has the system drop whatever newcomers send, so that nobody is let in between the last one that is accepted and the
/// end of the listener: their request would be cut off unread. They try again, and find the door closed.
#[cfg(target_os = "linux")]
fn turn_away(listener: &TcpListener) {
    // BPF: return 0, take nothing of any packet
    let nothing = [socket2::SockFilter::new(0x06, 0, 0, 0)];
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&nothing) {
        tracing::debug!(%error, "the last connections may be cut off");
    }
}

#[cfg(not(target_os = "linux"))]
fn turn_away(_: &TcpListener) {}

/// Closes the listener; answers the connections that the system let in and nobody accepted yet. tokio may not have
/// heard of them, so that the system itself is asked.
fn let_in(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut all = Vec::new();
    while let Ok((stream, address)) = listener.accept() {
        let stream = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map(|()| stream);
        all.extend(stream.and_then(TcpStream::from_std).map(|stream| (stream, address)));
    }
    all
}

/// The same service, whose answers close their connection once `goes` is true.
fn last_when<S, B>(
    goes: Arc<AtomicBool>,
    service: S,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static
where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static,
{
    service_fn(move |request: Request<Incoming>| {
        let (is_http1, goes) = (request.version() < Version::HTTP_2, goes.clone());
        let answer = service.call(request);
        async move {
            let mut answer = answer.await?;
            if is_http1 && goes.load(Ordering::Relaxed) {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        }
    })
}

/// A place among the connections and a mark on the gauge, given back when dropped.
struct Open {
    _permit: OwnedSemaphorePermit,
    gauge: ::metrics::Gauge,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        let gauge = metrics::connections();
        gauge.increment(1.0);
        Self { _permit: permit, gauge }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

/// Both versions of HTTP, with the bounds that hyper keeps for us.
fn protocol() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // the head timeout is ours (see `pulse`): hyper's would arm a new timer for every request
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits::HEADER_BYTES_MAX)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX as u32)
        .keep_alive_interval(limits::PING_EVERY)
        .keep_alive_timeout(limits::PING_EVERY);
    builder
}

/// Serves one connection until it ends, is told to, or breaks a bound.
async fn converse<IO, S, B>(
    stream: IO,
    builder: &Builder<TokioExecutor>,
    service: S,
    (limits, mut stopped): (Limits, watch::Receiver<()>),
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let pulse = Arc::new(Pulse::default());
    let io = TokioIo::new(Heard::new(stream, pulse.clone()));
    let seen = pulse.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = seen.begin(request.version());
        let answer = service.call(request);
        async move { answer.await.map(|answer| answer.map(|body| Answering::new(body, busy))) }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut watch = pin!(Watch::new(pulse, Bounds { head: limits.head, idle: limits.idle }));
    let told = stopped.clone();
    let stopped = async {
        // an error: the sender is gone, which is the signal
        while stopped.changed().await.is_ok() {}
        // so that it is known here what has arrived by now
        tokio::time::sleep(LAST_LOOK).await;
    };
    let mut stopped = pin!(stopped);
    let (mut listens, mut leaves) = (false, false);
    poll_fn(|cx: &mut Context<'_>| {
        // asked once, the signal wakes this task; from then on a glance is enough
        if !leaves && (!listens || told.has_changed().is_err()) {
            listens = true;
            if stopped.as_mut().poll(cx).is_ready() {
                leaves = true;
                // a request that has come is still taken: an idle connection is closed, and a close on unread bytes is
                // a reset
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                connection.as_mut().graceful_shutdown();
            }
        }
        if let Poll::Ready(result) = connection.as_mut().poll(cx) {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
            return Poll::Ready(());
        }
        watch.as_mut().poll(cx)
    })
    .await;
}

#[cfg(test)]
mod tests;
