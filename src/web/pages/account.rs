//! Account: names, password, the places where somebody is signed in, and (in `tokens`) what speaks for them elsewhere.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::{Frame, Viewer};
use super::tokens::Tokens;
use super::words::Moment;
use super::{Refusal, Trouble, owner, password_hint, render, sign_in_first};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::identity::{Listed, Visitor};
use crate::web::form::Form;
use crate::web::{Door, Reply, Request, reply};

const HERE: &str = "/account";

/// What `?did=…` says on the page after something was done. Any other value says nothing.
const NOTICES: [(&str, &str); 6] = [
    ("names", "Your names are saved."),
    ("password", "Your password is changed, and your other sessions have ended."),
    ("end", "That session has ended."),
    ("others", "All your other sessions have ended."),
    ("token", "That token is good no more."),
    ("gone", "That session had ended already."),
];

/// `GET /account`
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    let mut page = Account::of(door, &visitor).await?;
    let queries = request.queries()?;
    let did = queries.text("did")?;
    page.notice = NOTICES.iter().find(|(name, _)| *name == did).map(|(_, notice)| *notice);
    Ok(reply::html(StatusCode::OK, page.html(&Viewer::new(&visitor, &door.settings))?))
}

/// `POST /account/profile`
pub async fn save_names(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    let form = request.form()?;
    let (first, last) = (form.text("first_name")?, form.text("last_name")?);
    match door.identity.set_names(&visitor, first, last).await {
        Ok(_) => done("names"),
        Err(Error::NotSignedIn) => sign_in_first(HERE),
        Err(error) => {
            let refusal = Refusal::of(error, &["first_name", "last_name"])?;
            let mut page = Account::of(door, &visitor).await?;
            let trouble = Some(refusal.trouble.clone());
            page.profile = Profile { first_name: first.to_owned(), last_name: last.to_owned(), trouble };
            Ok(refusal.reply(page.html(&Viewer::new(&visitor, &door.settings))?))
        }
    }
}

/// `POST /account/password`
pub async fn change_password(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    match replace_password(door, request, &visitor, &request.form()?).await {
        Ok(()) => done("password"),
        Err(Error::NotSignedIn) => sign_in_first(HERE),
        Err(error) => {
            let refusal = wrong_password(error)?;
            let mut page = Account::of(door, &visitor).await?;
            page.password_trouble = Some(refusal.trouble.clone());
            Ok(refusal.reply(page.html(&Viewer::new(&visitor, &door.settings))?))
        }
    }
}

async fn replace_password(door: &Door, request: &Request, visitor: &Visitor, form: &Form) -> Result<()> {
    let (current, new) = (form.secret("current"), form.secret("new"));
    if current.is_empty() || new.is_empty() {
        return Err(Error::Malformed("Please fill in all the fields.".to_owned()));
    }
    door.identity.change_password(visitor, current, new, &request.client()).await
}

/// What the form with the passwords says; the rules of `identity` speak of "password", which here is the new one.
fn wrong_password(error: Error) -> Result<Refusal> {
    match error {
        Error::Forbidden(_) => Ok(Refusal {
            status: StatusCode::FORBIDDEN,
            trouble: Trouble { field: "current", message: "This is not your current password.".to_owned() },
            retry_after_secs: None,
        }),
        Error::Unacceptable { message, field } => {
            let field = if field == "current" { field } else { "new" };
            Refusal::of(Error::Unacceptable { field, message }, &["current", "new"])
        }
        other => Refusal::of(other, &[]),
    }
}

/// `POST /account/sessions/{handle}/end`
pub async fn end(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    let handle = request.param("handle");
    match door.identity.end_session(&visitor, handle).await {
        Ok(()) if visitor.session.as_ref().is_some_and(|s| s.handle() == handle) => {
            reply::forget(reply::redirect("/")?, &door.settings)
        }
        Ok(()) => done("end"),
        // Two taps on the same button, or it ran out meanwhile: what was asked for is so.
        Err(Error::NotFound(_)) => done("gone"),
        Err(Error::NotSignedIn) => sign_in_first(HERE),
        Err(error) => Err(error),
    }
}

/// `POST /account/sessions/end-others`
pub async fn end_others(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    match door.identity.end_others(&visitor).await {
        Ok(_) => done("others"),
        Err(Error::NotSignedIn) => sign_in_first(HERE),
        Err(error) => Err(error),
    }
}

pub(super) fn done(what: &str) -> Result<Reply> {
    reply::redirect(&format!("{HERE}?did={what}"))
}

/// What the account page shows besides who is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    pub since: Moment,
    pub notice: Option<&'static str>,
    pub profile: Profile,
    pub password_hint: String,
    pub password_trouble: Option<Trouble>,
    pub sessions: Vec<Row>,
    pub tokens: Tokens,
}

/// The form with the names.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Profile {
    pub first_name: String,
    pub last_name: String,
    pub trouble: Option<Trouble>,
}

/// One line of the sessions' table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    handle: String,
    agent: String,
    address: String,
    begun: Moment,
    ends: Moment,
    current: bool,
}

impl Row {
    pub fn of(listed: Listed, now: Millis) -> Self {
        let agent =
            if matches!(listed.agent.as_str(), "" | "unknown") { "Unknown browser".to_owned() } else { listed.agent };
        Self {
            handle: listed.handle,
            agent,
            address: listed.address,
            begun: Moment::absolute(listed.begun),
            ends: Moment::ahead(listed.expires, now),
            current: listed.current,
        }
    }
}

/// This session first, the others as they come.
fn rows(mut listed: Vec<Listed>, now: Millis) -> Vec<Row> {
    listed.sort_by_key(|one| !one.current);
    listed.into_iter().map(|one| Row::of(one, now)).collect()
}

impl Account {
    /// The page as it stands, with nothing to say.
    pub async fn of(door: &Door, visitor: &Visitor) -> Result<Self> {
        let user = visitor.user.as_ref().ok_or(Error::NotSignedIn)?;
        let now = door.identity.now();
        let sessions = door.identity.sessions(visitor).await?;
        let profile = Profile { first_name: user.first_name.clone(), last_name: user.last_name.clone(), trouble: None };
        Ok(Self {
            since: Moment::day(user.created_at),
            notice: None,
            profile,
            password_hint: password_hint(&door.settings),
            password_trouble: None,
            sessions: rows(sessions, now),
            tokens: Tokens::of(door, visitor).await?,
        })
    }

    pub fn html(&self, viewer: &Viewer<'_>) -> Result<String> {
        render("account.html", &Frame::of("Your account", "/account", viewer), self)
    }
}
