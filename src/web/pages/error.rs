//! Error pages: what happened, what to do, one way on. For browsers; everybody else gets problem+json.

use hyper::StatusCode;
use serde::Serialize;

use super::frame::Frame;
use super::{render, words};
use crate::error::Result;

/// What an error page says.
#[derive(Debug, Clone, Serialize)]
struct Oops {
    status: u16,
    title: &'static str,
    what: String,
    todo: String,
    way: Way,
}

/// The one link.
#[derive(Debug, Clone, Copy, Serialize)]
struct Way {
    href: &'static str,
    label: &'static str,
}

/// A wait that passes while the page is read, seconds.
const BRIEF_SECS: u64 = 5;

const START: Way = Way { href: "/", label: "Go to the start" };
const SIGN_IN: Way = Way { href: "/login", label: "Sign in" };

/// The page for a status. `detail` is a sentence meant for the person, empty when there is none; `retry_after_secs` is
/// what the `Retry-After` header says.
///
/// # Errors
/// `Broken` when the template does not fit, which the tests would have said.
pub fn page(status: StatusCode, detail: &str, retry_after_secs: Option<u64>) -> Result<String> {
    let (title, what, todo, way) = texts(status);
    // These two are told in the same words whatever the occasion, and the wait is told below.
    let told = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT);
    let what = if told || detail.is_empty() { what.to_owned() } else { sentence(detail) };
    let todo = match retry_after_secs {
        Some(secs) if secs > BRIEF_SECS => format!("Please try again in {}.", words::wait(secs)),
        Some(_) => "Please try again in a moment.".to_owned(),
        None => todo.to_owned(),
    };
    render("error.html", &Frame::bare(title), &Oops { status: status.as_u16(), title, what, todo, way })
}

/// Title, what happened, what to do, where to go.
fn texts(status: StatusCode) -> (&'static str, &'static str, &'static str, Way) {
    match status.as_u16() {
        400 => (
            "That could not be read",
            "The request was not of a shape that we know.",
            "Go back and send it once more. If that does not help, clear the cookies of this site.",
            START,
        ),
        401 => ("Please sign in", "This page is for people who are signed in.", "", SIGN_IN),
        403 => (
            "Not allowed",
            "You may not do that here.",
            "If you followed a link from another site, start from our own page instead.",
            START,
        ),
        404 => (
            "Nothing here",
            "There is no page at this address. It may have moved, or the link was used already.",
            "Check the address for a missing letter.",
            START,
        ),
        405 => ("Not like this", "This address exists, but does not take such a request.", "", START),
        413 => ("Too much at once", "What you sent is larger than we take.", "Send less of it.", START),
        415 => ("Not in this form", "What you sent is of a type that we do not take here.", "", START),
        422 => ("That will not do", "Something that you sent breaks a rule.", "Go back and change it.", START),
        429 => ("A moment, please", "There were too many tries.", "Please wait a little and try again.", START),
        503 => (
            "Back in a moment",
            "We could not do that just now, and nothing was changed.",
            "Please try again in a moment.",
            START,
        ),
        504 => (
            "We are not sure",
            "The answer took too long. What you asked for may have been done, or not.",
            "Look before you send it again.",
            START,
        ),
        _ if status.is_client_error() => {
            ("That did not work", "The request was refused.", "Go back and try something else.", START)
        }
        _ => (
            "Our mistake",
            "Something broke on our side. If it stays like this, tell whoever runs this site.",
            "It is not your fault. It may work when you try again.",
            START,
        ),
    }
}

/// An error's fragment as a sentence.
pub fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if fragment.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_words_of_its_own_and_a_way_on() {
        let mut seen = std::collections::HashSet::new();
        for status in [400, 401, 403, 404, 405, 413, 415, 422, 429, 500, 503, 504] {
            let code = StatusCode::from_u16(status).expect("a status");
            let (title, what, _, way) = texts(code);
            assert!(seen.insert(title), "{status} shares its title");
            assert!(what.ends_with('.') && way.href.starts_with('/'));
        }
        assert_eq!(texts(StatusCode::IM_A_TEAPOT).0, "That did not work");
        assert_eq!(texts(StatusCode::BAD_GATEWAY).0, "Our mistake");
    }

    #[test]
    fn a_wait_is_told_once_and_in_words() {
        let html =
            page(StatusCode::TOO_MANY_REQUESTS, "Too many tries. Try again in 600 s.", Some(600)).expect("a page");
        assert!(html.contains("try again in 10 minutes"));
        assert!(!html.contains("600 s"));
        let html = page(StatusCode::SERVICE_UNAVAILABLE, "not done: no leader", Some(1)).expect("a page");
        assert!(html.contains("Not done: no leader.") && html.contains("in a moment"));
    }
}
