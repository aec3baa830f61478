//! `sojourn app`: names and passwords of services, for the Redis door and for introspection.

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{self, JsonArray, Table, moment, plain};
use super::{Common, Failure};
use crate::control::protocol::{App, NewApp, Password};
use crate::control::{Request, Response};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add an app, and print its password, once
    #[command(after_help = "\
Examples:
  sojourn app add shop --prefix shop:
  sojourn app add cart --prefix cart: --share 10 --json

At the Redis door the app signs in with AUTH shop PASSWORD, and sees the keys that begin with its prefix and no others. \
Apps may have the very same prefix, to share what they keep; prefixes that merely reach into each other are refused.

The prefix of people's sessions (sess:) is granted like any other, and lets the app read and change what is kept in every \
session. With --may-sign-in what it says there about who is signed in counts, for /profile and forward-auth; never for \
the account pages and admins.")]
    Add(Add),
    /// List apps: prefix, rights, memory in use
    #[command(after_help = "Example:\n  sojourn app list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget an app: its password is good no more, and what it keeps stays until it ends
    #[command(after_help = "Example:\n  sojourn app remove shop")]
    Remove {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Give an app another password, and print it, once; the one before is good no more
    #[command(after_help = "Example:\n  sojourn app rotate shop")]
    Rotate {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: lower-case letters, digits, dots, - and _
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// What its keys begin with
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    prefix: String,
    /// What it says about who is signed in counts
    #[arg(long)]
    may_sign_in: bool,
    /// How much of the memory its entries may use, percent
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    share: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An app and its password, as programs read them.
#[derive(Serialize)]
struct Secret<'a> {
    #[serde(flatten)]
    app: &'a App,
    password: &'a str,
}

impl Command {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Add(Add { name, prefix, may_sign_in, share, json }) => {
                let new = NewApp { name, prefix, may_sign_in, share };
                secret(common, &Request::AppAdd(new), json, out)
            }
            Self::List { json } => list(common, json, out),
            Self::Remove { name } => {
                common.ask(&Request::AppRemove { name: name.clone() })?;
                Ok(writeln!(out, "removed {}; what it keeps stays until it ends", plain(&name))?)
            }
            Self::Rotate { name, json } => secret(common, &Request::AppRotate { name }, json, out),
        }
    }
}

/// The password alone on standard output, so that a script can take it; everything else is for people.
fn secret(common: &Common, request: &Request, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let Response::AppSecret { app, password: Password(password) } = common.ask(request)? else {
        return Err(Failure::unexpected());
    };
    if json {
        output::json(out, &Secret { app: &app, password: &password })?;
    } else {
        writeln!(out, "{password}")?;
    }
    if matches!(request, Request::AppAdd(_)) && app.sees_sessions {
        eprintln!("{}", granted(&app));
    }
    eprintln!("hint: this password is shown once; `sojourn app rotate {}` makes another", plain(&app.name));
    Ok(())
}

/// What an app gets whose prefix reaches people's sessions.
fn granted(app: &App) -> String {
    let (name, prefix) = (plain(&app.name), plain(&app.prefix));
    let claims = match app.may_sign_in {
        true => "; whom it names in one counts as signed in, for /profile and forward-auth",
        false => "; whom it names in one does not count as signed in",
    };
    format!(
        "caution: {prefix} reaches people's sessions: {name} can read, change and end every one of them, whoever's it \
         is{claims}"
    )
}

fn list(common: &Common, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let Response::Apps(apps) = common.ask(&Request::AppList)? else { return Err(Failure::unexpected()) };
    if json {
        let mut array = JsonArray::begin(out)?;
        apps.iter().try_for_each(|app| array.item(out, app))?;
        return Ok(array.end(out)?);
    }
    let mut table = Table::new(&["NAME", "PREFIX", "USES", "OF", "CREATED", ""]);
    Ok(table.rows(out, apps.into_iter().map(row).collect())?)
}

fn row(app: App) -> Vec<String> {
    let mut rights = Vec::new();
    rights.extend(app.may_sign_in.then_some("may sign in"));
    rights.extend(app.sees_sessions.then_some("sees sessions"));
    vec![
        app.name,
        app.prefix,
        indicatif::BinaryBytes(app.used_bytes).to_string(),
        format!("{} %", app.share),
        moment(app.created_at),
        rights.join(", "),
    ]
}
