//! Sign-up page: the form, what it says when something is missing or taken, and what it says when nobody may.

use serde::Serialize;

use super::frame::Frame;
use super::{Trouble, next, render};
use crate::error::Result;
use crate::identity::Visitor;

/// What the form holds. Never the password.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SignUpForm {
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub password_hint: String,
    /// Where to go afterwards; checked, empty for the default page.
    pub next: String,
    pub next_query: String,
    pub trouble: Option<Trouble>,
}

impl SignUpForm {
    pub fn new(next: String, password_hint: String) -> Self {
        Self { next_query: next::query(&next), next, password_hint, ..Self::default() }
    }

    pub fn html(&self, visitor: &Visitor) -> Result<String> {
        render("signup.html", &Frame::of("Sign up", "/signup", visitor), self)
    }
}

/// Said instead of the form where people do not sign themselves up.
#[derive(Debug, Clone, Serialize)]
pub struct Closed {
    what: &'static str,
}

impl Closed {
    pub fn html(visitor: &Visitor) -> Result<String> {
        let what = "Accounts here are made by an administrator. Ask them for an invitation.";
        render("closed.html", &Frame::of("Sign-up is closed", "/signup", visitor), &Self { what })
    }
}
