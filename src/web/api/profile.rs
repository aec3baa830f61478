//! Profile: who is signed in, and the change of a password. `GET /profile` is what services ask most.

use hyper::StatusCode;

use super::body::{PasswordBody, ProfileBody};
use crate::error::{Error, Result};
use crate::identity::Scopes;
use crate::web::problem::ProblemBody;
use crate::web::{Door, Reply, Request, bearer, reply};

/// Who is signed in.
#[utoipa::path(get, path = "/profile", tag = "account", operation_id = "getProfile", security(("session" = []), ("token" = ["profile"])), responses(
    (status = 200, description = "signed in", body = ProfileBody),
    (status = 401, description = "not signed in, or the token is not good", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the token is of another scope", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn profile(door: &Door, request: &Request) -> Result<Reply> {
    let user = match bearer::user(door, request, Scopes::PROFILE).await? {
        Some(user) => user,
        None => door.visitor(request).await?.whoever().cloned().ok_or(Error::NotSignedIn)?,
    };
    // made once for each row of a user in memory: this is what every service asks on every request
    let body = user.shown.get(|| reply::encoded(&ProfileBody::of(&user)))?;
    Ok(reply::ready(StatusCode::OK, body))
}

/// Who is signed in; the same as `/profile`.
#[utoipa::path(get, path = "/api/v1/profile", tag = "account", operation_id = "getProfileV1", security(("session" = []), ("token" = ["profile"])), responses(
    (status = 200, description = "signed in", body = ProfileBody),
    (status = 401, description = "not signed in, or the token is not good", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the token is of another scope", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn profile_v1(door: &Door, request: &Request) -> Result<Reply> {
    profile(door, request).await
}

/// Changes the password of whoever asks, and ends all their other sessions.
#[utoipa::path(post, path = "/api/v1/password", tag = "account", operation_id = "changePassword", security(("session" = [], "own" = [])), request_body = PasswordBody, responses(
    (status = 204, description = "changed"),
    (status = 400, description = "the body cannot be read", body = ProblemBody, content_type = "application/problem+json"),
    (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the current password is wrong, or the second cookie was not sent", body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "the password was changed by somebody else meanwhile", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, description = "the new password will not do", body = ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "too many tries", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn password(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    visitor.owner()?;
    let PasswordBody { current_password, new_password } = request.read()?;
    door.identity.change_password(&visitor, &current_password, &new_password, &request.client()).await?;
    Ok(reply::no_content())
}
