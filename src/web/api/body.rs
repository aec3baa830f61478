//! Body: what the JSON API takes and gives, as structs. Times are RFC 3339 in UTC, durations are seconds.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::clock::Millis;
use crate::identity::{Listed, Session, User};

// Structs that hold a password have no `Debug`, so that none can reach a log.

/// What makes an account.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SignUpBody {
    #[schema(example = "ada@example.com", required = true)]
    pub email: String,
    /// 8 code points or more, unless the operator asks for more; no common one.
    #[schema(format = Password, required = true)]
    pub password: String,
    pub first_name: String,
    pub last_name: String,
}

/// What signs in.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SignInBody {
    #[schema(example = "ada@example.com", required = true)]
    pub email: String,
    #[schema(format = Password, required = true)]
    pub password: String,
    /// Whether the session outlives the browser.
    pub remember: bool,
}

/// What changes a password.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct PasswordBody {
    #[schema(format = Password, required = true)]
    pub current_password: String,
    #[schema(format = Password, required = true)]
    pub new_password: String,
}

/// An account.
#[derive(Serialize, ToSchema)]
pub struct UserBody<'a> {
    pub id: &'a str,
    pub email: &'a str,
    pub first_name: &'a str,
    pub last_name: &'a str,
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// An account and what it belongs to.
#[derive(Serialize, ToSchema)]
pub struct ProfileBody<'a> {
    pub id: &'a str,
    pub email: &'a str,
    pub first_name: &'a str,
    pub last_name: &'a str,
    pub groups: &'a [String],
    #[schema(format = DateTime)]
    pub created_at: String,
}

/// An account that was just made.
#[derive(Serialize, ToSchema)]
pub struct SignedUpBody<'a> {
    /// Always `new user created!`.
    pub message: &'static str,
    pub user: UserBody<'a>,
}

/// A session that was just begun. Its cookie is in `Set-Cookie`.
#[derive(Serialize, ToSchema)]
pub struct SignedInBody<'a> {
    pub user: UserBody<'a>,
    pub session: BegunBody,
}

/// A session by name.
#[derive(Serialize, ToSchema)]
pub struct BegunBody {
    /// The handle of the session, which is not the session id.
    pub id: String,
    /// Seconds until the session ends if nobody uses it.
    pub expires_in: i64,
}

/// The session of whoever asks.
#[derive(Serialize, ToSchema)]
pub struct SessionBody<'a> {
    /// The handle of the session, which is not the session id.
    pub id: String,
    /// Whether somebody is signed in.
    pub authenticated: bool,
    /// Seconds until the session ends if nobody uses it.
    pub expires_in: i64,
    /// Who is signed in.
    #[schema(required = true)]
    pub user: Option<UserBody<'a>>,
    /// What applications keep in the session.
    #[schema(value_type = Object)]
    pub data: Map<String, Value>,
}

/// One of the sessions of whoever asks.
#[derive(Serialize, ToSchema)]
pub struct ListedBody<'a> {
    pub handle: &'a str,
    #[schema(format = DateTime)]
    pub begun: String,
    /// When it ends if nobody uses it.
    #[schema(format = DateTime)]
    pub expires: String,
    /// The IP address that it was begun from.
    pub address: &'a str,
    /// The browser or program that it was begun in.
    pub agent: &'a str,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub struct EndedBody {
    pub ended: u64,
}

impl<'a> UserBody<'a> {
    pub fn of(user: &'a User) -> Self {
        let User { id, email, first_name, last_name, created_at, .. } = user;
        Self { id, email, first_name, last_name, created_at: rfc3339(*created_at) }
    }
}

impl<'a> ProfileBody<'a> {
    pub fn of(user: &'a User) -> Self {
        let User { id, email, first_name, last_name, groups, created_at, .. } = user;
        Self { id, email, first_name, last_name, groups, created_at: rfc3339(*created_at) }
    }
}

impl<'a> SessionBody<'a> {
    pub fn of(session: &Session, user: Option<&'a User>, now: Millis) -> Self {
        Self {
            id: session.handle(),
            authenticated: user.is_some(),
            expires_in: session.expires_in(now),
            user: user.map(UserBody::of),
            data: session.data(),
        }
    }
}

impl<'a> ListedBody<'a> {
    pub fn of(listed: &'a Listed) -> Self {
        let Listed { handle, begun, expires, address, agent, current } = listed;
        Self { handle, begun: rfc3339(*begun), expires: rfc3339(*expires), address, agent, current: *current }
    }
}

/// A moment as RFC 3339 has it, with milliseconds; beyond the year 9999 the last one that it can say.
pub fn rfc3339(at: Millis) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or(if at < 0 { Timestamp::MIN } else { Timestamp::MAX });
    let mut out = String::with_capacity(28);
    // writing to a String never fails
    let _ = PRINTER.print_timestamp(&at, &mut out);
    out
}

/// Three digits after the second, always.
const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_whatever_the_number() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_763_692_620_050), "2025-11-21T02:37:00.050Z");
        assert!(rfc3339(Millis::MAX).starts_with("9999-12-3"));
        assert!(rfc3339(Millis::MIN).ends_with('Z'));
    }
}
