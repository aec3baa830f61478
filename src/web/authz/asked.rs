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
    /// What the headers say. `own` is the host at which we are asked ourselves.
    ///
    /// # Errors
    /// What is unclear, as a sentence for whoever set the proxy up.
    pub fn read(headers: &'r HeaderMap, dialect: Dialect, own: &str) -> Result<Self, Unclear> {
        let url = once(headers, &ORIGINAL_URL)?.map(|url| split(url).ok_or_else(|| Unclear::odd(&ORIGINAL_URL)));
        let url = url.transpose()?;
        let original_uri = once(headers, &ORIGINAL_URI)?;
        let paths = [url.map(|url| url.uri), original_uri, once(headers, &FORWARDED_URI)?];
        let uri = agreed("the path", paths, |a, b| a == b)?;
        let forwarded_host = single(headers, &FORWARDED_HOST)?;
        let in_nginxs_words = url.is_some() || original_uri.is_some();
        // oauth2-proxy's users have nginx hand the original host on; Traefik sends us the name by which it asks
        let is_ours = |host: &&str| !in_nginxs_words && forwarded_host.is_some() && is_same_host(host, own);
        let handed_on = match dialect {
            Dialect::OAuth2 => once(headers, &header::HOST)?.filter(|host| !is_ours(host)),
            _ => None,
        };
        let host = agreed("the host", [url.map(|url| url.host), forwarded_host, handed_on], is_same_host)?;
        let original_method = single(headers, &ORIGINAL_METHOD)?;
        let said = [original_method, single(headers, &FORWARDED_METHOD)?, None];
        // nginx says nothing in X-Forwarded-Method: beside its own words that one is a client's
        let is_proxys = |_: &&str| original_method.is_some() || !(in_nginxs_words || handed_on.is_some());
        let method = agreed("the method", said, |a, b| a == b)?.filter(is_proxys);
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
        let settings = Settings::of("https://login.example.com");
        let asked = Asked::read(&headers, dialect, settings.host()).map_err(|unclear| unclear.why.into_owned())?;
        Ok(format!("{} {}", asked.method.unwrap_or("-"), asked.url(&settings)))
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
        assert_eq!(read(&[uri, ("x-original-method", "POST"), CADDY[1], CADDY[2]]), caddy);
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
    fn a_host_that_was_handed_on_is_contradicted_by_no_other_header() {
        let asked = |host, more: &[_]| read_as(Dialect::OAuth2, &[&[("host", host)], more].concat());
        let app = Ok("POST https://app.example.com/a?b=//c".to_owned());
        let unsaid = Ok("- https://app.example.com/a?b=//c".to_owned());
        let (uri, path, method) = (("x-original-uri", "/a?b=//c"), CADDY[3], ("x-original-method", "POST"));
        for words in [uri, path] {
            assert!(asked("app.example.com", &[words, ("x-forwarded-host", "open.example")]).is_err(), "{words:?}");
            assert_eq!(asked("app.example.com", &[words, method]), app);
        }
        let url = |host: &'static str| ("x-original-url", host);
        assert!(asked("app.example.com", &[path, url("https://open.example/a?b=//c")]).is_err());
        assert_eq!(asked("app.example.com", &[path, url("https://app.example.com/a?b=//c"), method]), app);
        assert_eq!(asked("app.example.com", &CADDY), unsaid);
        // a proxy that says everything itself may ask at our own address
        assert_eq!(asked("login.example.com:443", &CADDY), app);
        assert!(asked("127.0.0.1:3000", &CADDY).is_err());
        assert!(asked("login.example.com", &[uri, CADDY[2]]).is_err());
        assert_eq!(asked("login.example.com", &[uri]), Ok("- https://login.example.com/a?b=//c".to_owned()));
    }

    #[test]
    fn beside_nginxs_own_words_a_forwarded_method_is_a_clients() {
        let (uri, url) = (("x-original-uri", "/a?b=//c"), ("x-original-url", "https://app.example.com/a?b=//c"));
        let unsaid = Ok("- https://app.example.com/a?b=//c".to_owned());
        assert_eq!(read(&[url, CADDY[0]]), unsaid);
        assert_eq!(read(&[uri, CADDY[0], CADDY[2]]), unsaid);
        assert_eq!(read_as(Dialect::OAuth2, &[("host", "app.example.com"), CADDY[3], CADDY[0]]), unsaid);
        assert!(read(&[url, ("x-original-method", "GET"), CADDY[0]]).is_err(), "both are said, and differ");
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
