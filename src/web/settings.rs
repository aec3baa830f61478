//! Settings: what the HTTP door must know before its first request, worked out once.
//!
//! Cookie names follow from the public address: `__Host-` wants https and no domain, `__Secure-` goes with a domain,
//! and plain names are for http (draft-ietf-httpbis-rfc6265bis, section 4.1.3; ASVS 3.3.1).

use std::time::Duration;

use hyper::header::HeaderValue;
use ipnet::IpNet;

use super::headers;
use crate::config::{Config, SignupPolicy};

/// The HTTP door's settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where people reach us: scheme, host and port, no slash at the end; as browsers write an origin.
    pub public_url: String,
    /// Whether `public_url` is https: cookies are `Secure` then, and HSTS is sent.
    pub https: bool,
    /// Name of the session cookie.
    pub cookie: String,
    /// Name of the second, host-only cookie.
    pub own_cookie: &'static str,
    /// Name of the cookie of whoever wrote something just now, which travels with the session cookie.
    pub marker: &'static str,
    /// How long that lives, seconds: until every node that may answer knows what was written.
    pub marker_secs: i64,
    /// Domain of the session cookie; host-only without one.
    pub domain: Option<String>,
    /// The content security policy of every reply.
    pub policy: HeaderValue,
    /// Where `next` may point besides `public_url`.
    pub redirect_domains: Vec<String>,
    /// Whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may sign up.
    pub signup: SignupPolicy,
    /// Fewest characters of a password.
    pub password_min: usize,
}

impl Settings {
    /// What the node's settings mean for this door.
    pub fn new(config: &Config) -> Self {
        let https = config.public_url.is_https();
        Self {
            public_url: config.public_url.to_string(),
            https,
            cookie: config.cookie_name().to_owned(),
            own_cookie: if https { "__Host-sojourn-own" } else { "sojourn-own" },
            marker: match (https, &config.sessions.domain) {
                (true, None) => "__Host-sojourn-fresh",
                (true, Some(_)) => "__Secure-sojourn-fresh",
                (false, _) => "sojourn-fresh",
            },
            marker_secs: marker_secs(config.cluster.max_staleness + config.cluster.stale_reads),
            domain: config.sessions.domain.clone(),
            policy: headers::policy(if https { "https" } else { "http" }, &config.web.redirect_domains),
            redirect_domains: config.web.redirect_domains.clone(),
            trusted_proxies: config.web.trusted_proxies.clone(),
            signup: config.users.signup,
            password_min: config.users.password_min,
        }
    }

    /// The origin browsers name when a page of ours sends something.
    pub fn origin(&self) -> &str {
        &self.public_url
    }

    /// The host of that, with its port if it has one.
    pub fn host(&self) -> &str {
        self.public_url.split_once("://").map_or("", |(_, host)| host)
    }

    /// The same, with the session cookie sent to `domain` and everything under it.
    #[cfg(test)]
    pub(super) fn with_domain(self, domain: &str) -> Self {
        let cookie = if self.https { "__Secure-sojourn" } else { "sojourn" };
        Self { domain: Some(domain.to_owned()), cookie: cookie.to_owned(), ..self }
    }

    /// The defaults at another public address.
    #[cfg(test)]
    pub(super) fn of(public_url: &str) -> Self {
        let file = crate::config::File::IfPresent("/nonexistent".into());
        let flags = vec![("public_url", public_url.to_owned(), "--public-url")];
        let sources = crate::config::Sources { file, environment: Vec::new(), flags };
        Self::new(&Config::load(&sources).expect("the defaults are sound"))
    }
}

/// A second more than any node may be behind; cookies count whole seconds.
fn marker_secs(behind: Duration) -> i64 {
    i64::try_from(behind.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_names_follow_the_scheme() {
        let plain = Settings::of("http://localhost:3000");
        assert_eq!((plain.https, plain.cookie.as_str(), plain.own_cookie), (false, "sojourn", "sojourn-own"));
        let tls = Settings::of("https://login.example.com/");
        assert_eq!((tls.https, tls.cookie.as_str(), tls.own_cookie), (true, "__Host-sojourn", "__Host-sojourn-own"));
        assert_eq!(tls.origin(), "https://login.example.com");
    }
}
