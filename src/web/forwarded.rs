//! Forwarded: where a request comes from when proxies stand in between.
//!
//! `X-Forwarded-For` grows to the right, so it is walked from the right, and only as far as trusted proxies vouch for
//! it. Whatever a stranger wrote further left stays unread. Garbage makes us fall back on the peer's address: an
//! address that nobody vouches for must never widen what somebody may do (ASVS 4.1.3).

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The most hops that are walked.
const HOPS_MAX: usize = 32;

/// The sender's address: the peer's, or the one that trusted proxies vouch for. IPv4 in IPv6 is IPv4.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    walked(peer, headers, trusted).unwrap_or(peer)
}

/// Whether the person's side of the connection is TLS, as far as a trusted peer says.
pub fn is_https(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> bool {
    is_trusted(peer.to_canonical(), trusted)
        && headers
            .get_all(FORWARDED_PROTO)
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.rsplit(',').next())
            .is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"))
}

/// The first address from the right that is no trusted proxy, or the leftmost one; `None` on garbage.
fn walked(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut address = peer;
    let mut hops = 0;
    for line in headers.get_all(FORWARDED_FOR).iter().rev() {
        for hop in line.to_str().ok()?.rsplit(',') {
            address = parsed(hop.trim())?;
            hops += 1;
            if !is_trusted(address, trusted) {
                return Some(address);
            }
            if hops == HOPS_MAX {
                return None;
            }
        }
    }
    Some(address)
}

/// An address, with or without a port, with or without brackets.
fn parsed(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(hop);
    let address: Option<IpAddr> = bare.parse().ok();
    address.or_else(|| hop.parse::<SocketAddr>().ok().map(|a| a.ip())).map(|a| a.to_canonical())
}

/// Whether what comes from this address is a proxy whose word counts.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn seen(peer: &str, lines: &[&str], trusted: &[&str]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        address(ip(peer), &headers, &trusted)
    }

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], &[]), ip("10.0.0.1"));
        assert_eq!(seen("8.8.8.8", &["1.2.3.4"], &["10.0.0.0/8"]), ip("8.8.8.8"));
    }

    #[test]
    fn the_walk_ends_at_the_first_stranger_from_the_right() {
        let nets = &["10.0.0.0/8"];
        assert_eq!(seen("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], nets), ip("1.2.3.4"));
        assert_eq!(seen("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2, 10.0.0.3"], nets), ip("1.2.3.4"));
        assert_eq!(seen("10.0.0.1", &["10.0.0.9, 10.0.0.2"], nets), ip("10.0.0.9"));
        assert_eq!(seen("10.0.0.1", &[], nets), ip("10.0.0.1"));
    }

    #[test]
    fn garbage_falls_back_on_the_peer() {
        let nets = &["10.0.0.0/8"];
        for bad in ["a", "", "1.2.3.4,", "1.2.3.4, unknown", "1.2.3.256", "\u{fc}", "1.2.3.4:x", "for=1.2.3.4"] {
            assert_eq!(seen("10.0.0.1", &[bad], nets), ip("10.0.0.1"), "{bad}");
        }
        let long = vec!["10.0.0.2"; 1_000].join(",");
        assert_eq!(seen("10.0.0.1", &[&long], nets), ip("10.0.0.1"));
    }

    #[test]
    fn garbage_left_of_the_stranger_stays_unread() {
        assert_eq!(seen("10.0.0.1", &["garbage, 1.2.3.4"], &["10.0.0.0/8"]), ip("1.2.3.4"));
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_read() {
        let nets = &["10.0.0.0/8", "::1/128"];
        assert_eq!(seen("::1", &["[2001:db8::1]:443"], nets), ip("2001:db8::1"));
        assert_eq!(seen("::1", &["[2001:db8::1]"], nets), ip("2001:db8::1"));
        assert_eq!(seen("::ffff:10.0.0.1", &["1.2.3.4:5678"], nets), ip("1.2.3.4"));
        assert_eq!(seen("::ffff:8.8.8.8", &["1.2.3.4"], nets), ip("8.8.8.8"));
    }

    #[test]
    fn https_is_believed_from_trusted_peers_alone() {
        let nets: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_PROTO, HeaderValue::from_static("http, HTTPS"));
        assert!(is_https(ip("10.0.0.1"), &headers, &nets));
        assert!(!is_https(ip("10.0.0.1"), &headers, &[]));
        headers.append(FORWARDED_PROTO, HeaderValue::from_static("http"));
        assert!(!is_https(ip("10.0.0.1"), &headers, &nets));
    }
}
