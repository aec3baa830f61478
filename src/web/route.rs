//! Route: the table that says which function answers which method and path.
//!
//! Paths are exact, or have `{name}` segments. They are percent-decoded once and then compared; whatever two readers
//! could take for different paths (an encoded slash, dot segments, empty segments) is no path of ours. `HEAD` follows
//! `GET`, `OPTIONS` is answered from the table.

use std::pin::Pin;

use hyper::Method;

use super::{Door, Reply, Request};
use crate::error::Result;

/// What a route's function gives.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply>> + Send + 'a>>;

/// A route's function: `|door, request| Box::pin(login::show(door, request))`.
pub type Function = for<'a> fn(&'a Door, &'a Request) -> Answer<'a>;

/// Whom a route speaks to, which decides what its errors look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// People: HTML to whoever accepts it. `NotSignedIn` leads to the sign-in page.
    Page,
    /// Programs: `application/problem+json`.
    Json,
}

/// Which bodies a route reads. Anything else is 415 before the function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None that matters: an empty one, or JSON that is ignored.
    Nothing,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// Either of the two above.
    JsonOrForm,
    /// `application/merge-patch+json` (RFC 7396) or `application/json`.
    MergePatch,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub kind: Kind,
    pub takes: Takes,
    pub function: Function,
}

impl Route {
    /// A route for people. `POST` takes a form.
    pub fn page(method: Method, path: &'static str, function: Function) -> Self {
        let takes = if method == Method::POST { Takes::Form } else { Takes::Nothing };
        Self { method, path, kind: Kind::Page, takes, function }
    }

    /// A route for programs.
    pub fn json(method: Method, path: &'static str, takes: Takes, function: Function) -> Self {
        Self { method, path, kind: Kind::Json, takes, function }
    }
}
