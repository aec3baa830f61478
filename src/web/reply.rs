//! Reply: what routes answer, and the cookies that ride on it.
//!
//! Session ids leave this process in `Set-Cookie` and nowhere else (ASVS 3.3.4). Security headers are added later, to
//! every reply, by `headers`.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use parking_lot::Mutex;
use serde::Serialize;
use warp::Reply as _;

use super::{Settings, headers};
use crate::error::{Error, Result};
use crate::identity::Granted;

/// A whole reply.
pub type Reply = hyper::Response<Bytes>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Most JSON that we answer is shorter than this, bytes.
const USUAL: usize = 512;

/// A page.
pub fn html(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    whole(status, HTML, body.into())
}

/// Server-sent events, which end when `events` do. The body rides beside the reply until that leaves: everything else
/// that is done to a reply wants one that is whole.
pub fn events<S>(status: StatusCode, events: S) -> Reply
where
    S: Stream<Item = warp::sse::Event> + Send + 'static,
{
    let mut reply = empty(status);
    let events: BoxStream<'static, warp::sse::Event> = Box::pin(events);
    reply.extensions_mut().insert(Riding(Arc::new(Mutex::new(Some(events)))));
    reply
}

/// A body that rides beside its reply.
#[derive(Clone)]
struct Riding(Arc<Mutex<Option<BoxStream<'static, warp::sse::Event>>>>);

/// warp wants a stream that threads could share, which nobody does.
struct Shareable(Mutex<BoxStream<'static, warp::sse::Event>>);

impl Stream for Shareable {
    type Item = warp::sse::Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.get_mut().poll_next_unpin(cx)
    }
}

/// The reply as it leaves.
pub(super) fn leaving(mut reply: Reply) -> warp::reply::Response {
    let riding = reply.extensions_mut().remove::<Riding>();
    let Some(events) = riding.and_then(|riding| riding.0.lock().take()) else { return reply.into_response() };
    let events = Shareable(Mutex::new(events)).map(Ok::<_, std::convert::Infallible>);
    let mut streamed = warp::sse::reply(events).into_response();
    *streamed.status_mut() = reply.status();
    streamed.headers_mut().extend(std::mem::take(reply.headers_mut()));
    streamed
}

/// Plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    whole(status, TEXT, body.into())
}

/// A value as JSON.
///
/// # Errors
/// `Broken` when the value cannot be written as JSON, which ours all can.
pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Reply> {
    Ok(whole(status, JSON, encoded(value)?))
}

/// JSON that was encoded before.
pub(super) fn ready(status: StatusCode, body: Bytes) -> Reply {
    whole(status, JSON, body)
}

/// A value as `application/problem+json` (RFC 9457).
pub(super) fn problem(status: StatusCode, value: &impl Serialize) -> Reply {
    whole(status, PROBLEM, encoded(value).unwrap_or_default())
}

/// 303: look there, with `GET`. `to` is a path of ours or an address that was checked.
///
/// # Errors
/// `Malformed` when `to` cannot stand in a header.
pub fn redirect(to: &str) -> Result<Reply> {
    let to = HeaderValue::from_str(to).map_err(|_| Error::Malformed("The address to go to is not one.".to_owned()))?;
    let mut reply = empty(StatusCode::SEE_OTHER);
    reply.headers_mut().insert(header::LOCATION, to);
    Ok(reply)
}

/// 204.
pub fn no_content() -> Reply {
    empty(StatusCode::NO_CONTENT)
}

/// Bytes of some other type, which browsers may keep for `max_age_secs`.
pub fn asset(content_type: &'static str, body: &'static [u8], max_age_secs: u32) -> Reply {
    let mut reply = whole(StatusCode::OK, HeaderValue::from_static(content_type), Bytes::from_static(body));
    if let Ok(value) = HeaderValue::from_str(&format!("public, max-age={max_age_secs}")) {
        reply.headers_mut().insert(header::CACHE_CONTROL, value);
    }
    reply
}

/// The reply, with the cookies that a browser does not have yet.
///
/// # Errors
/// `Broken` when a cookie cannot stand in a header.
pub fn grant(mut reply: Reply, settings: &Settings, granted: &Granted) -> Result<Reply> {
    if !granted.cookie.is_empty() {
        append(&mut reply, &session_cookie(settings, &granted.cookie, granted.max_age_secs))?;
    }
    if !granted.own.is_empty() {
        append(&mut reply, &own_cookie(settings, &granted.own, granted.max_age_secs))?;
    }
    Ok(reply)
}

/// The reply, with both cookies taken back.
///
/// # Errors
/// `Broken` when a cookie cannot stand in a header.
pub fn forget(mut reply: Reply, settings: &Settings) -> Result<Reply> {
    append(&mut reply, &session_cookie(settings, "", Some(0)))?;
    append(&mut reply, &own_cookie(settings, "", Some(0)))?;
    Ok(reply)
}

/// The reply, with the cookie that says that its receiver wrote something just now.
pub(super) fn mark(mut reply: Reply, settings: &Settings) -> Reply {
    let cookie = lax(settings, cookie(settings.marker, "1", Some(settings.marker_secs)));
    if let Err(e) = append(&mut reply, &cookie) {
        tracing::warn!(error = %e, "a reply went without the mark of a write");
    }
    reply
}

/// `Lax`, so that a link from elsewhere still finds the person signed in.
fn session_cookie(settings: &Settings, value: &str, max_age_secs: Option<i64>) -> String {
    lax(settings, cookie(&settings.cookie, value, max_age_secs))
}

/// The cookie for wherever the session is known.
fn lax(settings: &Settings, mut out: String) -> String {
    if let Some(domain) = &settings.domain {
        let _ = write!(out, "; Domain={domain}");
    }
    out.push_str(if settings.https { "; HttpOnly; Secure; SameSite=Lax" } else { "; HttpOnly; SameSite=Lax" });
    out
}

/// Host-only and `Strict`: it guards the account pages, which nothing elsewhere needs to reach.
fn own_cookie(settings: &Settings, value: &str, max_age_secs: Option<i64>) -> String {
    let mut out = cookie(settings.own_cookie, value, max_age_secs);
    out.push_str(if settings.https { "; HttpOnly; Secure; SameSite=Strict" } else { "; HttpOnly; SameSite=Strict" });
    out
}

fn cookie(name: &str, value: &str, max_age_secs: Option<i64>) -> String {
    let mut out = String::with_capacity(name.len() + value.len() + 96);
    let _ = write!(out, "{name}={value}; Path=/");
    if let Some(secs) = max_age_secs {
        let _ = write!(out, "; Max-Age={secs}");
    }
    out
}

fn append(reply: &mut Reply, cookie: &str) -> Result<()> {
    let mut value = HeaderValue::from_str(cookie).map_err(|_| Error::broken("cookie", "not a header value"))?;
    value.set_sensitive(true);
    reply.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

pub(super) fn empty(status: StatusCode) -> Reply {
    let mut reply = Reply::new(Bytes::new());
    *reply.status_mut() = status;
    *reply.headers_mut() = HeaderMap::with_capacity(headers::ROOM);
    reply
}

fn whole(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Reply {
    let mut reply = empty(status);
    reply.headers_mut().insert(header::CONTENT_TYPE, content_type);
    *reply.body_mut() = body;
    reply
}

/// The bytes of a value as JSON.
///
/// # Errors
/// As [`json`].
pub(super) fn encoded(value: &impl Serialize) -> Result<Bytes> {
    let mut body = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut body, value).map_err(|error| Error::broken("reply", error))?;
    Ok(Bytes::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_say_no_more_than_they_must() {
        let plain = Settings::of("http://localhost:3000");
        assert_eq!(session_cookie(&plain, "s%3Aa.b", None), "sojourn=s%3Aa.b; Path=/; HttpOnly; SameSite=Lax");
        let tls = Settings::of("https://a.example");
        assert_eq!(
            own_cookie(&tls, "x", Some(60)),
            "__Host-sojourn-own=x; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Strict"
        );
        assert_eq!(
            session_cookie(&tls.with_domain("example"), "x", None),
            "__Secure-sojourn=x; Path=/; Domain=example; HttpOnly; Secure; SameSite=Lax"
        );
    }

    #[test]
    fn forgetting_takes_both_cookies_back_at_once() {
        let settings = Settings::of("http://localhost:3000");
        let reply = forget(no_content(), &settings).unwrap();
        let cookies: Vec<_> = reply.headers().get_all(header::SET_COOKIE).iter().collect();
        assert_eq!(cookies.len(), 2);
        assert!(cookies.iter().all(|c| c.to_str().unwrap().contains("=; Path=/; Max-Age=0; ")));
    }

    #[test]
    fn a_redirect_cannot_smuggle_a_header() {
        assert!(redirect("/home\r\nset-cookie: a=b").is_err());
        assert_eq!(redirect("/home").unwrap().headers()[header::LOCATION], "/home");
    }
}
