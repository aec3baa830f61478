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
    /// What to quote to the operator; empty when there is nothing to look for.
    request: String,
    way: Way,
}

/// What stands beside the sentence, where there is any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aside<'a> {
    /// What the `Retry-After` header says, seconds.
    pub wait: Option<u64>,
    /// The id under which the log tells more.
    pub request: Option<&'a str>,
}

/// The one link.
#[derive(Debug, Clone, Copy, Serialize)]
struct Way {
    href: &'static str,
    label: &'static str,
}

const START: Way = Way { href: "/", label: "Go to the start" };
const SIGN_IN: Way = Way { href: "/login", label: "Sign in" };

/// The page for a status. `detail` is a sentence meant for the person, empty when there is none.
pub fn page(status: StatusCode, detail: &str, aside: Aside<'_>) -> Result<String> {
    let (title, what, todo, way) = texts(status);
    let what = if detail.is_empty() { what.to_owned() } else { sentence(detail) };
    let todo = match aside.wait {
        Some(secs) => format!("Please try again in {}.", words::wait(secs)),
        None => todo.to_owned(),
    };
    let request = aside.request.unwrap_or_default().to_owned();
    render("error.html", &Frame::bare(title), &Oops { status: status.as_u16(), title, what, todo, request, way })
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
        400..=499 => ("That did not work", "The request was refused.", "Go back and try something else.", START),
        _ => (
            "Our mistake",
            "Something broke on our side. It is in our log, and it is not your fault.",
            "Please try again. If it stays like this, tell whoever runs this site.",
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
