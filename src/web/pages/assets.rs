//! Assets: the style sheet and the icon. Both are in the binary; their address changes with their content, so browsers
//! may keep them for ever.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
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
    serve(request, ("text/css; charset=utf-8", STYLE), &STYLE_TAG)
}

/// `GET /favicon.svg`
pub async fn favicon(_door: &Door, request: &Request) -> Result<Reply> {
    serve(request, ("image/svg+xml", FAVICON), &FAVICON_TAG)
}

fn serve(request: &Request, (kind, content): (&'static str, &'static str), tag: &str) -> Result<Reply> {
    let named = request.query.strip_prefix("v=").is_some_and(|version| version == tag);
    let mut reply = reply::asset(kind, content.as_bytes(), if named { KEEP_SECS } else { KEEP_BRIEFLY_SECS });
    let etag = format!("\"{tag}\"");
    let known = request.headers.get_all(header::IF_NONE_MATCH).iter();
    if known.filter_map(|v| v.to_str().ok()).any(|v| v.split(',').any(|t| t.trim().trim_start_matches("W/") == etag)) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply.body_mut().clear();
    }
    let etag = HeaderValue::from_str(&etag).map_err(|e| Error::broken("naming a version", e))?;
    reply.headers_mut().insert(header::ETAG, etag);
    Ok(reply)
}

/// 72 bits of the content's digest: enough to tell versions apart.
fn tag(content: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(content.as_bytes())[..9])
}
