//! Frame: what stands around every page: title, navigation, who is signed in.

use serde::Serialize;

use super::assets;
use crate::config::SignupPolicy;
use crate::identity::{User, Visitor};
use crate::web::Settings;

/// What the base template reads as `frame`.
#[derive(Debug, Clone, Serialize)]
pub struct Frame {
    title: String,
    nav: Nav,
    /// The path of the navigation link that leads to this very page; empty when none does.
    here: &'static str,
    /// Address of the style sheet, versioned by its content.
    style: &'static str,
    user: Option<Me>,
    /// Whether people may sign themselves up.
    sign_up: bool,
}

/// Who is looking at a page, and whether the way to an account stands open to them.
#[derive(Debug, Clone, Copy)]
pub struct Viewer<'a> {
    visitor: &'a Visitor,
    sign_up: bool,
}

impl<'a> Viewer<'a> {
    /// A visitor of this site.
    pub fn new(visitor: &'a Visitor, settings: &Settings) -> Self {
        Self { visitor, sign_up: settings.signup == SignupPolicy::Open }
    }
}

/// Which navigation a page offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Nav {
    /// Nobody looked who is asking.
    None,
    Guest,
    Member,
}

/// Who is signed in, as pages name them.
#[derive(Debug, Clone, Serialize)]
struct Me {
    /// First and last name, or the address of those who gave none.
    name: String,
    email: String,
    admin: bool,
    /// Whether an admin has to approve them yet.
    waits: bool,
}

impl Frame {
    /// For a page that does not ask who is looking.
    pub fn bare(title: impl Into<String>) -> Self {
        let style = assets::style_href();
        Self { title: title.into(), nav: Nav::None, here: "", style, user: None, sign_up: false }
    }

    /// For a page that knows who is looking; `here` is the page's own path.
    pub fn of(title: impl Into<String>, here: &'static str, viewer: &Viewer<'_>) -> Self {
        let user = viewer.visitor.user.as_deref().map(Me::of);
        let nav = if user.is_some() { Nav::Member } else { Nav::Guest };
        Self { here, nav, user, sign_up: viewer.sign_up, ..Self::bare(title) }
    }
}

impl Me {
    fn of(user: &User) -> Self {
        let name = format!("{} {}", user.first_name, user.last_name).trim().to_owned();
        let name = if name.is_empty() { user.email.clone() } else { name };
        Self { name, email: user.email.clone(), admin: user.admin, waits: !user.approved }
    }
}
