//! Authz: the check that proxies make before they let a request through to a service.
//!
//! Four addresses, one decision. nginx asks `auth-request` and sees a status; Caddy and Traefik ask `forward-auth`, and
//! hand what is no 2xx to the browser; the other two are what Authelia's and oauth2-proxy's users have in their files.
//! Only trusted proxies are answered: from anybody else the headers that name the original request are anybody's words.
//! Whatever is unclear is 403, since that and 401 are the refusals that nginx passes on. A pass carries all identity
//! headers, empty where there is nothing to say, so that a proxy that copies them leaves none of the client's own.

pub mod asked;
mod sightings;
mod vouched;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};

use super::pages::{self, refused};
use super::{Door, Problem, Reply, Request, Route, bearer, forwarded, reply};
use crate::error::{Error, Result};
use crate::identity::access::Verdict;
use crate::identity::{SECURITY, Scopes, User};
use asked::{Asked, Unclear};
pub use sightings::Sightings;

/// The rows of the table that proxies ask.
pub fn routes() -> Vec<Route> {
    vec![
        Route::check("/api/authz/auth-request", |d, r| Box::pin(auth_request(d, r))),
        Route::check("/api/authz/forward-auth", |d, r| Box::pin(forward_auth(d, r))),
        Route::check("/api/verify", |d, r| Box::pin(verify(d, r))),
        Route::check("/oauth2/auth", |d, r| Box::pin(oauth2_auth(d, r))),
    ]
}

/// How a proxy asks, and what it understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// nginx: 200, 401 with the sign-in page in `Location`, 403.
    AuthRequest,
    /// Caddy and Traefik: 200, 302 for browsers, 401 for programs, 403.
    ForwardAuth,
    /// Authelia before 4.38: as `ForwardAuth` when `?rd=` names a sign-in page, else 401 for all.
    Verify,
    /// oauth2-proxy: 202, 401, 403.
    OAuth2,
}

/// May this request pass? For nginx's `auth_request`.
#[utoipa::path(get, path = "/api/authz/auth-request", tag = "proxies", operation_id = "authRequest", params(
    ("X-Original-URL" = String, Header, description = "the request's whole URL; or X-Original-URI with X-Forwarded-Host and X-Forwarded-Proto"),
    ("X-Original-Method" = Option<String>, Header, description = "its method; needed where access rules name methods"),
), responses(
    (status = 200, description = "may pass, with Remote-User, Remote-Email, Remote-Name, Remote-Groups"),
    (status = 401, description = "not signed in; Location is the sign-in page"),
    (status = 403, description = "may not pass, waits for approval, or the question is not clear"),
    (status = 503, description = "not sure just now"),
))]
pub async fn auth_request(door: &Door, request: &Request) -> Result<Reply> {
    check(door, request, Dialect::AuthRequest).await
}

/// May this request pass? For Caddy and Traefik.
#[utoipa::path(get, path = "/api/authz/forward-auth", tag = "proxies", operation_id = "forwardAuth", params(
    ("X-Forwarded-Method" = Option<String>, Header, description = "the request's method; needed where access rules name methods"),
    ("X-Forwarded-Proto" = Option<String>, Header, description = "http or https"),
    ("X-Forwarded-Host" = String, Header, description = "its host"),
    ("X-Forwarded-Uri" = String, Header, description = "its path and query"),
), responses(
    (status = 200, description = "may pass, with Remote-User, Remote-Email, Remote-Name, Remote-Groups"),
    (status = 302, description = "not signed in, and a browser: to the sign-in page"),
    (status = 401, description = "not signed in"),
    (status = 403, description = "may not pass, waits for approval, or the question is not clear"),
    (status = 503, description = "not sure just now"),
))]
pub async fn forward_auth(door: &Door, request: &Request) -> Result<Reply> {
    check(door, request, Dialect::ForwardAuth).await
}

/// May this request pass? As Authelia's address of that name.
#[utoipa::path(get, path = "/api/verify", tag = "proxies", operation_id = "verify", params(
    ("rd" = Option<String>, Query, description = "the sign-in page to send browsers to; one of ours, or on an allowed domain"),
), responses(
    (status = 200, description = "may pass, with Remote-User, Remote-Email, Remote-Name, Remote-Groups"),
    (status = 302, description = "not signed in, a browser, and rd was given"),
    (status = 401, description = "not signed in"),
    (status = 403, description = "may not pass, waits for approval, or the question is not clear"),
    (status = 503, description = "not sure just now"),
))]
pub async fn verify(door: &Door, request: &Request) -> Result<Reply> {
    check(door, request, Dialect::Verify).await
}

/// May this request pass? As oauth2-proxy's address of that name.
#[utoipa::path(get, path = "/oauth2/auth", tag = "proxies", operation_id = "oauth2Auth", responses(
    (status = 202, description = "may pass, with the identity headers and X-Auth-Request-User, -Email, -Preferred-Username, -Groups"),
    (status = 401, description = "not signed in; Location is the sign-in page"),
    (status = 403, description = "may not pass, waits for approval, or the question is not clear"),
    (status = 503, description = "not sure just now"),
))]
pub async fn oauth2_auth(door: &Door, request: &Request) -> Result<Reply> {
    check(door, request, Dialect::OAuth2).await
}

/// Who a request counts as coming from, for services behind a proxy: by a token of ours, or by cookies. A token that is
/// good no more is nobody's, whoever's cookies came with it.
async fn whoever(door: &Door, request: &Request) -> Result<Option<Arc<User>>> {
    if !bearer::is_ours(request) {
        return Ok(door.visitor(request).await?.whoever().cloned());
    }
    match bearer::user(door, request, Scopes::PROFILE).await {
        Err(Error::Token) => Ok(None),
        user => user,
    }
}

async fn check(door: &Door, request: &Request, dialect: Dialect) -> Result<Reply> {
    if !forwarded::is_trusted(request.peer, &door.settings.trusted_proxies) {
        return Ok(stranger(door, request));
    }
    let asked = match Asked::read(&request.headers, dialect, door.settings.host()) {
        Ok(asked) => asked,
        Err(unclear) => {
            door.sightings.note_refused(request);
            return Ok(refuse(door, request, unclear));
        }
    };
    if asked.is_marked() {
        door.sightings.note(request);
    }
    let who = match whoever(door, request).await {
        Err(Error::Malformed(why) | Error::Forbidden(why)) => return Ok(refuse(door, request, Unclear::of(why))),
        who => who?,
    };
    let who = who.as_ref();
    match door.identity.verdict(&asked.target, who.map(|user| &**user)) {
        Verdict::Pass => Ok(passed(who, dialect)),
        Verdict::PassUnnamed => Ok(passed(None, dialect)),
        Verdict::SignIn => sign_in(door, request, &asked, dialect),
        Verdict::Refused(ambiguous) => {
            door.sightings.note_refused(request);
            Ok(refuse(door, request, ambiguous.into()))
        }
        verdict => {
            let (user, host) = (who.map(|user| user.id.as_str()), asked.target.host());
            tracing::info!(target: SECURITY, user, host, ?verdict, "a proxy was told to let somebody not pass");
            Ok(kept_out(door, request, verdict, who))
        }
    }
}

fn passed(who: Option<&Arc<User>>, dialect: Dialect) -> Reply {
    let mut reply = reply::empty(if dialect == Dialect::OAuth2 { StatusCode::ACCEPTED } else { StatusCode::OK });
    vouched::put(reply.headers_mut(), who, dialect);
    reply
}

/// What whoever is no trusted proxy is told; the operator is told once.
fn stranger(door: &Door, request: &Request) -> Reply {
    let peer = request.peer;
    door.strangers.call_once(|| {
        tracing::warn!(
            %peer,
            "an address that is no trusted proxy asks who may pass, and is refused; hint: if it is your proxy, name it in \
             web.trusted_proxies"
        );
    });
    let detail =
        format!("{peer} is no trusted proxy here. A hint for whoever runs this: name it in web.trusted_proxies.");
    Problem::new(StatusCode::FORBIDDEN, detail).to_json()
}

/// To the sign-in page, in the way that the proxy understands.
fn sign_in(door: &Door, request: &Request, asked: &Asked<'_>, dialect: Dialect) -> Result<Reply> {
    let url = asked.url(&door.settings);
    let (page, leads) = match dialect {
        Dialect::AuthRequest | Dialect::OAuth2 => (Some(pages::sign_in_for(&door.settings, &url)), false),
        Dialect::ForwardAuth => (Some(pages::sign_in_for(&door.settings, &url)), true),
        Dialect::Verify => (named_page(door, request, &url), true),
    };
    let location =
        page.map(|page| HeaderValue::from_str(&page).map_err(|e| Error::broken("naming the sign-in page", e)));
    let location = location.transpose()?.filter(|_| !leads || is_browser(request, asked));
    let mut reply = match leads && location.is_some() {
        true => reply::empty(StatusCode::FOUND),
        false => Problem::new(StatusCode::UNAUTHORIZED, "Not signed in.").to_json(),
    };
    location.map(|location| reply.headers_mut().insert(header::LOCATION, location));
    if bearer::is_ours(request) {
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, bearer::CHALLENGE.clone());
    }
    Ok(reply)
}

/// The sign-in page that a proxy names, which may be another one on an allowed domain.
fn named_page(door: &Door, request: &Request, url: &str) -> Option<String> {
    let queries = request.queries().ok()?;
    let named = queries.text("rd").ok().filter(|rd| !rd.is_empty())?;
    Some(pages::named_sign_in_for(&door.settings, named, url))
}

const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Whether a person sits there who can be led elsewhere.
fn is_browser(request: &Request, asked: &Asked<'_>) -> bool {
    matches!(asked.method, None | Some("GET" | "HEAD"))
        && request.wants_html()
        && !request.headers.contains_key(REQUESTED_WITH)
}

fn refuse(door: &Door, request: &Request, unclear: Unclear) -> Reply {
    tracing::debug!(why = %unclear.why, "a question of a proxy was not clear");
    if request.wants_html() {
        return refused::reply(&door.settings, &refused::unclear(&unclear.why));
    }
    Problem::new(StatusCode::FORBIDDEN, unclear.why).to_json()
}

fn kept_out(door: &Door, request: &Request, verdict: Verdict, who: Option<&Arc<User>>) -> Reply {
    if request.wants_html() {
        let email = who.map(|user| user.email.as_str());
        let page = if verdict == Verdict::Waits { refused::waits(email) } else { refused::forbidden(email) };
        return refused::reply(&door.settings, &page);
    }
    let detail = match verdict {
        Verdict::Waits => "The account waits for an administrator to approve it.",
        _ => "The account may not open this.",
    };
    Problem::new(StatusCode::FORBIDDEN, detail).to_json()
}
