//! Request: one HTTP request, read whole and bounded, with what the accept loop knows of its sender.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

use super::Settings;
use super::form::Form;
use crate::error::Result;
use crate::identity::{Client, Cookies};

/// The longest body that is read, bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// How much of a `User-Agent` is kept, bytes.
const AGENT_MAX: usize = 256;

/// A request as routes see it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// As sent, still percent-encoded.
    pub path: String,
    /// Without the question mark; empty without one.
    pub query: String,
    pub headers: HeaderMap,
    /// At most [`BODY_MAX`] bytes; empty unless the method changes something.
    pub body: Bytes,
    /// The peer's address, or the one a trusted proxy vouches for.
    pub address: IpAddr,
    /// Whether the person's side of the connection is TLS (ours, or a trusted proxy's).
    pub https: bool,
    /// The `{name}` segments of the route, decoded.
    pub params: Vec<(&'static str, String)>,
}

impl Request {
    /// Who is asking.
    pub fn client(&self) -> Client {
        todo!()
    }
    /// The segment that the route calls `{name}`; empty when it has none.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }
    /// A header's only value; `None` when it is absent, doubled or not ASCII.
    pub fn header(&self, _name: HeaderName) -> Option<&str> {
        todo!()
    }
    /// The cookies that concern us.
    pub fn cookies(&self, _settings: &Settings) -> Cookies<'_> {
        todo!()
    }
    /// Whether the sender would rather see a page.
    pub fn wants_html(&self) -> bool {
        todo!()
    }
    /// The fields of a form.
    ///
    /// # Errors
    /// `Malformed` when a field comes twice, is not UTF-8 or not properly encoded.
    pub fn form(&self) -> Result<Form> {
        todo!()
    }
    /// The fields of the query string.
    ///
    /// # Errors
    /// As [`form`](Self::form).
    pub fn queries(&self) -> Result<Form> {
        todo!()
    }
    /// The body, as JSON or (where the route takes one) as a form.
    ///
    /// # Errors
    /// `Malformed`, naming the field where there is one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        todo!()
    }
}
