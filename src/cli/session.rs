//! `sojourn session`: live sessions. Never shows a session's id, by which anybody could be that user.

use std::io::Write;

use clap::{Args, Subcommand};

use super::output::{self, JsonArray, Table, moment};
use super::{Common, Failure};
use crate::control::protocol::LiveSession;
use crate::control::{Request, Response};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List live sessions
    #[command(after_help = "Example:\n  sojourn session list --user ada@example.com")]
    List {
        /// Only those of this user
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one session and what apps keep in it
    #[command(after_help = "Example:\n  sojourn session show 1v9nNkZ0Qj2mXw5cTtB7aA")]
    Show {
        /// Handle, as listed, or session id
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End one session, or all sessions of a user
    #[command(after_help = "\
Examples:
  sojourn session revoke 1v9nNkZ0Qj2mXw5cTtB7aA
  sojourn session revoke --user ada@example.com")]
    Revoke(Which),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Which {
    /// Handle, as listed, or session id
    #[arg(allow_hyphen_values = true)]
    id: Option<String>,
    /// All sessions of this user
    #[arg(long, value_name = "EMAIL")]
    user: Option<String>,
}

impl Command {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::List { user, json: true } => list_json(common, user, out),
            Self::List { user, json: false } => list(common, user, out),
            Self::Show { id, json } => match common.ask(&Request::SessionShow { id })? {
                Response::Session(session) if json => Ok(output::json(out, &session)?),
                Response::Session(session) => show(&session, out),
                _ => Err(Failure::unexpected()),
            },
            Self::Revoke(which) => {
                let request = match which {
                    Which { user: Some(email), .. } => Request::SessionRevokeUser { email },
                    Which { id, .. } => Request::SessionRevoke { id: id.unwrap_or_default() },
                };
                match common.ask(&request)? {
                    Response::Ended { sessions: 1 } => Ok(writeln!(out, "ended 1 session")?),
                    Response::Ended { sessions } => Ok(writeln!(out, "ended {sessions} sessions")?),
                    _ => Err(Failure::unexpected()),
                }
            }
        }
    }
}

/// Asks for page after page.
fn each_page(
    common: &Common,
    user: Option<String>,
    mut page: impl FnMut(Vec<LiveSession>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut node = common.connect()?;
    let mut after = None;
    loop {
        let Response::Sessions { sessions, next } = node.ask(&Request::SessionList { user: user.clone(), after })?
        else {
            return Err(Failure::unexpected());
        };
        page(sessions)?;
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn list_json(common: &Common, user: Option<String>, out: &mut dyn Write) -> Result<(), Failure> {
    let mut array = JsonArray::begin(out)?;
    each_page(common, user, |sessions| Ok(sessions.iter().try_for_each(|s| array.item(out, s))?))?;
    Ok(array.end(out)?)
}

fn list(common: &Common, user: Option<String>, out: &mut dyn Write) -> Result<(), Failure> {
    let mut table = Table::new(&["HANDLE", "USER", "BEGUN", "EXPIRES", "ADDRESS", "AGENT"]);
    each_page(common, user, |sessions| {
        let row =
            |s: LiveSession| vec![s.handle, who(&s.email), moment(s.begun), moment(s.expires), s.address, s.agent];
        Ok(table.rows(out, sessions.into_iter().map(row).collect())?)
    })
}

fn who(email: &str) -> String {
    if email.is_empty() { "(anonymous)".into() } else { email.into() }
}

fn show(s: &LiveSession, out: &mut dyn Write) -> Result<(), Failure> {
    let mut pairs = vec![
        ("handle", s.handle.clone()),
        ("user", who(&s.email)),
        ("begun", moment(s.begun)),
        ("expires", format!("{} unless it is used", moment(s.expires))),
        ("ends", format!("{} at the latest", moment(s.absolute))),
        ("remember", if s.remember { "yes" } else { "no" }.into()),
        ("address", s.address.clone()),
        ("agent", s.agent.clone()),
    ];
    pairs.extend(s.data.as_ref().map(|data| ("data", data.to_string())));
    Ok(output::pairs(out, &pairs)?)
}
