//! Request: one HTTP request, read whole and bounded, with what the accept loop knows of its sender.

use bytes::Bytes;
use hyper::{HeaderMap, Method};

use crate::identity::Client;

/// A request as handlers see it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// As sent, still percent-encoded.
    pub path: String,
    /// Without the question mark; empty without one.
    pub query: String,
    pub headers: HeaderMap,
    /// At most `limits::BODY_MAX` bytes.
    pub body: Bytes,
    pub client: Client,
    /// Whether the person's side of the connection is TLS (ours, or a trusted proxy's).
    pub https: bool,
}
