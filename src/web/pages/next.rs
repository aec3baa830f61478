//! Next: where a sign-in may send people afterwards.
//!
//! `next` comes from a query string that anybody may write, and browsers read addresses far more generously than any
//! parser here (they drop tabs, take `\` for `/`, fold widths). So nothing is parsed leniently: what is not plainly a
//! path of ours, or an address on a host that was allowed by name, is dropped and the caller's default page is used.
//! Deliberately absent: repair of nearly good input.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest `next` that is looked at, bytes.
const NEXT_MAX: usize = 2_048;

/// Where `next` may point besides paths of ours.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// Setting `public_url`: scheme, host, perhaps a port.
    pub public_url: &'a str,
    /// Setting `web.redirect_domains`: `app.example.com` is that host alone, `.example.com` or `*.example.com` are all
    /// hosts below it. A port other than 443 is named: `app.example.com:8443`.
    pub domains: &'a [String],
}

/// The value for a `Location` header, or `None` when `next` may not be followed.
pub fn checked(next: &str, allowed: Allowed<'_>) -> Option<String> {
    if next.is_empty() || next.len() > NEXT_MAX || !is_plain(next) {
        return None;
    }
    let fine = if next.starts_with('/') { is_own_path(next) } else { is_allowed_url(next, allowed) };
    fine.then(|| encoded(next))
}

/// What [`checked`] found, or the default page.
pub fn or_home(next: &str) -> &str {
    if next.is_empty() { "/home" } else { next }
}

/// `?next=…` for a link to another page, empty when there is nothing to keep.
pub fn query(next: &str) -> String {
    if next.is_empty() { String::new() } else { format!("?next={}", utf8_percent_encode(next, NON_ALPHANUMERIC)) }
}

/// No control characters, spaces or backslashes: browsers strip or rewrite those before they read the rest.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || is_invisible(c))
}

/// Zero-width and direction marks, which no address of ours has.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A path on this very origin, and still one after somebody on the way has decoded it, once or twice.
fn is_own_path(next: &str) -> bool {
    let path = next.split(['?', '#']).next().unwrap_or(next);
    let mut text = path.to_owned();
    for _ in 0..4 {
        if text.contains("//") || text.contains('\\') || text.chars().any(|c| c.is_control() || is_invisible(c)) {
            return false;
        }
        let Ok(decoded) = percent_decode_str(&text).decode_utf8() else { return false };
        if decoded == text {
            return true;
        }
        text = decoded.into_owned();
    }
    false
}

/// An absolute address on our own origin, or by https on an allowed host; by http only where we have no other.
fn is_allowed_url(next: &str, allowed: Allowed<'_>) -> bool {
    let Some((scheme, authority)) = origin(next) else { return false };
    if !authority.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']')) {
        return false;
    }
    let own = origin(allowed.public_url);
    if own.is_some_and(|(s, a)| s.eq_ignore_ascii_case(scheme) && a.eq_ignore_ascii_case(authority)) {
        return true;
    }
    let is_plain = scheme.eq_ignore_ascii_case("http");
    // where we are reached by http, so are the others: a machine of one's own
    if is_plain && own.is_none_or(|(own, _)| !own.eq_ignore_ascii_case("http")) {
        return false;
    }
    let authority = authority.to_ascii_lowercase();
    let authority = authority.strip_suffix(if is_plain { ":80" } else { ":443" }).unwrap_or(&authority);
    if is_plain {
        return allowed.domains.iter().any(|d| covers(d, authority));
    }
    let own_host = own.map(|(_, a)| a.split(':').next().unwrap_or(a).to_ascii_lowercase());
    own_host.is_some_and(|host| host == authority) || allowed.domains.iter().any(|d| covers(d, authority))
}

/// Whether an address that was checked is at this origin.
pub fn is_at(url: &str, public_url: &str) -> bool {
    origin(url).zip(origin(public_url)).is_some_and(|((s, a), (scheme, authority))| {
        s.eq_ignore_ascii_case(scheme) && a.eq_ignore_ascii_case(authority)
    })
}

/// Scheme and authority of an address that spells out both.
fn origin(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let scheme_fine = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    (scheme_fine && !authority.is_empty()).then_some((scheme, authority))
}

/// Whether an entry of `redirect_domains` covers this host (and port). `authority` is lower-case.
fn covers(domain: &str, authority: &str) -> bool {
    let domain = domain.trim().to_ascii_lowercase();
    match domain.strip_prefix('*').unwrap_or(&domain) {
        "" | "." => false,
        below if below.starts_with('.') => {
            authority.strip_suffix(below).is_some_and(|host| !host.is_empty() && !host.starts_with('.'))
        }
        exact => exact == authority,
    }
}

/// What a header may carry: anything but visible ASCII is percent-encoded, `%` stays as it is.
fn encoded(next: &str) -> String {
    const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');
    utf8_percent_encode(next, HEADER).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(next: &str) -> Option<String> {
        let domains = ["app.example.com".to_owned(), ".example.org".to_owned(), "dev.example.net:8443".to_owned()];
        checked(next, Allowed { public_url: "https://ok.example", domains: &domains })
    }

    #[test]
    fn own_paths_are_followed() {
        for next in ["/", "/home", "/account?x=//y", "/a/b%20c#part", "/x?u=https://e.example/", "/100%25"] {
            assert_eq!(go(next).as_deref(), Some(next));
        }
        assert_eq!(go("/café").as_deref(), Some("/caf%C3%A9"));
    }

    #[test]
    fn allowed_hosts_are_followed_by_https() {
        for next in [
            "https://ok.example/x",
            "https://ok.example",
            "HTTPS://OK.example/x",
            "https://app.example.com/a//b?c=d#e",
            "https://app.example.com:443/",
            "https://wiki.example.org/",
            "https://a.b.example.org/",
            "https://dev.example.net:8443/",
        ] {
            assert_eq!(go(next).as_deref(), Some(next));
        }
    }

    #[test]
    fn everything_else_goes_to_the_default_page() {
        for next in [
            "",
            "home",
            "//e.example",
            "///e.example",
            "/\\e.example",
            "\\/e.example",
            "\\\\e.example",
            "/\t/e.example",
            "/\n/e.example",
            "/\r\n/e.example",
            "\t//e.example",
            " //e.example",
            "/ /e.example",
            "/\u{200b}/e.example",
            "/\u{a0}/e.example",
            "/%09/e.example",
            "/%2509/e.example",
            "/%5ce.example",
            "/%5Ce.example",
            "/%255ce.example",
            "/%2f/e.example",
            "/%2fe.example",
            "/%252fe.example",
            "/%25252525252fe.example",
            "/%0d%0aset-cookie:x",
            "/%00",
            "/%ff",
            "/.//e.example",
            "/x/..//e.example",
            "https:e.example",
            "https:/e.example",
            "https:///e.example",
            "https:\\\\e.example",
            "https://e.example",
            "http://e.example",
            "https://ok.example@e.example/",
            "https://ok.example:pw@e.example/",
            "https://ok.example%40e.example/",
            "https://ok.example.e.example/",
            "https://e.example#ok.example",
            "https://e.example?ok.example",
            "https://e.example/ok.example",
            "https://e.example\\ok.example",
            "https://e.example\\@ok.example",
            "https://ok.example\\.e.example",
            "https://ok.example%2ee.example",
            "https://ok.example:8443/",
            "https://ok.example./",
            "https://ok。example/",
            "https://оk.example/",
            "https://ok.exa\tmple/",
            "https://xapp.example.com/",
            "https://x.app.example.com/",
            "https://example.org/",
            "https://evilexample.org/",
            "https://.example.org/",
            "https://dev.example.net/",
            "http://ok.example/",
            "http://app.example.com/",
            "javascript:alert(1)",
            "JavaScript://ok.example/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "ftp://ok.example/",
            "://ok.example",
            "https://",
            "?next=/home",
            "#home",
            ".",
            "..//e.example",
        ] {
            assert_eq!(go(next), None, "{next:?}");
        }
        assert_eq!(go(&format!("/{}", "a".repeat(NEXT_MAX))), None);
    }

    #[test]
    fn an_http_public_url_allows_its_own_origin_only() {
        let allowed = Allowed { public_url: "http://localhost:3000", domains: &[] };
        assert!(checked("http://localhost:3000/home", allowed).is_some());
        assert!(checked("http://localhost:3001/home", allowed).is_none());
        assert!(checked("https://localhost/home", allowed).is_some());
    }

    #[test]
    fn an_empty_domain_allows_nothing() {
        let domains = [String::new(), "*".to_owned(), ".".to_owned(), "*.".to_owned()];
        let allowed = Allowed { public_url: "", domains: &domains };
        assert!(checked("https://e.example/", allowed).is_none());
        assert!(checked("https://e./", allowed).is_none());
    }

    #[test]
    fn what_is_followed_is_a_valid_header_without_surprises() {
        for next in ["/\"<x>", "/ü?ö#ä"] {
            let location = go(next).expect("a path of ours");
            assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location}");
        }
    }

    #[test]
    fn the_query_survives_a_round_trip() {
        assert_eq!(query(""), "");
        assert_eq!(query("/a?b=c&d=e+f%20#g"), "?next=%2Fa%3Fb%3Dc%26d%3De%2Bf%2520%23g");
    }
}
