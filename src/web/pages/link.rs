//! One-time links: set a password, or make the first admin.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::Frame;
use super::{PASSWORD_HINT, Refusal, Trouble, error, render};
use crate::error::{Error, Result};
use crate::identity::{LinkPurpose, SignUp};
use crate::web::form::Form;
use crate::web::{Door, Reply, Request, reply};

const FIELDS: [&str; 4] = ["email", "password", "first_name", "last_name"];

/// Where a spent link leads: an address without the secret, that says it worked.
const AFTERWARDS: &str = "/login?done";

/// `GET /link/{token}`. Looking spends nothing: mail programs look at links before people do.
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    match door.identity.link(request.param("token")).await {
        Ok(purpose) => Ok(reply::html(StatusCode::OK, LinkForm::of(purpose, PASSWORD_HINT).html()?)),
        Err(Error::NotFound(_)) => gone(),
        Err(error) => Err(error),
    }
}

/// `POST /link/{token}`
pub async fn submit(door: &Door, request: &Request) -> Result<Reply> {
    let form = request.form()?;
    let purpose = match door.identity.link(request.param("token")).await {
        Ok(purpose) => purpose,
        Err(Error::NotFound(_)) => return gone(),
        Err(error) => return Err(error),
    };
    let admin = purpose == LinkPurpose::FirstAdmin;
    let mut page = LinkForm::of(purpose, PASSWORD_HINT);
    if admin {
        page.email = form.text("email")?.to_owned();
        page.first_name = form.text("first_name")?.to_owned();
        page.last_name = form.text("last_name")?.to_owned();
    }
    match spend(door, request, &form, &page).await {
        Ok(()) => reply::redirect(AFTERWARDS),
        Err(Error::NotFound(_)) => gone(),
        Err(error) => {
            let refusal = wrong(error, &page)?;
            page.trouble = Some(refusal.trouble.clone());
            Ok(refusal.reply(page.html()?))
        }
    }
}

async fn spend(door: &Door, request: &Request, form: &Form, page: &LinkForm) -> Result<()> {
    let (token, client) = (request.param("token"), request.client());
    let password = form.secret("password");
    if page.email_known {
        door.identity.spend_link(token, password, &client).await?;
        return Ok(());
    }
    let given = SignUp {
        email: page.email.clone(),
        password: password.to_owned(),
        first_name: page.first_name.clone(),
        last_name: page.last_name.clone(),
    };
    door.identity.spend_admin_link(token, given, &client).await?;
    Ok(())
}

/// What the form says. A conflict is not always about the address: there may be an admin by now.
fn wrong(error: Error, page: &LinkForm) -> Result<Refusal> {
    match error {
        Error::Conflict(message) => Ok(Refusal {
            status: StatusCode::CONFLICT,
            trouble: Trouble::form(error::sentence(&message)),
            retry_after_secs: None,
        }),
        other => Refusal::of(other, if page.email_known { &["password"] } else { &FIELDS }),
    }
}

/// Unknown, spent and too old look the same from outside.
fn gone() -> Result<Reply> {
    let page = error::page(
        StatusCode::NOT_FOUND,
        "This link is not good any more: it was used already, or it is too old. Ask for a new one.",
        None,
    )?;
    Ok(reply::html(StatusCode::NOT_FOUND, page))
}

/// What the form holds. Never the password, and never the token: the form posts to the address it came from.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LinkForm {
    /// Whether the link names the account; otherwise the first admin is being made.
    pub email_known: bool,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub password_hint: &'static str,
    pub trouble: Option<Trouble>,
}

impl LinkForm {
    pub fn of(purpose: LinkPurpose, password_hint: &'static str) -> Self {
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
