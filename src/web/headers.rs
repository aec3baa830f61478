//! Headers: what every reply carries so that browsers hold to our rules.
//!
//! Values are static and few: this runs for each request. `Cache-Control: no-store` is the rule and a reply that sets
//! its own (the style sheet) the exception. There are no CORS headers, on purpose: no other origin may read us.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::Settings;

/// No scripts at all, styles and images from here, frames nowhere (ASVS 3.4.3, 3.4.6). Forms go here; the domains that
/// `next` may name are there because browsers hold a redirect after a form to the same rule.
pub(super) fn policy(scheme: &str, redirect_domains: &[String]) -> HeaderValue {
    let hosts: String = redirect_domains
        .iter()
        .map(|domain| format!(" {scheme}://{}{domain}", if domain.starts_with('.') { "*" } else { "" }))
        .collect();
    let text = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'{hosts}; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    HeaderValue::from_str(&text).expect("settings allow host names only")
}

const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// How many headers a reply has room for before its map grows.
pub(super) const ROOM: usize = 12;

/// Adds the security headers; HSTS when the public address is https (RFC 6797 has browsers ignore it otherwise).
pub fn secure(headers: &mut HeaderMap, settings: &Settings) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| settings.policy.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, SAME_ORIGIN);
    headers.insert(OPENER_POLICY, SAME_ORIGIN);
    headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
    if settings.https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_uncached_but_what_says_otherwise() {
        let mut plain = HeaderMap::new();
        secure(&mut plain, &Settings::of("http://localhost"));
        assert_eq!(plain[header::CACHE_CONTROL], "no-store");
        assert!(!plain.contains_key(header::STRICT_TRANSPORT_SECURITY));

        let mut style = HeaderMap::new();
        style.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        secure(&mut style, &Settings::of("https://a.example"));
        assert_eq!(style[header::CACHE_CONTROL], "public, max-age=3600");
        assert!(style.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }

    #[test]
    fn nothing_inline_and_nobody_elses_frame() {
        let mut headers = HeaderMap::new();
        secure(&mut headers, &Settings::of("http://localhost"));
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        assert!(headers.len() < ROOM);
    }
}
