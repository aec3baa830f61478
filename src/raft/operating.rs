//! Operating: what operators ask of the cluster, on whichever node they are.

use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::timeout;

use super::desk::status_of;
use super::membership::Wish;
use super::peers::link::Failed;
use super::peers::links::Lane;
use super::peers::messages::Status;
use super::peers::routes;
use super::peers::token::Token;
use super::types::NodeId;
use super::{Op, RaftLog};
use crate::error::{Error, Result};
use crate::log::Log as _;
use crate::state::{Key, Outcome};

/// How long another node may take to say how it is.
const STATUS_WITHIN: Duration = Duration::from_secs(1);
/// How long the leader may take over a change of the membership.
const CHANGED_WITHIN: Duration = Duration::from_secs(30);

/// A member, as seen from here.
#[derive(Debug, Clone)]
pub struct Seen {
    pub id: NodeId,
    /// Where its peer port answers.
    pub address: String,
    pub votes: bool,
    /// What it says of itself; `None` when it does not answer.
    pub status: Option<Status>,
}

impl RaftLog {
    /// Everybody, each asked now.
    pub async fn cluster(&self) -> Vec<Seen> {
        let asked = self.members.all().into_iter().map(|(id, member, votes)| async move {
            let status = if id == self.node_id() {
                Some(status_of(&self.raft))
            } else {
                let link = self.links.to(id, &member, Lane::Quick);
                timeout(STATUS_WITHIN, link.call(routes::STATUS, &())).await.ok().and_then(Result::ok)
            };
            Seen { id, address: member.address, votes, status }
        });
        join_all(asked).await
    }

    /// A token that lets `uses` nodes join within `ttl`.
    ///
    /// # Errors
    /// `Conflict` when this node has no peer port; what writing says.
    pub async fn invite(&self, uses: u32, ttl: Duration) -> Result<Token> {
        if self.own.address.is_empty() {
            return Err(Error::Conflict("this node listens to no peers\nhint: set cluster.listen".into()));
        }
        let token = Token::draw(self.own.address.clone(), self.authority);
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        match self.submit(Op::Allow { key: Key::join(&token.key().public()), uses, ttl_ms }).await? {
            Outcome::Done => Ok(token),
            other => Err(Error::Broken(format!("a token was answered {other:?}"))),
        }
    }

    /// Has a wish for the membership granted by whoever leads. A leader that is to go hands over first.
    ///
    /// # Errors
    /// `Conflict` and `NotFound` as the leader says; `NotDone` without one.
    pub async fn grant(&self, wish: Wish) -> Result<()> {
        let leads = |leader| matches!(&wish, Wish::Remove { id } if *id == leader);
        let mut leader = self.leader()?;
        if leads(leader) && self.members.voters().len() > 1 {
            self.ask_leader(leader, Wish::Transfer { id: self.another_voter(leader)? }).await?;
            leader = self.leader()?;
        }
        self.ask_leader(leader, wish).await
    }

    async fn ask_leader(&self, leader: NodeId, wish: Wish) -> Result<()> {
        if leader == self.node_id() {
            return self.membership.grant(wish).await;
        }
        let member = self.members.get(leader).ok_or_else(|| Error::NotDone("the leader is no member".into()))?;
        let link = self.links.to(leader, &member, Lane::Log);
        match timeout(CHANGED_WITHIN, link.call::<_, ()>(routes::WISH, &wish)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failed::Refused(why))) => Err(Error::Conflict(why)),
            Ok(Err(Failed::Unsent(why))) => Err(Error::NotDone(why)),
            Ok(Err(Failed::Lost(_))) | Err(_) => Err(Error::FateUnknown),
        }
    }

    fn leader(&self) -> Result<NodeId> {
        let leader = self.raft.metrics().borrow_watched().current_leader;
        leader.ok_or_else(|| Error::NotDone("no leader is known at the moment".into()))
    }

    fn another_voter(&self, leader: NodeId) -> Result<NodeId> {
        let others = self.members.voters().into_iter().find(|id| *id != leader);
        others.ok_or_else(|| Error::Conflict("there is no other voter".into()))
    }
}
