//! `sojourn token`: personal access tokens, by which programs act for one person.

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{self, JsonArray, Table, moment, plain};
use super::{Common, Failure};
use crate::config::duration_flag;
use crate::control::protocol::{NewToken, Password, Token};
use crate::control::{Request, Response};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token that speaks for an account, and print it, once
    #[command(after_help = "\
Examples:
  sojourn token add ada@example.com --name ci
  sojourn token add ada@example.com --name phone --scope profile,sessions --expires 90d

Scopes: profile (who they are), sessions (list and end their sessions), admin (for admins). A program sends it as \
Authorization: Bearer sjt_…")]
    Add(Add),
    /// List the tokens of an account
    #[command(after_help = "Example:\n  sojourn token list ada@example.com --json")]
    List {
        /// Address of the account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        email: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token: it is good no more, anywhere
    #[command(after_help = "Example:\n  sojourn token remove 0199a1b2-c3d4-7abc-8abc-0123456789ab")]
    Remove {
        /// Its id, as listed; not the token
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Address of the account
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    email: String,
    /// What its owner knows it by
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// What it is good for
    #[arg(long = "scope", value_name = "SCOPES", value_delimiter = ',', default_value = "profile")]
    scopes: Vec<String>,
    /// How long it is good; without, until it is ended
    #[arg(long, value_name = "TIME", value_parser = duration_flag)]
    expires: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A token and what to show for it, as programs read them.
#[derive(Serialize)]
struct Secret<'a> {
    token: &'a str,
    #[serde(flatten)]
    known_as: &'a Token,
}

impl Command {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(common, out),
            Self::List { email, json } => list(common, email, json, out),
            Self::Remove { id } => {
                common.ask(&Request::TokenRemove { id: id.clone() })?;
                Ok(writeln!(out, "ended {}", plain(&id))?)
            }
        }
    }
}

impl Add {
    /// The token alone on standard output, so that a script can take it; everything else is for people.
    fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let Self { email, name, scopes, expires, json } = self;
        let new = NewToken { email, name, scopes, lifetime_ms: expires };
        let Response::TokenAdded { token, secret: Password(secret) } = common.ask(&Request::TokenAdd(new))? else {
            return Err(Failure::unexpected());
        };
        if json {
            output::json(out, &Secret { token: &secret, known_as: &token })?;
        } else {
            writeln!(out, "{secret}")?;
        }
        eprintln!("hint: this token is shown once; `sojourn token remove {}` ends it", plain(&token.id));
        Ok(())
    }
}

fn list(common: &Common, email: String, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let Response::Tokens(tokens) = common.ask(&Request::TokenList { email })? else {
        return Err(Failure::unexpected());
    };
    if json {
        let mut array = JsonArray::begin(out)?;
        tokens.iter().try_for_each(|token| array.item(out, token))?;
        return Ok(array.end(out)?);
    }
    let mut table = Table::new(&["ID", "NAME", "SCOPES", "CREATED", "LAST USED", "EXPIRES"]);
    Ok(table.rows(out, tokens.into_iter().map(row).collect())?)
}

fn row(token: Token) -> Vec<String> {
    let day = |at| moment(at).chars().take(10).collect();
    vec![
        token.id,
        token.name,
        token.scopes.join(","),
        moment(token.created_at),
        token.last_used.map_or_else(|| "never".into(), day),
        token.expires_at.map_or_else(|| "never".into(), moment),
    ]
}
