//! Rotation: how a cluster that runs comes to another secret.
//!
//! The log says how far it is, every node follows, and whoever leads goes on to the next stage once every member has
//! told that it entered the one before: nobody is ever shown a certificate that it does not take. A node that is down
//! is waited for. Each step is an exchange of what the log says, so that two leaders do it once.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::RaftLog;
use super::peers::keys::PublicKey;
use super::peers::links::Lane;
use super::peers::messages::Keys;
use super::peers::routes;
use super::secrets::{Rotation, Stage};
use super::types::{Member, NodeId};
use crate::error::{Error, Result};
use crate::log::Log as _;
use crate::state::{Exchange, Key, Op, Outcome, State, codec};

/// How often a node looks whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long another node may take to say by which authorities it goes.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// How long whoever asked for a rotation waits for its end: it takes three rounds of telling.
const DONE_WITHIN: Duration = Duration::from_secs(10);

/// What came of a rotation so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotated {
    /// The nodes that it waits for, and where they answer; none when it is over.
    pub waits_for: Vec<(NodeId, String)>,
    /// The nodes whose settings name a secret: they do not start again before it is taken out.
    pub set_on: Vec<NodeId>,
}

/// The rotation that the log knows of.
pub fn under_way(state: &State) -> Option<Rotation> {
    let held = state.generation().entries.get(&key())?;
    codec::decode(held.value()).inspect_err(|e| tracing::error!(error = %e, "an unreadable rotation")).ok()
}

/// Where the log says how far it is.
pub fn key() -> Key {
    Key::setting("rotation")
}

/// Follows what the log says, and drives it on while this node leads; as long as there is a log.
pub async fn keep_turning(log: Weak<RaftLog>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(log) = log.upgrade() else { return };
        let Some(rotation) = under_way(&log.state) else { continue };
        if let Err(e) = log.turn(rotation).await {
            tracing::warn!(error = %e, "the rotation of the cluster's secret waits");
        }
    }
}

impl RaftLog {
    /// Gives the cluster another secret, or waits for the rotation that is under way; not for ever.
    ///
    /// # Errors
    /// As writing says.
    pub async fn rotate_secret(&self) -> Result<Rotated> {
        self.refresh().await?;
        let rotation = match under_way(&self.state) {
            Some(rotation) => rotation,
            None => self.begin_rotation().await?,
        };
        let begun = Instant::now();
        while !self.has_turned_to(&rotation.to) && begun.elapsed() < DONE_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let told = self.tell_keys(self.members.all().into_iter().map(|(id, member, _)| (id, member)).collect()).await;
        let waits_for = self.rotation_waits_for().await;
        if waits_for.is_empty() && !self.has_turned_to(&rotation.to) {
            return Err(Error::NotDone("the rotation is under way still\nhint: give the command again".into()));
        }
        let set_on = told.iter().filter(|(.., keys)| keys.as_ref().is_some_and(|keys| keys.is_set));
        Ok(Rotated { set_on: set_on.map(|(id, ..)| *id).collect(), waits_for })
    }

    async fn begin_rotation(&self) -> Result<Rotation> {
        let drawn = Rotation::draw(&self.secrets.secret());
        match self.exchange(None, Some(&drawn)).await? {
            Outcome::Done => Ok(drawn),
            _ => under_way(&self.state).ok_or_else(|| Error::NotDone("another rotation has just ended".into())),
        }
    }

    fn has_turned_to(&self, authority: &PublicKey) -> bool {
        self.secrets.authority() == *authority && under_way(&self.state).is_none()
    }

    /// The nodes that a rotation waits for: those that have not told that they entered its stage.
    pub async fn rotation_waits_for(&self) -> Vec<(NodeId, String)> {
        let Some(rotation) = under_way(&self.state) else { return Vec::new() };
        let all = self.members.all().into_iter().map(|(id, member, _)| (id, member)).collect();
        let told = self.tell_keys(all).await.into_iter();
        let behind = told.filter(|(.., keys)| !keys.as_ref().is_some_and(|keys| has_entered(keys, &rotation)));
        behind.map(|(id, member, _)| (id, member.address)).collect()
    }

    async fn turn(self: &Arc<Self>, rotation: Rotation) -> Result<()> {
        let (secrets, said) = (self.secrets.clone(), rotation.clone());
        let followed = tokio::task::spawn_blocking(move || secrets.follow(&said)).await;
        followed.map_err(|e| Error::broken("the cluster's secret", e))??;
        if self.leads() { self.drive(&rotation).await } else { Ok(()) }
    }

    /// Goes on to the next stage if every member entered this one. Nobody becomes a member meanwhile.
    async fn drive(&self, rotation: &Rotation) -> Result<()> {
        let _still = self.members.changing.lock().await;
        // what the log says already, though it may not be in force yet
        let members = self.raft.with_raft_state(|state| {
            let effective = state.membership_state.effective().membership();
            effective.nodes().map(|(id, member)| (*id, member.clone())).collect::<Vec<_>>()
        });
        let members = members.await.map_err(|e| Error::broken("the membership", e))?;
        let told = self.tell_keys(members).await;
        if !told.iter().all(|(.., keys)| keys.as_ref().is_some_and(|keys| has_entered(keys, rotation))) {
            return Ok(());
        }
        let next = match rotation.stage {
            Stage::Trust => Some(Stage::Show),
            Stage::Show => Some(Stage::Keep),
            Stage::Keep => None,
        };
        let next = next.map(|stage| rotation.at(stage));
        self.exchange(Some(rotation), next.as_ref()).await?;
        match next {
            Some(next) => tracing::info!(stage = ?next.stage, "the rotation of the cluster's secret goes on"),
            None => tracing::info!("the cluster's secret was rotated: every node keeps the new one"),
        }
        Ok(())
    }

    async fn exchange(&self, held: Option<&Rotation>, value: Option<&Rotation>) -> Result<Outcome> {
        let bytes = |rotation: &Rotation| Bytes::from(codec::encode(rotation));
        self.submit(Op::Exchange(Exchange { key: key(), held: held.map(bytes), value: value.map(bytes) })).await
    }

    /// By which authorities each of these goes; `None` when it does not say.
    async fn tell_keys(&self, members: Vec<(NodeId, Member)>) -> Vec<(NodeId, Member, Option<Keys>)> {
        let asked = members.into_iter().map(|(id, member)| async move {
            if id == self.node_id() {
                return (id, member, Some(self.secrets.keys()));
            }
            let link = self.links.to(id, &member, Lane::Quick);
            let told = timeout(TOLD_WITHIN, link.call(routes::KEYS, &())).await;
            (id, member, told.ok().and_then(std::result::Result::ok))
        });
        join_all(asked).await
    }
}

/// Whether a node that goes by these has entered the stage.
fn has_entered(keys: &Keys, rotation: &Rotation) -> bool {
    match rotation.stage {
        Stage::Trust => keys.trusts.contains(&rotation.to),
        Stage::Show => keys.shows == rotation.to,
        Stage::Keep => keys.keeps == rotation.to && keys.trusts == [rotation.to],
    }
}
