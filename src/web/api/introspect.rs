//! Introspect: what an app is told about a token that it was shown (RFC 7662).

use hyper::StatusCode;
use hyper::header;

use super::body::{IntrospectBody, IntrospectedBody};
use crate::error::{Error, Result};
use crate::web::problem::ProblemBody;
use crate::web::{Door, Problem, Reply, Request, credentials, reply};

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
    let Some((name, password)) = credentials::basic(request) else { return Ok(unknown()) };
    let told = door.identity.introspect((&name, &password), form.secret("token"), &request.client()).await;
    match told {
        Err(Error::Credentials) => Ok(unknown()),
        _ if form.secret("token").is_empty() => Err(Error::Malformed("Say which `token` it is about.".into())),
        told => reply::json(StatusCode::OK, &told?.as_ref().map_or(IntrospectedBody::INACTIVE, IntrospectedBody::of)),
    }
}

fn unknown() -> Reply {
    let mut reply = Problem::new(StatusCode::UNAUTHORIZED, "The app's name or password is wrong.").to_json();
    reply.headers_mut().insert(header::WWW_AUTHENTICATE, credentials::BASIC);
    reply
}
