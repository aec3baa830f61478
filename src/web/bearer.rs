//! Bearer: who asks by a personal access token, in `Authorization: Bearer` (RFC 6750).
//!
//! A token outranks cookies: a program that sends one means it, and one that is good no more is refused, not passed
//! over. No page of another site can send this header here, since no answer of ours allows it to: what a token decides
//! needs no rule about where it comes from.

use std::sync::Arc;

use hyper::header::{self, HeaderValue};

use super::{Door, Request};
use crate::error::{Error, Result};
use crate::identity::{Scopes, TOKEN_PREFIX as PREFIX, User};

/// What a refused token is told, beside 401 (RFC 6750, section 3).
pub(super) static CHALLENGE: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"sojourn\", error=\"invalid_token\"");

const SCHEME: &[u8] = b"bearer";

/// Whether a token was sent, good or not.
pub fn is_sent(request: &Request) -> bool {
    request.headers.get_all(header::AUTHORIZATION).iter().any(|value| after_scheme(value.as_bytes()).is_some())
}

/// Whether a token of ours was sent, good or not: others are the affair of a service that they are on their way to.
pub fn is_ours(request: &Request) -> bool {
    let sent = request.headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| after_scheme(value.as_bytes()));
    sent.into_iter().any(|token| token.starts_with(PREFIX.as_bytes()))
}

/// The first token that was sent, good or not.
pub fn sent(request: &Request) -> Option<&str> {
    let token = after_scheme(request.headers.get(header::AUTHORIZATION)?.as_bytes())?;
    std::str::from_utf8(token).ok()
}

/// Whom the token that was sent speaks for; `None` when none was, and cookies decide.
///
/// # Errors
/// `Token` when it is not good; `Forbidden` when it is not good for `scope`; `Malformed` when several were sent.
pub async fn user(door: &Door, request: &Request, scope: Scopes) -> Result<Option<Arc<User>>> {
    let mut all = request.headers.get_all(header::AUTHORIZATION).iter();
    if all.next().is_some() && all.next().is_some() {
        return Err(Error::Malformed("Send one Authorization header.".into()));
    }
    if !is_sent(request) {
        return Ok(None);
    }
    let token = sent(request).ok_or(Error::Token)?;
    let (user, scopes) = door.identity.bearer(token).await?.ok_or(Error::Token)?;
    if scopes.has(scope) {
        return Ok(Some(user));
    }
    let wanted = scope.names().collect::<Vec<_>>().join(" ");
    Err(Error::Forbidden(format!("This takes a token of the scope {wanted}.")))
}

/// The credentials of a header of our scheme; schemes are compared in any letter case (RFC 9110, section 11.1).
fn after_scheme(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    let ours = scheme.eq_ignore_ascii_case(SCHEME) && rest.first() == Some(&b' ');
    ours.then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::{plain, with};
    use super::*;

    #[test]
    fn a_token_is_told_from_other_schemes() {
        let sent = |value| is_sent(&with(plain(), header::AUTHORIZATION, value));
        assert!(sent("Bearer sjt_x") && sent("bearer  x") && sent("BEARER x"));
        assert!(!sent("Basic eA==") && !sent("Bearerx y") && !sent("Bearer") && !sent("") && !is_sent(&plain()));
    }
}
