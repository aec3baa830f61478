//! Frame: what stands around every page: title, navigation, who is signed in.

use serde::Serialize;

use super::assets;
use crate::identity::{User, Visitor};

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
}

impl Frame {
    /// For a page that does not ask who is looking.
    pub fn bare(title: impl Into<String>) -> Self {
        Self { title: title.into(), nav: Nav::None, here: "", style: assets::style_href(), user: None }
    }

    /// For a page that knows who is looking; `here` is the page's own path.
    pub fn of(title: impl Into<String>, here: &'static str, visitor: &Visitor) -> Self {
        let user = visitor.user.as_deref().map(Me::of);
        let nav = if user.is_some() { Nav::Member } else { Nav::Guest };
        Self { here, nav, user, ..Self::bare(title) }
    }
}

impl Me {
    fn of(user: &User) -> Self {
        let name = format!("{} {}", user.first_name, user.last_name).trim().to_owned();
        Self { name: if name.is_empty() { user.email.clone() } else { name }, email: user.email.clone() }
    }
}
