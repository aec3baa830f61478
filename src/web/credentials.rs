//! Credentials: who asks without a cookie: an app by name and password (`Basic`), or a program by token (`bearer`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderValue};

use super::{Door, Request, bearer};
use crate::error::{Error, Result};
use crate::identity::apps::{PasswordDigest, digest};
use crate::identity::{Identity, Scopes};

/// How an app says who it is, on 401.
pub const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"sojourn\", charset=\"UTF-8\"");

/// Who was let in, to be asked again while they stay.
pub enum Admitted {
    App { name: String, digest: PasswordDigest },
    Admin { token: String },
}

impl Admitted {
    /// Lets an app pass, or whoever administers.
    ///
    /// # Errors
    /// `Credentials`, `Token` when theirs are wrong; `NotSignedIn` without any; `Forbidden` of a token of another scope;
    /// `TooMany`.
    pub async fn of(door: &Door, request: &Request) -> Result<Self> {
        if let Some((name, password)) = basic(request) {
            door.identity.admit_app((&name, &password), &request.client()).await?;
            return Ok(Self::App { name, digest: digest(password.as_bytes()) });
        }
        bearer::user(door, request, Scopes::ADMIN).await?.ok_or(Error::NotSignedIn)?;
        let token = bearer::sent(request).ok_or(Error::NotSignedIn)?.to_owned();
        Ok(Self::Admin { token })
    }

    /// Whether they would be let in again, as far as this node may say.
    ///
    /// # Errors
    /// `NotDone` when it may not.
    pub async fn is_welcome(&self, identity: &Identity) -> Result<bool> {
        identity.ready().await?;
        match self {
            Self::App { name, digest } => Ok(identity.app_by_digest(name, digest).is_some()),
            Self::Admin { token } => {
                Ok(identity.bearer(token).await?.is_some_and(|(_, scopes)| scopes.has(Scopes::ADMIN)))
            }
        }
    }
}

/// Name and password of `Authorization: Basic` (RFC 7617).
pub fn basic(request: &Request) -> Option<(String, String)> {
    let (scheme, encoded) = request.header(header::AUTHORIZATION)?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::{plain, with};
    use super::*;

    #[test]
    fn credentials_are_read_from_basic_alone() {
        let read = |value: &str| basic(&with(plain(), header::AUTHORIZATION, value));
        let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&encoded("shop:a:b")), Some(("shop".into(), "a:b".into())));
        assert_eq!(read(&encoded("shop:").replace("Basic", "bAsIc")), Some(("shop".into(), String::new())));
        for none in [encoded("shop"), "Basic %%%".into(), "Basic".into(), "Bearer eDp5".into(), String::new()] {
            assert_eq!(read(&none), None, "{none}");
        }
        assert_eq!(basic(&plain()), None);
    }
}
