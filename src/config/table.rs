//! Table: every setting once, with its default, what it may be and one line of meaning.
//!
//! The single source for reading, for refusing unknown keys, and for `config print`. A setting that is not in here does
//! not exist; one that is in here and read nowhere fails a test.

use super::units;
use crate::limits;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name, with the section: `sessions.idle`.
    pub key: &'static str,
    /// What it is when nobody says otherwise, as TOML.
    pub default: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// One line for people.
    pub meaning: &'static str,
}

/// What a setting may be. Numbers are whole; bounds are inclusive.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or directory.
    Path,
    /// A signing secret; never printed; may be read from a file.
    Secret,
    /// Several of them.
    Secrets,
    /// What programs prove themselves with, or nothing; never printed; may be read from a file.
    Password,
    /// `scheme://host[:port]`.
    Origin,
    /// An address to listen on.
    Address,
    /// An address to listen on, or nothing.
    AddressOrOff,
    /// `host:port` where others find something, or nothing.
    PlaceOrNone,
    /// A host name, or nothing.
    DomainOrNone,
    /// Several host names.
    Hosts,
    /// Several networks.
    Networks,
    /// A cookie's name, or `auto`.
    CookieName,
    /// The beginning of keys.
    Prefix,
    /// A length of time, between these many milliseconds.
    Duration(u64, u64),
    /// So many bytes, between these.
    Size(u64, u64),
    /// A number between these.
    Number(u64, u64),
    /// `true` or `false`.
    Flag,
    /// Rules for forward-auth; from the file alone.
    Rules,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// Whether values must never be shown.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets | Self::Password)
    }

    /// Whether the value is a list, which the environment writes with commas.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Secrets | Self::Hosts | Self::Networks)
    }

    /// What is allowed, to be read after "is not".
    pub fn allowed(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Path => "the path of a file or directory".into(),
            Self::Secret => format!("a secret of at least {} bytes", limits::SECRET_BYTES_MIN),
            Self::Secrets => format!("a list of secrets of at least {} bytes each", limits::SECRET_BYTES_MIN),
            Self::Password => format!("a password of at least {} bytes", limits::REDIS_PASSWORD_MIN),
            Self::Origin => r#"an origin such as "https://id.example.com" (http or https, no path)"#.into(),
            Self::Address => r#"an address with a port, such as "127.0.0.1:3000""#.into(),
            Self::AddressOrOff => r#"an address with a port, such as "127.0.0.1:3002", or "" for off"#.into(),
            Self::PlaceOrNone => r#"a host and a port such as "10.0.0.7:3001", or "" for none"#.into(),
            Self::DomainOrNone => r#"a domain such as "example.com", or "" for none"#.into(),
            Self::Hosts => r#"a list of hosts such as ["app.example.com", ".example.org"]"#.into(),
            Self::Networks => r#"a list of networks such as ["10.0.0.0/8", "fd00::/8"]"#.into(),
            Self::CookieName => r#""auto" or a cookie name (letters, digits, "-", "_", ".")"#.into(),
            Self::Prefix => format!("1 to {} printable ASCII characters", limits::PREFIX_BYTES_MAX),
            Self::Duration(from, to) => format!(
                r#"a duration from {} to {}, such as "30m" or "1h30m""#,
                units::show_duration(from),
                units::show_duration(to)
            ),
            Self::Size(from, to) => {
                format!(r#"a size from {} to {}, such as "512MiB""#, units::show_size(from), units::show_size(to))
            }
            Self::Number(from, to) => format!("a whole number from {from} to {to}"),
            Self::Rules => "a list of rules".into(),
            Self::Flag => "true or false".into(),
            Self::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|w| format!("\"{w}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
        }
    }
}

const SECOND: u64 = 1_000;
const LIFETIME_MAX: u64 = limits::LIFETIME_MAX.as_secs() * SECOND;

/// Every setting, in the order in which people want to read them; those of one section stand together.
pub static SETTINGS: &[Setting] = &[
    Setting {
        key: "data",
        default: r#""data/node""#,
        kind: Kind::Path,
        meaning: "directory that holds everything this node remembers",
    },
    Setting {
        key: "secret",
        default: r#""""#,
        kind: Kind::Secret,
        meaning: "the cluster's secret; empty: made on first start and kept in the data directory",
    },
    Setting {
        key: "public_url",
        default: r#""http://localhost:3000""#,
        kind: Kind::Origin,
        meaning: "where browsers reach the cluster; unset, it follows web.listen",
    },
    Setting {
        key: "access",
        default: "[]",
        kind: Kind::Rules,
        meaning: "who may pass forward-auth: [[access]] with host, path, methods, groups, public; the most specific decides; \
                  on a host that is named, nobody else passes; elsewhere every approved person",
    },
    Setting {
        key: "web.listen",
        default: r#""127.0.0.1:3000""#,
        kind: Kind::Address,
        meaning: "address of the HTTP door; port 0 takes a free one",
    },
    Setting {
        key: "web.trusted_proxies",
        default: "[]",
        kind: Kind::Networks,
        meaning: "networks whose X-Forwarded-* headers are believed; nobody else's are",
    },
    Setting {
        key: "web.redirect_domains",
        default: "[]",
        kind: Kind::Hosts,
        meaning: r#"hosts that rd and next may point to besides public_url; ".example.com" allows its subdomains"#,
    },
    Setting {
        key: "web.tls_cert",
        default: r#""""#,
        kind: Kind::Path,
        meaning: "PEM file with the certificate chain; together with tls_key the HTTP door speaks TLS",
    },
    Setting {
        key: "web.tls_key",
        default: r#""""#,
        kind: Kind::Path,
        meaning: "PEM file with the certificate's private key",
    },
    Setting {
        key: "cluster.listen",
        default: r#""127.0.0.1:3001""#,
        kind: Kind::AddressOrOff,
        meaning: "address where other nodes reach this one; empty: off, and the node stays alone",
    },
    Setting {
        key: "cluster.advertise",
        default: r#""""#,
        kind: Kind::PlaceOrNone,
        meaning: "host:port that other nodes are told; empty: where cluster.listen listens",
    },
    Setting {
        key: "cluster.max_staleness",
        default: r#""1s""#,
        kind: Kind::Duration(100, 60 * SECOND),
        meaning: "the longest that a revoked session may still be honoured anywhere",
    },
    Setting {
        key: "cluster.stale_reads",
        default: r#""0s""#,
        kind: Kind::Duration(0, 3_600 * SECOND),
        meaning: "a node that no leader answers honours sessions this much longer; so long may revoked ones live there, too",
    },
    Setting {
        key: "redis.listen",
        default: r#""""#,
        kind: Kind::AddressOrOff,
        meaning: "address of the Redis door, where apps keep their sessions; empty: off",
    },
    Setting {
        key: "redis.password",
        default: r#""""#,
        kind: Kind::Password,
        meaning: "password of the Redis user \"default\", who sees everything; empty: everybody on this machine does, if it \
                  listens there alone",
    },
    Setting {
        key: "redis.delete_guard",
        default: r#""10s""#,
        kind: Kind::Duration(0, 3_600 * SECOND),
        meaning: "how long no late write revives a session of express-session that an app deleted; 0s: it may at once",
    },
    Setting {
        key: "redis.reads",
        default: r#""fresh""#,
        kind: Kind::Choice(&["fresh", "local"]),
        meaning: "fresh: a read sees every write acknowledged before it, anywhere; local: it may be \
                  cluster.max_staleness old, and asks nobody",
    },
    Setting {
        key: "redis.tls_cert",
        default: r#""""#,
        kind: Kind::Path,
        meaning: "PEM file with the certificate chain; together with tls_key the Redis door speaks TLS",
    },
    Setting {
        key: "redis.tls_key",
        default: r#""""#,
        kind: Kind::Path,
        meaning: "PEM file with the certificate's private key",
    },
    Setting {
        key: "sessions.cookie",
        default: r#""auto""#,
        kind: Kind::CookieName,
        meaning: "the session cookie; auto: __Host-sojourn on https, __Secure-sojourn with a domain, else sojourn",
    },
    Setting {
        key: "sessions.domain",
        default: r#""""#,
        kind: Kind::DomainOrNone,
        meaning: "domain whose hosts all receive the session cookie; empty: only the host of public_url",
    },
    Setting {
        key: "sessions.secrets",
        default: "[]",
        kind: Kind::Secrets,
        meaning: "cookie secrets: the first signs, all verify; empty: one is made on first start",
    },
    Setting {
        key: "sessions.idle",
        default: r#""1h""#,
        kind: Kind::Duration(SECOND, LIFETIME_MAX),
        meaning: "a session nobody uses ends after this long, or up to a tenth of it (a minute at most) later; remembered \
                  ones have no idle timeout",
    },
    Setting {
        key: "sessions.lifetime",
        default: r#""24h""#,
        kind: Kind::Duration(SECOND, LIFETIME_MAX),
        meaning: "a session ends after this long, however much it is used",
    },
    Setting {
        key: "sessions.remember",
        default: r#""30d""#,
        kind: Kind::Duration(SECOND, LIFETIME_MAX),
        meaning: "sessions.lifetime of those whose owner ticked \"remember me\"; it ends them, used or not",
    },
    Setting {
        key: "sessions.prefix",
        default: r#""sess:""#,
        kind: Kind::Prefix,
        meaning: "what the keys of sessions begin with, as apps know them",
    },
    Setting {
        key: "sessions.per_user_max",
        default: "100",
        kind: Kind::Number(1, 10_000),
        meaning: "most live sessions of one user; one more ends the oldest",
    },
    Setting {
        key: "sessions.memory_max",
        default: r#""512MiB""#,
        kind: Kind::Size(1 << 20, 1 << 40),
        meaning: "memory for sessions and other entries; when it is full, new ones are refused and live ones kept",
    },
    Setting {
        key: "users.signup",
        default: r#""open""#,
        kind: Kind::Choice(&["open", "invite", "closed"]),
        meaning: "who may make an account: everybody, people with a link, nobody",
    },
    Setting {
        key: "users.password_min",
        default: "8",
        kind: Kind::Number(limits::PASSWORD_MIN_FLOOR, 64),
        meaning: "fewest characters of a password",
    },
    Setting {
        key: "users.auto_approve",
        default: "false",
        kind: Kind::Flag,
        meaning: "whether people who signed themselves up may pass forward-auth before an admin approves them",
    },
    Setting {
        key: "metrics.listen",
        default: r#""127.0.0.1:3002""#,
        kind: Kind::AddressOrOff,
        meaning: "address of the Prometheus listener; empty: off",
    },
];

/// The setting of this name.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|s| s.key == key)
}

/// The variable that sets it: `SOJOURN_SESSIONS_IDLE`.
pub fn variable(setting: &Setting) -> String {
    format!("SOJOURN_{}", setting.key.replace('.', "_").to_ascii_uppercase())
}

/// Whether any setting lives in this section.
pub fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|s| s.key.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The one of `known` that is spelt most like `word`, if any comes near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|k| (strsim::damerau_levenshtein(word, k), k));
    let (distance, best) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= word.chars().count().max(6) / 2).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_one_section_stand_together_and_no_key_comes_twice() {
        let mut sections: Vec<&str> = SETTINGS.iter().map(|s| s.key.split_once('.').map_or("", |(s, _)| s)).collect();
        sections.dedup();
        let mut once = sections.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), sections.len(), "{sections:?}");
        for (i, s) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..i].iter().all(|t| t.key != s.key), "{} comes twice", s.key);
        }
    }

    #[test]
    fn variables_of_two_settings_never_meet() {
        for s in SETTINGS {
            let same = SETTINGS.iter().filter(|t| variable(t) == variable(s)).count();
            let file = SETTINGS.iter().filter(|t| variable(t) == variable(s) + "_FILE").count();
            assert_eq!((same, file), (1, 0), "{}", s.key);
        }
    }

    #[test]
    fn nearest_finds_a_slip_and_leaves_strangers_alone() {
        let keys = || SETTINGS.iter().map(|s| s.key);
        assert_eq!(nearest("session.idle", keys()), Some("sessions.idle"));
        assert_eq!(nearest("sessions.idel", keys()), Some("sessions.idle"));
        assert_eq!(nearest("xq", keys()), None);
    }
}
