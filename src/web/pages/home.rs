//! Home: what somebody sees who just signed in.

use serde::Serialize;

use super::frame::Frame;
use super::landing::SessionView;
use super::render;
use crate::error::Result;
use crate::identity::Visitor;

/// What the home page shows besides who is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct Home {
    pub first_name: String,
    pub session: SessionView,
}

impl Home {
    pub fn html(&self, visitor: &Visitor) -> Result<String> {
        render("home.html", &Frame::of("Home", "/home", visitor), self)
    }
}
