//! Door: the port that peers knock at.
//!
//! Nobody gets past the handshake who is no member and holds no join token; everything else is a closed connection.
//! How many handshakes, connections and questions there may be at once is bounded ([`super::porch`]), and so is what
//! each may send.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
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
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;

use super::keys::{self, PublicKey};
use super::papers::Page;
use super::porch::{Heard, Porch};
use super::tls::Lock;

/// Questions at once on one connection, and the bytes of what stands in front of one.
const STREAMS_MAX: u32 = 256;
const HEADERS_MAX: u32 = 16 << 10;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// How long it may take to find out whether a caller is to be heard.
const HEARD_WITHIN: Duration = Duration::from_secs(3);
/// How often a silent peer is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How long a node that stops goes on answering what it was asked before.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// How long what was asked on a connection that is to end may take.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a join token lives still whose holder is connected.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often operators are told of refusals.
const TELL_EVERY: Duration = Duration::from_secs(30);
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

impl Refusal {
    /// It may not be asked, by whoever it is; said in the log, and whether whoever asked is heard still is looked at.
    pub fn forbidden(why: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, why }
    }

    /// Later, perhaps.
    pub fn not_now(why: &dyn std::fmt::Display) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, why: why.to_string() }
    }

    /// It went wrong here.
    pub fn failed(why: &dyn std::fmt::Display) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, why: why.to_string() }
    }
}

/// What answers peers.
pub trait Desk: Send + Sync + 'static {
    /// As what whoever got past the handshake with this key is heard, if at all.
    fn hears(self: Arc<Self>, caller: PublicKey) -> BoxFuture<'static, Option<Heard>>;

    /// Tells of every change that may end that somebody is heard.
    fn changes(&self) -> watch::Receiver<()>;

    /// Answers one question of whoever proved to hold `caller`.
    fn answer(self: Arc<Self>, caller: PublicKey, question: Request<Incoming>) -> BoxFuture<'static, Answered>;
}

/// Accepts peers until `stop` is true; then answers what was asked, and no more. Dropped, it ends all connections at
/// once.
pub async fn serve(listener: TcpListener, lock: Lock, desk: Arc<dyn Desk>, mut stop: watch::Receiver<bool>) {
    let house = Arc::new(House { lock, desk, porch: Porch::new(), refusals: Mutex::default() });
    let mut open = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            () = told_to(&mut stop) => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => (stream, address.ip()),
                Err(e) => {
                    tracing::warn!(error = %e, "no connection can be accepted at the peer port");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            },
        };
        // closed at once, and not answered: it must cost less than it costs them
        let Some(place) = house.porch.knock(address) else { continue };
        let (house, stop) = (house.clone(), stop.clone());
        open.spawn(async move {
            let met = tokio::select! {
                met = house.meet(stream) => met,
                () = place.lost() => Err(io::Error::other("others came")),
            };
            drop(place);
            match met {
                Ok(guest) => house.converse(guest, address, stop).await,
                Err(e) => {
                    house.porch.fail(address);
                    tracing::debug!(%address, error = %e, "nobody who is let in");
                }
            }
        });
    }
    drop(listener);
    let answered = async { while open.join_next().await.is_some() {} };
    if timeout(ANSWERED_WITHIN, answered).await.is_err() {
        tracing::debug!("a peer's question was not answered to its end");
    }
}

/// What is behind one port.
struct House {
    lock: Lock,
    desk: Arc<dyn Desk>,
    porch: Arc<Porch>,
    refusals: Mutex<Refusals>,
}

/// When operators were last told of a refusal, and how many there were since.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Whether one more is to be told of, and then how many were not.
    fn count(&mut self) -> Option<u64> {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

/// Whoever proved to be somebody.
struct Guest {
    stream: TlsStream<TcpStream>,
    heard: Heard,
    key: PublicKey,
    shown: CertificateDer<'static>,
    /// Hears of every turn of the papers since before they were shown.
    turns: watch::Receiver<Arc<Page>>,
    /// Hears of every change of who is heard, since before it was asked.
    changes: watch::Receiver<()>,
}

impl House {
    /// Who is there; an error when it is nobody who is heard.
    async fn meet(&self, stream: TcpStream) -> io::Result<Guest> {
        stream.set_nodelay(true)?;
        let turns = self.lock.papers.turns();
        let stream = timeout(HANDSHAKE_WITHIN, self.lock.acceptor.accept(stream)).await.map_err(io::Error::other)??;
        let chain = stream.get_ref().1.peer_certificates();
        let shown = chain.and_then(|chain| chain.first()).map(|shown| shown.clone().into_owned());
        let shown = shown.ok_or_else(|| io::Error::other("no certificate"))?;
        let key = keys::key_of(&shown).map_err(io::Error::other)?;
        let changes = self.desk.changes();
        let heard = timeout(HEARD_WITHIN, self.desk.clone().hears(key)).await.map_err(io::Error::other)?;
        let heard = heard.ok_or_else(|| io::Error::other("nobody knows it"))?;
        Ok(Guest { stream, heard, key, shown, turns, changes })
    }

    /// Answers what it asks, until either side ends.
    async fn converse(self: &Arc<Self>, guest: Guest, address: IpAddr, mut stop: watch::Receiver<bool>) {
        let Guest { stream, heard, key, shown, mut turns, changes } = guest;
        let seat = self.porch.seat(heard, key, address);
        let doubt = Arc::new(Notify::new());
        let service = service_fn(|question| {
            let (house, doubt) = (self.clone(), doubt.clone());
            let answer = house.desk.clone().answer(key, question);
            async move {
                let answered = answer.await;
                if let Err(refusal) = &answered
                    && refusal.status == StatusCode::FORBIDDEN
                {
                    house.tell(refusal, address);
                    doubt.notify_one();
                }
                Ok::<_, Infallible>(told(answered))
            }
        });
        let connection = protocol().serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            // it is counted no more, so that it must not be there any more
            () = seat.lost() => return,
            ended = &mut connection => Some(ended),
            () = told_to(&mut stop) => None,
            () = self.hears_no_more((key, heard), changes, &doubt) => None,
            () = async {
                // a turn may leave it as good as it was
                while turns.changed().await.is_ok() && self.lock.papers.vouch(&shown) {}
            } => None,
        };
        let ended = match ended {
            Some(ended) => ended.map_err(io::Error::other),
            None => {
                connection.as_mut().graceful_shutdown();
                let ended = timeout(ENDED_WITHIN, connection).await.map_err(io::Error::other);
                ended.and_then(|ended| ended.map_err(io::Error::other))
            }
        };
        if let Err(e) = ended {
            tracing::debug!(error = %e, "a peer's connection ended");
        }
    }
}

impl House {
    /// Returns when whoever is connected is heard no more: removed, or its token is gone.
    async fn hears_no_more(&self, who: (PublicKey, Heard), mut changes: watch::Receiver<()>, doubt: &Notify) {
        let (key, heard) = who;
        loop {
            tokio::select! {
                // a desk that is gone is a node that is gone
                changed = changes.changed() => if changed.is_err() { return },
                () = doubt.notified() => {}
                () = sleep(LOOK_AGAIN), if heard == Heard::Newcomer => {}
            }
            // one that cannot find out in time keeps whom it heard
            if let Ok(None) = timeout(HEARD_WITHIN, self.desk.clone().hears(key)).await {
                return;
            }
        }
    }

    fn tell(&self, refusal: &Refusal, address: IpAddr) {
        let untold = self.refusals.lock().count();
        if let Some(untold) = untold {
            tracing::warn!(why = refusal.why, %address, untold, "a peer was refused");
        }
    }
}

fn protocol() -> Builder<TokioExecutor> {
    let mut protocol = Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(WINDOW as usize)
        .max_header_list_size(HEADERS_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    protocol
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_refusals_operators_are_told_now_and_then() {
        let mut refusals = Refusals::default();
        assert_eq!([(); 3].map(|()| refusals.count()), [Some(0), None, None]);
        tokio::time::advance(TELL_EVERY).await;
        assert_eq!([(); 2].map(|()| refusals.count()), [Some(2), None]);
    }
}
