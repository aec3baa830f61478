//! Serve: the way of a request from the wire to its reply.
//!
//! The head is taken from a request before warp gets it, and warp hands over the body; everything after that is ours:
//! route, origin rule, body, content type, the route's function under a time limit and a net for panics, problems,
//! security headers, counters. The order matters: nothing of a body is read for a request that is refused anyway.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Once};
use std::task::Poll;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt as _, Stream, StreamExt as _, poll};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Method, StatusCode, Uri, Version};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::timeout;
use warp::Filter as _;

use super::accept::{self, Peer, Port};
use super::request::Media;
use super::route::{By, Found, Kind, Route, Row, Table, Takes};
use super::{Door, Problem, Reply, Request, Settings, bearer, forwarded, headers, origin, own_writes, reply};
use crate::error::Error;
use crate::identity::SECURITY;
use crate::limits;

/// The door and its routes: what a listener serves.
pub struct Site {
    door: Door,
    table: Table,
    /// Said to the operator once: every form is refused until then.
    misread: Once,
}

impl Site {
    /// The whole site: pages, JSON API, health.
    pub fn new(door: Door) -> Self {
        Self { door, table: Table::new(super::routes()), misread: Once::new() }
    }
}

impl Site {
    /// What a request is told that was not sent from a page of ours, as far as we can tell.
    fn foreign(&self, request: &Request) -> Problem {
        if !origin::is_misread(request) {
            return Problem::new(StatusCode::FORBIDDEN, "This was sent from another site.");
        }
        let origin = request.header(header::ORIGIN).unwrap_or_default();
        let public_url = self.door.settings.origin();
        self.misread.call_once(|| {
            tracing::warn!(
                origin,
                public_url,
                "a browser sends forms from another address than public_url, and they are refused; hint: set \
                 public_url to the address that people see"
            );
        });
        let detail = "This page was opened at an address that this server does not know as its own. A hint for whoever \
                      runs it: set public_url to the address that people see.";
        Problem::new(StatusCode::FORBIDDEN, detail)
    }
}

/// Serves `site` on `port` until `stop` is ready, then lets running requests finish.
pub async fn serve(site: Arc<Site>, mut port: Port, stop: impl Future<Output = ()>) {
    port.exempt.extend_from_slice(&site.door.settings.trusted_proxies);
    accept::serve(port, stop, |peer| service(Arc::new(Caller { site: site.clone(), peer }))).await;
}

/// What all requests of one connection share.
struct Caller {
    site: Arc<Site>,
    peer: Peer,
}

type Wire = hyper::Request<Incoming>;

fn service(
    caller: Arc<Caller>,
) -> impl Service<Wire, Response = warp::reply::Response, Error = Infallible, Future: Send> + Send + 'static {
    service_fn(move |mut wire: Wire| {
        settle(&mut wire);
        // the head is taken out, not copied: warp's filters lend it to nobody, and a copy of all headers is a tenth of
        // what a check costs
        let request = Mutex::new(Some(caller.request(&mut wire)));
        let taken = Arc::new((caller.clone(), request));
        let filter = warp::body::stream().then(move |body| {
            let taken = taken.clone();
            // boxed: hyper, warp and the accept loop each move this future before it is polled
            Box::pin(async move {
                let (caller, request) = &*taken;
                let request = request.lock().take();
                reply::leaving(caller.answer(request.expect("warp answers a request once"), body).await)
            })
        });
        TowerToHyperService::new(warp::service(filter)).call(wire)
    })
}

/// Irons out forms of the target that warp does not know. HTTP/2 names the host in `:authority`, and an absolute target
/// outranks `Host` (RFC 9112, section 3.2.2); a target that is a host alone has no path at all, which warp takes for its
/// own mistake. In `CONNECT` it is a method that we do not know, elsewhere a path that is none of ours.
fn settle(request: &mut Wire) {
    let host = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
    if request.uri().path_and_query().is_none() {
        let known = if request.method() == Method::CONNECT { "/" } else { "*" };
        *request.uri_mut() = Uri::from_static(known);
    }
}

impl Caller {
    async fn answer<S, B, E>(&self, mut request: Request, body: S) -> Reply
    where
        S: Stream<Item = Result<B, E>> + Send,
        B: Buf,
    {
        let begun = Instant::now();
        let mut is_check = false;
        let (meters, mut reply) = match self.site.table.find(&request.method, &request.path) {
            _ if !names_one_host(&request) => (&self.site.table.stray, refusal(&request, &HOST)),
            Found::Row(row, params) => {
                request.params = params;
                is_check = row.route.takes == Takes::Unread;
                (&row.meters, self.walk(row, &mut request, body).await)
            }
            Found::WrongMethod(node) => {
                let mut reply = match request.method {
                    Method::OPTIONS => reply::no_content(),
                    _ => refusal(&request, &METHOD),
                };
                reply.headers_mut().insert(header::ALLOW, node.allow.clone());
                (&self.site.table.stray, reply)
            }
            Found::Nothing => (&self.site.table.stray, refusal(&request, &MISSING)),
        };
        finish(&request, &mut reply, &self.site.door.settings);
        if is_check {
            reply.headers_mut().remove(header::STRICT_TRANSPORT_SECURITY);
        }
        if request.method == Method::HEAD {
            let length = HeaderValue::from(reply.body().len());
            reply.headers_mut().insert(header::CONTENT_LENGTH, length);
            *reply.body_mut() = Bytes::new();
        }
        meters.record(reply.status(), begun.elapsed());
        reply
    }

    /// The request, its body still on the wire.
    fn request(&self, wire: &mut Wire) -> Request {
        let trusted = &self.site.door.settings.trusted_proxies;
        let peer = self.peer.address.ip();
        let headers = std::mem::take(wire.headers_mut());
        Request {
            address: forwarded::address(peer, &headers, trusted),
            peer: peer.to_canonical(),
            https: self.peer.tls || forwarded::is_https(peer, &headers, trusted),
            method: wire.method().clone(),
            version: wire.version(),
            path: wire.uri().path().to_owned(),
            query: wire.uri().query().unwrap_or_default().to_owned(),
            headers,
            body: Bytes::new(),
            params: Vec::new(),
        }
    }

    /// From a route that was found to its reply.
    async fn walk<S, B, E>(&self, row: &Row, request: &mut Request, body: S) -> Reply
    where
        S: Stream<Item = Result<B, E>> + Send,
        B: Buf,
    {
        if row.route.takes == Takes::Unread {
            return self.checked(row, request).await;
        }
        let admitted = match self.admit(request, &row.route) {
            Ok(()) if origin::changes(&request.method) => Box::pin(take_body(row, request, body)).await,
            other => other,
        };
        if let Err(problem) = admitted {
            return shown(request, row.route.kind, &problem);
        }
        let door = &self.site.door;
        if own_writes::is_marked(door, request)
            && let Err(error) = Box::pin(door.identity.catch_up()).await
        {
            return shown(request, row.route.kind, &Problem::of(error, row.route.path));
        }
        let reply = self.asked(row, request).await;
        own_writes::mark(door, request, reply)
    }

    /// What a proxy is answered that asks about another request, whose method and cookies these are. Nothing here
    /// changes anything, whatever the method. What the proxy hands on is shown at another address: that one's transport
    /// is not ours to bind.
    async fn checked(&self, row: &Row, request: &Request) -> Reply {
        let door = &self.site.door;
        if own_writes::is_marked(door, request)
            && let Err(error) = Box::pin(door.identity.catch_up()).await
        {
            return shown(request, row.route.kind, &Problem::of(error, row.route.path));
        }
        self.asked(row, request).await
    }

    /// What the route's function answers.
    async fn asked(&self, row: &Row, request: &Request) -> Reply {
        let mut answer = AssertUnwindSafe((row.route.function)(&self.site.door, request)).catch_unwind();
        // most answers are there at once, and need no timer
        let outcome = match poll!(&mut answer) {
            Poll::Ready(outcome) => Ok(outcome),
            // boxed: the timer would make every request's future larger than malloc keeps at hand
            Poll::Pending => Box::pin(timeout(limits::REQUEST_TIMEOUT, answer)).await,
        };
        let error = match outcome {
            Ok(Ok(Ok(reply))) => return reply,
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => Error::Broken("a panic".to_owned()),
            Err(_) => Error::FateUnknown,
        };
        tracing::debug!(route = row.route.path, method = %request.method, %error, "refused");
        if matches!(error, Error::NotSignedIn) && row.route.kind == Kind::Page {
            return to_signin(request);
        }
        shown(request, row.route.kind, &Problem::of(error, row.route.path))
    }

    /// Refuses what no route need see.
    fn admit(&self, request: &Request, Route { path: route, by, .. }: &Route) -> Result<(), Problem> {
        let by_header = match by {
            By::Cookie => false,
            By::CookieOrToken => bearer::is_sent(request),
            By::Header => true,
        };
        if !by_header && origin::is_forbidden(request, &self.site.door.settings) {
            let (method, address) = (&request.method, request.address);
            tracing::warn!(target: SECURITY, %method, route, %address, "a cross-site request was refused");
            return Err(self.site.foreign(request));
        }
        Ok(())
    }
}

/// Reads the body, and refuses a type that the route does not take.
async fn take_body<S, B, E>(row: &Row, request: &mut Request, body: S) -> Result<(), Problem>
where
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf,
{
    let whole = timeout(limits::BODY_TIMEOUT, read(body, &request.headers)).await;
    request.body = whole.map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "The body came too slowly."))??;
    if takes(row.route.takes, request) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted(row.route.takes)))
}

/// What every reply says, whoever made it.
fn finish(request: &Request, reply: &mut Reply, settings: &Settings) {
    headers::secure(reply.headers_mut(), settings);
    if reply.status() == StatusCode::UNAUTHORIZED {
        reply.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(CHALLENGE);
    }
    // of a length and chunks at once, hyper believes the chunks and shows us no length; what another reader on the way
    // took for the next request must not be read as one (RFC 9112, section 6.1)
    if request.version == Version::HTTP_11 && request.headers.contains_key(header::TRANSFER_ENCODING) {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether a request names one host and nothing else in its place (RFC 9112, section 3.2): two readers could take
/// anything else for two hosts. HTTP/1.0 need not name any.
fn names_one_host(request: &Request) -> bool {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(b);
            !host.is_empty() && host.as_bytes().iter().all(fits)
        }
        (None, _) => request.version != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// RFC 9110 has every 401 name a scheme. This one is no registered one, and says what is wanted: browsers and clients
/// let it pass, where `Basic` would make them ask.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Cookie realm=\"sojourn\"");

/// Refusals that need no route.
const HOST: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "The request must name its host, in one Host header.");
const METHOD: (StatusCode, &str) = (StatusCode::METHOD_NOT_ALLOWED, "This address does not take such a request.");
const MISSING: (StatusCode, &str) = (StatusCode::NOT_FOUND, "There is nothing at this address.");

fn refusal(request: &Request, (status, detail): &(StatusCode, &'static str)) -> Reply {
    let kind = if request.path.starts_with("/api/") { Kind::Json } else { Kind::Page };
    shown(request, kind, &Problem::new(*status, *detail))
}

/// A problem in the form that its receiver reads: a page for a person who asked for one or sent a form.
fn shown(request: &Request, kind: Kind, problem: &Problem) -> Reply {
    let person = kind == Kind::Page || request.media() == Media::Form;
    if person && request.wants_html() { problem.to_page() } else { problem.to_json() }
}

/// The sign-in page, which leads back to where somebody wanted to go; back to pages only, not to what a form sent.
fn to_signin(request: &Request) -> Reply {
    if origin::changes(&request.method) {
        return reply::redirect("/login").unwrap_or_else(|_| reply::no_content());
    }
    let next =
        if request.query.is_empty() { request.path.clone() } else { format!("{}?{}", request.path, request.query) };
    let target = format!("/login?next={}", utf8_percent_encode(&next, NON_ALPHANUMERIC));
    reply::redirect(&target).unwrap_or_else(|_| reply::no_content())
}

fn takes(takes: Takes, request: &Request) -> bool {
    // an encoded body is not the type it says until it is decoded, which nothing here does
    if request.headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    match (takes, request.media()) {
        (Takes::Nothing, media) => request.body.is_empty() || media == Media::Json,
        (Takes::Form | Takes::JsonOrForm, Media::Form) => true,
        (Takes::Json | Takes::JsonOrForm | Takes::MergePatch, Media::Json) => true,
        (Takes::MergePatch, Media::MergePatch) => true,
        // a form without a single field has no type in some clients
        (Takes::Form, Media::Other) => request.body.is_empty() && !request.headers.contains_key(header::CONTENT_TYPE),
        _ => false,
    }
}

fn wanted(takes: Takes) -> &'static str {
    match takes {
        Takes::Form => "Send application/x-www-form-urlencoded, not encoded further.",
        Takes::JsonOrForm => "Send application/json or application/x-www-form-urlencoded, not encoded further.",
        Takes::MergePatch => "Send application/merge-patch+json or application/json, not encoded further.",
        Takes::Nothing | Takes::Json | Takes::Unread => "Send application/json, not encoded further.",
    }
}

/// The body, whole. One that is too long is read on for a while, so that its sender is listening when we answer;
/// unless they asked first (`Expect`) or it is longer than that is worth.
async fn read<S, B, E>(body: S, headers: &HeaderMap) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<B, E>> + Send,
    B: Buf,
{
    let too_long = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 64 KiB.");
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if declared.is_some_and(|n| {
        n > limits::DISCARD_MAX || (n > limits::BODY_MAX as u64 && headers.contains_key(header::EXPECT))
    }) {
        return Err(too_long());
    }
    let mut body = std::pin::pin!(body);
    let (mut whole, mut read) = (BytesMut::new(), 0_u64);
    while let Some(chunk) = body.next().await {
        let mut chunk =
            chunk.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "The body could not be read to its end."))?;
        read += chunk.remaining() as u64;
        if read > limits::DISCARD_MAX {
            break;
        }
        if read > limits::BODY_MAX as u64 {
            continue;
        }
        let chunk = chunk.copy_to_bytes(chunk.remaining());
        if whole.is_empty() && declared == Some(chunk.len() as u64) {
            // the usual case: it came in one piece, which need not be copied
            return Ok(chunk);
        }
        whole.extend_from_slice(&chunk);
    }
    if read > limits::BODY_MAX as u64 { Err(too_long()) } else { Ok(whole.freeze()) }
}

#[cfg(test)]
mod tests;
