//! Origin: state changes come from our own pages, or from programs that are no browser.
//!
//! Browsers say where a request comes from, in `Sec-Fetch-Site` and `Origin`, and pages cannot forge either. If one
//! of them says "elsewhere", the request is refused. A request with neither comes from no browser of this decade and
//! carries no cookies that somebody else planted a request for. Hence no tokens in forms (ASVS 3.5.1; OWASP
//! cross-site request forgery prevention, "fetch metadata").

use hyper::Method;
use hyper::header::{self, HeaderName};

use super::{Request, Settings};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request changes something and was sent from a page that is not ours.
pub fn is_forbidden(request: &Request, settings: &Settings) -> bool {
    changes(&request.method) && is_foreign(request, settings)
}

/// Whether a method may change something.
pub fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the browser says that another site sent this, whatever the method.
pub fn is_foreign(request: &Request, settings: &Settings) -> bool {
    // `none` is a person at the address bar; doubled headers are nobody's
    let site =
        !request.headers.contains_key(FETCH_SITE) || matches!(request.header(FETCH_SITE), Some("same-origin" | "none"));
    let origin = !request.headers.contains_key(header::ORIGIN)
        || request.header(header::ORIGIN).is_some_and(|origin| is_ours(origin, request, settings));
    !(site && origin)
}

/// Whether a request that looks foreign was rather sent by a page of ours, and `public_url` is not the address that
/// people see: the browser itself says "same origin", or the host is the one that was asked and only the scheme is
/// another, as behind a proxy that ends TLS. It is refused all the same.
pub fn is_misread(request: &Request) -> bool {
    if request.headers.contains_key(FETCH_SITE) {
        return request.header(FETCH_SITE) == Some("same-origin");
    }
    let origin = request.header(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    let asked = request.header(header::HOST).unwrap_or_default();
    let asked = asked.strip_suffix(":443").or_else(|| asked.strip_suffix(":80")).unwrap_or(asked);
    let scheme = if request.https { "https" } else { "http" };
    origin.is_some_and(|(s, host)| s != scheme && !host.is_empty() && host.eq_ignore_ascii_case(asked))
}

/// Whether an origin is that of `public_url`, or of the very address that was asked.
fn is_ours(origin: &str, request: &Request, settings: &Settings) -> bool {
    if origin == settings.origin() {
        return true;
    }
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let asked = request.header(header::HOST).unwrap_or_default();
    let asked = asked.strip_suffix(if request.https { ":443" } else { ":80" }).unwrap_or(asked);
    scheme == (if request.https { "https" } else { "http" }) && !host.is_empty() && host.eq_ignore_ascii_case(asked)
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::{plain, with};
    use super::*;

    fn settings() -> Settings {
        Settings::of("https://login.example.com")
    }

    fn post(headers: &[(HeaderName, &str)]) -> bool {
        let request = Request { method: Method::POST, ..with(plain(), header::HOST, "127.0.0.1:3000") };
        let request = headers.iter().fold(request, |r, (name, value)| with(r, name.clone(), value));
        !is_forbidden(&request, &settings())
    }

    #[test]
    fn programs_that_say_nothing_pass() {
        assert!(post(&[]));
    }

    #[test]
    fn our_pages_pass() {
        assert!(post(&[(FETCH_SITE, "same-origin"), (header::ORIGIN, "https://login.example.com")]));
        assert!(post(&[(header::ORIGIN, "http://127.0.0.1:3000")]));
        assert!(post(&[(FETCH_SITE, "none")]));
    }

    #[test]
    fn other_sites_do_not() {
        for site in ["cross-site", "same-site", "", "SAME-ORIGIN", "same-origin, none"] {
            assert!(!post(&[(FETCH_SITE, site)]), "{site}");
        }
        assert!(!post(&[(FETCH_SITE, "same-origin"), (FETCH_SITE, "cross-site")]));
    }

    #[test]
    fn other_origins_do_not() {
        for origin in [
            "null",
            "",
            "https://evil.example",
            "https://login.example.com.evil.example",
            "https://login.example.com:8443",
            "http://login.example.com",
            "https://127.0.0.1:3000",
            "http://127.0.0.1",
            "http://",
        ] {
            assert!(!post(&[(header::ORIGIN, origin)]), "{origin}");
            assert!(!post(&[(FETCH_SITE, "same-origin"), (header::ORIGIN, origin)]), "{origin}");
        }
        let ours = (header::ORIGIN, "https://login.example.com");
        assert!(!post(&[ours.clone(), ours.clone()]));
        assert!(!post(&[ours, (FETCH_SITE, "cross-site")]));
    }

    #[test]
    fn a_wrong_public_url_is_told_from_another_site() {
        let misread = |headers: &[(HeaderName, &str)]| {
            let request = with(plain(), header::HOST, "beer.example");
            is_misread(&headers.iter().fold(request, |r, (name, value)| with(r, name.clone(), value)))
        };
        assert!(misread(&[(header::ORIGIN, "https://beer.example")]));
        assert!(misread(&[(FETCH_SITE, "same-origin"), (header::ORIGIN, "https://other.example")]));
        assert!(!misread(&[(FETCH_SITE, "cross-site"), (header::ORIGIN, "https://beer.example")]));
        assert!(!misread(&[(FETCH_SITE, "same-site"), (header::ORIGIN, "https://beer.example")]));
        for origin in ["https://evil.example", "null", "", "https://", "https://beer.example:8443"] {
            assert!(!misread(&[(header::ORIGIN, origin)]), "{origin}");
        }
        assert!(!misread(&[]));
    }

    #[test]
    fn looking_is_free() {
        let request = with(plain(), FETCH_SITE, "cross-site");
        assert!(!is_forbidden(&request, &settings()));
        assert!(is_foreign(&request, &settings()));
    }
}
