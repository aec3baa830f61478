//! `sojourn backup` and `sojourn restore`: the whole state, out and in.
//!
//! A backup holds password hashes and live sessions, so its file is private; it is written by the command's own process
//! and user, and appears only when it is whole.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::private_file::{self, PrivateFile};
use super::{Common, Failure, output};
use crate::control::{Extent, Step};
use crate::node::{self, Keep};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// File to write, mode 0600; one that exists is replaced
    file: PathBuf,
    /// Take what this node has, though no leader answers: writes that were acknowledged may be missing, and sessions
    /// that were ended may live in it
    #[arg(long)]
    stale: bool,
}

impl Backup {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let name = self.file.display();
        let failed =
            |e| Failure::because(format!("cannot write {name}"), e, "name a file in a directory that you may write to");
        let mut node = common.connect()?;
        let mut file = PrivateFile::begin(&self.file).map_err(failed)?;
        let bar = output::byte_bar("backing up", 0);
        let extent = if self.stale { Extent::Node } else { Extent::Cluster };
        let bytes = node.backup(extent, &mut file, &mut |step| {
            if let Step::Receiving { done, total } = step {
                bar.set_length(total);
                bar.set_position(done);
            }
        })?;
        bar.finish_and_clear();
        file.keep().map_err(failed)?;
        Ok(writeln!(out, "wrote {name} ({})", indicatif::BinaryBytes(bytes))?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// File that `sojourn backup` wrote
    file: PathBuf,
    /// Let sessions live on; whoever had the file may be holding their ids
    #[arg(long)]
    keep_sessions: bool,
}

impl Restore {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let data = common.load()?.data;
        private_file::keep_all_private();
        let keep = if self.keep_sessions { Keep::Sessions } else { Keep::NoSessions };
        let bar = output::byte_bar("restoring", 0);
        node::restore(&self.file, &data, keep, &mut |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        let data = data.display();
        Ok(writeln!(out, "restored into {data}; start it with `sojourn serve --data {data}`")?)
    }
}
