//! Home: what somebody sees who just signed in.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::{Frame, Viewer};
use super::landing::SessionView;
use super::{render, sign_in_first};
use crate::error::Result;
use crate::web::{Door, Reply, Request, reply};

/// `GET /home`
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    let (Some(user), Some(session)) = (&visitor.user, &visitor.session) else {
        return sign_in_first("/home");
    };
    let session = SessionView::of(session, door.identity.now());
    let page = Home { first_name: user.first_name.clone(), session };
    Ok(reply::html(StatusCode::OK, page.html(&Viewer::new(&visitor, &door.settings))?))
}

/// What the home page shows besides who is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct Home {
    pub first_name: String,
    pub session: SessionView,
}

impl Home {
    pub fn html(&self, viewer: &Viewer<'_>) -> Result<String> {
        render("home.html", &Frame::of("Home", "/home", viewer), self)
    }
}
