//! Session: the session of whoever asks, and all the others of the same person.
//!
//! The first takes the session cookie alone, as any app on the domain has it. The others are the person's own business,
//! like the account page, and take the second, host-only cookie too: both come with every sign-in, so a program that
//! keeps its cookies does not notice. Or a token of the scope `sessions`, which has no session of its own.

use hyper::StatusCode;

use super::body::{EndedBody, ListedBody, SessionBody};
use crate::error::{Error, Result};
use crate::identity::Scopes;
use crate::web::problem::ProblemBody;
use crate::web::{Door, Reply, Request, bearer, reply};

/// The session that the cookie names. Looking creates none.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", operation_id = "getSession", security(("session" = [])), responses(
    (status = 200, description = "the session", body = SessionBody),
    (status = 401, description = "no session", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    let session = visitor.session.as_ref().ok_or(Error::NotSignedIn)?;
    reply::json(StatusCode::OK, &SessionBody::of(session, visitor.user.as_deref(), door.identity.now()))
}

/// Merges an object into what applications keep in the session (RFC 7396: `null` removes a member), atomically.
/// Begins an anonymous session when there is none.
#[utoipa::path(patch, path = "/api/v1/session", tag = "session", operation_id = "patchSession", security(("session" = [])),
    request_body(description = "members to set; `null` removes one", content(
        (serde_json::Map<String, serde_json::Value> = "application/merge-patch+json"),
        (serde_json::Map<String, serde_json::Value> = "application/json"),
    )),
    responses(
        (status = 200, description = "the session as it is now", body = SessionBody),
        (status = 400, description = "the body is no JSON object", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "the session ended meanwhile", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "a reserved member, or too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many anonymous sessions from this address", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "full, or not done", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn patch(door: &Door, request: &Request) -> Result<Reply> {
    let members = request.object()?;
    let visitor = door.visitor(request).await?;
    let granted = door.identity.patch(&visitor, members, &request.client()).await?;
    let body = SessionBody::of(&granted.session, visitor.user.as_deref(), door.identity.now());
    reply::grant(reply::json(StatusCode::OK, &body)?, &door.settings, &granted)
}

/// All live sessions of whoever asks, newest first.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", operation_id = "listSessions", security(("session" = [], "own" = []), ("token" = ["sessions"])), responses(
    (status = 200, description = "the sessions", body = Vec<ListedBody>),
    (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the second cookie was not sent, or the token is of another scope", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(door: &Door, request: &Request) -> Result<Reply> {
    let sessions = match bearer::user(door, request, Scopes::SESSIONS).await? {
        Some(user) => door.identity.sessions_of(&user),
        None => door.identity.sessions(&door.visitor(request).await?).await?,
    };
    reply::json(StatusCode::OK, &sessions.iter().map(ListedBody::of).collect::<Vec<_>>())
}

/// Ends one of the sessions of whoever asks.
#[utoipa::path(delete, path = "/api/v1/sessions/{handle}", tag = "session", operation_id = "endSession", security(("session" = [], "own" = []), ("token" = ["sessions"])),
    params(("handle" = String, Path, description = "as listed; not the session id")),
    responses(
        (status = 204, description = "ended"),
        (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the second cookie was not sent, or the token is of another scope", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such session of yours", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn end(door: &Door, request: &Request) -> Result<Reply> {
    let handle = request.param("handle");
    if let Some(user) = bearer::user(door, request, Scopes::SESSIONS).await? {
        return door.identity.end_session_of(&user, handle).await.map(|()| reply::no_content());
    }
    let visitor = door.visitor(request).await?;
    door.identity.end_session(&visitor, handle).await?;
    let mine = visitor.session.is_some_and(|session| session.handle() == handle);
    if mine { reply::forget(reply::no_content(), &door.settings) } else { Ok(reply::no_content()) }
}

/// Ends all sessions of whoever asks but the one that asks; asked by a token, all.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "session", operation_id = "endOtherSessions", security(("session" = [], "own" = []), ("token" = ["sessions"])),
    params(("others" = bool, Query, description = "must be `true`, so that nobody ends them all by leaving out a handle")),
    responses(
        (status = 200, description = "how many were ended", body = EndedBody),
        (status = 400, description = "`others=true` is missing", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the second cookie was not sent, or the token is of another scope", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn end_others(door: &Door, request: &Request) -> Result<Reply> {
    if request.queries()?.text("others")? != "true" {
        return Err(Error::Malformed("Say `?others=true`, or name a session by its handle.".to_owned()));
    }
    let ended = match bearer::user(door, request, Scopes::SESSIONS).await? {
        Some(user) => door.identity.end_sessions_of(&user).await?,
        None => door.identity.end_others(&door.visitor(request).await?).await?,
    };
    reply::json(StatusCode::OK, &EndedBody { ended })
}
