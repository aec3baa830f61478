//! Check: what settings owe each other, once each is right by itself.

use super::Config;
use super::problem::Problem;
use super::units::show_duration;

/// What is wrong between settings.
pub(super) fn together(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    lengths(config, &mut problems);
    cookie(config, &mut problems);
    domain(config, &mut problems);
    secrets(config, &mut problems);
    if config.web.tls.is_some() && !config.public_url.is_https() {
        problems.push(Problem::new(
            format!("public_url = \"{}\" is http, and web.tls_cert makes the door speak https", config.public_url),
            "browsers must reach it by https: change public_url",
        ));
    }
    cluster(config, &mut problems);
    if config.metrics.listen.is_some_and(|m| m == config.web.listen && m.port() != 0) {
        let what = format!("metrics.listen and web.listen are both \"{}\"", config.web.listen);
        problems.push(Problem::new(what, "metrics have a listener of their own; \"\" turns it off"));
    }
    redis(config, &mut problems);
    if config.data.as_os_str().is_empty() {
        problems.push(Problem::new("data is empty", "name the directory that holds everything: data = \"data/node\""));
    }
    problems
}

/// Whoever listens everywhere must say where that is, and two listeners need two addresses.
fn cluster(config: &Config, problems: &mut Vec<Problem>) {
    let Some(listen) = config.cluster.listen else { return };
    if listen.ip().is_unspecified() && config.cluster.advertise.is_none() {
        problems.push(Problem::new(
            format!("cluster.listen = \"{listen}\" is every address, and cluster.advertise is empty"),
            "say where other nodes reach this one: cluster.advertise = \"HOST:PORT\"",
        ));
    }
    for (name, other) in [("web.listen", Some(config.web.listen)), ("metrics.listen", config.metrics.listen)] {
        if other == Some(listen) && listen.port() != 0 {
            let what = format!("cluster.listen and {name} are both \"{listen}\"");
            problems
                .push(Problem::new(what, "nodes speak to each other at an address of their own; \"\" turns it off"));
        }
    }
}

/// The Redis door has an address of its own.
fn redis(config: &Config, problems: &mut Vec<Problem>) {
    let Some(listen) = config.redis.listen.filter(|listen| listen.port() != 0) else { return };
    let others = [
        ("web.listen", Some(config.web.listen)),
        ("cluster.listen", config.cluster.listen),
        ("metrics.listen", config.metrics.listen),
    ];
    for (name, _) in others.into_iter().filter(|(_, other)| *other == Some(listen)) {
        let what = format!("redis.listen and {name} are both \"{listen}\"");
        problems.push(Problem::new(what, "apps reach the Redis door at an address of its own; \"\" turns it off"));
    }
}

fn lengths(config: &Config, problems: &mut Vec<Problem>) {
    let s = &config.sessions;
    let pairs = [
        (("sessions.idle", s.idle), ("sessions.lifetime", s.lifetime)),
        (("sessions.lifetime", s.lifetime), ("sessions.remember", s.remember)),
    ];
    for ((short, a), (long, b)) in pairs {
        if a > b {
            let show = |d: std::time::Duration| show_duration(u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
            let (a, b) = (show(a), show(b));
            let what = format!("{short} = \"{a}\" is longer than {long} = \"{b}\"");
            problems.push(Problem::new(what, format!("lower {short}, or raise {long} to at least \"{a}\"")));
        }
    }
}

fn cookie(config: &Config, problems: &mut Vec<Problem>) {
    let name = config.sessions.cookie.as_str();
    let lower = name.to_ascii_lowercase();
    let (host, secure) = (lower.starts_with("__host-"), lower.starts_with("__secure-"));
    if (host || secure) && !config.public_url.is_https() {
        problems.push(Problem::new(
            format!("sessions.cookie = \"{name}\" needs https, and public_url = \"{}\" is http", config.public_url),
            "browsers would drop the cookie: take \"auto\", or an https public_url",
        ));
    }
    if let Some(domain) = config.sessions.domain.as_ref().filter(|_| host) {
        problems.push(Problem::new(
            format!("sessions.cookie = \"{name}\" belongs to one host, and sessions.domain = \"{domain}\" is set"),
            "browsers would drop the cookie: take \"auto\", or leave sessions.domain empty",
        ));
    }
}

fn domain(config: &Config, problems: &mut Vec<Problem>) {
    let Some(domain) = &config.sessions.domain else { return };
    let host = config.public_url.host();
    let below = host.strip_suffix(domain.as_str()).is_some_and(|left| left.is_empty() || left.ends_with('.'));
    if !below {
        problems.push(Problem::new(
            format!("sessions.domain = \"{domain}\" does not hold the host of public_url = \"{}\"", config.public_url),
            format!("browsers would drop the cookie: \"{host}\" must be that domain or end in \".{domain}\""),
        ));
    }
}

fn secrets(config: &Config, problems: &mut Vec<Problem>) {
    let cluster = config.secret.as_ref();
    if cluster.is_some_and(|secret| config.sessions.secrets.contains(secret)) {
        problems.push(Problem::new(
            "sessions.secrets holds the cluster's own secret",
            "apps may hold cookie secrets, which must not let them join the cluster: make another",
        ));
    }
}
