//! Probes: what is forged. One request each, so that a refusal of one hides nothing of another.

use serde::Serialize;

use crate::limits::DOCTOR_MARK;

/// What a forged header holds, with this mark in it.
type Forged<'a> = &'a dyn Fn(&str) -> String;

/// An address that is nobody's (RFC 5737).
pub(super) const ADDRESS: &str = "203.0.113.77";

/// What a forged thing would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Be taken by the service for who is signed in.
    Identity,
    /// Be taken by the check for the request that it decides about.
    Original,
    /// Be taken by the check for where a request comes from.
    Address,
    /// Be one path to the check and another to the service.
    Path,
    /// Be taken by the check for the host that it decides about.
    Host,
}

/// One request.
#[derive(Debug)]
pub(super) struct Probe {
    /// What people call it.
    pub name: String,
    pub kind: Kind,
    /// Query by which the request is known again.
    pub mark: String,
    /// What the forged headers say, where they may say anything.
    pub value: String,
    pub headers: Vec<(String, String)>,
    /// Instead of the path that was given.
    pub path: Option<String>,
    /// Whether the target is the whole URL, which says as much about the host as `Host` does.
    pub is_absolute: bool,
}

const IDENTITY: [&str; 4] = ["Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups"];

/// Paths that two readers take for two.
const PATHS: [&str; 6] = [
    "/sojourn-doctor/../x",
    "/sojourn-doctor/%2e%2e/x",
    "/sojourn-doctor%2fx",
    "/sojourn-doctor%5cx",
    "/sojourn-doctor/..;/x",
    "//sojourn-doctor/x",
];

impl Probe {
    fn new(nonce: &str, number: usize, kind: Kind) -> Self {
        let mark = format!("{DOCTOR_MARK}{nonce}-{number:03}.");
        let value = format!("forged-{nonce}-{number:03}");
        Self { name: String::new(), kind, mark, value, headers: Vec::new(), path: None, is_absolute: false }
    }

    /// A request with nothing forged: only a header of no meaning, by which an echo is known.
    pub(super) fn plain(nonce: &str) -> Self {
        let mut probe = Self::new(nonce, 0, Kind::Identity);
        probe.headers = vec![("X-Sojourn-Doctor".into(), probe.value.clone())];
        probe
    }
}

/// A request that has the proxy take away a header of its own, as one that belongs to the connection.
pub(super) fn taking_away(nonce: &str) -> Probe {
    let mut probe = Probe::new(nonce, 999, Kind::Identity);
    probe.name = "Connection: Remote-User".into();
    probe.headers = vec![("Connection".into(), "close, Remote-User".into())];
    probe
}

/// Requests for a host that the proxy does not serve and no rule names. A whole URL is sent where nothing encrypts it.
pub(super) fn hosts(nonce: &str, scheme: &str) -> Vec<Probe> {
    let probe = |number, name: &str, is_absolute| {
        let mut probe = Probe { name: name.into(), is_absolute, ..Probe::new(nonce, number, Kind::Host) };
        probe.headers = vec![("Host".into(), format!("{}invalid", probe.mark))];
        probe
    };
    let mut probes = vec![probe(900, "Host", false)];
    if scheme == "http" {
        probes.push(probe(901, "Host beside a whole URL", true));
    }
    probes
}

/// Everything that is forged.
pub(super) fn all(nonce: &str, authority: &str) -> Vec<Probe> {
    let mut probes: Vec<Probe> = Vec::new();
    let mut add = |kind, name: String, fill: &dyn Fn(&mut Probe)| {
        let mut probe = Probe { name, ..Probe::new(nonce, probes.len() + 1, kind) };
        fill(&mut probe);
        probes.push(probe);
    };
    for name in IDENTITY {
        for spelt in [name.to_owned(), name.to_lowercase(), name.replace('-', "_"), name.replace('-', ".")] {
            add(Kind::Identity, spelt.clone(), &|p| p.headers = vec![(spelt.clone(), p.value.clone())]);
        }
        add(Kind::Identity, format!("{name}, twice"), &|p| {
            p.headers = vec![(name.into(), p.value.clone()), (name.into(), p.value.clone())];
        });
        add(Kind::Identity, format!("{name} and {}", name.replace('-', "_")), &|p| {
            p.headers = vec![(name.into(), p.value.clone()), (name.replace('-', "_"), p.value.clone())];
        });
    }
    // they hold the mark too: one that takes the place of the true one is still known
    let originals: [(&str, Forged<'_>); 7] = [
        ("X-Forwarded-Host", &|mark| format!("{mark}invalid")),
        ("X-Forwarded-Uri", &|mark| format!("/{mark}forged")),
        ("X-Forwarded-Method", &|_| "FORGED".to_owned()),
        ("X-Forwarded-Proto", &|_| "forged".to_owned()),
        ("X-Original-URL", &|mark| format!("https://{authority}/{mark}forged")),
        ("X-Original-URI", &|mark| format!("/{mark}forged")),
        ("X-Original-Method", &|_| "FORGED".to_owned()),
    ];
    for (name, value) in originals {
        add(Kind::Original, name.into(), &|p| p.headers = vec![(name.into(), value(&p.mark))]);
    }
    for (name, before) in [("X-Forwarded-For", ""), ("X-Real-IP", ""), ("Forwarded", "for=")] {
        add(Kind::Address, name.into(), &|p| p.headers = vec![(name.into(), format!("{before}{ADDRESS}"))]);
    }
    for path in PATHS {
        add(Kind::Path, path.into(), &|p| p.path = Some(path.into()));
    }
    probes
}
