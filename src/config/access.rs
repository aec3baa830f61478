//! Access: rules that say who may pass to the services behind a proxy: host, path prefix, methods, groups.
//!
//! Their order does not matter, because the most specific of those that fit decides: an exact host before a wildcard,
//! a longer path before a shorter one, a rule that names methods before one for all. Two rules that say different
//! things and are equally specific are an error that names both. Rules speak of decoded paths; what two readers could
//! take for two paths stands in no rule.

use std::fmt;

use figment::value::{Dict, Value};

use super::origin;
use super::problem::Problem;
use super::table;

/// What a rule may say.
const KEYS: [&str; 5] = ["host", "path", "methods", "groups", "public"];
/// Most characters of a group's name.
const GROUP_MAX: usize = 64;

/// Who may pass where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    pub host: HostPattern,
    /// As people read it, without a slash at the end; empty: everywhere.
    pub path: String,
    /// Upper case; empty: all.
    pub methods: Vec<String>,
    /// Whoever is in one of them; empty: every approved person.
    pub groups: Vec<String>,
    /// Nobody need be signed in.
    pub public: bool,
}

/// Which hosts a rule is about, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// All below it; kept with the dot: `.example.com`.
    Below(String),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(domain) => write!(f, "*{domain}"),
        }
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        match self.methods.as_slice() {
            [] => write!(f, "{}{path}", self.host),
            methods => write!(f, "{} {}{path}", methods.join(","), self.host),
        }
    }
}

impl AccessRule {
    /// Whether both are about the same requests, as far as a choice between them is concerned. What has no case in some
    /// services' paths has none here.
    fn meets(&self, other: &Self) -> bool {
        let method = match (self.methods.as_slice(), other.methods.as_slice()) {
            ([], []) => true,
            (some, others) => some.iter().any(|method| others.contains(method)),
        };
        method && self.host == other.host && self.path.eq_ignore_ascii_case(&other.path)
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let holds = |a: &Self, b: &Self| a.groups.iter().all(|group| b.groups.contains(group));
        self.public == other.public && holds(self, other) && holds(other, self)
    }
}

/// What is wrong with the name of a group; `None` of a good one. They travel in a header, with commas in between.
pub fn group_fault(name: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_graphic() && c != ',' || c == ' ';
    if name.is_empty() || name.trim() != name || !name.chars().all(fits) || name.len() > GROUP_MAX {
        return Some(format!("a group has 1 to {GROUP_MAX} ASCII characters and no comma"));
    }
    None
}

/// The rules in a value, and what is wrong with it.
pub(super) fn read(value: &Value, source: &str) -> (Vec<AccessRule>, Vec<Problem>) {
    let Some(rows) = value.as_array() else {
        let what = format!("access (from {source}) is not a list of rules");
        return (Vec::new(), vec![Problem::new(what, "write [[access]] and, below it, host = \"app.example.com\"")]);
    };
    let (mut rules, mut problems) = (Vec::new(), Vec::new());
    for (at, row) in rows.iter().enumerate() {
        match rule(row) {
            Ok(rule) => rules.push(rule),
            Err(faults) => problems.extend(faults.into_iter().map(|(what, hint)| {
                let what = format!("access rule {} (from {source}): {what}", at + 1);
                Problem::new(what, hint)
            })),
        }
    }
    if problems.is_empty() {
        problems = contradictions(&rules);
    }
    (rules, problems)
}

fn contradictions(rules: &[AccessRule]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        for (before, other) in rules[..at].iter().enumerate().filter(|(_, other)| other.meets(rule)) {
            if !other.says_the_same(rule) {
                problems.push(Problem::new(
                    format!(
                        "access rules {} ({other}) and {} ({rule}) are equally specific and say different things",
                        before + 1,
                        at + 1
                    ),
                    "make one of them, or give one a longer path",
                ));
            }
        }
    }
    problems
}

/// What is wrong, and what to do.
type Fault = (String, String);

fn rule(row: &Value) -> Result<AccessRule, Vec<Fault>> {
    let Some(dict) = row.as_dict() else {
        return Err(vec![("it is no table".into(), "write [[access]] above it".into())]);
    };
    let mut faults: Vec<Fault> =
        dict.keys().filter(|key| !KEYS.contains(&key.as_str())).map(|key| unknown(key)).collect();
    let mut take = |read: Result<(), Fault>| faults.extend(read.err());
    let mut rule = AccessRule {
        host: HostPattern::Exact(String::new()),
        path: String::new(),
        methods: Vec::new(),
        groups: Vec::new(),
        public: false,
    };
    take(text(dict, "host").and_then(|host| {
        let host = host.ok_or_else(|| ("host is missing".into(), "host = \"app.example.com\"".into()))?;
        rule.host = parse_host(host).map_err(|hint| (format!("host = \"{host}\" is no host"), hint))?;
        Ok(())
    }));
    take(text(dict, "path").and_then(|path| {
        let path = path.unwrap_or("/");
        rule.path = parse_path(path).map_err(|hint| (format!("path = \"{path}\" is no path"), hint))?;
        Ok(())
    }));
    take(list(dict, "methods").and_then(|methods| {
        rule.methods = methods.into_iter().map(parse_method).collect::<Result<_, _>>()?;
        Ok(())
    }));
    take(list(dict, "groups").and_then(|groups| {
        let checked = |group: &str| match group_fault(group) {
            Some(hint) => Err((format!("\"{group}\" is no group"), hint)),
            None => Ok(group.to_owned()),
        };
        rule.groups = groups.into_iter().map(checked).collect::<Result<_, _>>()?;
        Ok(())
    }));
    take(match dict.get("public") {
        None => Ok(()),
        Some(value) => value.to_bool().map(|public| rule.public = public).ok_or_else(|| {
            ("public is not true or false".into(), "public = true lets everybody pass, signed in or not".into())
        }),
    });
    if rule.public && !rule.groups.is_empty() {
        let hint = "leave out one: public lets everybody pass, groups only their members";
        faults.push(("public and groups contradict each other".into(), hint.into()));
    }
    if faults.is_empty() { Ok(rule) } else { Err(faults) }
}

fn unknown(key: &str) -> Fault {
    let hint = match table::nearest(key, KEYS.into_iter()) {
        Some(near) => format!("did you mean {near}? a rule has {}", KEYS.join(", ")),
        None => format!("a rule has {}", KEYS.join(", ")),
    };
    (format!("unknown key {key}"), hint)
}

fn text<'a>(dict: &'a Dict, key: &str) -> Result<Option<&'a str>, Fault> {
    match dict.get(key) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| (format!("{key} is no text"), "put it in quotes".into())),
    }
}

fn list<'a>(dict: &'a Dict, key: &str) -> Result<Vec<&'a str>, Fault> {
    let wrong = || (format!("{key} is not a list of texts"), format!("put brackets around it: {key} = [\"…\"]"));
    match dict.get(key) {
        None => Ok(Vec::new()),
        Some(value) => value.as_array().ok_or_else(wrong)?.iter().map(|part| part.as_str().ok_or_else(wrong)).collect(),
    }
}

/// `app.example.com`, or `*.example.com` for all hosts below.
fn parse_host(text: &str) -> Result<HostPattern, String> {
    if text.contains("://") || text.contains('/') {
        return Err("name the host alone, without scheme and path".into());
    }
    let name = text.to_ascii_lowercase();
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(Ok(v6)) = bare.map(str::parse::<std::net::Ipv6Addr>) {
        // one address has many forms
        return Ok(HostPattern::Exact(format!("[{v6}]")));
    }
    if name.contains(':') {
        return Err("leave out the port: a rule is about a host on all of its ports".into());
    }
    let hint = || "write \"app.example.com\", or \"*.example.com\" for all hosts below it".to_owned();
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => origin::check_name(domain).map(|()| HostPattern::Below(format!(".{domain}"))),
        None => origin::check_name(&name).map(|()| HostPattern::Exact(name)),
    }
    .map_err(|_| hint())
}

fn parse_path(text: &str) -> Result<String, String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    if !text.starts_with('/') {
        return Err("it begins with a slash: \"/admin\"".into());
    }
    if text.contains('*') {
        return Err("leave out the star: a path is a prefix, \"/admin\" is all below it too".into());
    }
    if text.contains('%') {
        return Err("write it decoded, as people read it".into());
    }
    let odd = text.chars().any(|c| c.is_control() || matches!(c, '?' | '#' | ';' | '\\'));
    let parts = path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
    if odd || (parts && !path.is_empty()) {
        return Err("it has no ?, #, ;, \\, no // and no dot segments: requests with those are refused anyway".into());
    }
    Ok(path.to_owned())
}

fn parse_method(text: &str) -> Result<String, Fault> {
    if text == "HEAD" {
        return Err(("\"HEAD\" is not for rules".into(), "leave it out: whoever may GET may ask for the head".into()));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
        return Ok(text.to_owned());
    }
    let meant = if text.is_empty() { "GET".to_owned() } else { text.to_ascii_uppercase() };
    Err((format!("\"{text}\" is no method"), format!("write it as it is sent: \"{meant}\"")))
}

/// Rules as TOML writes them, one a line.
pub(super) fn written(value: &Value) -> String {
    let Some(rows) = value.as_array().filter(|rows| !rows.is_empty()) else { return "[]".into() };
    let lines: String = rows.iter().map(|row| format!("  {},\n", super::written::toml(row))).collect();
    format!("[\n{lines}]")
}
