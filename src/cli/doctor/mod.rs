//! `sojourn doctor`: sends forged headers through a proxy and says which of them got through.
//!
//! What reaches the service is seen by a stand-in that the proxy is pointed at (`--upstream`), or in the answer of a
//! service that echoes what it gets; what reaches the sign-in check is told by the node on this machine. Only what was
//! seen to be stopped counts as stopped.

mod outcomes;
mod probes;
mod report;
mod upstream;

use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use ureq::http::Uri;

use super::{Common, Failure};
use crate::control::{Request, Response};
use crate::random;
use outcomes::{Shown, Sight};
use probes::Probe;
use report::{Finding, Outcome};
use upstream::Upstream;

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
    /// 0: the connection was closed without an answer.
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
        for probe in probes::hosts(&nonce, &base.scheme) {
            let answered = if probe.is_absolute { absolute(&base, &probe) } else { ask(&probe).ok() };
            answers.push((probe, answered.unwrap_or(Answered { status: 0, text: String::new() })));
        }
        // a node that is not here cannot be asked, which is said and no failure of its own
        let sightings = match common.ask(&Request::DoctorSeen { nonce: nonce.clone() }) {
            Ok(Response::Sightings(sightings)) => Ok(sightings),
            Ok(_) => return Err(Failure::unexpected()),
            Err(why) => Err(why.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        let shown = Shown { sight, upstream: upstream.as_ref(), sightings };
        let findings = answers.iter().map(|(probe, answered)| {
            let outcome = shown.outcome(probe, answered);
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

/// Sends a request whose target is a whole URL, which clients send to proxies alone and every server takes.
fn absolute(base: &Base, probe: &Probe) -> Option<Answered> {
    let port = if base.authority.contains(':') { "" } else { ":80" };
    let mut stream = TcpStream::connect(format!("{}{port}", base.authority)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let headers: String = probe.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (authority, path, mark) = (&base.authority, &base.path, &probe.mark);
    write!(stream, "GET http://{authority}{path}?{mark} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).ok()?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some(Answered { status, text })
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
