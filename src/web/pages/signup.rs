//! Sign-up page: the form, what it says when something is missing or taken, and what it says when nobody may.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::{Frame, Viewer};
use super::{Refusal, Trouble, allowed, next, password_hint, render};
use crate::config::SignupPolicy;
use crate::error::{Error, Result};
use crate::identity::{Granted, Proof, SignUp, Visitor};
use crate::web::form::Form;
use crate::web::{Door, Reply, Request, reply};

const FIELDS: [&str; 4] = ["email", "password", "first_name", "last_name"];

/// `GET /signup`, `GET /register`
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let queries = request.queries()?;
    let next = next::checked(queries.text("next")?, allowed(&door.settings)).unwrap_or_default();
    let visitor = door.visitor(request).await?;
    if visitor.user.is_some() && visitor.own {
        return reply::redirect(next::or_home(&next));
    }
    if door.settings.signup != SignupPolicy::Open {
        return closed(door, &visitor);
    }
    Ok(reply::html(
        StatusCode::OK,
        SignUpForm::new(next, password_hint(&door.settings)).html(&Viewer::new(&visitor, &door.settings))?,
    ))
}

/// `POST /signup`, `POST /register`: makes the account and signs it in at once.
pub async fn submit(door: &Door, request: &Request) -> Result<Reply> {
    let form = request.form()?;
    let visitor = door.visitor(request).await?;
    if door.settings.signup != SignupPolicy::Open {
        return closed(door, &visitor);
    }
    let next = next::checked(form.text("next")?, allowed(&door.settings)).unwrap_or_default();
    let given = filled(&form)?;
    let mut page = SignUpForm {
        email: given.email.clone(),
        first_name: given.first_name.clone(),
        last_name: given.last_name.clone(),
        ..SignUpForm::new(next, password_hint(&door.settings))
    };
    match sign_up(door, request, &visitor, (&form, given)).await {
        Ok(None) => reply::redirect(&format!("/login?made{}", page.next_query.replacen('?', "&", 1))),
        Ok(Some(granted)) => reply::grant(reply::redirect(next::or_home(&page.next))?, &door.settings, &granted),
        Err(Error::Forbidden(_)) => closed(door, &visitor),
        Err(error) => {
            let refusal = Refusal::of(error, &FIELDS)?;
            page.trouble = Some(refusal.trouble.clone());
            Ok(refusal.reply(page.html(&Viewer::new(&visitor, &door.settings))?))
        }
    }
}

fn filled(form: &Form) -> Result<SignUp> {
    Ok(SignUp {
        email: form.text("email")?.to_owned(),
        password: form.secret("password").to_owned(),
        first_name: form.text("first_name")?.to_owned(),
        last_name: form.text("last_name")?.to_owned(),
    })
}

/// The session that begins with the account; none when only the account could be made, which must not be told as a
/// failure: whoever tried again would be told that the address is taken.
async fn sign_up(
    door: &Door,
    request: &Request,
    visitor: &Visitor,
    (form, given): (&Form, SignUp),
) -> Result<Option<Granted>> {
    // The page asks for all four. A program that leaves the names out altogether may: accounts need none.
    let blank = |name: &str, value: &str| form.has(name) && value.trim().is_empty();
    if blank("first_name", &given.first_name) || blank("last_name", &given.last_name) {
        return Err(Error::Malformed("Please fill in all the fields.".to_owned()));
    }
    let client = request.client();
    let user = door.identity.sign_up(given, &client).await?;
    match door.identity.begin(&user, Proof::SignUp, visitor, &client).await {
        Ok(granted) => Ok(Some(granted)),
        Err(Error::Full | Error::NotDone(_) | Error::FateUnknown) => Ok(None),
        Err(error) => Err(error),
    }
}

fn closed(door: &Door, visitor: &Visitor) -> Result<Reply> {
    Ok(reply::html(StatusCode::FORBIDDEN, Closed::html(&Viewer::new(visitor, &door.settings))?))
}

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

    pub fn html(&self, viewer: &Viewer<'_>) -> Result<String> {
        render("signup.html", &Frame::of("Sign up", "/signup", viewer), self)
    }
}

/// Said instead of the form where people do not sign themselves up.
#[derive(Debug, Clone, Serialize)]
pub struct Closed {
    what: &'static str,
}

impl Closed {
    pub fn html(viewer: &Viewer<'_>) -> Result<String> {
        let what = "Accounts here are made by an administrator. If you need one, ask there.";
        render("closed.html", &Frame::of("Sign-up is closed", "/signup", viewer), &Self { what })
    }
}
