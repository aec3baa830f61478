//! First admin: the link that makes one, while there is none.
//!
//! A start gives it to a terminal or leaves it in a private file; a restart must not make useless what somebody copied
//! from there. So a link that still lies in the data directory and is good is given again, under the address that the
//! node has now. One that is spent, too old or no longer wanted is taken away.

use std::fs;
use std::path::Path;

use crate::clock::Millis;
use crate::config::Origin;
use crate::control::protocol::{Link, Purpose};
use crate::error::Result;
use crate::identity::{Identity, LinkPurpose};

/// Name of the file in the data directory.
pub const FILE: &str = "first-admin-link";

/// What stands between the address and the moment.
const UNTIL: &str = "good once, until ";

/// The link that makes the first admin: the one in the data directory, else a new one; `None` when there is an admin.
///
/// # Errors
/// `Broken`, `NotDone`, `FateUnknown`.
pub async fn link(identity: &Identity, data: &Path, public_url: &Origin) -> Result<Option<Link>> {
    let path = data.join(FILE);
    let link = |url, expires| Link { url, expires, purpose: Purpose::FirstAdmin };
    let kept = fs::read_to_string(&path).ok().and_then(|text| read(&text));
    if let Some((token, expires)) = kept
        && !identity.has_admin().await?
        && matches!(identity.link(&token).await, Ok(LinkPurpose::FirstAdmin))
    {
        return Ok(Some(link(format!("{public_url}/link/{token}"), expires)));
    }
    // most often it is not there, and what is spent or too old is no harm either
    let _ = fs::remove_file(&path);
    Ok(identity.first_admin_link().await?.map(|made| link(made.url, made.expires)))
}

/// What the file holds.
pub fn written(link: &Link) -> String {
    let until = jiff::Timestamp::from_millisecond(link.expires).unwrap_or_default();
    format!("{}\n{UNTIL}{until}\n", link.url)
}

/// The token in the file, and when it ends.
fn read(text: &str) -> Option<(String, Millis)> {
    let (url, rest) = text.split_once('\n')?;
    let (_, token) = url.trim().split_once("/link/")?;
    let until: jiff::Timestamp = rest.trim().strip_prefix(UNTIL)?.parse().ok()?;
    Some((token.to_owned(), until.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let url = "http://localhost:3000/link/abc_-9".to_owned();
        let text = written(&Link { url, expires: 1_700_000_000_123, purpose: Purpose::FirstAdmin });
        assert_eq!(text, "http://localhost:3000/link/abc_-9\ngood once, until 2023-11-14T22:13:20.123Z\n");
        assert_eq!(read(&text), Some(("abc_-9".into(), 1_700_000_000_123)));
        for other in ["", "\n", "http://localhost:3000/link/abc\n", "http://localhost:3000/\ngood once, until never\n"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
