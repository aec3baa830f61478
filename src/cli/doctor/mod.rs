//! `sojourn doctor`: sends forged headers through a proxy and says which of them got through.
//!
//! What reaches the service is seen by a stand-in that the proxy is pointed at (`--upstream`), or in the answer of a
//! service that echoes what it gets; what reaches the sign-in check is told by the node on this machine. Only what was
//! seen to be stopped counts as stopped.

mod probes;
mod report;
mod upstream;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use ureq::http::Uri;

use super::{Common, Failure};
use crate::control::protocol::Sighting;
use crate::control::{Request, Response};
use crate::limits::DOCTOR_MARK;
use crate::random;
use probes::{Kind, Probe};
use report::{Finding, Outcome};
use upstream::{Seen, Upstream};

/// How long one answer of the proxy may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes of an answer that are looked through.
const ANSWER_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Address of a service behind the proxy; somewhere that is open, or open to whom --token or --cookie names
    url: String,
    /// Personal access token, so that the check lets the requests pass
    #[arg(long, value_name = "sjt_…")]
    token: Option<String>,
    /// Cookie to send, for the same: NAME=VALUE as a browser sends it
    #[arg(long, value_name = "NAME=VALUE")]
    cookie: Option<String>,
    /// Listen here in place of the service, and see what the proxy sends: point its upstream here first
    #[arg(long, value_name = "ADDR")]
    upstream: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of one request.
struct Answered {
    status: u16,
    /// Headers and body, as text to look through.
    text: String,
}

impl Doctor {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let base = Base::of(&self.url)?;
        let upstream = self.upstream.map(Upstream::listen).transpose()?;
        let nonce: String =
            random::token::<12>().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { 'x' }).collect();
        let agent = agent();
        let ask = |probe: &Probe| self.send(&agent, &base, probe);
        let plain = Probe::plain(&nonce);
        let first = ask(&plain)?;
        let sight = Sight::of(&first, upstream.as_ref(), &plain);
        if let (Sight::Blocked, true) = (&sight, upstream.is_some()) {
            return Err(blocked(&first));
        }
        let mut answers = Vec::new();
        for probe in probes::all(&nonce, &base.authority) {
            let answered = ask(&probe)?;
            answers.push((probe, answered));
        }
        // a node that is not here cannot be asked, which is said and no failure of its own
        let sightings = match common.ask(&Request::DoctorSeen { nonce: nonce.clone() }) {
            Ok(Response::Sightings(sightings)) => Ok(sightings),
            Ok(_) => return Err(Failure::unexpected()),
            Err(why) => Err(why.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        let findings = answers.iter().map(|(probe, answered)| {
            let outcome = match probe.kind {
                Kind::Identity | Kind::Path => at_service(probe, answered, (&sight, upstream.as_ref())),
                Kind::Original | Kind::Address => at_check(probe, answered, &sightings),
            };
            Finding { what: probe.name.clone(), kind: probe.kind, outcome }
        });
        let mut findings: Vec<Finding> = findings.collect();
        findings.extend(self.taken_away((&plain, upstream.as_ref()), &probes::taking_away(&nonce), ask)?);
        report::tell(findings, self.json, out)
    }

    /// Whether a client can have the proxy take its own word away. Only where that word was seen.
    fn taken_away(
        &self,
        (plain, upstream): (&Probe, Option<&Upstream>),
        probe: &Probe,
        ask: impl Fn(&Probe) -> Result<Answered, Failure>,
    ) -> Result<Option<Finding>, Failure> {
        let is_told = |mark: &str| {
            let seen = upstream?.seen(mark)?;
            Some(seen.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("remote-user")))
        };
        if is_told(&plain.mark) != Some(true) {
            return Ok(None);
        }
        let answered = ask(probe)?;
        let outcome = match is_told(&probe.mark) {
            Some(true) => Outcome::Stopped("the service is told who it is".into()),
            Some(false) => Outcome::GotThrough("the service is not told who it is".into()),
            None => Outcome::Stopped(format!("the proxy answered {}", answered.status)),
        };
        Ok(Some(Finding { what: probe.name.clone(), kind: probe.kind, outcome }))
    }

    fn send(&self, agent: &ureq::Agent, base: &Base, probe: &Probe) -> Result<Answered, Failure> {
        let path = probe.path.as_deref().unwrap_or(&base.path);
        let url = format!("{}://{}{path}?{}", base.scheme, base.authority, probe.mark);
        let mut request = agent.get(&url);
        for (name, value) in &probe.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let mut answer = request.call().map_err(|e| {
            Failure::because(format!("{} does not answer", self.url), e, "name the address as browsers reach it")
        })?;
        let mut text: String =
            answer.headers().iter().map(|(n, v)| format!("{n}: {}\n", String::from_utf8_lossy(v.as_bytes()))).collect();
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX).read_to_vec().unwrap_or_default();
        text += &String::from_utf8_lossy(&body);
        Ok(Answered { status, text })
    }
}

/// Where the service is.
struct Base {
    scheme: String,
    authority: String,
    path: String,
}

impl Base {
    fn of(url: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Usage(format!("{url} is no address\n  hint: sojourn doctor https://app.example.com"));
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        match (uri.scheme_str(), uri.authority()) {
            (Some(scheme @ ("http" | "https")), Some(authority)) => {
                Ok(Self { scheme: scheme.into(), authority: authority.to_string(), path: uri.path().into() })
            }
            _ => Err(wrong()),
        }
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .user_agent("sojourn-doctor");
    config.build().new_agent()
}

/// How what reaches the service is seen.
enum Sight {
    /// By the stand-in, or in what the service echoes.
    Clear,
    /// A plain request reached nobody who would show it.
    Blocked,
}

impl Sight {
    fn of(answered: &Answered, upstream: Option<&Upstream>, plain: &Probe) -> Self {
        let shown = match upstream {
            Some(upstream) => upstream.seen(&plain.mark).is_some(),
            // what an echo shows of a header that no proxy stops
            None => (200..300).contains(&answered.status) && answered.text.contains(&plain.value),
        };
        if shown { Self::Clear } else { Self::Blocked }
    }
}

fn blocked(answered: &Answered) -> Failure {
    let hint = match answered.status {
        301..=303 | 307 | 308 | 401 | 403 => {
            "the check lets nobody pass: give --token or --cookie of somebody who may, or name a place that is public"
        }
        502..=504 => "the proxy does not find its upstream: is it pointed at the address of --upstream?",
        _ => "the proxy sends requests elsewhere: point its upstream at the address of --upstream",
    };
    let what = "a plain request did not reach the stand-in for the service";
    Failure::because(what, format!("the proxy answered {}", answered.status), hint)
}

/// What became of something that must not reach the service.
fn at_service(probe: &Probe, answered: &Answered, (sight, upstream): (&Sight, Option<&Upstream>)) -> Outcome {
    let seen = upstream.and_then(|upstream| upstream.seen(&probe.mark));
    let refused = || Outcome::Stopped(format!("the proxy answered {}", answered.status));
    match (sight, upstream.is_some()) {
        (Sight::Blocked, _) => Outcome::Unseen("nothing shows what reaches the service: give --upstream".into()),
        (Sight::Clear, true) => match seen {
            None => refused(),
            Some(seen) => arrived(probe, &seen),
        },
        (Sight::Clear, false) if probe.kind == Kind::Path && (400..500).contains(&answered.status) => refused(),
        (Sight::Clear, false) if probe.kind == Kind::Path => {
            Outcome::Unseen("nothing shows in which form it reached the service: give --upstream".into())
        }
        (Sight::Clear, false) if answered.text.contains(&probe.value) => Outcome::GotThrough("to the service".into()),
        (Sight::Clear, false) if (200..300).contains(&answered.status) => Outcome::Stopped("not in the answer".into()),
        (Sight::Clear, false) => refused(),
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

/// What became of something that must not reach the sign-in check as if the proxy had said it.
fn at_check(probe: &Probe, answered: &Answered, sightings: &Result<Vec<Sighting>, String>) -> Outcome {
    let sightings = match sightings {
        Ok(sightings) => sightings,
        Err(why) => return Outcome::Unseen(format!("the node could not be asked: {why}")),
    };
    let number = probe.mark.trim_start_matches(DOCTOR_MARK);
    let is_its = |s: &&Sighting| s.headers.iter().any(|(_, value)| value.contains(number));
    let its: Vec<&Sighting> = sightings.iter().filter(is_its).collect();
    if its.is_empty() {
        return match answered.status {
            400 => Outcome::Stopped("the proxy answered 400".into()),
            _ => Outcome::Unseen("the node on this machine was not asked: run this where the proxy's node is".into()),
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
