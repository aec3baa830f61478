//! Tokens: the part of the account page with personal access tokens. A new one is shown on the answer to its form, and
//! on no other page.

use hyper::StatusCode;
use serde::Serialize;

use super::account::{Account, done};
use super::frame::Viewer;
use super::words::Moment;
use super::{Refusal, Trouble, owner, sign_in_first};
use crate::error::{Error, Result};
use crate::identity::{Token, Visitor, WantedToken};
use crate::web::form::Form;
use crate::web::{Door, Reply, Request, reply};

const HERE: &str = "/account";

/// Boxes of the form, and the scopes that they stand for.
const BOXES: [(&str, &str); 3] =
    [("scope_profile", "profile"), ("scope_sessions", "sessions"), ("scope_admin", "admin")];

/// Days that a token may be good for; `never`, which is none of them, stands for no end.
const TIMES: [(&str, i64); 3] = [("30", 30), ("90", 90), ("365", 365)];

const DAY: i64 = 86_400_000;

/// `GET /account/tokens`: what a form led to is looked at again.
pub async fn show(_door: &Door, _request: &Request) -> Result<Reply> {
    reply::redirect(HERE)
}

/// `POST /account/tokens`
pub async fn add(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    let form = request.form()?;
    let made = match wanted(&form) {
        Ok(wanted) => door.identity.add_token(&visitor, wanted).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(issued) => {
            let mut page = Account::of(door, &visitor).await?;
            page.tokens.fresh = Some(issued.secret);
            Ok(reply::html(StatusCode::CREATED, page.html(&Viewer::new(&visitor, &door.settings))?))
        }
        Err(Error::NotSignedIn) => sign_in_first(HERE),
        Err(error) => {
            let refusal = Refusal::of(error, &["name"])?;
            let mut page = Account::of(door, &visitor).await?;
            page.tokens.name = form.text("name")?.to_owned();
            page.tokens.trouble = Some(refusal.trouble.clone());
            Ok(refusal.reply(page.html(&Viewer::new(&visitor, &door.settings))?))
        }
    }
}

fn wanted(form: &Form) -> Result<WantedToken> {
    let scopes = BOXES.iter().filter(|(name, _)| form.flag(name)).map(|(_, scope)| (*scope).to_owned()).collect();
    let days = match form.text("expires")? {
        "" | "never" => None,
        days => {
            let known = TIMES.iter().find(|(name, _)| *name == days).map(|(_, days)| *days);
            Some(known.ok_or_else(|| Error::Malformed("Choose one of the times.".to_owned()))?)
        }
    };
    Ok(WantedToken { name: form.text("name")?.to_owned(), scopes, lifetime_ms: days.map(|days| days * DAY) })
}

/// `POST /account/tokens/{id}/end`
pub async fn end(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    match door.identity.end_token(&visitor, request.param("id")).await {
        // two taps on the same button, or it ran out meanwhile: what was asked for is so
        Ok(()) | Err(Error::NotFound(_)) => done("token"),
        Err(Error::NotSignedIn) => sign_in_first(HERE),
        Err(error) => Err(error),
    }
}

/// What the account page shows of tokens.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Tokens {
    pub rows: Vec<TokenRow>,
    /// The one that was made just now.
    pub fresh: Option<String>,
    /// What the form had for a name.
    pub name: String,
    pub trouble: Option<Trouble>,
    /// Whether the owner may have tokens of the scope `admin`.
    pub admin: bool,
}

/// One line of the tokens' table.
#[derive(Debug, Clone, Serialize)]
pub struct TokenRow {
    id: String,
    name: String,
    scopes: String,
    created: Moment,
    used: Option<Moment>,
    ends: Option<Moment>,
}

impl TokenRow {
    pub fn of(token: Token) -> Self {
        Self {
            scopes: token.scopes.names().collect::<Vec<_>>().join(", "),
            id: token.id,
            name: token.name,
            created: Moment::day(token.created_at),
            used: token.last_used.map(Moment::day),
            ends: token.expires_at.map(Moment::day),
        }
    }
}

impl Tokens {
    /// The tokens of a visitor, with nothing to say.
    pub async fn of(door: &Door, visitor: &Visitor) -> Result<Self> {
        let rows = door.identity.tokens(visitor).await?.into_iter().map(TokenRow::of).collect();
        Ok(Self { rows, admin: visitor.user.as_ref().is_some_and(|user| user.admin), ..Self::default() })
    }
}
