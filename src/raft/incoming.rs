//! Incoming: what peers send, as far as it is read.
//!
//! Everything has a bound and a time. A snapshot goes into a file that is gone again unless it was installed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Buf as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::peers::door::Refusal;
use super::types::{SnapshotMeta, Vote};
use crate::state::codec;

/// Most bytes of what stands in front of a snapshot.
const HEAD_MAX: u32 = 1 << 20;

/// How long a question may take to arrive, and how long a snapshot may pause on its way.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// A file that is removed unless somebody took it away.
#[derive(Debug)]
pub struct Partial(pub PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // an installed snapshot was renamed: then there is nothing to remove
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Writes a snapshot's bytes to `path`, durably, and answers what stood in front of them.
pub async fn receive(mut body: Incoming, path: &Path) -> io::Result<(Vote, SnapshotMeta)> {
    let mut head = Vec::new();
    let mut wanted = None;
    let mut file = tokio::fs::File::create(path).await?;
    let silent = |_| io::Error::from(io::ErrorKind::TimedOut);
    while let Some(frame) = timeout(READ_WITHIN, body.frame()).await.map_err(silent)? {
        let Ok(mut data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        while !data.is_empty() {
            let missing = wanted.unwrap_or(4_usize).saturating_sub(head.len());
            if missing > 0 {
                let taken = missing.min(data.len());
                head.extend_from_slice(&data[..taken]);
                data.advance(taken);
            } else {
                file.write_all(&data).await?;
                break;
            }
            if wanted.is_none() && head.len() == 4 {
                let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
                if length == 0 || length > HEAD_MAX {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a snapshot without a head"));
                }
                wanted = Some(4 + length as usize);
            }
        }
    }
    file.sync_all().await?;
    if wanted != Some(head.len()) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a snapshot that broke off"));
    }
    codec::decode(&head[4..])
}

/// Reads a question of so many bytes at most.
pub async fn read<T: DeserializeOwned>(body: Incoming, most: usize) -> Result<T, Refusal> {
    let malformed = |why: String| Refusal { status: StatusCode::BAD_REQUEST, why };
    let body = match timeout(READ_WITHIN, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            let why = format!("a question of more than {most} bytes");
            return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, why });
        }
        Ok(Err(e)) => return Err(malformed(e.to_string())),
        Err(_) => return Err(Refusal { status: StatusCode::REQUEST_TIMEOUT, why: "a question without an end".into() }),
    };
    codec::decode(&body).map_err(|e| malformed(e.to_string()))
}
