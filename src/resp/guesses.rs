//! Guesses: wrong passwords, by address, so that `redis.password` cannot be found by trying.
//!
//! The first few cost nothing. From then on the tries of that address are taken one after another, each after a wait,
//! however many connections they come by. Credentials of apps are not held up: theirs are random and long.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::{REDIS_GUESS_WAIT, REDIS_GUESSES_FREE, REDIS_GUESSES_WAITING};
use crate::listen::crowd::network;

/// How long wrong passwords are remembered after the last one.
const MEMORY: Duration = Duration::from_secs(900);
/// Addresses that are remembered; those beyond share one place.
const ADDRESSES_MAX: usize = 10_000;

/// What is known of all addresses.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<Option<IpAddr>, Guessed>>);

struct Guessed {
    wrong: u32,
    last: Instant,
    /// When the next try may be taken.
    next: Instant,
    waiting: u32,
}

impl Guesses {
    /// Waits until a try of this address may be taken; says whether it may be at all.
    pub async fn turn(&self, address: IpAddr) -> bool {
        let (key, until) = {
            let mut all = self.0.lock();
            let key = place_of(address, &all);
            let Some(guessed) = all.get_mut(&key) else { return true };
            if guessed.wrong < REDIS_GUESSES_FREE {
                return true;
            }
            if guessed.waiting >= REDIS_GUESSES_WAITING {
                return false;
            }
            guessed.waiting += 1;
            guessed.next = guessed.next.max(Instant::now()) + REDIS_GUESS_WAIT;
            (key, guessed.next)
        };
        let _waits = Waits(self, key);
        tokio::time::sleep_until(until).await;
        true
    }

    /// Counts a wrong password.
    pub fn wrong(&self, address: IpAddr) {
        let now = Instant::now();
        let mut all = self.0.lock();
        if all.len() >= ADDRESSES_MAX {
            all.retain(|_, guessed| guessed.waiting > 0 || now.duration_since(guessed.last) < MEMORY);
        }
        let key = place_of(address, &all);
        let guessed = all.entry(key).or_insert(Guessed { wrong: 0, last: now, next: now, waiting: 0 });
        if now.duration_since(guessed.last) >= MEMORY {
            guessed.wrong = 0;
        }
        guessed.wrong = guessed.wrong.saturating_add(1);
        guessed.last = now;
    }
}

/// Where an address is remembered; `None`: with all those for whom there is no place.
fn place_of(address: IpAddr, all: &HashMap<Option<IpAddr>, Guessed>) -> Option<IpAddr> {
    let key = Some(network(address.to_canonical()));
    if all.len() < ADDRESSES_MAX || all.contains_key(&key) { key } else { None }
}

/// Somebody who waits; even who goes away meanwhile is counted no longer.
struct Waits<'a>(&'a Guesses, Option<IpAddr>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(guessed) = self.0.0.lock().get_mut(&self.1) {
            guessed.waiting = guessed.waiting.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tries_of_one_address_are_taken_one_after_another() {
        let guesses = Guesses::default();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let begun = Instant::now();
        for _ in 0..REDIS_GUESSES_FREE {
            assert!(guesses.turn(one).await);
            guesses.wrong(one);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let turns = futures_util::future::join_all((0..20).map(|_| guesses.turn(one))).await;
        assert_eq!(turns.iter().filter(|may| **may).count(), REDIS_GUESSES_WAITING as usize);
        assert!(begun.elapsed() >= REDIS_GUESS_WAIT * REDIS_GUESSES_WAITING);
        let before = Instant::now();
        assert!(guesses.turn(other).await);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_without_a_place_of_their_own_are_held_up_together() {
        let guesses = Guesses::default();
        let at = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        (0..ADDRESSES_MAX as u32 + REDIS_GUESSES_FREE).for_each(|n| guesses.wrong(at(n)));
        let before = Instant::now();
        assert!(guesses.turn(at(u32::MAX)).await);
        assert!(before.elapsed() >= REDIS_GUESS_WAIT);
    }
}
