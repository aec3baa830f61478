//! Admin: who waits for approval, who has an account, what keeps things here, which nodes there are. For admins who hold
//! the second cookie. An account's id stands in a field of the form: one that was imported may be no part of a path.

use hyper::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::frame::{Frame, Viewer};
use super::words::Moment;
use super::{owner, render, sign_in_first};
use crate::error::{Error, Result};
use crate::identity::{Administered, AppView, User, Visitor};
use crate::web::{ClusterNode, Door, Reply, Request, reply};

const HERE: &str = "/admin";
/// Accounts on one page.
const PAGE: u32 = 50;
/// Most of those who wait that are shown at once.
const WAITING: u32 = 100;

/// What `?did=…` says on the page after something was done. Any other value says nothing.
const NOTICES: [(&str, &str); 4] = [
    ("approve", "Approved. They get in from now on."),
    ("disable", "Disabled. All their sessions have ended."),
    ("enable", "Enabled. They may sign in again."),
    ("gone", "There is no such account any more."),
];

/// `GET /admin`: `q` (a part of an address), `after` (the address that a page goes on after).
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    let queries = request.queries()?;
    let mut page = Admin::of(door, &visitor, (queries.text("q")?, queries.text("after")?)).await?;
    let did = queries.text("did")?;
    page.notice = NOTICES.iter().find(|(name, _)| *name == did).map(|(_, notice)| *notice);
    Ok(reply::html(StatusCode::OK, page.html(&Viewer::new(&visitor, &door.settings))?))
}

/// `POST /admin/users/approve`
pub async fn approve(door: &Door, request: &Request) -> Result<Reply> {
    change(door, request, (Administered::Approve, "approve")).await
}

/// `POST /admin/users/disable`
pub async fn disable(door: &Door, request: &Request) -> Result<Reply> {
    change(door, request, (Administered::Disable, "disable")).await
}

/// `POST /admin/users/enable`
pub async fn enable(door: &Door, request: &Request) -> Result<Reply> {
    change(door, request, (Administered::Enable, "enable")).await
}

async fn change(door: &Door, request: &Request, (what, did): (Administered, &str)) -> Result<Reply> {
    let Some(visitor) = owner(door, request).await? else { return sign_in_first(HERE) };
    let form = request.form()?;
    let back = |did| {
        let part = utf8_percent_encode(form.text("q")?, NON_ALPHANUMERIC);
        reply::redirect(&format!("{HERE}?did={did}&q={part}"))
    };
    match door.identity.administer(&visitor, form.text("id")?, what).await {
        Ok(()) => back(did),
        Err(Error::NotFound(_)) => back("gone"),
        Err(error) => Err(error),
    }
}

/// What the page shows besides who is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct Admin {
    pub notice: Option<&'static str>,
    pub accounts: u64,
    pub sessions: u64,
    /// How many wait, of whom some are shown.
    pub waits: u64,
    pub waiting: Vec<Person>,
    /// The part of an address that was asked for.
    pub part: String,
    pub people: Vec<Person>,
    /// Query of the page that follows.
    pub next: Option<String>,
    pub apps: Vec<App>,
    pub nodes: Vec<ClusterNode>,
}

/// One account.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    id: String,
    email: String,
    name: String,
    groups: String,
    since: Moment,
    admin: bool,
    approved: bool,
    disabled: bool,
    /// Whether it is whoever looks.
    me: bool,
}

/// One service that keeps things here.
#[derive(Debug, Clone, Serialize)]
pub struct App {
    pub name: String,
    pub prefix: String,
    pub may_sign_in: bool,
}

impl Person {
    pub fn of(user: &User, me: &str) -> Self {
        Self {
            id: user.id.clone(),
            email: user.email.clone(),
            name: format!("{} {}", user.first_name, user.last_name).trim().to_owned(),
            groups: user.groups.join(", "),
            since: Moment::absolute(user.created_at),
            admin: user.admin,
            approved: user.approved,
            disabled: user.disabled,
            me: user.id == me,
        }
    }
}

impl App {
    pub fn of(app: AppView) -> Self {
        let prefix = String::from_utf8_lossy(&app.record.prefix).into_owned();
        Self { name: app.record.name, prefix, may_sign_in: app.record.may_sign_in }
    }
}

impl Admin {
    async fn of(door: &Door, visitor: &Visitor, (part, after): (&str, &str)) -> Result<Self> {
        let identity = &door.identity;
        let me = identity.admin(visitor)?.id.clone();
        let (waiting, waits) = identity.waiting(visitor, WAITING).await?;
        let found = identity.find_accounts(visitor, (part, after), PAGE).await?;
        let apps = identity.apps_seen(visitor).await?;
        let next = found.next.map(|after| {
            let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            format!("?q={}&after={}", encoded(part), encoded(&after))
        });
        Ok(Self {
            notice: None,
            accounts: identity.account_count().await?,
            sessions: identity.session_count().await?,
            waits,
            waiting: waiting.iter().map(|user| Person::of(user, &me)).collect(),
            part: part.to_owned(),
            people: found.users.iter().map(|user| Person::of(user, &me)).collect(),
            next,
            apps: apps.into_iter().map(App::of).collect(),
            nodes: door.cluster.nodes().await,
        })
    }

    pub fn html(&self, viewer: &Viewer<'_>) -> Result<String> {
        render("admin.html", &Frame::of("Administration", HERE, viewer), self)
    }
}
