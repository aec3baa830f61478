//! Settings: what the HTTP door must know before its first request, worked out once.
//!
//! Cookie names follow from the public address: `__Host-` wants https and no domain, `__Secure-` goes with a domain,
//! and plain names are for http (draft-ietf-httpbis-rfc6265bis, section 4.1.3; ASVS 3.3.1).

use hyper::Uri;
use ipnet::IpNet;

use crate::error::{Error, Result};

/// Who may make an account without an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignUps {
    /// Everybody.
    Open,
    /// Whoever holds an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// The HTTP door's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where people reach us: scheme, host and port, no slash at the end.
    pub public_url: String,
    /// Whether `public_url` is https: cookies are `Secure` then, and HSTS is sent.
    pub https: bool,
    /// Name of the session cookie.
    pub cookie: String,
    /// Name of the second, host-only cookie.
    pub own_cookie: &'static str,
    /// Domain of the session cookie; host-only without one.
    pub domain: Option<String>,
    /// Where `next` may point besides `public_url`.
    pub redirect_domains: Vec<String>,
    /// Whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may sign up.
    pub signup: SignUps,
}

impl Settings {
    /// Settings for a public address, with the cookie names that fit it and everything else at its default.
    ///
    /// # Errors
    /// `Broken` when the address is no `http://` or `https://` origin.
    pub fn of(public_url: &str) -> Result<Self> {
        let refused = || {
            Error::Broken(format!(
                "public_url {public_url:?} is not an origin\nhint: write it like \"https://login.example.com\", no path"
            ))
        };
        let uri: Uri = public_url.parse().map_err(|_| refused())?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refused()),
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(refused)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refused());
        }
        let host = authority.as_str().to_ascii_lowercase();
        let default_port = if https { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(&host);
        Ok(Self {
            public_url: format!("{}://{host}", if https { "https" } else { "http" }),
            https,
            cookie: if https { "__Host-sojourn" } else { "sojourn" }.to_owned(),
            own_cookie: if https { "__Host-sojourn-own" } else { "sojourn-own" },
            domain: None,
            redirect_domains: Vec::new(),
            trusted_proxies: Vec::new(),
            signup: SignUps::Open,
        })
    }

    /// The same, with the session cookie sent to `domain` and everything under it. A `__Host-` name must not carry a
    /// domain, so the name changes with it.
    pub fn with_domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.trim_start_matches('.').to_owned());
        self.cookie = if self.https { "__Secure-sojourn" } else { "sojourn" }.to_owned();
        self
    }

    /// The origin browsers name when a page of ours sends something.
    pub fn origin(&self) -> &str {
        &self.public_url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_names_follow_the_scheme_and_the_domain() {
        let plain = Settings::of("http://localhost:3000").unwrap();
        assert_eq!((plain.https, plain.cookie.as_str(), plain.own_cookie), (false, "sojourn", "sojourn-own"));
        let tls = Settings::of("https://login.example.com/").unwrap();
        assert_eq!((tls.https, tls.cookie.as_str(), tls.own_cookie), (true, "__Host-sojourn", "__Host-sojourn-own"));
        let shared = tls.with_domain(".example.com");
        assert_eq!((shared.cookie.as_str(), shared.domain.as_deref()), ("__Secure-sojourn", Some("example.com")));
    }

    #[test]
    fn the_origin_is_written_as_browsers_write_it() {
        assert_eq!(Settings::of("https://Login.Example.com:443/").unwrap().origin(), "https://login.example.com");
        assert_eq!(Settings::of("http://localhost:80").unwrap().origin(), "http://localhost");
    }

    #[test]
    fn an_address_that_is_no_origin_is_refused_with_a_hint() {
        for bad in ["", "localhost:3000", "ftp://a", "https://a/b", "https://a?b", "https://user@a", "https://"] {
            let error = Settings::of(bad).unwrap_err().to_string();
            assert!(error.contains("hint:"), "{bad}: {error}");
        }
    }
}
