//! Join: how a node comes to a cluster that is there already.
//!
//! With the token's key it asks a node for the cluster's secret and id, makes its own directory with them, opens its
//! port, and only then asks to be a member: a crash in between leaves nobody behind in the membership. A directory
//! that was made to join never founds a cluster of its own.

use std::path::Path;
use std::time::Duration;

use hyper::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::blocking;
use super::peers::keys::PublicKey;
use super::peers::link::{Failed, Link, STRANGER, Target};
use super::peers::token::Token;
use super::peers::{routes, tls};
use super::store::{Identity, Store};
use super::types::{Member, NodeId};
use crate::error::{Error, Result};

/// How long a node may take to let another one in.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a node that may join is told. Never printed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// The cluster's secret.
    pub secret: String,
    /// The cluster's id.
    pub cluster: [u8; 16],
}

/// Asks to be a member.
#[derive(Clone, Serialize, Deserialize)]
pub struct Candidate {
    pub id: NodeId,
    pub member: Member,
    /// The authority of the secret that it was given.
    pub authority: PublicKey,
}

/// What a token leads to.
pub async fn welcome(token: &Token) -> Result<Welcome> {
    ask(token, routes::WELCOME, &()).await
}

/// Makes the log of a node that is to join `cluster`, unless it is there already.
///
/// # Errors
/// `Conflict` when what is there belongs to another cluster; `Broken` when the disk fails.
pub async fn prepare(dir: &Path, cluster: [u8; 16]) -> Result<()> {
    let file = dir.join("log.redb");
    let store = blocking(move || Store::open_as(file, Identity::joining(cluster))).await?;
    let identity = store.identity();
    store.close().await.map_err(super::named)?;
    if identity.cluster == cluster && identity.joins {
        return Ok(());
    }
    Err(Error::Conflict(
        "the data directory holds a node of its own\nhint: a node joins with an empty data directory".into(),
    ))
}

/// Whether the log in `dir` was made to join a cluster that was there before it.
///
/// # Errors
/// `Broken` when it cannot be read.
pub async fn joins(dir: &Path) -> Result<bool> {
    let file = dir.join("log.redb");
    let store = blocking(move || Store::open(file)).await?;
    let joins = store.identity().joins;
    store.close().await.map_err(super::named)?;
    Ok(joins)
}

/// Asks to be a member, as the holder of `token`.
pub(super) async fn ask_in(token: &Token, candidate: &Candidate) -> Result<()> {
    ask(token, routes::JOIN, candidate).await
}

async fn ask<Q: Serialize, A: serde::de::DeserializeOwned>(token: &Token, route: &str, question: &Q) -> Result<A> {
    let dialer = tls::joiner(&token.authority, &token.key())?;
    let target = Target { address: token.address.clone(), key: None };
    let link = Link::new(target, dialer, HeaderMap::new());
    let hint =
        "is the node up, and the token neither used nor older than it may be? `sojourn cluster token` prints one";
    match timeout(ANSWER_WITHIN, link.call(route, question)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Failed::Refused(why))) => Err(Error::Forbidden(format!("the cluster refused: {why}"))),
        Ok(Err(Failed::NotNow(why))) => Err(Error::NotDone(why)),
        Ok(Err(Failed::Unsent(why))) if why.ends_with(STRANGER) => Err(Error::Forbidden(format!(
            "{} is a node of another cluster than the token's, or the cluster's secret was rotated after the token was \
             made\nhint: `sojourn cluster token` prints a new one",
            token.address
        ))),
        Ok(Err(e)) => Err(Error::NotDone(format!("the cluster cannot be joined: {e}\nhint: {hint}"))),
        Err(_) => Err(Error::NotDone(format!("{} does not answer\nhint: {hint}", token.address))),
    }
}
