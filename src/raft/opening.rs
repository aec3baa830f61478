//! Opening: from files to a log that takes part.
//!
//! The log is read and the port is open before anybody is asked anything. A node that is alone leads at once; one of
//! several comes up and follows, and is believed when it is fresh.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver as _;
use openraft::{Config, SnapshotPolicy};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::farewell::{self, Farewells};
use super::freshness::{Bounds, Freshness};
use super::join::{self, Candidate};
use super::logtime::LogTime;
use super::members::Members;
use super::membership::Wish;
use super::network::Network;
use super::peers::keys::{PrivateKey, PublicKey};
use super::peers::links::{Links, hex};
use super::peers::token::Token;
use super::peers::{door, tls};
use super::secrets::Secrets;
use super::types::{Member, NodeId, StoredMembership};
use super::wiring::{Core, Wires, wires};
use super::{Raft, RaftLog, blocking, expiry, files, rotation, upkeep};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::planted::{self, Bug};
use crate::state::State;

/// How long a node that is alone may take to read its log and lead.
const START_WITHIN: Duration = Duration::from_secs(120);
/// How long it may take until the leader speaks to a node that it let in: it backs off while nobody answers.
const SPOKEN_TO_WITHIN: Duration = Duration::from_secs(30);

/// How long the first snapshot may take on its way.
const FILLED_WITHIN: Duration = Duration::from_secs(3_600);

/// What `raft` wants to be told.
pub struct Settings {
    /// How old answers may be.
    pub bounds: Bounds,
    /// The cluster's secret.
    pub secret: String,
    /// Whether the operator's settings name it.
    pub secret_is_set: bool,
    /// Where peers knock, and where they are told to: `host:port`. Without a port nobody can join.
    pub port: Option<(TcpListener, String)>,
    /// The token of a cluster to join, until this node is a member.
    pub join: Option<Token>,
    /// Whether this node never votes.
    pub reader: bool,
}

impl Settings {
    /// Those of a node that is alone and stays so.
    pub fn alone(secret: &str) -> Self {
        let bounds = Bounds { max_staleness: Duration::from_secs(1), stale_reads: Duration::ZERO };
        Self { bounds, secret: secret.into(), secret_is_set: false, port: None, join: None, reader: false }
    }

    /// Those in `dir`, of the node with this seed.
    fn secrets(&self, dir: &Path, seed: &[u8; 32]) -> Result<Arc<Secrets>> {
        Secrets::open(dir, (self.secret.clone(), self.secret_is_set), PrivateKey::of_seed(seed))
    }

    /// What peers must know of the node with this key.
    fn member(&self, key: &PublicKey) -> Member {
        let address = self.port.as_ref().map(|(_, advertise)| advertise.clone()).unwrap_or_default();
        Member { address, key: key.to_vec(), reader: self.reader }
    }
}

impl RaftLog {
    /// Opens the log in `dir` and the state it feeds. A new directory founds a cluster of one, unless it was made to
    /// join. Returns when a node that is alone may decide; a member of several when it takes part.
    ///
    /// # Errors
    /// When a file is damaged, used by another process, or the disk fails; says which. When the cluster to join does
    /// not let this node in.
    pub async fn open(dir: &Path, state: Arc<State>, clock: Arc<dyn Clock>, settings: Settings) -> Result<Arc<Self>> {
        farewell::check(dir)?;
        let (store, machine) = {
            let (dir, state) = (dir.to_owned(), state.clone());
            blocking(move || files::open(&dir, state)).await?
        };
        let identity = store.identity();
        let (owed, attempts) = (machine.owed(), machine.attempts());
        let secrets = settings.secrets(dir, &identity.seed)?;
        let links = Arc::new(Links::new(tls::connector(&secrets.papers)?, &identity.cluster));
        let members = Arc::new(Members::unknown());
        let network = Network::new(links.clone(), members.clone());
        let raft = Raft::build(identity.node, Arc::new(config()?), network, store.clone(), machine)
            .await
            .map_err(|e| Error::broken("the log cannot be opened", e))?;
        members.follow(&raft);
        let time = Arc::new(LogTime::starting(clock.clone(), state.stamp()));
        let own = settings.member(&secrets.papers.own());
        let core = Core { raft, id: identity.node, members, links, time, state, secrets };

        let (wires, ends) = wires();
        let farewells = Farewells::of(dir);
        let (mut tasks, mut port) = (JoinSet::new(), JoinSet::new());
        if let Some((listener, _)) = settings.port {
            let lock = tls::lock(&core.secrets.papers, Arc::new(core.gate()))?;
            let cluster = (identity.cluster, hex(&identity.cluster));
            let desk = core.desk(&wires, cluster, (farewells.clone(), store.clone(), dir.join("snapshots")));
            port.spawn(door::serve(listener, lock, Arc::new(desk), ends.is_closed));
        }
        tasks.spawn(core.watch(ends.is_over).run(ends.tenure));
        core.raft.run();
        let candidate = Candidate { id: core.id, member: own.clone(), authority: core.secrets.authority() };
        let is_newcomer = take_part(&core, (identity.joins, &candidate), settings.join.as_ref()).await?;

        let is_alone = lead_if_alone(&core, &wires).await?;
        let fresh = Freshness::start(core.oracle(&wires), clock, settings.bounds);
        tasks.spawn(stale_after(farewells.clone(), fresh.clone()));
        tokio::spawn(core.decider(&wires, ends.idle).run(ends.jobs));
        tokio::spawn(core.router(&wires).run(ends.strays));
        let log = Arc::new(Self {
            membership: core.membership(),
            raft: core.raft,
            store,
            state: core.state,
            time: core.time,
            fresh,
            queue: wires.queue,
            elsewhere: wires.elsewhere,
            snapshots: dir.join("snapshots"),
            owed,
            attempts,
            members: core.members,
            links: core.links,
            tenure: wires.tenure,
            ending: wires.ending,
            idle: wires.idle,
            closing: wires.closing,
            port: parking_lot::Mutex::new(port),
            secrets: core.secrets,
            own,
            is_newcomer,
            farewells,
            tasks: parking_lot::Mutex::new(tasks),
        });
        look_after(&log);
        if is_alone {
            crate::log::Log::refresh(&*log).await?;
        }
        Ok(log)
    }
}

/// Starts what a log does of itself, as long as it is there.
fn look_after(log: &Arc<RaftLog>) {
    tokio::spawn(upkeep::keep_up(Arc::downgrade(log)));
    tokio::spawn(upkeep::keep_watch(Arc::downgrade(log)));
    tokio::spawn(rotation::keep_turning(Arc::downgrade(log)));
    tokio::spawn(expiry::keep_expiring(Arc::downgrade(log)));
}

/// A node that is the only voter leads before it answers anybody. Answers whether it is.
async fn lead_if_alone(core: &Core, wires: &Wires) -> Result<bool> {
    core.members.see(&membership_of(&core.raft).await?);
    if core.members.voters() != [core.id] {
        return Ok(false);
    }
    first_tenure(&core.raft, wires.tenure.clone()).await?;
    upkeep::catch_up(&core.raft, &core.time, &core.state).await?;
    Ok(true)
}

/// Nothing that a node holds is fresh once it is no member any more.
async fn stale_after(farewells: Arc<Farewells>, fresh: Arc<Freshness>) {
    farewells.heard().await;
    fresh.close();
}

/// A voter stands for election when it has heard nothing for the longest of the timeouts and its own one more: a killed
/// leader is missed for 0.4 to 0.5 s. Pre-votes keep a node that was merely slow from unseating anybody.
fn config() -> Result<Config> {
    let config = Config {
        cluster_name: "sojourn".into(),
        heartbeat_interval: 50,
        election_timeout_min: 150,
        election_timeout_max: 240,
        install_snapshot_timeout: 60_000,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: if planted::FREQUENT_SNAPSHOTS { 20 } else { 1_000 },
        purge_batch_size: if planted::FREQUENT_SNAPSHOTS { 1 } else { 1_000 },
        replication_lag_threshold: 20_000,
        enable_leader_restore: Some(planted::has(Bug::LeaderRestore)),
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().map_err(|e| Error::broken("raft settings", e))
}

/// Founds a cluster of one in a new directory, or joins the one it was made for; stands for election at once when there
/// is no other voter. Answers whether it became a member now.
async fn take_part(core: &Core, own: (bool, &Candidate), token: Option<&Token>) -> Result<bool> {
    let wrong = |e: &dyn std::fmt::Display| Error::broken("the cluster cannot be formed", e);
    let (raft, (joins, candidate)) = (&core.raft, own);
    let Candidate { id, member, .. } = candidate;
    if !joins && !raft.is_initialized().await.map_err(|e| wrong(&e))? {
        let founded = raft.initialize(BTreeMap::from([(*id, member.clone())])).await;
        return founded.map(|()| false).map_err(|e| wrong(&e));
    }
    // a node that was stopped on its way may know of a leader, and of no member yet
    let knows_members = raft.with_raft_state(|state| state.membership_state.effective().nodes().next().is_some()).await;
    if joins && !knows_members.map_err(|e| wrong(&e))? {
        core.members.expect_anybody();
        let asked = match token {
            Some(token) => Some(join::ask_in(token, candidate).await),
            None => None,
        };
        if let Some(Err(e)) = &asked {
            tracing::warn!(error = %e, "not let in; perhaps this node was before, and the leader speaks to it");
        }
        // who was let in before, and did not live to hear it, is spoken to by the leader; whoever is let in now may get
        // a snapshot first
        let within = if let Some(Ok(())) = asked { FILLED_WITHIN } else { SPOKEN_TO_WITHIN };
        let refused = asked.and_then(Result::err);
        let wait = raft.wait(Some(within));
        if wait.metrics(|m| m.membership_config.nodes().next().is_some(), "members").await.is_ok() {
            return Ok(true);
        }
        let missing = "this node was made to join a cluster and is no member yet\nhint: start it with --join TOKEN";
        return Err(refused.unwrap_or_else(|| Error::Broken(missing.into())));
    }
    if membership_of(raft).await?.voter_ids().eq([*id]) {
        raft.trigger().elect(false).await.map_err(|e| wrong(&e))?;
    }
    Ok(false)
}

/// What the log says of the membership, once it was read.
async fn membership_of(raft: &Raft) -> Result<StoredMembership> {
    let wait = raft.wait(Some(START_WITHIN));
    let read = wait.metrics(|m| m.membership_config.nodes().next().is_some(), "members").await;
    read.map(|metrics| (*metrics.membership_config).clone()).map_err(|e| Error::broken("the log says of no members", e))
}

/// Waits until this node may decide.
async fn first_tenure(raft: &Raft, mut tenure: watch::Receiver<Option<u64>>) -> Result<()> {
    let came = tokio::time::timeout(START_WITHIN, tenure.wait_for(Option::is_some)).await;
    if came.is_ok_and(|tenure| tenure.is_ok()) {
        return Ok(());
    }
    Err(match &raft.metrics().borrow_watched().running_state {
        Err(fatal) => Error::broken("the log was opened, and failed", fatal),
        Ok(()) => Error::Broken("the log was opened, but this node does not come to lead".into()),
    })
}

/// What peers must know of this node, when the membership says something else.
pub(super) fn move_wish(id: NodeId, own: &Member, known: Option<&Member>) -> Option<Wish> {
    let known = known?;
    let member = Member { reader: known.reader, ..own.clone() };
    (*known != member && !own.address.is_empty()).then_some(Wish::Move { id, member })
}
