//! Error pages.

use hyper::StatusCode;

use crate::error::Result;

/// The page for a status.
pub fn page(status: StatusCode, detail: &str, _retry_after_secs: Option<u64>) -> Result<String> {
    Ok(format!("<!doctype html><title>{status}</title><p>{}", detail.replace('<', "&lt;")))
}
