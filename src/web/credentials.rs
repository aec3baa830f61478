//! Credentials: who asks without a cookie: an app by name and password (`Basic`), or a program by token (`bearer`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header;

use super::{Door, Request, bearer};
use crate::error::{Error, Result};
use crate::identity::Scopes;

/// Lets an app pass, or whoever administers.
///
/// # Errors
/// `Credentials`, `Token` when theirs are wrong; `NotSignedIn` without any; `Forbidden` of a token of another scope;
/// `TooMany`.
pub async fn app_or_admin(door: &Door, request: &Request) -> Result<()> {
    if let Some((name, password)) = basic(request) {
        return door.identity.admit_app((&name, &password), &request.client()).await;
    }
    bearer::user(door, request, Scopes::ADMIN).await?.map(|_| ()).ok_or(Error::NotSignedIn)
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
