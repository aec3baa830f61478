//! Landing: the beer counter and the session panel. Looking creates nothing; pouring does.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::{Frame, Viewer};
use super::render;
use crate::clock::Millis;
use crate::error::Result;
use crate::identity::Session;
use crate::web::{Door, Reply, Request, reply};

/// The longest beer name that is shown, characters. An app may have written anything there.
const NAME_MAX: usize = 120;

/// Strokes that fit on the mat. The landlord then takes a new one.
const MAT_STROKES: u64 = 30;

/// The rows of the mat, in the units of its drawing: how many groups of five each takes, and how far down it is.
const MAT_ROWS: [(u64, u64); 2] = [(4, 188), (2, 228)];
// The middle of the mat, how wide a group is, and how far one stands from the next.
const MAT_MIDDLE: u64 = 160;
const GROUP_WIDTH: u64 = 24;
const GROUP_STEP: u64 = 43;

/// `GET /`
pub async fn show(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    let page = Landing::of(visitor.session.as_ref(), door.identity.now());
    Ok(reply::html(StatusCode::OK, page.html(&Viewer::new(&visitor, &door.settings))?))
}

/// `POST /pour`
pub async fn pour(door: &Door, request: &Request) -> Result<Reply> {
    let visitor = door.visitor(request).await?;
    let granted = door.identity.pour(&visitor, &request.client()).await?;
    reply::grant(reply::redirect("/")?, &door.settings, &granted)
}

/// A live session, as pages tell of it.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    /// The public name of the session; its id never leaves the cookie.
    handle: String,
    /// Seconds.
    expires_in: i64,
    /// What a full bar means, seconds.
    idle_secs: i64,
    /// The same in words.
    left: String,
}

impl SessionView {
    pub fn of(session: &Session, now: Millis) -> Self {
        let facts = session.glance();
        // one that an app keeps has no idle timeout of ours: the bar begins where it was last written
        let from_ms =
            if facts.is_apps() { session.expires().saturating_sub(session.entry.stamp()) } else { facts.idle_ms };
        let idle_secs = (from_ms / 1_000).max(1);
        Self::new(session.handle(), session.expires_in(now), idle_secs)
    }

    pub fn new(handle: String, expires_in: i64, idle_secs: i64) -> Self {
        let expires_in = expires_in.max(0);
        Self { handle, expires_in, idle_secs: idle_secs.max(expires_in), left: super::words::span(expires_in) }
    }
}

/// What the landing page shows besides who is looking.
#[derive(Debug, Clone, Serialize)]
pub struct Landing {
    /// How many were poured in this session.
    pub beers: u64,
    /// The name of the last one.
    pub beer: Option<String>,
    /// The number on the mat, which has room for five digits.
    label: String,
    tally: Vec<Group>,
    pub session: Option<SessionView>,
}

/// Up to five strokes on the mat, and where they stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Group {
    x: u64,
    y: u64,
    strokes: u64,
}

impl Landing {
    pub fn new(beers: u64, beer: Option<&str>, session: Option<SessionView>) -> Self {
        let beer = beer.map(|name| name.chars().take(NAME_MAX).collect()).filter(|name: &String| !name.is_empty());
        let label = if beers > 99_999 { "99999+".to_owned() } else { beers.to_string() };
        Self { beers, beer, label, tally: tally(beers), session }
    }

    fn of(session: Option<&Session>, now: Millis) -> Self {
        let Some(session) = session else { return Self::new(0, None, None) };
        let data = session.data();
        let beers = data.get("beers").and_then(serde_json::Value::as_u64).unwrap_or(0);
        let beer = data.get("beer").and_then(serde_json::Value::as_str);
        Self::new(beers, beer, Some(SessionView::of(session, now)))
    }

    pub fn html(&self, viewer: &Viewer<'_>) -> Result<String> {
        render("landing.html", &Frame::of("Craft Beer", "/", viewer), self)
    }
}

/// The strokes on the mat, each row in the middle.
fn tally(beers: u64) -> Vec<Group> {
    if beers == 0 {
        return Vec::new();
    }
    let mut left = (beers - 1) % MAT_STROKES + 1;
    let mut groups = Vec::new();
    for (room, y) in MAT_ROWS {
        let here = left.div_ceil(5).min(room);
        let width = GROUP_STEP * here.saturating_sub(1) + GROUP_WIDTH;
        for nth in 0..here {
            let strokes = left.min(5);
            groups.push(Group { x: MAT_MIDDLE - width / 2 + GROUP_STEP * nth, y, strokes });
            left -= strokes;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mat_has_a_stroke_for_every_beer_until_it_is_full() {
        for beers in 0..=MAT_STROKES {
            assert_eq!(tally(beers).iter().map(|g| g.strokes).sum::<u64>(), beers);
        }
        assert_eq!(tally(31).iter().map(|g| g.strokes).sum::<u64>(), 1);
        assert_eq!(tally(u64::MAX).len(), 3, "2^64 - 1 leaves 15 on the mat");
    }

    #[test]
    fn a_full_bar_is_never_shorter_than_what_is_left() {
        let view = SessionView::new("h".to_owned(), 3_660, 3_600);
        assert_eq!((view.expires_in, view.idle_secs), (3_660, 3_660));
        assert_eq!(SessionView::new("h".to_owned(), -1, 3_600).expires_in, 0);
    }
}
