//! Link: one connection to one peer, made when it is needed and made again when it broke.
//!
//! HTTP/2 over mutual TLS: many questions share a connection, and each says what became of it. What surely did not
//! arrive may be asked again; what was lost on the way may have been done, and whoever asked must say so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::keys::{self, PublicKey, SERVER_NAME};
use super::papers::Page;
use super::tls::{self, Dialer};
use crate::error::Result;
use crate::state::codec;

/// How long it may take to reach a peer.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How often a peer that is silent is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Bytes that may be on their way unread.
const WINDOW: u32 = 8 << 20;
/// The most that an answer may have.
const ANSWER_MAX: usize = 64 << 20;

/// What is sent.
pub type Sent = UnsyncBoxBody<Bytes, io::Error>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The question surely did not arrive.
    #[error("not reached: {0}")]
    Unsent(String),
    /// The question may have arrived, and what it asked for may be done.
    #[error("no answer: {0}")]
    Lost(String),
    /// The peer refused, and did nothing.
    #[error("refused: {0}")]
    Refused(String),
    /// The peer did nothing, and might do it later.
    #[error("not now: {0}")]
    NotNow(String),
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `host:port` of its peer port.
    pub address: String,
    /// The key that its certificate must carry; `None` takes any node of the cluster.
    pub key: Option<PublicKey>,
}

/// What a connection is refused with when whoever answers is no node of the cluster.
pub const STRANGER: &str = "whoever answers there is no node of this cluster";

/// A connection that is open, and the papers that it was made with.
struct Open {
    sender: SendRequest<Sent>,
    page: Option<Arc<Page>>,
}

/// A connection to a peer.
pub struct Link {
    target: Target,
    dialer: Dialer,
    /// What each question says of who asks whom.
    headers: hyper::HeaderMap,
    open: Mutex<Option<Open>>,
    /// Whether the last try to connect failed.
    down: AtomicBool,
    /// Whether the peer says that this node is no member.
    disowned: Arc<AtomicBool>,
}

impl Link {
    /// A link to `target`; nothing is sent yet.
    pub fn new(target: Target, dialer: Dialer, headers: hyper::HeaderMap) -> Arc<Self> {
        Arc::new(Self {
            target,
            dialer,
            headers,
            open: Mutex::new(None),
            down: AtomicBool::new(false),
            disowned: Arc::default(),
        })
    }

    /// Where it leads.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether the peer could not be reached when that was last tried.
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether the peer, when it was last heard, said that this node is no member of the cluster.
    pub fn is_disowned(&self) -> bool {
        self.disowned.load(Ordering::Relaxed)
    }

    /// Whether there is no connection at the moment.
    #[cfg(test)]
    pub async fn is_closed(&self) -> bool {
        self.open.lock().await.as_ref().is_none_or(|open| open.sender.is_closed())
    }

    /// Asks one question.
    ///
    /// # Errors
    /// What became of the question.
    pub async fn call<Q: Serialize, A: DeserializeOwned>(&self, route: &str, question: &Q) -> Result<A, Failed> {
        let body = Full::new(Bytes::from(codec::encode(question))).map_err(|never| match never {});
        self.send(route, body.boxed_unsync()).await
    }

    /// Sends a body of any length and reads the answer.
    ///
    /// # Errors
    /// What became of it.
    pub async fn send<A: DeserializeOwned>(&self, route: &str, body: Sent) -> Result<A, Failed> {
        let mut sender = self.sender().await?;
        let mut request = Request::post(format!("https://{SERVER_NAME}{route}"))
            .body(body)
            .map_err(|e| Failed::Unsent(e.to_string()))?;
        request.headers_mut().extend(self.headers.clone());
        let lost = |e: &dyn std::fmt::Display| Failed::Lost(format!("{}: {e}", self.target.address));
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut e) => {
                let is_unsent = e.take_message().is_some();
                let why = e.into_error();
                return Err(if is_unsent { Failed::Unsent(why.to_string()) } else { lost(&why) });
            }
        };
        self.disowned.store(false, Ordering::Relaxed);
        let status = response.status();
        let body = read(response).await.map_err(|e| lost(&e))?;
        let why = || String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => return Err(Failed::NotNow(why())),
            _ => return Err(Failed::Refused(why())),
        }
        codec::decode(&body).map_err(|e| lost(&e))
    }

    /// The open connection, or a new one.
    async fn sender(&self) -> Result<SendRequest<Sent>, Failed> {
        let mut open = self.open.lock().await;
        let page = self.dialer.page();
        let holds = |open: &&Open| {
            !open.sender.is_closed() && open.page.as_ref().map(Arc::as_ptr) == page.as_ref().map(Arc::as_ptr)
        };
        if let Some(open) = open.as_ref().filter(holds) {
            return Ok(open.sender.clone());
        }
        // what is under way on an old one finds its end
        *open = None;
        let unsent = |why: String| Failed::Unsent(format!("{}: {why}", self.target.address));
        let connected = match timeout(CONNECT_WITHIN, self.connect()).await {
            Ok(connected) => connected.map_err(|e| unsent(e.to_string())),
            Err(_) => Err(unsent("no connection in time".into())),
        };
        self.down.store(connected.is_err(), Ordering::Relaxed);
        let connected = connected?;
        *open = Some(Open { sender: connected.clone(), page });
        Ok(connected)
    }

    async fn connect(&self) -> io::Result<SendRequest<Sent>> {
        let stream = TcpStream::connect(&self.target.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SERVER_NAME).expect("it is a name");
        let stream = self.dialer.connector.connect(name, stream).await.map_err(|e| match tls::is_stranger(&e) {
            true => io::Error::other(STRANGER),
            false => e,
        })?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let key = shown.and_then(|certificate| keys::key_of(certificate).ok());
        if self.target.key.is_some() && key != self.target.key {
            return Err(io::Error::other("another node answers there"));
        }
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(WINDOW as usize)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let disowned = self.disowned.clone();
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                if says_revoked(&e) {
                    disowned.store(true, Ordering::Relaxed);
                }
                tracing::debug!(error = %e, "a connection to a peer ended");
            }
        });
        Ok(sender)
    }
}

/// Whether the peer ended the connection because the certificate that it was shown is no member's any more.
fn says_revoked(error: &dyn std::error::Error) -> bool {
    let mut at = Some(error);
    while let Some(e) = at {
        if e.to_string().contains("CertificateRevoked") {
            return true;
        }
        at = e.source();
    }
    false
}

async fn read(response: Response<Incoming>) -> io::Result<Bytes> {
    let read = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(io::Error::other)
}
