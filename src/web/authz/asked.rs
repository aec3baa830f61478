//! Asked: the request that a proxy asks about, as its headers tell it.
//!
//! Proxies name it in different headers, and pass on what else a client sent. So each of these headers may come once,
//! and all of those that came must say the same, whichever a proxy sets: a forged one can only make its own sender be
//! refused. Nothing is guessed where a rule may hang on it: without a host or a path there is no answer.

use std::borrow::Cow;

use hyper::header::{self, HeaderMap, HeaderName};

use super::Dialect;
use super::sightings::MARK;
use crate::identity::access::{Ambiguous, Target, is_same_host};
use crate::web::Settings;

const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
const ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");

/// The original request.
#[derive(Debug)]
pub struct Asked<'r> {
    pub target: Target<'r>,
    pub method: Option<&'r str>,
    scheme: Option<&'static str>,
    /// With the port, if it was named.
    host: &'r str,
    /// Path and query.
    uri: &'r str,
}

/// Why a question cannot be answered.
#[derive(Debug)]
pub struct Unclear {
    pub why: Cow<'static, str>,
}

impl Unclear {
    pub fn of(why: impl Into<Cow<'static, str>>) -> Self {
        Self { why: why.into() }
    }

    fn doubled(name: &HeaderName) -> Self {
        Self::of(format!("{name} came more than once. The proxy must replace what a client sends."))
    }

    fn differ(what: &str) -> Self {
        Self::of(format!("The headers of the proxy disagree about {what}. It must replace what a client sends."))
    }

    fn odd(name: &HeaderName) -> Self {
        Self::of(format!("{name} has a value that cannot be read."))
    }
}

impl From<Ambiguous> for Unclear {
    fn from(ambiguous: Ambiguous) -> Self {
        Self::of(match ambiguous {
            Ambiguous::Host => "The host of this address is none that can be compared with a rule.",
            Ambiguous::Path => "The path of this address can be read in more than one way, so nobody passes.",
            Ambiguous::Method => {
                "A rule here hangs on the method, which the proxy did not say in a way that can be read. It is told in \
                 X-Original-Method or X-Forwarded-Method."
            }
        })
    }
}

const UNSAID: &str = "The proxy does not say which request this is about. It is told in X-Original-URL (nginx), or in \
                      X-Forwarded-Method, -Proto, -Host and -Uri (Caddy, Traefik).";

impl<'r> Asked<'r> {
    /// What the headers say.
    ///
    /// # Errors
    /// What is unclear, as a sentence for whoever set the proxy up.
    pub fn read(headers: &'r HeaderMap, dialect: Dialect) -> Result<Self, Unclear> {
        let url = once(headers, &ORIGINAL_URL)?.map(|url| split(url).ok_or_else(|| Unclear::odd(&ORIGINAL_URL)));
        let url = url.transpose()?;
        let uri = agreed(
            "the path",
            [url.map(|url| url.uri), once(headers, &ORIGINAL_URI)?, once(headers, &FORWARDED_URI)?],
            |a, b| a == b,
        )?;
        let host =
            agreed("the host", [url.map(|url| url.host), single(headers, &FORWARDED_HOST)?, None], is_same_host)?;
        // oauth2-proxy's users have nginx hand the original host on
        let host = match (host, dialect) {
            (None, Dialect::OAuth2) => once(headers, &header::HOST)?,
            (host, _) => host,
        };
        let said = [single(headers, &ORIGINAL_METHOD)?, single(headers, &FORWARDED_METHOD)?, None];
        let method = agreed("the method", said, |a, b| a == b)?;
        let told =
            single(headers, &FORWARDED_PROTO)?.map(|told| scheme(told).ok_or_else(|| Unclear::odd(&FORWARDED_PROTO)));
        let scheme = agreed("the scheme", [url.map(|url| url.scheme), told.transpose()?, None], |a, b| a == b)?;
        let (Some(uri), Some(host)) = (uri, host) else { return Err(Unclear::of(UNSAID)) };
        let path = uri.split_once('?').map_or(uri, |(path, _)| path);
        Ok(Self { target: Target::read(host, path, method)?, method, scheme, host, uri })
    }

    /// The original URL. Without a word about the scheme it is that of our own address.
    pub fn url(&self, settings: &Settings) -> String {
        let scheme = self.scheme.unwrap_or(if settings.https { "https" } else { "http" });
        format!("{scheme}://{}{}", self.host, self.uri)
    }

    /// Whether a doctor sent the request.
    pub fn is_marked(&self) -> bool {
        self.uri.len() > MARK.len() && self.uri.contains(MARK)
    }
}

#[derive(Clone, Copy)]
struct Url<'r> {
    scheme: &'static str,
    host: &'r str,
    uri: &'r str,
}

fn split(url: &str) -> Option<Url<'_>> {
    let (before, rest) = url.split_once("://")?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, uri) = rest.split_at(at);
    Some(Url { scheme: scheme(before)?, host, uri: if uri.is_empty() { "/" } else { uri } })
}

/// Traefik calls a WebSocket's scheme by its own name.
fn scheme(text: &str) -> Option<&'static str> {
    match text {
        "https" | "wss" => Some("https"),
        "http" | "ws" => Some("http"),
        _ => None,
    }
}

/// A header that may come once.
fn once<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r str>, Unclear> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unclear::doubled(name));
    }
    first.to_str().map(Some).map_err(|_| Unclear::odd(name))
}

/// The same, with one value in it.
fn single<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Result<Option<&'r str>, Unclear> {
    let value = once(headers, name)?;
    if value.is_some_and(|value| value.contains(',')) { Err(Unclear::doubled(name)) } else { Ok(value) }
}

/// What all that were said agree on.
fn agreed<'r>(
    what: &str,
    said: [Option<&'r str>; 3],
    same: impl Fn(&str, &str) -> bool,
) -> Result<Option<&'r str>, Unclear> {
    let mut said = said.into_iter().flatten();
    let Some(first) = said.next() else { return Ok(None) };
    if said.all(|other| same(first, other)) { Ok(Some(first)) } else { Err(Unclear::differ(what)) }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers
    }

    fn read(lines: &[(&'static str, &str)]) -> Result<String, String> {
        read_as(Dialect::AuthRequest, lines)
    }

    fn read_as(dialect: Dialect, lines: &[(&'static str, &str)]) -> Result<String, String> {
        let headers = headers(lines);
        let asked = Asked::read(&headers, dialect).map_err(|unclear| unclear.why.into_owned())?;
        Ok(format!("{} {}", asked.method.unwrap_or("-"), asked.url(&Settings::of("https://login.example.com"))))
    }

    const CADDY: [(&str, &str); 4] = [
        ("x-forwarded-method", "POST"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.example.com"),
        ("x-forwarded-uri", "/a?b=//c"),
    ];

    #[test]
    fn each_proxys_words_are_understood() {
        let caddy = Ok("POST https://app.example.com/a?b=//c".to_owned());
        assert_eq!(read(&CADDY), caddy);
        let url = ("x-original-url", "https://app.example.com/a?b=//c");
        assert_eq!(read(&[url, ("x-original-method", "POST")]), caddy);
        let uri = ("x-original-uri", "/a?b=//c");
        assert_eq!(read(&[uri, CADDY[0], CADDY[1], CADDY[2]]), caddy);
        assert_eq!(read(&[url]), Ok("- https://app.example.com/a?b=//c".to_owned()));
        assert_eq!(read(&[("x-original-url", "http://a:80")]), Ok("- http://a:80/".to_owned()));
        assert_eq!(read(&[uri, CADDY[2]]), Ok("- https://app.example.com/a?b=//c".to_owned()));
        assert_eq!(
            read(&[uri, CADDY[2], ("x-forwarded-proto", "ws")]),
            Ok("- http://app.example.com/a?b=//c".to_owned())
        );
        assert_eq!(
            read_as(Dialect::OAuth2, &[uri, ("host", "a.example")]),
            Ok("- https://a.example/a?b=//c".to_owned())
        );
    }

    #[test]
    fn what_agrees_may_be_said_twice_in_two_headers() {
        let mut lines = CADDY.to_vec();
        lines.extend([("x-original-url", "https://APP.example.com:443/a?b=//c"), ("x-original-method", "POST")]);
        assert_eq!(read(&lines), Ok("POST https://APP.example.com:443/a?b=//c".to_owned()));
    }

    #[test]
    fn what_disagrees_or_comes_twice_is_refused() {
        for more in [
            ("x-original-url", "https://app.example.com/public"),
            ("x-original-url", "https://other.example.com/a?b=//c"),
            ("x-original-url", "http://app.example.com/a?b=//c"),
            ("x-original-url", "ftp://app.example.com/a?b=//c"),
            ("x-original-url", "/a?b=//c"),
            ("x-original-uri", "/a"),
            ("x-original-uri", ""),
            ("x-original-method", "GET"),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-host", "app.example.com"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-uri", "/a?b=//c"),
        ] {
            let mut lines = CADDY.to_vec();
            lines.push(more);
            assert!(read(&lines).is_err(), "{more:?}");
        }
        for (at, value) in
            [(0, "GET, POST"), (1, "https,http"), (2, "app.example.com, other"), (1, "gopher"), (2, "a@b"), (2, "")]
        {
            let mut lines = CADDY.to_vec();
            lines[at].1 = value;
            assert!(read(&lines).is_err(), "{value:?}");
        }
    }

    #[test]
    fn without_a_host_or_a_path_there_is_no_answer() {
        assert!(read(&[]).is_err() && read(&CADDY[..3]).is_err() && read(&[CADDY[3], ("host", "a")]).is_err());
        assert!(
            read(&[("x-original-url", "https:///a")]).is_err() && read(&[("x-original-url", "https://a?b")]).is_err()
        );
    }
}
