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
            other => eprintln!("error: {}", other.told()),
        }
        ExitCode::from(self.status())
    }

    /// The message as operators read it: a lower-case line, and below it what to do.
    fn told(&self) -> String {
        let said = self.to_string();
        let (what, hint) = match said.split_once("hint: ") {
            Some((what, hint)) => (what.trim_end_matches([' ', '\n', ';']), Some(hint)),
            None => (said.as_str(), self.usual_hint()),
        };
        // what a room says to people in a browser is a whole sentence
        let mut letters = what.strip_suffix('.').unwrap_or(what).chars();
        let first = letters.next();
        let word = letters.clone().next().is_none_or(|second| !second.is_uppercase());
        let first = first.map(|c| if word { c.to_lowercase().to_string() } else { c.to_string() });
        let what = first.unwrap_or_default() + letters.as_str();
        hint.map_or_else(|| what.clone(), |hint| format!("{what}\n  hint: {hint}"))
    }

    /// What to do about an error of a room that does not say so itself.
    fn usual_hint(&self) -> Option<&'static str> {
        let kind = match self {
            Self::Unanswered(Unanswered::Refused(fault)) => fault.kind.as_str(),
            Self::NotReady(_) => return Some("its log says more; ask again in a moment"),
            _ => return None,
        };
        Some(match kind {
            "not_found" | "conflict" if self.to_string().starts_with("node") => {
                "`sojourn cluster status` lists all nodes"
            }
            "not_found" if self.to_string().starts_with("app") => "`sojourn app list` shows all apps",
            "not_found" if self.to_string().starts_with("token") => {
                "`sojourn token list EMAIL` shows those of an account"
            }
            "not_found" if self.to_string().starts_with("session") => "`sojourn session list` shows all that live",
            "conflict" if self.to_string().contains(" app ") => {
                "`sojourn app list` shows all apps; nothing was changed"
            }
            "not_found" => "`sojourn user list` shows all accounts",
            "conflict" => "`sojourn user list` shows all accounts; nothing was changed",
            "malformed" | "unacceptable" => "correct it and try again; nothing was changed",
            "full" => "raise sessions.memory_max; nothing was changed",
            "not_done" | "too_many" => "nothing was changed; try again",
            "fate_unknown" => "it may have been done: look before you try again",
            _ => "the node's log may say more",
        })
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
    use crate::control::protocol::Fault;

    fn refused(kind: &str, message: &str) -> String {
        Failure::from(Unanswered::Refused(Fault { kind: kind.into(), message: message.into() })).told()
    }

    #[test]
    fn operators_read_one_lower_case_line_and_a_hint() {
        assert_eq!(
            refused("conflict", "There is an account with this e-mail address already."),
            "there is an account with this e-mail address already\n  hint: `sojourn user list` shows all accounts; \
             nothing was changed"
        );
        assert_eq!(
            refused("not_found", "session not found"),
            "session not found\n  hint: `sojourn session list` shows all that live"
        );
        for said in [
            "the disk is full\nhint: make room",
            "the disk is full\n  hint: make room",
            "the disk is full; hint: make room",
        ] {
            assert_eq!(refused("broken", said), "the disk is full\n  hint: make room");
            assert_eq!(Failure::Room(Error::Broken(said.into())).told(), "the disk is full\n  hint: make room");
        }
        assert_eq!(refused("broken", "TLS failed"), "TLS failed\n  hint: the node's log may say more");
    }

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
