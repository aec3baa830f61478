//! Desk: what this node answers its peers.
//!
//! Whoever got past the door holds a key that is pinned; here it is compared with who the question claims to come from
//! and whom it was meant for, again for each question, so that a node that was removed is cut off in mid-connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver as _;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::Serialize;
use tokio::sync::watch;

use super::decider::{Decided, Job, Queue};
use super::farewell::Farewells;
use super::gate::Gate;
use super::incoming::{Partial, read, receive};
use super::introductions::{Introductions, Whose};
use super::join::{Candidate, Welcome};
use super::logtime::LogTime;
use super::machine::{Snapshot, SnapshotFile};
use super::members::Members;
use super::membership::{Membership, Wish};
use super::peers::door::{self, Answered, Refusal};
use super::peers::keys::PublicKey;
use super::peers::link::Failed;
use super::peers::links::{CLUSTER, Lane, Links, TO};
use super::peers::messages::{Fate, ReadAnswer, ReadQuestion, Status};
use super::peers::porch::Heard;
use super::peers::routes;
use super::peers::tls::Guests;
use super::store::{DAMAGE_HINT, Store};
use super::types::{NodeId, TypeConfig, Vote};
use super::{Raft, blocking};
use crate::error::{Error, Result};
use crate::random;
use crate::state::command::wrong;
use crate::state::{Op, Outcome, Reply, codec, snapshot};

/// Most bytes of a question that carries entries of the log, or Ops: as many as share a question, each as large as can be.
const ENTRIES_MAX: usize = 64 << 20;
/// Most bytes of any other question.
const QUESTION_MAX: usize = 8 << 20;
/// Most bytes of a question that says no more than who somebody is.
const SMALL_MAX: usize = 64 << 10;

/// Most bytes of replies in one answer, about.
const REPLIES_MAX: usize = 32 << 20;

/// How long a wish is said again while nobody does anything about it, and how often.
const GRANTED_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What answers.
pub struct Desk {
    pub raft: Raft,
    pub id: NodeId,
    /// The cluster's id, and the same in hexadecimal.
    pub cluster: ([u8; 16], String),
    /// Who may come, and with what they are welcomed.
    pub gate: Gate,
    pub introductions: Arc<Introductions>,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    pub time: Arc<LogTime>,
    /// Ops for this node to decide.
    pub jobs: Queue,
    /// Ops for whoever leads.
    pub strays: Queue,
    pub farewells: Arc<Farewells>,
    /// The log of this node.
    pub store: Store,
    /// The term in which this node may decide.
    pub tenure: watch::Receiver<Option<u64>>,
    /// Where snapshots lie.
    pub snapshots: PathBuf,
}

impl door::Desk for Desk {
    fn hears(self: Arc<Self>, caller: PublicKey) -> BoxFuture<'static, Option<Heard>> {
        async move {
            match self.gate.may_join(&caller) {
                true => Some(Heard::Newcomer),
                false => self.introductions.whose(&caller).await.map(|_| Heard::Member),
            }
        }
        .boxed()
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.members.changes()
    }

    fn answer(self: Arc<Self>, caller: PublicKey, question: Request<Incoming>) -> BoxFuture<'static, Answered> {
        async move {
            let route = question.uri().path().to_owned();
            match route.as_str() {
                routes::WELCOME => return self.welcome(&caller),
                routes::JOIN => return self.join(caller, question.into_body()).await,
                _ => {}
            }
            let from = self.admitted(&caller, &question).await?;
            let body = question.into_body();
            match route.as_str() {
                routes::READ
                | routes::OPS
                | routes::WISH
                | routes::REMOVED
                | routes::KEYS
                | routes::KNOWS
                | routes::HAD
                    if from.is_none() =>
                {
                    Err(Refusal::forbidden("no member of this cluster".into()))
                }
                routes::APPEND => self.append(from, body).await,
                routes::VOTE => self.vote(from, body).await,
                routes::PRE_VOTE => self.pre_vote(from, body).await,
                routes::TRANSFER => self.transfer(body).await,
                routes::SNAPSHOT => self.snapshot(from, body).await,
                routes::READ => self.read(from, body).await,
                routes::OPS => self.ops(body).await,
                routes::CLOCK => Ok(encoded(&self.time.told())),
                routes::WISH => self.wish(from, body).await,
                routes::REMOVED => self.removed().await,
                routes::KNOWS => self.knows(body).await,
                routes::HAD => self.had(from, body).await,
                routes::KEYS => Ok(encoded(&self.gate.secrets.keys())),
                routes::STATUS => Ok(encoded(&self.status())),
                other => Err(Refusal { status: StatusCode::NOT_FOUND, why: format!("nothing is asked at {other}") }),
            }
        }
        .boxed()
    }
}

impl Desk {
    /// Who asks, if they may and mean this node. A node that does not know its cluster yet cannot tell who it is.
    async fn admitted(&self, caller: &PublicKey, question: &Request<Incoming>) -> Result<Option<NodeId>, Refusal> {
        let said = |name: &str| question.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let cluster = &self.cluster.1;
        if said(CLUSTER) != cluster {
            return Err(Refusal::forbidden(format!("this is a node of cluster {cluster}, not of {}", said(CLUSTER))));
        }
        if said(TO) != self.id.to_string() {
            return Err(Refusal::forbidden(format!("this is node {}, not {}", self.id, said(TO))));
        }
        match self.introductions.whose(caller).await {
            Some(Whose::Of(id)) => Ok(Some(id)),
            Some(Whose::OfAnybody) => Ok(None),
            None => Err(Refusal::forbidden("no member of this cluster".into())),
        }
    }

    async fn append(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let question: AppendEntriesRequest<TypeConfig> = read(body, ENTRIES_MAX).await?;
        is_of(from, &question.vote)?;
        answered(self.raft.append_entries(question).await)
    }

    async fn vote(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let question: VoteRequest<TypeConfig> = read(body, QUESTION_MAX).await?;
        is_of(from, &question.vote)?;
        answered(self.raft.vote(question).await)
    }

    async fn pre_vote(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let question: VoteRequest<TypeConfig> = read(body, QUESTION_MAX).await?;
        is_of(from, &question.vote)?;
        answered(self.raft.pre_vote(question).await)
    }

    async fn transfer(&self, body: Incoming) -> Answered {
        let question: TransferLeaderRequest<TypeConfig> = read(body, QUESTION_MAX).await?;
        answered(self.raft.handle_transfer_leader(question).await)
    }

    /// Takes a snapshot in beside the live ones, and has it installed when it is whole: one that is damaged where it
    /// comes from would end this node, too.
    async fn snapshot(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let path = self.snapshots.join(format!("incoming-{}.partial", random::token::<9>()));
        let file = SnapshotFile::from(Partial(path.clone()));
        let (vote, meta) = receive(body, &path).await.map_err(|e| Refusal::failed(&e))?;
        is_of(from, &vote)?;
        blocking(move || snapshot::check(&path)).await.map_err(|e| unsound(&e))?;
        // from here on the file is the machine's, though the leader go away or give up
        let snapshot = Snapshot { meta, snapshot: file };
        answered(self.raft.install_full_snapshot(vote, snapshot).await)
    }

    async fn read(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let question: ReadQuestion = read(body, QUESTION_MAX).await?;
        // before its tenure a leader may not know yet what time it is
        if self.tenure.borrow().is_none() {
            return Err(Refusal::not_now(&"this node does not lead"));
        }
        let linearizer =
            self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(|e| Refusal::not_now(&e))?;
        if let Some(from) = from {
            self.time.note_wall(from, question.wall_ms);
        }
        Ok(encoded(&ReadAnswer { index: linearizer.read_log_id().index(), now: self.time.now() }))
    }

    /// Has Ops decided that another node was asked for. Each has a fate of its own.
    async fn ops(&self, body: Incoming) -> Answered {
        let ops: Vec<Op> = read(body, ENTRIES_MAX).await?;
        let fates = ops.into_iter().map(|op| async {
            let (job, decided) = Job::forwarded(op);
            if self.jobs.try_send(job).is_err() {
                return Fate::NotDone("too many writes wait".into());
            }
            match decided.await {
                Ok(Ok(decided)) => Fate::Decided { index: decided.index, outcome: decided.outcome },
                Ok(Err(Error::NotDone(why))) => Fate::NotDone(why),
                Ok(Err(_)) | Err(_) => Fate::Unknown,
            }
        });
        let mut fates = futures_util::future::join_all(fates).await;
        shorten(&mut fates);
        Ok(encoded(&fates))
    }
}

/// Lets what was done stand without its replies where all of them would be too much for one answer.
fn shorten(fates: &mut [Fate]) {
    let mut bytes = 0;
    for fate in fates {
        let Fate::Decided { outcome: Outcome::Replies(replies), .. } = fate else { continue };
        bytes += replies.iter().map(Reply::weight).sum::<usize>();
        if bytes > REPLIES_MAX {
            replies.fill(wrong::large());
        }
    }
}

impl Desk {
    /// What the holder of a live token is told; members know it.
    fn welcome(&self, caller: &PublicKey) -> Answered {
        if self.members.holder(caller).is_some() {
            return Err(Refusal::forbidden("a member joins no more".into()));
        }
        self.gate.is_open_to(caller)?;
        Ok(encoded(&Welcome { secret: self.gate.secrets.secret(), cluster: self.cluster.0 }))
    }

    /// Uses the token, and makes its holder a member.
    async fn join(&self, caller: PublicKey, body: Incoming) -> Answered {
        let candidate: Candidate = read(body, SMALL_MAX).await?;
        let Candidate { id, member, authority } = candidate;
        if self.members.get(id).as_ref() == Some(&member) {
            return Ok(encoded(&()));
        }
        self.gate.is_open_to(&caller)?;
        let (job, used) = Job::new(Op::Use(self.gate.pass(&caller)));
        self.strays.try_send(job).map_err(|_| Refusal::not_now(&"too many writes wait"))?;
        match used.await {
            Ok(Ok(Decided { outcome: Outcome::Done, .. })) => {}
            Ok(Ok(_)) => return Err(Refusal::forbidden("the join token is used up".into())),
            Ok(Err(e)) => return Err(Refusal::not_now(&e)),
            Err(e) => return Err(Refusal::not_now(&e)),
        }
        tracing::info!(node = id, address = member.address, "a node joins");
        self.granted(Wish::Join { id, member, authority }).await
    }

    /// Who holds a key, for a member that lost touch.
    async fn knows(&self, body: Incoming) -> Answered {
        let key: PublicKey = read(body, SMALL_MAX).await?;
        Ok(encoded(&self.members.holder(&key)))
    }

    /// A node that does not have what it acknowledged is of no use, and would do harm if it voted.
    async fn had(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let (leads, index): (Vote, u64) = read(body, SMALL_MAX).await?;
        is_of(from, &leads)?;
        let last = self.store.ends().1.map_or(0, |last| last.index);
        // whoever follows another one by now may have given up what that one does not have
        if last < index && self.store.vote() == Some(leads) {
            self.store.give_up(&format!(
                "its directory is older than what this node has acknowledged: entries up to {index}, of which it has \
                 those up to {last}\nhint: {DAMAGE_HINT}"
            ));
        }
        Ok(encoded(&()))
    }

    async fn wish(&self, from: Option<NodeId>, body: Incoming) -> Answered {
        let wish: Wish = read(body, QUESTION_MAX).await?;
        if let Wish::Move { id, .. } = &wish
            && from != Some(*id)
        {
            return Err(Refusal::forbidden(format!("nobody but node {id} says where it is")));
        }
        told(self.membership().grant(wish).await)
    }

    /// This node is no member any more.
    async fn removed(&self) -> Answered {
        let farewells = self.farewells.clone();
        let said = blocking(move || {
            farewells.say();
            Ok(())
        });
        told(said.await)
    }

    fn membership(&self) -> Membership {
        let (raft, members, links) = (self.raft.clone(), self.members.clone(), self.links.clone());
        let (state, secrets) = (self.gate.state.clone(), self.gate.secrets.clone());
        Membership { raft, id: self.id, members, links, state, secrets }
    }

    /// Has a wish granted by whoever leads, before long: the token that was used for it is gone.
    async fn granted(&self, wish: Wish) -> Answered {
        let begun = Instant::now();
        loop {
            match self.try_granted(wish.clone()).await {
                Err(refusal)
                    if refusal.status == StatusCode::SERVICE_UNAVAILABLE && begun.elapsed() < GRANTED_WITHIN =>
                {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                granted => return granted,
            }
        }
    }

    async fn try_granted(&self, wish: Wish) -> Answered {
        let leader = self.raft.metrics().borrow_watched().current_leader;
        let leader = leader.ok_or_else(|| Refusal::not_now(&"no leader is known at the moment"))?;
        if leader == self.id {
            return told(self.membership().grant(wish).await);
        }
        let member = self.members.get(leader).ok_or_else(|| Refusal::not_now(&"the leader is no member"))?;
        let link = self.links.to(leader, &member, Lane::Log);
        link.call::<_, ()>(routes::WISH, &wish).await.map(|()| encoded(&())).map_err(|e| match e {
            Failed::Refused(why) => Refusal { status: StatusCode::CONFLICT, why },
            e => Refusal::not_now(&e),
        })
    }

    fn status(&self) -> Status {
        status_of(&self.raft)
    }
}

/// What a node says of itself.
pub fn status_of(raft: &Raft) -> Status {
    let metrics = raft.metrics();
    let seen = metrics.borrow_watched();
    Status {
        applied: seen.last_applied.map_or(0, |id| id.index),
        leader: seen.current_leader,
        term: seen.current_term,
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn told(granted: Result<()>) -> Answered {
    granted.map(|()| encoded(&())).map_err(|e| match e {
        Error::Conflict(why) => Refusal { status: StatusCode::CONFLICT, why },
        Error::NotFound(what) => Refusal { status: StatusCode::NOT_FOUND, why: format!("{what} not found") },
        // whoever asked says so in words of their own
        Error::NotDone(why) => Refusal::not_now(&why),
        other => Refusal::not_now(&other),
    })
}

fn encoded<T: Serialize>(answer: &T) -> Bytes {
    Bytes::from(codec::encode(answer))
}

fn answered<T: Serialize, E: std::fmt::Display>(answer: Result<T, E>) -> Answered {
    answer.map(|answer| encoded(&answer)).map_err(|e| Refusal::failed(&e))
}

/// Nobody campaigns or appends in another's name.
fn is_of(from: Option<NodeId>, vote: &Vote) -> Result<(), Refusal> {
    let claimed = vote.leader_id.voted_for;
    match from {
        Some(from) if from != claimed => Err(Refusal::forbidden(format!("node {from} speaks as node {claimed}"))),
        _ => Ok(()),
    }
}

fn unsound(why: &Error) -> Refusal {
    tracing::error!(%why, "the leader's snapshot is damaged; hint: `sojourn backup` has it written anew");
    Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, why: format!("the snapshot is damaged: {why}") }
}
