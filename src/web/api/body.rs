//! Body: what the JSON API takes and gives, as structs. Times are RFC 3339 in UTC, durations are seconds.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::clock::Millis;
use crate::identity::{Introspected, IssuedToken, Listed, Session, Token, User};

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

/// What makes a token.
#[derive(Deserialize, ToSchema)]
#[serde(default)]
pub struct NewTokenBody {
    /// What its owner knows it by.
    #[schema(example = "laptop", required = true)]
    pub name: String,
    /// Of `profile`, `sessions` and, for admins, `admin`.
    #[schema(example = json!(["profile"]))]
    pub scopes: Vec<String>,
    /// Seconds that it is good; without, until it is ended.
    pub expires_in: Option<i64>,
}

impl Default for NewTokenBody {
    fn default() -> Self {
        Self { name: String::new(), scopes: vec!["profile".to_owned()], expires_in: None }
    }
}

/// A token, without the token itself.
#[derive(Serialize, ToSchema)]
pub struct TokenBody<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub scopes: Vec<&'static str>,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The day (UTC) on which it was used last.
    #[schema(format = Date, required = true)]
    pub last_used: Option<String>,
    #[schema(format = DateTime, required = true)]
    pub expires_at: Option<String>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct IssuedTokenBody<'a> {
    /// The token: shown here, and never again.
    #[schema(example = "sjt_…")]
    pub token: &'a str,
    #[serde(flatten)]
    pub known_as: TokenBody<'a>,
}

/// A token that an app was shown.
#[derive(ToSchema)]
pub struct IntrospectBody {
    /// A personal access token, or the value of the session cookie.
    pub token: String,
    /// Is not needed, and not looked at.
    pub token_type_hint: Option<String>,
}

/// What a token stands for (RFC 7662).
#[derive(Default, Serialize, ToSchema)]
pub struct IntrospectedBody<'a> {
    pub active: bool,
    /// The id of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<&'a str>,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<&'a str>,
    /// The scopes of a token, with blanks between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// When it ends, seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// When it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// `Bearer`, or `session`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<&'static str>,
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

impl<'a> TokenBody<'a> {
    pub fn of(token: &'a Token) -> Self {
        Self {
            id: &token.id,
            name: &token.name,
            scopes: token.scopes.names().collect(),
            created_at: rfc3339(token.created_at),
            last_used: token.last_used.map(|day| rfc3339(day)[..10].to_owned()),
            expires_at: token.expires_at.map(rfc3339),
        }
    }
}

impl<'a> IssuedTokenBody<'a> {
    pub fn of(issued: &'a IssuedToken) -> Self {
        Self { token: &issued.secret, known_as: TokenBody::of(&issued.token) }
    }
}

impl<'a> IntrospectedBody<'a> {
    /// Of what stands for nothing.
    pub const INACTIVE: Self =
        Self { active: false, sub: None, username: None, scope: None, exp: None, iat: None, token_type: None };

    pub fn of(told: &'a Introspected) -> Self {
        Self {
            active: true,
            sub: Some(&told.user.id),
            username: Some(&told.user.email),
            scope: told.scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" ")),
            exp: told.expires.map(|at| at.div_euclid(1_000)),
            iat: Some(told.begun.div_euclid(1_000)),
            token_type: Some(if told.scopes.is_some() { "Bearer" } else { "session" }),
        }
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
