//! Refused: what a browser sees that a proxy does not let through to a service.
//!
//! The proxy shows it at the service's own address, from which none of our other addresses can be loaded: so it stands
//! alone, with its style in it, named by digest in a policy of its own.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use minijinja::value::{Serde, Value};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ENVIRONMENT;
use crate::error::{Error, Result};
use crate::web::{Problem, Reply, Settings, reply};

static STYLE: &str = include_str!("../../../templates/refused.css");

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let text = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&text).expect("base64 is ASCII")
});

/// What such a page says.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    title: &'static str,
    what: String,
    todo: &'static str,
    /// Path of ours, and what its link is called.
    way: (&'static str, &'static str),
}

/// For somebody whom no admin has approved yet.
pub fn waits(email: Option<&str>) -> Page {
    Page {
        title: "Waiting for approval",
        what: format!("{} An administrator has to approve your account before it opens this page.", signed_in(email)),
        todo: "There is nothing for you to do. Once it is approved, load this page again.",
        way: ("/account", "Your account"),
    }
}

/// For somebody who may not pass.
pub fn forbidden(email: Option<&str>) -> Page {
    Page {
        title: "Not allowed",
        what: format!("{} This page is not open to you.", signed_in(email)),
        todo: "If it should be, ask whoever runs this site. With another account, sign out first.",
        way: ("/home", "Go to the sign-in server"),
    }
}

/// For a request that could be read in more than one way.
pub fn unclear(why: &str) -> Page {
    Page {
        title: "That could not be read",
        what: why.to_owned(),
        todo: "Check the address, or start from the first page of this site.",
        way: ("/home", "Go to the sign-in server"),
    }
}

fn signed_in(email: Option<&str>) -> String {
    email.map_or_else(String::new, |email| format!("You are signed in as {email}."))
}

#[derive(Serialize)]
struct View<'a> {
    public_url: &'a str,
    style: &'static str,
    page: &'a Page,
}

/// The page, with 403.
pub fn reply(settings: &Settings, page: &Page) -> Reply {
    match html(settings, page) {
        Ok(html) => {
            let mut reply = reply::html(StatusCode::FORBIDDEN, html);
            reply.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
            reply
        }
        Err(error) => Problem::of(error, "refused").to_json(),
    }
}

pub(super) fn html(settings: &Settings, page: &Page) -> Result<String> {
    let view = View { public_url: &settings.public_url, style: STYLE, page };
    let template = ENVIRONMENT.get_template("refused.html").map_err(|e| Error::broken("finding a page", e))?;
    template.render(Value::from(Serde(&view))).map_err(|e| Error::broken("rendering a page", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_stands_alone_is_small_and_takes_nobodys_markup() {
        let settings = Settings::of("https://login.example.com");
        let hostile = "\"'><img src=x onerror=alert(1)>";
        for page in [waits(Some(hostile)), forbidden(Some(hostile)), forbidden(None), unclear(hostile)] {
            let reply = reply(&settings, &page);
            let html = String::from_utf8_lossy(reply.body()).into_owned();
            assert!(!html.contains("<img") && !html.contains("<script") && html.len() < 8 << 10, "{html}");
            assert!(html.contains("href=\"https://login.example.com/") && !html.contains("href=\"/"), "{html}");
            // the digest is that of what stands between the tags, to the byte
            let style = html.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
            let digest = STANDARD.encode(Sha256::digest(style));
            let policy = reply.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII");
            assert!(policy.contains(&format!("style-src 'sha256-{digest}'")) && !policy.contains("unsafe"), "{policy}");
        }
    }
}
