//! `sojourn cluster`: the nodes that share the sessions.
//!
//! Every command may be given on any node that runs; what only the leader can do is brought there.

use std::io::Write;

use clap::Subcommand;

use super::output::{JsonArray, Table};
use super::{Common, Failure};
use crate::config::duration_flag;
use crate::control::protocol::{ClusterNode, Role};
use crate::control::{Request, Response};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the nodes: what each does, where it is, how far it has got
    #[command(after_help = "Example:\n  sojourn cluster status --data n1")]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a token by which a new node may join
    #[command(after_help = "\
Example:
  sojourn serve --data n2 --listen 127.0.0.1:3010 --cluster-listen 127.0.0.1:3011 \\
    --join $(sojourn cluster token --data n1)

Whoever holds the token may join the cluster and read everything: keep it as you would a password.")]
    Token {
        /// How many nodes it lets in
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u32,
        /// How long it is good
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration_flag)]
        ttl: u64,
    },
    /// Make a voter of a learner
    #[command(after_help = "Example:\n  sojourn cluster promote 1234567890123456")]
    Promote {
        /// Its id, as `sojourn cluster status` lists it
        id: u64,
    },
    /// Remove a node, dead or alive; its data directory serves no more
    #[command(after_help = "Example:\n  sojourn cluster remove 1234567890123456")]
    Remove {
        /// Its id, as `sojourn cluster status` lists it
        id: u64,
    },
    /// Hand leadership to another voter
    #[command(after_help = "Example:\n  sojourn cluster transfer 1234567890123456")]
    Transfer {
        /// Its id, as `sojourn cluster status` lists it
        id: u64,
    },
    /// Give the cluster another secret, while it runs: after a machine is lost
    #[command(after_help = "\
Example:
  sojourn cluster remove 1234567890123456   # the machine that is lost
  sojourn cluster rotate-secret

Nobody is signed out, and no node is restarted. A node that is down is waited for: the rotation goes on by itself once
that returns or is removed. Given again meanwhile, this says how far it is. Join tokens from before are good no more.")]
    RotateSecret,
    /// Have this node removed from its cluster, and stop it
    #[command(after_help = "Example:\n  sojourn cluster leave --data n3")]
    Leave,
}

impl Command {
    pub(super) fn run(self, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
        let (request, told) = match self {
            Self::Status { json } => return status(common, json, out),
            Self::Token { uses, ttl } => return token(common, &Request::ClusterToken { uses, ttl_ms: ttl }, out),
            Self::RotateSecret => return rotate_secret(common, out),
            Self::Promote { id } => (Request::ClusterPromote { id }, format!("node {id} votes now")),
            Self::Remove { id } => (Request::ClusterRemove { id }, format!("node {id} is no member any more")),
            Self::Transfer { id } => (Request::ClusterTransfer { id }, format!("node {id} leads now")),
            Self::Leave => (Request::ClusterLeave, "this node is no member any more, and stops".into()),
        };
        match common.ask(&request)? {
            Response::Done => Ok(writeln!(out, "{told}")?),
            _ => Err(Failure::unexpected()),
        }
    }
}

fn status(common: &Common, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let Response::Cluster(nodes) = common.ask(&Request::ClusterStatus)? else { return Err(Failure::unexpected()) };
    if json {
        let mut array = JsonArray::begin(out)?;
        nodes.iter().try_for_each(|node| array.item(out, node))?;
        return Ok(array.end(out)?);
    }
    let mut table = Table::new(&["ID", "ROLE", "ADDRESS", "APPLIED", "LAG", "ANSWERS", "VERSION", ""]);
    Ok(table.rows(out, nodes.into_iter().map(row).collect())?)
}

fn row(node: ClusterNode) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "?".into(), |number| number.to_string());
    let role = match node.role {
        Role::Leader => "leader",
        Role::Voter => "voter",
        Role::Learner => "learner",
    };
    let answers = node.answered_in_ms.map_or_else(|| "no".into(), |ms| format!("in {ms} ms"));
    vec![
        node.id.to_string(),
        role.into(),
        if node.address.is_empty() { "-".into() } else { node.address },
        number(node.applied),
        number(node.lag),
        answers,
        node.version.unwrap_or_else(|| "?".into()),
        match (node.is_this, node.holds_up_rotation) {
            (true, false) => "this node",
            (false, false) => "",
            (true, true) => "this node; the rotation of the secret waits for it",
            (false, true) => "the rotation of the secret waits for it",
        }
        .into(),
    ]
}

fn rotate_secret(common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
    let Response::Rotated(told) = common.ask(&Request::ClusterRotateSecret)? else { return Err(Failure::unexpected()) };
    if told.waits_for.is_empty() {
        writeln!(out, "the cluster has another secret; join tokens from before are good no more")?;
    } else {
        for (id, address) in told.waits_for {
            writeln!(out, "the rotation waits for node {id} at {address}")?;
        }
        writeln!(
            out,
            "it goes on by itself once that returns or is removed; `sojourn cluster status` says how far it is"
        )?;
    }
    for id in told.set_on {
        eprintln!("hint: the settings of node {id} name a secret; take it out before that node is restarted");
    }
    Ok(())
}

/// The token alone, so that a script can take it; what to do with it is for people.
fn token(common: &Common, request: &Request, out: &mut dyn Write) -> Result<(), Failure> {
    let Response::Token(token) = common.ask(request)? else { return Err(Failure::unexpected()) };
    writeln!(out, "{}", token.0)?;
    eprintln!("hint: start the new node with --join TOKEN, or with the token in a file and --join-file FILE");
    Ok(())
}
