//! Own writes: whoever wrote something on one node reads it on the next one.
//!
//! A reply to a request that may have changed something sets a cookie that lives a little longer than any node may be
//! behind. A node that is shown it asks the leader how far it has to be before it reads anything. It holds no value:
//! a forged one costs its sender a moment, and nobody else.

use hyper::StatusCode;

use super::{Door, Reply, Request, origin, reply};
use crate::planted::{self, Bug};

/// Whether the sender wrote something a moment ago, perhaps on another node.
pub fn is_marked(door: &Door, request: &Request) -> bool {
    !planted::has(Bug::IgnoreOwnWrites) && !door.identity.is_alone() && request.has_cookie(door.settings.marker)
}

/// The reply, with the cookie if the request may have changed something.
pub fn mark(door: &Door, request: &Request, reply: Reply) -> Reply {
    let may_have = reply.status().is_success() || reply.status().is_redirection() || reply.status() == UNKNOWN;
    if !origin::changes(&request.method) || !may_have || door.identity.is_alone() {
        return reply;
    }
    reply::mark(reply, &door.settings)
}

/// What is answered when nobody knows whether something was done.
const UNKNOWN: StatusCode = StatusCode::GATEWAY_TIMEOUT;
