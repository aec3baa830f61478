//! Cluster: what commands and the administrators' page ask of the membership, put to the log.

use std::time::Duration;

use crate::control::protocol::{ClusterNode, JoinToken, Request, Response, Role, Rotated};
use crate::error::{Error, Result};
use crate::limits;
use crate::log::Answer;
use crate::raft::{self, RaftLog, Seen, Wish};
use crate::web;

/// Does what a `cluster` command asks.
///
/// # Errors
/// As the log says.
pub async fn perform(log: &RaftLog, request: Request) -> Result<Response> {
    match request {
        Request::ClusterStatus => {
            let (seen, behind) = tokio::join!(log.cluster(), log.rotation_waits_for());
            let behind: Vec<u64> = behind.into_iter().map(|(id, _)| id).collect();
            Ok(Response::Cluster(nodes(log.node_id(), seen, &behind)))
        }
        Request::ClusterRotateSecret => {
            let raft::Rotated { waits_for, set_on } = log.rotate_secret().await?;
            Ok(Response::Rotated(Rotated { waits_for, set_on }))
        }
        Request::ClusterToken { uses, ttl_ms } => {
            let ttl = Duration::from_millis(ttl_ms);
            if uses == 0 || uses > limits::JOIN_USES_MAX || ttl.is_zero() || ttl > limits::JOIN_TTL_MAX {
                let most = (limits::JOIN_USES_MAX, limits::JOIN_TTL_MAX.as_secs() / 3_600);
                let why = format!("a token is good for 1 to {} nodes and for at most {} hours", most.0, most.1);
                return Err(Error::Malformed(why));
            }
            Ok(Response::Token(JoinToken(log.invite(uses, ttl).await?.text())))
        }
        Request::ClusterPromote { id } => log.grant(Wish::Promote { id }).await.map(|()| Response::Done),
        Request::ClusterRemove { id } if id == log.node_id() => log.leave().await.map(|()| Response::Done),
        Request::ClusterRemove { id } => log.grant(Wish::Remove { id }).await.map(|()| Response::Done),
        Request::ClusterTransfer { id } => log.grant(Wish::Transfer { id }).await.map(|()| Response::Done),
        Request::ClusterLeave => log.leave().await.map(|()| Response::Done),
        _ => Err(Error::Malformed("unknown request".into())),
    }
}

impl web::Cluster for RaftLog {
    fn nodes(&self) -> Answer<'_, Vec<web::ClusterNode>> {
        let shown = |node: ClusterNode| web::ClusterNode {
            id: node.id.to_string(),
            role: match node.role {
                Role::Leader => "leader",
                Role::Voter => "voter",
                Role::Learner => "learner",
            },
            address: node.address,
            is_this: node.is_this,
            applied: node.applied,
            lag: node.lag,
            version: node.version,
        };
        Box::pin(async move { nodes(self.node_id(), self.cluster().await, &[]).into_iter().map(shown).collect() })
    }
}

/// Who leads is what the most recent term says.
fn nodes(own: u64, seen: Vec<Seen>, behind: &[u64]) -> Vec<ClusterNode> {
    let said = seen.iter().filter_map(|node| node.status.as_ref());
    let leader = said.clone().max_by_key(|status| (status.term, status.leader.is_some())).and_then(|s| s.leader);
    let furthest = said.map(|status| status.applied).max().unwrap_or(0);
    let node = |node: Seen| {
        let role = match node.votes {
            true if leader == Some(node.id) => Role::Leader,
            true => Role::Voter,
            false => Role::Learner,
        };
        let applied = node.status.as_ref().map(|status| status.applied);
        ClusterNode {
            id: node.id,
            role,
            address: node.address,
            is_this: node.id == own,
            answers: node.status.is_some(),
            applied,
            term: node.status.as_ref().map(|status| status.term),
            lag: applied.map(|applied| furthest - applied),
            answered_in_ms: applied.map(|_| u64::try_from(node.took.as_millis()).unwrap_or(u64::MAX)),
            version: node.status.map(|status| status.version),
            holds_up_rotation: behind.contains(&node.id),
        }
    };
    seen.into_iter().map(node).collect()
}
