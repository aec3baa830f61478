//! Problem: what an error looks like from outside.
//!
//! One shape for all of them, written as `application/problem+json` (RFC 9457) for programs and as a page for people.
//! Our own faults are logged here, once, with an id that the reply carries too; their detail stays in the log.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Reply, bearer, pages, reply};
use crate::error::Error;
use crate::random;

/// What went wrong, for whoever sent the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// A sentence for people.
    pub detail: Cow<'static, str>,
    /// Which field to change, on 422.
    pub field: Option<&'static str>,
    /// When to come back, on 429 and 503.
    pub retry_after_secs: Option<u64>,
    /// What to quote to the operator, on 500.
    pub request_id: Option<String>,
    /// How to say who one is, on 401, where it is not by cookie.
    pub challenge: Option<&'static HeaderValue>,
}

/// The JSON form of a problem (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Always `about:blank`: the status says which kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    status: u16,
    /// A sentence for people.
    detail: &'a str,
    /// Which field to change, on 422.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// What to quote to the operator, on 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    /// A problem that is told in one sentence.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { status, detail, field: None, retry_after_secs: None, request_id: None, challenge: None }
    }

    /// What `error`, met on `route`, looks like from outside. Logs what is our own fault.
    pub fn of(error: Error, route: &str) -> Self {
        match error {
            Error::Malformed(detail) => Self::new(StatusCode::BAD_REQUEST, sentence(&detail)),
            Error::NotSignedIn => Self::new(StatusCode::UNAUTHORIZED, "Not signed in."),
            Error::Credentials => Self::new(StatusCode::UNAUTHORIZED, "Invalid credentials."),
            Error::Token => Self {
                challenge: Some(&bearer::CHALLENGE),
                ..Self::new(StatusCode::UNAUTHORIZED, "The token is not good, or not any more.")
            },
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, sentence(&detail)),
            Error::NotFound(what) => Self::new(StatusCode::NOT_FOUND, sentence(&format!("{what} not found"))),
            Error::Conflict(detail) => Self::new(StatusCode::CONFLICT, sentence(&detail)),
            Error::Unacceptable { field, message } => {
                Self { field: Some(field), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, sentence(&message)) }
            }
            Error::TooMany { retry_after_secs } => {
                let detail = format!("Too many tries. Try again in {retry_after_secs} s.");
                let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
                Self { retry_after_secs: Some(retry_after_secs), ..problem }
            }
            Error::Full => Self::unavailable("The session store is full. Nothing was changed."),
            Error::NotDone(detail) => Self::unavailable(sentence(&format!("not done: {detail}"))),
            Error::FateUnknown => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "It may or may not have been done. Look before you send it again.",
            ),
            Error::Broken(cause) => Self::broken(&cause, route),
        }
    }

    /// A fault of ours on `route`: logged with its cause, told without.
    pub fn broken(cause: &str, route: &str) -> Self {
        let id = random::token::<9>();
        tracing::error!(route, request_id = %id, error = cause, "request failed");
        let detail = format!("Something broke on our side. Please quote {id} to whoever runs this.");
        Self { request_id: Some(id), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail) }
    }

    fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after_secs: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// The problem as a reply for programs.
    pub fn to_json(&self) -> Reply {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field,
            request_id: self.request_id.as_deref(),
        };
        self.with_headers(reply::problem(self.status, &body))
    }

    /// The problem as a page; as JSON if the page cannot be had.
    pub fn to_page(&self) -> Reply {
        match pages::error::page(self.status, &self.detail, self.retry_after_secs) {
            Ok(page) => self.with_headers(reply::html(self.status, page)),
            Err(error) => {
                tracing::error!(%error, "the error page cannot be rendered");
                self.to_json()
            }
        }
    }

    fn with_headers(&self, mut reply: Reply) -> Reply {
        if let Some(challenge) = &self.challenge {
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, (*challenge).clone());
        }
        if let Some(secs) = self.retry_after_secs {
            reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        reply
    }
}

/// A fragment as a sentence: capital first, full stop last.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if fragment.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(error: Error) -> (u16, serde_json::Value, Reply) {
        let reply = Problem::of(error, "/x").to_json();
        assert_eq!(reply.headers()[header::CONTENT_TYPE], "application/problem+json");
        (reply.status().as_u16(), serde_json::from_slice(reply.body()).unwrap(), reply)
    }

    #[test]
    fn every_error_has_the_status_that_its_meaning_asks_for() {
        let field = "password";
        let cases = [
            (Error::Malformed("Please fill in all the fields.".into()), 400, "Please fill in all the fields."),
            (Error::NotSignedIn, 401, "Not signed in."),
            (Error::Credentials, 401, "Invalid credentials."),
            (Error::Forbidden("sign-up is closed".into()), 403, "Sign-up is closed."),
            (Error::NotFound("session"), 404, "Session not found."),
            (Error::Conflict("that address is taken".into()), 409, "That address is taken."),
            (Error::Unacceptable { field, message: "Too short.".into() }, 422, "Too short."),
            (Error::TooMany { retry_after_secs: 30 }, 429, "Too many tries. Try again in 30 s."),
            (Error::Full, 503, "The session store is full. Nothing was changed."),
            (Error::NotDone("no leader".into()), 503, "Not done: no leader."),
            (Error::FateUnknown, 504, "It may or may not have been done. Look before you send it again."),
        ];
        for (error, status, detail) in cases {
            let (seen, body, _) = json(error);
            assert_eq!(
                (seen, body["status"].as_u64(), body["detail"].as_str()),
                (status, Some(status.into()), Some(detail))
            );
            assert_eq!(body["type"], "about:blank");
            assert!(body["title"].as_str().is_some_and(|t| !t.is_empty()));
        }
    }

    #[test]
    fn a_broken_rule_names_its_field() {
        let (_, body, _) = json(Error::Unacceptable { field: "email", message: "No.".into() });
        assert_eq!(body["field"], "email");
        let (_, body, _) = json(Error::Credentials);
        assert!(body.get("field").is_none());
    }

    #[test]
    fn come_back_later_says_when() {
        assert_eq!(json(Error::TooMany { retry_after_secs: 30 }).2.headers()[header::RETRY_AFTER], "30");
        assert_eq!(json(Error::Full).2.headers()[header::RETRY_AFTER], "1");
        assert_eq!(json(Error::NotDone("x".into())).2.headers()[header::RETRY_AFTER], "1");
        assert!(!json(Error::FateUnknown).2.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn our_faults_keep_their_cause_to_the_log() {
        let (status, body, reply) = json(Error::Broken("redb: disk on fire at /srv/secret".into()));
        assert_eq!(status, 500);
        let text = String::from_utf8_lossy(reply.body()).into_owned();
        assert!(!text.contains("redb") && !text.contains("secret"));
        assert!(body["detail"].as_str().unwrap().contains(body["request_id"].as_str().unwrap()));
    }
}
