//! `sojourn user`: accounts. Those made here count as approved, and their address as verified.

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::account_file::{self, Format};
use super::output::{self, JsonArray, Table, moment, plain};
use super::{Common, Failure};
use crate::control::protocol::{Account, Link, NewAccount, Password, Purpose};
use crate::control::{Request, Response};
use crate::limits;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account
    #[command(after_help = "\
Examples:
  sojourn user add ada@example.com --admin --name 'Ada Lovelace'
  sojourn user add ada@example.com --password-stdin < password.txt

Without --password-stdin, a one-time link is printed by which the user sets the password.")]
    Add(Add),
    /// List accounts
    #[command(after_help = "Example:\n  sojourn user list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one account
    #[command(after_help = "Example:\n  sojourn user show ada@example.com")]
    Show {
        /// Address of the account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        email: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse every way in, and end all sessions
    #[command(after_help = "Example:\n  sojourn user disable ada@example.com")]
    Disable(Email),
    /// Allow a disabled account in again
    #[command(after_help = "Example:\n  sojourn user enable ada@example.com")]
    Enable(Email),
    /// Forget an account for good, and end all its sessions
    #[command(after_help = "Example:\n  sojourn user delete ada@example.com")]
    Delete(Email),
    /// Replace the password, and end all sessions
    #[command(after_help = "Example:\n  sojourn user set-password ada@example.com --password-stdin < password.txt")]
    SetPassword {
        /// Address of the account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        email: String,
        /// Read the password from standard input: arguments can be seen by everybody on the machine
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Print a one-time link that sets the password, or makes the first admin
    #[command(after_help = "\
Example:
  sojourn user link ada@example.com

The link is good for an hour. For an address that nobody has it is refused, unless there is no admin yet: then whoever \
opens it becomes the first admin.")]
    Link {
        /// Address of the account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        email: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let somebody who signed up pass forward-auth
    #[command(after_help = "Example:\n  sojourn user approve ada@example.com")]
    Approve(Email),
    /// Put somebody into these groups, and out of all others
    #[command(after_help = "\
Examples:
  sojourn user groups ada@example.com staff admins
  sojourn user groups ada@example.com              leaves all groups

Rules for forward-auth ([[access]] in the settings) name groups; services see them in Remote-Groups.")]
    Groups {
        /// Address of the account
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        email: String,
        /// All groups that the user is in from now on
        groups: Vec<String>,
    },
    /// Add the accounts of a file
    #[command(after_help = "\
Example:
  sojourn user import users.csv

The file is CSV with a header, or one JSON object a line, with id, email, password_hash, first_name, last_name, \
created_at. Hashes of argon2, bcrypt, scrypt and PBKDF2 are taken as they are, and replaced by argon2id when their owner \
next signs in. Accounts whose address or id exists are left alone, so an import may be run again.")]
    Import(Import),
}

#[derive(Debug, Args)]
pub(super) struct Email {
    /// Address of the account
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    email: String,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// Address of the account
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    email: String,
    /// May administer
    #[arg(long)]
    admin: bool,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// First and last name
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; - reads standard input
    file: PathBuf,
    /// How it is written; guessed when not given
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(common, out),
            Self::List { json: true } => list_json(common, out),
            Self::List { json: false } => list(common, out),
            Self::Show { email, json } => match common.ask(&Request::UserShow { email })? {
                Response::User(user) if json => Ok(output::json(out, &user)?),
                Response::User(user) => show(&user, out),
                _ => Err(Failure::unexpected()),
            },
            Self::Disable(Email { email }) => change(common, &Request::UserDisable { email }, "disabled", out),
            Self::Enable(Email { email }) => change(common, &Request::UserEnable { email }, "enabled", out),
            Self::Approve(Email { email }) => change(common, &Request::UserApprove { email }, "approved", out),
            Self::Delete(Email { email }) => {
                common.ask(&Request::UserDelete { email: email.clone() })?;
                Ok(writeln!(out, "deleted {}", plain(&email))?)
            }
            Self::SetPassword { email, .. } => {
                let password = read_password("ask for a link instead: `sojourn user link EMAIL`")?;
                common.ask(&Request::UserSetPassword { email: email.clone(), password })?;
                Ok(writeln!(out, "set the password of {} and ended all sessions", plain(&email))?)
            }
            Self::Link { email, json } => match common.ask(&Request::UserLink { email: email.clone() })? {
                Response::Link(link) if json => Ok(output::json(out, &link)?),
                Response::Link(link) => show_link_for(&email, &link, out),
                _ => Err(Failure::unexpected()),
            },
            Self::Groups { email, groups } => match common.ask(&Request::UserGroups { email, groups })? {
                Response::User(user) => {
                    let now = if user.groups.is_empty() { "no group".to_owned() } else { user.groups.join(", ") };
                    Ok(writeln!(out, "{} is in {}", plain(&user.email), plain(&now))?)
                }
                _ => Err(Failure::unexpected()),
            },
            Self::Import(import) => account_file::import(common, &import.file, import.format, out_as(import.json, out)),
        }
    }
}

fn out_as(json: bool, out: &mut dyn Write) -> account_file::Told<'_> {
    if json { account_file::Told::Programs(out) } else { account_file::Told::People(out) }
}

impl Add {
    fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let password = match self.password_stdin {
            true => Some(read_password("leave out --password-stdin to get a link that sets the password")?),
            false => None,
        };
        let name = self.name.trim();
        let (first, last) = name.rsplit_once(char::is_whitespace).unwrap_or((name, ""));
        let account = NewAccount {
            email: self.email,
            first_name: first.trim_end().into(),
            last_name: last.into(),
            admin: self.admin,
            password,
        };
        let Response::UserAdded { user, link } = common.ask(&Request::UserAdd(account))? else {
            return Err(Failure::unexpected());
        };
        writeln!(out, "added {}{}", plain(&user.email), if user.admin { ", who may administer" } else { "" })?;
        link.map_or(Ok(()), |link| show_link(&link, out))
    }
}

fn change(common: &Common, request: &Request, done: &str, out: &mut dyn Write) -> Result<(), Failure> {
    match common.ask(request)? {
        Response::User(user) => Ok(writeln!(out, "{done} {}", plain(&user.email))?),
        _ => Err(Failure::unexpected()),
    }
}

/// The link, and loudly that it makes an admin: whoever mistyped an address must not hand that out.
fn show_link_for(email: &str, link: &Link, out: &mut dyn Write) -> Result<(), Failure> {
    if link.purpose == Purpose::FirstAdmin {
        writeln!(
            out,
            "CAUTION: nobody has the address {}, and there is no admin yet:\n\
             whoever opens this link becomes the FIRST ADMIN, with all that this allows.",
            plain(email)
        )?;
    }
    show_link(link, out)
}

fn show_link(link: &Link, out: &mut dyn Write) -> Result<(), Failure> {
    Ok(writeln!(out, "{}\ngood once, until {}", plain(&link.url), moment(link.expires))?)
}

/// Asks for page after page.
fn each_page(common: &Common, mut page: impl FnMut(Vec<Account>) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut node = common.connect()?;
    let mut after = None;
    loop {
        let Response::Users { users, next } = node.ask(&Request::UserList { after })? else {
            return Err(Failure::unexpected());
        };
        page(users)?;
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn list_json(common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
    let mut array = JsonArray::begin(out)?;
    each_page(common, |users| Ok(users.iter().try_for_each(|u| array.item(out, u))?))?;
    Ok(array.end(out)?)
}

fn list(common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
    let mut table = Table::new(&["EMAIL", "NAME", "CREATED", "STATE"]);
    each_page(common, |users| {
        let row = |u: Account| vec![u.email.clone(), full_name(&u), moment(u.created_at), state(&u)];
        Ok(table.rows(out, users.into_iter().map(row).collect())?)
    })
}

fn full_name(user: &Account) -> String {
    format!("{} {}", user.first_name, user.last_name).trim().to_owned()
}

/// What is special about an account, in words.
fn state(user: &Account) -> String {
    let mut words = Vec::new();
    words.extend(user.admin.then_some("admin"));
    words.push(if user.approved { "approved" } else { "waits for approval" });
    words.extend((!user.verified).then_some("address not verified"));
    words.extend(user.password_scheme.is_empty().then_some("no password"));
    words.extend(user.disabled.then_some("disabled"));
    words.join(", ")
}

fn show(user: &Account, out: &mut dyn Write) -> Result<(), Failure> {
    let scheme = if user.password_scheme.is_empty() { "none" } else { &user.password_scheme };
    Ok(output::pairs(
        out,
        &[
            ("email", user.email.clone()),
            ("name", full_name(user)),
            ("id", user.id.clone()),
            ("created", moment(user.created_at)),
            ("password", scheme.to_owned()),
            ("groups", user.groups.join(", ")),
            ("state", state(user)),
        ],
    )?)
}

pub(super) fn read_password(instead: &str) -> Result<Password, Failure> {
    if io::stdin().is_terminal() {
        let why =
            format!("--password-stdin reads a pipe or file, and a terminal would show the password\n  hint: {instead}");
        return Err(Failure::Usage(why));
    }
    password_from(io::stdin().lock())
}

/// A password and perhaps a line end.
fn password_from(input: impl Read) -> Result<Password, Failure> {
    let mut text = String::new();
    let most = limits::PASSWORD_BYTES_MAX as u64 + 3;
    input.take(most).read_to_string(&mut text).map_err(|e| Failure::Usage(format!("cannot read the password: {e}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let why = match line {
        "" => "no password came in on standard input".to_owned(),
        long if long.len() > limits::PASSWORD_BYTES_MAX => {
            format!("the password has more than {} bytes", limits::PASSWORD_BYTES_MAX)
        }
        lines if lines.contains(['\n', '\r', '\0']) => "the password has more than one line".to_owned(),
        password => return Ok(Password(password.to_owned())),
    };
    Err(Failure::Usage(format!("{why}\n  hint: printf %s \"$PASSWORD\" | sojourn user … --password-stdin")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_without_its_end() {
        let read = |text: &str| password_from(text.as_bytes()).map(|p| p.0).map_err(|e| e.to_string());
        for input in ["pass phrase", "pass phrase\n", "pass phrase\r\n"] {
            assert_eq!(read(input).expect("is read"), "pass phrase");
        }
        assert_eq!(read(" ü \n").expect("is read"), " ü ");
        let longest = "x".repeat(limits::PASSWORD_BYTES_MAX);
        assert_eq!(read(&format!("{longest}\r\n")).expect("is read"), longest);
        assert!(
            read(&format!("{longest}x")).expect_err("is refused").starts_with("the password has more than 1024 bytes")
        );
        assert!(
            read(&"x".repeat(1 << 20)).expect_err("is refused").starts_with("the password has more than 1024 bytes")
        );
        assert!(read("\n").expect_err("is refused").starts_with("no password came in"));
        assert!(read("a\nb\n").expect_err("is refused").starts_with("the password has more than one line"));
        assert!(password_from(&b"\xff\xfe"[..]).is_err());
    }
}
