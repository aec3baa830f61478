//! Cli: the command line. `sojourn` alone runs a node; every other command speaks to one, or to its files.
//!
//! Exit status: 0 done, 1 failed, 2 wrong use (arguments, settings). Results go to standard output, tables for people
//! and `--json` for programs; everything else to standard error.

mod account_file;
mod app;
mod backup;
mod cluster;
mod config;
mod doctor;
mod failure;
mod import;
mod output;
mod private_file;
mod serve;
mod session;
mod source;
#[cfg(test)]
mod tests;
mod token;
mod user;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{Config, Settings, Sources};
use crate::control::{Client, Request, Response};
pub use failure::Failure;

/// Sign-in and shared sessions for a fleet of services, in one binary.
///
/// Without a command, runs a node: the same as `sojourn serve`.
#[derive(Debug, Parser)]
#[command(
    name = "sojourn",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  sojourn                                run a node on data/node, at http://localhost:3000
  sojourn user add ada@example.com --admin
  sojourn config print                   every setting with its value, default and meaning

Exit status: 0 done, 1 failed, 2 wrong use."
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    serve: serve::Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where settings come from, for every command.
#[derive(Debug, Args)]
struct Common {
    /// File with settings [default: sojourn.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "SOJOURN_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Data directory of the node [default: data/node, or what the settings say]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node (the default)
    #[command(after_help = "\
Examples:
  sojourn serve --data /var/lib/sojourn --listen 0.0.0.0:3000
  sojourn serve --data n2 --listen 127.0.0.1:3010 --cluster-listen 127.0.0.1:3011 --join TOKEN

An empty data directory becomes a cluster of one, unless it is to join another. The first SIGTERM or SIGINT stops the node once requests under way \
are answered; a second one stops it at once, which is safe too.")]
    Serve(serve::Serve),
    /// Accounts: add, list, show, disable, delete, import …
    #[command(subcommand, after_help = "Example:\n  sojourn user list")]
    User(user::Command),
    /// Live sessions: list, show, revoke
    #[command(subcommand, after_help = "Example:\n  sojourn session list --user ada@example.com")]
    Session(session::Command),
    /// Services that keep things here: add, list, remove, rotate
    #[command(subcommand, after_help = "Example:\n  sojourn app list")]
    App(app::Command),
    /// Personal access tokens, for programs that act for somebody: add, list, remove
    #[command(subcommand, after_help = "Example:\n  sojourn token list ada@example.com")]
    Token(token::Command),
    /// The nodes that share the sessions: status, token, promote, remove, transfer, leave
    #[command(subcommand, after_help = "Example:\n  sojourn cluster status")]
    Cluster(cluster::Command),
    /// Copy the live keys of a Redis server into the running node, with their deadlines
    #[command(after_help = "\
Examples:
  sojourn import redis://127.0.0.1:6379 --prefix sess:
  sojourn import redis://127.0.0.1:6379 --prefix sess: --follow

Strings and hashes are copied into the database of the same number, with the time that they have left; other kinds are \
skipped. A key is written where nothing is. What is here already stays, unless this very command wrote it or found it \
the same, and nobody has changed it since: whatever an app wrote here is taken to be newer. --overwrite replaces it all \
the same. The command may be run again.

To move without a pause: start it with --follow, point one app after another at the node, and end it with Ctrl-C once no \
app speaks to the server any more; before that server is stopped or emptied, since what ends there is removed here. It \
goes over everything every few seconds, and hears of changes at once if the server has notify-keyspace-events on (KA).")]
    Import(import::Import),
    /// Settings: print, check
    #[command(subcommand, after_help = "Example:\n  sojourn config check --config sojourn.toml")]
    Config(config::Command),
    /// Send forged headers through a proxy, and say which got through
    #[command(after_help = "\
Examples:
  sojourn doctor https://app.example.com --token sjt_… --upstream 127.0.0.1:9000
  sojourn doctor https://app.example.com/open

With --upstream this command listens in place of the service: point the proxy at that address for the while. Without it, \
the service has to echo what it gets. Run it on the machine of the node that the proxy asks, which tells what reached \
the check. Exit status: 0 everything was stopped, 1 something got through or could not be seen.")]
    Doctor(doctor::Doctor),
    /// Succeed if the node is ready
    #[command(after_help = "Example:\n  sojourn healthcheck --data /var/lib/sojourn || echo not ready")]
    Healthcheck {
        /// Print what the node is and holds, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the whole state of the running node to a file
    #[command(after_help = "Example:\n  sojourn backup /backup/sojourn-monday")]
    Backup(backup::Backup),
    /// Make a new cluster of a backup, in an empty data directory
    #[command(after_help = "\
Example:
  sojourn restore /backup/sojourn-monday --data /var/lib/sojourn

Everybody has to sign in again, unless --keep-sessions is given.")]
    Restore(backup::Restore),
    /// Print the version
    #[command(after_help = "Example:\n  sojourn version")]
    Version,
}

/// Runs one command line. Wrong use of it is reported by clap, which ends the process with status 2.
///
/// # Errors
/// Whatever the command could not do.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    // not locked: a node's threads may want to print, too
    Cli::parse_from(args).run(&mut std::io::stdout())
}

impl Cli {
    fn run(self, out: &mut dyn Write) -> Result<(), Failure> {
        let common = self.common;
        if let (Some(flag), Some(_)) = (self.serve.given(), &self.command) {
            let why = format!("{flag} before a command; it belongs behind `serve`");
            Self::command().error(ErrorKind::ArgumentConflict, why).exit();
        }
        match self.command {
            None => serve::run(common.load_with(&self.serve)?, self.serve.joining()?),
            Some(Command::Serve(serve)) => serve::run(common.load_with(&serve)?, serve.joining()?),
            Some(Command::User(command)) => command.run(&common, out),
            Some(Command::Session(command)) => command.run(&common, out),
            Some(Command::App(command)) => command.run(&common, out),
            Some(Command::Token(command)) => command.run(&common, out),
            Some(Command::Import(import)) => import.run(&common, out),
            Some(Command::Cluster(command)) => command.run(&common, out),
            Some(Command::Config(command)) => command.run(&common, out),
            Some(Command::Doctor(doctor)) => doctor.run(&common, out),
            Some(Command::Healthcheck { json }) => healthcheck(&common, json, out),
            Some(Command::Backup(backup)) => backup.run(&common, out),
            Some(Command::Restore(restore)) => restore.run(&common, out),
            Some(Command::Version) => Ok(writeln!(out, "sojourn {}", env!("CARGO_PKG_VERSION"))?),
        }
    }
}

impl Common {
    fn sources(&self) -> Sources {
        let mut sources = Sources::of_process(self.config.clone());
        sources.flags.extend(self.data.clone().map(|data| ("data", data, "--data")));
        sources
    }

    fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::gather(&self.sources())?)
    }

    fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.sources())?)
    }

    fn load_with(&self, serve: &serve::Serve) -> Result<Config, Failure> {
        let mut sources = self.sources();
        sources.flags.extend(serve.flags());
        Ok(Config::load(&sources)?)
    }

    /// A conversation with the node that runs on our data directory.
    fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.load()?.data)?)
    }

    fn ask(&self, request: &Request) -> Result<Response, Failure> {
        Ok(self.connect()?.ask(request)?)
    }
}

fn healthcheck(common: &Common, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let mut node = common.connect()?;
    if json {
        match node.ask(&Request::Status)? {
            Response::Status(status) => output::json(out, &status)?,
            _ => return Err(Failure::unexpected()),
        }
    }
    match node.ask(&Request::Health)? {
        Response::Health(health) if !health.ready => Err(Failure::NotReady(health.reason)),
        Response::Health(_) if json => Ok(()),
        Response::Health(_) => Ok(writeln!(out, "ready")?),
        _ => Err(Failure::unexpected()),
    }
}
