//! Crowd: how many connections each address holds, so that one client cannot hold all of them.
//!
//! An IPv6 address counts by its /64, which is what one customer gets. This machine and trusted proxies bring the
//! connections of many people and are not counted. Whoever is over the limit is closed at once rather than left to
//! wait: a place that somebody waits for would be one less for everybody else.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How often operators are told of it.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The connections of one listener, by address.
pub struct Crowd {
    /// Most connections of one address.
    max: usize,
    exempt: Vec<IpNet>,
    /// What operators can do about an address that holds too many.
    hint: &'static str,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<IpAddr, usize>,
    told: Option<Instant>,
}

/// A place in the crowd, given back when dropped.
pub struct Place(Option<(Arc<Crowd>, IpAddr)>);

impl Crowd {
    /// At most `max` connections from one address, except from the `exempt`.
    pub fn new(max: usize, exempt: Vec<IpNet>, hint: &'static str) -> Arc<Self> {
        Arc::new(Self { max, exempt, hint, inner: Mutex::default() })
    }

    /// A place for a connection from `address`; `None` when it holds too many.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        if self.exempt.iter().any(|net| net.contains(&address)) {
            return Some(Place(None));
        }
        let network = network(address);
        let mut inner = self.inner.lock();
        let open = inner.open.entry(network).or_default();
        if *open < self.max {
            *open += 1;
            return Some(Place(Some((self.clone(), network))));
        }
        if inner.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            inner.told = Some(Instant::now());
            tracing::warn!(
                %address,
                connections = self.max,
                "an address holds too many connections, and more are closed; hint: {}",
                self.hint
            );
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((crowd, network)) = self.0.take() else { return };
        let mut inner = crowd.inner.lock();
        if let Some(open) = inner.open.get_mut(&network) {
            *open -= 1;
            if *open == 0 {
                inner.open.remove(&network);
            }
        }
    }
}

/// Whom an address counts as: an IPv6 one as its /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_holds_so_many_and_gives_them_back() {
        let crowd = Crowd::new(2, Vec::new(), "");
        let (one, two) = (crowd.enter(ip("192.0.2.1")), crowd.enter(ip("::ffff:192.0.2.1")));
        assert!(one.is_some() && two.is_some());
        assert!(crowd.enter(ip("192.0.2.1")).is_none());
        assert!(crowd.enter(ip("192.0.2.2")).is_some(), "others are not held up");
        drop(one);
        assert!(crowd.enter(ip("192.0.2.1")).is_some());
        drop(two);
        assert!(crowd.inner.lock().open.is_empty(), "nobody is remembered who holds none");
    }

    #[test]
    fn a_customer_is_a_network_of_64_bits() {
        let crowd = Crowd::new(1, Vec::new(), "");
        let _held = crowd.enter(ip("2001:db8:1:2::1")).unwrap();
        assert!(crowd.enter(ip("2001:db8:1:2:ffff::9")).is_none());
        assert!(crowd.enter(ip("2001:db8:1:3::1")).is_some());
    }

    #[test]
    fn proxies_are_not_counted() {
        let crowd = Crowd::new(1, vec!["10.0.0.0/8".parse().unwrap()], "");
        let held: Vec<_> = (0..9).map(|_| crowd.enter(ip("10.1.2.3"))).collect();
        assert!(held.iter().all(Option::is_some));
    }
}
