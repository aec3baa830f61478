//! Door: the port that peers knock at.
//!
//! Nobody gets past the handshake who is no member and holds no join token; everything else is a closed connection.
//! How many connections and questions there may be at once is bounded, and so is what each may send.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::keys::{self, PublicKey};
use super::tls::Lock;

/// Connections at once, each with some questions.
const CONNECTIONS_MAX: usize = 256;
const STREAMS_MAX: u32 = 256;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to find out whether a caller is to be heard.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// How often a silent peer is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long a node that stops goes on answering what it was asked before.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// How long what was asked on a connection that is to end may take.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
const WINDOW: u32 = 8 << 20;
/// How long accepting rests when it fails: the process is out of file descriptors.
const REST: Duration = Duration::from_millis(50);

/// What a question came to: the answer's bytes, or why it was refused.
pub type Answered = Result<Bytes, Refusal>;

/// A question that was refused: nothing of it was done.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub why: String,
}

/// What answers peers.
pub trait Desk: Send + Sync + 'static {
    /// Whether whoever got past the handshake with this key is heard.
    fn hears(self: Arc<Self>, caller: PublicKey) -> BoxFuture<'static, bool>;

    /// Answers one question of whoever proved to hold `caller`.
    fn answer(self: Arc<Self>, caller: PublicKey, question: Request<Incoming>) -> BoxFuture<'static, Answered>;
}

/// Accepts peers until `stop` is true; then answers what was asked, and no more. Dropped, it ends all connections at
/// once.
pub async fn serve(listener: TcpListener, lock: Lock, desk: Arc<dyn Desk>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    'open: loop {
        let permit = room.clone().acquire_owned().await.expect("nobody closes it");
        let stream = loop {
            tokio::select! {
                () = told_to(&mut stop) => break 'open,
                Some(_) = open.join_next(), if !open.is_empty() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => break stream,
                    Err(e) => {
                        tracing::warn!(error = %e, "no connection can be accepted at the peer port");
                        tokio::time::sleep(REST).await;
                    }
                },
            }
        };
        let (lock, desk, stop) = (lock.clone(), desk.clone(), stop.clone());
        open.spawn(async move {
            let _permit = permit;
            if let Err(e) = converse(stream, lock, desk, stop).await {
                tracing::debug!(error = %e, "a peer's connection ended");
            }
        });
    }
    drop(listener);
    let answered = async { while open.join_next().await.is_some() {} };
    if timeout(ANSWERED_WITHIN, answered).await.is_err() {
        tracing::debug!("a peer's question was not answered to its end");
    }
}

async fn converse(
    stream: TcpStream,
    lock: Lock,
    desk: Arc<dyn Desk>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut turns = lock.papers.turns();
    let stream = timeout(HANDSHAKE_WITHIN, lock.acceptor.accept(stream)).await.map_err(io::Error::other)??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let Some(shown) = shown.map(|shown| shown.clone().into_owned()) else { return Ok(()) };
    let Ok(caller) = keys::key_of(&shown) else { return Ok(()) };
    if !timeout(HEARD_WITHIN, desk.clone().hears(caller)).await.map_err(io::Error::other)? {
        return Ok(());
    }
    let service = service_fn(move |question| {
        let answer = desk.clone().answer(caller, question);
        async move { Ok::<_, Infallible>(told(answer.await)) }
    });
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended.map_err(io::Error::other),
        () = told_to(&mut stop) => {}
        () = async {
            while turns.changed().await.is_ok() && lock.papers.vouch(&shown) {}
        } => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(ENDED_WITHIN, connection).await.map_err(io::Error::other)?.map_err(io::Error::other)
}

async fn told_to(stop: &mut watch::Receiver<bool>) {
    // a sender that is gone is a node that is gone
    let _ = stop.wait_for(|stop| *stop).await;
}

fn told(answered: Answered) -> Response<Full<Bytes>> {
    let (status, body) = match answered {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (refusal.status, Bytes::from(refusal.why)),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}
