//! Events: what happens to people's sessions, as server-sent events, for services that keep something open as long as
//! one lasts.
//!
//! Told to apps (by their name and password) and to whoever administers (by a token), on every node alike. An event's
//! name leads on from there on any node, after whatever happened meanwhile; whoever has missed more than is kept is told
//! `lost`, and looks at everything anew. Who they are is asked again with every beat, for as long as they listen.

use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use hyper::StatusCode;
use hyper::header::{self, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use utoipa::ToSchema;
use warp::sse;

use super::body::rfc3339;
use crate::error::{Error, Result};
use crate::identity::{Event, EventId, Identity, Listening, News, SessionEvent};
use crate::limits::EVENT_BEAT;
use crate::web::credentials::{self, Admitted};
use crate::web::problem::ProblemBody;
use crate::web::{Door, Problem, Reply, Request, reply};

const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"sojourn\"");
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
        (status = 200, description = "first an `id` alone, by which to come back; then events, until either side ends them", body = EventBody, content_type = "text/event-stream"),
        (status = 401, description = "no app and no token", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "a token without the scope `admin`", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn stream(door: &Door, request: &Request) -> Result<Reply> {
    let admitted = match Admitted::of(door, request).await {
        Err(error @ (Error::Credentials | Error::NotSignedIn | Error::Token)) => return Ok(unknown(error)),
        admitted => admitted?,
    };
    let after = request.header(LAST_EVENT_ID).filter(|id| !id.is_empty()).map(str::parse::<EventId>).transpose()?;
    let listening = door.identity.listen(after).await?;
    Ok(reply::events(StatusCode::OK, told(door.identity.clone(), admitted, listening)))
}

/// 401 with both ways to say who one is.
fn unknown(error: Error) -> Reply {
    let mut reply = Problem::of(error, "/api/v1/events").to_json();
    reply.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(BEARER);
    reply.headers_mut().append(header::WWW_AUTHENTICATE, credentials::BASIC);
    reply
}

/// What a listener is told. First the name by which to come back; beats show that the connection lives, and are when
/// whoever listens is asked again. The stream ends when they may no more, or when this node may not say.
fn told(identity: Arc<Identity>, admitted: Admitted, listening: Listening) -> impl Stream<Item = sse::Event> {
    let mut beats = interval_at(Instant::now() + EVENT_BEAT, EVENT_BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let first = sse::Event::default().id(listening.place().to_string());
    let whole = (identity, admitted, listening, beats);
    let next = stream::unfold(whole, |(identity, admitted, mut listening, mut beats)| async {
        let frames = tokio::select! {
            biased;
            _ = beats.tick() => match admitted.is_welcome(&identity).await {
                Ok(true) => vec![sse::Event::default().comment("")],
                _ => return None,
            },
            news = listening.next() => frames(&news?, listening.place()),
        };
        Some((stream::iter(frames), (identity, admitted, listening, beats)))
    });
    stream::iter([first]).chain(next.flatten())
}

fn frames(news: &News, place: EventId) -> Vec<sse::Event> {
    match news {
        News::Lost => vec![sse::Event::default().id(place.to_string()).event("lost").data("{}")],
        News::Events(events) => events.iter().map(frame).collect(),
    }
}

fn frame(event: &Event) -> sse::Event {
    let name = match event.what {
        SessionEvent::SignIn => "signin",
        SessionEvent::SignOut => "signout",
        SessionEvent::Expired => "expired",
        SessionEvent::Revoked => "revoked",
    };
    let body = EventBody { user: &event.user, session: &event.handle, at: rfc3339(event.at) };
    let data = serde_json::to_string(&body).unwrap_or_default();
    sse::Event::default().id(event.id.to_string()).event(name).data(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NewApp;
    use crate::identity::apps::digest;

    async fn stream_of(room: &Arc<Identity>, password: &str) -> impl Stream<Item = sse::Event> {
        let admitted = Admitted::App { name: "chat".into(), digest: digest(password.as_bytes()) };
        told(room.clone(), admitted, room.listen(None).await.expect("there is room"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_has_a_name_to_come_back_with_and_stays_as_long_as_it_is_welcome() {
        let room = Arc::new(Identity::alone().0);
        let new = NewApp { name: "chat".into(), prefix: "chat:".into(), may_sign_in: false, share: 50 };
        let (_, password) = room.add_app(new).await.expect("is added");
        let mut frames = Box::pin(stream_of(&room, &password).await);
        let first = frames.next().await.expect("a frame").to_string();
        let id = first.trim().strip_prefix("id:").expect("a name and nothing else").trim().to_owned();
        assert!(id.parse::<EventId>().is_ok_and(|id| id.index > 0), "{first}");
        for _ in 0..3 {
            assert_eq!(frames.next().await.expect("a beat").to_string().trim(), ":");
        }
        room.rotate_app("chat").await.expect("is rotated");
        assert!(frames.next().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_about_to_stop_tells_no_more() {
        let room = Arc::new(Identity::alone().0);
        let new = NewApp { name: "chat".into(), prefix: "chat:".into(), may_sign_in: false, share: 50 };
        let (_, password) = room.add_app(new).await.expect("is added");
        let mut frames = Box::pin(stream_of(&room, &password).await.skip(1));
        assert!(frames.next().await.is_some());
        room.close();
        assert!(frames.next().await.is_none());
    }
}
