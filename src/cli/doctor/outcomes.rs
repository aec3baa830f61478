//! Outcomes: what became of each probe, by what the stand-in, the node and the answers show.

use super::Answered;
use super::probes::{self, Kind, Probe};
use super::report::Outcome;
use super::upstream::{Seen, Upstream};
use crate::control::protocol::Sighting;
use crate::limits::DOCTOR_MARK;

/// How what reaches the service is seen.
pub(super) enum Sight {
    /// By the stand-in, or in what the service echoes.
    Clear,
    /// A plain request reached nobody who would show it.
    Blocked,
}

impl Sight {
    pub(super) fn of(answered: &Answered, upstream: Option<&Upstream>, plain: &Probe) -> Self {
        let shown = match upstream {
            Some(upstream) => upstream.seen(&plain.mark).is_some(),
            // what an echo shows of a header that no proxy stops
            None => (200..300).contains(&answered.status) && answered.text.contains(&plain.value),
        };
        if shown { Self::Clear } else { Self::Blocked }
    }
}

/// Everything that shows where a probe came to.
pub(super) struct Shown<'a> {
    pub sight: Sight,
    pub upstream: Option<&'a Upstream>,
    /// What the node on this machine was asked, or why it cannot say.
    pub sightings: Result<Vec<Sighting>, String>,
}

impl Shown<'_> {
    /// What became of a probe.
    pub(super) fn outcome(&self, probe: &Probe, answered: &Answered) -> Outcome {
        match probe.kind {
            Kind::Identity | Kind::Path => self.at_service(probe, answered),
            Kind::Original | Kind::Address => self.at_check(probe, answered),
            Kind::Host => self.by_host(probe, answered),
        }
    }

    /// What of it the node was asked.
    fn sighted(&self, probe: &Probe) -> Result<Vec<&Sighting>, &str> {
        let number = probe.mark.trim_start_matches(DOCTOR_MARK);
        let is_its = |s: &&Sighting| s.headers.iter().any(|(_, value)| value.contains(number));
        self.sightings.as_ref().map(|all| all.iter().filter(is_its).collect()).map_err(String::as_str)
    }

    /// What became of something that must not reach the service.
    fn at_service(&self, probe: &Probe, answered: &Answered) -> Outcome {
        let refused = || Outcome::Stopped(format!("the proxy answered {}", answered.status));
        let is_clear = matches!(self.sight, Sight::Clear);
        match self.upstream {
            _ if !is_clear => Outcome::Unseen("nothing shows what reaches the service: give --upstream".into()),
            Some(upstream) => upstream.seen(&probe.mark).map_or_else(refused, |seen| arrived(probe, &seen)),
            None if probe.kind == Kind::Path && answered.status == 400 => refused(),
            // a service may answer 404 by itself
            None if probe.kind == Kind::Path => match self.sighted(probe) {
                Ok(its) if its.iter().any(|s| s.refused) => Outcome::Stopped("the check refuses the request".into()),
                _ => Outcome::Unseen("nothing shows in which form it reached the service: give --upstream".into()),
            },
            None if answered.text.contains(&probe.value) => Outcome::GotThrough("to the service".into()),
            None if (200..300).contains(&answered.status) => Outcome::Stopped("not in the answer".into()),
            None => refused(),
        }
    }

    /// What became of something that must not reach the sign-in check as if the proxy had said it.
    fn at_check(&self, probe: &Probe, answered: &Answered) -> Outcome {
        let its = match self.sighted(probe) {
            Ok(its) => its,
            Err(why) => return Outcome::Unseen(format!("the node could not be asked: {why}")),
        };
        if its.is_empty() {
            return match answered.status {
                400 => Outcome::Stopped("the proxy answered 400".into()),
                _ => {
                    Outcome::Unseen("the node on this machine was not asked: run this where the proxy's node is".into())
                }
            };
        }
        let (name, value) = probe.headers.first().map_or(("", ""), |(n, v)| (n.as_str(), v.as_str()));
        let came = |s: &&&Sighting| s.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v.contains(value));
        let Some(sighting) = its.iter().find(came) else {
            return Outcome::Stopped("the check does not see it".into());
        };
        if probe.kind == Kind::Address {
            let last = |v: &str| v.rsplit(',').next().is_some_and(|hop| hop.trim() == value);
            let alone = sighting.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && last(v));
            return match sighting.address == probes::ADDRESS && alone {
                true => Outcome::GotThrough("the check takes it for the sender's address".into()),
                false => Outcome::Stopped("the check does not believe it".into()),
            };
        }
        match its.iter().all(|s| s.refused) {
            true => Outcome::Stopped("the check refuses the request".into()),
            false => Outcome::GotThrough("to the sign-in check".into()),
        }
    }

    /// What became of a request for a host that the proxy does not serve.
    fn by_host(&self, probe: &Probe, answered: &Answered) -> Outcome {
        let its = self.sighted(probe).unwrap_or_default();
        let host = probe.headers.first().map_or_else(String::new, |(_, host)| host.to_lowercase());
        let names_it = |s: &&Sighting| s.headers.iter().any(|(_, value)| value.to_lowercase().contains(&host));
        let is_reached = self.upstream.is_some_and(|upstream| upstream.seen(&probe.mark).is_some());
        match answered.status {
            _ if its.iter().any(|s| names_it(s) && !s.refused) => {
                Outcome::GotThrough("the check decides about a host that the client makes up".into())
            }
            _ if !its.is_empty() => Outcome::Stopped("the check decides about another host".into()),
            _ if is_reached => Outcome::GotThrough("to the service, and the check was not asked".into()),
            0 => Outcome::Stopped("the proxy closes the connection".into()),
            // it may have asked a node that is elsewhere
            301..=303 | 307 | 308 | 401 | 403 => Outcome::Unseen("the node on this machine was not asked".into()),
            status if self.upstream.is_some() || matches!(status, 400 | 421) => {
                Outcome::Stopped(format!("the proxy answered {status}"))
            }
            _ => Outcome::Unseen("nothing shows whether it reached the service: give --upstream".into()),
        }
    }
}

fn arrived(probe: &Probe, seen: &Seen) -> Outcome {
    if let (Kind::Path, Some(path)) = (probe.kind, &probe.path) {
        let target = seen.target.split('?').next().unwrap_or_default();
        return match target == path {
            true => Outcome::GotThrough("to the service, as it is".into()),
            false => Outcome::Stopped(format!("the service sees {target}")),
        };
    }
    match seen.headers.iter().find(|(_, value)| value.contains(&probe.value)) {
        Some((name, _)) => Outcome::GotThrough(format!("to the service, as {name}")),
        None => Outcome::Stopped("the service does not see it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sightings: Vec<Sighting>) -> Shown<'static> {
        Shown { sight: Sight::Clear, upstream: None, sightings: Ok(sightings) }
    }

    fn sighting(name: &str, value: String, refused: bool) -> Sighting {
        Sighting { headers: vec![(name.into(), value)], address: "127.0.0.1".into(), refused }
    }

    fn word(outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Stopped(_) => "stopped",
            Outcome::GotThrough(_) => "got through",
            Outcome::Unseen(_) => "unseen",
        }
    }

    fn answered(status: u16) -> Answered {
        Answered { status, text: String::new() }
    }

    #[test]
    fn a_services_own_refusal_of_a_path_stops_nothing() {
        let probes = probes::all("nonce", "app.example.com");
        let probe = probes.iter().find(|probe| probe.kind == Kind::Path).expect("there is one");
        let said = |status, sightings| word(shown(sightings).outcome(probe, &answered(status)));
        assert_eq!(
            (said(404, Vec::new()), said(403, Vec::new()), said(200, Vec::new())),
            ("unseen", "unseen", "unseen")
        );
        assert_eq!(said(400, Vec::new()), "stopped");
        let asked =
            |refused| vec![sighting("x-original-url", format!("https://app.example.com/x?{}", probe.mark), refused)];
        assert_eq!((said(403, asked(true)), said(404, asked(false))), ("stopped", "unseen"));
    }

    #[test]
    fn a_host_that_a_client_makes_up_is_found_where_the_check_decides_about_it() {
        let probes = probes::hosts("Nonce", "http");
        assert_eq!((probes.len(), probes::hosts("Nonce", "https").len()), (2, 1));
        let probe = &probes[1];
        let said = |status, sightings| word(shown(sightings).outcome(probe, &answered(status)));
        let asked =
            |host: &str, refused| vec![sighting("x-original-url", format!("https://{host}/x?{}", probe.mark), refused)];
        // nginx says it in lower case
        let foreign = probe.headers[0].1.to_lowercase();
        assert_eq!((said(401, asked(&foreign, false)), said(403, asked(&foreign, true))), ("got through", "stopped"));
        assert_eq!(said(200, asked("app.example.com", false)), "stopped");
        assert_eq!((said(0, Vec::new()), said(421, Vec::new())), ("stopped", "stopped"));
        assert_eq!((said(401, Vec::new()), said(200, Vec::new())), ("unseen", "unseen"));
    }
}
