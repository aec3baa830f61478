//! Door: the port that peers knock at.
//!
//! Nobody gets past the handshake who is no member and holds no join token; everything else is a closed connection.
//! How many connections and questions there may be at once is bounded, and so is what each may send.

use std::convert::Infallible;
use std::io;
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
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::keys::{self, PublicKey};

/// Connections at once, each with some questions.
const CONNECTIONS_MAX: usize = 256;
const STREAMS_MAX: u32 = 256;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How often a silent peer is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(5);
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
    /// Answers one question of whoever proved to hold `caller`.
    fn answer(self: Arc<Self>, caller: PublicKey, question: Request<Incoming>) -> BoxFuture<'static, Answered>;
}

/// Accepts peers until the future is dropped; connections end with it.
pub async fn serve(listener: TcpListener, tls: TlsAcceptor, desk: Arc<dyn Desk>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    loop {
        let permit = room.clone().acquire_owned().await.expect("nobody closes it");
        let stream = loop {
            tokio::select! {
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
        let (tls, desk) = (tls.clone(), desk.clone());
        open.spawn(async move {
            let _permit = permit;
            if let Err(e) = converse(stream, tls, desk).await {
                tracing::debug!(error = %e, "a peer's connection ended");
            }
        });
    }
}

async fn converse(stream: TcpStream, tls: TlsAcceptor, desk: Arc<dyn Desk>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await.map_err(io::Error::other)??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let Some(Ok(caller)) = shown.map(keys::key_of) else { return Ok(()) };
    let service = service_fn(move |question| {
        let answer = desk.clone().answer(caller, question);
        async move { Ok::<_, Infallible>(told(answer.await)) }
    });
    Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
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
