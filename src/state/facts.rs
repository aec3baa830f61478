//! Facts: what stands beside a session's value, out of reach of whoever may write the value.
//!
//! Every request that shows a session reads them, and a node holds millions, so they are packed by hand: what the
//! answer hangs on (deadline, user, epoch) is read in place, without an allocation, and user ids and addresses of the
//! usual form lie as the bytes that they stand for. Anything unusual is kept as text; both forms read back the same.
//!
//! Layout: flags u8 · begun · absolute − begun · idle · [epoch · digest 16 · user] · address · agent. Numbers are
//! variable-length (zigzag, LEB128), texts have their length in front.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Millis;

const SIGNED: u8 = 1;
const REMEMBER: u8 = 1 << 1;
/// The user is a UUID, in 16 bytes.
const UUID: u8 = 1 << 2;
/// The address is an IPv4 or IPv6 one, in 4 or 16 bytes; text without either.
const V4: u8 = 1 << 3;
const V6: u8 = 1 << 4;
/// Where the proof stands.
const PROOF: u32 = 5;

/// How a person proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// With their password.
    Password,
    /// By signing up in this very session.
    SignUp,
    /// With a one-time link.
    Link,
    /// An app says so, which may sign people in.
    App,
    /// An app says so, which may not: the session is listed as theirs and ends with theirs, and nobody is signed in.
    Claim,
}

/// Who is signed in, as far as the session knows. Set by `identity` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// User id.
    pub user: String,
    /// The user's session epoch when they signed in; under an older epoch than the current one the session is dead.
    pub epoch: u64,
    /// How they proved it.
    pub proof: Proof,
    /// Digest of the second, host-only cookie that `/account` and `/admin` want to see.
    pub own: [u8; 16],
}

/// What stands beside a session's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `None` in an anonymous session.
    pub signed: Option<Signed>,
    /// When the session began, log time.
    pub begun: Millis,
    /// The moment the session ends whatever happens, log time.
    pub absolute: Millis,
    /// Idle timeout in milliseconds.
    pub idle_ms: i64,
    /// Whether the cookie outlives the browser.
    pub remember: bool,
    /// Where it began: an IP address.
    pub address: String,
    /// What it began in: a short name of the browser or client.
    pub agent: String,
}

impl Facts {
    /// Whether an app began the session: its deadline is the app's affair, and there is no idle timeout of ours.
    pub fn is_apps(&self) -> bool {
        self.idle_ms == 0
    }

    /// The deadline that use of the session at `now` asks for, slack included.
    pub fn slid(&self, now: Millis) -> Millis {
        now.saturating_add(self.idle_ms).saturating_add(slack_ms(self.idle_ms)).min(self.absolute)
    }

    /// Appends the packed form.
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.push(if self.remember { REMEMBER } else { 0 });
        for number in [self.begun, self.absolute.wrapping_sub(self.begun), self.idle_ms] {
            put_number(out, zigzag(number));
        }
        if let Some(signed) = &self.signed {
            out[at] |= SIGNED | (signed.proof as u8) << PROOF;
            put_number(out, signed.epoch);
            out.extend_from_slice(&signed.own);
            match Uuid::try_parse(&signed.user).ok().filter(|id| id.to_string() == signed.user) {
                Some(id) => {
                    out[at] |= UUID;
                    out.extend_from_slice(id.as_bytes());
                }
                None => put_text(out, &signed.user),
            }
        }
        match self.address.parse().ok().filter(|address: &IpAddr| address.to_string() == self.address) {
            Some(IpAddr::V4(v4)) => {
                out[at] |= V4;
                out.extend_from_slice(&v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                out[at] |= V6;
                out.extend_from_slice(&v6.octets());
            }
            None => put_text(out, &self.address),
        }
        put_text(out, &self.agent);
    }
}

/// How far past the idle timeout a deadline is written, so that most touches need no commit: a tenth of the timeout, at
/// most a minute.
fn slack_ms(idle_ms: i64) -> i64 {
    (idle_ms / 10).min(60_000)
}

/// Packed facts, read in place.
#[derive(Clone, Copy)]
pub struct Glance<'a> {
    flags: u8,
    /// As in [`Facts`].
    pub begun: Millis,
    /// As in [`Facts`].
    pub absolute: Millis,
    /// As in [`Facts`].
    pub idle_ms: i64,
    epoch: u64,
    own: &'a [u8],
    user: &'a [u8],
    /// Address and agent.
    rest: &'a [u8],
}

impl<'a> Glance<'a> {
    /// What packed facts begin with; `None` when they are damaged there.
    pub(super) fn of(packed: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = packed.split_first()?;
        let begun = unzigzag(number(&mut rest)?);
        let absolute = begun.wrapping_add(unzigzag(number(&mut rest)?));
        let idle_ms = unzigzag(number(&mut rest)?);
        let (mut epoch, mut own, mut user): (u64, &[u8], &[u8]) = (0, &[], &[]);
        if flags & SIGNED != 0 {
            epoch = number(&mut rest)?;
            own = taken(&mut rest, 16)?;
            user = if flags & UUID != 0 { taken(&mut rest, 16)? } else { text(&mut rest)? };
        }
        Some(Self { flags, begun, absolute, idle_ms, epoch, own, user, rest })
    }

    /// What an entry without facts has: nobody, and over since long ago.
    pub const NONE: Glance<'static> =
        Glance { flags: 0, begun: 0, absolute: 0, idle_ms: 0, epoch: 0, own: &[], user: &[], rest: &[] };

    /// The slack in a deadline that was slid.
    pub fn slack_ms(&self) -> i64 {
        slack_ms(self.idle_ms)
    }

    /// Whether the cookie outlives the browser.
    pub fn remember(&self) -> bool {
        self.flags & REMEMBER != 0
    }

    /// The epoch under which somebody signed in; `None` in an anonymous session.
    pub fn epoch(&self) -> Option<u64> {
        (self.flags & SIGNED != 0).then_some(self.epoch)
    }

    /// Digest of the second cookie; empty in an anonymous session.
    pub fn own(&self) -> &'a [u8] {
        self.own
    }

    /// How whoever signed in proved it.
    pub fn proof(&self) -> Proof {
        match self.flags >> PROOF {
            0 => Proof::Password,
            1 => Proof::SignUp,
            2 => Proof::Link,
            3 => Proof::App,
            _ => Proof::Claim,
        }
    }

    /// Whether an app began the session: its deadline is the app's affair, and there is no idle timeout of ours.
    pub fn is_apps(&self) -> bool {
        self.idle_ms == 0
    }

    /// Who signed in.
    pub fn user(&self) -> Option<UserId<'a>> {
        if self.flags & SIGNED == 0 {
            return None;
        }
        if self.flags & UUID == 0 {
            return std::str::from_utf8(self.user).ok().map(UserId::Text);
        }
        let mut ascii = [0; 36];
        Uuid::from_slice(self.user).ok()?.as_hyphenated().encode_lower(&mut ascii);
        Some(UserId::Uuid(ascii))
    }

    /// Whether use at `now` would move a deadline by more than the slack that is in it already.
    pub fn wants_touch(&self, deadline: Millis, now: Millis) -> bool {
        deadline < self.absolute && now.saturating_add(self.idle_ms) > deadline
    }

    /// All of it.
    pub(super) fn facts(&self) -> Option<Facts> {
        let owned = |text: &[u8]| String::from_utf8(text.to_vec()).ok();
        let mut rest = self.rest;
        let address = match self.flags & (V4 | V6) {
            V4 => Ipv4Addr::from(<[u8; 4]>::try_from(taken(&mut rest, 4)?).ok()?).to_string(),
            V6 => Ipv6Addr::from(<[u8; 16]>::try_from(taken(&mut rest, 16)?).ok()?).to_string(),
            _ => owned(text(&mut rest)?)?,
        };
        let agent = owned(text(&mut rest)?)?;
        let proof = self.proof();
        let signed = match self.user() {
            Some(user) => {
                Some(Signed { user: user.to_string(), epoch: self.epoch, proof, own: self.own.try_into().ok()? })
            }
            None => None,
        };
        let (begun, absolute, idle_ms) = (self.begun, self.absolute, self.idle_ms);
        Some(Facts { signed, begun, absolute, idle_ms, remember: self.remember(), address, agent })
    }
}

/// A user id, read in place.
#[derive(Clone, Copy)]
pub enum UserId<'a> {
    /// Of the usual form, in ASCII.
    Uuid([u8; 36]),
    /// Any other.
    Text(&'a str),
}

impl std::ops::Deref for UserId<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Uuid(ascii) => std::str::from_utf8(ascii).unwrap_or_default(),
            Self::Text(text) => text,
        }
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    taken(rest, length)
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: &str = "0199a1b2-c3d4-7abc-8abc-0123456789ab";

    fn packed(facts: &Facts) -> Vec<u8> {
        let mut out = Vec::new();
        facts.pack(&mut out);
        out
    }

    fn read(packed: &[u8]) -> Option<Facts> {
        Glance::of(packed)?.facts()
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let user = prop_oneof![Just(USER.to_owned()), Just(USER.to_uppercase()), ".{0,60}"];
        let proof = prop_oneof![
            Just(Proof::Password),
            Just(Proof::SignUp),
            Just(Proof::Link),
            Just(Proof::App),
            Just(Proof::Claim)
        ];
        let signed = (user, any::<u64>(), proof, any::<[u8; 16]>()).prop_map(|(user, epoch, proof, own)| Signed {
            user,
            epoch,
            proof,
            own,
        });
        let address = prop_oneof![
            any::<[u8; 4]>().prop_map(|a| IpAddr::from(a).to_string()),
            any::<[u8; 16]>().prop_map(|a| IpAddr::from(a).to_string()),
            Just("::FFFF:1.2.3.4".to_owned()),
            ".{0,40}"
        ];
        let numbers = (any::<i64>(), any::<i64>(), any::<i64>());
        (proptest::option::of(signed), numbers, any::<bool>(), address, ".{0,40}").prop_map(
            |(signed, (begun, absolute, idle_ms), remember, address, agent)| Facts {
                signed,
                begun,
                absolute,
                idle_ms,
                remember,
                address,
                agent,
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_is_packed_is_read_back(facts in facts()) {
            let packed = packed(&facts);
            prop_assert_eq!(read(&packed), Some(facts.clone()));
            let glance = Glance::of(&packed).expect("it was packed");
            prop_assert_eq!(glance.user().map(|u| u.to_string()), facts.signed.as_ref().map(|s| s.user.clone()));
            prop_assert_eq!(glance.epoch(), facts.signed.as_ref().map(|s| s.epoch));
        }

        #[test]
        fn facts_that_were_cut_short_are_refused(facts in facts(), cut in 1_usize..20) {
            let packed = packed(&facts);
            let short = &packed[..packed.len().saturating_sub(cut)];
            prop_assert_eq!(read(short), None);
        }
    }

    #[test]
    fn facts_of_the_usual_form_are_small() {
        let signed = Signed { user: USER.into(), epoch: 3, proof: Proof::Link, own: [9; 16] };
        let usual = Facts {
            signed: Some(signed),
            begun: 1_790_000_000_000,
            absolute: 1_790_000_000_000 + 86_400_000,
            idle_ms: 3_600_000,
            remember: false,
            address: "203.0.113.7".into(),
            agent: "Firefox on Linux".into(),
        };
        assert_eq!(packed(&usual).len(), 69);
        assert_eq!(packed(&Facts { signed: None, ..usual }).len(), 36);
    }
}
