//! One-time links: set a password, or make the first admin.

use serde::Serialize;

use super::frame::Frame;
use super::{Trouble, render};
use crate::error::Result;
use crate::identity::LinkPurpose;

/// What the form holds. Never the password, and never the token: the form posts to the address it came from.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LinkForm {
    /// Whether the link names the account; otherwise the first admin is being made.
    pub email_known: bool,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub password_hint: String,
    pub trouble: Option<Trouble>,
}

impl LinkForm {
    pub fn of(purpose: LinkPurpose, password_hint: String) -> Self {
        let blank = Self { password_hint, ..Self::default() };
        match purpose {
            LinkPurpose::FirstAdmin => blank,
            LinkPurpose::SetPassword { email } => Self { email_known: true, email, ..blank },
        }
    }

    pub fn html(&self) -> Result<String> {
        let title = if self.email_known { "Set a password" } else { "Make the first admin" };
        render("link.html", &Frame::bare(title), self)
    }
}
