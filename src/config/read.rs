//! Read: from merged layers to typed values.
//!
//! A value that is not allowed is noted and its default stands in for it, so that one run reports everything that is
//! wrong. Nobody sees the stand-ins: with a problem noted, no `Config` comes out.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use figment::Figment;
use figment::value::Value;
use ipnet::IpNet;

use super::access::{self, AccessRule};
use super::layers::{DEFAULTS, default_value};
use super::origin::{self, Origin};
use super::problem::Problem;
use super::secret::{self, Secret};
use super::table::{self, Kind, Setting};
use super::units;
use crate::limits;

/// What to do about a value that is not allowed; may be empty.
type Hint = String;

/// Reads settings one by one and notes what is wrong.
pub(super) struct Reader<'a> {
    merged: &'a Figment,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(merged: &'a Figment) -> Self {
        Self { merged, problems: Vec::new() }
    }

    /// Where the value of `key` comes from.
    pub(super) fn source(&self, key: &str) -> String {
        source(self.merged, key)
    }

    fn read<T>(&mut self, key: &str, parse: impl Fn(&Setting, &Value) -> Result<T, Hint>) -> T {
        let setting = table::find(key).expect("every key that is read is in the table");
        let value = value(self.merged, setting);
        parse(setting, &value).unwrap_or_else(|hint| {
            let shown = super::written::toml(&value);
            self.problems.push(Problem::value(setting, &shown, &self.source(key), hint));
            parse(setting, &default_value(setting)).expect("defaults are allowed")
        })
    }

    pub(super) fn path(&mut self, key: &str) -> PathBuf {
        self.read(key, |_, v| text(v).map(PathBuf::from))
    }

    /// A path, unless the setting is empty.
    pub(super) fn path_if_any(&mut self, key: &str) -> Option<PathBuf> {
        Some(self.path(key)).filter(|p| !p.as_os_str().is_empty())
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        self.read(key, |setting, v| allowed_text(setting.kind, text(v)?))
    }

    pub(super) fn origin(&mut self, key: &str) -> Origin {
        self.read(key, |_, v| origin::parse(text(v)?))
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        self.read(key, |_, v| parse_address(text(v)?))
    }

    pub(super) fn address_if_any(&mut self, key: &str) -> Option<SocketAddr> {
        self.read(key, |_, v| match text(v)? {
            "" => Ok(None),
            address => parse_address(address).map(Some),
        })
    }

    /// Where others find something, unless the setting is empty.
    pub(super) fn place_if_any(&mut self, key: &str) -> Option<String> {
        self.read(key, |_, v| match text(v)? {
            "" => Ok(None),
            place => parse_place(place).map(Some),
        })
    }

    pub(super) fn domain_if_any(&mut self, key: &str) -> Option<String> {
        self.read(key, |_, v| match text(v)? {
            "" => Ok(None),
            name => origin::parse_domain(name.trim_start_matches('.')).map(Some),
        })
    }

    pub(super) fn hosts(&mut self, key: &str) -> Vec<String> {
        self.read(key, |_, v| each(v, origin::parse_host_pattern))
    }

    pub(super) fn networks(&mut self, key: &str) -> Vec<IpNet> {
        self.read(key, |_, v| each(v, parse_network))
    }

    pub(super) fn rules(&mut self, key: &str) -> Vec<AccessRule> {
        let setting = table::find(key).expect("every key that is read is in the table");
        let (rules, problems) = access::read(&value(self.merged, setting), &self.source(key));
        self.problems.extend(problems);
        rules
    }

    pub(super) fn duration(&mut self, key: &str) -> Duration {
        self.read(key, |setting, v| {
            let Kind::Duration(from, to) = setting.kind else { return Err(Hint::new()) };
            let millis = units::parse_duration(quoted(v)?.as_str())?;
            in_range(millis, from, to).map(Duration::from_millis)
        })
    }

    pub(super) fn size(&mut self, key: &str) -> u64 {
        self.read(key, |setting, v| {
            let Kind::Size(from, to) = setting.kind else { return Err(Hint::new()) };
            in_range(units::parse_size(quoted(v)?.as_str())?, from, to)
        })
    }

    pub(super) fn number(&mut self, key: &str) -> u64 {
        self.read(key, |setting, v| {
            let Kind::Number(from, to) = setting.kind else { return Err(Hint::new()) };
            let number = v.to_i128().or_else(|| v.to_u128().and_then(|n| i128::try_from(n).ok()));
            let number = number.ok_or_else(|| unquote_hint(setting, v))?;
            in_range(u64::try_from(number).map_err(|_| Hint::new())?, from, to)
        })
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.read(key, |setting, v| v.to_bool().ok_or_else(|| unquote_hint(setting, v)))
    }

    /// A secret, unless the setting is empty.
    pub(super) fn secret_if_any(&mut self, key: &str) -> Option<Secret> {
        self.read(key, |_, v| match text(v)? {
            "" => Ok(None),
            secret => parse_secret(secret).map(Some),
        })
    }

    /// A password, unless the setting is empty.
    pub(super) fn password_if_any(&mut self, key: &str) -> Option<Secret> {
        self.read(key, |_, v| match text(v)? {
            "" => Ok(None),
            short if short.len() < limits::REDIS_PASSWORD_MIN => {
                Err("make one with `head -c 24 /dev/urandom | base64`".into())
            }
            password => Ok(Some(Secret::new(password))),
        })
    }

    pub(super) fn secrets(&mut self, key: &str) -> Vec<Secret> {
        self.read(key, |_, v| each(v, parse_secret))
    }
}

/// The value of a setting, wherever it comes from.
pub(super) fn value(merged: &Figment, setting: &Setting) -> Value {
    merged.find_value(setting.key).unwrap_or_else(|_| default_value(setting))
}

/// What the source of a setting's value is called.
pub(super) fn source(merged: &Figment, key: &str) -> String {
    merged.find_metadata(key).map_or_else(|| DEFAULTS.into(), |m| m.name.to_string())
}

fn text(value: &Value) -> Result<&str, Hint> {
    value.as_str().ok_or_else(|| match value.to_i128() {
        Some(number) => format!("put it in quotes: \"{number}\""),
        None => Hint::new(),
    })
}

/// Text, or a bare number, which then lacks its unit.
fn quoted(value: &Value) -> Result<String, Hint> {
    match (value.as_str(), value.to_i128()) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(number)) => Ok(number.to_string()),
        (None, None) => Err(Hint::new()),
    }
}

fn unquote_hint(setting: &Setting, value: &Value) -> Hint {
    let Some(text) = value.as_str() else { return Hint::new() };
    let fits = match setting.kind {
        Kind::Flag => matches!(text, "true" | "false"),
        _ => text.parse::<u64>().is_ok(),
    };
    if fits { format!("write it without quotes: {text}") } else { Hint::new() }
}

fn in_range(value: u64, from: u64, to: u64) -> Result<u64, Hint> {
    if (from..=to).contains(&value) { Ok(value) } else { Err(Hint::new()) }
}

/// A list, each part parsed. A hint names the part that is wrong.
fn each<T>(value: &Value, parse: impl Fn(&str) -> Result<T, Hint>) -> Result<Vec<T>, Hint> {
    let Some(parts) = value.as_array() else {
        return Err(if value.as_str().is_some() { "put brackets around it: [\"…\"]".into() } else { Hint::new() });
    };
    parts.iter().map(|part| parse(text(part)?)).collect()
}

fn allowed_text(kind: Kind, text: &str) -> Result<String, Hint> {
    let ok = match kind {
        Kind::Choice(words) if words.contains(&text) => true,
        Kind::Choice(words) => {
            let near = table::nearest(text, words.iter().copied());
            return Err(near.map_or_else(Hint::new, |word| format!("did you mean \"{word}\"?")));
        }
        Kind::CookieName => !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
        Kind::Prefix => {
            (1..=limits::PREFIX_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        }
        _ => true,
    };
    if ok { Ok(text.to_owned()) } else { Err(Hint::new()) }
}

fn parse_address(text: &str) -> Result<SocketAddr, Hint> {
    let plain = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    plain.as_deref().unwrap_or(text).parse().map_err(|_| match text.strip_prefix(':') {
        Some(port) => format!("write \"0.0.0.0:{port}\" to listen on every address"),
        None if text.parse::<IpAddr>().is_ok() => "add a port".into(),
        None if text.parse::<u16>().is_ok() => format!("write \"127.0.0.1:{text}\""),
        None => Hint::new(),
    })
}

/// `host:port` as others may use it.
fn parse_place(text: &str) -> Result<String, Hint> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| "add a port".to_owned())?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ip = bare.unwrap_or(host).parse::<IpAddr>();
    match (port.parse::<u16>(), ip) {
        (Ok(0), _) => Err("port 0 is no place: write the port that others reach".into()),
        (Ok(_), Ok(ip)) if ip.is_unspecified() => {
            Err(format!("\"{host}\" leads nowhere: write this machine's own address"))
        }
        (Ok(_), Ok(ip)) if ip.is_ipv6() && bare.is_none() => Err(format!("write \"[{host}]:{port}\"")),
        (Ok(_), Ok(_)) => Ok(text.to_owned()),
        (Ok(_), Err(_)) if bare.is_none() => {
            let host = host.to_ascii_lowercase();
            origin::check_name(&host).map(|()| format!("{host}:{port}"))
        }
        _ => Err(Hint::new()),
    }
}

fn parse_network(text: &str) -> Result<IpNet, Hint> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| format!("\"{text}\" is not a network"))?;
    if net.prefix_len() == 0 {
        return Err(format!("\"{text}\" is everybody, who could then claim any address; name the proxy's own network"));
    }
    Ok(net.trunc())
}

fn parse_secret(text: &str) -> Result<Secret, Hint> {
    match secret::weakness(text) {
        None => Ok(Secret::new(text)),
        Some(why) => Err(format!("it {why}; make one with `head -c 33 /dev/urandom | base64`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_other_nodes_reach_this_one_is_a_place() {
        for place in ["10.0.0.7:3001", "[fd00::7]:3001", "one:3001", "one.example.com:3001"] {
            assert_eq!(parse_place(place).as_deref(), Ok(place));
        }
        for (wrong, hint) in [
            ("0.0.0.0:3001", "leads nowhere"),
            ("[::]:3001", "leads nowhere"),
            ("fd00::7:3001", "write \"[fd00::7]:3001\""),
            ("one", "add a port"),
            ("one:0", "no place"),
            ("one two:3001", ""),
            ("one:66000", ""),
        ] {
            let told = parse_place(wrong).expect_err(wrong);
            assert!(told.contains(hint), "{wrong}: {told}");
        }
    }
}
