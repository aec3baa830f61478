//! Pages: what people see. One file for each page or group of pages that belong together.
//!
//! Templates and the style sheet lie in `templates/` and are compiled into the binary; every value is escaped. Each
//! page has a view, a plain struct that its template reads as `page`, and all share a [`Frame`]. Pages run no script
//! and carry no inline style, so that the content security policy can forbid both.

mod account;
mod assets;
pub mod error;
mod frame;
mod home;
mod landing;
mod link;
mod logout;
mod next;
mod signin;
mod signup;
mod words;

use std::sync::LazyLock;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::error::{Error, Result};
use frame::Frame;

/// Said beside the field of a new password, before anything is wrong with it.
const PASSWORD_HINT: &str = "Long beats clever: a few words that only you would put together.";

/// What was wrong with a form: the name of the field, or "" for the form as a whole, and a sentence for the person.
#[derive(Debug, Clone, Serialize)]
pub struct Trouble {
    pub field: &'static str,
    pub message: String,
}

impl Trouble {
    fn form(message: impl Into<String>) -> Self {
        Self { field: "", message: message.into() }
    }
}

static TEMPLATES: [(&str, &str); 11] = [
    ("base.html", include_str!("../../../templates/base.html")),
    ("parts.html", include_str!("../../../templates/parts.html")),
    ("landing.html", include_str!("../../../templates/landing.html")),
    ("signin.html", include_str!("../../../templates/signin.html")),
    ("signup.html", include_str!("../../../templates/signup.html")),
    ("home.html", include_str!("../../../templates/home.html")),
    ("account.html", include_str!("../../../templates/account.html")),
    ("logout.html", include_str!("../../../templates/logout.html")),
    ("link.html", include_str!("../../../templates/link.html")),
    ("error.html", include_str!("../../../templates/error.html")),
    ("closed.html", include_str!("../../../templates/closed.html")),
];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("a template that does not compile fails every test of its page");
    }
    environment
});

/// One page as HTML.
///
/// # Errors
/// `Broken` when the template asks for what the view does not have.
fn render(template: &str, frame: &Frame, page: &impl Serialize) -> Result<String> {
    let view = context! { frame => Value::from(Serde(frame)), page => Value::from(Serde(page)) };
    let template = ENVIRONMENT.get_template(template).map_err(|e| Error::broken("finding a page", e))?;
    template.render(view).map_err(|e| Error::broken("rendering a page", e))
}

#[cfg(test)]
mod tests;
