//! Wiring: the parts of an open log, and the wires between them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Raft;
use super::decider::{self, Decider, Job, Queue};
use super::desk::Desk;
use super::farewell::Farewells;
use super::freshness::Oracle;
use super::gate::Gate;
use super::introductions::Introductions;
use super::logtime::LogTime;
use super::members::Members;
use super::membership::Membership;
use super::peers::links::Links;
use super::router::Router;
use super::secrets::Secrets;
use super::store::Store;
use super::tenure::Watch;
use super::types::NodeId;
use crate::state::State;

/// What the log holds of the wires.
pub struct Wires {
    /// Ops for this node to decide, while it may.
    pub queue: Queue,
    /// Ops for whoever leads.
    pub elsewhere: Queue,
    /// The term in which this node may decide.
    pub tenure: watch::Receiver<Option<u64>>,
    /// Whether nothing that was decided is on its way.
    pub idle: watch::Receiver<bool>,
    /// Says that this node is to decide no more.
    pub ending: watch::Sender<bool>,
    /// Says that peers are answered no more.
    pub closing: watch::Sender<bool>,
}

/// The other ends, each for one part.
pub struct Ends {
    pub jobs: mpsc::Receiver<Job>,
    pub strays: mpsc::Receiver<Job>,
    pub tenure: watch::Sender<Option<u64>>,
    pub idle: watch::Sender<bool>,
    pub is_over: watch::Receiver<bool>,
    pub is_closed: watch::Receiver<bool>,
}

/// New wires.
pub fn wires() -> (Wires, Ends) {
    let (queue, jobs) = mpsc::channel(decider::QUEUE_MAX);
    let (elsewhere, strays) = mpsc::channel(decider::QUEUE_MAX);
    let (term, tenure) = watch::channel(None);
    let (rest, idle) = watch::channel(true);
    let (ending, is_over) = watch::channel(false);
    let (closing, is_closed) = watch::channel(false);
    let ends = Ends { jobs, strays, tenure: term, idle: rest, is_over, is_closed };
    (Wires { queue, elsewhere, tenure, idle, ending, closing }, ends)
}

/// What nearly every part needs.
pub struct Core {
    pub raft: Raft,
    pub id: NodeId,
    pub members: Arc<Members>,
    pub links: Arc<Links>,
    pub time: Arc<LogTime>,
    pub state: Arc<State>,
    pub secrets: Arc<Secrets>,
}

impl Core {
    pub fn membership(&self) -> Membership {
        let (raft, members, links) = (self.raft.clone(), self.members.clone(), self.links.clone());
        let (state, secrets) = (self.state.clone(), self.secrets.clone());
        Membership { raft, id: self.id, members, links, state, secrets }
    }

    pub fn gate(&self) -> Gate {
        Gate {
            members: self.members.clone(),
            state: self.state.clone(),
            time: self.time.clone(),
            secrets: self.secrets.clone(),
        }
    }

    pub fn desk(
        &self,
        wires: &Wires,
        cluster: ([u8; 16], String),
        (farewells, store, snapshots): (Arc<Farewells>, Store, PathBuf),
    ) -> Desk {
        Desk {
            raft: self.raft.clone(),
            id: self.id,
            cluster,
            gate: self.gate(),
            introductions: Introductions::new(self.id, self.members.clone(), self.links.clone()),
            members: self.members.clone(),
            links: self.links.clone(),
            time: self.time.clone(),
            jobs: wires.queue.clone(),
            strays: wires.elsewhere.clone(),
            farewells,
            store,
            tenure: wires.tenure.clone(),
            snapshots,
        }
    }

    pub fn watch(&self, is_over: watch::Receiver<bool>) -> Watch {
        Watch {
            raft: self.raft.clone(),
            id: self.id,
            members: self.members.clone(),
            links: self.links.clone(),
            time: self.time.clone(),
            state: self.state.clone(),
            is_over,
        }
    }

    pub fn oracle(&self, wires: &Wires) -> Oracle {
        Oracle {
            raft: self.raft.clone(),
            id: self.id,
            members: self.members.clone(),
            links: self.links.clone(),
            time: self.time.clone(),
            tenure: wires.tenure.clone(),
        }
    }

    pub fn decider(&self, wires: &Wires, idle: watch::Sender<bool>) -> Decider {
        Decider {
            raft: self.raft.clone(),
            state: self.state.clone(),
            time: self.time.clone(),
            tenure: wires.tenure.clone(),
            idle,
            elsewhere: wires.elsewhere.downgrade(),
            flying: 0,
            rests_until: None,
            gathers: None,
            looked_at: tokio::time::Instant::now(),
        }
    }

    pub fn router(&self, wires: &Wires) -> Router {
        Router {
            raft: self.raft.clone(),
            id: self.id,
            members: self.members.clone(),
            links: self.links.clone(),
            here: wires.queue.clone(),
            back: wires.elsewhere.downgrade(),
            tenure: wires.tenure.clone(),
            shared: 0,
        }
    }
}
