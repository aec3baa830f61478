//! Problem: what an error looks like from outside.
//!
//! One shape for all of them, written as `application/problem+json` (RFC 9457) for programs and as a page for people.
//! Our own faults carry a request id that the log has too, and nothing else.

use std::borrow::Cow;

use hyper::StatusCode;

/// What went wrong, for whoever sent the request.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    /// A sentence for people.
    pub detail: Cow<'static, str>,
    /// Which field to change, on 422.
    pub field: Option<&'static str>,
    /// When to come back, on 429 and 503.
    pub retry_after_secs: Option<u64>,
    /// What to quote to the operator, on 500.
    pub request_id: Option<String>,
}
