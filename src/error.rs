//! Error: everything that can go wrong, sorted by what the caller can do about it.
//!
//! Rooms return these; doors translate each into their own dialect (an HTTP status, a Redis error line, an exit
//! status) and log `Broken` once, there. A refusal that belongs to the decision itself is an `Outcome`, not an error.

use std::fmt::Display;

/// The result of anything a room does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. Messages are lower-case fragments; those that `Unacceptable` and `Malformed` carry are shown to
/// the person who sent the input and are whole sentences.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input cannot be read: wrong shape, wrong type, missing. HTTP 400.
    #[error("{0}")]
    Malformed(String),
    /// Nobody is signed in. HTTP 401.
    #[error("not signed in")]
    NotSignedIn,
    /// The address or the password is wrong; deliberately not said which. HTTP 401.
    #[error("invalid credentials")]
    Credentials,
    /// A token was shown, and is not good. HTTP 401.
    #[error("the token is not good, or not any more")]
    Token,
    /// Known, and not allowed. HTTP 403.
    #[error("{0}")]
    Forbidden(String),
    /// No such thing, or not yours. HTTP 404.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Somebody was first. HTTP 409.
    #[error("{0}")]
    Conflict(String),
    /// The input was read and breaks a rule of ours; `field` names what to change. HTTP 422.
    #[error("{message}")]
    Unacceptable { field: &'static str, message: String },
    /// Too many tries; come back later. HTTP 429.
    #[error("too many tries, try again in {retry_after_secs} s")]
    TooMany { retry_after_secs: u64 },
    /// The store holds as much as `memory_max` allows; nothing was changed. HTTP 503.
    #[error("the session store is full")]
    Full,
    /// Not done, and safe to send again. HTTP 503 with `Retry-After`.
    #[error("not done: {0}")]
    NotDone(String),
    /// It may or may not have been done. HTTP 504; never retried on the caller's behalf.
    #[error("outcome unknown")]
    FateUnknown,
    /// Our own fault or the machine's. HTTP 500; the detail goes to the log, not to the caller.
    #[error("{0}")]
    Broken(String),
}

impl Error {
    /// A fault of ours or of the machine: `context: cause`.
    pub fn broken(context: &str, cause: impl Display) -> Self {
        Self::Broken(format!("{context}: {cause}"))
    }
}
