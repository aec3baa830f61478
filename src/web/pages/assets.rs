//! Assets: the style sheet and the icon. Both are in the binary; their address changes with their content, so browsers
//! may keep them for ever.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::web::{Door, Reply, Request, reply};

/// How long browsers keep an address that names its content, seconds: a year.
const KEEP_SECS: u32 = 31_536_000;
/// How long they keep one that does not, seconds. During an upgrade it may be another node's version.
const KEEP_BRIEFLY_SECS: u32 = 60;

pub static STYLE: &str = include_str!("../../../templates/style.css");
pub static FAVICON: &str = include_str!("../../../templates/favicon.svg");

static STYLE_TAG: LazyLock<String> = LazyLock::new(|| tag(STYLE));
static FAVICON_TAG: LazyLock<String> = LazyLock::new(|| tag(FAVICON));
static STYLE_HREF: LazyLock<String> = LazyLock::new(|| format!("/style.css?v={}", *STYLE_TAG));

/// The style sheet's address, with a version that changes with its content.
pub fn style_href() -> &'static str {
    &STYLE_HREF
}

/// `GET /style.css`
pub async fn style(_door: &Door, request: &Request) -> Result<Reply> {
    serve(&request.headers, &request.query, &Asset { kind: "text/css; charset=utf-8", content: STYLE, tag: &STYLE_TAG })
}

/// `GET /favicon.svg`
pub async fn favicon(_door: &Door, request: &Request) -> Result<Reply> {
    serve(&request.headers, &request.query, &Asset { kind: "image/svg+xml", content: FAVICON, tag: &FAVICON_TAG })
}

/// A file in the binary.
struct Asset<'a> {
    kind: &'static str,
    content: &'static str,
    /// Changes with the content.
    tag: &'a str,
}

fn serve(headers: &HeaderMap, query: &str, asset: &Asset<'_>) -> Result<Reply> {
    let named = query.strip_prefix("v=") == Some(asset.tag);
    let keep_secs = if named { KEEP_SECS } else { KEEP_BRIEFLY_SECS };
    let mut reply = reply::asset(asset.kind, asset.content.as_bytes(), keep_secs);
    if is_known(headers, asset.tag) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply.body_mut().clear();
    }
    let etag =
        HeaderValue::from_str(&format!("\"{}\"", asset.tag)).map_err(|e| Error::broken("naming a version", e))?;
    reply.headers_mut().insert(header::ETAG, etag);
    Ok(reply)
}

/// Whether the browser says that it has this version (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let sent = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    sent.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/").trim_matches('"') == tag)
}

/// 72 bits of the content's digest: enough to tell versions apart.
fn tag(content: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(content.as_bytes())[..9])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(headers: &HeaderMap, query: &str) -> Reply {
        let asset = Asset { kind: "text/css", content: STYLE, tag: &STYLE_TAG };
        serve(headers, query, &asset).expect("the style sheet")
    }

    #[test]
    fn only_an_address_that_names_this_content_is_kept_for_long() {
        let (_, named) = style_href().split_once('?').expect("a version");
        for (query, seconds) in [(named, KEEP_SECS), ("", KEEP_BRIEFLY_SECS), ("v=another", KEEP_BRIEFLY_SECS)] {
            let reply = style(&HeaderMap::new(), query);
            assert_eq!(reply.headers()[header::CACHE_CONTROL], format!("public, max-age={seconds}"), "{query:?}");
            assert_eq!(reply.body(), STYLE);
        }
    }

    #[test]
    fn a_browser_that_has_it_is_not_sent_it_again() {
        let etag = style(&HeaderMap::new(), "").headers()[header::ETAG].clone();
        let has = |value: HeaderValue| HeaderMap::from_iter([(header::IF_NONE_MATCH, value)]);
        let reply = style(&has(etag.clone()), "");
        assert_eq!((reply.status(), reply.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(reply.headers()[header::ETAG], etag);
        assert_eq!(style(&has(HeaderValue::from_static("\"older\"")), "").status(), StatusCode::OK);
    }

    #[test]
    fn the_style_sheet_fetches_nothing() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        assert!(!FAVICON.contains("href") && !FAVICON.contains("script"));
    }
}
