//! Sign-in page: the form, and what it says when the pair was wrong.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::{Frame, Viewer};
use super::{Refusal, Trouble, allowed, next, render};
use crate::error::Result;
use crate::identity::SignIn;
use crate::web::{Door, Reply, Request, reply};

/// `GET /login`: `next` (where to go afterwards; `rd` as other servers call it), `failed` (the form of the JSON door was refused), `done` (a one-time
/// link was spent), `made` (an account was made, and no session).
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let queries = request.queries()?;
    let wanted = queries.text(if queries.has("next") { "next" } else { "rd" })?;
    let next = next::checked(wanted, allowed(&door.settings)).unwrap_or_default();
    let visitor = door.visitor(request).await?;
    // Without the second cookie the account page sends people here: they must see the form.
    if visitor.user.is_some() && visitor.own {
        return reply::redirect(next::or_home(&next));
    }
    let mut page = SignInForm::new(next);
    if queries.has("failed") {
        page.trouble = Some(Trouble::form("Invalid credentials."));
    } else if queries.has("done") {
        page.notice = Some("Your password is set. Sign in with it.");
    } else if queries.has("made") {
        page.notice = Some("Your account is made. Sign in to it.");
    }
    Ok(reply::html(StatusCode::OK, page.html(&Viewer::new(&visitor, &door.settings))?))
}

/// `POST /login`
pub async fn submit(door: &Door, request: &Request) -> Result<Reply> {
    let form = request.form()?;
    let visitor = door.visitor(request).await?;
    let next = next::checked(form.text("next")?, allowed(&door.settings)).unwrap_or_default();
    let email = form.text("email")?.to_owned();
    let mut page = SignInForm { email, remember: form.flag("remember"), ..SignInForm::new(next) };
    let given =
        SignIn { email: page.email.clone(), password: form.secret("password").to_owned(), remember: page.remember };
    match door.identity.sign_in(given, &visitor, &request.client()).await {
        Ok((_, granted)) => reply::grant(reply::redirect(next::or_home(&page.next))?, &door.settings, &granted),
        Err(error) => {
            let refusal = Refusal::of(error, &["email", "password"])?;
            page.trouble = Some(refusal.trouble.clone());
            Ok(refusal.reply(page.html(&Viewer::new(&visitor, &door.settings))?))
        }
    }
}

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

    pub fn html(&self, viewer: &Viewer<'_>) -> Result<String> {
        render("signin.html", &Frame::of("Sign in", "/login", viewer), self)
    }
}
