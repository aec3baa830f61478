//! Sign-out: at once for those who typed the address or came from a page of ours, after a question for all others.

use hyper::header::{HeaderMap, HeaderName, REFERER};
use hyper::{Method, StatusCode};

use super::frame::{Frame, Viewer};
use super::render;
use crate::error::{Error, Result};
use crate::web::{Door, Reply, Request, reply};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// `GET /logout`
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    // `HEAD` comes here too, and is not how anybody signs out
    if request.method == Method::GET && is_meant(&request.headers, door.settings.origin()) {
        return submit(door, request).await;
    }
    let visitor = door.visitor(request).await?;
    if visitor.session.is_none() {
        return reply::redirect("/");
    }
    Ok(reply::html(StatusCode::OK, question(&Viewer::new(&visitor, &door.settings))?))
}

/// `POST /logout`
pub async fn submit(door: &Door, request: &Request) -> Result<Reply> {
    match door.visitor(request).await {
        Ok(visitor) => door.identity.sign_out(&visitor).await?,
        // Cookies that contradict each other end no session, but they can be taken back.
        Err(Error::Malformed(_)) => {}
        Err(error) => return Err(error),
    }
    reply::forget(reply::redirect("/")?, &door.settings)
}

/// Whether the person themselves asked: they typed the address or came from a page of ours. A browser that only
/// fetches ahead asks for nobody, and one that says nothing of the sort (plain http) names the page before.
fn is_meant(headers: &HeaderMap, origin: &str) -> bool {
    if headers.get(SEC_PURPOSE).is_some() {
        return false;
    }
    match (headers.get(SEC_FETCH_SITE), headers.get(REFERER)) {
        (Some(site), _) => matches!(site.as_bytes(), b"same-origin" | b"none"),
        (None, Some(before)) => before.to_str().is_ok_and(|url| is_under(url, origin)),
        (None, None) => true,
    }
}

/// Whether an address lies on this origin.
fn is_under(url: &str, origin: &str) -> bool {
    url.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// The page that asks.
pub fn question(viewer: &Viewer<'_>) -> Result<String> {
    render("logout.html", &Frame::of("Sign out", "/logout", viewer), &())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn meant(sent: &[(HeaderName, &'static str)]) -> bool {
        let headers = sent.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        is_meant(&headers.collect(), "https://a.example")
    }

    #[test]
    fn those_who_typed_it_or_came_from_here_mean_it() {
        assert!(meant(&[]));
        assert!(meant(&[(SEC_FETCH_SITE, "none")]));
        assert!(meant(&[(SEC_FETCH_SITE, "same-origin")]));
        assert!(meant(&[(REFERER, "https://a.example/home")]));
        assert!(meant(&[(REFERER, "https://a.example")]));
    }

    #[test]
    fn others_are_asked() {
        assert!(!meant(&[(SEC_FETCH_SITE, "cross-site")]));
        assert!(!meant(&[(SEC_FETCH_SITE, "same-site")]));
        assert!(!meant(&[(SEC_FETCH_SITE, "cross-site"), (REFERER, "https://a.example/")]));
        assert!(!meant(&[(REFERER, "https://a.example.evil.example/")]));
        assert!(!meant(&[(REFERER, "https://a.example@evil.example/")]));
        assert!(!meant(&[(REFERER, "http://a.example/")]));
    }

    #[test]
    fn a_browser_that_fetches_ahead_signs_nobody_out() {
        assert!(!meant(&[(SEC_FETCH_SITE, "none"), (SEC_PURPOSE, "prefetch;prerender")]));
    }
}
