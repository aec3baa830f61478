//! Health: what machines ask. Alive is not the same as ready: a node that cannot reach a leader is alive, must not be
//! restarted for it, and must get no traffic.

use hyper::StatusCode;

use super::problem::ProblemBody;
use super::{Door, Reply, Request, reply};
use crate::error::Result;

/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "isAlive", responses((status = 200, description = "alive", body = String)))]
pub async fn healthz(_door: &Door, _request: &Request) -> Result<Reply> {
    Ok(reply::text(StatusCode::OK, "ok"))
}

/// Answers 200 when this node may answer for the cluster: fresh, and a leader is known.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "isReady", responses(
    (status = 200, description = "ready", body = String),
    (status = 503, description = "not ready; `detail` says why", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn readyz(door: &Door, _request: &Request) -> Result<Reply> {
    door.identity.ready().await?;
    Ok(reply::text(StatusCode::OK, "ready"))
}
