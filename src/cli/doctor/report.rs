//! Report: what got through, and what to change.

use std::io::Write;

use serde::Serialize;

use super::probes::Kind;
use crate::cli::Failure;
use crate::cli::output::{self, Table};

/// What became of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "how", rename_all = "snake_case")]
pub(super) enum Outcome {
    Stopped(String),
    GotThrough(String),
    /// Nobody could tell.
    Unseen(String),
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub what: String,
    pub kind: Kind,
    #[serde(flatten)]
    pub outcome: Outcome,
}

const IDENTITY: &str = "\
Services would take a client's own word for who it is. Have the proxy replace these headers:
  nginx    proxy_set_header Remote-User $sojourn_user; and so for -Email, -Name and -Groups; underscores_in_headers off
  Caddy    in a route block, before forward_auth: request_header -Remote*; and 400 where Connection names one of them
  Traefik  authResponseHeaders with all four; a headers middleware before it that empties the other spellings";

const ORIGINAL: &str = "\
The check would decide about another request than the one that is made. Have the proxy say all of it itself:
  nginx    where it asks: proxy_set_header X-Original-URL $scheme://$host$request_uri;
           proxy_set_header X-Original-Method $request_method; and every other X-Original-*, X-Forwarded-* set to \"\"
  Caddy    forward_auth sets X-Forwarded-*; request_header -X-Original* before it; no trusted_proxies that holds clients
  Traefik  trustForwardHeader: false, and forwardedHeaders.insecure: false on the entry point";

const HOST: &str = "\
The check would decide about a host that a client makes up, and which no rule names. Have the proxy serve named hosts
alone, and ask about the one by which it chose:
  nginx    server_name, a default_server that does return 444; $host (not $http_host) in X-Original-URL and Host
  Caddy    the host in the site's address
  Traefik  Host(`app.example.com`) in the router's rule";

const ADDRESS: &str = "\
Throttles and the list of sessions would go by an address that a client makes up:
  nginx    proxy_set_header X-Forwarded-For $remote_addr;
  Caddy    no trusted_proxies that holds clients
  Traefik  forwardedHeaders.insecure: false on the entry point";

const PATH: &str = "\
The service gets paths that the check would refuse: the proxy does not ask about them, or rewrites them afterwards.
  Have every location of the service ask the check, and hand on the path as it came.";

/// Prints all findings; fails unless everything was seen to be stopped.
pub(super) fn tell(findings: Vec<Finding>, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        output::json(out, &findings)?;
    } else {
        let rows = findings.iter().map(|finding| {
            let (word, how) = match &finding.outcome {
                Outcome::Stopped(how) => ("stopped", how),
                Outcome::GotThrough(how) => ("GOT THROUGH", how),
                Outcome::Unseen(how) => ("not seen", how),
            };
            vec![finding.what.clone(), word.to_owned(), how.clone()]
        });
        Table::new(&["FORGED", "", ""]).rows(out, rows.collect())?;
        hints(&findings, out)?;
    }
    let count = |wanted: fn(&Outcome) -> bool| findings.iter().filter(|f| wanted(&f.outcome)).count();
    match (count(|o| matches!(o, Outcome::GotThrough(_))), count(|o| matches!(o, Outcome::Unseen(_)))) {
        (0, 0) => Ok(()),
        (0, unseen) => Err(Failure::Other(format!(
            "{unseen} of {} could not be seen\n  hint: give --upstream, and run this on the machine of the node that the proxy asks",
            findings.len()
        ))),
        (through, _) => Err(Failure::Other(format!(
            "{through} of {} got through\n  hint: change the proxy as said above; cluster/examples has whole files",
            findings.len()
        ))),
    }
}

fn hints(findings: &[Finding], out: &mut dyn Write) -> Result<(), Failure> {
    let all = [
        (Kind::Identity, IDENTITY),
        (Kind::Original, ORIGINAL),
        (Kind::Host, HOST),
        (Kind::Address, ADDRESS),
        (Kind::Path, PATH),
    ];
    for (kind, hint) in all {
        if findings.iter().any(|f| f.kind == kind && matches!(f.outcome, Outcome::GotThrough(_))) {
            writeln!(out, "\n{hint}")?;
        }
    }
    Ok(())
}
