//! Pages: what people see. One file for each page or group of pages that belong together.
//!
//! Templates and the style sheet lie in `templates/` and are compiled into the binary; every value is escaped. Each
//! page has a view, a plain struct that its template reads as `page`, and all share a [`Frame`]. Pages run no script
//! and carry no inline style, so that the content security policy can forbid both.

mod account;
mod admin;
mod assets;
pub mod error;
mod frame;
mod home;
mod landing;
mod link;
mod logout;
mod next;
pub mod refused;
mod signin;
mod signup;
mod tokens;
mod words;

use std::sync::LazyLock;

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use super::{Door, Reply, Request, Route, Settings, reply};
use crate::error::{Error, Result};
use crate::identity::Visitor;
use frame::Frame;

/// The rows of the table that are for people.
pub fn routes() -> Vec<Route> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    vec![
        Route::page(GET, "/", |door, request| Box::pin(landing::show(door, request))),
        Route::page(POST, "/pour", |door, request| Box::pin(landing::pour(door, request))),
        Route::page(GET, "/login", |door, request| Box::pin(signin::show(door, request))),
        Route::page(POST, "/login", |door, request| Box::pin(signin::submit(door, request))),
        Route::page(GET, "/signup", |door, request| Box::pin(signup::show(door, request))),
        Route::page(POST, "/signup", |door, request| Box::pin(signup::submit(door, request))),
        Route::page(GET, "/register", |door, request| Box::pin(signup::show(door, request))),
        Route::page(POST, "/register", |door, request| Box::pin(signup::submit(door, request))),
        Route::page(GET, "/home", |door, request| Box::pin(home::show(door, request))),
        Route::page(GET, "/logout", |door, request| Box::pin(logout::show(door, request))),
        Route::page(POST, "/logout", |door, request| Box::pin(logout::submit(door, request))),
        Route::page(GET, "/account", |door, request| Box::pin(account::show(door, request))),
        Route::page(POST, "/account/profile", |door, request| Box::pin(account::save_names(door, request))),
        Route::page(POST, "/account/password", |door, request| Box::pin(account::change_password(door, request))),
        Route::page(POST, "/account/sessions/end-others", |door, request| Box::pin(account::end_others(door, request))),
        Route::page(POST, "/account/sessions/{handle}/end", |door, request| Box::pin(account::end(door, request))),
        Route::page(GET, "/account/tokens", |door, request| Box::pin(tokens::show(door, request))),
        Route::page(POST, "/account/tokens", |door, request| Box::pin(tokens::add(door, request))),
        Route::page(POST, "/account/tokens/{id}/end", |door, request| Box::pin(tokens::end(door, request))),
        Route::page(GET, "/admin", |door, request| Box::pin(admin::show(door, request))),
        Route::page(POST, "/admin/users/approve", |door, request| Box::pin(admin::approve(door, request))),
        Route::page(POST, "/admin/users/disable", |door, request| Box::pin(admin::disable(door, request))),
        Route::page(POST, "/admin/users/enable", |door, request| Box::pin(admin::enable(door, request))),
        Route::page(GET, "/link/{token}", |door, request| Box::pin(link::show(door, request))),
        Route::page(POST, "/link/{token}", |door, request| Box::pin(link::submit(door, request))),
        Route::page(GET, "/style.css", |door, request| Box::pin(assets::style(door, request))),
        Route::page(GET, "/favicon.svg", |door, request| Box::pin(assets::favicon(door, request))),
    ]
}

/// Said beside the field of a new password, before anything is wrong with it.
fn password_hint(settings: &Settings) -> String {
    let least = settings.password_min;
    format!("At least {least} characters. Long beats clever: a few words that only you would put together.")
}

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

/// A form that was refused: what the page says, and what the reply says beside it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    trouble: Trouble,
    retry_after_secs: Option<u64>,
}

impl Refusal {
    /// What to say about a form with these fields.
    ///
    /// # Errors
    /// Gives back an error that is not about what the person wrote: it has a page of its own.
    fn of(error: Error, fields: &[&str]) -> Result<Self> {
        let (status, trouble) = match error {
            Error::Credentials => (StatusCode::UNAUTHORIZED, Trouble::form("Invalid credentials.")),
            Error::Malformed(message) => (StatusCode::BAD_REQUEST, Trouble::form(message)),
            Error::Conflict(message) => {
                (StatusCode::CONFLICT, Trouble { field: "email", message: error::sentence(&message) })
            }
            Error::Unacceptable { field, message } => (StatusCode::UNPROCESSABLE_ENTITY, Trouble { field, message }),
            Error::TooMany { retry_after_secs } => return Ok(Self::too_many(retry_after_secs)),
            other => return Err(other),
        };
        // A field that the form does not have could not show its message.
        let field = if fields.contains(&trouble.field) { trouble.field } else { "" };
        Ok(Self { status, trouble: Trouble { field, ..trouble }, retry_after_secs: None })
    }

    fn too_many(retry_after_secs: u64) -> Self {
        let message = format!("There were too many tries. Please wait {}.", words::wait(retry_after_secs));
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, trouble: Trouble::form(message), retry_after_secs: Some(retry_after_secs) }
    }

    /// The form once more, with what was wrong.
    fn reply(&self, page: String) -> Reply {
        let mut reply = reply::html(self.status, page);
        if let Some(secs) = self.retry_after_secs {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        reply
    }
}

/// Where `next` may lead.
fn allowed(settings: &Settings) -> next::Allowed<'_> {
    next::Allowed { public_url: &settings.public_url, domains: &settings.redirect_domains }
}

/// Whoever may see their account: signed in, and holding the second cookie too.
async fn owner(door: &Door, request: &Request) -> Result<Option<Visitor>> {
    let visitor = door.visitor(request).await?;
    Ok(Some(visitor).filter(|v| v.own && v.user.is_some()))
}

/// Our sign-in page for whoever wanted to go to this URL, which is kept in mind if it may be.
pub(super) fn sign_in_for(settings: &Settings, url: &str) -> String {
    let next = next::checked(url, allowed(settings)).unwrap_or_default();
    format!("{}/login{}", settings.public_url, next::query(&next))
}

/// The same at a sign-in page that a proxy names, if that is somebody else's on an allowed domain.
pub(super) fn named_sign_in_for(settings: &Settings, page: &str, url: &str) -> String {
    let named = next::checked(page, allowed(settings)).filter(|page| page.contains("://"));
    let others = named.filter(|page| !next::is_at(page, &settings.public_url));
    match (others, next::checked(url, allowed(settings))) {
        (None, _) => sign_in_for(settings, url),
        (Some(page), None) => page,
        (Some(page), Some(next)) => {
            let mark = if page.contains('?') { '&' } else { '?' };
            format!("{page}{mark}{}", next::query(&next).replacen("?next=", "rd=", 1))
        }
    }
}

/// To the sign-in page and, after it, to `path`.
fn sign_in_first(path: &str) -> Result<Reply> {
    reply::redirect(&format!("/login{}", next::query(path)))
}

static TEMPLATES: [(&str, &str); 13] = [
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
    ("admin.html", include_str!("../../../templates/admin.html")),
    ("refused.html", include_str!("../../../templates/refused.html")),
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
