//! Tokens: personal access tokens, made and ended by whoever they speak for.
//!
//! Like everything about the account as a whole these take the second cookie; a token makes no tokens and ends none.

use hyper::StatusCode;

use super::body::{IssuedTokenBody, NewTokenBody, TokenBody};
use crate::error::Result;
use crate::identity::WantedToken;
use crate::web::problem::ProblemBody;
use crate::web::{Door, Reply, Request, reply};

/// All tokens of whoever asks, the oldest first. Never the tokens themselves.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "token", operation_id = "listTokens", security(("session" = [], "own" = [])), responses(
    (status = 200, description = "the tokens", body = Vec<TokenBody>),
    (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, description = "the second cookie was not sent", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn list(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    let tokens = door.identity.tokens(&visitor).await?;
    reply::json(StatusCode::OK, &tokens.iter().map(TokenBody::of).collect::<Vec<_>>())
}

/// Makes a token. It is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "token", operation_id = "addToken", security(("session" = [], "own" = [])),
    request_body = NewTokenBody,
    responses(
        (status = 201, description = "made", body = IssuedTokenBody),
        (status = 400, description = "the body cannot be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "the second cookie was not sent", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "there are as many as an account may have", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "the name, a scope or the time will not do", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn add(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    visitor.owner()?;
    let NewTokenBody { name, scopes, expires_in } = request.read()?;
    let lifetime_ms = expires_in.map(|secs| secs.saturating_mul(1_000));
    let issued = door.identity.add_token(&visitor, WantedToken { name, scopes, lifetime_ms }).await?;
    reply::json(StatusCode::CREATED, &IssuedTokenBody::of(&issued))
}

/// Ends one of the tokens of whoever asks.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "token", operation_id = "endToken", security(("session" = [], "own" = [])),
    params(("id" = String, Path, description = "as listed; not the token")),
    responses(
        (status = 204, description = "ended"),
        (status = 401, description = "not signed in", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "the second cookie was not sent", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no such token of yours", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn end(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    door.identity.end_token(&visitor, request.param("id")).await?;
    Ok(reply::no_content())
}
