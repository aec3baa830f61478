//! Codec: how values become bytes in the log, in snapshots and between nodes.
//!
//! bincode behind one door, so that it can be replaced. Every frame that is stored or sent begins with a format
//! version; a frame of another version is refused by name instead of being misread. Decoding is limited in size,
//! because a damaged length must not ask for a gigabyte.

use std::io;

use serde::{Serialize, de::DeserializeOwned};

/// The version in front of every stored or sent frame. Raised when the meaning of the bytes after it changes.
pub const FORMAT: u8 = 1;

/// The most that one frame may decode to, in bytes.
const FRAME_MAX: usize = 64 << 20;

/// The frame of a value: the version byte, then bincode with variable-length integers.
///
/// # Panics
/// Never for the types of this crate: none of them can fail to serialise.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = vec![FORMAT];
    bincode::serde::encode_into_std_write(value, &mut out, bincode::config::standard())
        .expect("our own types serialise into memory");
    out
}

/// The value of a frame.
///
/// # Errors
/// `InvalidData`, naming what is wrong: an empty frame, another version, bytes that do not decode, bytes left over.
pub fn decode<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let (&version, body) = frame.split_first().ok_or_else(|| damaged("empty frame".into()))?;
    if version != FORMAT {
        return Err(damaged(format!("frame of format {version}, this program reads format {FORMAT}")));
    }
    let limited = bincode::config::standard().with_limit::<FRAME_MAX>();
    let (value, used) =
        bincode::serde::decode_from_slice(body, limited).map_err(|e| damaged(format!("frame does not decode: {e}")))?;
    if used != body.len() {
        return Err(damaged(format!("{} bytes left over after a frame", body.len() - used)));
    }
    Ok(value)
}
