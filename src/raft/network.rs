//! Network: how this node would reach its peers.
//!
//! A cluster of one has none, so nothing here is ever called; every question is answered "unreachable", pre-votes
//! included, because openraft's own default would grant them.

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{OptionalSend, type_config::alias::VoteOf};

use super::machine::{Snapshot, SnapshotFile};
use super::types::{Member, TypeConfig};

/// Makes connections to peers.
#[derive(Debug, Clone, Copy)]
pub struct Alone;

/// A connection to nobody.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl RaftNetworkFactory<TypeConfig> for Alone {
    type Network = Nobody;

    async fn new_client(&mut self, _: u64, _: &Member) -> Nobody {
        Nobody
    }
}

fn unreachable() -> Unreachable<TypeConfig> {
    Unreachable::new(&std::io::Error::other("this node has no peers"))
}

impl RaftNetworkV2<TypeConfig> for Nobody {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn vote(
        &mut self,
        _: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn pre_vote(
        &mut self,
        _: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(RPCError::Unreachable(unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _: VoteOf<TypeConfig>,
        _: Snapshot,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(StreamingError::Unreachable(unreachable()))
    }
}
