//! `sojourn config`: shows and checks settings. Needs no node.

use std::io::Write;

use clap::Subcommand;

use super::{Common, Failure, output};
use crate::node;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print every setting with its value, default and meaning, as TOML
    #[command(
        after_help = "Example:\n  sojourn config print --config sojourn.toml > whole.toml\n\nSecrets are never printed."
    )]
    Print {
        /// Print JSON instead, with where each value comes from
        #[arg(long)]
        json: bool,
    },
    /// Read and check all settings, and the files of TLS that they name
    #[command(after_help = "Example:\n  sojourn config check --config sojourn.toml")]
    Check,
}

impl Command {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let settings = common.settings()?;
        match self {
            Self::Print { json: true } => output::json(out, &settings.to_rows()?)?,
            Self::Print { json: false } => out.write_all(settings.to_toml()?.as_bytes())?,
            Self::Check => {
                node::check(&settings.config()?)?;
                writeln!(out, "the settings are right")?;
            }
        }
        Ok(())
    }
}
