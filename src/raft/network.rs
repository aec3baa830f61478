//! Network: openraft's questions to other nodes, over the links.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{self, Either};
use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, type_config::alias::VoteOf};
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::machine::{Snapshot, SnapshotFile};
use super::members::Members;
use super::peers::link::{Failed, Link, Sent};
use super::peers::links::{Lane, Links};
use super::peers::routes;
use super::types::{Member, NodeId, TypeConfig, Vote};
use crate::state::codec;

/// How long a peer may take over entries: it has to write them down.
const APPEND_WITHIN: Duration = Duration::from_secs(5);
/// How long a vote or a heartbeat may take.
const VOTE_WITHIN: Duration = Duration::from_secs(1);
/// How long a whole snapshot may take.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(3_600);
/// Bytes of a snapshot that are read at once.
const CHUNK: usize = 256 << 10;

/// Makes connections to peers.
pub struct Network {
    links: Arc<Links>,
    members: Arc<Members>,
    said: Arc<Said>,
}

/// How far each peer acknowledged entries to this node in the term that it leads last.
type Said = Mutex<BTreeMap<NodeId, (Vote, u64)>>;

impl Network {
    /// Reaches `members` by `links`.
    pub fn new(links: Arc<Links>, members: Arc<Members>) -> Self {
        Self { links, members, said: Arc::default() }
    }

    fn peer(&self, target: NodeId, member: &Member, lane: Lane) -> Peer {
        let (links, members, said) = (self.links.clone(), self.members.clone(), self.said.clone());
        Peer { links, members, said, target, named: member.clone(), lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: NodeId, member: &Member) -> Peer {
        self.peer(target, member, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, member: &Member) -> Peer {
        self.peer(target, member, Lane::Quick)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, member: &Member) -> Peer {
        self.peer(target, member, Lane::Bulk)
    }
}

/// One peer, as openraft speaks to it.
pub struct Peer {
    links: Arc<Links>,
    members: Arc<Members>,
    said: Arc<Said>,
    target: NodeId,
    /// What openraft said of it when it began to speak.
    named: Member,
    /// For entries and snapshots.
    lane: Lane,
}

impl Peer {
    /// The connection to where the peer is now: openraft keeps a client for as long as somebody leads, and the peer may
    /// have moved meanwhile.
    fn link(&self, lane: Lane) -> Arc<Link> {
        let now = self.members.reach(self.target);
        self.links.to(self.target, now.as_ref().unwrap_or(&self.named), lane)
    }

    fn acknowledges(&self, leads: Vote, index: u64) {
        let mut said = self.said.lock();
        let known = said.entry(self.target).or_insert((leads, index));
        *known = (leads, if known.0 == leads { known.1.max(index) } else { index });
    }

    /// The last entry that the peer said it has; 0 when it said nothing in this term.
    fn acknowledged(&self, leads: Vote) -> u64 {
        self.said.lock().get(&self.target).filter(|known| known.0 == leads).map_or(0, |known| known.1)
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        link: &Link,
        route: &str,
        question: &Q,
        within: Duration,
    ) -> Result<A, RPCError<TypeConfig>> {
        match timeout(within, link.call(route, question)).await {
            Ok(answered) => answered.map_err(|failed| RPCError::Unreachable(told(&failed))),
            Err(_) => Err(RPCError::Network(NetworkError::new(&io::Error::from(io::ErrorKind::TimedOut)))),
        }
    }
}

/// A peer that gives no answer is left alone for a moment: asking again at once would only keep both busy.
fn told(failed: &Failed) -> Unreachable<TypeConfig> {
    Unreachable::new(failed)
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let link = self.link(self.lane);
        let answer = Self::ask(&link, routes::APPEND, &rpc, APPEND_WITHIN).await?;
        let before = rpc.prev_log_id.map_or(0, |id| id.index);
        match &answer {
            AppendEntriesResponse::Success => {
                self.acknowledges(rpc.vote, rpc.entries.last().map_or(before, |entry| entry.log_id.index));
            }
            // openraft holds that to be impossible: it would wait for ever, or end this node, too
            AppendEntriesResponse::Conflict if (1..=self.acknowledged(rpc.vote)).contains(&before) => {
                tracing::error!(node = self.target, entry = before, "a node does not have what it acknowledged");
                _ = Self::ask::<_, ()>(&link, routes::HAD, &(rpc.vote, before), VOTE_WITHIN).await;
                let lost = io::Error::other("it does not have what it acknowledged");
                return Err(RPCError::Unreachable(Unreachable::new(&lost)));
            }
            _ => {}
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Self::ask(&self.link(Lane::Quick), routes::VOTE, &rpc, VOTE_WITHIN).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Self::ask(&self.link(Lane::Quick), routes::PRE_VOTE, &rpc, VOTE_WITHIN).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        Self::ask(&self.link(Lane::Quick), routes::TRANSFER, &rpc, VOTE_WITHIN).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let unread = |e: &io::Error| StreamingError::Network(NetworkError::new(e));
        let head = codec::encode(&(vote, &snapshot.meta));
        let body = file_body(head, &snapshot.snapshot.path).await.map_err(|e| unread(&e))?;
        let link = self.link(self.lane);
        let sent = pin!(timeout(SNAPSHOT_WITHIN, link.send(routes::SNAPSHOT, body)));
        match future::select(sent, pin!(cancel)).await {
            Either::Left((Ok(Ok(answer)), _)) => Ok(answer),
            Either::Left((Ok(Err(failed)), _)) => {
                tracing::warn!(%failed, node = self.target, "a snapshot was not taken");
                Err(StreamingError::Unreachable(told(&failed)))
            }
            Either::Left((Err(_), _)) => Err(unread(&io::Error::from(io::ErrorKind::TimedOut))),
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }
}

/// A body of `head`, its length in front, and then the file.
async fn file_body(head: Vec<u8>, file: &Path) -> io::Result<Sent> {
    let file = tokio::fs::File::open(file).await?;
    let mut first = (head.len() as u32).to_le_bytes().to_vec();
    first.extend_from_slice(&head);
    let first = stream::once(future::ready(Ok(Frame::data(Bytes::from(first)))));
    let rest = stream::try_unfold(file, async |mut file| {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await?;
        Ok((read > 0).then(|| (Frame::data(Bytes::from(chunk)), file)))
    });
    Ok(StreamBody::new(stream::StreamExt::chain(first, rest)).boxed_unsync())
}
