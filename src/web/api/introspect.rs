//! Introspect: what an app is told about a token that it was shown (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::body::{IntrospectBody, IntrospectedBody};
use crate::error::{Error, Result};
use crate::web::problem::ProblemBody;
use crate::web::{Door, Problem, Reply, Request, reply};

const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"sojourn\", charset=\"UTF-8\"");

/// Whether a personal access token or the value of a session cookie is good, and whose it is (RFC 7662). For apps, by
/// their name and password.
#[utoipa::path(post, path = "/oauth/introspect", tag = "token", operation_id = "introspect", security(("app" = [])),
    request_body(content = IntrospectBody, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "what it stands for; `active` alone when that is nothing", body = IntrospectedBody),
        (status = 400, description = "`token` is missing", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "the app's name or password is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "wrong too often", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn introspect(door: &Door, request: &Request) -> Result<Reply> {
    let form = request.form()?;
    let Some((name, password)) = credentials(request) else { return Ok(unknown()) };
    let told = door.identity.introspect((&name, &password), form.secret("token"), &request.client()).await;
    match told {
        Err(Error::Credentials) => Ok(unknown()),
        _ if form.secret("token").is_empty() => Err(Error::Malformed("Say which `token` it is about.".into())),
        told => reply::json(StatusCode::OK, &told?.as_ref().map_or(IntrospectedBody::INACTIVE, IntrospectedBody::of)),
    }
}

fn unknown() -> Reply {
    let mut reply = Problem::new(StatusCode::UNAUTHORIZED, "The app's name or password is wrong.").to_json();
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    reply
}

/// Name and password of HTTP Basic (RFC 7617).
fn credentials(request: &Request) -> Option<(String, String)> {
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
    use super::super::super::request::tests::{plain, with};
    use super::*;

    #[test]
    fn credentials_are_read_from_basic_alone() {
        let read = |value: &str| credentials(&with(plain(), header::AUTHORIZATION, value));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&basic("shop:a:b")), Some(("shop".into(), "a:b".into())));
        assert_eq!(read(&basic("shop:").replace("Basic", "bAsIc")), Some(("shop".into(), String::new())));
        for none in [basic("shop"), "Basic %%%".into(), "Basic".into(), "Bearer eDp5".into(), String::new()] {
            assert_eq!(read(&none), None, "{none}");
        }
        assert_eq!(credentials(&plain()), None);
    }
}
