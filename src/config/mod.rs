//! Config: what operators decide, one small struct a room.
//!
//! Flags win over the environment (`SOJOURN_*`), which wins over `sojourn.toml`. Everything is read and checked once,
//! at start; nothing in the program reads the environment later. What is wrong is said all at once, with hints.
//!
//! - `table`: every setting, its default and meaning. `layers`: where values come from. `read`: their types.
//! - `access`: rules for forward-auth. `check`: what settings owe each other. `print`: showing them. `units`, `origin`, `secret`: kinds of values.

mod access;
mod check;
mod layers;
mod origin;
mod print;
mod problem;
mod read;
mod secret;
mod table;
#[cfg(test)]
mod tests;
mod units;
mod written;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use ipnet::IpNet;

pub use access::{AccessRule, HostPattern, group_fault};
pub use layers::{File, Sources};
pub use origin::Origin;
pub use print::Printed;
pub use problem::{Problem, Problems};
pub use secret::Secret;
pub use units::duration_flag;

/// All settings of a node.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of everything the node remembers.
    pub data: PathBuf,
    /// The cluster's secret; `None`: made on first start.
    pub secret: Option<Secret>,
    /// Where browsers reach the cluster.
    pub public_url: Origin,
    /// Who may pass where, behind a proxy.
    pub access: Vec<AccessRule>,
    /// The HTTP door.
    pub web: Web,
    /// How nodes agree.
    pub cluster: Cluster,
    /// The Redis door.
    pub redis: Redis,
    /// Sessions and their cookie.
    pub sessions: Sessions,
    /// Accounts.
    pub users: Users,
    /// Where numbers are shown.
    pub metrics: Metrics,
    follows_listen: bool,
}

/// The HTTP door.
#[derive(Debug, Clone)]
pub struct Web {
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// Whose forwarded headers are believed. Never everybody.
    pub trusted_proxies: Vec<IpNet>,
    /// Where `rd` and `next` may point besides `public_url`: `host`, `host:port`, or `.domain` for all hosts below it.
    /// Lower case.
    pub redirect_domains: Vec<String>,
    /// Both files or none.
    pub tls: Option<Tls>,
}

/// Files of a door's TLS, in PEM.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How nodes agree.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Where other nodes reach this one; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// `host:port` that they are told; `None`: where it listens.
    pub advertise: Option<String>,
    /// How long a revoked session may still be honoured.
    pub max_staleness: Duration,
    /// How much longer it may be on a node that no leader answers.
    pub stale_reads: Duration,
}

/// The Redis door.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Where it listens; `None`: nowhere.
    pub listen: Option<SocketAddr>,
    /// What opens everything; `None`: nothing does, but that this machine is let in if it alone can come.
    pub password: Option<Secret>,
    /// How long what an app deleted stays dead.
    pub delete_guard: Duration,
    /// What a read sees.
    pub reads: Reads,
    /// Both files or none.
    pub tls: Option<Tls>,
}

/// What a read at the Redis door sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Every write that was acknowledged before it.
    Fresh,
    /// What this node holds, at most `max_staleness` old.
    Local,
}

/// Sessions and their cookie.
#[derive(Debug, Clone)]
pub struct Sessions {
    /// `auto` or a name; see [`Sessions::cookie_name`].
    pub cookie: String,
    /// Domain of the cookie, without a leading dot.
    pub domain: Option<String>,
    /// The first signs, all verify; empty: one is made on first start.
    pub secrets: Vec<Secret>,
    /// Idle timeout.
    pub idle: Duration,
    /// Absolute lifetime.
    pub lifetime: Duration,
    /// Absolute lifetime with "remember me".
    pub remember: Duration,
    /// What session keys begin with.
    pub prefix: String,
    /// Most live sessions of one user.
    pub per_user_max: u32,
    /// Bytes for entries.
    pub memory_max: u64,
}

impl Sessions {
    /// The session cookie's name where `public_url` is reached.
    pub fn cookie_name(&self, public_url: &Origin) -> &str {
        match (self.cookie.as_str(), public_url.is_https(), &self.domain) {
            ("auto", true, None) => "__Host-sojourn",
            ("auto", true, Some(_)) => "__Secure-sojourn",
            ("auto", false, _) => "sojourn",
            (name, ..) => name,
        }
    }
}

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignupPolicy {
    /// Everybody.
    Open,
    /// People with a link.
    Invite,
    /// Nobody.
    Closed,
}

/// Accounts.
#[derive(Debug, Clone)]
pub struct Users {
    /// Who may make one.
    pub signup: SignupPolicy,
    /// Fewest code points of a password.
    pub password_min: usize,
    /// Whether people who signed themselves up count as approved.
    pub auto_approve: bool,
}

/// The metrics listener.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Where it listens; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

impl Config {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        Settings::gather(sources)?.config()
    }

    /// The session cookie's name.
    pub fn cookie_name(&self) -> &str {
        self.sessions.cookie_name(&self.public_url)
    }

    /// Told where the HTTP door really listens: a `public_url` that nobody set follows it.
    pub fn listening_on(&mut self, address: SocketAddr) {
        if self.follows_listen {
            let scheme = if self.web.tls.is_some() { "https" } else { "http" };
            self.public_url = Origin::listening(scheme, address);
        }
    }
}

/// Values from all sources, not yet checked.
pub struct Settings(Figment);

impl Settings {
    /// Merges all sources.
    ///
    /// # Errors
    /// Files that cannot be read; keys and variables that are no settings.
    pub fn gather(sources: &Sources) -> Result<Self, Problems> {
        sources.merge().map(Self)
    }

    /// The settings, typed and checked.
    ///
    /// # Errors
    /// Every value that is not allowed.
    pub fn config(&self) -> Result<Config, Problems> {
        let mut read = read::Reader::new(&self.0);
        let follows_listen = read.source("public_url") == layers::DEFAULTS;
        let mut config = Config {
            data: read.path("data"),
            secret: read.secret_if_any("secret"),
            public_url: read.origin("public_url"),
            access: read.rules("access"),
            web: web(&mut read),
            cluster: cluster(&mut read),
            redis: redis(&mut read),
            sessions: sessions(&mut read),
            users: users(&mut read),
            metrics: Metrics { listen: read.address_if_any("metrics.listen") },
            follows_listen,
        };
        config.listening_on(config.web.listen);
        if read.problems.is_empty() {
            read.problems = check::together(&config);
        }
        if read.problems.is_empty() { Ok(config) } else { Err(Problems(read.problems)) }
    }

    /// All settings as TOML with comments, secrets hidden.
    ///
    /// # Errors
    /// Every value that is not allowed.
    pub fn to_toml(&self) -> Result<String, Problems> {
        Ok(print::as_toml(&self.0, &self.config()?))
    }

    /// All settings for programs, secrets hidden.
    ///
    /// # Errors
    /// Every value that is not allowed.
    pub fn to_rows(&self) -> Result<Vec<Printed>, Problems> {
        Ok(print::as_rows(&self.0, &self.config()?))
    }
}

fn tls(read: &mut read::Reader<'_>, names: [&'static str; 2]) -> Option<Tls> {
    let [cert, key] = names.map(|name| read.path_if_any(name));
    if cert.is_some() != key.is_some() {
        let (set, missing) = if cert.is_some() { (names[0], names[1]) } else { (names[1], names[0]) };
        let what = format!("{set} (from {}) is set and {missing} is not", read.source(set));
        read.problems.push(Problem::new(what, "TLS needs both"));
    }
    cert.zip(key).map(|(cert, key)| Tls { cert, key })
}

fn redis(read: &mut read::Reader<'_>) -> Redis {
    Redis {
        listen: read.address_if_any("redis.listen"),
        password: read.password_if_any("redis.password"),
        delete_guard: read.duration("redis.delete_guard"),
        reads: if read.text("redis.reads") == "local" { Reads::Local } else { Reads::Fresh },
        tls: tls(read, ["redis.tls_cert", "redis.tls_key"]),
    }
}

fn web(read: &mut read::Reader<'_>) -> Web {
    let tls = tls(read, ["web.tls_cert", "web.tls_key"]);
    Web {
        listen: read.address("web.listen"),
        trusted_proxies: read.networks("web.trusted_proxies"),
        redirect_domains: read.hosts("web.redirect_domains"),
        tls,
    }
}

fn cluster(read: &mut read::Reader<'_>) -> Cluster {
    Cluster {
        listen: read.address_if_any("cluster.listen"),
        advertise: read.place_if_any("cluster.advertise"),
        max_staleness: read.duration("cluster.max_staleness"),
        stale_reads: read.duration("cluster.stale_reads"),
    }
}

fn sessions(read: &mut read::Reader<'_>) -> Sessions {
    Sessions {
        cookie: read.text("sessions.cookie"),
        domain: read.domain_if_any("sessions.domain"),
        secrets: read.secrets("sessions.secrets"),
        idle: read.duration("sessions.idle"),
        lifetime: read.duration("sessions.lifetime"),
        remember: read.duration("sessions.remember"),
        prefix: read.text("sessions.prefix"),
        per_user_max: u32::try_from(read.number("sessions.per_user_max")).unwrap_or(u32::MAX),
        memory_max: read.size("sessions.memory_max"),
    }
}

fn users(read: &mut read::Reader<'_>) -> Users {
    let signup = match read.text("users.signup").as_str() {
        "open" => SignupPolicy::Open,
        "invite" => SignupPolicy::Invite,
        _ => SignupPolicy::Closed,
    };
    let password_min = usize::try_from(read.number("users.password_min")).unwrap_or(usize::MAX);
    Users { signup, password_min, auto_approve: read.flag("users.auto_approve") }
}
