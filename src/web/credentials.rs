//! Credentials: who asks without a cookie: an app by name and password (`Basic`), a person's program by token
//! (`Bearer`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header;

use super::{Door, Request};
use crate::error::{Error, Result};

/// Lets an app pass, or whoever administers.
///
/// # Errors
/// `NotSignedIn`; `Forbidden`.
pub async fn app_or_admin(door: &Door, request: &Request) -> Result<()> {
    if let Some((name, password)) = basic(request)
        && door.identity.app(&name, password.as_bytes()).is_some()
    {
        return Ok(());
    }
    Err(Error::NotSignedIn)
}

/// Name and password of `Authorization: Basic` (RFC 7617).
pub fn basic(request: &Request) -> Option<(String, String)> {
    let encoded = credential(request, "basic")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// What follows a scheme, in any letter case.
fn credential<'r>(request: &'r Request, scheme: &str) -> Option<&'r str> {
    let (given, rest) = request.header(header::AUTHORIZATION)?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}
