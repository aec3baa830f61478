//! Nemesis: does harm, one fault after the other, and counts what bit.
//!
//! Each class of faults comes once before any comes twice. A fault bit when it did what it is for: a process that ran
//! was killed or stopped, bytes were held back, a member went and another came, another node leads, a clock was set.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sojourn::control::Request;

use super::cluster::{Cluster, VOTERS};
use super::net::SLOTS;
use crate::process::Dice;

const YEARS_10_MS: i64 = 3_652 * 86_400_000;
/// How long the cluster is given to be well between two faults.
const REST: Duration = Duration::from_secs(12);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillLeader,
    /// The leader is back before anybody misses it.
    Blink,
    KillOther,
    KillAll,
    PauseLeader,
    PauseOther,
    CutOffLeader,
    CutOffOther,
    /// Until nobody there may believe anything.
    CutOffLong,
    /// It hears nobody.
    DeafLeader,
    DeafOther,
    /// Nobody hears it.
    MuteLeader,
    MuteOther,
    ReplaceLeader,
    ReplaceOther,
    Transfer,
    WallOfLeader,
    WallOfOther,
    /// A clock that is wrong while everything stops.
    WallAndKillAll,
}

use Fault::*;

type Class = (&'static str, &'static [Fault]);

/// The faults by class. At least one of each class bites, or the run has failed.
const CLASSES: [Class; 7] = [
    ("kill", &[KillLeader, KillAll, Blink, KillOther]),
    ("pause", &[PauseLeader, PauseOther]),
    ("cut both ways", &[CutOffLeader, CutOffOther, CutOffLong]),
    ("cut one way", &[MuteLeader, DeafOther, DeafLeader, MuteOther]),
    ("change members", &[ReplaceOther, ReplaceLeader]),
    ("transfer", &[Transfer]),
    ("set clocks", &[WallOfLeader, WallOfOther, WallAndKillAll]),
];

/// What was done, and what of it bit.
#[derive(Default)]
pub struct Harm {
    done: BTreeMap<Fault, (usize, usize)>,
    /// Nodes that did not come back from what every node has to come back from.
    pub broken: Vec<String>,
}

impl Harm {
    /// A class that never bit.
    pub fn spared(&self) -> Option<&'static str> {
        if !only().is_empty() {
            return None;
        }
        let bit = |fault: &Fault| self.done.get(fault).is_some_and(|(_, bit)| *bit > 0);
        CLASSES.iter().find(|(_, faults)| !faults.iter().any(bit)).map(|(name, _)| *name)
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults that bit, of those that were tried")?;
        for (name, faults) in CLASSES {
            let of = |fault: &Fault| self.done.get(fault).copied().unwrap_or_default();
            let each = faults.iter().map(|fault| format!("{fault:?} {}/{}", of(fault).1, of(fault).0));
            writeln!(f, "  {name}: {}", each.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

/// Does harm for so long, and until every class has bitten or was tried three times.
pub async fn run(cluster: &Arc<Cluster>, dice: &mut Dice, long: Duration) -> Harm {
    let begun = Instant::now();
    let mut harm = Harm::default();
    let only = only();
    for round in 0.. {
        let mut deck: Vec<&[Fault]> = CLASSES.iter().map(|(_, faults)| *faults).collect();
        if !only.is_empty() {
            deck = only.chunks(1).collect();
        }
        while !deck.is_empty() {
            let spared = only.is_empty() && harm.spared().is_some() && round < 3;
            if begun.elapsed() > long && !spared {
                return harm;
            }
            let faults = deck.swap_remove(pick(dice, deck.len()));
            // in the first round what is worst
            let fault = faults[if round == 0 { 0 } else { pick(dice, faults.len()) }];
            let bit = match strike(cluster, dice, fault).await {
                Ok(bit) => bit,
                Err(why) => {
                    harm.broken.push(format!("after {fault:?} {why}"));
                    return harm;
                }
            };
            let (tried, bitten) = harm.done.entry(fault).or_default();
            *tried += 1;
            *bitten += usize::from(bit);
            println!("{:>6.1} s {fault:?}{}", begun.elapsed().as_secs_f32(), if bit { "" } else { ": in vain" });
            if !cluster.is_well_within(REST).await {
                println!("{:>6.1} s not well yet", begun.elapsed().as_secs_f32());
            }
            tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
        }
    }
    harm
}

/// The faults that `TEST_FAULTS` names, when not all are wanted.
fn only() -> Vec<Fault> {
    let named = std::env::var("TEST_FAULTS").unwrap_or_default();
    let all = CLASSES.iter().flat_map(|(_, faults)| faults.iter().copied());
    all.filter(|fault| named.split(',').any(|name| name == format!("{fault:?}"))).collect()
}

fn pick(dice: &mut Dice, of: usize) -> usize {
    usize::try_from(dice.below(of as u64)).expect("is small")
}

/// Does one thing, and undoes what does not undo itself. Answers whether it bit.
///
/// # Errors
/// When a node does not come back.
async fn strike(cluster: &Arc<Cluster>, dice: &mut Dice, fault: Fault) -> Result<bool, String> {
    let Some(leader) = cluster.leader().await else { return Ok(false) };
    let others: Vec<usize> = cluster.awake().into_iter().filter(|at| *at != leader).collect();
    if others.is_empty() {
        return Ok(false);
    }
    let other = others[pick(dice, others.len())];
    Ok(match fault {
        KillLeader => kill(cluster, dice, vec![leader]).await?,
        Blink => {
            cluster.kill(leader);
            cluster.open(leader).await?;
            true
        }
        KillOther => kill(cluster, dice, vec![other]).await?,
        KillAll => kill(cluster, dice, cluster.running()).await?,
        PauseLeader => pause(cluster, dice, leader).await,
        PauseOther => pause(cluster, dice, other).await,
        CutOffLeader => cut(cluster, dice, &ways(leader, &[Way::Out, Way::In])).await,
        CutOffOther => cut(cluster, dice, &ways(other, &[Way::Out, Way::In])).await,
        CutOffLong => cut_for(cluster, dice, (&ways(other, &[Way::Out, Way::In]), 4_000)).await,
        DeafLeader => cut(cluster, dice, &ways(leader, &[Way::In])).await,
        DeafOther => cut(cluster, dice, &ways(other, &[Way::In])).await,
        MuteLeader => cut(cluster, dice, &ways(leader, &[Way::Out])).await,
        MuteOther => cut(cluster, dice, &ways(other, &[Way::Out])).await,
        ReplaceLeader => replace(cluster, leader, other).await,
        ReplaceOther => replace(cluster, other, leader).await,
        Transfer => transfer(cluster, leader, other).await,
        WallOfLeader => set_wall(cluster, dice, leader).await,
        WallOfOther => set_wall(cluster, dice, other).await,
        WallAndKillAll => {
            let years = if dice.below(2) == 0 { YEARS_10_MS } else { -YEARS_10_MS };
            cluster.set_wall_off(leader, years);
            let bit = kill(cluster, dice, cluster.running()).await?;
            hold(dice, 500).await;
            cluster.set_wall_off(leader, 0);
            bit
        }
    })
}

async fn hold(dice: &mut Dice, least_ms: u64) {
    tokio::time::sleep(Duration::from_millis(least_ms + dice.below(1_000))).await;
}

async fn kill(cluster: &Arc<Cluster>, dice: &mut Dice, victims: Vec<usize>) -> Result<bool, String> {
    victims.iter().for_each(|at| cluster.kill(*at));
    hold(dice, 300).await;
    let opened = join_all(victims.iter().map(|at| cluster.open(*at))).await;
    for (at, opened) in victims.iter().zip(opened) {
        opened.map_err(|why| format!("node {at} does not come back: {why}"))?;
    }
    Ok(true)
}

async fn pause(cluster: &Cluster, dice: &mut Dice, victim: usize) -> bool {
    cluster.pause(victim);
    hold(dice, 1_200).await;
    cluster.resume(victim);
    true
}

/// A way for bytes, as the victim sees it.
enum Way {
    In,
    Out,
}

fn ways(victim: usize, which: &[Way]) -> Vec<(usize, usize)> {
    let others = (0..SLOTS).filter(|at| *at != victim);
    others
        .flat_map(|at| which.iter().map(move |way| if matches!(way, Way::In) { (at, victim) } else { (victim, at) }))
        .collect()
}

async fn cut(cluster: &Cluster, dice: &mut Dice, ways: &[(usize, usize)]) -> bool {
    cut_for(cluster, dice, (ways, 1_300)).await
}

async fn cut_for(cluster: &Cluster, dice: &mut Dice, (ways, least_ms): (&[(usize, usize)], u64)) -> bool {
    let before = cluster.net.held();
    ways.iter().for_each(|(from, to)| cluster.net.cut(*from, *to));
    hold(dice, least_ms).await;
    cluster.net.mend();
    cluster.net.held() > before
}

/// One node more, and the victim goes.
async fn replace(cluster: &Cluster, victim: usize, by: usize) -> bool {
    if cluster.running().len() <= VOTERS {
        let Some(vacant) = cluster.vacant() else { return false };
        if let Err(why) = cluster.grow(vacant).await {
            println!("node {vacant} does not join: {why}");
            cluster.kill(vacant);
            cluster.forget_the_gone(victim).await;
            return false;
        }
    }
    let Some(id) = cluster.id(victim).await else { return false };
    if let Err(why) = cluster.ask(by, Request::ClusterRemove { id }).await {
        println!("node {victim} is not removed: {why}");
        return false;
    }
    let begun = Instant::now();
    while !cluster.has_ended(victim) && begun.elapsed() < REST {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ended = cluster.has_ended(victim);
    cluster.kill(victim);
    ended
}

async fn transfer(cluster: &Cluster, leader: usize, other: usize) -> bool {
    let Some(id) = cluster.id(other).await else { return false };
    if let Err(why) = cluster.ask(leader, Request::ClusterTransfer { id }).await {
        println!("leadership is not handed over: {why}");
        return false;
    }
    let begun = Instant::now();
    while begun.elapsed() < REST {
        if cluster.leader().await == Some(other) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

async fn set_wall(cluster: &Cluster, dice: &mut Dice, victim: usize) -> bool {
    // never twice to the same moment: whoever believed it the first time would not notice
    let further_ms = i64::try_from(dice.below(86_400_000)).expect("is small") * 365;
    for ms in [YEARS_10_MS + further_ms, -YEARS_10_MS - further_ms, 0] {
        cluster.set_wall_off(victim, ms);
        hold(dice, 300).await;
    }
    true
}
