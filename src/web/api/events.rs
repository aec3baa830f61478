//! Events: what happens to people's sessions, as server-sent events, for services that keep something open as long as
//! one lasts.
//!
//! Told to apps (by their name and password) and to whoever administers (by a token), on every node alike. An event's
//! name leads on from there on any node, after whatever happened meanwhile; whoever has missed more than is kept is told
//! `lost`, and looks at everything anew.

use futures_util::stream;
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::rfc3339;
use crate::error::Result;
use crate::identity::{Event, EventId, Listening, News, SessionEvent};
use crate::web::problem::ProblemBody;
use crate::web::{Door, Reply, Request, credentials, reply};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What an event says.
#[derive(Serialize, ToSchema)]
pub struct EventBody<'a> {
    /// User id.
    pub user: &'a str,
    /// The handle of the session, which is not the session id.
    pub session: &'a str,
    #[schema(format = DateTime)]
    pub at: String,
}

/// What happens to people's sessions from now on: `signin`, `signout`, `expired`, `revoked`; and `lost`, when more
/// happened than is known.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "streamEvents", security(("app" = []), ("token" = [])),
    params(("Last-Event-ID" = Option<String>, Header, description = "the last event that was heard: what came after it is told first")),
    responses(
        (status = 200, description = "events, until either side ends them", body = EventBody, content_type = "text/event-stream"),
        (status = 401, description = "no app and no token", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "a token without the scope `admin`", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn stream(door: &Door, request: &Request) -> Result<Reply> {
    credentials::app_or_admin(door, request).await?;
    let after = request.header(LAST_EVENT_ID).filter(|id| !id.is_empty()).map(str::parse::<EventId>).transpose()?;
    let listening = door.identity.listen(after).await?;
    let frames = stream::unfold(listening, |mut listening: Listening| async {
        let news = listening.next().await?;
        Some((stream::iter(frames(&news)), listening))
    });
    Ok(reply::events(StatusCode::OK, futures_util::StreamExt::flatten(frames)))
}

fn frames(news: &News) -> Vec<warp::sse::Event> {
    match news {
        News::Lost => vec![warp::sse::Event::default().event("lost").data("{}")],
        News::Events(events) => events.iter().map(frame).collect(),
    }
}

fn frame(event: &Event) -> warp::sse::Event {
    let name = match event.what {
        SessionEvent::SignIn => "signin",
        SessionEvent::SignOut => "signout",
        SessionEvent::Expired => "expired",
        SessionEvent::Revoked => "revoked",
    };
    let body = EventBody { user: &event.user, session: &event.handle, at: rfc3339(event.at) };
    let data = serde_json::to_string(&body).unwrap_or_default();
    warp::sse::Event::default().id(event.id.to_string()).event(name).data(data)
}
