//! Sign-out: at once for those who typed the address or came from a page of ours, after a question for all others.

use super::frame::Frame;
use super::render;
use crate::error::Result;
use crate::identity::Visitor;

/// The page that asks.
pub fn question(visitor: &Visitor) -> Result<String> {
    render("logout.html", &Frame::of("Sign out", "/logout", visitor), &())
}
