//! Origin: where browsers reach us, and which hosts are ours.
//!
//! Host names here are compared with what browsers send, so they are lower case and ASCII (a name in other scripts is
//! written in its `xn--` form).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::Uri;

/// The origin of a URL (RFC 6454): scheme, host, port. Displayed as browsers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// Where a browser on this machine finds a door that listens there: `localhost` for its own two addresses and for
    /// every address, else the address itself, which is then the only one that answers.
    pub(super) fn listening(scheme: &str, address: SocketAddr) -> Self {
        let https = scheme == "https";
        let host = match address.ip() {
            ip if ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST => "localhost".into(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { https, host, port: Some(address.port()).filter(|p| *p != default_port(https)) }
    }

    /// Whether it is https.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Host name or address, lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, said or not.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(default_port(self.https))
    }

    /// As in a `Host` header: the port only when it is not the scheme's own.
    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

const fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// Reads an origin; a lone slash after it is forgiven.
///
/// # Errors
/// What to write instead; may be empty.
pub(super) fn parse(text: &str) -> Result<Origin, String> {
    let bare = text.strip_suffix('/').unwrap_or(text);
    let uri: Uri = bare.parse().map_err(|_| String::new())?;
    let https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) => return Err(String::new()),
        None => return Err(format!("write \"https://{bare}\"")),
    };
    let authority = uri.authority().ok_or_else(String::new)?;
    if uri.path() != "/" || uri.query().is_some() || bare.ends_with('/') {
        return Err(format!("leave out the path: \"{}://{authority}\"", uri.scheme_str().unwrap_or("https")));
    }
    if authority.as_str().contains('@') {
        return Err("leave out the user name".into());
    }
    let host = authority.host().to_ascii_lowercase();
    if !host.starts_with('[') {
        check_name(&host)?;
    }
    if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none_or(|p| p == 0) {
        return Err("the port is a number from 1 to 65535".into());
    }
    Ok(Origin { https, host, port: authority.port_u16().filter(|p| *p != default_port(https)) })
}

/// A domain that a cookie may be set for: at least two labels, no address.
pub(super) fn parse_domain(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    check_name(&name)?;
    if name.parse::<IpAddr>().is_ok() {
        return Err("browsers set cookies for names only, not for addresses".into());
    }
    if !name.contains('.') {
        return Err("browsers refuse a cookie for a name without a dot".into());
    }
    Ok(name)
}

/// `host`, `host:port`, or `.domain` for all hosts below it.
pub(super) fn parse_host_pattern(text: &str) -> Result<String, String> {
    if text.contains("://") || text.contains('/') {
        return Err(format!("\"{text}\": name the host alone, without scheme and path"));
    }
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(&lower);
    let name = match lower.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) => return Err(format!("\"{text}\" has no valid port")),
        None => lower,
    };
    match name.strip_prefix('.') {
        Some(domain) => parse_domain(domain).map_err(|why| format!("\"{text}\": {why}"))?,
        None => check_name(name).map(|()| name.to_owned()).map_err(|_| format!("\"{text}\" is not a host name"))?,
    };
    Ok(lower.to_owned())
}

/// Host name by RFC 1123, 2.1.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label_ok) { Ok(()) } else { Err(String::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_found_where_it_listens() {
        for (listens, found) in [
            ("127.0.0.1:3000", "http://localhost:3000"),
            ("0.0.0.0:80", "http://localhost"),
            ("[::]:3000", "http://localhost:3000"),
            ("[::1]:3000", "http://localhost:3000"),
            ("127.0.0.2:3000", "http://127.0.0.2:3000"),
            ("192.168.1.5:3000", "http://192.168.1.5:3000"),
            ("[fd00::7]:3000", "http://[fd00::7]:3000"),
        ] {
            let origin = Origin::listening("http", listens.parse().expect("is an address"));
            assert_eq!(origin.to_string(), found, "{listens}");
            assert_eq!(parse(found), Ok(origin), "it is one that may be set");
        }
    }

    #[test]
    fn an_origin_is_shown_as_browsers_send_it() {
        for (said, shown) in [
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://ID.Example.com/", "https://id.example.com"),
            ("https://id.example.com:443", "https://id.example.com"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(parse(said).map(|o| o.to_string()), Ok(shown.into()), "{said}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused_with_a_way_out() {
        assert_eq!(parse("id.example.com"), Err("write \"https://id.example.com\"".into()));
        let path = Err("leave out the path: \"https://id.example.com\"".into());
        assert_eq!(parse("https://id.example.com/auth"), path);
        assert_eq!(parse("https://id.example.com//"), path);
        assert_eq!(parse("https://a@id.example.com"), Err("leave out the user name".into()));
        assert_eq!(parse("https://id.example.com:0"), Err("the port is a number from 1 to 65535".into()));
        for nonsense in ["", "ftp://x.example", "https://", "https://exa mple.com", "https://-a.example"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn cookie_domains_have_a_dot_and_are_no_addresses() {
        assert_eq!(parse_domain("Example.com"), Ok("example.com".into()));
        assert!(parse_domain("localhost").is_err());
        assert!(parse_domain("10.0.0.1").is_err());
        assert!(parse_domain("exa_mple..com").is_err());
    }

    #[test]
    fn host_patterns_are_hosts_ports_and_leading_dots() {
        assert_eq!(parse_host_pattern("App.example.com:8443"), Ok("app.example.com:8443".into()));
        assert_eq!(parse_host_pattern("*.example.com"), Ok(".example.com".into()));
        assert_eq!(parse_host_pattern("localhost"), Ok("localhost".into()));
        for wrong in ["https://a.example", "a.example/x", ".com", "*", "*example.com", "", "a.example:x"] {
            assert!(parse_host_pattern(wrong).is_err(), "{wrong}");
        }
    }
}
