//! Porch: what is bounded of those who knock at the peer port, before and after it is known who they are.
//!
//! Handshakes, connections of members and those of holders of join tokens are counted apart, so that none of them
//! takes the others' places. An address whose handshakes fail too often is closed unheard for the rest of a second,
//! unless a member is connected from there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::keys::PublicKey;
use super::room::{Place, Room};

/// Handshakes under way, from one address and in all: each costs a file and some arithmetic.
const HANDSHAKES_EACH: usize = 128;
const HANDSHAKES_MAX: usize = 256;
/// Connections of one member, which needs three, and in all.
const MEMBERS_EACH: usize = 16;
const MEMBERS_MAX: usize = 1_024;
/// Connections of the holders of one join token, and of all.
const NEWCOMERS_EACH: usize = 8;
const NEWCOMERS_MAX: usize = 32;
/// Handshakes of one address that may fail, and in which time.
const FAILURES_MAX: u32 = 100;
const FAILURES_IN: Duration = Duration::from_secs(1);
/// Addresses whose failures are counted; with more at once, all are heard.
const COUNTED_MAX: usize = 16_384;
/// How often operators are told of it.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Who is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A member, or one that a member answers for.
    Member,
    /// The holder of a join token.
    Newcomer,
}

/// The bounds of one port.
pub struct Porch {
    handshakes: Arc<Room<IpAddr>>,
    members: Arc<Room<PublicKey>>,
    newcomers: Arc<Room<PublicKey>>,
    /// The networks of members that are connected.
    seats: Arc<Room<IpAddr>>,
    failures: Mutex<Failures>,
}

struct Failures {
    since: Instant,
    of: HashMap<IpAddr, u32>,
    told: Option<Instant>,
}

/// The place of whoever is heard.
pub struct Seat {
    place: Place<PublicKey>,
    _network: Option<Place<IpAddr>>,
}

impl Seat {
    /// Returns when a later connection took it.
    pub async fn lost(&self) {
        self.place.lost().await;
    }
}

impl Porch {
    /// Nobody is here.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            handshakes: Room::new(HANDSHAKES_EACH, HANDSHAKES_MAX),
            members: Room::new(MEMBERS_EACH, MEMBERS_MAX),
            newcomers: Room::new(NEWCOMERS_EACH, NEWCOMERS_MAX),
            seats: Room::new(usize::MAX, usize::MAX),
            failures: Mutex::new(Failures { since: Instant::now(), of: HashMap::new(), told: None }),
        })
    }

    /// A place to prove oneself at; `None` for an address that failed too often.
    pub fn knock(&self, address: IpAddr) -> Option<Place<IpAddr>> {
        let network = network(address);
        if self.failures.lock().are_too_many(network) && !self.seats.holds(&network) {
            return None;
        }
        Some(self.handshakes.enter(network))
    }

    /// A handshake from there came to nothing.
    pub fn fail(&self, address: IpAddr) {
        self.failures.lock().count(network(address));
    }

    /// A place for whoever proved to hold this key.
    pub fn seat(&self, heard: Heard, key: PublicKey, address: IpAddr) -> Seat {
        match heard {
            Heard::Member => {
                let network = Some(self.seats.enter(network(address)));
                Seat { place: self.members.enter(key), _network: network }
            }
            Heard::Newcomer => Seat { place: self.newcomers.enter(key), _network: None },
        }
    }
}

impl Failures {
    fn are_too_many(&mut self, network: IpAddr) -> bool {
        if self.since.elapsed() > FAILURES_IN {
            self.since = Instant::now();
            self.of.clear();
        }
        let are_too_many = self.of.get(&network).is_some_and(|count| *count >= FAILURES_MAX);
        if are_too_many && self.told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(
                address = %network,
                "no member, and it knocks at the peer port again and again; hint: let only nodes reach cluster.listen"
            );
        }
        are_too_many
    }

    fn count(&mut self, network: IpAddr) {
        if self.of.len() < COUNTED_MAX || self.of.contains_key(&network) {
            *self.of.entry(network).or_default() += 1;
        }
    }
}

/// What counts as one address: of IPv6 the /64, which is what one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_fails_too_often_is_not_heard_for_a_second_unless_a_member_sits_there() {
        let porch = Porch::new();
        let [bad, good] = ["2001:db8::1", "192.0.2.1"].map(|text| text.parse::<IpAddr>().expect("an address"));
        let same: IpAddr = "2001:db8::2".parse().expect("an address");
        (0..FAILURES_MAX).for_each(|_| porch.fail(bad));
        assert!(porch.knock(bad).is_none() && porch.knock(same).is_none() && porch.knock(good).is_some());
        let seat = porch.seat(Heard::Member, [1; 32], bad);
        assert!(porch.knock(same).is_some());
        drop(seat);
        let _newcomer = porch.seat(Heard::Newcomer, [1; 32], bad);
        assert!(porch.knock(bad).is_none(), "whoever may join is no member");
        tokio::time::advance(FAILURES_IN * 2).await;
        assert!(porch.knock(bad).is_some());
    }
}
