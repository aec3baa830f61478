//! Assets: the style sheet and the icon. Both are in the binary; their address changes with their content, so browsers
//! may keep them for ever.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

pub static STYLE: &str = include_str!("../../../templates/style.css");
pub static FAVICON: &str = include_str!("../../../templates/favicon.svg");

static STYLE_TAG: LazyLock<String> = LazyLock::new(|| tag(STYLE));
static STYLE_HREF: LazyLock<String> = LazyLock::new(|| format!("/style.css?v={}", *STYLE_TAG));

/// The style sheet's address, with a version that changes with its content.
pub fn style_href() -> &'static str {
    &STYLE_HREF
}

/// 72 bits of the content's digest: enough to tell versions apart.
fn tag(content: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(content.as_bytes())[..9])
}
