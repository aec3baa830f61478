//! Sightings: what of a doctor's forged headers reached the check.
//!
//! `sojourn doctor` sends requests through a proxy that carry a mark, and asks afterwards over the control socket what
//! arrived here. The last few are kept; whoever else writes the mark into a request only pushes older ones out.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::limits;
use crate::web::Request;

/// What marked requests hold; a nonce follows.
pub use crate::limits::DOCTOR_MARK as MARK;

/// How headers begin that speak of the original request, or of who somebody is.
const TELLING: [&str; 8] =
    ["host", "x-forwarded", "x-original", "x-auth-request", "x-real-ip", "forwarded", "remote", "x-http-method"];
/// Most headers of a request that are kept, and most characters of each.
const HEADERS_MAX: usize = 32;
const VALUE_MAX: usize = 256;

/// One marked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub headers: Vec<(String, String)>,
    /// The address that it counts as coming from.
    pub address: String,
    /// Whether it was refused, because its headers contradict each other or name nothing that can be compared.
    pub refused: bool,
}

/// The last of them.
#[derive(Default)]
pub struct Sightings(Mutex<VecDeque<Sighting>>);

impl Sightings {
    /// Keeps what a marked request brought.
    pub fn note(&self, request: &Request) {
        self.keep(seen(request, false));
    }

    /// The same of a request that was refused, if it is marked.
    pub fn note_refused(&self, request: &Request) {
        let sighting = seen(request, true);
        if sighting.headers.iter().any(|(_, value)| value.contains(MARK)) {
            self.keep(sighting);
        }
    }

    fn keep(&self, sighting: Sighting) {
        let mut kept = self.0.lock();
        if kept.len() == limits::SIGHTINGS_MAX {
            kept.pop_front();
        }
        kept.push_back(sighting);
    }

    /// Those that hold this nonce.
    pub fn of(&self, nonce: &str) -> Vec<Sighting> {
        let holds = |sighting: &&Sighting| sighting.headers.iter().any(|(_, value)| value.contains(nonce));
        self.0.lock().iter().filter(holds).cloned().collect()
    }
}

fn seen(request: &Request, refused: bool) -> Sighting {
    let telling = request.headers.iter().filter(|(name, _)| TELLING.iter().any(|t| name.as_str().starts_with(t)));
    let headers = telling.take(HEADERS_MAX).map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).chars().take(VALUE_MAX).collect();
        (name.as_str().to_owned(), value)
    });
    Sighting { headers: headers.collect(), address: request.address.to_string(), refused }
}
