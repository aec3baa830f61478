//! Access: who may pass to a service behind a proxy.
//!
//! A request to such a service is a [`Target`]: host, path, method. Its path is compared after one decoding, and only
//! what every reader of it must take for the same path is compared at all: services decode, resolve and cut paths in
//! many ways, and a path that ours reads as `/public` and theirs as `/admin` would be a way in. So encoded slashes and
//! backslashes, dot segments, empty segments, control characters, what is not UTF-8 and what decodes a second time is
//! refused. `;`, `#` and `?` behind an encoding are common in honest paths: they are refused only where cutting the path
//! there would have another rule decide.
//!
//! The most specific rule decides (`config::access`); a host that any rule names is closed to whatever no rule opens;
//! on all other hosts every approved person passes. Deliberately absent: an order of rules, regular expressions.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::User;
use crate::config::{AccessRule, HostPattern};

/// A request to a service behind a proxy, read strictly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    host: Cow<'a, str>,
    path: Cow<'a, str>,
    method: Option<&'a str>,
}

/// Why a request is no target: two readers could take it for two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguous {
    Host,
    Path,
    Method,
}

/// Whether somebody may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, as who they are.
    Pass,
    /// Yes, as nobody in particular.
    PassUnnamed,
    /// Not before they sign in.
    SignIn,
    /// Not before an admin approves them.
    Waits,
    /// No.
    Forbidden,
    /// The request is ambiguous in this.
    Refused(Ambiguous),
}

/// All rules, the more specific before the less specific ones.
#[derive(Debug, Default)]
pub struct Rules {
    exact: HashMap<String, Vec<AccessRule>>,
    /// By `.domain`, the longest first.
    below: Vec<(String, Vec<AccessRule>)>,
}

/// What the rules say of a target.
enum Found<'r> {
    Rule(&'r AccessRule),
    /// Some rule names the host, and none this request.
    Closed,
    /// No rule names the host.
    Unnamed,
    /// Which rule decides hangs on the method, which nobody said.
    MethodUnsaid,
}

impl<'a> Target<'a> {
    /// The host as in a `Host` header; the path as on the wire, without the query; the method, if anybody said it.
    ///
    /// # Errors
    /// In what it is ambiguous.
    pub fn read(host: &'a str, path: &'a str, method: Option<&'a str>) -> Result<Self, Ambiguous> {
        let host = host_of(host).ok_or(Ambiguous::Host)?;
        let path = path_of(path).ok_or(Ambiguous::Path)?;
        let said = |method: &str| {
            (1..=32).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
        };
        if method.is_some_and(|method| !said(method)) {
            return Err(Ambiguous::Method);
        }
        // whoever may look may ask for the head alone
        let method = method.map(|method| if method == "HEAD" { "GET" } else { method });
        Ok(Self { host, path, method })
    }

    /// The host: lower case, without port, without a dot at the end.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path, decoded once.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Lower case, without the port and one dot at the end: all of them name the same machine, and rules know one of the
/// forms. User names, other characters and empty labels are none that a browser sends.
fn host_of(text: &str) -> Option<Cow<'_, str>> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (v6, port) = rest.split_once(']')?;
            // one address has many forms
            let v6: std::net::Ipv6Addr = v6.parse().ok()?;
            return port_fits(port).then(|| Cow::Owned(format!("[{v6}]")));
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = name.len() <= 253
        && name.split('.').all(|label| !label.is_empty())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !port_fits(port) || !fits {
        return None;
    }
    let is_lower = name.bytes().all(|b| !b.is_ascii_uppercase());
    Some(if is_lower { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) })
}

/// Whether this may follow a host: nothing, or a colon and a port.
fn port_fits(port: &str) -> bool {
    let digits = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    port.is_empty() || port.strip_prefix(':').is_some_and(digits)
}

/// Whether two `Host` headers name the same host.
pub fn is_same_host(a: &str, b: &str) -> bool {
    host_of(a).is_some_and(|a| host_of(b) == Some(a))
}

/// The path decoded once, if every reader must take it for the same.
fn path_of(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.starts_with('/') || raw.bytes().any(|b| !b.is_ascii_graphic() || matches!(b, b'\\' | b'#' | b'?')) {
        return None;
    }
    let path = if raw.contains('%') { Cow::Owned(decoded(raw)?) } else { Cow::Borrowed(raw) };
    is_resolved(&path).then_some(path)
}

fn decoded(raw: &str) -> Option<String> {
    let whole = raw.match_indices('%').all(|(at, _)| is_escape(raw.as_bytes(), at));
    let path = percent_decode_str(raw).decode_utf8().ok()?;
    let slashes = |text: &str| text.bytes().filter(|b| *b == b'/').count();
    let again = path.match_indices('%').any(|(at, _)| is_escape(path.as_bytes(), at));
    let odd = path.chars().any(|c| c.is_control() || c == '\\');
    (whole && !again && !odd && slashes(&path) == slashes(raw)).then(|| path.into_owned())
}

/// Whether two hexadecimal digits follow.
fn is_escape(text: &[u8], at: usize) -> bool {
    text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// No dot segments, no empty ones but the last.
fn is_resolved(path: &str) -> bool {
    let has_dots = || path.contains("/.") && path.split('/').any(|part| matches!(part, "." | ".."));
    !path.contains("//") && !has_dots()
}

/// What else a reader may take a path for: without parameters behind semicolons, or cut where a fragment or a query
/// would begin. `None` when there is no other reading, `Some(None)` when it is none that may be compared.
fn other_reading(path: &str) -> Option<Option<String>> {
    if !path.bytes().any(|b| matches!(b, b';' | b'#' | b'?')) {
        return None;
    }
    let cut = path.split(['#', '?']).next().unwrap_or_default();
    let bare: Vec<&str> = cut.split('/').map(|part| part.split(';').next().unwrap_or_default()).collect();
    let other = bare.join("/");
    Some(Some(other).filter(|other| is_resolved(other)))
}

impl Rules {
    /// Checked rules, in any order.
    pub fn new(rules: &[AccessRule]) -> Self {
        let mut sorted = rules.to_vec();
        sorted.sort_by_key(|rule| {
            (Reverse(rule.path.matches('/').count()), Reverse(rule.path.len()), rule.methods.is_empty())
        });
        let mut made = Self::default();
        for rule in sorted {
            match rule.host.clone() {
                HostPattern::Exact(host) => made.exact.entry(host).or_default().push(rule),
                HostPattern::Below(domain) => match made.below.iter_mut().find(|(held, _)| *held == domain) {
                    Some((_, rules)) => rules.push(rule),
                    None => made.below.push((domain, vec![rule])),
                },
            }
        }
        made.below.sort_by_key(|(domain, _)| Reverse(domain.len()));
        made
    }

    fn find(&self, host: &str, path: &str, method: Option<&str>) -> Found<'_> {
        let below = |domain: &str| host.len() > domain.len() && host.ends_with(domain);
        let exact = self.exact.get(host);
        let lists =
            exact.into_iter().chain(self.below.iter().filter(|(domain, _)| below(domain)).map(|(_, list)| list));
        let mut is_named = false;
        for rule in lists.inspect(|_| is_named = true).flatten().filter(|rule| covers(&rule.path, path)) {
            match method {
                _ if rule.methods.is_empty() => return Found::Rule(rule),
                Some(method) if rule.methods.iter().any(|named| named == method) => return Found::Rule(rule),
                Some(_) => {}
                None => return Found::MethodUnsaid,
            }
        }
        if is_named { Found::Closed } else { Found::Unnamed }
    }

    /// The rule that decides, however a service reads the path.
    fn decisive(&self, target: &Target<'_>) -> Result<Found<'_>, Ambiguous> {
        let found = self.find(&target.host, &target.path, target.method);
        let Some(other) = other_reading(&target.path) else { return Ok(found) };
        let other = other.ok_or(Ambiguous::Path)?;
        let same = match (&found, self.find(&target.host, &other, target.method)) {
            (Found::Rule(a), Found::Rule(b)) => std::ptr::eq(*a, b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(&b),
        };
        if same { Ok(found) } else { Err(Ambiguous::Path) }
    }
}

/// Whether a rule's path is the path or above it. ASCII letters have no case here: Express and others route `/Admin` to
/// `/admin`.
fn covers(rule: &str, path: &str) -> bool {
    let (rule, path) = (rule.as_bytes(), path.as_bytes());
    path.len() >= rule.len()
        && path[..rule.len()].eq_ignore_ascii_case(rule)
        && matches!(path.get(rule.len()), None | Some(b'/'))
}

/// Whether `who` (nobody, when it is not known) may pass to `target`.
pub fn verdict(rules: &Rules, target: &Target<'_>, who: Option<&User>) -> Verdict {
    let found = match rules.decisive(target) {
        Ok(found) => found,
        Err(ambiguous) => return Verdict::Refused(ambiguous),
    };
    let approved = who.is_some_and(|user| user.approved && !user.disabled);
    let rule = match found {
        // where the service heeds the case, this is another address, and nobody said that it is open
        Found::Rule(rule) if rule.public && !target.path.starts_with(&rule.path) => {
            return Verdict::Refused(Ambiguous::Path);
        }
        Found::Rule(rule) if rule.public => return if approved { Verdict::Pass } else { Verdict::PassUnnamed },
        Found::Rule(rule) => Some(rule),
        Found::Unnamed => None,
        Found::Closed => return Verdict::Forbidden,
        Found::MethodUnsaid => return Verdict::Refused(Ambiguous::Method),
    };
    let Some(user) = who else { return Verdict::SignIn };
    if !approved {
        return Verdict::Waits;
    }
    let may =
        rule.is_none_or(|rule| rule.groups.is_empty() || rule.groups.iter().any(|group| user.groups.contains(group)));
    if may { Verdict::Pass } else { Verdict::Forbidden }
}

#[cfg(test)]
mod tests;
