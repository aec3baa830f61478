//! Reply: what a command is answered, before a dialect makes bytes of it.
//!
//! Both dialects of Redis's protocol are written from these. What Redis 7.0 answers is the measure, its error texts
//! too: libraries compare them.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::state::Entry;

/// An answer.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// A simple string: `OK`.
    Status(Cow<'static, str>),
    /// An error: its code, and what is wrong.
    Error(Cow<'static, str>),
    Int(i64),
    Double(f64),
    Bulk(Bytes),
    /// The value of an entry.
    Value(Entry),
    /// Text of a format: `txt`.
    Verbatim(String),
    /// Nothing: a bulk string that is none.
    Null,
    /// No array at all.
    NullArray,
    Array(Vec<Reply>),
    /// Pairs; a flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// Members; an array in RESP2.
    Set(Vec<Reply>),
    /// Said of its own accord; an array in RESP2.
    Push(Vec<Reply>),
    /// Arrays of two, one after another; a flat array in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// Yes or no; 1 or 0 in RESP2.
    Bool(bool),
    /// A simple string of a script's that is no text.
    RawStatus(Bytes),
    /// An error of a script's that is no text.
    RawError(Bytes),
}

/// What a command's function answers: an error is an answer, too.
pub type Answered = Result<Reply, Reply>;

impl Reply {
    /// `OK`.
    pub const OK: Self = Self::Status(Cow::Borrowed("OK"));

    /// An error that begins with `ERR`.
    pub fn err(what: &'static str) -> Self {
        Self::Error(Cow::Borrowed(what))
    }

    /// An error whose text is made.
    pub fn error(what: impl Into<String>) -> Self {
        Self::Error(Cow::Owned(what.into()))
    }

    /// A simple string of any bytes, on one line.
    pub fn status_of(bytes: &[u8]) -> Self {
        match String::from_utf8(on_one_line(bytes)) {
            Ok(text) => Self::Status(text.into()),
            Err(raw) => Self::RawStatus(raw.into_bytes().into()),
        }
    }

    /// An error of any bytes, on one line.
    pub fn error_of(bytes: &[u8]) -> Self {
        match String::from_utf8(on_one_line(bytes)) {
            Ok(text) => Self::error(text),
            Err(raw) => Self::RawError(raw.into_bytes().into()),
        }
    }

    /// A bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// A number that counts.
    pub fn count(n: usize) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// 1 or 0.
    pub fn yes(is_so: bool) -> Self {
        Self::Int(i64::from(is_so))
    }

    /// Bytes that it takes, about.
    pub fn weight(&self) -> usize {
        const EACH: usize = 16;
        let all = |items: &[Self]| items.iter().map(Self::weight).sum::<usize>();
        EACH + match self {
            Self::Status(text) | Self::Error(text) => text.len(),
            Self::Bulk(bytes) | Self::RawStatus(bytes) | Self::RawError(bytes) => bytes.len(),
            Self::Value(entry) => entry.value().len(),
            Self::Verbatim(text) => text.len(),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => all(items),
            Self::Map(pairs) | Self::Pairs(pairs) => {
                pairs.iter().map(|(name, value)| name.weight() + value.weight()).sum()
            }
            Self::Int(_) | Self::Double(_) | Self::Null | Self::NullArray | Self::Bool(_) => 0,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_) | Self::RawError(_))
    }
}

fn on_one_line(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// Values are secrets.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Int(n) => write!(f, ":{n}"),
            Self::Bool(is_so) => write!(f, "#{is_so}"),
            Self::Double(n) => write!(f, ",{n}"),
            Self::Bulk(bytes) => write!(f, "${} bytes", bytes.len()),
            Self::RawStatus(bytes) => write!(f, "+{}", bytes.escape_ascii()),
            Self::RawError(bytes) => write!(f, "-{}", bytes.escape_ascii()),
            Self::Value(entry) => write!(f, "${} bytes", entry.value().len()),
            Self::Verbatim(text) => write!(f, "={} bytes", text.len()),
            Self::Null => f.write_str("_"),
            Self::NullArray => f.write_str("*-1"),
            Self::Array(items) | Self::Set(items) | Self::Push(items) => f.debug_list().entries(items).finish(),
            Self::Map(pairs) | Self::Pairs(pairs) => f.debug_list().entries(pairs).finish(),
        }
    }
}

/// What is wrong, in Redis's words.
pub mod wrong {
    use super::Reply;
    use crate::limits::REDIS_REPLY_MAX;

    pub fn kind() -> Reply {
        Reply::err("WRONGTYPE Operation against a key holding the wrong kind of value")
    }

    pub fn syntax() -> Reply {
        Reply::err("ERR syntax error")
    }

    pub fn integer() -> Reply {
        Reply::err("ERR value is not an integer or out of range")
    }

    pub fn float() -> Reply {
        Reply::err("ERR value is not a valid float")
    }

    /// Whether an answer of strings of so many bytes may be made: an error where it would be larger than any may be.
    pub fn unless_large(bytes: impl Iterator<Item = usize>) -> Result<(), Reply> {
        if bytes.map(|bytes| bytes + 16).sum::<usize>() > REDIS_REPLY_MAX { Err(large()) } else { Ok(()) }
    }

    pub fn large() -> Reply {
        Reply::err("ERR the answer would be larger than this server sends; ask for it in parts")
    }

    pub fn no_key() -> Reply {
        Reply::err("ERR no such key")
    }

    pub fn too_long() -> Reply {
        Reply::err("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    }

    pub fn too_large() -> Reply {
        Reply::err("ERR collection exceeds maximum allowed size")
    }

    pub fn overflow() -> Reply {
        Reply::err("ERR increment or decrement would overflow")
    }

    pub fn infinite() -> Reply {
        Reply::err("ERR increment would produce NaN or Infinity")
    }

    pub fn range() -> Reply {
        Reply::err("ERR value is out of range")
    }

    pub fn positive() -> Reply {
        Reply::err("ERR value is out of range, must be positive")
    }

    pub fn full() -> Reply {
        Reply::err("OOM command not allowed when used memory > 'maxmemory'.")
    }

    pub fn arity(command: &str) -> Reply {
        Reply::error(format!("ERR wrong number of arguments for '{command}' command"))
    }

    pub fn expire(command: &str) -> Reply {
        Reply::error(format!("ERR invalid expire time in '{command}' command"))
    }
}
