//! Sign-in page: the form, and what it says when the pair was wrong.

use serde::Serialize;

use super::frame::Frame;
use super::{Trouble, next, render};
use crate::error::Result;
use crate::identity::Visitor;

/// What the form holds. Never the password.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SignInForm {
    pub email: String,
    pub remember: bool,
    /// Where to go afterwards; checked, empty for the default page.
    pub next: String,
    pub next_query: String,
    pub trouble: Option<Trouble>,
    pub notice: Option<&'static str>,
}

impl SignInForm {
    pub fn new(next: String) -> Self {
        Self { next_query: next::query(&next), next, ..Self::default() }
    }

    pub fn html(&self, visitor: &Visitor) -> Result<String> {
        render("signin.html", &Frame::of("Sign in", "/login", visitor), self)
    }
}
