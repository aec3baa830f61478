//! Failure: why a command did not do what it was told, and the exit status that says so.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::config::Problems;
use crate::control::Unanswered;
use crate::error::Error;

/// Why a command failed. Messages end in a hint where there is one to give.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong. Status 2.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// The command was used wrongly, in a way that the parser cannot see. Status 2.
    #[error("{0}")]
    Usage(String),
    /// The node did not answer, or said no.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// A room of this very process said no.
    #[error(transparent)]
    Room(#[from] Error),
    /// The node is there and not ready.
    #[error("not ready: {0}")]
    NotReady(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
    /// Whoever read our output went away: no failure at all.
    #[error("nobody reads the output")]
    NobodyReads,
}

impl Failure {
    /// `what: cause`, and what to do.
    pub(super) fn because(what: impl Display, cause: impl Display, hint: &str) -> Self {
        Self::Other(format!("{what}: {cause}\n  hint: {hint}"))
    }

    /// The node answered something that does not belong to the question.
    pub(super) fn unexpected() -> Self {
        Self::Other("the node answered something else\n  hint: is it of another version than this command?".into())
    }

    /// Says why on standard error, and gives the exit status.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::NobodyReads => return ExitCode::SUCCESS,
            Self::Settings(problems) => {
                for problem in &problems.0 {
                    eprintln!("error: {problem}");
                }
            }
            other => eprintln!("error: {other}"),
        }
        ExitCode::from(self.status())
    }

    fn status(&self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::Settings(_) | Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

/// Standard output's errors; other files say what they are by [`Failure::because`].
impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::because("cannot write the output", e, "is the disk full?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_tells_wrong_use_from_failure() {
        assert_eq!(Failure::Usage(String::new()).status(), 2);
        assert_eq!(Failure::Settings(Problems(Vec::new())).status(), 2);
        assert_eq!(Failure::NotReady(String::new()).status(), 1);
        assert_eq!(Failure::from(Error::NotFound("user")).status(), 1);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).status(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).status(), 1);
    }
}
